/** What a replay needs of an exchange on record, and the mark that ties the new exchange to it. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Recorded = z.object({
  direction: z.string(), message_status: z.string(), integration_id: z.string().nullable(), interaction: z.string(), control_id: z.string(), peer_address: z.string().nullable(),
  peer_application: z.string().nullable(), facts: z.record(z.string(), z.unknown()).nullable(), content: z.instanceof(Buffer).nullable(),
  media_type: z.string().nullable(), payload_location: z.string().nullable(), started_at: z.date(), byte_size: z.number().nullable(), sha256: z.string().nullable(),
});
export type RecordedExchange = z.infer<typeof Recorded>;

/** `content` null: the bytes are a stored object, or none were kept. */
export async function findRecordedExchange(tx: CommonQueryMethods, syncId: string, part: 'message' | 'answer' = 'message'): Promise<RecordedExchange | undefined> {
  return await tx.maybeOne(sql.type(Recorded)`
    SELECT l.direction, l.message_status, l.integration_id, l.interaction, l.control_id, l.peer_address, l.peer_application, l.facts, p.content, p.media_type,
      l.payload_location, l.started_at, l.byte_size, l.sha256
    FROM sync_logs l LEFT JOIN exchange_payloads p ON p.organization_id = l.organization_id AND p.sync_id = l.sync_id AND p.part = ${part}
    WHERE l.organization_id = ${ORGANIZATION} AND l.sync_id = ${syncId}`) ?? undefined;
}

export async function correlateExchanges(tx: CommonQueryMethods, syncIds: readonly string[], correlationId: string): Promise<void> {
  await tx.query(sql.type(z.object({}))`
    UPDATE sync_logs SET correlation_id = ${correlationId} WHERE organization_id = ${ORGANIZATION} AND sync_id = ANY(${sql.array([...syncIds], 'uuid')})`);
}
