/** What one organization holds, read a page at a time for queries and retrieves of other systems. Scans come newest first: their ids are made in time order. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { StoredInstance } from '#gateway/holdings.ts';
import { ORGANIZATION } from './current-organization.ts';
import { allOf, ALPHABETIC_NAME, candidateConditions, columnConditions, type Condition, dateCondition, fileConditions, type Matches, patientConditions, SEX, studyConditions, textCondition, timeCondition } from './holdings-match.ts';
import { amongNewest, olderThan, type Page, pageOf, studyOrder, WITH_IMAGES } from './holdings-newest.ts';
import { jsonText } from './json-text.ts';
import { patientsByName } from './patient-names.ts';
import { sql } from './pool.ts';

export type { Page } from './holdings-newest.ts';

const PatientColumns = {
  patient_number: z.string(), issuer: z.string().nullable(), alphabetic: z.string(), ideographic_name: z.string().nullable(), phonetic_name: z.string().nullable(),
  birth_date: z.string().nullable(), sex: z.enum(['', 'M', 'F', 'O']),
};
const PATIENT = sql.fragment`p.patient_number, (SELECT i.assigning_authority FROM patient_identifiers i WHERE i.organization_id = p.organization_id AND i.patient_id = p.patient_id
  AND i.value_index = p.patient_number ORDER BY i.is_current DESC, i.created_at LIMIT 1) AS issuer,
  ${ALPHABETIC_NAME} AS alphabetic, p.ideographic_name, p.phonetic_name, p.birth_date, ${SEX} AS sex`;
const PatientRow = z.object({ patient_id: z.string(), ...PatientColumns });
export type PatientRow = z.infer<typeof PatientRow>;

const text = z.string().nullable();
const StudyColumns = {
  ...PatientColumns, scan_id: z.string(), study_instance_uid: z.string(), study_local: text, study_offset_minutes: z.number().nullable(), accession_number: text, study_id: text, study_description: text,
  referring_physician: text, institution_name: text, modalities: z.array(z.string()), study_series: z.number(), study_instances: z.number(),
};
const StudyRow = z.object(StudyColumns);
export type StudyRow = z.infer<typeof StudyRow>;

/** Counts are those of the scan less what is kept and not in use, so that a study's count needs no look at its files. */
const study = (zone: string): Condition => sql.fragment`s.scan_id, s.study_instance_uid, ${PATIENT},
  to_char(s.study_at AT TIME ZONE ${zone}, 'YYYYMMDDHH24MISS') AS study_local,
  extract(epoch FROM (s.study_at AT TIME ZONE ${zone}) - (s.study_at AT TIME ZONE 'UTC'))::int / 60 AS study_offset_minutes,
  s.accession_number, s.study_id, s.study_description, s.referring_physician, s.institution_name, s.modalities,
  CASE WHEN unused.files = 0 THEN s.series_count ELSE (SELECT count(DISTINCT x.series_instance_uid)::int FROM scan_files x
    WHERE x.organization_id = s.organization_id AND x.scan_id = s.scan_id AND x.status = 'stored') END AS study_series,
  s.instance_count - unused.counted AS study_instances`;
/** `scans` is the table, or the few scans of patients found before. */
const studiesFrom = (scans: Condition): Condition => sql.fragment`${scans} JOIN patients p ON p.organization_id = s.organization_id AND p.patient_id = s.patient_id
  CROSS JOIN LATERAL (SELECT count(*)::int AS files, (count(*) FILTER (WHERE u.conflict_of IS NULL))::int AS counted FROM scan_files u
    WHERE u.organization_id = s.organization_id AND u.scan_id = s.scan_id AND u.status <> 'stored') unused`;

/** More patients than this are met soon enough on the way through the scans, newest first. */
const MOST_CANDIDATES = 2_000;

/**
 * The scans to look at. Without this a rare name would be looked for in every scan: the planner takes matches to be spread evenly. Patients are found
 * in their index first; when they are few, their scans are all there is to look at.
 */
async function scansToSearch(tx: CommonQueryMethods, matches: Matches): Promise<Condition> {
  const patients = await candidatePatients(tx, matches);
  if (patients === undefined) return sql.fragment`scans s`;
  return sql.fragment`(SELECT c.* FROM scans c WHERE c.organization_id = ${ORGANIZATION} AND c.patient_id = ANY(${sql.array([...patients], 'uuid')}) OFFSET 0) s`;
}

/** A page of what `read` finds in the scans that have to be looked at, which it gets in the place of their table. */
async function inScans<Row>(tx: CommonQueryMethods, page: Page, read: (scans: Condition) => Promise<readonly Row[]>): Promise<readonly Row[]> {
  return await amongNewest(tx, page, read) ?? await read(await scansToSearch(tx, page.matches));
}

/** Undefined: not asked for by name or birth date, or too many. */
async function candidatePatients(tx: CommonQueryMethods, matches: Matches): Promise<readonly string[] | undefined> {
  const conditions = candidateConditions(matches);
  if (conditions.length === 0) return undefined;
  const found = new Set<string>();
  for (const { condition, byPart } of conditions) {
    const ids = await tx.anyFirst(sql.type(z.object({ patient_id: z.string() }))`SELECT p.patient_id FROM ${byPart ? patientsByName : sql.fragment`patients p`} WHERE p.organization_id = ${ORGANIZATION} AND ${condition} LIMIT ${MOST_CANDIDATES + 1}`);
    for (const patientId of ids) found.add(patientId);
    if (found.size > MOST_CANDIDATES) return undefined;
  }
  return [...found];
}

/** A query of another system must not hold the database: it gets this long, then it fails. It is looked up by an index where there is one. */
export async function limitStatements(tx: CommonQueryMethods, milliseconds: number): Promise<void> {
  await tx.query(sql.typeAlias('void')`SELECT set_config('statement_timeout', ${String(milliseconds)}, true), set_config('random_page_cost', '1.1', true), set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true)`);
}

export async function findPatients(tx: CommonQueryMethods, page: Page): Promise<readonly PatientRow[]> {
  const candidates = await candidatePatients(tx, page.matches);
  return tx.any(sql.type(PatientRow)`
    SELECT p.patient_id, ${PATIENT} FROM patients p
    WHERE p.organization_id = ${ORGANIZATION} AND ${candidates ? sql.fragment`p.patient_id = ANY(${sql.array([...candidates], 'uuid')})` : sql.fragment`true`} AND ${allOf(patientConditions(page.matches))}
      AND EXISTS (SELECT 1 FROM scans s WHERE ${WITH_IMAGES} AND s.patient_id = p.patient_id)
    ORDER BY p.patient_id DESC ${pageOf(page)}`);
}

export async function findStudies(tx: CommonQueryMethods, page: Page): Promise<readonly StudyRow[]> {
  return inScans(tx, page, (scans) => tx.any(sql.type(StudyRow)`
    SELECT ${study(page.zone)} FROM ${studiesFrom(scans)} WHERE ${WITH_IMAGES} AND ${olderThan(page)} AND ${allOf(studyConditions(page.matches, page.zone))}
    ORDER BY ${studyOrder(page)} ${pageOf(page)}`));
}

const SeriesRow = z.object({ ...StudyColumns, series_instance_uid: z.string(), modality: text, series_number: z.number().nullable(), series_description: text, series_body_part: text, series_instances: z.number() });
export type SeriesRow = z.infer<typeof SeriesRow>;
const seriesColumns = sql.fragment`f.series_instance_uid, min(f.modality) AS modality, min(f.series_number) AS series_number, min(f.series_description) AS series_description, min(f.body_part) AS series_body_part,
  count(*)::int AS series_instances`;
const IN_USE = sql.fragment`f.organization_id = s.organization_id AND f.scan_id = s.scan_id AND f.status = 'stored'`;

export async function findSeries(tx: CommonQueryMethods, page: Page): Promise<readonly SeriesRow[]> {
  return inScans(tx, page, (scans) => tx.any(sql.type(SeriesRow)`
    SELECT ${study(page.zone)}, f.* FROM ${studiesFrom(scans)}
      CROSS JOIN LATERAL (SELECT ${seriesColumns} FROM scan_files f WHERE ${IN_USE} AND ${allOf(fileConditions(page.matches))} GROUP BY f.series_instance_uid) f
    WHERE ${WITH_IMAGES} AND ${allOf(studyConditions(page.matches, page.zone))}
    ORDER BY ${studyOrder(page)}, f.series_number, f.series_instance_uid ${pageOf(page)}`));
}

const FileColumns = {
  series_instance_uid: z.string(), sop_instance_uid: z.string(), sop_class_uid: z.string(), transfer_syntax_uid: z.string(), byte_size: z.number(), dataset_offset: z.number(), sha256: z.string(), storage_location: z.string(),
};
const InstanceRow = z.object({
  ...StudyColumns, ...FileColumns, modality: text, series_number: z.number().nullable(), series_description: text, series_body_part: text, series_instances: z.number(),
  instance_number: z.number().nullable(), rows: z.number().nullable(), columns: z.number().nullable(), number_of_frames: z.number().nullable(), bits_allocated: z.number().nullable(),
});
export type InstanceRow = z.infer<typeof InstanceRow>;
const FILE = sql.fragment`f.series_instance_uid, f.sop_instance_uid, f.sop_class_uid, f.transfer_syntax_uid, f.byte_size, f.dataset_offset, f.sha256, f.storage_location`;
const IN_ORDER = sql.fragment`f.series_number, f.series_instance_uid, f.instance_number, f.sop_instance_uid`;

export async function findInstances(tx: CommonQueryMethods, page: Page): Promise<readonly InstanceRow[]> {
  return inScans(tx, page, (scans) => tx.any(sql.type(InstanceRow)`
    SELECT ${study(page.zone)}, ${FILE}, f.modality, f.series_number, f.series_description, f.body_part AS series_body_part, f.instance_number, f.rows, f.columns, f.number_of_frames, f.bits_allocated,
      (SELECT count(*)::int FROM scan_files n WHERE n.organization_id = f.organization_id AND n.scan_id = f.scan_id AND n.series_instance_uid = f.series_instance_uid AND n.status = 'stored') AS series_instances
    FROM ${studiesFrom(scans)} JOIN scan_files f ON ${IN_USE}
    WHERE ${WITH_IMAGES} AND ${allOf([...studyConditions(page.matches, page.zone), ...fileConditions(page.matches)])}
    ORDER BY ${studyOrder(page)}, ${IN_ORDER} ${pageOf(page)}`));
}

const Location = z.object({ study_instance_uid: z.string(), ...FileColumns });

/** Every file in use of one scan that the keys name. */
export async function filesOfScan(tx: CommonQueryMethods, scanId: string, matches: Matches): Promise<readonly StoredInstance[]> {
  const rows = await tx.any(sql.type(Location)`
    SELECT s.study_instance_uid, ${FILE} FROM scans s JOIN scan_files f ON ${IN_USE}
    WHERE ${WITH_IMAGES} AND s.scan_id = ${scanId} AND ${allOf(fileConditions(matches))} ORDER BY ${IN_ORDER}`);
  return rows.map(storedInstance);
}

/** Scans that hold something the keys name: by SOP Instance UID without a walk over all scans. */
export async function scansHolding(tx: CommonQueryMethods, page: Page): Promise<readonly string[]> {
  const { sopInstanceUid, seriesInstanceUid, studyInstanceUid, patientId } = page.matches;
  const bySop = sopInstanceUid && !studyInstanceUid
    ? sql.fragment`s.scan_id IN (SELECT f.scan_id FROM scan_files f WHERE f.organization_id = ${ORGANIZATION} AND f.status = 'stored' AND ${textCondition(sql.fragment`f.sop_instance_uid`, sopInstanceUid)})`
    : sql.fragment`true`;
  const bySeries = seriesInstanceUid && !studyInstanceUid && !sopInstanceUid
    ? sql.fragment`EXISTS (SELECT 1 FROM scan_files f WHERE ${IN_USE} AND ${textCondition(sql.fragment`f.series_instance_uid`, seriesInstanceUid)})`
    : sql.fragment`true`;
  const rows = await tx.any(sql.type(z.object({ scan_id: z.string() }))`
    SELECT s.scan_id FROM scans s JOIN patients p ON p.organization_id = s.organization_id AND p.patient_id = s.patient_id
    WHERE ${WITH_IMAGES} AND ${olderThan(page)} AND ${bySop} AND ${bySeries}
      AND ${allOf([...(patientId ? patientConditions({ patientId }) : []), ...columnConditions('s', { studyInstanceUid: 'study_instance_uid' }, page.matches)])}
    ORDER BY s.scan_id DESC ${pageOf(page)}`);
  return rows.map((row) => row.scan_id);
}

export const storedInstance = (row: z.infer<typeof Location>): StoredInstance => ({
  studyInstanceUid: row.study_instance_uid, seriesInstanceUid: row.series_instance_uid, sopInstanceUid: row.sop_instance_uid, sopClassUid: row.sop_class_uid, transferSyntaxUid: row.transfer_syntax_uid,
  byteSize: row.byte_size, sha256: row.sha256, location: row.storage_location, datasetOffset: row.dataset_offset,
});

const ScheduledRow = z.object({
  ...PatientColumns, scan_id: z.string(), scan_number: z.string(), study_instance_uid: text, accession_number: text, placer_order_number: text, filler_order_number: text, procedure_code: text, procedure_system: text,
  procedure_description: text, reason: text, priority: z.enum(['routine', 'urgent', 'emergency', 'stat']), referring_physician: text, requesting_physician: text, modality: text, scan_type: z.string(), body_part: text, scheduled_local: text,
});
export type ScheduledRow = z.infer<typeof ScheduledRow>;

/**
 * @param modalityOfType what a scan type is done with where the order names no modality: scan_type -> (0008,0060)
 * @param scanIds the scans that the asked Study Instance UIDs were made from, for orders that name none
 */
export async function findScheduled(tx: CommonQueryMethods, page: Page, modalityOfType: Readonly<Record<string, string>>, scanIds: readonly string[]): Promise<readonly ScheduledRow[]> {
  const { scheduledDate, scheduledTime, modality, requestedProcedureId, studyInstanceUid } = page.matches;
  const modalityColumn = sql.fragment`coalesce(s.modalities[1], ${sql.jsonb(modalityOfType)} ->> s.scan_type)`;
  const conditions = [
    ...patientConditions(page.matches), ...columnConditions('s', { accessionNumber: 'accession_number' }, page.matches),
    ...(studyInstanceUid ? [sql.fragment`(${textCondition(sql.fragment`s.study_instance_uid`, studyInstanceUid)} OR s.study_instance_uid IS NULL AND s.scan_id = ANY(${sql.array([...scanIds], 'uuid')}))`] : []),
    ...(requestedProcedureId ? [textCondition(requestedProcedure, requestedProcedureId)] : []),
    ...(scheduledDate ? [dateCondition(sql.fragment`s.scheduled_at`, scheduledDate, page.zone)] : []),
    ...(scheduledTime ? [timeCondition(sql.fragment`s.scheduled_at`, scheduledTime, page.zone)] : []),
    ...(modality ? [textCondition(modalityColumn, modality)] : []),
  ];
  return tx.any(sql.type(ScheduledRow)`
    SELECT s.scan_id, s.scan_number, s.study_instance_uid, ${PATIENT}, s.accession_number, s.placer_order_number, s.filler_order_number, s.procedure_code, s.procedure_system,
      s.procedure_description, s.reason, s.priority, s.referring_physician, s.requesting_physician, ${modalityColumn} AS modality, s.scan_type, s.body_part,
      to_char(s.scheduled_at AT TIME ZONE ${page.zone}, 'YYYYMMDDHH24MISS') AS scheduled_local
    FROM scans s JOIN patients p ON p.organization_id = s.organization_id AND p.patient_id = s.patient_id
    WHERE s.organization_id = ${ORGANIZATION} AND s.status = 'scheduled' AND s.instance_count = 0 AND coalesce(s.order_status, 'ordered') = 'ordered' AND ${allOf(conditions)}
    ORDER BY s.scheduled_at, s.scan_id ${pageOf(page)}`);
}

/** At most 16 characters, as SH allows: the filler's number, else our own. */
const requestedProcedure = sql.fragment`CASE WHEN length(s.filler_order_number) <= 16 THEN s.filler_order_number ELSE s.scan_number END`;

export interface AnsweredQuery {
  readonly answer_status: 'answered' | 'unanswered'; readonly answer_code: string; readonly answer_text?: string | undefined; readonly finished_at: Date; readonly duration_ms: number; readonly facts: unknown;
}

/** The answer leg of a query or retrieve, with what was told. */
export async function finishQuery(tx: CommonQueryMethods, syncId: string, startedAt: Date, answer: AnsweredQuery): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE sync_logs SET answer_status = ${answer.answer_status}, answer_code = ${answer.answer_code}, answer_text = ${answer.answer_text ?? null},
      finished_at = ${answer.finished_at.toISOString()}::timestamptz, duration_ms = ${answer.duration_ms}, facts = ${jsonText(answer.facts)}::jsonb
    WHERE organization_id = ${ORGANIZATION} AND sync_id = ${syncId} AND started_at = ${startedAt.toISOString()}::timestamptz`);
}
