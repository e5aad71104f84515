/** sync_logs, asked for what was taken later than a message that is received again. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

/** What an interaction is about, whatever it does: 'ADT^A08' ADT, 'update Patient' Patient. */
export const topicOf = (interaction: string): string => interaction.replace(/^(create|update) /, '').split('^')[0]!;

export interface LaterThan { readonly integrationId: string; readonly since: Date; readonly topic: string; readonly name: string | undefined; readonly patientId?: string; readonly scanId?: string }

/** The newest accepted message of the integration about this patient or scan that first came after `since`. */
export async function findLaterExchange(tx: CommonQueryMethods, { integrationId, since, topic, name, patientId, scanId }: LaterThan): Promise<string | undefined> {
  return await tx.maybeOneFirst(sql.type(z.object({ sync_id: z.string() }))`
    SELECT l.sync_id FROM sync_logs l
    WHERE l.organization_id = ${ORGANIZATION} AND ${scanId === undefined ? sql.fragment`l.patient_id = ${patientId ?? null}::uuid` : sql.fragment`l.scan_id = ${scanId}::uuid`}
      AND l.integration_id = ${integrationId}::uuid AND l.direction = 'inbound' AND l.message_status = 'accepted'
      AND coalesce((l.facts->>'firstReceivedAt')::timestamptz, l.started_at) > ${since.toISOString()}::timestamptz
      AND split_part(regexp_replace(l.interaction, '^(create|update) ', ''), '^', 1) = ${topic}
      AND ${name === undefined ? sql.fragment`true` : sql.fragment`split_part(l.control_id, '#', 1) = ${name}`}
    ORDER BY l.sync_id DESC LIMIT 1`) ?? undefined;
}
