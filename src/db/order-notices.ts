/** order_notices: what those who placed an order are told of it. Rows are written by the database (migrations/0021), and leave in one line with the results. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const obsolete = z.enum(['overtaken', 'cancelled', 'withdrawn']).nullable();
/** Why a status is not told any more: the system was told more since; the order was cancelled; the report that it announces was withdrawn. */
export type Obsolete = NonNullable<z.infer<typeof obsolete>>;

const Head = z.object({
  notice_id: z.string(), scan_id: z.string(), event: z.enum(['received', 'complete', 'analysed']), run: z.number(), attempts: z.number(), next_attempt_at: z.date(), created_at: z.date(),
  last_outcome: z.string().nullable(), obsolete,
});
export type NoticeHead = z.infer<typeof Head>;

/**
 * Of the notice n and its scan s. What a system was told of a scan: a notice later in line, or a result made since (the same moment counts as since: a result is
 * announced before it). A result counts as told as soon as it may have been heard.
 */
const OBSOLETE = sql.fragment`CASE
  WHEN s.order_status = 'cancelled' THEN 'cancelled'
  WHEN EXISTS (SELECT FROM order_notices l WHERE l.organization_id = n.organization_id AND l.scan_id = n.scan_id AND l.integration_id = n.integration_id AND l.position > n.position AND l.status = 'delivered')
    OR EXISTS (SELECT FROM reports r JOIN deliveries d ON d.organization_id = r.organization_id AND d.report_id = r.report_id
      WHERE r.organization_id = n.organization_id AND r.scan_id = n.scan_id AND d.integration_id = n.integration_id AND d.created_at >= n.created_at AND d.attempts > 0
        AND (d.status IN ('sending', 'delivered') OR EXISTS (SELECT FROM sync_logs x WHERE x.organization_id = d.organization_id AND x.control_id = d.delivery_id::text AND x.message_status = 'unconfirmed'))) THEN 'overtaken'
  WHEN n.event = 'analysed' AND (SELECT r.status FROM reports r WHERE r.organization_id = n.organization_id AND r.scan_id = n.scan_id AND r.author_kind = 'device' ORDER BY r.version DESC LIMIT 1) IN ('entered-in-error', 'cancelled') THEN 'withdrawn'
END`;

/** The first open notice of a destination, due or not, and when the first open result was put in line. No notice while delivering is paused. */
export async function headOfLine(tx: CommonQueryMethods, integrationId: string): Promise<{ readonly notice: NoticeHead | undefined; readonly resultSince: Date | undefined }> {
  // The result first: the notices that go before it were committed with it or earlier, and are seen by what is asked next.
  const since = await tx.maybeOneFirst(sql.type(z.object({ created_at: z.date() }))`
    SELECT created_at FROM deliveries WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND status IN ('queued', 'sending') ORDER BY position LIMIT 1`);
  const notice = await tx.maybeOne(sql.type(Head)`
    SELECT n.notice_id, n.scan_id, n.event, n.run, n.attempts, n.next_attempt_at, n.created_at, n.last_outcome, ${OBSOLETE} AS obsolete
    FROM (SELECT * FROM order_notices WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND status = 'queued' ORDER BY position LIMIT 1) n
      JOIN scans s ON s.organization_id = n.organization_id AND s.scan_id = n.scan_id
    WHERE (SELECT i.deliver_paused_at IS NULL FROM external_integrations i WHERE i.organization_id = ${ORGANIZATION} AND i.integration_id = ${integrationId})`);
  return { notice: notice ?? undefined, resultSince: since ?? undefined };
}

/** False: another worker has it. */
export async function beginNotice(tx: CommonQueryMethods, noticeId: string, attempt: number): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE order_notices SET attempts = ${attempt} WHERE organization_id = ${ORGANIZATION} AND notice_id = ${noticeId} AND attempts = ${attempt - 1} AND status = 'queued'`);
  return rowCount === 1;
}

export interface NoticeChange { readonly status: 'queued' | 'delivered' | 'refused' | 'skipped'; readonly outcome: string; readonly text: string | null; readonly nextAttemptAt?: Date }

/** False: somebody decided about it in between. */
export async function finishNotice(tx: CommonQueryMethods, noticeId: string, change: NoticeChange): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE order_notices SET status = ${change.status}, last_outcome = ${change.outcome}, last_text = ${change.text}, next_attempt_at = coalesce(${change.nextAttemptAt?.toISOString() ?? null}::timestamptz, next_attempt_at),
      delivered_at = CASE WHEN ${change.status} = 'delivered' THEN now() ELSE delivered_at END
    WHERE organization_id = ${ORGANIZATION} AND notice_id = ${noticeId} AND status = 'queued'`);
  return rowCount === 1;
}

/** Destinations whose first open notice is due. */
export async function dueNotices(tx: CommonQueryMethods): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ integration_id: z.string() }))`
    SELECT integration_id FROM (SELECT DISTINCT ON (integration_id) integration_id, next_attempt_at FROM order_notices WHERE organization_id = ${ORGANIZATION} AND status = 'queued' ORDER BY integration_id, position) h
    WHERE h.next_attempt_at <= now() AND EXISTS (SELECT 1 FROM external_integrations i WHERE i.organization_id = ${ORGANIZATION} AND i.integration_id = h.integration_id AND i.is_enabled AND i.deliver_paused_at IS NULL)`);
  return rows.map((row) => row.integration_id);
}

const Held = z.object({
  notice_id: z.string(), integration_id: z.string(), integration_name: z.string(), scan_id: z.string(), patient_id: z.string(), event: z.string(), status: z.enum(['queued', 'delivered', 'refused', 'skipped']), obsolete,
});
export type HeldNotice = z.infer<typeof Held>;

/** The row, locked until the transaction ends. */
export async function holdNotice(tx: CommonQueryMethods, noticeId: string): Promise<HeldNotice | undefined> {
  return await tx.maybeOne(sql.type(Held)`
    SELECT n.notice_id, n.integration_id, i.name AS integration_name, n.scan_id, s.patient_id, n.event, n.status, ${OBSOLETE} AS obsolete
    FROM order_notices n JOIN scans s ON s.organization_id = n.organization_id AND s.scan_id = n.scan_id JOIN external_integrations i ON i.organization_id = n.organization_id AND i.integration_id = n.integration_id
    WHERE n.organization_id = ${ORGANIZATION} AND n.notice_id = ${noticeId} FOR UPDATE OF n`) ?? undefined;
}

/** What waits for its next try is due now. */
export async function hurryNotices(tx: CommonQueryMethods, integrationId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE order_notices SET next_attempt_at = now() WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND status = 'queued' AND next_attempt_at > now()`);
}

/** Due now, at its old place in the line. */
export async function requeueNotice(tx: CommonQueryMethods, noticeId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE order_notices SET status = 'queued', next_attempt_at = now() WHERE organization_id = ${ORGANIZATION} AND notice_id = ${noticeId}`);
}

export async function discardNotice(tx: CommonQueryMethods, noticeId: string, reason: string): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE order_notices SET status = 'skipped', last_outcome = 'discarded', last_text = ${reason} WHERE organization_id = ${ORGANIZATION} AND notice_id = ${noticeId}`);
}

/** Refused notices in the order in which they were made, of one destination or of all. */
export async function parkedNotices(tx: CommonQueryMethods, integrationId: string | undefined, limit: number): Promise<readonly string[]> {
  const ofDestination = integrationId === undefined ? sql.fragment`true` : sql.fragment`integration_id = ${integrationId}`;
  const rows = await tx.any(sql.type(z.object({ notice_id: z.string() }))`
    SELECT notice_id FROM order_notices WHERE organization_id = ${ORGANIZATION} AND status = 'refused' AND ${ofDestination} ORDER BY position LIMIT ${limit}`);
  return rows.map((row) => row.notice_id);
}
