import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, instant, optionalTimestamp, text, timestamp } from '../fields.ts';
import { idsBefore, idsFrom, keyAfter, pageQuery, type Page } from '../pagination.ts';

export const scanTypes = ['xray', 'ct', 'mri', 'ultrasound', 'mammogram', 'pet', 'nuclear', 'other'] as const;
export const scanStatuses = ['scheduled', 'in_progress', 'completed', 'cancelled', 'failed'] as const;
export const priorities = ['routine', 'urgent', 'emergency', 'stat'] as const;

export const Scan = z.object({
  scan_id: id, scan_number: z.string(), patient_id: id, patient_number: z.string(), scan_type: z.enum(scanTypes), status: z.enum(scanStatuses), priority: z.enum(priorities),
  study_instance_uid: text, study_id: text, accession_number: text, placer_order_number: text, filler_order_number: text, order_status: text,
  procedure_code: text, procedure_system: text, procedure_description: text, study_description: text, reason: text,
  requesting_physician: text, referring_physician: text, modalities: z.array(z.string()), body_part: text, laterality: text,
  scheduled_at: optionalTimestamp, study_at: optionalTimestamp, institution_name: text, station_name: text,
  instance_count: z.int(), series_count: z.int(), total_bytes: z.int(), expected_instances: z.int().nullable(),
  first_instance_at: optionalTimestamp, last_instance_at: optionalTimestamp, images_complete_at: optionalTimestamp, completeness_proof: text, completion_run: z.int(),
  created_at: timestamp, updated_at: timestamp,
}).openapi('Scan');

export const scanQuery = pageQuery.extend({
  status: z.enum(scanStatuses).optional(), scan_type: z.enum(scanTypes).optional(), priority: z.enum(priorities).optional(), patient_id: id.optional(), study_instance_uid: z.string().min(1).max(64).optional(),
  created_from: instant.optional(), created_before: instant.optional(),
  study_from: instant.optional(), study_before: instant.optional(),
});

const columns = sql.fragment`s.scan_id, s.scan_number, s.patient_id, p.patient_number, s.scan_type, s.status, s.priority, s.study_instance_uid, s.study_id, s.accession_number,
  s.placer_order_number, s.filler_order_number, s.order_status, s.procedure_code, s.procedure_system, s.procedure_description, s.study_description, s.reason,
  s.requesting_physician, s.referring_physician, s.modalities, s.body_part, s.laterality, s.scheduled_at, s.study_at, s.institution_name, s.station_name,
  s.instance_count, s.series_count, s.total_bytes, s.expected_instances, s.first_instance_at, s.last_instance_at, s.images_complete_at, s.completeness_proof,
  s.completion_run, s.created_at, s.updated_at`;
const source = sql.fragment`scans s JOIN patients p ON p.organization_id = s.organization_id AND p.patient_id = s.patient_id`;

/** More studies of a time than this are met soon enough on the way through all of them. */
const mostOfTime = 2_000;

/** Studies of a time, when they are few: their index finds them, wherever in the past the time lies. */
async function scansOfTime(tx: Transaction, { study_from: from, study_before: before }: z.output<typeof scanQuery>): Promise<readonly string[] | undefined> {
  if (from === undefined && before === undefined) return undefined;
  const range = [...(from === undefined ? [] : [sql.fragment`study_at >= ${from}::timestamptz`]), ...(before === undefined ? [] : [sql.fragment`study_at < ${before}::timestamptz`])];
  const found = await tx.anyFirst(sql.type(z.object({ scan_id: z.string() }))`SELECT scan_id FROM scans WHERE organization_id = ${ORGANIZATION} AND ${sql.join(range, sql.fragment` AND `)} ORDER BY study_at DESC LIMIT ${mostOfTime + 1}`);
  return found.length > mostOfTime ? undefined : found;
}

/** Only what is asked for is in the statement, so that each kind of list has its own plan. `among`: only of these. */
export async function listScans(tx: Transaction, query: z.output<typeof scanQuery>, among?: readonly string[]) {
  const ofTime = await scansOfTime(tx, query);
  const before = keyAfter(query);
  const conditions = [
    sql.fragment`s.organization_id = ${ORGANIZATION}`,
    ...(ofTime === undefined ? [] : [sql.fragment`s.scan_id = ANY(${sql.array([...ofTime], 'uuid')})`]),
    ...(before === null ? [] : [sql.fragment`s.scan_id < ${before}::uuid`]),
    ...(among === undefined ? [] : [sql.fragment`s.scan_id = ANY(${sql.array([...among], 'uuid')})`]),
    ...(query.status === undefined ? [] : [sql.fragment`s.status = ${sql.literalValue(query.status)}`]),
    ...(query.scan_type === undefined ? [] : [sql.fragment`s.scan_type = ${query.scan_type}`]),
    ...(query.priority === undefined ? [] : [sql.fragment`s.priority = ${query.priority}`]),
    ...(query.patient_id === undefined ? [] : [sql.fragment`s.patient_id = ${query.patient_id}::uuid`]),
    ...(query.study_instance_uid === undefined ? [] : [sql.fragment`s.study_instance_uid = ${query.study_instance_uid}`]),
    ...(query.created_from === undefined ? [] : [sql.fragment`s.created_at >= ${query.created_from}::timestamptz`, sql.fragment`s.scan_id >= ${idsFrom(query.created_from)}::uuid`]),
    ...(query.created_before === undefined ? [] : [sql.fragment`s.created_at < ${query.created_before}::timestamptz`, sql.fragment`s.scan_id < ${idsBefore(query.created_before)}::uuid`]),
    ...(query.study_from === undefined ? [] : [sql.fragment`s.study_at >= ${query.study_from}::timestamptz`]),
    ...(query.study_before === undefined ? [] : [sql.fragment`s.study_at < ${query.study_before}::timestamptz`]),
  ];
  return tx.any(sql.type(Scan)`SELECT ${columns} FROM ${source} WHERE ${sql.join(conditions, sql.fragment` AND `)} ORDER BY s.scan_id DESC LIMIT ${query.limit + 1}`);
}

export function listScansOfPatient(tx: Transaction, patientId: string, page: Page) {
  return tx.any(sql.type(Scan)`
    SELECT ${columns} FROM ${source}
    WHERE s.organization_id = ${ORGANIZATION} AND s.patient_id = ${patientId} AND s.scan_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY s.scan_id DESC LIMIT ${page.limit + 1}`);
}

export function readScan(tx: Transaction, scanId: string) {
  return tx.maybeOne(sql.type(Scan)`SELECT ${columns} FROM ${source} WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId}`);
}
