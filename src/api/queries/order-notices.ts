import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const noticeStatuses = ['queued', 'delivered', 'refused', 'skipped'] as const;
export const OrderNotice = z.object({
  notice_id: id, integration_id: id, integration_name: z.string(), event: z.enum(['received', 'complete', 'analysed']), run: z.int(), status: z.enum(noticeStatuses), attempts: z.int(), next_attempt_at: timestamp,
  last_outcome: text, last_text: text, scan_id: id, scan_number: z.string(), patient_id: id, delivered_at: optionalTimestamp, created_at: timestamp, updated_at: timestamp,
}).openapi('OrderNotice');

export const noticeQuery = pageQuery.extend({
  status: z.enum(noticeStatuses).optional().openapi({ description: 'refused: parked, a person must decide; skipped: overtaken or discarded' }), integration_id: id.optional(), scan_id: id.optional(),
});

const columns = sql.fragment`n.notice_id, n.integration_id, i.name AS integration_name, n.event, n.run, n.status, n.attempts, n.next_attempt_at, n.last_outcome, n.last_text, n.scan_id, s.scan_number, s.patient_id,
  n.delivered_at, n.created_at, n.updated_at`;
const source = sql.fragment`order_notices n JOIN external_integrations i ON i.organization_id = n.organization_id AND i.integration_id = n.integration_id
  JOIN scans s ON s.organization_id = n.organization_id AND s.scan_id = n.scan_id`;

export function listNotices(tx: Transaction, query: z.output<typeof noticeQuery>) {
  const before = keyAfter(query);
  const conditions = [
    sql.fragment`n.organization_id = ${ORGANIZATION}`,
    ...(before === null ? [] : [sql.fragment`n.notice_id < ${before}::uuid`]),
    ...(query.status === undefined ? [] : [sql.fragment`n.status = ${sql.literalValue(query.status)}`]),
    ...(query.integration_id === undefined ? [] : [sql.fragment`n.integration_id = ${query.integration_id}::uuid`]),
    ...(query.scan_id === undefined ? [] : [sql.fragment`n.scan_id = ${query.scan_id}::uuid`]),
  ];
  return tx.any(sql.type(OrderNotice)`SELECT ${columns} FROM ${source} WHERE ${sql.join(conditions, sql.fragment` AND `)} ORDER BY n.notice_id DESC LIMIT ${query.limit + 1}`);
}

export function readNotice(tx: Transaction, noticeId: string) {
  return tx.maybeOne(sql.type(OrderNotice)`SELECT ${columns} FROM ${source} WHERE n.organization_id = ${ORGANIZATION} AND n.notice_id = ${noticeId}`);
}
