import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { patientsByName } from '../../db/patient-names.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, json, text, timestamp } from '../fields.ts';
import { keyAfter, maximumLimit, type Page } from '../pagination.ts';

export const Patient = z.object({
  patient_id: id, patient_number: z.string(), family_name: text, given_name: text, middle_name: text, name_prefix: text, name_suffix: text,
  ideographic_name: text, phonetic_name: text, birth_date: text, birth_date_precision: text, sex: text,
  address: z.array(json).nullable(), telecom: z.array(json).nullable(), deceased: z.boolean().nullable(), deceased_at: text, is_active: z.boolean(),
  merged_into_patient_id: id.nullable(), identity_status: z.enum(['established', 'quarantined']), provenance: json, created_at: timestamp, updated_at: timestamp,
}).openapi('Patient');

/** What a list shows: enough to choose by, no address or telephone. */
export const PatientSummary = Patient.pick({
  patient_id: true, patient_number: true, family_name: true, given_name: true, birth_date: true, sex: true, is_active: true, merged_into_patient_id: true, identity_status: true,
}).openapi('PatientSummary');

export const PatientSearch = z.strictObject({
  name: z.string().trim().min(1).max(200).describe('Beginnings of family, given or middle name, in any order: "mül an"').optional(),
  birth_date: z.string().regex(/^\d{4}(-\d{2}(-\d{2})?)?$/, 'YYYY, YYYY-MM or YYYY-MM-DD').describe('A shorter date finds all within it').optional(),
  identifier: z.strictObject({ value: z.string().min(1).max(200), assigning_authority: z.string().max(200).optional() }).optional(),
  limit: z.int().min(1).max(maximumLimit).default(50),
  cursor: z.string().max(200).optional(),
}).refine((search) => search.name !== undefined || search.birth_date !== undefined || search.identifier !== undefined, 'Give a name, a birth_date or an identifier').openapi('PatientSearch');

export const PatientIdentifier = z.object({
  patient_identifier_id: id, patient_id: id, assigning_authority: z.string(), value: z.string(), type_code: text, is_current: z.boolean(), created_at: timestamp,
}).openapi('PatientIdentifier');

export const PatientHistory = z.object({
  history_id: id, patient_id: id, kind: z.enum(['condition', 'allergy', 'procedure', 'medication', 'visit']), code: text, code_system: text, display: z.string(),
  onset: text, status: text, severity: text, detail: json, source_sync_id: id.nullable(), created_at: timestamp, updated_at: timestamp,
}).openapi('PatientHistory');

const mostCandidates = 2_000;

/** Beginnings of the pieces of a name: of the alphabetic one, which stands in its index in small letters, and of names in other writings. */
function nameConditions(prefixes: readonly string[]) {
  const all = (toCondition: (prefix: string) => ReturnType<typeof sql.fragment>) => sql.join(prefixes.map(toCondition), sql.fragment` AND `);
  return [
    all((prefix) => sql.fragment`(p.name_key LIKE ${prefix} OR p.name_key LIKE ${`%^${prefix}`})`),
    sql.fragment`((p.ideographic_name IS NOT NULL OR p.phonetic_name IS NOT NULL) AND ${all((prefix) => sql.fragment`(p.name_key LIKE ${prefix} OR p.name_key LIKE ${`%^${prefix}`}
      OR lower(p.ideographic_name) LIKE ${prefix} OR lower(p.phonetic_name) LIKE ${prefix})`)})`,
  ];
}

/** By name the index is searched first: the patients it finds are looked at when they are few, and all patients, newest first, when they are many. */
export async function searchPatients(tx: Transaction, search: z.output<typeof PatientSearch>) {
  const prefixes = (search.name ?? '').split(/[\s,^]+/).filter(Boolean).map((word) => `${word.toLowerCase().replaceAll(/[\\%_]/g, String.raw`\$&`)}%`);
  const names = prefixes.length === 0 ? [] : nameConditions(prefixes);
  const found = new Set<string>();
  // As a range in "C" order, which an index serves under row level security.
  const born = search.birth_date === undefined ? [] : [sql.fragment`p.birth_date COLLATE "C" >= ${search.birth_date} AND p.birth_date COLLATE "C" < ${`${search.birth_date}\u{10ffff}`}`];
  if (names.length > 0) await tx.query(sql.typeAlias('void')`SELECT set_config('enable_seqscan', 'off', true)`);
  for (const [index, name] of names.entries()) for (const patientId of await tx.anyFirst(sql.type(z.object({ patient_id: z.string() }))`SELECT p.patient_id FROM ${index === 0 && born.length === 0 ? patientsByName : sql.fragment`patients p`} WHERE p.organization_id = ${ORGANIZATION} AND ${sql.join([...born, name], sql.fragment` AND `)} LIMIT ${mostCandidates + 1}`)) found.add(patientId);
  const before = keyAfter(search);
  const conditions = [
    sql.fragment`p.organization_id = ${ORGANIZATION}`,
    ...(before === null ? [] : [sql.fragment`p.patient_id < ${before}::uuid`]),
    ...(names.length === 0 ? [] : [found.size > mostCandidates ? sql.fragment`(${sql.join(names, sql.fragment` OR `)})` : sql.fragment`p.patient_id = ANY(${sql.array([...found], 'uuid')})`]),
    ...born,
    ...(search.identifier === undefined ? [] : [sql.fragment`p.patient_id IN (SELECT i.patient_id FROM patient_identifiers i WHERE i.organization_id = ${ORGANIZATION} AND i.value_index = ${search.identifier.value}
      AND ${search.identifier.assigning_authority === undefined ? sql.fragment`true` : sql.fragment`i.assigning_authority = ${search.identifier.assigning_authority}`})`]),
  ];
  return tx.any(sql.type(PatientSummary)`
    SELECT p.patient_id, p.patient_number, p.family_name, p.given_name, p.birth_date, p.sex, p.is_active, p.merged_into_patient_id, p.identity_status
    FROM patients p WHERE ${sql.join(conditions, sql.fragment` AND `)} ORDER BY p.patient_id DESC LIMIT ${search.limit + 1}`);
}

export function readPatient(tx: Transaction, patientId: string) {
  return tx.maybeOne(sql.type(Patient)`
    SELECT patient_id, patient_number, family_name, given_name, middle_name, name_prefix, name_suffix, ideographic_name, phonetic_name, birth_date, birth_date_precision,
      sex, address, telecom, deceased, deceased_at, is_active, merged_into_patient_id, identity_status, provenance, created_at, updated_at
    FROM patients WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId}`);
}

export function listIdentifiers(tx: Transaction, patientId: string, page: Page) {
  return tx.any(sql.type(PatientIdentifier)`
    SELECT patient_identifier_id, patient_id, assigning_authority, value, type_code, is_current, created_at FROM patient_identifiers
    WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId} AND patient_identifier_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY patient_identifier_id DESC LIMIT ${page.limit + 1}`);
}

export function listHistory(tx: Transaction, patientId: string, page: Page) {
  return tx.any(sql.type(PatientHistory)`
    SELECT history_id, patient_id, kind, code, code_system, display, onset, status, severity, detail, source_sync_id, created_at, updated_at FROM patient_medical_history
    WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId} AND history_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY history_id DESC LIMIT ${page.limit + 1}`);
}
