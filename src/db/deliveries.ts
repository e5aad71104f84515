/** The outbox: what is due for one destination, in order, and what became of it. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { ReportDocument } from '#domain/report-document.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Head = z.object({
  delivery_id: z.string(), report_id: z.string(), patient_id: z.string(), scan_id: z.string(), attempts: z.number(), status: z.string(), next_attempt_at: z.date(),
  document: z.custom<ReportDocument>((value) => typeof value === 'object' && value !== null),
});
export type OutboxHead = z.infer<typeof Head>;

/** The first open delivery of a destination, due or not: nothing may overtake it. None while delivering is paused. */
export async function outboxHead(tx: CommonQueryMethods, integrationId: string): Promise<OutboxHead | undefined> {
  return await tx.maybeOne(sql.type(Head)`
    SELECT d.delivery_id, d.report_id, s.patient_id, r.scan_id, d.attempts, d.status, d.next_attempt_at, r.document
    FROM (SELECT * FROM deliveries WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND status IN ('queued', 'sending') ORDER BY position LIMIT 1) d
      JOIN reports r ON r.organization_id = d.organization_id AND r.report_id = d.report_id
      JOIN scans s ON s.organization_id = r.organization_id AND s.scan_id = r.scan_id
    WHERE (SELECT i.deliver_paused_at IS NULL FROM external_integrations i WHERE i.organization_id = ${ORGANIZATION} AND i.integration_id = ${integrationId})`) ?? undefined;
}

/** Marks an attempt as begun; false when another worker took the delivery meanwhile. */
export async function beginAttempt(tx: CommonQueryMethods, deliveryId: string, attempt: number): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE deliveries SET status = 'sending', attempts = ${attempt} WHERE organization_id = ${ORGANIZATION} AND delivery_id = ${deliveryId} AND attempts = ${attempt - 1} AND status IN ('queued', 'sending')`);
  return rowCount === 1;
}

/** An attempt of a worker that died: the exchange says that nobody knows whether it arrived. */
export async function closeAbandonedAttempts(tx: CommonQueryMethods, deliveryId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE sync_logs SET message_status = 'unconfirmed', error_class = 'ambiguous', error_text = 'the gateway stopped before the answer came; sent again under the same id', finished_at = now()
    WHERE organization_id = ${ORGANIZATION} AND delivery_id = ${deliveryId} AND message_status = 'sending'`);
}

export async function finishAttempt(tx: CommonQueryMethods, deliveryId: string, attempt: number, change: { status: 'queued' | 'delivered' | 'refused'; outcome: string; text: string | null; nextAttemptAt?: Date }): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE deliveries SET status = ${change.status}, last_outcome = ${change.outcome}, last_text = ${change.text},
      next_attempt_at = coalesce(${change.nextAttemptAt?.toISOString() ?? null}::timestamptz, next_attempt_at),
      delivered_at = CASE WHEN ${change.status} = 'delivered' THEN now() ELSE delivered_at END
    WHERE organization_id = ${ORGANIZATION} AND delivery_id = ${deliveryId} AND attempts = ${attempt} AND status = 'sending'`);
  return rowCount === 1;
}

/** Destinations with something due that nothing may be working on; not those that are switched off or paused. */
export async function dueDestinations(tx: CommonQueryMethods): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ integration_id: z.string() }))`
    SELECT i.integration_id FROM external_integrations i CROSS JOIN LATERAL (
      SELECT d.next_attempt_at FROM deliveries d WHERE d.organization_id = i.organization_id AND d.integration_id = i.integration_id AND d.status IN ('queued', 'sending') ORDER BY d.position LIMIT 1) head
    WHERE i.organization_id = ${ORGANIZATION} AND i.is_enabled AND i.deliver_paused_at IS NULL AND head.next_attempt_at <= now()`);
  return rows.map((row) => row.integration_id);
}

export async function countOpenDeliveries(tx: CommonQueryMethods): Promise<number> {
  return tx.oneFirst(sql.type(z.object({ count: z.number() }))`SELECT count(*) AS count FROM deliveries WHERE organization_id = ${ORGANIZATION} AND status IN ('queued', 'sending')`);
}
