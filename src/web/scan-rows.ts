/** What the pages about scans show: which scans a number or name means, how far each is, and what one is made of. */
import { z } from '@hono/zod-openapi';
import { searchPatients, PatientSearch } from '../api/queries/patients.ts';
import type { Scan } from '../api/queries/scans.ts';
import { optionalTimestamp, text, timestamp } from '../api/fields.ts';
import { ORGANIZATION } from '../db/current-organization.ts';
import { sql, type Transaction } from '../db/pool.ts';

export type ScanRow = z.output<typeof Scan>;

const Ids = z.object({ id: z.string() });
/** More scans than this have no common number that a person would look one up by. */
const mostFound = 200;

/**
 * Scans that have exactly this accession, order or scan number or Study Instance UID, or whose patient has exactly this number; when there are none and `byName`, those of
 * patients whose names begin so.
 */
export async function findScans(tx: Transaction, wanted: string, { byPatient, byName }: { readonly byPatient: boolean; readonly byName: boolean }): Promise<readonly string[]> {
  const own = await tx.anyFirst(sql.type(Ids)`
    SELECT scan_id AS id FROM scans WHERE organization_id = ${ORGANIZATION} AND (accession_number = ${wanted} OR study_instance_uid = ${wanted} OR scan_number = ${wanted.toUpperCase()} OR placer_order_number = ${wanted} OR filler_order_number = ${wanted}) LIMIT ${mostFound}`);
  if (own.length > 0 || !byPatient) return own;
  const numbered = await tx.anyFirst(sql.type(Ids)`SELECT patient_id AS id FROM patient_identifiers WHERE organization_id = ${ORGANIZATION} AND value_index = ${wanted} LIMIT ${mostFound}`);
  const patients = numbered.length > 0 || !byName ? numbered : (await searchPatients(tx, PatientSearch.parse({ name: wanted.slice(0, 200), limit: mostFound }))).map((patient) => patient.patient_id);
  if (patients.length === 0) return [];
  return tx.anyFirst(sql.type(Ids)`SELECT scan_id AS id FROM scans WHERE organization_id = ${ORGANIZATION} AND patient_id = ANY(${sql.array([...patients], 'uuid')}) ORDER BY scan_id DESC LIMIT ${mostFound}`);
}

/** The scan that has our number, whatever numbers others gave to theirs. */
export function scanOfNumber(tx: Transaction, scanNumber: string): Promise<string | null> {
  return tx.maybeOneFirst(sql.type(Ids)`SELECT scan_id AS id FROM scans WHERE organization_id = ${ORGANIZATION} AND scan_number = ${scanNumber}`);
}

const Whereabouts = z.object({
  scan_id: z.string(), family_name: text, given_name: text, queue_status: text, why_waiting: text, sla_due_at: optionalTimestamp, analyses_open: z.int(), analyses_failed: z.int(),
  report_id: text, report_version: z.int().nullable(), report_status: text, delivered: z.int(), undelivered: z.int(), refused: z.int(), images_waiting: z.int(),
});
export type Whereabouts = z.output<typeof Whereabouts>;

/** How far these scans are: queue, analyses of the last completion, newest report, its deliveries, images that wait for a decision. */
export async function readWhereabouts(tx: Transaction, scanIds: readonly string[]): Promise<ReadonlyMap<string, Whereabouts>> {
  if (scanIds.length === 0) return new Map();
  const rows = await tx.any(sql.type(Whereabouts)`
    SELECT s.scan_id, p.family_name, p.given_name, q.status AS queue_status, q.why_waiting, q.sla_due_at, a.open AS analyses_open, a.failed AS analyses_failed, r.report_id, r.version AS report_version, r.status AS report_status,
      d.delivered, d.undelivered, d.refused, CASE WHEN s.instance_count = 0 THEN 0 ELSE (SELECT count(*) FROM scan_files f WHERE f.organization_id = s.organization_id AND f.scan_id = s.scan_id AND f.status <> 'stored' AND f.status = 'quarantined') END AS images_waiting
    FROM scans s JOIN patients p ON p.organization_id = s.organization_id AND p.patient_id = s.patient_id
      LEFT JOIN scan_queue q ON q.organization_id = s.organization_id AND q.scan_id = s.scan_id
      LEFT JOIN LATERAL (SELECT report_id, version, status FROM reports WHERE organization_id = s.organization_id AND scan_id = s.scan_id AND author_kind = 'device' ORDER BY version DESC, report_id DESC LIMIT 1) r ON true
      LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE status IN ('queued', 'processing')) AS open, count(*) FILTER (WHERE status IN ('failed', 'timeout') AND completion_run = s.completion_run) AS failed FROM ai_analyses WHERE organization_id = s.organization_id AND scan_id = s.scan_id) a ON true
      LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE status = 'delivered') AS delivered, count(*) FILTER (WHERE status IN ('queued', 'sending')) AS undelivered, count(*) FILTER (WHERE status = 'refused') AS refused
        FROM deliveries WHERE organization_id = s.organization_id AND report_id = r.report_id) d ON true
    WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ANY(${sql.array([...scanIds], 'uuid')})`);
  return new Map(rows.map((row) => [row.scan_id, row]));
}

export const Series = z.object({ series_instance_uid: z.string(), series_number: z.int().nullable(), modality: text, series_description: text, body_part: text, images: z.int(), byte_size: z.number(), first_at: timestamp, last_at: timestamp, systems: text, sop_class_uid: z.string(), picture_of: text });
export type SeriesRow = z.output<typeof Series>;
const mostSeries = 200;

/** Series of the images in use, with one image of the middle to show. */
export function listSeries(tx: Transaction, scanId: string): Promise<readonly SeriesRow[]> {
  return tx.any(sql.type(Series)`
    SELECT f.series_instance_uid, min(f.series_number) AS series_number, min(f.modality) AS modality, min(f.series_description) AS series_description, min(f.body_part) AS body_part, count(*) AS images,
      sum(f.byte_size)::float8 AS byte_size, min(f.received_at) AS first_at, max(f.received_at) AS last_at, string_agg(DISTINCT i.name, ', ') AS systems, min(f.sop_class_uid) AS sop_class_uid,
      (array_agg(f.scan_file_id ORDER BY f.instance_number, f.scan_file_id) FILTER (WHERE f.rows IS NOT NULL))[(count(*) FILTER (WHERE f.rows IS NOT NULL) + 1) / 2]::text AS picture_of
    FROM scan_files f LEFT JOIN external_integrations i ON i.organization_id = f.organization_id AND i.integration_id = f.source_integration_id
    WHERE f.organization_id = ${ORGANIZATION} AND f.scan_id = ${scanId} AND f.conflict_of IS NULL AND f.status = 'stored'
    GROUP BY f.series_instance_uid ORDER BY min(f.series_number) NULLS LAST, f.series_instance_uid LIMIT ${mostSeries}`);
}

const Patient = z.object({ patient_id: z.string(), patient_number: z.string(), family_name: text, given_name: text, middle_name: text, birth_date: text, sex: text, identity_status: z.string() });
export type PatientRow = z.output<typeof Patient>;
export function readScanPatient(tx: Transaction, patientId: string) {
  return tx.maybeOne(sql.type(Patient)`SELECT patient_id, patient_number, family_name, given_name, middle_name, birth_date, sex, identity_status FROM patients WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId}`);
}
