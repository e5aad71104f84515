/**
 * The patients of one batch of messages, in memory: read once, changed message by message in order, so that each sees what those before it
 * said, and written once. The rules are those of identify.ts; only where the rows come from differs.
 */
import type { Alert } from '../db/alerts.ts';
import { PATIENT_COLUMNS, type PatientColumn } from '../db/patients.ts';
import type { LoadedBatch, LoadedIdentifier, LoadedPatient, PatientChanges, WrittenBatch, WrittenHistory } from '../db/store-messages.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { HistoryRow, PatientIdentifier, PatientRow } from '#gateway/normalized.ts';
import { chooseOwner, demographicsAfter, identityAlerts, isSameJson, type Identified, type Owner, type Said } from './identify.ts';
import type { KnownPatient } from './known-patients.ts';

interface Member {
  readonly row: LoadedPatient; readonly patientNumber: string | undefined; isCompared: boolean; isChanged: boolean;
  /** Statements that are stored; undefined: not known. */
  readonly history: ReadonlyMap<string, string> | undefined;
}
type NewIdentifier = NonNullable<PatientChanges['identifiers']>[number];

export class PatientBatch {
  readonly #members = new Map<string, Member>();
  readonly #owners = new Map<string, Owner[]>();
  #identifiers: NewIdentifier[] = [];
  readonly #relied = new Map<string, NonNullable<PatientChanges['owned']>[number]>();
  readonly #history = new Map<string, WrittenHistory>();
  #taken: readonly Member[] = [];
  #takenHistory: readonly WrittenHistory[] = [];
  #takenIdentifiers: ReadonlySet<string> = new Set();
  readonly #alerts = new Map<string, Alert & { occurrences: number }>();

  constructor(loaded: LoadedBatch) {
    for (const row of loaded.patients ?? []) this.#members.set(row.patient_id, { row, patientNumber: undefined, isCompared: false, isChanged: false, history: loaded.history?.get(row.patient_id) });
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
      if (!before && this.#members.get(patientId)?.history?.get(statementKey) === contentText(next)) continue;
      if (!before) this.#history.set(key, next);
      else if (!isSameJson(contentOf(before), contentOf(next))) this.#history.set(key, { ...before, display: next.display, status: next.status, severity: next.severity, detail: next.detail, source_sync_id: syncId, has_changed: true });
    }
  }

  /** What is to be written since the last call. */
  takeChanges(): PatientChanges {
    const members = [...this.#members.values()];
    const changed = members.filter((member) => member.isChanged);
    const written = new Set([...this.#identifiers, ...this.#history.values()].map((row) => row.patient_id));
    const versions = members.filter(({ isCompared, row }) => isCompared && row.version !== '').map(({ row, isChanged }) => [row.patient_id, row.version, isChanged || written.has(row.patient_id)] as const);
    const [held, compared] = [versions.filter(([, , isHeld]) => isHeld), versions.filter(([, , isHeld]) => !isHeld)];
    const parts = {
      owned: this.#relied.values().filter((identifier) => !this.#identifiers.some(({ value, assigning_authority: authority }) => value === identifier.value && authority === identifier.assigning_authority)).toArray(),
      inserted: changed.flatMap(({ row, patientNumber }) => (patientNumber === undefined ? [] : [{ ...row, patient_number: patientNumber }])),
      updated: changed.filter((member) => member.patientNumber === undefined).map(({ row }) => row),
      identifiers: this.#identifiers, history: [...this.#history.values()], alerts: [...this.#alerts.values()],
    };
    this.#taken = members.filter(({ isCompared, isChanged }) => isCompared || isChanged);
    this.#takenHistory = [...this.#history.values()];
    this.#takenIdentifiers = new Set(this.#identifiers.map((identifier) => identifier.patient_id));
    for (const member of members) this.#members.set(member.row.patient_id, { ...member, patientNumber: undefined, isCompared: false, isChanged: false });
    this.#identifiers = [];
    this.#relied.clear();
    this.#history.clear();
    this.#alerts.clear();
    return { ...(held.length > 0 ? { held: Object.fromEntries(held) } : {}), ...(compared.length > 0 ? { compared: Object.fromEntries(compared) } : {}), ...Object.fromEntries(Object.entries(parts).filter(([, rows]) => rows.length > 0)) };
  }

  /** The patients of the last changes that were taken, as they are once those are written; by id alone those that were known and have not changed. */
  known({ version, touched }: WrittenBatch): { readonly changed: readonly KnownPatient[]; readonly used: readonly string[] } {
    const changed: KnownPatient[] = [], used: string[] = [];
    const history = Map.groupBy(this.#takenHistory, (statement) => statement.patient_id);
    for (const { row, isChanged, history: before } of this.#taken) {
      const { patient_id: patientId } = row;
      const said = history.get(patientId) ?? [];
      if (before !== undefined && !isChanged && said.length === 0 && !this.#takenIdentifiers.has(patientId)) { used.push(patientId); continue; }
      changed.push({
        row: { ...row, version: isChanged || touched.includes(patientId) ? version : row.version },
        identifiers: [...this.#owners.values()].flat().filter((owner) => owner.patient_id === patientId).map((owner): LoadedIdentifier => [patientId, owner.value, owner.assigning_authority]),
        history: new Map([...before ?? [], ...said.map((statement) => [statement.statement_key, contentText(statement)] as const)]),
      });
    }
    return { changed, used };
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
    if (owner) {
      this.#relied.set(`${identifier.value}\n${identifier.assigning_authority}`, { patient_id: owner.patient_id, value: owner.value, assigning_authority: owner.assigning_authority });
      return owner.patient_id === patientId;
    }
    this.#own(patientId, identifier.value, identifier.assigning_authority);
    this.#identifiers.push({ patient_id: patientId, ...identifier });
    return true;
  }

  #create(row: PatientRow, unknownName: string): Member {
    const first = row.identifiers[0];
    const patient: LoadedPatient = {
      ...EMPTY, patient_id: uuidV7(), version: '', identity_status: first ? 'established' : 'quarantined', is_active: true, provenance: {},
    };
    const member: Member = { row: patient, patientNumber: first?.value ?? unknownName, isCompared: false, isChanged: true, history: new Map() };
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

/** Equal texts are equal contents; the same content may have two texts, and is then written again. */
const contentText = (statement: WrittenHistory): string => JSON.stringify(contentOf(statement));
const contentOf = ({ display, status, severity, detail }: WrittenHistory): unknown => [display, status ?? null, severity ?? null, detail];
