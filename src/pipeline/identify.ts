/**
 * Who is this? One patient over three protocols. In: the identifiers and demographics of one message. Out: the patient it belongs to.
 *
 *   same value and assigning authority          -> that patient
 *   same value, one side names no authority     -> that patient, if name and birth date do not contradict
 *   nothing matches                             -> a new patient
 *   no identifier at all, or two owners         -> quarantined / the first identifier's owner, and a person is told
 *
 * Identity never refuses care data. Demographics move by authority: registration over order over image; an equal or higher one replaces.
 */
import { raiseAlert, type Alert } from '../db/alerts.ts';
import {
  addIdentifiers, findById, findCandidates, insertPatient, lockPatient, PATIENT_COLUMNS, setPatientStatus, UNKNOWN_PATIENT, updatePatient, type PatientCandidate, type PatientValues, type StoredPatient,
} from '../db/patients.ts';
import type { Transaction } from '../db/transaction.ts';
import { NormalizeError } from '#gateway/adapter.ts';
import type { MappingWarning, PatientIdentifier, PatientRow, SourceAuthority } from '#gateway/normalized.ts';

export { applyMerge } from './merge.ts';

const RANK: Record<SourceAuthority, number> = { image: 1, order: 2, registration: 3 };

export interface Identified { patientId: string; isNew: boolean; isQuarantined: boolean }
/** `firstAt`: of a message that comes late, when it first was here. */
export interface Said { authority: SourceAuthority; syncId: string; at: Date; firstAt?: Date | undefined; warnings: MappingWarning[] }

/** Told as PostgreSQL tells of a key that is there twice: who persists tries again (persist.ts, writes.ts). */
class MadeMeanwhile extends Error {
  readonly code = '23505';
}

/** Finds or creates the patient, writes what the message may say about it. `unknownName` names a patient that has no identifier. */
export async function identifyPatient(tx: Transaction, row: PatientRow, said: Said, unknownName: string): Promise<Identified> {
  const found = await held(tx, row, await findPatient(tx, row, said.warnings));
  const identified = found ?? await createPatient(tx, row, said, unknownName);
  const taken = await addIdentifiers(tx, identified.patientId, row.identifiers);
  // Nobody had one of them a moment ago: another transaction made the same patient meanwhile. Done again, it is found.
  if (taken.length > 0 && !found) throw new MadeMeanwhile('the patient was made by another message at the same moment');
  if (taken.length > 0) await raiseAlert(tx, identityAlerts.taken(identified.patientId, taken.length, said.warnings));
  if (found) await writeDemographics(tx, identified.patientId, row, said);
  return identified;
}

/** Held from here on. A merge that we waited for, or one that was undone, may have given the numbers to another patient: then it is that one. */
async function held(tx: Transaction, row: PatientRow, found: Identified | undefined): Promise<Identified | undefined> {
  for (let meant = found; meant !== undefined;) {
    await lockPatient(tx, meant.patientId);
    const now = await findPatient(tx, row, []);
    if (now?.patientId === meant.patientId) return now;
    meant = now;
  }
  return undefined;
}

/** Whom the identifiers mean; nobody is made. */
export async function findPatient(tx: Transaction, row: PatientRow, warnings: MappingWarning[]): Promise<Identified | undefined> {
  if (row.patient_id !== undefined) {
    const named = await findById(tx, row.patient_id);
    if (!named) throw new NormalizeError('invalid', 'no patient of this organization has this id; refer to the patient by an identifier', 'Patient/<id>');
    return toIdentified(named);
  }
  if (row.identifiers.length === 0) return undefined;
  const owner = chooseOwner(await findCandidates(tx, row.identifiers.map((identifier) => identifier.value)), row, warnings);
  return owner && toIdentified(owner);
}

/** An identifier that is stored, and what is compared when it matches by value alone. */
export type Owner = Pick<PatientCandidate, 'patient_id' | 'value' | 'assigning_authority' | 'family_name' | 'birth_date'>;

/** Whom the identifiers of a message mean, among the owners of their values; undefined: nobody who is known. */
export function chooseOwner<T extends Owner>(candidates: readonly T[], row: PatientRow, warnings: MappingWarning[]): T | undefined {
  for (const identifier of row.identifiers) {
    const exact = candidates.find((c) => c.value === identifier.value && c.assigning_authority === identifier.assigning_authority);
    if (exact) return exact;
  }
  const [first] = row.identifiers;
  if (!first) return undefined;
  const loose = candidates.filter((c) => c.value === first.value && (c.assigning_authority === '' || first.assigning_authority === ''));
  const compatible = loose.filter((candidate) => !contradicts(candidate, row));
  const [only] = compatible;
  if (only && compatible.every((candidate) => candidate.patient_id === only.patient_id)) {
    warnings.push({ location: 'patient_identifiers.assigning_authority', text: 'matched by value alone: one side names no assigning authority' });
    return only;
  }
  return undefined;
}

const toIdentified = (candidate: Pick<PatientCandidate, 'patient_id' | 'identity_status'>): Identified => ({ patientId: candidate.patient_id, isNew: false, isQuarantined: candidate.identity_status === 'quarantined' });

function contradicts(candidate: Owner, row: PatientRow): boolean {
  const differ = (a: string | null | undefined, b: string | null | undefined): boolean => Boolean(a && b) && a!.localeCompare(b!, undefined, { sensitivity: 'base' }) !== 0;
  const dates = candidate.birth_date && row.birth_date && !candidate.birth_date.startsWith(row.birth_date) && !row.birth_date.startsWith(candidate.birth_date);
  return Boolean(dates) || differ(candidate.family_name, row.family_name);
}

async function createPatient(tx: Transaction, row: PatientRow, said: Said, unknownName: string): Promise<Identified> {
  const first = row.identifiers[0];
  const isQuarantined = first === undefined;
  const patientId = await insertPatient(tx, { patientNumber: first?.value ?? unknownName, identityStatus: isQuarantined ? 'quarantined' : 'established', ...demographicsAfter(UNKNOWN_PATIENT, row, said) });
  if (row.active !== undefined) await setPatientStatus(tx, patientId, { isActive: row.active });
  if (isQuarantined) await raiseAlert(tx, identityAlerts.unnamed(patientId));
  return { patientId, isNew: true, isQuarantined };
}

export const identityAlerts = {
  unnamed: (patientId: string): Alert => ({ kind: 'identity_conflict', severity: 'warning', subject: `patient ${patientId}`, message: 'A message without a patient identifier was stored for a quarantined patient; link it to the right one.' }),
  taken(patientId: string, count: number, warnings: MappingWarning[]): Alert {
    warnings.push({ location: 'patient_identifiers', text: `${count} identifier(s) of this message belong to another patient` });
    return { kind: 'identity_conflict', severity: 'warning', subject: `patient ${patientId}`, message: 'A message carries identifiers of two stored patients; compare them and merge or correct.' };
  },
};

async function writeDemographics(tx: Transaction, patientId: string, row: PatientRow, said: Said): Promise<void> {
  const after = demographicsAfter(await lockPatient(tx, patientId), row, said);
  if (after) await updatePatient(tx, patientId, after.values, after.provenance);
  if (row.active !== undefined) await setPatientStatus(tx, patientId, { isActive: row.active });
}

/** The stored values with what a message may say about them, and who said it; undefined: the message changes nothing. */
export function demographicsAfter(stored: StoredPatient, row: PatientRow, said: Said): { values: Required<PatientValues>; provenance: StoredPatient['provenance'] } | undefined {
  const changes: PatientValues = {};
  let provenance: StoredPatient['provenance'] | undefined, kept = 0;
  for (const column of PATIENT_COLUMNS) {
    const next = row[column];
    if (next === undefined || isSameJson(next, stored[column]) || !mayReplace(stored[column], stored.provenance[column]?.authority, next, said.authority)) continue;
    if (said.firstAt !== undefined && Date.parse(stored.provenance[column]?.at ?? '') > said.firstAt.getTime()) { kept += 1; continue; }
    changes[column] = next;
    provenance ??= { ...stored.provenance };
    provenance[column] = { authority: said.authority, sync_id: said.syncId, at: said.at.toISOString() };
  }
  if (kept > 0) said.warnings.push({ location: 'patient', text: `${kept} value(s) were changed after this message first came, and stay as they are` });
  return provenance && { values: { ...pick(stored), ...changes } as Required<PatientValues>, provenance };
}

const pick = (stored: StoredPatient): PatientValues => Object.fromEntries(PATIENT_COLUMNS.map((column) => [column, stored[column]]));

/** Equal as jsonb sees it: whatever the order of keys, a key without value is not there. */
export function isSameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(left).filter((key) => left[key] !== undefined);
  return keys.length === Object.keys(right).filter((key) => right[key] !== undefined).length && keys.every((key) => isSameJson(left[key], right[key]));
}

function mayReplace(stored: unknown, storedBy: string | undefined, next: unknown, by: SourceAuthority): boolean {
  const outranked = storedBy !== undefined && RANK[storedBy as SourceAuthority] > RANK[by];
  if (outranked) return stored === null && next !== null;
  // 'unknown' and an empty list say nothing that is worth losing a value for.
  return stored === null || !(next === 'unknown' || (Array.isArray(next) && next.length === 0));
}

export const identifierKey = (identifiers: readonly PatientIdentifier[]): string => identifiers.slice(0, 1).map((i) => `${i.assigning_authority}|${i.value}`).join('');
