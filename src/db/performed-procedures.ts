/** performed_procedures, and the scans they move. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Procedure = z.object({ performed_procedure_id: z.string(), scan_id: z.string().nullable(), study_instance_uid: z.string().nullable(), status: z.enum(['in_progress', 'completed', 'discontinued']) });
export type ProcedureRow = z.infer<typeof Procedure>;
const COLUMNS = sql.fragment`performed_procedure_id, scan_id, study_instance_uid, status`;

/** Undefined: an instance of this UID exists. */
export async function insertProcedure(tx: CommonQueryMethods, row: { integrationId: string; sopInstanceUid: string; scanId: string | undefined; studyInstanceUid: string | undefined; syncId: string }): Promise<string | undefined> {
  const inserted = await tx.maybeOne(sql.type(z.object({ id: z.string() }))`
    INSERT INTO performed_procedures (organization_id, integration_id, sop_instance_uid, scan_id, study_instance_uid, status, source_sync_id)
    VALUES (${ORGANIZATION}, ${row.integrationId}, ${row.sopInstanceUid}, ${row.scanId ?? null}, ${row.studyInstanceUid ?? null}, 'in_progress', ${row.syncId})
    ON CONFLICT (organization_id, sop_instance_uid) DO NOTHING RETURNING performed_procedure_id AS id`);
  return inserted?.id;
}

export async function lockProcedure(tx: CommonQueryMethods, sopInstanceUid: string, integrationId: string): Promise<ProcedureRow | undefined> {
  return await tx.maybeOne(sql.type(Procedure)`
    SELECT ${COLUMNS} FROM performed_procedures WHERE organization_id = ${ORGANIZATION} AND sop_instance_uid = ${sopInstanceUid} AND integration_id = ${integrationId} FOR UPDATE`) ?? undefined;
}

export async function updateProcedure(tx: CommonQueryMethods, procedureId: string, change: { status: ProcedureRow['status']; scanId: string | null; referencedInstances: readonly string[] }): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE performed_procedures SET status = ${change.status}, scan_id = ${change.scanId},
      referenced_instances = ARRAY(SELECT DISTINCT unnest(referenced_instances || ${sql.array([...change.referencedInstances], 'text')})),
      finished_at = CASE WHEN ${change.status} = 'in_progress' THEN NULL ELSE now() END
    WHERE organization_id = ${ORGANIZATION} AND performed_procedure_id = ${procedureId}`);
}

export interface ScheduledAs { readonly studyInstanceUid: string; readonly accessionNumber: string; readonly patientId: string; /** The scan that a UID of ours was made from. */ readonly scanId: string | undefined }

/** The one scan of that patient that a step was scheduled as; undefined for none, and for several. */
export async function findScheduledScan(tx: CommonQueryMethods, scheduled: ScheduledAs): Promise<string | undefined> {
  const rows = await tx.any(sql.type(z.object({ scan_id: z.string() }))`
    SELECT scan_id FROM scans WHERE organization_id = ${ORGANIZATION} AND (study_instance_uid = nullif(${scheduled.studyInstanceUid}, '') OR scan_id = ${scheduled.scanId ?? null}::uuid
      OR (accession_number = nullif(${scheduled.accessionNumber}, '') AND (study_instance_uid IS NULL OR ${scheduled.studyInstanceUid} = '')))
      AND (${scheduled.patientId} = '' OR EXISTS (SELECT 1 FROM patient_identifiers i WHERE i.organization_id = scans.organization_id AND i.patient_id = scans.patient_id AND i.value_index = ${scheduled.patientId}))
    ORDER BY study_instance_uid IS NOT DISTINCT FROM nullif(${scheduled.studyInstanceUid}, '') DESC, created_at LIMIT 2`);
  return rows.length === 1 ? rows[0]!.scan_id : undefined;
}

/** The examination has begun: the scan is in progress, and its images will name this study. */
export async function beginScan(tx: CommonQueryMethods, scanId: string, studyInstanceUid: string | undefined): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE scans s SET status = CASE WHEN s.status = 'scheduled' THEN 'in_progress' ELSE s.status END,
      study_instance_uid = coalesce(s.study_instance_uid, (SELECT ${studyInstanceUid ?? null}::text WHERE NOT EXISTS (SELECT 1 FROM scans o WHERE o.organization_id = s.organization_id AND o.study_instance_uid = ${studyInstanceUid ?? null})))
    WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId}`);
}

/** An examination that was stopped before it made an image can be done again: it is back on the worklist. True when it is. */
export async function scheduleAgain(tx: CommonQueryMethods, scanId: string): Promise<boolean> {
  const { rowCount } = await tx.query(sql.typeAlias('void')`
    UPDATE scans SET status = 'scheduled' WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND status = 'in_progress' AND instance_count = 0 AND order_status = 'ordered'
      AND NOT EXISTS (SELECT 1 FROM performed_procedures p WHERE p.organization_id = scans.organization_id AND p.scan_id = scans.scan_id AND p.status <> 'discontinued')`);
  return rowCount === 1;
}

const Proof = z.object({ open: z.number(), expected: z.number(), missing: z.number(), newest: z.date().nullable() });

/** What the modality said it made for a scan, and how much of it is not here yet. Writes the expected count. */
export async function procedureProof(tx: CommonQueryMethods, scanId: string): Promise<z.infer<typeof Proof>> {
  const proof = await tx.one(sql.type(Proof)`
    WITH steps AS (SELECT status, referenced_instances, finished_at FROM performed_procedures WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId}),
    expected AS (SELECT DISTINCT unnest(referenced_instances) AS uid FROM steps WHERE status <> 'in_progress')
    SELECT (SELECT count(*)::int FROM steps WHERE status = 'in_progress') AS open, (SELECT count(*)::int FROM expected) AS expected, (SELECT max(finished_at) FROM steps) AS newest,
      (SELECT count(*)::int FROM expected e WHERE NOT EXISTS (SELECT 1 FROM scan_files f WHERE f.organization_id = ${ORGANIZATION} AND f.scan_id = ${scanId} AND f.sop_instance_uid = e.uid)) AS missing`);
  await tx.query(sql.typeAlias('void')`
    UPDATE scans SET expected_instances = ${proof.expected} WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND ${proof.expected} > 0 AND expected_instances IS DISTINCT FROM ${proof.expected}`);
  return proof;
}
