/**
 * HL7 v2 and FHIR messages to rows, in order of arrival: patient, merges, history, order. The same name with the same bytes was here
 * before: answered as before, no second effect. The same name with other bytes is another message.
 *
 *   batch of plain messages    decide in memory -> write: one statement, which compares what was known of the patients (known-patients.ts)
 *   ... some patient unknown   read -> decide in memory -> write: two statements, no lock held between them. A patient that changed meanwhile: see below
 *   batch with merges, orders  one transaction that holds its patients: decided in memory too, written before and read again after each merge
 */
import { raiseAlert, type Alert } from '../db/alerts.ts';
import { cancelQueuedAnalyses } from '../db/analyses.ts';
import { sqlState } from '../db/errors.ts';
import { quarantinedPatients, setPatientStatus } from '../db/patients.ts';
import { bossDb, type Transaction } from '../db/pool.ts';
import { reopenScan } from '../db/scan-completion.ts';
import { enterQueue, moveInQueue, setPriority } from '../db/scan-queue.ts';
import { findScansByOrder, insertOrderedScan, updateOrder, type ScanKey } from '../db/scans.ts';
import { loadMessages, storeMessages, type LoadedBatch, type LoadedIdentity, type MessageName, type PatientChanges, type StoredMessageRow } from '../db/store-messages.ts';
import { inOrganization } from '../db/transaction.ts';
import { auditEvents } from '../audit/event.ts';
import { failpoint } from '../failpoint.ts';
import { QUEUES } from '../queue/queues.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { MappingWarning, Normalized, OrderRow, PatientIdentifier, ScanPriority } from '#gateway/normalized.ts';
import { applyToScan, tellsOfScan } from './apply-report.ts';
import { applyMerge, identifyPatient, type Identified, type Said } from './identify.ts';
import { KnownPatients, withKnown, type KnownPatient } from './known-patients.ts';
import { firstReceivedAt, isLateMerge, refuseOvertaken } from './overtaken.ts';
import { PatientBatch } from './patient-batch.ts';
import { inboundExchange, type PersistDependencies, type PersistItem, type Persisted } from './persist.ts';

interface Outcome { readonly persisted: Persisted; readonly row: StoredMessageRow }

export async function persistMessages(dependencies: PersistDependencies, organizationId: string, items: readonly PersistItem[], known = new KnownPatients()): Promise<readonly Persisted[]> {
  failpoint('persist.beforeBegin');
  const outcomes = (items.every(isPlain) && (await persistKnown(dependencies, organizationId, items, known) ?? await persistPlain(dependencies, organizationId, items, known)))
    || await inOrganization(dependencies.database, organizationId, (tx) => persistHolding(dependencies, tx, organizationId, items));
  failpoint('persist.afterCommit');
  return outcomes.map((outcome) => outcome.persisted);
}

/** Changes nothing but its patient, whom it names by identifiers or not at all. */
const changesItsPatientAlone = ({ normalized }: PersistItem): boolean => !needsDatabase(normalized) && !normalized.order && !tellsOfScan(normalized);
/** Decided in memory alone: it comes for the first time, too. */
const isPlain = (item: PersistItem): boolean => changesItsPatientAlone(item) && firstReceivedAt(item) === undefined;
const needsDatabase = ({ patient, merges = [] }: Normalized): boolean => merges.length > 0 || patient?.patient_id !== undefined;

/** What must keep its order: messages of one name, and of one patient. Undefined: with everything, because it may change more than its patient. */
export function orderKeys(item: PersistItem, known: KnownPatients): readonly string[] | undefined {
  if (!changesItsPatientAlone(item)) return undefined;
  return [`message\n${keyOf(item)}`, ...(item.normalized.patient?.identifiers ?? []).flatMap((identifier) => [identifier.value, known.owner(identifier)?.row.patient_id ?? []].flat())];
}

/** All patients are known: one statement. Undefined: one is not, or what was known is no longer so, or a message was here before. */
async function persistKnown(dependencies: PersistDependencies, organizationId: string, items: readonly PersistItem[], known: KnownPatients): Promise<readonly Outcome[] | undefined> {
  const named = new Set<KnownPatient>();
  for (const identifier of identifiersOf(items)) {
    const owner = known.owner(identifier);
    if (!owner) return undefined;
    named.add(owner);
  }
  const outcomes = await decideAndStore(dependencies, organizationId, items, withKnown(nothingLoaded, named), known, { names_unread: true });
  if (!outcomes) for (const { row } of named) known.forget(row.patient_id);
  return outcomes;
}

/** Undefined: a patient changed between reading and writing, or another batch was in the way; nothing was written. */
async function persistPlain(dependencies: PersistDependencies, organizationId: string, items: readonly PersistItem[], known: KnownPatients): Promise<readonly Outcome[] | undefined> {
  const identifiers = identifiersOf(items);
  const owners = identifiers.map((identifier) => known.owner(identifier));
  const unknown = identifiers.filter((_, index) => !owners[index]).map(({ value }) => value);
  const loaded = await loadMessages(dependencies.database, organizationId, items.map(nameOf), [...new Set(unknown)], false);
  const named = new Set(owners.filter((owner) => owner !== undefined));
  const outcomes = await decideAndStore(dependencies, organizationId, items, withKnown(loaded, named), known, {});
  if (!outcomes) for (const { row } of named) known.forget(row.patient_id);
  return outcomes;
}

const nothingLoaded: LoadedBatch = { identities: null, patients: null, identifiers: null };
const identifiersOf = (items: readonly PersistItem[]): PatientIdentifier[] => items.flatMap(({ normalized: { patient } }) => patient?.identifiers ?? []);

async function decideAndStore({ database, now }: PersistDependencies, organizationId: string, items: readonly PersistItem[], loaded: LoadedBatch, known: KnownPatients,
  unread: Pick<PatientChanges, 'names_unread'>): Promise<readonly Outcome[] | undefined> {
  const [patients, earlier] = [new PatientBatch(loaded), earlierMessages(items, loaded)];
  const outcomes = items.map((item) => {
    const warnings = [...item.normalized.warnings];
    const persisted = repeatOf(item, earlier, warnings) ?? accepted(item, earlier, sayPatient(patients, item, saidBy(item, warnings)));
    return { persisted, row: messageRow(item, persisted, warnings, now()) };
  });
  failpoint('persist.beforeCommit');
  try {
    const written = await storeMessages(database, organizationId, { ...patients.takeChanges(), ...unread }, outcomes.map((outcome) => outcome.row));
    if (!written) return undefined;
    const { changed, used } = patients.known(written);
    for (const patient of changed) known.remember(patient);
    for (const patientId of used) known.use(patientId);
    return outcomes;
  } catch (error) {
    if (sqlState(error)?.startsWith('40')) return undefined; // a deadlock was resolved against us
    throw error;
  }
}

async function persistHolding(dependencies: PersistDependencies, tx: Transaction, organizationId: string, items: readonly PersistItem[]): Promise<readonly Outcome[]> {
  const { now } = dependencies;
  const load = (): Promise<LoadedBatch> => loadMessages(tx, organizationId, items.map(nameOf), valuesOf(items), true);
  const loaded = await load();
  const earlier = earlierMessages(items, loaded);
  let patients = new PatientBatch(loaded);
  const write = async (rows: readonly StoredMessageRow[]): Promise<void> => {
    const { compared: _, held: __, owned: ___, ...changes } = patients.takeChanges(); // they are held
    if (Object.keys(changes).length + rows.length > 0) await storeMessages(tx, organizationId, changes, rows);
  };
  const outcomes: Outcome[] = [];
  for (const item of items) {
    const warnings = [...item.normalized.warnings];
    const said = saidBy(item, warnings);
    let persisted = repeatOf(item, earlier, warnings);
    if (!persisted) {
      let patientId: string | undefined, isLate = false;
      if (needsDatabase(item.normalized)) {
        await write([]);
        isLate = await isLateMerge(tx, item, outcomes.map(({ row }) => row));
        if (isLate) warnings.push({ location: 'patients', text: 'a later message about this patient was taken since: of this one only the merge is taken' });
        patientId = await sayPatientInDatabase(tx, item, said, isLate);
        patients = new PatientBatch(await load());
        if (patientId && !isLate) patients.addHistory(patientId, item.normalized.history ?? [], item.exchangeId);
      } else {
        patientId = sayPatient(patients, item, said);
      }
      const { order } = item.normalized;
      if ((order || tellsOfScan(item.normalized)) && patientId) await write([]);
      const ordered = order && patientId ? await applyOrder(dependencies, tx, organizationId, order, patientId, said) : undefined;
      // Reports that come back and appointments: apply-report.ts
      persisted = accepted(item, earlier, patientId, ordered ?? (patientId && await applyToScan(tx, item, patientId, said, now())));
      if (!isLate) await refuseOvertaken(tx, item, persisted.links, outcomes.map(({ row }) => row));
    }
    outcomes.push({ persisted, row: messageRow(item, persisted, warnings, now()) });
  }
  await write(outcomes.map((outcome) => outcome.row));
  failpoint('persist.beforeCommit');
  return outcomes;
}

const nameOf = ({ integration, message }: PersistItem): MessageName => ({ integrationId: integration.integrationId, sender: message.peer.application ?? '', controlId: message.controlId });
const keyOf = (item: PersistItem): string => Object.values(nameOf(item)).join('\n');
function saidBy(item: PersistItem, warnings: MappingWarning[]): Said {
  const firstAt = firstReceivedAt(item);
  return { authority: item.normalized.authority, syncId: item.exchangeId, at: firstAt ?? item.message.receivedAt, firstAt, warnings };
}

/** Every identifier value the batch names, those of merges too: their patients are held with the others. */
function valuesOf(items: readonly PersistItem[]): readonly string[] {
  return [...new Set(items.flatMap(({ normalized: { patient, merges = [] } }) => [patient?.identifiers ?? [], ...merges.flatMap((merge) => [merge.survivor, merge.prior])].flat().map(({ value }) => value)))];
}

type EarlierMessages = Map<string, Pick<LoadedIdentity, 'sha256' | 'links' | 'answer_code'>[]>;

function earlierMessages(items: readonly PersistItem[], { identities }: LoadedBatch): EarlierMessages {
  const earlier: EarlierMessages = new Map(items.map((item) => [keyOf(item), []]));
  const seen = new Set<string>();
  for (const identity of identities ?? []) {
    const key = keyOf(items[identity.name]!);
    if (seen.has(`${key}\n${identity.sha256}`)) continue; // two items of one name
    seen.add(`${key}\n${identity.sha256}`);
    earlier.get(key)!.push(identity);
  }
  return earlier;
}

function repeatOf(item: PersistItem, earlier: EarlierMessages, warnings: MappingWarning[]): Persisted | undefined {
  const versions = earlier.get(keyOf(item))!;
  const repeat = versions.find((version) => version.sha256 === item.message.sha256);
  if (repeat) return { kind: 'duplicate', answerCode: repeat.answer_code ?? undefined, links: repeat.links };
  if (versions.length > 0) warnings.push({ location: 'control id', text: 'this control id was used before with other content; taken as another message' });
  return undefined;
}

function accepted(item: PersistItem, earlier: EarlierMessages, patientId: string | undefined, scanId?: string): Persisted {
  const links = { ...(patientId ? { patients: patientId } : {}), ...(scanId ? { scans: scanId } : {}) };
  earlier.get(keyOf(item))!.push({ sha256: item.message.sha256, links, answer_code: null });
  return { kind: 'accepted', links };
}

const unknownName = (item: PersistItem): string => `UNKNOWN-${item.exchangeId.slice(-12)}`;
const establishes = ({ normalized: { authority, patient } }: PersistItem, { isQuarantined }: Identified): boolean => isQuarantined && authority === 'registration' && patient!.identifiers.length > 0;

/** What the message says of its patient, into the batch. */
function sayPatient(patients: PatientBatch, item: PersistItem, said: Said): string | undefined {
  const { patient, history = [] } = item.normalized;
  if (!patient) return undefined;
  const identified = patients.identify(patient, said, unknownName(item));
  if (establishes(item, identified)) patients.establish(identified.patientId);
  patients.addHistory(identified.patientId, history, item.exchangeId);
  return identified.patientId;
}

/** The same by statements of its own: a patient named by our own id, and merges. The history is left to the batch. */
async function sayPatientInDatabase(tx: Transaction, item: PersistItem, said: Said, onlyMerges: boolean): Promise<string | undefined> {
  const { patient, merges = [] } = item.normalized;
  let patientId: string | undefined;
  if (patient && !onlyMerges) {
    const identified = await identifyPatient(tx, patient, said, unknownName(item));
    if (establishes(item, identified)) await setPatientStatus(tx, identified.patientId, { identityStatus: 'established' });
    patientId = identified.patientId;
  }
  for (const merge of merges) patientId = await applyMerge(tx, merge, said) ?? patientId;
  return patientId;
}

async function applyOrder(dependencies: PersistDependencies, tx: Transaction, organizationId: string, order: OrderRow, patientId: string, said: Said): Promise<string> {
  const now = dependencies.now();
  const candidates = await findScansByOrder(tx, order);
  const existing = await chooseScan(tx, candidates, patientId, said);
  const scanId = existing?.scan_id ?? await insertOrderedScan(tx, patientId, order);
  if (!existing && candidates.length > 0) await raiseAlert(tx, orderOfAnother(candidates[0]!.scan_id, patientId, scanId));
  await updateOrder(tx, scanId, patientId, await withoutOthersStudy(tx, order, patientId, candidates, existing, said));
  const priority = order.priority ?? existing?.priority ?? 'routine';
  if (order.control === 'cancel') {
    await cancelQueuedAnalyses(tx, scanId);
    await enterQueue(tx, [{ scanId, priority, whyWaiting: 'The order was cancelled.' }], now);
    await moveInQueue(tx, scanId, { status: 'cancelled', whyWaiting: 'The order was cancelled.' }, now);
  } else if ((existing?.instance_count ?? 0) === 0) {
    await enterQueue(tx, [{ scanId, priority, whyWaiting: order.control === 'hold' ? 'The order is on hold.' : 'Ordered; waiting for images.' }], now);
    if (order.control === 'hold') await moveInQueue(tx, scanId, { status: 'paused', whyWaiting: 'The order is on hold.' }, now);
  } else {
    if (order.priority) await setPriority(tx, scanId, order.priority);
    if (existing?.order_status === 'cancelled' && order.control !== 'hold') await takeUpAgain(dependencies, tx, organizationId, scanId, priority);
  }
  return scanId;
}

const orderOfAnother = (scanId: string, patientId: string, orderScanId: string): Alert => ({
  kind: 'identity_conflict', severity: 'critical', subject: `scan ${scanId}`, about: [{ patient_id: patientId, order_scan_id: orderScanId }],
  message: 'An order names this scan but another patient. It was stored as an order of its own; compare the two patients.',
});
const studyOfAnotherScan = (scanId: string, orderScanId: string): Alert => ({
  kind: 'identity_conflict', severity: 'warning', subject: `scan ${scanId}`, about: [{ order_scan_id: orderScanId }],
  message: 'An order names the study of this scan, but its numbers are those of another scan that is ordered. Both stay as they are; compare them.',
});

/** Another scan holds this Study Instance UID, of another patient or stored before anything said whose order it is: the order keeps its numbers and leaves the study to a person. */
async function withoutOthersStudy(tx: Transaction, order: OrderRow, patientId: string, candidates: readonly ScanKey[], existing: ScanKey | undefined, said: Said): Promise<OrderRow> {
  const { study_instance_uid: study, ...withoutStudy } = order;
  const other = candidates.find((candidate) => study && candidate.study_instance_uid === study && candidate.scan_id !== existing?.scan_id);
  if (!other) return order;
  if (existing) {
    said.warnings.push({ location: 'order', text: 'the images of the study that this order names are stored as another scan; not joined' });
    await raiseAlert(tx, other.patient_id === patientId ? studyOfAnotherScan(other.scan_id, existing.scan_id) : orderOfAnother(other.scan_id, patientId, existing.scan_id));
  }
  return withoutStudy;
}

/** An order that was cancelled is placed again, and its images are here: they are complete once more, and analysed. */
async function takeUpAgain(dependencies: PersistDependencies, tx: Transaction, organizationId: string, scanId: string, priority: ScanPriority): Promise<void> {
  await reopenScan(tx, scanId);
  await enterQueue(tx, [{ scanId, priority, whyWaiting: 'The order was placed again; its images are taken up.' }], dependencies.now());
  await dependencies.boss.send(QUEUES.completeScan.name, { organizationId, scanId }, { singletonKey: scanId, db: bossDb(tx) as never });
}

/** The scan an order means: same patient, or images whose patient is still unknown. An order that names another patient's scan links nothing. */
async function chooseScan(tx: Transaction, candidates: readonly ScanKey[], patientId: string, said: Said): Promise<ScanKey | undefined> {
  const own = candidates.find((candidate) => candidate.patient_id === patientId);
  if (own || candidates.length === 0) return own;
  const unknown = await findQuarantined(tx, candidates);
  if (unknown) return unknown;
  said.warnings.push({ location: 'order', text: 'the order\'s identifiers are those of another patient\'s scan; not linked' });
  return undefined;
}

async function findQuarantined(tx: Transaction, candidates: readonly ScanKey[]): Promise<ScanKey | undefined> {
  const quarantined = await quarantinedPatients(tx, candidates.map((candidate) => candidate.patient_id));
  return candidates.find((candidate) => quarantined.has(candidate.patient_id));
}

function messageRow(item: PersistItem, persisted: Persisted, warnings: readonly MappingWarning[], now: Date): StoredMessageRow {
  const { kind, links } = persisted;
  const { eventCode, eventName } = item.normalized.order ? auditEvents.orderRecord : auditEvents.patientRecord;
  const [objectType, objectId] = item.normalized.order && links['scans'] ? ['scan', links['scans']] : ['patient', links['patients'] ?? ''];
  return {
    ...inboundExchange(item, kind, links, warnings, now), links, media_type: mediaType(item), content: item.message.head,
    audit_id: uuidV7(), event_code: eventCode, event_name: eventName, object_type: objectType, object_id: objectId,
    detail: { interaction: item.message.interaction, ...(kind === 'duplicate' ? { repeat: true } : {}) },
  };
}

function mediaType(item: PersistItem): string {
  return String(item.message.facts['mediaType'] ?? (item.adapter.startsWith('fhir') ? 'application/fhir+json' : 'application/hl7-v2'));
}
