/**
 * Rows behind src/gateway/records.ts: patients, orders, studies, newest reports, findings, models, report versions, audit events of one organization.
 * Pages run by id, newest first: ids are made in time order, so a page begins where the last ended, whatever was added meanwhile.
 */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { Criteria, DayComparison, RecordKind, RecordSort, TextColumn, TimeRange } from '#gateway/records.ts';
import { ORGANIZATION } from './current-organization.ts';
import { patientsByName } from './patient-names.ts';
import { sql } from './pool.ts';

type Fragment = ReturnType<typeof sql.fragment>;
/** `after` is the last row of the page before: its id and, where sorted, its sort key. */
export interface RecordPosition { readonly after: { readonly id: string; readonly key?: string | undefined } | undefined; readonly limit: number; readonly sort?: RecordSort | undefined }

const text = z.string().nullable();
const Stored = { id: z.string(), updated_at: z.date(), sort_key: z.string().optional() };

const PatientRow = z.object({
  ...Stored, patient_number: z.string(), family_name: text, given_name: text, middle_name: text, name_prefix: text, name_suffix: text, ideographic_name: text, phonetic_name: text,
  birth_date: text, sex: z.enum(['male', 'female', 'other', 'unknown']).nullable(), is_active: z.boolean(), merged_into_patient_id: text, deceased: z.boolean().nullable(),
  deceased_at: text, address: z.array(z.record(z.string(), z.string())).nullable().catch(null), telecom: z.array(z.record(z.string(), z.string())).nullable().catch(null),
  identifiers: z.array(z.object({ value: z.string(), assigning_authority: z.string(), type_code: text, is_current: z.boolean() })),
});
export type PatientRecordRow = z.infer<typeof PatientRow>;

const Series = z.object({
  series_instance_uid: z.string(), series_number: z.number().nullable(), modality: text, series_description: text, instance_count: z.number(),
  instances: z.array(z.object({ sop_instance_uid: z.string(), sop_class_uid: z.string(), instance_number: z.number().nullable() })),
});
const ScanRow = z.object({
  ...Stored, patient_id: z.string(), scan_number: z.string(), study_instance_uid: text, accession_number: text, placer_order_number: text, filler_order_number: text, procedure_code: text,
  procedure_system: text, procedure_description: text, study_description: text, study_id: text, study_at: z.date().nullable(), scheduled_at: z.date().nullable(), created_at: z.date(),
  referring_physician: text, reason: text, modalities: z.array(z.string()), body_part: text, status: z.string(), order_status: z.enum(['ordered', 'held', 'cancelled']).nullable(),
  priority: z.enum(['routine', 'urgent', 'emergency', 'stat']), images_complete_at: z.date().nullable(), series: z.array(Series),
});
export type ScanRecordRow = z.infer<typeof ScanRow>;

const ReportRow = z.object({ ...Stored, patient_id: z.string(), has_order: z.boolean(), document: z.record(z.string(), z.unknown()) });
const FindingRow = z.object({
  ...ReportRow.shape, finding_id: z.string(), analysis_id: z.string(), tracking_uid: z.string(), finding_type: z.string(), finding_code: text, finding_code_system: text,
  severity: z.enum(['low', 'medium', 'high', 'critical']), confidence_percentage: z.number(), description: z.string(), body_site: z.unknown(), laterality: text,
  location: z.unknown(), measurements: z.unknown(), is_current: z.boolean(),
});
const ModelRow = z.object({ ...Stored, model_name: z.string(), model_version: z.string(), manufacturer: z.string(), not_for_clinical_use: z.boolean(), status: z.string() });
const AuditRow = z.object({
  ...Stored, event_code: z.string(), event_name: z.string(), action: z.enum(['C', 'R', 'U', 'D', 'E']), outcome: z.enum(['success', 'minor_failure', 'serious_failure', 'major_failure']),
  actor_kind: z.enum(['user', 'application', 'system']), actor_id: z.string(), actor_role: text, network_address: text, object_type: text, object_id: text, patient_id: text,
});
const StatementRow = z.object({ ...Stored, patient_id: z.string(), display: z.string(), code: text, code_system: text, onset: text, status: text, severity: text, created_at: z.date() });
const TaskRow = z.object({
  ...Stored, patient_id: z.string(), accession_number: text, has_order: z.boolean(), has_images: z.boolean(), status: z.enum(['pending', 'assigned', 'in_progress', 'completed', 'paused', 'cancelled']),
  priority: z.enum(['routine', 'urgent', 'emergency', 'stat']), why_waiting: text, queue_entered_at: z.date(), started_at: z.date().nullable(), completed_at: z.date().nullable(),
});
export type StatementRecordRow = z.infer<typeof StatementRow>;
export type TaskRecordRow = z.infer<typeof TaskRow>;
export type ReportRecordRow = z.infer<typeof ReportRow>;
export type FindingRecordRow = z.infer<typeof FindingRow>;
export type ModelRecordRow = z.infer<typeof ModelRow>;
export type AuditRecordRow = z.infer<typeof AuditRow>;

/** A study of more images names its series only. */
const MOST_INSTANCES = 1000;
const SERIES = sql.fragment`coalesce((SELECT jsonb_agg(jsonb_build_object('series_instance_uid', f.series_instance_uid, 'series_number', f.series_number, 'modality', f.modality,
    'series_description', f.series_description, 'instance_count', f.instance_count, 'instances', f.instances) ORDER BY f.series_number NULLS LAST, f.series_instance_uid)
  FROM (SELECT x.series_instance_uid, min(x.series_number) AS series_number, min(x.modality) AS modality, min(x.series_description) AS series_description, count(*) AS instance_count,
      coalesce(jsonb_agg(jsonb_build_object('sop_instance_uid', x.sop_instance_uid, 'sop_class_uid', x.sop_class_uid, 'instance_number', x.instance_number)
        ORDER BY x.instance_number NULLS LAST, x.sop_instance_uid) FILTER (WHERE s.instance_count <= ${MOST_INSTANCES}), '[]') AS instances
    FROM scan_files x WHERE x.organization_id = s.organization_id AND x.scan_id = s.scan_id AND x.status = 'stored' AND x.conflict_of IS NULL GROUP BY x.series_instance_uid) f), '[]')`;
const SCAN = sql.fragment`s.scan_id AS id, s.updated_at, s.patient_id, s.scan_number, s.study_instance_uid, s.accession_number, s.placer_order_number, s.filler_order_number, s.procedure_code,
  s.procedure_system, s.procedure_description, s.study_description, s.study_id, s.study_at, s.scheduled_at, s.created_at, s.referring_physician, s.reason, s.modalities, s.body_part, s.status,
  s.order_status, s.priority, s.images_complete_at`;
const NEWEST = sql.fragment`NOT EXISTS (SELECT FROM reports n WHERE n.organization_id = r.organization_id AND n.lineage_id = r.lineage_id AND n.version > r.version)`;

const PATIENT = sql.fragment`p.patient_id AS id, p.updated_at, p.patient_number, p.family_name, p.given_name, p.middle_name, p.name_prefix, p.name_suffix, p.ideographic_name, p.phonetic_name,
  p.birth_date, p.sex, p.is_active, p.merged_into_patient_id, p.deceased, p.deceased_at, p.address, p.telecom`;

/** Per kind: what is selected, from where, which of it is there, and the column that pages run by. */
interface Source { readonly columns: Fragment; readonly from: Fragment; readonly where: Fragment; readonly id: Fragment }
const report = (id: Fragment, where: Fragment): Source => ({
  columns: sql.fragment`${id} AS id, r.updated_at, s.patient_id, s.order_status IS NOT NULL AS has_order, r.document`, id, where,
  from: sql.fragment`reports r JOIN scans s ON s.organization_id = r.organization_id AND s.scan_id = r.scan_id`,
});
const statement = (kind: 'condition' | 'allergy'): Source => ({
  columns: sql.fragment`h.history_id AS id, h.updated_at, h.patient_id, h.display, h.code, h.code_system, h.onset, h.status, h.severity, h.created_at`, from: sql.fragment`patient_medical_history h`,
  where: sql.fragment`h.organization_id = ${ORGANIZATION} AND h.kind = ${kind}`, id: sql.fragment`h.history_id`,
});
const sources = {
  patient: {
    columns: sql.fragment`${PATIENT}, coalesce((SELECT jsonb_agg(jsonb_build_object('value', i.value, 'assigning_authority', i.assigning_authority,
      'type_code', i.type_code, 'is_current', i.is_current) ORDER BY i.is_current DESC, i.created_at) FROM patient_identifiers i
      WHERE i.organization_id = p.organization_id AND i.patient_id = p.patient_id), '[]') AS identifiers`,
    from: sql.fragment`patients p`, where: sql.fragment`p.organization_id = ${ORGANIZATION}`, id: sql.fragment`p.patient_id`,
  },
  order: { columns: sql.fragment`${SCAN}, '[]'::jsonb AS series`, from: sql.fragment`scans s`, where: sql.fragment`s.organization_id = ${ORGANIZATION} AND s.order_status IS NOT NULL`, id: sql.fragment`s.scan_id` },
  study: { columns: sql.fragment`${SCAN}, ${SERIES} AS series`, from: sql.fragment`scans s`, where: sql.fragment`s.organization_id = ${ORGANIZATION} AND (s.instance_count > 0 OR s.study_instance_uid IS NOT NULL)`, id: sql.fragment`s.scan_id` },
  report: report(sql.fragment`r.lineage_id`, sql.fragment`r.organization_id = ${ORGANIZATION} AND ${NEWEST}`),
  version: report(sql.fragment`r.report_id`, sql.fragment`r.organization_id = ${ORGANIZATION}`),
  finding: {
    columns: sql.fragment`f.finding_id AS id, greatest(f.updated_at, r.updated_at) AS updated_at, s.patient_id, s.order_status IS NOT NULL AS has_order, r.document, f.finding_id, f.analysis_id,
      f.tracking_uid, f.finding_type, f.finding_code, f.finding_code_system, f.severity, f.confidence_percentage, f.description, f.body_site, f.laterality, f.location, f.measurements,
      r.document @> jsonb_build_object('findings', jsonb_build_array(jsonb_build_object('findingId', f.finding_id))) AS is_current`,
    from: sql.fragment`findings f JOIN ai_analyses a ON a.organization_id = f.organization_id AND a.analysis_id = f.analysis_id
      JOIN scans s ON s.organization_id = a.organization_id AND s.scan_id = a.scan_id
      JOIN LATERAL (SELECT r.* FROM reports r WHERE r.organization_id = s.organization_id AND r.scan_id = s.scan_id ORDER BY r.version DESC, r.report_id DESC LIMIT 1) r ON true`,
    where: sql.fragment`f.organization_id = ${ORGANIZATION}`, id: sql.fragment`f.finding_id`,
  },
  model: { columns: sql.fragment`m.model_id AS id, m.updated_at, m.model_name, m.model_version, m.manufacturer, m.not_for_clinical_use, m.status`, from: sql.fragment`ai_models m`, where: sql.fragment`m.organization_id = ${ORGANIZATION} AND m.status <> 'draft'`, id: sql.fragment`m.model_id` },
  audit: {
    columns: sql.fragment`l.audit_id AS id, l.created_at AS updated_at, l.event_code, l.event_name, l.action, l.outcome, l.actor_kind, l.actor_id, l.actor_role, l.network_address, l.object_type, l.object_id, l.patient_id`,
    from: sql.fragment`audit_logs l`, where: sql.fragment`l.organization_id = ${ORGANIZATION}`, id: sql.fragment`l.audit_id`,
  },
  condition: statement('condition'),
  allergy: statement('allergy'),
  task: {
    columns: sql.fragment`s.scan_id AS id, greatest(q.updated_at, s.updated_at) AS updated_at, s.patient_id, s.accession_number, s.order_status IS NOT NULL AS has_order, s.instance_count > 0 AS has_images, q.status, s.priority,
      q.why_waiting, q.queue_entered_at, q.started_at, q.completed_at`,
    from: sql.fragment`scans s JOIN scan_queue q ON q.organization_id = s.organization_id AND q.scan_id = s.scan_id`, where: sql.fragment`s.organization_id = ${ORGANIZATION}`, id: sql.fragment`s.scan_id`,
  },
} as const satisfies Record<RecordKind, Source>;

const schemas = { patient: PatientRow, order: ScanRow, study: ScanRow, report: ReportRow, version: ReportRow, finding: FindingRow, model: ModelRow, audit: AuditRow, condition: StatementRow, allergy: StatementRow, task: TaskRow } as const;
export type RowOf<Kind extends RecordKind> = z.infer<(typeof schemas)[Kind]>;

export async function findRecords<Kind extends RecordKind>(tx: CommonQueryMethods, kind: Kind, criteria: Criteria, position: RecordPosition): Promise<readonly RowOf<Kind>[]> {
  const source: Source = sources[kind];
  const { after, limit } = position;
  // Studies of a time come in its order, newest first: the index of that column then serves the page, wherever in the past the time lies.
  const isByTime = position.sort === undefined && kind === 'study' && criteria.at !== undefined;
  const sort: RecordSort | undefined = isByTime ? { by: 'at', isDescending: true } : position.sort;
  const key = isByTime ? { value: sql.fragment`s.study_at`, type: sql.fragment`timestamptz` } : sort && sortKey(kind, sort);
  const direction = sort?.isDescending === false ? sql.fragment`ASC` : sql.fragment`DESC`, beyond = sort?.isDescending === false ? sql.fragment`>` : sql.fragment`<`;
  const begin = after === undefined ? sql.fragment`true`
    : key === undefined ? sql.fragment`${source.id} < ${after.id}::uuid` : sql.fragment`(${key.value}, ${source.id}) ${beyond} (${after.key ?? ''}::${key.type}, ${after.id}::uuid)`;
  const order = key === undefined ? sql.fragment`${source.id} DESC` : sql.fragment`${key.value} ${direction}, ${source.id} ${direction}`;
  const few = await fewOf(tx, kind, criteria);
  return await tx.any(sql.type(schemas[kind] as z.ZodType<object>)`
    SELECT ${source.columns}${key === undefined ? sql.fragment`` : sql.fragment`, ${key.value}::text AS sort_key`}
    FROM ${source.from} WHERE ${source.where} AND ${begin} AND ${few === undefined ? sql.fragment`true` : sql.fragment`${kind === 'patient' ? sql.fragment`p.patient_id` : sql.fragment`s.scan_id`} = ANY(${uuids(few)})`} AND ${conditions(kind, criteria)} ORDER BY ${order} LIMIT ${limit}`) as readonly RowOf<Kind>[];
}

/** The rows as they were before each change that is kept, the newest first. */
export async function findVersions<Kind extends 'patient' | 'order'>(tx: CommonQueryMethods, kind: Kind, id: string, limit: number): Promise<readonly RowOf<Kind>[]> {
  const [columns, row] = kind === 'patient' ? [sql.fragment`${PATIENT}, v.content->'identifiers' AS identifiers`, sql.fragment`jsonb_populate_record(NULL::patients, v.content - 'identifiers') p`]
    : [sql.fragment`${SCAN}, '[]'::jsonb AS series`, sql.fragment`jsonb_populate_record(NULL::scans, v.content) s`];
  return await tx.any(sql.type(schemas[kind] as z.ZodType<object>)`
    SELECT ${columns} FROM record_versions v CROSS JOIN LATERAL ${row}
    WHERE v.organization_id = ${ORGANIZATION} AND v.kind = ${kind} AND v.record_id = ANY(${uuids([id])}) ORDER BY v.version_id DESC LIMIT ${limit}`) as readonly RowOf<Kind>[];
}

/** Scans or patients that an index alone finds, when they are few; undefined: many, or not asked for by what an index has. */
async function fewOf(tx: CommonQueryMethods, kind: RecordKind, criteria: Criteria): Promise<readonly string[] | undefined> {
  if ((kind === 'report' || kind === 'finding') && criteria.at !== undefined) return scansOfTime(tx, criteria.at);
  if (kind === 'patient' && (criteria.texts !== undefined || criteria.born !== undefined)) return patientsNamed(tx, criteria);
  return undefined;
}

const MOST_NAMED = 2_000;

/** Who can be meant: the name as a whole in small letters (patients.name_key) has all that is asked of its pieces, and perhaps more. */
async function patientsNamed(tx: CommonQueryMethods, criteria: Criteria): Promise<readonly string[] | undefined> {
  const key = sql.fragment`p.name_key`;
  const texts = (criteria.texts ?? []).map(({ columns, match, values }) => anyOf(values, (value) => {
    const lowered = value.toLowerCase(), pattern = lowered.replaceAll(/[\\%_]/g, '\\$&');
    if (match !== 'begins') return sql.fragment`${key} LIKE ${`%${pattern}%`}`;
    return columns.length === 1 && columns[0] === 'family_name' ? sql.fragment`(${key} >= ${lowered} AND ${key} < ${`${lowered}\u{10ffff}`})` : sql.fragment`(${key} LIKE ${`${pattern}%`} OR ${key} LIKE ${`%^${pattern}%`})`;
  }));
  const isByPart = criteria.born === undefined && (criteria.texts ?? []).every(({ columns, match }) => match !== 'begins' || columns.length > 1 || columns[0] !== 'family_name');
  const all = [...texts, ...(criteria.born === undefined ? [] : [condition('patient', 'born', criteria)])];
  const ids = await tx.anyFirst(sql.type(z.object({ patient_id: z.string() }))`
    SELECT p.patient_id FROM ${isByPart ? patientsByName : sql.fragment`patients p`} WHERE p.organization_id = ${ORGANIZATION} AND ${sql.join(all, sql.fragment` AND `)} LIMIT ${MOST_NAMED + 1}`);
  return ids.length > MOST_NAMED ? undefined : ids;
}

/** More scans of a time than this are met soon enough on the way through all reports. */
const MOST_OF_TIME = 5_000;

/** The scans whose reports can be of this time, when they are few: their index finds them, where the planner would walk all reports from today on. */
async function scansOfTime(tx: CommonQueryMethods, at: readonly TimeRange[]): Promise<readonly string[] | undefined> {
  const ids = await tx.anyFirst(sql.type(z.object({ scan_id: z.string() }))`
    (SELECT s.scan_id FROM scans s WHERE s.organization_id = ${ORGANIZATION} AND ${inRanges(sql.fragment`s.study_at`, at)} ORDER BY s.study_at DESC LIMIT ${MOST_OF_TIME + 1})
    UNION ALL (SELECT s.scan_id FROM (SELECT r.scan_id FROM reports r WHERE r.organization_id = ${ORGANIZATION} AND ${inRanges(sql.fragment`r.created_at`, at)} ORDER BY r.created_at DESC LIMIT ${MOST_OF_TIME + 1}) r
      JOIN scans s ON s.organization_id = ${ORGANIZATION} AND s.scan_id = r.scan_id)`);
  return ids.length > MOST_OF_TIME ? undefined : ids;
}

/** Patients or orders as they are and as they were, what came to be last first. A row's `sort_key` and `key` are where a page ends. */
export async function findChanges<Kind extends 'patient' | 'order'>(tx: CommonQueryMethods, kind: Kind, since: number | undefined, position: RecordPosition): Promise<readonly (RowOf<Kind> & { readonly key: string })[]> {
  const { after, limit } = position;
  const [current, past] = kind === 'patient'
    ? [sql.fragment`SELECT ${sources.patient.columns}, p.patient_id AS key FROM patients p WHERE ${sources.patient.where}`,
      sql.fragment`SELECT ${PATIENT}, v.content->'identifiers', v.version_id FROM record_versions v CROSS JOIN LATERAL jsonb_populate_record(NULL::patients, v.content - 'identifiers') p WHERE v.organization_id = ${ORGANIZATION} AND v.kind = 'patient'`]
    : [sql.fragment`SELECT ${sources.order.columns}, s.scan_id AS key FROM scans s WHERE ${sources.order.where}`,
      sql.fragment`SELECT ${SCAN}, '[]'::jsonb, v.version_id FROM record_versions v CROSS JOIN LATERAL jsonb_populate_record(NULL::scans, v.content) s WHERE v.organization_id = ${ORGANIZATION} AND v.kind = 'order'`];
  const begin = after === undefined ? sql.fragment`true` : sql.fragment`(c.updated_at, c.key) < (${after.key ?? ''}::timestamptz, ${after.id}::uuid)`;
  const from = since === undefined ? sql.fragment`true` : sql.fragment`c.updated_at >= to_timestamp(${since / 1000})`;
  return await tx.any(sql.type(schemas[kind].extend({ key: z.string() }) as z.ZodType<object>)`
    SELECT c.*, c.updated_at::text AS sort_key FROM (${current} UNION ALL ${past}) c WHERE ${begin} AND ${from} ORDER BY c.updated_at DESC, c.key DESC LIMIT ${limit}`) as readonly (RowOf<Kind> & { key: string })[];
}

/** What is unknown sorts before everything. */
function sortKey(kind: RecordKind, { by }: RecordSort): { value: Fragment; type: Fragment } {
  const text = sql.fragment`text`, time = sql.fragment`timestamptz`;
  if (by === 'family') return kind === 'patient' ? { value: sql.fragment`lower(coalesce(p.family_name, ''))`, type: text } : { value: sql.fragment`''::text`, type: text };
  const column = by === 'at' ? atColumn[kind] : updatedColumn[kind];
  return { value: sql.fragment`coalesce(${column ?? updatedColumn[kind]}, '-infinity'::timestamptz)`, type: time };
}

/** Holds the rows behind these records until the transaction ends: the patients' or the scans'. */
export async function holdRecords(tx: CommonQueryMethods, kind: RecordKind, ids: readonly string[]): Promise<void> {
  const hold = kind === 'patient' ? sql.fragment`SELECT 1 AS held FROM patients p WHERE p.organization_id = ${ORGANIZATION} AND p.patient_id = ANY(${uuids(ids)}) ORDER BY p.patient_id FOR NO KEY UPDATE`
    : kind === 'condition' || kind === 'allergy' ? sql.fragment`SELECT 1 AS held FROM patient_medical_history h WHERE h.organization_id = ${ORGANIZATION} AND h.history_id = ANY(${uuids(ids)}) ORDER BY h.history_id FOR NO KEY UPDATE`
      : sql.fragment`SELECT 1 AS held FROM scans s WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ANY(${uuids(ids)}) ORDER BY s.scan_id FOR NO KEY UPDATE`;
  await tx.any(sql.type(z.object({ held: z.number() }))`${hold}`);
}

export async function countRecords(tx: CommonQueryMethods, kind: RecordKind, criteria: Criteria): Promise<number> {
  const source: Source = sources[kind];
  return tx.oneFirst(sql.type(z.object({ matches: z.number() }))`SELECT count(*)::int AS matches FROM ${source.from} WHERE ${source.where} AND ${conditions(kind, criteria)}`);
}

/**
 * A query of another system must not hold the database for longer than this. It is looked up by an index where there is one: tables are large and on
 * disks without heads. Planned for the values it has: how many rows a name or a time has decides which index serves.
 */
export async function limitStatement(tx: CommonQueryMethods, milliseconds: number): Promise<void> {
  await tx.query(sql.typeAlias('void')`SELECT set_config('statement_timeout', ${String(milliseconds)}, true), set_config('random_page_cost', '1.1', true), set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true)`);
}

type Criterion = keyof Criteria;
const uuids = (values: readonly string[]) => sql.array(values.filter((value) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)), 'uuid');
const texts = (values: readonly string[]) => sql.array([...values], 'text');
const NOTHING = sql.fragment`false`;

const updatedColumn: Readonly<Record<RecordKind, Fragment>> = {
  patient: sql.fragment`p.updated_at`, order: sql.fragment`s.updated_at`, study: sql.fragment`s.updated_at`, report: sql.fragment`r.updated_at`, version: sql.fragment`r.updated_at`,
  condition: sql.fragment`h.updated_at`, allergy: sql.fragment`h.updated_at`, task: sql.fragment`greatest(q.updated_at, s.updated_at)`,
  finding: sql.fragment`greatest(f.updated_at, r.updated_at)`, model: sql.fragment`m.updated_at`, audit: sql.fragment`l.created_at`,
};
const STUDY_TIME = sql.fragment`coalesce(s.study_at, r.created_at)`;
const atColumn: Readonly<Partial<Record<RecordKind, Fragment>>> = {
  order: sql.fragment`coalesce(s.scheduled_at, s.created_at)`, study: sql.fragment`s.study_at`, report: STUDY_TIME, finding: STUDY_TIME, version: sql.fragment`r.created_at`, audit: sql.fragment`l.occurred_at`, condition: sql.fragment`h.created_at`, allergy: sql.fragment`h.created_at`, task: sql.fragment`q.queue_entered_at`,
};
const statusColumn: Readonly<Partial<Record<RecordKind, Fragment>>> = {
  patient: sql.fragment`CASE WHEN p.is_active THEN 'active' ELSE 'inactive' END`, order: sql.fragment`CASE WHEN s.order_status = 'ordered' AND s.images_complete_at IS NOT NULL THEN 'done' ELSE s.order_status END`,
  study: sql.fragment`CASE WHEN s.instance_count > 0 THEN 'available' WHEN s.status = 'cancelled' THEN 'cancelled' ELSE 'registered' END`, condition: sql.fragment`coalesce(h.status, 'active')`, allergy: sql.fragment`coalesce(h.status, 'active')`, task: sql.fragment`q.status`, report: sql.fragment`r.status`, model: sql.fragment`m.status`,
  finding: sql.fragment`CASE WHEN r.document @> jsonb_build_object('findings', jsonb_build_array(jsonb_build_object('findingId', f.finding_id))) THEN r.status ELSE 'entered-in-error' END`,
};

function conditions(kind: RecordKind, criteria: Criteria): Fragment {
  const given = (Object.keys(criteria) as Criterion[]).filter((name) => criteria[name] !== undefined).map((name) => condition(kind, name, criteria));
  return given.length === 0 ? sql.fragment`true` : sql.fragment`${sql.join(given, sql.fragment` AND `)}`;
}

function condition(kind: RecordKind, name: Criterion, criteria: Criteria): Fragment {
  const isStatement = kind === 'condition' || kind === 'allergy', hasScan = kind !== 'patient' && kind !== 'model' && kind !== 'audit' && !isStatement, hasReport = kind === 'report' || kind === 'version' || kind === 'finding';
  const patient = kind === 'patient' ? sql.fragment`p.patient_id` : kind === 'audit' ? sql.fragment`l.patient_id` : isStatement ? sql.fragment`h.patient_id` : sql.fragment`s.patient_id`;
  switch (name) {
    case 'ids': return sql.fragment`${sources[kind].id} = ANY(${uuids(criteria.ids ?? [])})`;
    case 'updated': return inRanges(updatedColumn[kind], criteria.updated);
    case 'at': return inRanges(atColumn[kind], criteria.at);
    case 'patientIds': return kind === 'model' ? NOTHING : sql.fragment`${patient} = ANY(${uuids(criteria.patientIds ?? [])})`;
    case 'patientIdentifiers': return kind === 'model' || kind === 'audit' ? NOTHING : anyOf(criteria.patientIdentifiers ?? [], ({ value, authority }) => identified(patient, value, authority));
    case 'accessionNumbers': return hasScan ? sql.fragment`s.accession_number = ANY(${texts(criteria.accessionNumbers ?? [])})` : NOTHING;
    case 'orderNumbers': {
      const numbers = texts(criteria.orderNumbers ?? []);
      return hasScan ? sql.fragment`(s.accession_number = ANY(${numbers}) OR s.placer_order_number = ANY(${numbers}) OR s.filler_order_number = ANY(${numbers}))` : NOTHING;
    }
    case 'studyInstanceUids': return hasScan ? sql.fragment`s.study_instance_uid = ANY(${texts(criteria.studyInstanceUids ?? [])})` : NOTHING;
    case 'trackingUids': return kind === 'finding' ? sql.fragment`f.tracking_uid = ANY(${texts(criteria.trackingUids ?? [])})` : NOTHING;
    case 'statuses': return statusColumn[kind] === undefined ? NOTHING : sql.fragment`${statusColumn[kind]} = ANY(${texts(criteria.statuses ?? [])})`;
    case 'codes': return anyOf(criteria.codes ?? [], ({ code, systems }) => coded(kind, code, systems));
    case 'reportIds': return hasReport ? sql.fragment`r.lineage_id = ANY(${uuids(criteria.reportIds ?? [])})` : NOTHING;
    case 'scanIds': return hasScan ? sql.fragment`s.scan_id = ANY(${uuids(criteria.scanIds ?? [])})` : NOTHING;
    case 'modalities': return hasScan ? sql.fragment`s.modalities && ${texts(criteria.modalities ?? [])}` : NOTHING;
    case 'sexes': return kind === 'patient' ? sql.fragment`p.sex = ANY(${texts(criteria.sexes ?? [])})` : NOTHING;
    case 'texts': return kind !== 'patient' ? NOTHING : sql.fragment`${sql.join((criteria.texts ?? []).map(({ columns, match, values }) => anyOf(values, (value) => anyOf(columns, (column) => textMatch(column, match, value)))), sql.fragment` AND `)}`;
    case 'born': return kind !== 'patient' ? NOTHING : sql.fragment`${sql.join((criteria.born ?? []).map(({ is, date }) => bornCondition(is, date)), sql.fragment` AND `)}`;
    case 'names': return named(kind, criteria.names ?? []);
    case 'findingIds': return hasReport ? anyOf(criteria.findingIds ?? [], (findingId) => sql.fragment`r.document @> ${JSON.stringify({ findings: [{ findingId }] })}::jsonb`) : NOTHING;
  }
}

function identified(patient: Fragment, value: string, authority: string | undefined): Fragment {
  const ofAuthority = authority === undefined ? sql.fragment`true` : sql.fragment`i.assigning_authority = ${authority}`;
  return sql.fragment`${patient} IN (SELECT i.patient_id FROM patient_identifiers i WHERE i.organization_id = ${ORGANIZATION} AND i.value_index = ${value} AND ${ofAuthority})`;
}

/** The date compared as far as it is asked for: all that begin with it lie together in "C" order, which is the index's (migrations/0035). */
function bornCondition(is: DayComparison['is'], date: string): Fragment {
  const column = sql.fragment`p.birth_date COLLATE "C"`, end = `${date}\u{10ffff}`;
  switch (is) {
    case '=': return sql.fragment`(${column} >= ${date} AND ${column} < ${end})`;
    case '<': return sql.fragment`${column} < ${date}`;
    case '<=': return sql.fragment`${column} < ${end}`;
    case '>': return sql.fragment`${column} >= ${end}`;
    case '>=': return sql.fragment`${column} >= ${date}`;
  }
}

/** Names are kept by what they stand for: a task and a study are both a scan. */
function named(kind: RecordKind, names: NonNullable<Criteria['names']>): Fragment {
  return anyOf(names, ({ name, integrationId }) => sql.fragment`${sources[kind].id} IN (
    SELECT n.record_id FROM record_names n WHERE n.organization_id = ${ORGANIZATION} AND n.integration_id = ${integrationId}::uuid AND n.kind = ${kind} AND n.name = ${name})`);
}

function textMatch(column: TextColumn, match: 'begins' | 'is' | 'contains', value: string): Fragment {
  const name = sql.identifier(['p', column]), pattern = value.toLowerCase().replaceAll(/[\\%_]/g, '\\$&');
  if (match === 'is') return sql.fragment`${name} = ${value}`;
  return sql.fragment`lower(${name}) LIKE ${match === 'begins' ? `${pattern}%` : `%${pattern}%`}`;
}

function coded(kind: RecordKind, code: string, systems: readonly string[] | undefined): Fragment {
  if (!['order', 'report', 'finding', 'condition', 'allergy'].includes(kind)) return NOTHING;
  const [codeColumn, systemColumn] = kind === 'condition' || kind === 'allergy' ? [sql.fragment`h.code`, sql.fragment`h.code_system`] : kind === 'finding' ? [sql.fragment`f.finding_code`, sql.fragment`f.finding_code_system`] : [sql.fragment`s.procedure_code`, sql.fragment`s.procedure_system`];
  return systems === undefined ? sql.fragment`${codeColumn} = ${code}` : sql.fragment`(${codeColumn} = ${code} AND coalesce(${systemColumn}, '') = ANY(${texts(systems)}))`;
}

function anyOf<T>(values: readonly T[], toCondition: (value: T) => Fragment): Fragment {
  return values.length === 0 ? NOTHING : sql.fragment`(${sql.join(values.map(toCondition), sql.fragment` OR `)})`;
}

/** Unlike the other criteria, ranges all hold: ge and lt together are a span. The column stands alone on its side, so that an index of it serves. */
function inRanges(column: Fragment | undefined, ranges: readonly TimeRange[] | undefined): Fragment {
  if (column === undefined || ranges === undefined || ranges.length === 0) return NOTHING;
  const ends = ranges.flatMap(({ from, to }) => [
    ...(from === undefined ? [] : [sql.fragment`${column} >= ${momentOf(Math.ceil(from))}::timestamptz`]), ...(to === undefined ? [] : [sql.fragment`${column} < ${momentOf(Math.floor(to) + 1)}::timestamptz`]),
  ]);
  return ends.length === 0 ? sql.fragment`true` : sql.fragment`${sql.join(ends, sql.fragment` AND `)}`;
}

/** Years 1 to 9999, which PostgreSQL and ISO 8601 write alike. */
function momentOf(milliseconds: number): string {
  return new Date(Math.min(Math.max(milliseconds, -62_135_596_800_000), 253_402_300_799_999)).toISOString();
}
