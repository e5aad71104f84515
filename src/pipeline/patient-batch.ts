/**
 * The patients of one batch of messages, in memory: read once, changed message by message in order, so that each sees what those before it
 * said, and written once. The rules are those of identify.ts; only where the rows come from differs.
 */
import type { Alert } from '../db/alerts.ts';
import { PATIENT_COLUMNS, type PatientColumn } from '../db/patients.ts';
import type { LoadedBatch, LoadedPatient, PatientChanges, WrittenHistory } from '../db/store-messages.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { HistoryRow, PatientIdentifier, PatientRow } from '#gateway/normalized.ts';
import { chooseOwner, demographicsAfter, identityAlerts, isSameJson, type Identified, type Owner, type Said } from './identify.ts';

interface Member { readonly row: LoadedPatient; readonly patientNumber: string | undefined; isCompared: boolean; isChanged: boolean }
type NewIdentifier = NonNullable<PatientChanges['identifiers']>[number];

export class PatientBatch {
  readonly #members = new Map<string, Member>();
  readonly #owners = new Map<string, Owner[]>();
  #identifiers: NewIdentifier[] = [];
  readonly #history = new Map<string, WrittenHistory>();
  readonly #alerts = new Map<string, Alert & { occurrences: number }>();

  constructor(loaded: LoadedBatch) {
    for (const row of loaded.patients ?? []) this.#members.set(row.patient_id, { row, patientNumber: undefined, isCompared: false, isChanged: false });
    for (const [patientId, value, authority] of loaded.identifiers ?? []) this.#own(patientId, value, authority);
  }

  /** As identifyPatient, for a patient named by identifiers or by none. */
  identify(row: PatientRow, said: Said, unknownName: string): Identified {
    const candidates = row.identifiers.flatMap((identifier) => this.#owners.get(identifier.value) ?? []);
    const owner = chooseOwner(candidates, row, said.warnings);
    const member = owner ? this.#members.get(owner.patient_id)! : this.#create(row, unknownName);
    member.isCompared ||= owner !== undefined;
    const identified: Identified = { patientId: member.row.patient_id, isNew: owner === undefined, isQuarantined: member.row.identity_status === 'quarantined' };
    const taken = row.identifiers.filter((identifier) => !this.#claim(identified.patientId, identifier));
    if (taken.length > 0) this.#alert(identityAlerts.taken(identified.patientId, taken.length, said.warnings));
    const after = demographicsAfter(member.row, row, said);
    if (after) this.#change(member, { ...after.values, provenance: after.provenance });
    if (row.active !== undefined && row.active !== member.row.is_active) this.#change(member, { is_active: row.active });
    return identified;
  }

  establish(patientId: string): void {
    this.#change(this.#members.get(patientId)!, { identity_status: 'established' });
  }

  addHistory(patientId: string, statements: readonly HistoryRow[], syncId: string): void {
    const seen = new Set<string>();
    for (const statement of statements) {
      const statementKey = [statement.kind, statement.code_system ?? '', statement.code ?? statement.display, statement.onset ?? ''].join('|');
      if (seen.has(statementKey)) continue; // twice in one message: the first counts
      seen.add(statementKey);
      const key = `${patientId} ${statementKey}`;
      const next: WrittenHistory = { ...statement, detail: statement.detail ?? {}, patient_id: patientId, statement_key: statementKey, source_sync_id: syncId, has_changed: false };
      const before = this.#history.get(key);
      if (!before) this.#history.set(key, next);
      else if (!isSameJson(contentOf(before), contentOf(next))) this.#history.set(key, { ...before, display: next.display, status: next.status, severity: next.severity, detail: next.detail, source_sync_id: syncId, has_changed: true });
    }
  }

  /** What is to be written since the last call. */
  takeChanges(): PatientChanges {
    const members = [...this.#members.values()];
    const changed = members.filter((member) => member.isChanged);
    const compared = members.filter((member) => member.isCompared).map(({ row }) => [row.patient_id, row.version] as const);
    const parts = {
      inserted: changed.flatMap(({ row, patientNumber }) => (patientNumber === undefined ? [] : [{ ...row, patient_number: patientNumber }])),
      updated: changed.filter((member) => member.patientNumber === undefined).map(({ row }) => row),
      identifiers: this.#identifiers, history: [...this.#history.values()], alerts: [...this.#alerts.values()],
    };
    for (const member of members) this.#members.set(member.row.patient_id, { ...member, patientNumber: undefined, isCompared: false, isChanged: false });
    this.#identifiers = [];
    this.#history.clear();
    this.#alerts.clear();
    return { ...(compared.length > 0 ? { compared: Object.fromEntries(compared) } : {}), ...Object.fromEntries(Object.entries(parts).filter(([, rows]) => rows.length > 0)) };
  }

  #own(patientId: string, value: string, authority: string): void {
    const owners = this.#owners.get(value) ?? [];
    if (owners.length === 0) this.#owners.set(value, owners);
    const { row } = this.#members.get(patientId)!;
    owners.push({ value, assigning_authority: authority, patient_id: patientId, get family_name() { return row.family_name as string | null; }, get birth_date() { return row.birth_date as string | null; } });
  }

  /** False: it is another patient's. */
  #claim(patientId: string, identifier: PatientIdentifier): boolean {
    const owner = this.#owners.get(identifier.value)?.find((candidate) => candidate.assigning_authority === identifier.assigning_authority);
    if (owner) return owner.patient_id === patientId;
    this.#own(patientId, identifier.value, identifier.assigning_authority);
    this.#identifiers.push({ patient_id: patientId, ...identifier });
    return true;
  }

  #create(row: PatientRow, unknownName: string): Member {
    const first = row.identifiers[0];
    const patient: LoadedPatient = {
      ...EMPTY, patient_id: uuidV7(), version: '', identity_status: first ? 'established' : 'quarantined', is_active: true, provenance: {},
    };
    const member: Member = { row: patient, patientNumber: first?.value ?? unknownName, isCompared: false, isChanged: true };
    this.#members.set(patient.patient_id, member);
    if (!first) this.#alert(identityAlerts.unnamed(patient.patient_id));
    return member;
  }

  /** In place: the identifiers' owners read through to it. */
  #change(member: Member, values: Partial<LoadedPatient>): void {
    Object.assign(member.row, values);
    member.isChanged = true;
  }

  #alert(alert: Alert): void {
    const key = `${alert.kind} ${alert.subject}`;
    this.#alerts.set(key, { ...alert, occurrences: (this.#alerts.get(key)?.occurrences ?? 0) + 1 });
  }
}

const EMPTY = Object.fromEntries(PATIENT_COLUMNS.map((column) => [column, null])) as Record<PatientColumn, null>;

const contentOf = ({ display, status, severity, detail }: WrittenHistory): unknown => [display, status ?? null, severity ?? null, detail];
