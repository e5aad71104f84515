import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, instant, json, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const AuditLog = z.object({
  audit_id: id, sequence: z.int(), occurred_at: timestamp, event_code: z.string(), event_name: z.string(), action: z.enum(['C', 'R', 'U', 'D', 'E']), outcome: z.string(),
  actor_kind: z.string(), actor_id: z.string(), actor_role: text, network_address: text, object_type: text, object_id: text, patient_id: id.nullable(), sync_id: id.nullable(),
  request_id: text, detail: json,
}).openapi('AuditLog');

export const auditLogQuery = pageQuery.extend({
  event_code: z.string().max(20).optional(), actor_id: z.string().max(200).optional(), patient_id: id.optional(), object_type: z.string().max(50).optional(), object_id: z.string().max(200).optional(),
  occurred_from: instant.optional(), occurred_before: instant.optional(),
});

export function listAuditLogs(tx: Transaction, query: z.output<typeof auditLogQuery>) {
  return tx.any(sql.type(AuditLog)`
    SELECT audit_id, sequence, occurred_at, event_code, event_name, action, outcome, actor_kind, actor_id, actor_role, network_address, object_type, object_id, patient_id, sync_id, request_id, detail
    FROM audit_logs
    WHERE organization_id = ${ORGANIZATION} AND sequence < coalesce(${keyAfter(query, z.string().regex(/^\d{1,15}$/))}::bigint, 9223372036854775807)
      AND (${query.event_code ?? null}::text IS NULL OR event_code = ${query.event_code ?? null})
      AND (${query.actor_id ?? null}::text IS NULL OR actor_id = ${query.actor_id ?? null})
      AND (${query.patient_id ?? null}::uuid IS NULL OR patient_id = ${query.patient_id ?? null}::uuid)
      AND (${query.object_type ?? null}::text IS NULL OR object_type = ${query.object_type ?? null})
      AND (${query.object_id ?? null}::text IS NULL OR object_id = ${query.object_id ?? null})
      AND (${query.occurred_from ?? null}::timestamptz IS NULL OR occurred_at >= ${query.occurred_from ?? null}::timestamptz)
      AND (${query.occurred_before ?? null}::timestamptz IS NULL OR occurred_at < ${query.occurred_before ?? null}::timestamptz)
    ORDER BY sequence DESC LIMIT ${query.limit + 1}`);
}
