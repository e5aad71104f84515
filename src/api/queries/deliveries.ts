import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';
import { Delivery } from './reports.ts';

export const deliveryStatuses = ['queued', 'sending', 'delivered', 'refused', 'skipped'] as const;
/** A delivery without its report's text. */
export const OutboxDelivery = Delivery.extend({
  report_id: id, report_version: z.int(), scan_id: id, scan_number: z.string(), patient_id: id, created_at: timestamp, updated_at: timestamp, last_outcome: text, delivered_at: optionalTimestamp,
}).openapi('OutboxDelivery');

export const deliveryQuery = pageQuery.extend({
  status: z.enum(deliveryStatuses).optional().openapi({ description: 'refused: parked, a person must decide; skipped: discarded' }), integration_id: id.optional(), report_id: id.optional(), scan_id: id.optional(),
});

const columns = sql.fragment`d.delivery_id, d.integration_id, i.name AS integration_name, d.status, d.attempts, d.next_attempt_at, d.last_outcome, d.last_text, d.delivered_at, d.commitment, d.report_id,
  r.version AS report_version, r.scan_id, s.scan_number, s.patient_id, d.created_at, d.updated_at`;
const source = sql.fragment`deliveries d JOIN external_integrations i ON i.organization_id = d.organization_id AND i.integration_id = d.integration_id
  JOIN reports r ON r.organization_id = d.organization_id AND r.report_id = d.report_id JOIN scans s ON s.organization_id = r.organization_id AND s.scan_id = r.scan_id`;

export function listDeliveries(tx: Transaction, query: z.output<typeof deliveryQuery>) {
  const before = keyAfter(query);
  const conditions = [
    sql.fragment`d.organization_id = ${ORGANIZATION}`,
    ...(before === null ? [] : [sql.fragment`d.delivery_id < ${before}::uuid`]),
    ...(query.status === undefined ? [] : [sql.fragment`d.status = ${sql.literalValue(query.status)}`]),
    ...(query.integration_id === undefined ? [] : [sql.fragment`d.integration_id = ${query.integration_id}::uuid`]),
    ...(query.report_id === undefined ? [] : [sql.fragment`d.report_id = ${query.report_id}::uuid`]),
    ...(query.scan_id === undefined ? [] : [sql.fragment`r.scan_id = ${query.scan_id}::uuid`]),
  ];
  return tx.any(sql.type(OutboxDelivery)`SELECT ${columns} FROM ${source} WHERE ${sql.join(conditions, sql.fragment` AND `)} ORDER BY d.delivery_id DESC LIMIT ${query.limit + 1}`);
}

export function readDelivery(tx: Transaction, deliveryId: string) {
  return tx.maybeOne(sql.type(OutboxDelivery)`SELECT ${columns} FROM ${source} WHERE d.organization_id = ${ORGANIZATION} AND d.delivery_id = ${deliveryId}`);
}
