import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, instant, json, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const messageStatuses = ['received', 'accepted', 'duplicate', 'rejected', 'failed', 'queued', 'sending', 'delivered', 'refused', 'unreachable', 'unconfirmed'] as const;

export const SyncLog = z.object({
  sync_id: id, integration_id: id.nullable(), integration_name: text, adapter: z.string(), direction: z.enum(['inbound', 'outbound']), interaction: z.string(), control_id: z.string(),
  message_status: z.enum(messageStatuses), answer_status: z.enum(['answered', 'unanswered']), answer_code: text, answer_text: text, attempt: z.int(),
  started_at: timestamp, finished_at: optionalTimestamp, duration_ms: z.number().nullable(), byte_size: z.int().nullable(), sha256: text, has_payload: z.boolean(),
  correlation_id: id.nullable(), peer_address: text, peer_application: text, error_class: text, error_text: text, error_location: text,
  patient_id: id.nullable(), scan_id: id.nullable(), report_id: id.nullable(), delivery_id: id.nullable(), mapping_version: text,
  warnings: z.array(json).nullable(), facts: json.nullable(),
}).openapi('SyncLog');

export const syncLogQuery = pageQuery.extend({
  direction: z.enum(['inbound', 'outbound']).optional(), message_status: z.enum(messageStatuses).optional(), integration_id: id.optional(), scan_id: id.optional(), patient_id: id.optional(),
  interaction: z.string().max(100).optional(), started_from: instant.optional(), started_before: instant.optional(),
});

const columns = sql.fragment`l.sync_id, l.integration_id, i.name AS integration_name, l.adapter, l.direction, l.interaction, l.control_id, l.message_status, l.answer_status, l.answer_code,
  l.answer_text, l.attempt, l.started_at, l.finished_at, l.duration_ms, l.byte_size, l.sha256, l.payload_location IS NOT NULL AS has_payload, l.correlation_id, l.peer_address,
  l.peer_application, l.error_class, l.error_text, l.error_location, l.patient_id, l.scan_id, l.report_id, l.delivery_id, l.mapping_version, l.warnings, l.facts`;
const source = sql.fragment`sync_logs l LEFT JOIN external_integrations i ON i.organization_id = l.organization_id AND i.integration_id = l.integration_id`;

export function listSyncLogs(tx: Transaction, query: z.output<typeof syncLogQuery>) {
  return tx.any(sql.type(SyncLog)`
    SELECT ${columns} FROM ${source}
    WHERE l.organization_id = ${ORGANIZATION} AND l.sync_id < coalesce(${keyAfter(query)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND (${query.direction ?? null}::text IS NULL OR l.direction = ${query.direction ?? null})
      AND (${query.message_status ?? null}::text IS NULL OR l.message_status = ${query.message_status ?? null})
      AND (${query.interaction ?? null}::text IS NULL OR l.interaction = ${query.interaction ?? null})
      AND (${query.integration_id ?? null}::uuid IS NULL OR l.integration_id = ${query.integration_id ?? null}::uuid)
      AND (${query.scan_id ?? null}::uuid IS NULL OR l.scan_id = ${query.scan_id ?? null}::uuid)
      AND (${query.patient_id ?? null}::uuid IS NULL OR l.patient_id = ${query.patient_id ?? null}::uuid)
      AND (${query.started_from ?? null}::timestamptz IS NULL OR l.started_at >= ${query.started_from ?? null}::timestamptz)
      AND (${query.started_before ?? null}::timestamptz IS NULL OR l.started_at < ${query.started_before ?? null}::timestamptz)
    ORDER BY l.sync_id DESC LIMIT ${query.limit + 1}`);
}

export function readSyncLog(tx: Transaction, syncId: string) {
  return tx.maybeOne(sql.type(SyncLog)`SELECT ${columns} FROM ${source} WHERE l.organization_id = ${ORGANIZATION} AND l.sync_id = ${syncId}`);
}

export const payloadQuery = z.object({ part: z.enum(['message', 'answer']).default('message') });

const Payload = z.object({ media_type: z.string(), content: z.instanceof(Buffer) });

export function readPayload(tx: Transaction, syncId: string, part: 'message' | 'answer') {
  return tx.maybeOne(sql.type(Payload)`SELECT media_type, content FROM exchange_payloads WHERE organization_id = ${ORGANIZATION} AND sync_id = ${syncId} AND part = ${part}`);
}

export function payloadLocation(tx: Transaction, syncId: string) {
  return tx.maybeOneFirst(sql.type(z.object({ payload_location: z.string().nullable() }))`SELECT payload_location FROM sync_logs WHERE organization_id = ${ORGANIZATION} AND sync_id = ${syncId}`);
}
