/** The outbox: what is due for one destination, in order, and what became of it. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { ReportDocument } from '#domain/report-document.ts';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql, type Database } from './pool.ts';

const Nothing = z.object({});
const Head = z.object({
  delivery_id: z.string(), report_id: z.string(), patient_id: z.string(), scan_id: z.string(), attempts: z.number(), status: z.string(), next_attempt_at: z.coerce.date(),
  document: z.custom<ReportDocument>((value) => typeof value === 'object' && value !== null),
});
export type OutboxHead = z.infer<typeof Head>;

/** What the attempt that was just delivered leaves: its exchange, the bytes both ways, its audit row. */
export interface DeliveredAttempt {
  readonly delivery_id: string; readonly attempt: number; readonly sync_id: string; readonly started_at: string; readonly finished_at: string; readonly duration_ms: number;
  readonly interaction: string; readonly peer_address: string; readonly answer_code: string; readonly byte_size: number | undefined; readonly sha256: string | undefined;
  readonly report_id: string; readonly patient_id: string; readonly destination: string; readonly facts: unknown; readonly event_code: string; readonly event_name: string; readonly detail: unknown;
  readonly sent: Buffer | undefined; readonly sent_type: string; readonly answer: Buffer | undefined; readonly answer_type: string;
}
export interface NextAttempt { readonly sync_id: string; readonly started_at: string; readonly adapter: string; readonly interaction: string }
/** The first open delivery of the destination; nothing may overtake it. `attempts`, `status`: before this attempt. Empty also while delivering is paused. */
export type NextDelivery = { readonly state: 'empty' } | { readonly state: 'begun' | 'later' | 'taken'; readonly head: OutboxHead };

const Next = z.object({ state: z.enum(['begun', 'later', 'taken', 'empty']), head: z.unknown() });

/**
 * One transaction: writes down what was delivered and begins the attempt to deliver the head of the outbox, each if it is given (migrations/0029). A
 * delivery that another worker has taken since is left as that worker left it.
 */
export async function deliverNext(database: Database, organizationId: string, integrationId: string, finished: DeliveredAttempt | undefined, attempt: NextAttempt | undefined): Promise<NextDelivery> {
  const { sent, answer, ...row } = finished ?? {};
  const query = sql.type(Next)`SELECT state, head FROM medscan_deliver_next(${organizationId}::uuid, ${integrationId}::uuid, ${finished ? jsonText(row) : null}::jsonb,
    ${sent ? sql.binary(sent) : null}, ${answer ? sql.binary(answer) : null}, ${attempt ? JSON.stringify(attempt) : null}::jsonb)`;
  const { rows } = await database.pool.query({ ...query, name: 'medscan_deliver_next' } as typeof query);
  const { state, head } = rows[0]!;
  return state === 'empty' ? { state } : { state, head: Head.parse(head) };
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
