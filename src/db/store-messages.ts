/**
 * The hot path of HL7 v2 and FHIR messages: one statement reads what a batch needs, another writes what was decided (migrations/0010). Both run
 * on the pool, each its own transaction, or inside one.
 */
import { z } from 'zod';
import { jsonText } from './json-text.ts';
import type { ExchangeRow } from './exchanges.ts';
import type { Alert } from './alerts.ts';
import type { PatientColumn, StoredPatient } from './patients.ts';
import { sql, type Database, type Transaction } from './pool.ts';

export interface MessageName { integrationId: string; sender: string; controlId: string }

export interface LoadedPatient extends StoredPatient { patient_id: string; version: string; identity_status: 'established' | 'quarantined'; is_active: boolean }
export interface LoadedIdentity { name: number; sha256: string; links: Record<string, string>; answer_code: string | null }
/** patient_id, value, assigning authority */
export type LoadedIdentifier = readonly [string, string, string];
/** `history`: of patients that were known, by patient: statements that are stored, statement key -> content. */
export interface LoadedBatch {
  identities: readonly LoadedIdentity[] | null; patients: readonly LoadedPatient[] | null; identifiers: readonly LoadedIdentifier[] | null;
  history?: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** The database made these rows from its own columns: their shape is the function's, and checking each again would cost more than reading them. */
const Loaded = z.object({ identities: z.unknown(), patients: z.unknown(), identifiers: z.unknown() });

/** `identities[].name` is the index in `names`. With `lock` the patients are held until the transaction ends. */
export async function loadMessages(on: Database | Transaction, organizationId: string, names: readonly MessageName[], identifierValues: readonly string[], lock: boolean): Promise<LoadedBatch> {
  const keys = names.map((name, index) => ({ name: index, integration_id: name.integrationId, sender: name.sender, control_id: name.controlId }));
  const query = sql.type(Loaded)`SELECT identities, patients, identifiers FROM medscan_load_messages(${organizationId}::uuid, ${jsonText(keys)}::jsonb, ${sql.array([...identifierValues], 'text')}, ${lock}::boolean)`;
  const { rows } = await queriesOf(on).query(named(query, 'medscan_load_messages'));
  return rows[0] as LoadedBatch;
}

export type WrittenPatient = Record<PatientColumn, unknown> & Pick<LoadedPatient, 'patient_id' | 'identity_status' | 'is_active' | 'provenance'>;
export interface WrittenHistory {
  patient_id: string; kind: string; code?: string | null | undefined; code_system?: string | null | undefined; display: string; onset?: string | null | undefined;
  status?: string | null | undefined; severity?: string | null | undefined; detail: unknown; statement_key: string; source_sync_id: string;
  /** Said differently twice in one batch: written even if the end is as it was stored, because it was changed in between. */
  has_changed: boolean;
}
/** Parts without rows are absent. */
export interface PatientChanges {
  /** Of patients that the messages name, patient_id -> version: those that stay as they are, and those that change. */
  compared?: Readonly<Record<string, string>>; held?: Readonly<Record<string, string>>;
  /** The identifiers by which patients were found. */
  owned?: readonly { patient_id: string; value: string; assigning_authority: string }[];
  /** The names of the messages were not looked up: none of them may be there. */
  names_unread?: true;
  inserted?: readonly (WrittenPatient & { patient_number: string })[]; updated?: readonly WrittenPatient[];
  identifiers?: readonly { patient_id: string; assigning_authority: string; value: string; type_code?: string | undefined }[];
  history?: readonly WrittenHistory[]; alerts?: readonly (Alert & { occurrences: number })[];
}

/** One message with its exchange, its audit row and, when it is accepted, its identity. */
export interface StoredMessageRow extends ExchangeRow {
  audit_id: string; event_code: string; event_name: string; object_type: string; object_id: string; detail: Readonly<Record<string, unknown>>;
  links: Readonly<Record<string, string>>; media_type: string; content: Buffer;
}

const Written = z.object({ is_written: z.boolean(), version: z.string().nullable(), touched: z.unknown() });

/** `version`: of all patients that were inserted or updated, and of `touched`, whose stored history changed. */
export interface WrittenBatch { readonly version: string; readonly touched: readonly string[] }

/** Undefined: nothing was written, because what `changes` relies on is no longer so. */
export async function storeMessages(on: Database | Transaction, organizationId: string, changes: PatientChanges, messages: readonly StoredMessageRow[]): Promise<WrittenBatch | undefined> {
  let start = 1;
  const rows = messages.map(({ content, ...row }, item) => {
    const contentStart = start;
    start += content.length;
    return { item, ...row, content_start: contentStart, content_length: content.length };
  });
  const contents = messages.length === 1 ? messages[0]!.content : Buffer.concat(messages.map((message) => message.content));
  // A patient's value that jsonb cannot hold is refused; in the record of the exchange it is replaced (json-text.ts).
  const query = sql.type(Written)`SELECT is_written, version, touched FROM medscan_store_messages(${organizationId}::uuid, ${JSON.stringify(changes)}::jsonb, ${messages.length > 0 ? jsonText(rows) : null}::jsonb, ${sql.binary(contents)})`;
  const result = await queriesOf(on).query(named(query, 'medscan_store_messages'));
  const { is_written: isWritten, version, touched } = result.rows[0]!;
  return isWritten ? { version: version!, touched: (touched ?? []) as string[] } : undefined;
}

/** The database itself: a transaction of its own. */
const queriesOf = (on: Database | Transaction): Pick<Transaction, 'query'> => ('pool' in on ? on.pool : on);

/** Parsed and planned once per connection. */
function named<Query>(query: Query, name: string): Query {
  return { ...query, name };
}
