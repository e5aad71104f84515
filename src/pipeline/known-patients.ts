/**
 * The patients that this process read or wrote last, by identifier: a message about one of them is decided without asking the database. What is
 * remembered may be out of date, because other processes write too; the writer compares it (migrations/0028), and what it refuses is read anew.
 */
import type { LoadedBatch, LoadedIdentifier, LoadedPatient } from '../db/store-messages.ts';
import type { PatientIdentifier } from '#gateway/normalized.ts';

export interface KnownPatient {
  readonly row: LoadedPatient;
  readonly identifiers: readonly LoadedIdentifier[];
  /** Statement key -> content, of statements that are stored so. */
  readonly history: ReadonlyMap<string, string>;
}

/** What was loaded, and the patients that were known; of one that is both the loaded row counts. */
export function withKnown(loaded: LoadedBatch, known: Iterable<KnownPatient>): LoadedBatch {
  const fresh = new Set((loaded.patients ?? []).map((row) => row.patient_id));
  const all = [...known], unread = all.filter(({ row }) => !fresh.has(row.patient_id));
  return {
    identities: loaded.identities,
    patients: [...unread.map(({ row }) => ({ ...row })), ...loaded.patients ?? []],
    identifiers: [...all.flatMap(({ identifiers }) => identifiers), ...loaded.identifiers ?? []],
    history: new Map(unread.map(({ row, history }) => [row.patient_id, history])),
  };
}

const maximumPatients = 8192;
/** A patient with more than these is read each time. */
const maximumStatements = 64;

export class KnownPatients {
  /** The one used longest ago comes first. */
  readonly #patients = new Map<string, KnownPatient>();
  readonly #owners = new Map<string, string>();

  owner({ value, assigning_authority: authority }: PatientIdentifier): KnownPatient | undefined {
    const patientId = this.#owners.get(`${value}\n${authority}`);
    return patientId === undefined ? undefined : this.#patients.get(patientId);
  }

  /** It was named again and has not changed. */
  use(patientId: string): void {
    const patient = this.#patients.get(patientId);
    if (!patient) return;
    this.#patients.delete(patientId);
    this.#patients.set(patientId, patient);
  }

  remember(patient: KnownPatient): void {
    const { patient_id: patientId } = patient.row;
    this.forget(patientId);
    if (patient.history.size > maximumStatements) return;
    const { row, identifiers } = ownText(patient);
    this.#patients.set(patientId, { ...patient, row, identifiers });
    for (const [, value, authority] of identifiers) this.#owners.set(`${value}\n${authority}`, patientId);
    if (this.#patients.size <= maximumPatients) return;
    const [oldest] = this.#patients.keys();
    this.forget(oldest!);
  }

  forget(patientId: string): void {
    for (const [, value, authority] of this.#patients.get(patientId)?.identifiers ?? []) {
      const key = `${value}\n${authority}`;
      if (this.#owners.get(key) === patientId) this.#owners.delete(key);
    }
    this.#patients.delete(patientId);
  }
}

/** With texts of their own: a name that was cut from a message would keep the whole message in memory for as long as it is remembered. */
function ownText({ row, identifiers }: KnownPatient): Pick<KnownPatient, 'row' | 'identifiers'> {
  return JSON.parse(JSON.stringify({ row, identifiers })) as Pick<KnownPatient, 'row' | 'identifiers'>;
}
