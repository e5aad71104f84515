/** Images that are kept out of use, the versions they stand against, and what was decided about them. */
import { z } from '@hono/zod-openapi';
import { text, timestamp } from '../api/fields.ts';
import { ORGANIZATION } from '../db/current-organization.ts';
import { sql, type Transaction } from '../db/pool.ts';

export const Version = z.object({
  scan_file_id: z.string(), scan_id: z.string(), scan_number: z.string(), patient_id: z.string(), sop_instance_uid: z.string(), sop_class_uid: z.string(), transfer_syntax_uid: z.string(), series_instance_uid: z.string(), series_number: z.int().nullable(), series_description: text,
  instance_number: z.int().nullable(), rows: z.int().nullable(), columns: z.int().nullable(), number_of_frames: z.int().nullable(), byte_size: z.int(), dataset_offset: z.int(), sha256: z.string(), storage_location: z.string(), received_at: timestamp,
  status: z.enum(['stored', 'quarantined', 'archived', 'deleted']), conflict_of: text, integration_name: text, source_sync_id: text, sender: text, address: text,
});
export type VersionRow = z.output<typeof Version>;

const columns = sql.fragment`f.scan_file_id, f.scan_id, s.scan_number, s.patient_id, f.sop_instance_uid, f.sop_class_uid, f.transfer_syntax_uid, f.series_instance_uid, f.series_number, f.series_description, f.instance_number, f.rows, f.columns, f.number_of_frames,
  f.byte_size, f.dataset_offset, f.sha256, f.storage_location, f.received_at, f.status, f.conflict_of::text AS conflict_of, i.name AS integration_name, f.source_sync_id::text AS source_sync_id, l.peer_application AS sender, l.peer_address AS address`;
const source = sql.fragment`scan_files f JOIN scans s ON s.organization_id = f.organization_id AND s.scan_id = f.scan_id
  LEFT JOIN external_integrations i ON i.organization_id = f.organization_id AND i.integration_id = f.source_integration_id
  LEFT JOIN sync_logs l ON l.organization_id = f.organization_id AND l.sync_id = f.source_sync_id`;

/** Of this scan, those that are not in use: what waits first. */
export function listKeptOut(tx: Transaction, scanId: string, limit: number): Promise<readonly VersionRow[]> {
  return tx.any(sql.type(Version)`
    SELECT ${columns} FROM ${source} WHERE f.organization_id = ${ORGANIZATION} AND f.scan_id = ${scanId} AND f.status <> 'stored'
    ORDER BY f.status <> 'quarantined', f.scan_file_id LIMIT ${limit}`);
}

export function readVersion(tx: Transaction, scanFileId: string): Promise<VersionRow | null> {
  return tx.maybeOne(sql.type(Version)`SELECT ${columns} FROM ${source} WHERE f.organization_id = ${ORGANIZATION} AND f.scan_file_id = ${scanFileId}`);
}

/** Other versions under the same SOP Instance UID, the one in use first; they may belong to other scans. */
export function otherVersions(tx: Transaction, { sop_instance_uid: uid, scan_file_id: own }: Pick<VersionRow, 'sop_instance_uid' | 'scan_file_id'>): Promise<readonly VersionRow[]> {
  return tx.any(sql.type(Version)`
    SELECT ${columns} FROM ${source} WHERE f.organization_id = ${ORGANIZATION} AND f.sop_instance_uid = ${uid} AND f.scan_file_id <> ${own} ORDER BY f.conflict_of IS NOT NULL, f.scan_file_id LIMIT 3`);
}

const Image = z.object({ scan_file_id: z.string(), instance_number: z.int().nullable(), sop_instance_uid: z.string(), sop_class_uid: z.string(), byte_size: z.int(), received_at: timestamp, rows: z.int().nullable() });
export type ImageRow = z.output<typeof Image>;
export const imagesOnPage = 200;

/** Images in use of a series, by their numbers; one more than a page shows. */
export function listImages(tx: Transaction, scanId: string, seriesInstanceUid: string, from: number): Promise<readonly ImageRow[]> {
  return tx.any(sql.type(Image)`
    SELECT scan_file_id, instance_number, sop_instance_uid, sop_class_uid, byte_size, received_at, rows FROM scan_files
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND series_instance_uid = ${seriesInstanceUid} AND status = 'stored' AND conflict_of IS NULL ORDER BY instance_number NULLS LAST, scan_file_id OFFSET ${from} LIMIT ${imagesOnPage + 1}`);
}

/** An image of the study that is in use, to hold a foreign one against: of the same series and place where there is one. */
export function neighbourOf(tx: Transaction, { scan_id: scanId, scan_file_id: own, series_instance_uid: series, instance_number: number }: VersionRow): Promise<VersionRow | null> {
  return tx.maybeOne(sql.type(Version)`
    SELECT ${columns} FROM ${source} WHERE f.organization_id = ${ORGANIZATION} AND f.scan_id = ${scanId} AND f.scan_file_id <> ${own} AND f.status = 'stored' AND f.conflict_of IS NULL
    ORDER BY f.series_instance_uid <> ${series}, f.rows IS NULL, abs(coalesce(f.instance_number, 0) - ${number ?? 0}), f.scan_file_id LIMIT 1`);
}

const Decision = z.object({ occurred_at: timestamp, actor: z.string(), decision: z.string(), reason: text, scan_file_id: z.string(), was: text, sop_instance_uid: text, series_number: z.int().nullable(), instance_number: z.int().nullable() });
export type DecisionRow = z.output<typeof Decision>;

/**
 * What people decided about images of a scan, the newest first: from the audit log, where it stands with the reason. Looked for under the patient and under all that it was ever merged with, whichever of
 * them had the scan then: the log of everything else is too long to look through for a page.
 */
export function listDecisions(tx: Transaction, { scan_id: scanId, patient_id: patientId, created_at: createdAt }: { readonly scan_id: string; readonly patient_id: string; readonly created_at: string }, limit: number): Promise<readonly DecisionRow[]> {
  return tx.any(sql.type(Decision)`
    WITH RECURSIVE merged(patient_id) AS (
      SELECT ${patientId}::uuid
      UNION SELECT CASE WHEN j.survivor_patient_id = m.patient_id THEN j.prior_patient_id ELSE j.survivor_patient_id END
        FROM merged m JOIN patient_merges j ON j.organization_id = ${ORGANIZATION} AND (j.survivor_patient_id = m.patient_id OR j.prior_patient_id = m.patient_id)
    ), decided AS MATERIALIZED (
      SELECT occurred_at, actor_id, detail, object_id FROM audit_logs
      WHERE organization_id = ${ORGANIZATION} AND patient_id = ANY(ARRAY(SELECT patient_id FROM merged)) AND occurred_at >= ${createdAt}::timestamptz
        AND object_type = 'scan_file' AND action = 'U' AND detail->>'decision' IS NOT NULL AND detail->>'scan_id' = ${scanId}
      ORDER BY occurred_at DESC LIMIT ${limit})
    SELECT a.occurred_at, coalesce(u.display_name, a.actor_id) AS actor, a.detail->>'decision' AS decision, a.detail->>'reason' AS reason, a.object_id AS scan_file_id, a.detail->>'was' AS was, f.sop_instance_uid, f.series_number, f.instance_number
    FROM decided a LEFT JOIN users u ON u.organization_id = ${ORGANIZATION} AND u.user_id::text = a.actor_id LEFT JOIN scan_files f ON f.organization_id = ${ORGANIZATION} AND f.scan_file_id = a.object_id::uuid
    ORDER BY a.occurred_at DESC`);
}
