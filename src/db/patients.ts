/** Rows of patients and patient_identifiers; who is who is decided in pipeline/identify.ts. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { PatientIdentifier } from '#gateway/normalized.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Id = z.object({ id: z.string() });

const Candidate = z.object({
  patient_id: z.string(), value: z.string(), assigning_authority: z.string(),
  family_name: z.string().nullable(), birth_date: z.string().nullable(), identity_status: z.string(),
});
export type PatientCandidate = z.infer<typeof Candidate>;

/** Patients that own an identifier with one of these values, under any assigning authority. */
export async function findCandidates(tx: CommonQueryMethods, values: readonly string[]): Promise<readonly PatientCandidate[]> {
  return tx.any(sql.type(Candidate)`
    SELECT p.patient_id, i.value, i.assigning_authority, p.family_name, p.birth_date, p.identity_status
    FROM patient_identifiers i JOIN patients p ON p.organization_id = i.organization_id AND p.patient_id = i.patient_id
    WHERE i.organization_id = ${ORGANIZATION} AND i.value_index = ANY(${sql.array([...values], 'text')})
    ORDER BY i.created_at`);
}

/** A patient by our own id; one that was merged is its survivor. */
export async function findById(tx: CommonQueryMethods, patientId: string): Promise<Omit<PatientCandidate, 'value' | 'assigning_authority'> | undefined> {
  return await tx.maybeOne(sql.type(Candidate.omit({ value: true, assigning_authority: true }))`
    SELECT s.patient_id, s.family_name, s.birth_date, s.identity_status FROM patients p
    JOIN patients s ON s.organization_id = p.organization_id AND s.patient_id = coalesce(p.merged_into_patient_id, p.patient_id)
    WHERE p.organization_id = ${ORGANIZATION} AND p.patient_id = ${patientId}`) ?? undefined;
}

export const PATIENT_COLUMNS = ['family_name', 'given_name', 'middle_name', 'name_prefix', 'name_suffix', 'ideographic_name', 'phonetic_name', 'birth_date', 'sex',
  'address', 'telecom', 'deceased', 'deceased_at'] as const;
export type PatientColumn = (typeof PATIENT_COLUMNS)[number];
export type PatientValues = Partial<Record<PatientColumn, unknown>>;

const VALUES = sql.fragment`r(family_name text, given_name text, middle_name text, name_prefix text, name_suffix text,
      ideographic_name text, phonetic_name text, birth_date text, sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text)`;
const PRECISION = sql.fragment`CASE length(r.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END`;

const Stored = z.object({
  ...Object.fromEntries(PATIENT_COLUMNS.map((column) => [column, z.unknown()])),
  provenance: z.record(z.string(), z.object({ authority: z.string(), sync_id: z.string().optional(), at: z.string() })),
});
export type StoredPatient = Record<PatientColumn, unknown> & { provenance: z.infer<typeof Stored>['provenance'] };
/** A patient of whom nothing is known yet. */
export const UNKNOWN_PATIENT = { ...Object.fromEntries(PATIENT_COLUMNS.map((column) => [column, null])), provenance: {} } as StoredPatient;

/** Reads and locks one patient for this transaction. */
export async function lockPatient(tx: CommonQueryMethods, patientId: string): Promise<StoredPatient> {
  return await tx.one(sql.type(Stored)`
    SELECT family_name, given_name, middle_name, name_prefix, name_suffix, ideographic_name, phonetic_name, birth_date, sex, address, telecom, deceased, deceased_at, provenance
    FROM patients WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId} FOR UPDATE`) as StoredPatient;
}

export interface NewPatient { readonly patientNumber: string; readonly identityStatus: 'established' | 'quarantined'; readonly values?: PatientValues; readonly provenance?: StoredPatient['provenance'] }

export async function insertPatient(tx: CommonQueryMethods, { patientNumber, identityStatus, values = {}, provenance = {} }: NewPatient): Promise<string> {
  const { id } = await tx.one(sql.type(Id)`
    INSERT INTO patients (organization_id, patient_number, identity_status, family_name, given_name, middle_name, name_prefix, name_suffix, ideographic_name, phonetic_name, birth_date,
      birth_date_precision, sex, address, telecom, deceased, deceased_at, provenance)
    SELECT ${ORGANIZATION}, ${patientNumber}, ${identityStatus}, r.family_name, r.given_name, r.middle_name, r.name_prefix, r.name_suffix, r.ideographic_name, r.phonetic_name, r.birth_date,
      ${PRECISION}, r.sex, r.address, r.telecom, r.deceased, r.deceased_at, ${sql.jsonb(provenance as never)}
    FROM jsonb_to_record(${JSON.stringify(values)}::jsonb) AS ${VALUES} RETURNING patient_id AS id`);
  return id;
}

export async function updatePatient(tx: CommonQueryMethods, patientId: string, values: PatientValues, provenance: StoredPatient['provenance']): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE patients p SET
      family_name = r.family_name, given_name = r.given_name, middle_name = r.middle_name, name_prefix = r.name_prefix, name_suffix = r.name_suffix,
      ideographic_name = r.ideographic_name, phonetic_name = r.phonetic_name, birth_date = r.birth_date,
      birth_date_precision = ${PRECISION}, sex = r.sex, address = r.address, telecom = r.telecom, deceased = r.deceased, deceased_at = r.deceased_at, provenance = ${sql.jsonb(provenance as never)}
    FROM jsonb_to_record(${JSON.stringify(values)}::jsonb) AS ${VALUES}
    WHERE p.organization_id = ${ORGANIZATION} AND p.patient_id = ${patientId}`);
}

export async function setPatientStatus(tx: CommonQueryMethods, patientId: string, change: { isActive?: boolean | undefined; identityStatus?: 'established' | 'quarantined'; patientNumber?: string }): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE patients SET is_active = coalesce(${change.isActive ?? null}, is_active), identity_status = coalesce(${change.identityStatus ?? null}, identity_status),
      patient_number = coalesce(${change.patientNumber ?? null}, patient_number)
    WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId}`);
}

/** Adds identifiers that nobody owns yet; returns those that already belong to another patient. */
export async function addIdentifiers(tx: CommonQueryMethods, patientId: string, identifiers: readonly PatientIdentifier[], isCurrent = true): Promise<readonly PatientIdentifier[]> {
  if (identifiers.length === 0) return [];
  const { rowCount } = await tx.query(sql.type(Nothing)`
    INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code, is_current)
    SELECT ${ORGANIZATION}, ${patientId}, assigning_authority, value, value, type_code, ${isCurrent}
    FROM jsonb_to_recordset(${JSON.stringify(identifiers)}::jsonb) AS r(assigning_authority text, value text, type_code text)
    ON CONFLICT (organization_id, value_index, assigning_authority) DO NOTHING`);
  if (rowCount === identifiers.length) return [];
  const owners = await findCandidates(tx, identifiers.map((identifier) => identifier.value));
  return identifiers.filter((identifier) => owners.some((owner) =>
    owner.value === identifier.value && owner.assigning_authority === identifier.assigning_authority && owner.patient_id !== patientId));
}

/** Which of these patients are quarantined: their identity is not established yet. */
export async function quarantinedPatients(tx: CommonQueryMethods, patientIds: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await tx.any(sql.type(Id)`
    SELECT patient_id AS id FROM patients WHERE organization_id = ${ORGANIZATION} AND identity_status = 'quarantined' AND patient_id = ANY(${sql.array([...patientIds], 'uuid')})`);
  return new Set(rows.map((row) => row.id));
}
