/** order_notices: what those who placed an order are told of it. Rows are written by the database (migrations/0021). */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Head = z.object({
  notice_id: z.string(), scan_id: z.string(), event: z.enum(['received', 'complete', 'analysed']), run: z.number(), attempts: z.number(), next_attempt_at: z.date(), created_at: z.date(),
});
export type NoticeHead = z.infer<typeof Head>;

/** The first open notice of a destination, due or not. None while delivering is paused. */
export async function noticeHead(tx: CommonQueryMethods, integrationId: string): Promise<NoticeHead | undefined> {
  return await tx.maybeOne(sql.type(Head)`
    SELECT n.notice_id, n.scan_id, n.event, n.run, n.attempts, n.next_attempt_at, n.created_at FROM order_notices n
    WHERE n.organization_id = ${ORGANIZATION} AND n.integration_id = ${integrationId} AND n.status = 'queued'
      AND (SELECT i.deliver_paused_at IS NULL FROM external_integrations i WHERE i.organization_id = ${ORGANIZATION} AND i.integration_id = ${integrationId})
    ORDER BY n.position LIMIT 1`) ?? undefined;
}

/** False: another worker has it. */
export async function beginNotice(tx: CommonQueryMethods, noticeId: string, attempt: number): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE order_notices SET attempts = ${attempt} WHERE organization_id = ${ORGANIZATION} AND notice_id = ${noticeId} AND attempts = ${attempt - 1} AND status = 'queued'`);
  return rowCount === 1;
}

export async function finishNotice(tx: CommonQueryMethods, noticeId: string, change: { status: 'queued' | 'delivered' | 'refused'; text: string | null; nextAttemptAt: Date }): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE order_notices SET status = ${change.status}, last_text = ${change.text}, next_attempt_at = ${change.nextAttemptAt.toISOString()}::timestamptz,
      delivered_at = CASE WHEN ${change.status} = 'delivered' THEN now() ELSE delivered_at END
    WHERE organization_id = ${ORGANIZATION} AND notice_id = ${noticeId}`);
}

/** Destinations whose first open notice is due. */
export async function dueNotices(tx: CommonQueryMethods): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ integration_id: z.string() }))`
    SELECT integration_id FROM (SELECT DISTINCT ON (integration_id) integration_id, next_attempt_at FROM order_notices WHERE organization_id = ${ORGANIZATION} AND status = 'queued' ORDER BY integration_id, position) h
    WHERE h.next_attempt_at <= now() AND EXISTS (SELECT 1 FROM external_integrations i WHERE i.organization_id = ${ORGANIZATION} AND i.integration_id = h.integration_id AND i.is_enabled AND i.deliver_paused_at IS NULL)`);
  return rows.map((row) => row.integration_id);
}
