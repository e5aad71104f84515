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

/** With its scan locked for this transaction, and any other that has a version of the same instance: nothing arrives for them meanwhile. */
export async function holdFile(tx: CommonQueryMethods, scanFileId: string): Promise<HeldFile | undefined> {
  await tx.query(sql.type(Nothing)`
    SELECT FROM scans WHERE organization_id = ${ORGANIZATION} AND scan_id IN (
      SELECT v.scan_id FROM scan_files f JOIN scan_files v ON v.organization_id = f.organization_id AND v.sop_instance_uid = f.sop_instance_uid
      WHERE f.organization_id = ${ORGANIZATION} AND f.scan_file_id = ${scanFileId}) ORDER BY scan_id FOR UPDATE`);
  return await tx.maybeOne(sql.type(Held)`
    SELECT f.scan_file_id, f.scan_id, s.patient_id, f.sop_instance_uid, f.status, f.conflict_of, s.priority, s.study_instance_uid
    FROM scan_files f JOIN scans s ON s.organization_id = f.organization_id AND s.scan_id = f.scan_id WHERE f.organization_id = ${ORGANIZATION} AND f.scan_file_id = ${scanFileId} FOR UPDATE OF f`) ?? undefined;
}

/** Another version of the same instance is kept, which could take its place. */
export async function hasOtherVersions(tx: CommonQueryMethods, file: HeldFile): Promise<boolean> {
  return tx.exists(sql.type(Nothing)`
    SELECT FROM scan_files WHERE organization_id = ${ORGANIZATION} AND sop_instance_uid = ${file.sop_instance_uid} AND scan_file_id <> ${file.scan_file_id} AND status <> 'deleted'`);
}

const Replaced = z.object({ scan_file_id: z.string(), scan_id: z.string(), patient_id: z.string(), priority: Held.shape.priority });
export type ReplacedFile = z.infer<typeof Replaced>;

/** The version becomes the one in use; the one that was, and is set aside now, is returned. It may be of another study. */
export async function putInUse(tx: CommonQueryMethods, file: HeldFile): Promise<ReplacedFile | undefined> {
  // The other goes first: one version of a UID is in use at any moment.
  const [replaced] = file.conflict_of === null ? [] : await tx.any(sql.type(Replaced)`
    UPDATE scan_files f SET conflict_of = ${file.scan_file_id}, status = 'archived' FROM scans s
    WHERE f.organization_id = ${ORGANIZATION} AND f.sop_instance_uid = ${file.sop_instance_uid} AND f.conflict_of IS NULL AND s.organization_id = f.organization_id AND s.scan_id = f.scan_id
    RETURNING f.scan_file_id, f.scan_id, s.patient_id, s.priority`);
  await tx.query(sql.type(Nothing)`UPDATE scan_files SET conflict_of = NULL, status = 'stored' WHERE organization_id = ${ORGANIZATION} AND scan_file_id = ${file.scan_file_id}`);
  await tx.query(sql.type(Nothing)`
    UPDATE scan_files SET conflict_of = ${file.scan_file_id} WHERE organization_id = ${ORGANIZATION} AND sop_instance_uid = ${file.sop_instance_uid} AND conflict_of IS NOT NULL AND conflict_of <> ${file.scan_file_id}`);
  if (replaced) await countAgain(tx, [file.scan_id, replaced.scan_id]);
  return replaced;
}

async function countAgain(tx: CommonQueryMethods, scanIds: readonly string[]): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE scans s SET (instance_count, series_count) = (
      SELECT count(*), count(DISTINCT f.series_instance_uid) FROM scan_files f WHERE f.organization_id = s.organization_id AND f.scan_id = s.scan_id AND f.conflict_of IS NULL)
    WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ANY(${sql.array([...scanIds], 'uuid')})`);
}

export async function setAside(tx: CommonQueryMethods, scanFileId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE scan_files SET status = 'archived' WHERE organization_id = ${ORGANIZATION} AND scan_file_id = ${scanFileId}`);
}
