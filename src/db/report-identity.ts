/** Reports whose document names another patient than their scan has now: a merge came, or was undone. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});

/** Of each report that was made of these scans here, and is not withdrawn: its newest version, when that names this patient. */
export async function reportsNaming(tx: CommonQueryMethods, scanIds: readonly string[], patientId: string): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ report_id: z.string() }))`
    SELECT report_id FROM (SELECT DISTINCT ON (lineage_id) report_id, status, document FROM reports
      WHERE organization_id = ${ORGANIZATION} AND scan_id = ANY(${sql.array([...scanIds], 'uuid')}) AND author_kind = 'device' ORDER BY lineage_id, version DESC) n
    WHERE n.status NOT IN ('entered-in-error', 'cancelled') AND n.document->'patient'->>'patientId' = ${patientId} ORDER BY report_id`);
  return rows.map((row) => row.report_id);
}

/**
 * Of the reports that were made of this patient's scans here: the newest version, when some system does not have it yet (it waits, is under way, or was
 * refused there) and it names another patient, or a number that is out of use. Not one that was told anew as another report: its withdrawal must reach
 * the record that it is to be withdrawn from.
 */
export async function openReportsUnderOldNumbers(tx: CommonQueryMethods, patientId: string): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ report_id: z.string() }))`
    SELECT n.report_id FROM (SELECT DISTINCT ON (r.lineage_id) r.report_id, r.scan_id, r.lineage_id, r.version, r.document->'patient' AS patient FROM scans s JOIN reports r ON r.organization_id = s.organization_id AND r.scan_id = s.scan_id
      WHERE s.organization_id = ${ORGANIZATION} AND s.patient_id = ${patientId} AND r.author_kind = 'device' ORDER BY r.lineage_id, r.version DESC) n
    WHERE EXISTS (SELECT FROM deliveries d WHERE d.organization_id = ${ORGANIZATION} AND d.report_id = n.report_id AND d.status IN ('queued', 'sending', 'refused'))
      AND NOT EXISTS (SELECT FROM reports a WHERE a.organization_id = ${ORGANIZATION} AND a.scan_id = n.scan_id AND a.author_kind = 'device' AND a.lineage_id <> n.lineage_id AND a.version > n.version)
      AND (n.patient->>'patientId' <> ${patientId} OR EXISTS (SELECT FROM jsonb_array_elements(n.patient->'identifiers') i JOIN patient_identifiers p ON p.value_index = i->>'value' AND p.assigning_authority = i->>'assigningAuthority'
        WHERE p.organization_id = ${ORGANIZATION} AND p.patient_id = ${patientId} AND NOT p.is_current))
    ORDER BY n.report_id`);
  return rows.map((row) => row.report_id);
}

/** Findings that are told anew under another patient are other findings to who is told. */
export async function renameFindings(tx: CommonQueryMethods, names: readonly { readonly finding_id: string; readonly tracking_uid: string }[]): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE findings f SET tracking_uid = r.tracking_uid FROM jsonb_to_recordset(${jsonText(names)}::jsonb) AS r(finding_id uuid, tracking_uid text)
    WHERE f.organization_id = ${ORGANIZATION} AND f.finding_id = r.finding_id`);
}

/** Outbox rows of `reportId` for every system that some version of the report was meant for. */
export async function deliverToSame(tx: CommonQueryMethods, lineageId: string, reportId: string): Promise<number> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    INSERT INTO deliveries (organization_id, integration_id, report_id)
    SELECT DISTINCT ${ORGANIZATION}::uuid, d.integration_id, ${reportId}::uuid FROM deliveries d JOIN reports r ON r.organization_id = d.organization_id AND r.report_id = d.report_id
    WHERE d.organization_id = ${ORGANIZATION} AND r.lineage_id = ${lineageId}
    ON CONFLICT (organization_id, integration_id, report_id) DO NOTHING`);
  return rowCount;
}

/** Outbox rows of `reportId` for the systems that do not have `replaced` yet; what of that has not begun to leave, or was refused, does not leave any more. */
export async function deliverInstead(tx: CommonQueryMethods, replaced: string, reportId: string): Promise<number> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    WITH open AS (SELECT delivery_id, integration_id, status, attempts FROM deliveries WHERE organization_id = ${ORGANIZATION} AND report_id = ${replaced} AND status IN ('queued', 'sending', 'refused') FOR UPDATE),
    kept AS (UPDATE deliveries d SET status = 'skipped', last_outcome = 'replaced', last_text = 'Its patient was merged before it was sent; the next version names the patient who remains.'
      FROM open o WHERE d.organization_id = ${ORGANIZATION} AND d.delivery_id = o.delivery_id AND (o.status = 'refused' OR (o.status = 'queued' AND o.attempts = 0))),
    decided AS (UPDATE system_alerts a SET resolved_at = now() FROM open o
      WHERE a.organization_id = ${ORGANIZATION} AND a.kind = 'delivery_refused' AND a.subject = 'delivery ' || o.delivery_id AND a.resolved_at IS NULL AND o.status = 'refused')
    INSERT INTO deliveries (organization_id, integration_id, report_id) SELECT ${ORGANIZATION}::uuid, integration_id, ${reportId}::uuid FROM open
    ON CONFLICT (organization_id, integration_id, report_id) DO NOTHING`);
  return rowCount;
}

/** Who does not get this version is not told that it follows (order_notices, written by the database with the report). */
export async function announceToReceiversAlone(tx: CommonQueryMethods, reportId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE order_notices n SET status = 'skipped', last_outcome = 'overtaken', last_text = 'The report is as it was for this system.' FROM reports r
    WHERE r.organization_id = ${ORGANIZATION} AND r.report_id = ${reportId} AND n.organization_id = ${ORGANIZATION} AND n.scan_id = r.scan_id AND n.event = 'analysed' AND n.run = r.version AND n.status = 'queued'
      AND NOT EXISTS (SELECT FROM deliveries d WHERE d.organization_id = ${ORGANIZATION} AND d.report_id = r.report_id AND d.integration_id = n.integration_id)`);
}
