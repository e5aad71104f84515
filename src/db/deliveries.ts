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

/** The first open delivery of a destination, due or not: nothing may overtake it. */
export async function outboxHead(tx: CommonQueryMethods, integrationId: string): Promise<OutboxHead | undefined> {
  return await tx.maybeOne(sql.type(Head)`
    SELECT d.delivery_id, d.report_id, s.patient_id, r.scan_id, d.attempts, d.status, d.next_attempt_at, r.document
    FROM deliveries d JOIN reports r ON r.organization_id = d.organization_id AND r.report_id = d.report_id
      JOIN scans s ON s.organization_id = r.organization_id AND s.scan_id = r.scan_id
    WHERE d.organization_id = ${ORGANIZATION} AND d.integration_id = ${integrationId} AND d.status IN ('queued', 'sending')
    ORDER BY d.position LIMIT 1`) ?? undefined;
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

/** Destinations with something due that nothing may be working on. */
export async function dueDestinations(tx: CommonQueryMethods): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ integration_id: z.string() }))`
    SELECT DISTINCT ON (integration_id) integration_id FROM deliveries d
    WHERE organization_id = ${ORGANIZATION} AND status IN ('queued', 'sending')
      AND next_attempt_at <= now() AND position = (SELECT min(position) FROM deliveries h WHERE h.organization_id = d.organization_id AND h.integration_id = d.integration_id AND h.status IN ('queued', 'sending'))`);
  return rows.map((row) => row.integration_id);
}

export async function recordHealth(tx: CommonQueryMethods, integrationId: string, health: { status: 'ok' | 'degraded' | 'down'; error?: string }): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE external_integrations SET health_status = ${health.status}, last_ok_at = CASE WHEN ${health.status} = 'ok' THEN now() ELSE last_ok_at END,
      last_error = CASE WHEN ${health.status} = 'ok' THEN last_error ELSE ${health.error ?? null} END, last_error_at = CASE WHEN ${health.status} = 'ok' THEN last_error_at ELSE now() END
    WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId}`);
}

export async function countOpenDeliveries(tx: CommonQueryMethods): Promise<number> {
  return tx.oneFirst(sql.type(z.object({ count: z.number() }))`SELECT count(*) AS count FROM deliveries WHERE organization_id = ${ORGANIZATION} AND status IN ('queued', 'sending')`);
}

/** An inbound message was accepted: says nothing about whether results can be delivered there. */
export async function recordAlive(tx: CommonQueryMethods, integrationId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE external_integrations SET last_ok_at = now(), health_status = CASE health_status WHEN 'unknown' THEN 'ok' ELSE health_status END
    WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId}`);
}
