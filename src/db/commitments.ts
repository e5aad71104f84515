/** storage_commitments, and the files they ask about. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Item = z.object({ sop_class_uid: z.string(), sop_instance_uid: z.string(), failure_reason: z.enum(['processing failure', 'no such object instance', 'class/instance conflict']).optional() });
export type CommitmentItemRow = z.infer<typeof Item>;
const Row = z.object({
  commitment_id: z.string(), integration_id: z.string(), transaction_uid: z.string(), items: z.array(Item), status: z.enum(['received', 'checked', 'delivered', 'given_up']), attempts: z.number(), created_at: z.date(),
});
export type CommitmentRow = z.infer<typeof Row>;

/** A transaction UID that was used before asks again: its files are looked at again and it is told again. */
export async function saveCommitment(tx: CommonQueryMethods, row: { integrationId: string; transactionUid: string; requestor: string; items: readonly CommitmentItemRow[]; syncId: string }): Promise<string> {
  const { id } = await tx.one(sql.type(z.object({ id: z.string() }))`
    INSERT INTO storage_commitments (organization_id, integration_id, transaction_uid, requestor, items, source_sync_id)
    VALUES (${ORGANIZATION}, ${row.integrationId}, ${row.transactionUid}, ${row.requestor}, ${jsonText(row.items)}::jsonb, ${row.syncId})
    ON CONFLICT (organization_id, integration_id, transaction_uid) DO UPDATE SET items = excluded.items, requestor = excluded.requestor, source_sync_id = excluded.source_sync_id,
      status = 'received', attempts = 0, last_text = NULL, delivered_at = NULL
    RETURNING commitment_id AS id`);
  return id;
}

export async function findCommitment(tx: CommonQueryMethods, commitmentId: string): Promise<CommitmentRow | undefined> {
  return await tx.maybeOne(sql.type(Row)`
    SELECT commitment_id, integration_id, transaction_uid, items, status, attempts, created_at FROM storage_commitments WHERE organization_id = ${ORGANIZATION} AND commitment_id = ${commitmentId}`) ?? undefined;
}

export async function saveChecked(tx: CommonQueryMethods, commitmentId: string, items: readonly CommitmentItemRow[]): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE storage_commitments SET items = ${jsonText(items)}::jsonb, status = 'checked' WHERE organization_id = ${ORGANIZATION} AND commitment_id = ${commitmentId} AND status IN ('received', 'checked')`);
}

export async function saveTold(tx: CommonQueryMethods, commitmentId: string, change: { status: 'checked' | 'delivered' | 'given_up'; text: string | null }): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE storage_commitments SET status = ${change.status}, attempts = attempts + 1, last_text = ${change.text}, delivered_at = CASE WHEN ${change.status} = 'delivered' THEN now() ELSE delivered_at END
    WHERE organization_id = ${ORGANIZATION} AND commitment_id = ${commitmentId} AND status <> 'delivered'`);
}

const StoredFile = z.object({ scan_file_id: z.string(), scan_id: z.string(), sop_instance_uid: z.string(), sop_class_uid: z.string(), sha256: z.string(), storage_location: z.string(), dataset_offset: z.number() });
export type CommittedFile = z.infer<typeof StoredFile>;

/** The versions of these instances that others are conflicts of: in use, or kept out of it by a person or until one decides. */
export async function filesInUseOf(tx: CommonQueryMethods, sopInstanceUids: readonly string[]): Promise<readonly CommittedFile[]> {
  return tx.any(sql.type(StoredFile)`
    SELECT scan_file_id, scan_id, sop_instance_uid, sop_class_uid, sha256, storage_location, dataset_offset FROM scan_files
    WHERE organization_id = ${ORGANIZATION} AND sop_instance_uid = ANY(${sql.array([...sopInstanceUids], 'text')}) AND conflict_of IS NULL AND status <> 'deleted'`);
}
