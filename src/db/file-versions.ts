/** Versions of an instance that wait for a person's decision: another one under the same UID, or one that names another patient than its study. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Held = z.object({
  scan_file_id: z.string(), scan_id: z.string(), patient_id: z.string(), sop_instance_uid: z.string(), status: z.enum(['stored', 'quarantined', 'archived', 'deleted']), conflict_of: z.string().nullable(),
  priority: z.enum(['routine', 'urgent', 'emergency', 'stat']), study_instance_uid: z.string().nullable(),
});
export type HeldFile = z.infer<typeof Held>;

/** With its scan locked for this transaction: nothing arrives for it meanwhile. */
export async function holdFile(tx: CommonQueryMethods, scanFileId: string): Promise<HeldFile | undefined> {
  await tx.query(sql.type(Nothing)`
    SELECT FROM scans WHERE organization_id = ${ORGANIZATION} AND scan_id = (SELECT scan_id FROM scan_files WHERE organization_id = ${ORGANIZATION} AND scan_file_id = ${scanFileId}) FOR UPDATE`);
  return await tx.maybeOne(sql.type(Held)`
    SELECT f.scan_file_id, f.scan_id, s.patient_id, f.sop_instance_uid, f.status, f.conflict_of, s.priority, s.study_instance_uid
    FROM scan_files f JOIN scans s ON s.organization_id = f.organization_id AND s.scan_id = f.scan_id WHERE f.organization_id = ${ORGANIZATION} AND f.scan_file_id = ${scanFileId} FOR UPDATE OF f`) ?? undefined;
}

/** The version becomes the one in use; the one that was, and is set aside now, is returned. */
export async function putInUse(tx: CommonQueryMethods, file: HeldFile): Promise<string | undefined> {
  // The other goes first: one version of a UID is in use at any moment.
  const replaced = file.conflict_of === null ? [] : await tx.anyFirst(sql.type(z.object({ id: z.string() }))`
    UPDATE scan_files SET conflict_of = ${file.scan_file_id}, status = 'archived' WHERE organization_id = ${ORGANIZATION} AND sop_instance_uid = ${file.sop_instance_uid} AND conflict_of IS NULL RETURNING scan_file_id AS id`);
  await tx.query(sql.type(Nothing)`UPDATE scan_files SET conflict_of = NULL, status = 'stored' WHERE organization_id = ${ORGANIZATION} AND scan_file_id = ${file.scan_file_id}`);
  await tx.query(sql.type(Nothing)`
    UPDATE scan_files SET conflict_of = ${file.scan_file_id} WHERE organization_id = ${ORGANIZATION} AND sop_instance_uid = ${file.sop_instance_uid} AND conflict_of IS NOT NULL AND conflict_of <> ${file.scan_file_id}`);
  return replaced[0];
}

export async function setAside(tx: CommonQueryMethods, scanFileId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE scan_files SET status = 'archived' WHERE organization_id = ${ORGANIZATION} AND scan_file_id = ${scanFileId}`);
}
