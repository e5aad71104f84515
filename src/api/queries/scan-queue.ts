import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const queueStatuses = ['pending', 'assigned', 'in_progress', 'completed', 'paused', 'cancelled'] as const;

export const QueueEntry = z.object({
  queue_id: id, scan_id: id, scan_number: z.string(), scan_type: z.string(), status: z.enum(queueStatuses), priority_score: z.int(), queue_entered_at: timestamp, assigned_to_user_id: id.nullable(),
  assigned_at: optionalTimestamp, started_at: optionalTimestamp, completed_at: optionalTimestamp, sla_due_at: optionalTimestamp, sla_breached_at: optionalTimestamp,
  why_waiting: text, created_at: timestamp, updated_at: timestamp,
}).openapi('QueueEntry');

export const queueQuery = pageQuery.extend({ status: z.enum(queueStatuses).optional(), assigned_to_user_id: id.optional() });

export function listQueue(tx: Transaction, query: z.output<typeof queueQuery>) {
  return tx.any(sql.type(QueueEntry)`
    SELECT q.queue_id, q.scan_id, s.scan_number, s.scan_type, q.status, q.priority_score, q.queue_entered_at, q.assigned_to_user_id, q.assigned_at, q.started_at, q.completed_at,
      q.sla_due_at, q.sla_breached_at, q.why_waiting, q.created_at, q.updated_at
    FROM scan_queue q JOIN scans s ON s.organization_id = q.organization_id AND s.scan_id = q.scan_id
    WHERE q.organization_id = ${ORGANIZATION} AND q.queue_id < coalesce(${keyAfter(query)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND (${query.status ?? null}::text IS NULL OR q.status = ${query.status ?? null})
      AND (${query.assigned_to_user_id ?? null}::uuid IS NULL OR q.assigned_to_user_id = ${query.assigned_to_user_id ?? null}::uuid)
    ORDER BY q.queue_id DESC LIMIT ${query.limit + 1}`);
}
