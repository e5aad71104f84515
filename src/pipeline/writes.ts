/**
 * Several messages, one commit: the implementation of Writes in src/gateway/records.ts. In: messages with the conditions under which they are meant.
 * Out: what became of each, committed; or nothing, and which of them is the reason.
 *
 *   normalize each -> BEGIN, tenant -> guards, which hold the rows they judge -> each message's rows, exchange, audit (persist-messages.ts) -> its name
 *                                                                            -> the record as it is now -> COMMIT
 */
import { DataIntegrityError, isRefusedValue, isTransientError, sqlState } from '../db/errors.ts';
import { insertExchanges, insertPayloads } from '../db/exchanges.ts';
import { findStatement, nameRecord, renumberOrder, restateStatement, withdrawStatement } from '../db/record-names.ts';
import { holdRecords } from '../db/records.ts';
import { loadMessages } from '../db/store-messages.ts';
import { findScansByOrder } from '../db/scans.ts';
import { databaseWithin, inOrganization, type Transaction } from '../db/transaction.ts';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { failpoint } from '../failpoint.ts';
import type { Log } from '../log.ts';
import { exchangeBytesTotal, exchangesTotal, exchangeSeconds } from '../metrics.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { NormalizeError, type Adapter, type InboundMessage, type Integration, type StoredMessage } from '#gateway/adapter.ts';
import type { Mapper, Normalized } from '#gateway/normalized.ts';
import type { Criteria, Guard, RecordKind, RecordRow, Write, WriteResult, Writes, Written } from '#gateway/records.ts';
import type { AnswerRecorder } from './answers.ts';
import { persistMessages } from './persist-messages.ts';
import { inboundExchange, type PersistDependencies, type PersistItem } from './persist.ts';
import { recordRead, recordsWithin } from './records.ts';

export interface WriteDependencies extends PersistDependencies {
  readonly log: Log; readonly map: Mapper; readonly answers: AnswerRecorder;
  readonly alive: (integration: Integration) => void;
}

/** The write that is the reason why none was made. */
class WriteRefusal extends Error {
  readonly index: number;
  readonly refusal: NormalizeError;
  constructor(index: number, refusal: NormalizeError) {
    super(refusal.message);
    this.index = index;
    this.refusal = refusal;
  }
}
interface Prepared { readonly write: Write; readonly item: PersistItem }
interface Done { readonly outcome: WriteResult['outcome']; readonly record: RecordRow | undefined; readonly patientId: string | undefined }

const MOST_ATTEMPTS = 3;

export function createWrites(dependencies: WriteDependencies, adapter: Adapter): Writes {
  return {
    async together(writes) {
      try {
        const prepared = await Promise.all(writes.map((write, index) => prepare(dependencies, adapter, write, index)));
        const done = await commit(dependencies, prepared);
        return { kind: 'committed', results: prepared.map((each, index) => told(dependencies, adapter, each, done[index]!)) };
      } catch (error) {
        return refused(dependencies, adapter, error);
      }
    },
  };
}

async function prepare({ map }: WriteDependencies, adapter: Adapter, write: Write, index: number): Promise<Prepared> {
  const message = write.message as InboundMessage & StoredMessage;
  try {
    const normalized = await adapter.inbound!.normalize(message, map);
    return { write, item: { exchangeId: uuidV7(), adapter: adapter.name, integration: message.integration, message, normalized } };
  } catch (error) {
    throw error instanceof NormalizeError ? new WriteRefusal(index, error) : error;
  }
}

/** Another process may have made the same patient or order at the same moment: seen again, it is found. */
async function commit(dependencies: WriteDependencies, prepared: readonly Prepared[]): Promise<readonly Done[]> {
  const { organizationId } = prepared[0]!.item.integration;
  for (let attempt = 1; ; attempt++) {
    try {
      const done = await inOrganization(dependencies.database, organizationId, (tx) => inTransaction({ ...dependencies, database: databaseWithin(tx) }, tx, organizationId, prepared));
      failpoint('writes.afterCommit');
      return done;
    } catch (error) {
      if (sqlState(error) !== '23505' || attempt === MOST_ATTEMPTS) throw error;
    }
  }
}

async function inTransaction(dependencies: WriteDependencies, tx: Transaction, organizationId: string, prepared: readonly Prepared[]): Promise<readonly Done[]> {
  // Every condition is about what was there before: none sees what another message of the same transaction writes.
  const judged: Judged[] = [];
  for (const [index, { write, item }] of prepared.entries()) judged.push(await attributed(index, () => judge(tx, write, item.normalized)));
  const done: Done[] = [];
  for (const [index, { write, item }] of prepared.entries()) {
    done.push(await attributed(index, async () => {
      const { kept, normalized, meant } = judged[index]!;
      if (kept) return keep(dependencies, tx, write, item, kept);
      const patientId = write.patientOf === undefined ? undefined : done[write.patientOf]?.patientId;
      return persist(dependencies, tx, organizationId, write, { ...item, normalized: patientId === undefined ? normalized : ofPatient(normalized, patientId) }, meant);
    }));
  }
  failpoint('writes.beforeCommit');
  return done;
}

async function attributed<T>(index: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isRefusedValue(error)) throw new WriteRefusal(index, new NormalizeError('invalid', 'a value in this resource cannot be stored (a NUL character, an impossible date or number)'));
    if (error instanceof DataIntegrityError) throw new WriteRefusal(index, new NormalizeError('invalid', error.message));
    throw error instanceof NormalizeError ? new WriteRefusal(index, error) : error;
  }
}

/** `meant` is the record that the sender named, to be changed. */
interface Judged { readonly normalized: Normalized; readonly kept: RecordRow | undefined; readonly meant: RecordRow | undefined }

async function judge(tx: Transaction, { guards, kind }: Write, said: Normalized): Promise<Judged> {
  let normalized = said, meant: RecordRow | undefined;
  for (const guard of guards) {
    const records = await held(tx, guard);
    const verdict = guard.judge(records);
    if (verdict === 'skip') return { normalized, kept: records[0], meant: undefined };
    if (verdict !== 'write') normalized = verdict(normalized);
    if (verdict !== 'write' && guard.kind === kind) meant ??= records[0];
  }
  return { normalized, kept: undefined, meant };
}

/** Read, held, and read again: what changed between is seen. */
async function held(tx: Transaction, { kind, criteria }: Guard): Promise<readonly RecordRow[]> {
  const found = await recordsWithin(tx, kind, criteria, 2);
  if (found.length === 0) return found;
  await holdRecords(tx, kind, found.map(({ id }) => id));
  return recordsWithin(tx, kind, criteria, 2);
}

const ofPatient = (normalized: Normalized, patientId: string): Normalized => ({ ...normalized, patient: { ...normalized.patient, identifiers: normalized.patient?.identifiers ?? [], patient_id: patientId } });

async function persist(dependencies: WriteDependencies, tx: Transaction, organizationId: string, write: Write, item: PersistItem, meant: RecordRow | undefined): Promise<Done> {
  // A repeat has no second effect: what was said since stays.
  const isRepeat = await wasReceived(tx, item), withdrawn = meant && !isRepeat ? await changeInPlace(tx, meant, item.normalized) : undefined;
  const there = write.isNewOrder === true && !isRepeat && item.normalized.order ? await findScansByOrder(tx, item.normalized.order) : [];
  const [persisted] = await persistMessages(dependencies, organizationId, [item]);
  const { patients: patientId, scans: scanId } = persisted!.links;
  if (there.some((scan) => scan.scan_id === scanId)) throw new NormalizeError('conflict', ONE_ID_TWICE);
  const statement = item.normalized.history?.[0];
  if (isRepeat && meant) return { outcome: persisted!.kind, record: await afterwards(tx, write, meant.id), patientId };
  const recordId = write.kind === 'patient' ? patientId : statement ? patientId && await findStatement(tx, patientId, statement) : scanId;
  if (recordId === undefined) return { outcome: persisted!.kind, record: undefined, patientId };
  for (const name of isRepeat ? [] : write.names ?? []) {
    const { previous } = await nameRecord(tx, { integrationId: item.integration.integrationId, kind: write.kind, name, recordId });
    if (previous !== undefined && statement) await withdrawStatement(tx, previous);
  }
  if (withdrawn !== undefined && withdrawn !== recordId) await withdrawStatement(tx, withdrawn);
  return { outcome: persisted!.kind, record: await afterwards(tx, write, recordId), patientId };
}

const ONE_ID_TWICE = 'another order of this patient came with the same id, and this one has no other number: send it with an identifier, or change the other one by PUT';

/** The same name with the same bytes was here before: persistMessages changes nothing. */
async function wasReceived(tx: Transaction, { integration: { integrationId, organizationId }, message: { controlId, peer, sha256 } }: PersistItem): Promise<boolean> {
  const { identities } = await loadMessages(tx, organizationId, [{ integrationId, sender: peer.application ?? '', controlId }], [], false);
  return identities?.some((identity) => identity.sha256 === sha256) === true;
}

/**
 * What is found again by what it says keeps its id when it says something else: a statement its row, an order its scan. Returns the statement that has to
 * be withdrawn instead, because another row says the new one already.
 */
async function changeInPlace(tx: Transaction, meant: RecordRow, { history, order }: Normalized): Promise<string | undefined> {
  const statement = history?.[0];
  if ((meant.kind === 'condition' || meant.kind === 'allergy') && statement) return await restateStatement(tx, meant.id, statement) ? undefined : meant.id;
  if (meant.kind === 'order' && order) await renumberOrder(tx, meant.id, order);
  return undefined;
}

async function afterwards(tx: Transaction, { kind, reader }: Write, id: string): Promise<RecordRow | undefined> {
  const [record] = await recordsWithin(tx, kind, { ids: [id] } satisfies Criteria, 1);
  if (record && reader) await recordRead(tx, reader, record);
  return record;
}

/** On record like a repeat: a message that found its work done. */
async function keep({ now }: WriteDependencies, tx: Transaction, write: Write, item: PersistItem, kept: RecordRow): Promise<Done> {
  const { message, integration } = item, patientId = kept.kind === 'patient' ? kept.id : 'patientId' in kept ? kept.patientId : undefined;
  const links = { ...(patientId === undefined ? {} : { patients: patientId }), ...(isScan(kept.kind) ? { scans: kept.id } : {}) };
  await insertExchanges(tx, [inboundExchange(item, 'duplicate', links, item.normalized.warnings, now())]);
  await insertPayloads(tx, [{ sync_id: item.exchangeId, part: 'message', media_type: String(message.facts['mediaType'] ?? 'application/octet-stream'), content: message.head }]);
  await recordAudit(tx, {
    ...auditEvents.query, action: 'R', outcome: 'success', actor: { kind: 'application', id: message.peer.application ?? 'unknown', address: message.peer.address }, object: { type: kept.kind, id: kept.id },
    patientId, syncId: item.exchangeId, detail: { interaction: message.interaction, kept: true, integration: integration.name },
  });
  if (write.reader) await recordRead(tx, write.reader, kept);
  return { outcome: 'skipped', record: kept, patientId };
}

const isScan = (kind: RecordKind): boolean => kind === 'order' || kind === 'study' || kind === 'task';

function told(dependencies: WriteDependencies, adapter: Adapter, { item }: Prepared, { outcome, record }: Done): WriteResult {
  const { message, integration, exchangeId } = item;
  dependencies.alive(integration);
  const labels = { adapter: adapter.name, direction: 'inbound' };
  exchangesTotal.inc({ ...labels, interaction: adapter.inbound!.interactions.includes(message.interaction) ? message.interaction : 'other', status: outcome === 'skipped' ? 'duplicate' : outcome });
  exchangeBytesTotal.inc(labels, message.byteSize);
  exchangeSeconds.observe(labels, (dependencies.now().getTime() - message.receivedAt.getTime()) / 1000);
  return {
    exchangeId, outcome, record,
    answered: (code, heard) => dependencies.answers.record(integration.organizationId, { sync_id: exchangeId, started_at: message.receivedAt.toISOString(), answer_status: heard ? 'answered' : 'unanswered', answer_code: code }),
  };
}

function refused({ log }: WriteDependencies, adapter: Adapter, error: unknown): Written {
  if (error instanceof WriteRefusal) {
    const { reason, message, location } = error.refusal;
    return { kind: 'rejected', index: error.index, reason, text: message, ...(location === undefined ? {} : { location }) };
  }
  log.error({ err: error, adapter: adapter.name, transient: isTransientError(error) }, 'messages could not be stored together; the sender is told to try again');
  return { kind: 'failed', text: 'the gateway could not store this now; try again' };
}
