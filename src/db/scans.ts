/** Rows of scans and scan_files: orders, studies, and the instances received for them. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { InstanceRow, OrderRow } from '#gateway/normalized.ts';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});

const ScanKey = z.object({
  scan_id: z.string(), patient_id: z.string(), study_instance_uid: z.string().nullable(), accession_number: z.string().nullable(),
  status: z.string(), priority: z.enum(['routine', 'urgent', 'emergency', 'stat']), order_status: z.string().nullable(), instance_count: z.number(),
});
export type ScanKey = z.infer<typeof ScanKey>;
const KEY = sql.fragment`scan_id, patient_id, study_instance_uid, accession_number, status, priority, order_status, instance_count`;
const OWN_KEY = sql.fragment`s.scan_id, s.patient_id, s.study_instance_uid, s.accession_number, s.status, s.priority, s.order_status, s.instance_count`;

export async function findScansByStudy(tx: CommonQueryMethods, studyInstanceUids: readonly string[]): Promise<readonly ScanKey[]> {
  return tx.any(sql.type(ScanKey)`SELECT ${KEY} FROM scans WHERE organization_id = ${ORGANIZATION} AND study_instance_uid = ANY(${sql.array([...studyInstanceUids], 'text')})`);
}

/** Orders and scans that share one of these business identifiers, the oldest first. */
export async function findScansByOrder(tx: CommonQueryMethods, order: Pick<OrderRow, 'study_instance_uid' | 'accession_number' | 'filler_order_number' | 'placer_order_number'>): Promise<readonly ScanKey[]> {
  return tx.any(sql.type(ScanKey)`
    SELECT ${KEY} FROM scans WHERE organization_id = ${ORGANIZATION} AND (
      study_instance_uid = ${order.study_instance_uid ?? null} OR accession_number = ${order.accession_number ?? null}
      OR filler_order_number = ${order.filler_order_number ?? null} OR placer_order_number = ${order.placer_order_number ?? null})
    ORDER BY created_at FOR UPDATE`);
}

const Id = z.object({ scan_id: z.string() });

export async function insertOrderedScan(tx: CommonQueryMethods, patientId: string, order: OrderRow): Promise<string> {
  const { scan_id } = await tx.one(sql.type(Id)`
    INSERT INTO scans (organization_id, patient_id, scan_type, status) VALUES (${ORGANIZATION}, ${patientId}, ${order.scan_type ?? 'other'}, 'scheduled') RETURNING scan_id`);
  return scan_id;
}

/** Sets what the order says; absent keys keep what is stored, null clears. A study that has images keeps its Study Instance UID. */
export async function updateOrder(tx: CommonQueryMethods, scanId: string, patientId: string, order: OrderRow): Promise<void> {
  const { control, modality, scan_type, ...columns } = order;
  const set = (column: string): ReturnType<typeof sql.fragment> => {
    const name = sql.identifier([column]);
    return sql.fragment`${name} = CASE WHEN o.said ? ${column} THEN o.${name} ELSE s.${name} END`;
  };
  const status = { new: 'ordered', change: 'ordered', release: 'ordered', hold: 'held', cancel: 'cancelled' }[control];
  await tx.query(sql.type(Nothing)`
    UPDATE scans s SET patient_id = ${patientId}, order_status = ${status},
      status = CASE WHEN ${status} = 'cancelled' AND s.instance_count = 0 THEN 'cancelled' WHEN s.status = 'cancelled' AND ${status} = 'ordered' THEN 'scheduled' ELSE s.status END,
      study_instance_uid = coalesce(s.study_instance_uid, o.study_instance_uid),
      scan_type = CASE WHEN s.scan_type = 'other' THEN coalesce(${scan_type ?? null}, s.scan_type) ELSE s.scan_type END,
      modalities = CASE WHEN ${modality ?? null}::text IS NULL OR ${modality ?? null} = ANY(s.modalities) THEN s.modalities ELSE s.modalities || ${modality ?? null}::text END,
      ${set('accession_number')}, ${set('placer_order_number')}, ${set('filler_order_number')}, ${set('procedure_code')}, ${set('procedure_system')},
      ${set('procedure_description')}, ${set('body_part')}, ${set('laterality')}, ${set('reason')}, ${set('scheduled_at')}, ${set('referring_physician')},
      ${set('requesting_physician')}, priority = coalesce(o.priority, s.priority)
    FROM (SELECT ${jsonText(columns)}::jsonb AS said, r.* FROM jsonb_to_record(${jsonText(columns)}::jsonb) AS r(study_instance_uid text, accession_number text,
      placer_order_number text, filler_order_number text, procedure_code text, procedure_system text, procedure_description text, body_part text, laterality text,
      reason text, priority text, scheduled_at timestamptz, referring_physician text, requesting_physician text)) o
    WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId}`);
}

const STUDY = sql.fragment`r(study_id text, accession_number text, study_description text, study_at timestamptz,
      referring_physician text, institution_name text, station_name text, body_part text, laterality text, procedure_code text)`;
const FILLED = sql.fragment`study_id = coalesce(s.study_id, r.study_id), accession_number = coalesce(s.accession_number, r.accession_number),
      study_description = coalesce(s.study_description, r.study_description), study_at = coalesce(s.study_at, r.study_at),
      referring_physician = coalesce(s.referring_physician, r.referring_physician), institution_name = coalesce(s.institution_name, r.institution_name),
      station_name = coalesce(s.station_name, r.station_name), body_part = coalesce(s.body_part, r.body_part), laterality = coalesce(s.laterality, r.laterality),
      procedure_code = coalesce(s.procedure_code, r.procedure_code)`;

/** The scan of a study whose first instance arrived: the order's, when `orderedScanId` is given, filled in from the image header, else a new one. */
export async function openStudy(tx: CommonQueryMethods, patientId: string, study: InstanceRow['study'], orderedScanId: string | undefined): Promise<ScanKey> {
  if (orderedScanId) {
    return tx.one(sql.type(ScanKey)`
      UPDATE scans s SET study_instance_uid = ${study.study_instance_uid}, ${FILLED} FROM jsonb_to_record(${jsonText(study)}::jsonb) AS ${STUDY}
      WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${orderedScanId} RETURNING ${OWN_KEY}`);
  }
  return tx.one(sql.type(ScanKey)`
    INSERT INTO scans (organization_id, patient_id, scan_type, study_instance_uid, study_id, accession_number, study_description, study_at, referring_physician, institution_name,
      station_name, body_part, laterality, procedure_code)
    SELECT ${ORGANIZATION}, ${patientId}, ${study.scan_type}, ${study.study_instance_uid}, r.study_id, r.accession_number, r.study_description, r.study_at, r.referring_physician, r.institution_name,
      r.station_name, r.body_part, r.laterality, r.procedure_code
    FROM jsonb_to_record(${jsonText(study)}::jsonb) AS ${STUDY} RETURNING ${KEY}`);
}

/** Fills in what the order did not say from the image header; a value that is there stays. */
export async function fillFromStudy(tx: CommonQueryMethods, scanId: string, study: InstanceRow['study']): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE scans s SET ${FILLED} FROM jsonb_to_record(${jsonText(study)}::jsonb) AS ${STUDY}
    WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId}`);
}

const ExistingFile = z.object({ scan_file_id: z.string(), scan_id: z.string(), patient_id: z.string(), sop_instance_uid: z.string(), sha256: z.string(), source_sync_id: z.string().nullable() });
export type ExistingFile = z.infer<typeof ExistingFile>;

/** Of each instance the version in use first. */
export async function findFiles(tx: CommonQueryMethods, sopInstanceUids: readonly string[]): Promise<readonly ExistingFile[]> {
  return tx.any(sql.type(ExistingFile)`
    SELECT f.scan_file_id, f.scan_id, s.patient_id, f.sop_instance_uid, f.sha256, f.source_sync_id
    FROM scan_files f JOIN scans s ON s.organization_id = f.organization_id AND s.scan_id = f.scan_id
    WHERE f.organization_id = ${ORGANIZATION} AND f.sop_instance_uid = ANY(${sql.array([...sopInstanceUids], 'text')}) ORDER BY f.conflict_of IS NOT NULL, f.received_at`);
}

export interface NewFile {
  scan_file_id: string; scan_id: string; series_instance_uid: string; series_number?: number | null; series_description?: string | null; modality?: string | null; body_part?: string | null;
  sop_instance_uid: string; sop_class_uid: string; transfer_syntax_uid: string; instance_number?: number | null; rows?: number | null; columns?: number | null;
  number_of_frames?: number | null; bits_allocated?: number | null; byte_size: number; dataset_offset: number; sha256: string; storage_location: string;
  received_at: string; source_integration_id: string; source_sync_id: string; status: 'stored' | 'quarantined'; conflict_of?: string | undefined; scan_type: string;
  /** A result of ours that came back: it is counted, and neither opens the scan again nor puts its completion off. */
  is_own_result?: boolean;
}

/** Inserts the files of one batch and moves their scans' counts, modalities and clock; a scheduled or completed scan is in progress again. */
export async function insertFiles(tx: CommonQueryMethods, files: readonly NewFile[]): Promise<void> {
  await tx.query(sql.type(Nothing)`
    WITH r AS (SELECT * FROM jsonb_to_recordset(${jsonText(files)}::jsonb) AS r(scan_file_id uuid, scan_id uuid, series_instance_uid text, series_number int,
      series_description text, modality text, body_part text, sop_instance_uid text, sop_class_uid text, transfer_syntax_uid text, instance_number int, rows int,
      columns int, number_of_frames int, bits_allocated int, byte_size bigint, dataset_offset int, sha256 text, storage_location text, received_at timestamptz,
      source_integration_id uuid, source_sync_id uuid, status text, conflict_of uuid, scan_type text, is_own_result boolean)),
    new_series AS (
      SELECT scan_id, count(*) AS series FROM (SELECT DISTINCT scan_id, series_instance_uid FROM r WHERE conflict_of IS NULL) d
      WHERE NOT EXISTS (SELECT 1 FROM scan_files f WHERE f.organization_id = ${ORGANIZATION} AND f.scan_id = d.scan_id AND f.series_instance_uid = d.series_instance_uid)
      GROUP BY scan_id),
    arrived AS (
      SELECT scan_id, count(*) FILTER (WHERE conflict_of IS NULL) AS instances, sum(byte_size) AS bytes, max(received_at) FILTER (WHERE is_own_result IS NOT TRUE) AS last_at, min(received_at) AS first_at,
        array_agg(DISTINCT modality) FILTER (WHERE modality IS NOT NULL) AS modalities, min(scan_type) FILTER (WHERE scan_type <> 'other') AS scan_type
      FROM r GROUP BY scan_id),
    inserted AS (
      INSERT INTO scan_files (organization_id, scan_file_id, scan_id, series_instance_uid, series_number, series_description, modality, body_part, sop_instance_uid,
        sop_class_uid, transfer_syntax_uid, instance_number, rows, columns, number_of_frames, bits_allocated, byte_size, dataset_offset, sha256, storage_location,
        received_at, source_integration_id, source_sync_id, status, conflict_of)
      SELECT ${ORGANIZATION}, scan_file_id, scan_id, series_instance_uid, series_number, series_description, modality, body_part, sop_instance_uid, sop_class_uid,
        transfer_syntax_uid, instance_number, rows, columns, number_of_frames, bits_allocated, byte_size, dataset_offset, sha256, storage_location, received_at,
        source_integration_id, source_sync_id, status, conflict_of FROM r)
    UPDATE scans s SET instance_count = s.instance_count + a.instances, series_count = s.series_count + coalesce(n.series, 0), total_bytes = s.total_bytes + a.bytes,
      first_instance_at = coalesce(s.first_instance_at, a.first_at), last_instance_at = greatest(s.last_instance_at, a.last_at),
      images_complete_at = CASE WHEN a.last_at IS NULL THEN s.images_complete_at END, completeness_proof = CASE WHEN a.last_at IS NULL THEN s.completeness_proof END,
      modalities = ARRAY(SELECT DISTINCT unnest(s.modalities || coalesce(a.modalities, '{}')) ORDER BY 1),
      scan_type = CASE WHEN s.scan_type = 'other' THEN coalesce(a.scan_type, s.scan_type) ELSE s.scan_type END,
      status = CASE WHEN a.last_at IS NOT NULL AND s.status IN ('scheduled', 'completed', 'failed') THEN 'in_progress' ELSE s.status END
    FROM arrived a LEFT JOIN new_series n ON n.scan_id = a.scan_id WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = a.scan_id`);
}

const StoredObject = z.object({ storage_location: z.string(), dataset_offset: z.number(), byte_size: z.number(), sha256: z.string() });

/** Where a file's bytes are, with its row locked for this transaction. */
export async function lockFile(tx: CommonQueryMethods, scanFileId: string): Promise<z.infer<typeof StoredObject>> {
  return tx.one(sql.type(StoredObject)`SELECT storage_location, dataset_offset, byte_size, sha256 FROM scan_files WHERE organization_id = ${ORGANIZATION} AND scan_file_id = ${scanFileId} FOR UPDATE`);
}

/** The same dataset, in another object of the store: the first one was lost. */
export async function replaceObject(tx: CommonQueryMethods, scanFileId: string, object: { location: string; datasetOffset: number }): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE scan_files SET storage_location = ${object.location}, dataset_offset = ${object.datasetOffset} WHERE organization_id = ${ORGANIZATION} AND scan_file_id = ${scanFileId}`);
}
