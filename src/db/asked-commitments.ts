/** asked_commitments: storage commitment that the gateway asks for, and what it says about the delivery. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Item = z.object({ sop_class_uid: z.string(), sop_instance_uid: z.string() });
const Row = z.object({
  request_id: z.string(), integration_id: z.string(), delivery_id: z.string(), transaction_uid: z.string(), items: z.array(Item), status: z.enum(['queued', 'asked', 'committed', 'failed']),
  attempts: z.number(), asked_at: z.date().nullable(), next_at: z.date(), created_at: z.date(), report_id: z.string(), scan_id: z.string(), patient_id: z.string(),
});
export type AskedCommitmentRow = z.infer<typeof Row>;
const SELECT = sql.fragment`
  SELECT c.request_id, c.integration_id, c.delivery_id, c.transaction_uid, c.items, c.status, c.attempts, c.asked_at, c.next_at, c.created_at, r.report_id, r.scan_id, s.patient_id
  FROM asked_commitments c JOIN deliveries d ON d.organization_id = c.organization_id AND d.delivery_id = c.delivery_id
    JOIN reports r ON r.organization_id = d.organization_id AND r.report_id = d.report_id JOIN scans s ON s.organization_id = r.organization_id AND s.scan_id = r.scan_id`;

/** The delivery is uncommitted from here on. */
export async function insertAskedCommitment(tx: CommonQueryMethods, row: { requestId: string; integrationId: string; deliveryId: string; transactionUid: string; items: readonly z.infer<typeof Item>[] }): Promise<void> {
  await tx.query(sql.type(Nothing)`
    INSERT INTO asked_commitments (organization_id, request_id, integration_id, delivery_id, transaction_uid, items)
    VALUES (${ORGANIZATION}, ${row.requestId}, ${row.integrationId}, ${row.deliveryId}, ${row.transactionUid}, ${jsonText(row.items)}::jsonb)`);
  await setCommitment(tx, row.deliveryId, 'awaited');
}

export async function setCommitment(tx: CommonQueryMethods, deliveryId: string, commitment: 'awaited' | 'committed' | 'refused'): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE deliveries SET commitment = ${commitment} WHERE organization_id = ${ORGANIZATION} AND delivery_id = ${deliveryId}`);
}

/** Takes a request that is due, for so long; undefined: it is not, or another worker has it. A moment early is due: clocks differ. */
export async function takeAskedCommitment(tx: CommonQueryMethods, requestId: string, now: Date, until: Date): Promise<AskedCommitmentRow | undefined> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE asked_commitments SET next_at = ${until.toISOString()}::timestamptz
    WHERE organization_id = ${ORGANIZATION} AND request_id = ${requestId} AND status IN ('queued', 'asked') AND next_at <= ${now.toISOString()}::timestamptz + interval '2 seconds'`);
  return rowCount === 1 ? await tx.one(sql.type(Row)`${SELECT} WHERE c.organization_id = ${ORGANIZATION} AND c.request_id = ${requestId}`) : undefined;
}

/** By the transaction it was last asked under, or one before: a late result counts too. Locks the row. */
export async function lockAskedCommitment(tx: CommonQueryMethods, transactionUid: string): Promise<AskedCommitmentRow | undefined> {
  return await tx.maybeOne(sql.type(Row)`${SELECT} WHERE c.organization_id = ${ORGANIZATION} AND (c.transaction_uid = ${transactionUid} OR ${transactionUid} = ANY(c.earlier_transaction_uids)) ORDER BY c.created_at DESC LIMIT 1 FOR UPDATE OF c`) ?? undefined;
}

export async function saveAskedCommitment(tx: CommonQueryMethods, requestId: string, change: { status: AskedCommitmentRow['status']; text: string | null; nextAt?: Date; askedAt?: Date; answeredAt?: Date; isAttempt?: boolean }): Promise<void> {
  const at = (date: Date | undefined): string | null => date?.toISOString() ?? null;
  await tx.query(sql.type(Nothing)`
    UPDATE asked_commitments SET status = ${change.status}, last_text = ${change.text}, next_at = coalesce(${at(change.nextAt)}::timestamptz, next_at), asked_at = coalesce(${at(change.askedAt)}::timestamptz, asked_at),
      answered_at = coalesce(${at(change.answeredAt)}::timestamptz, answered_at), attempts = attempts + ${change.isAttempt ? 1 : 0}
    WHERE organization_id = ${ORGANIZATION} AND request_id = ${requestId} AND status IN ('queued', 'asked')`);
}

/** Another transaction for the same question. */
export async function renewTransaction(tx: CommonQueryMethods, requestId: string, transactionUid: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE asked_commitments SET earlier_transaction_uids = array_append(earlier_transaction_uids, transaction_uid), transaction_uid = ${transactionUid}
    WHERE organization_id = ${ORGANIZATION} AND request_id = ${requestId}`);
}

/** How often this delivery was not committed to. */
export async function countFailedCommitments(tx: CommonQueryMethods, deliveryId: string): Promise<number> {
  return tx.oneFirst(sql.type(z.object({ n: z.number() }))`SELECT count(*)::int AS n FROM asked_commitments WHERE organization_id = ${ORGANIZATION} AND delivery_id = ${deliveryId} AND status = 'failed'`);
}

/** Sends a delivered report once more, under its own control id. Not one that has a next version: it would come after its correction, or its withdrawal. */
export async function deliverAgain(tx: CommonQueryMethods, deliveryId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE deliveries d SET status = 'queued', next_attempt_at = now() WHERE organization_id = ${ORGANIZATION} AND delivery_id = ${deliveryId} AND status = 'delivered'
      AND NOT EXISTS (SELECT FROM reports r JOIN reports n ON n.organization_id = r.organization_id AND n.lineage_id = r.lineage_id AND n.version > r.version
        WHERE r.organization_id = d.organization_id AND r.report_id = d.report_id)`);
}

export async function dueAskedCommitments(tx: CommonQueryMethods, before: Date): Promise<readonly string[]> {
  return tx.anyFirst(sql.type(z.object({ id: z.string() }))`
    SELECT request_id AS id FROM asked_commitments WHERE organization_id = ${ORGANIZATION} AND status IN ('queued', 'asked') AND next_at < ${before.toISOString()}::timestamptz ORDER BY next_at LIMIT 100`);
}
