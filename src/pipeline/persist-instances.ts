/**
 * DICOM instances to rows. Most take one statement, which finds or makes patient and scan of a study's first instance and adds the further ones;
 * what it leaves takes the long way, where every decision is made here. A SOP Instance UID that is stored already: same bytes = repeat, other bytes = a conflicting version, kept beside the first.
 */
import { raiseAlert } from '../db/alerts.ts';
import { insertExchanges, type ExchangeRow } from '../db/exchanges.ts';
import { bossDb, heldBossDb } from '../db/pool.ts';
import { enterQueue } from '../db/scan-queue.ts';
import { reopenFetched } from '../db/source-questions.ts';
import { storeInstances, type InstanceItem, type Opening } from '../db/store-instances.ts';
import { fillFromStudy, findFiles, findScansByOrder, findScansByStudy, insertFiles, lockFile, openStudy, replaceObject, type ExistingFile, type NewFile, type ScanKey } from '../db/scans.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { auditEvents, type AuditEvent } from '../audit/event.ts';
import { recordAudits } from '../audit/record.ts';
import { failpoint } from '../failpoint.ts';
import { QUEUES } from '../queue/queues.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { resultSopClasses } from '#standards/dicom/result-modules.ts';
import type { InstanceRow, MappingWarning, PatientRow } from '#gateway/normalized.ts';
import { identifyPatient } from './identify.ts';
import { ARRIVING } from './opening.ts';
import type { KnownPlace, KnownStudies } from './known-studies.ts';
import { isIntact } from './missing-files.ts';
import { resultSeriesOf } from './own-results.ts';
import { inboundExchange, type PersistDependencies, type PersistItem, type Persisted } from './persist.ts';

/** What instances need beyond the rest: which studies are known, per gateway. */
export type InstanceDependencies = PersistDependencies & { readonly known: KnownStudies };
/** With the place it had when it was sent on this way, or with what the database needs to find or make it. */
export type QuickItem = PersistItem & ({ readonly place: KnownPlace } | { readonly opening: Omit<Opening, 'item'> });

interface Outcome { persisted: Persisted; warnings: MappingWarning[]; isForeign?: boolean; isOwnResult?: boolean }

/** Instances on the short way. `undefined`: it left this one, which is nowhere yet. */
export async function persistQuickly(dependencies: InstanceDependencies, organizationId: string, items: readonly QuickItem[]): Promise<readonly (Persisted | undefined)[]> {
  failpoint('persist.beforeBegin');
  const now = dependencies.now();
  const openings = items.flatMap((item, index) => ('opening' in item ? [{ ...item.opening, item: index }] : []));
  const stored = await storeInstances(dependencies.database, organizationId, items.map((item, index) => instanceItem(item, index, now)), openings, {
    filesDurable: filesDurable(items),
    opened: (scanIds, execute) => lookWhenQuiet(dependencies, organizationId, scanIds, now, heldBossDb(execute)),
  });
  failpoint('persist.afterCommit');
  return stored.map((row, index) => {
    const item = items[index]!;
    const links = { scans: row.out_scan_id, scan_files: row.out_scan_file_id ?? '', patients: row.out_patient_id };
    if (row.outcome === 'duplicate') return { kind: 'duplicate', answerCode: undefined, links };
    if (row.outcome === 'accepted' && 'opening' in item) dependencies.known.remember(item, { scanId: row.out_scan_id, patientId: row.out_patient_id });
    if (row.outcome === 'accepted') return { kind: 'accepted', links };
    dependencies.known.forget(item);
    return undefined;
  });
}

/** The job that looks whether the scans are complete when nothing more has come. */
async function lookWhenQuiet({ boss, quietSeconds }: PersistDependencies, organizationId: string, scanIds: readonly string[], now: Date, db: ReturnType<typeof heldBossDb>): Promise<void> {
  const startAfter = new Date(now.getTime() + quietSeconds * 1000);
  await boss.insert(QUEUES.completeScan.name, scanIds.map((scanId) => ({ data: { organizationId, scanId }, singletonKey: scanId, startAfter })), { db: db as never });
}

async function filesDurable(items: readonly QuickItem[]): Promise<void> {
  for (const { message } of items) await message.object?.durable;
  failpoint('persist.beforeCommit');
}

function instanceItem(item: QuickItem, index: number, now: Date): InstanceItem {
  const { message, normalized, integration } = item;
  const place = 'place' in item ? item.place : undefined;
  const { series, file, study } = normalized.instance!;
  return {
    item: index, sync_id: item.exchangeId, scan_file_id: uuidV7(), scan_id: place?.scanId, patient_id: place?.patientId, integration_id: integration.integrationId, adapter: item.adapter,
    interaction: message.interaction, ...series, ...file, scan_type: study.scan_type, byte_size: message.byteSize, sha256: message.sha256, storage_location: message.object?.location ?? '',
    received_at: message.receivedAt.toISOString(), finished_at: now.toISOString(), duration_ms: now.getTime() - message.receivedAt.getTime(),
    peer_address: message.peer.address, peer_application: message.peer.application, mapping_version: normalized.mapping,
    ...(normalized.warnings.length > 0 ? { warnings: normalized.warnings } : {}), facts: message.facts,
  };
}

export async function persistInstances(dependencies: InstanceDependencies, organizationId: string, items: readonly PersistItem[]): Promise<readonly Persisted[]> {
  failpoint('persist.beforeBegin');
  const outcomes = await inOrganization(dependencies.database, organizationId, (tx) => writeBatch(dependencies, tx, organizationId, items));
  failpoint('persist.afterCommit');
  for (const [index, { persisted, isForeign }] of outcomes.entries()) {
    // Known from here on, now that it is committed.
    if (persisted.kind === 'accepted' && !isForeign) dependencies.known.remember(items[index]!, { scanId: persisted.links['scans']!, patientId: persisted.links['patients']! });
  }
  return outcomes.map((outcome) => outcome.persisted);
}

/**
 * The first copy is committed and this one has no row: it goes, unless the first one's file is gone or its bytes are no longer those. A sender that
 * was asked to send again must not hear success for bytes that nobody has. No transaction is open while the first one's are read, and no other image waits.
 */
export async function keepOneCopy({ database, store }: PersistDependencies, { message, normalized, integration }: PersistItem, scanFileId: string): Promise<void> {
  const again = message.object;
  if (!again) return;
  const first = await inOrganization(database, integration.organizationId, (tx) => lockFile(tx, scanFileId));
  const isIntactFirst = first.storage_location !== again.location && await store.holds(first.storage_location, first.dataset_offset + first.byte_size) && await isIntact(store, first);
  const isKept = isIntactFirst || await inOrganization(database, integration.organizationId, async (tx) => {
    // Another repeat was quicker.
    if ((await lockFile(tx, scanFileId)).storage_location !== first.storage_location) return true;
    await replaceObject(tx, scanFileId, { location: again.location, datasetOffset: normalized.instance!.file.dataset_offset });
    return false;
  });
  if (isKept) void store.remove(again.location).catch(() => {});
}

async function writeBatch(dependencies: InstanceDependencies, tx: Transaction, organizationId: string, items: readonly PersistItem[]): Promise<readonly Outcome[]> {
  const instances = items.map((item) => item.normalized.instance!);
  const stored = new Map<string, ExistingFile[]>();
  for (const file of await findFiles(tx, instances.map((instance) => instance.file.sop_instance_uid))) push(stored, file.sop_instance_uid, file);
  const scans = new Map((await findScansByStudy(tx, instances.map((instance) => instance.study.study_instance_uid))).map((scan) => [scan.study_instance_uid!, scan]));

  const outcomes: Outcome[] = [];
  const files: NewFile[] = [];
  const touched = new Map<string, ScanKey>();
  for (const item of items) {
    const outcome = await placeInstance(dependencies, tx, item, stored, scans, files);
    outcomes.push(outcome);
    if (outcome.persisted.kind === 'accepted' && !outcome.isOwnResult) {
      const scan = scans.get(item.normalized.instance!.study.study_instance_uid)!;
      touched.set(scan.scan_id, scan);
    }
  }
  const now = dependencies.now();
  if (files.length > 0) await insertFiles(tx, files);
  for (const scan of await sentAfterAll(tx, items, outcomes, scans, now)) touched.set(scan.scan_id, scan);
  if (touched.size > 0) {
    await enterQueue(tx, [...touched.values()].map((scan) => ({ scanId: scan.scan_id, priority: scan.priority, whyWaiting: ARRIVING })), now);
    await lookWhenQuiet(dependencies, organizationId, [...touched.keys()], now, bossDb(tx));
  }
  await insertExchanges(tx, items.map((item, index): ExchangeRow => inboundExchange(item, outcomes[index]!.persisted.kind, outcomes[index]!.persisted.links, outcomes[index]!.warnings, now)));
  await recordAudits(tx, items.map((item, index) => transferred(item, outcomes[index]!.persisted)));
  failpoint('persist.beforeCommit');
  return outcomes;
}

/** Studies that were only fetched, as earlier ones, and that somebody sends now: their images are here, and nothing else would have them analysed. */
async function sentAfterAll(tx: Transaction, items: readonly PersistItem[], outcomes: readonly Outcome[], scans: ReadonlyMap<string, ScanKey>, now: Date): Promise<readonly ScanKey[]> {
  const repeated = items.filter((item, index) => outcomes[index]!.persisted.kind === 'duplicate' && item.message.facts['retrieved'] === undefined);
  const byId = new Map(repeated.flatMap((item) => { const scan = scans.get(item.normalized.instance!.study.study_instance_uid); return scan?.status === 'completed' ? [[scan.scan_id, scan] as const] : []; }));
  return byId.size === 0 ? [] : (await reopenFetched(tx, [...byId.keys()], now)).map((scanId) => byId.get(scanId)!);
}

async function placeInstance(dependencies: InstanceDependencies, tx: Transaction, item: PersistItem, stored: Map<string, ExistingFile[]>, scans: Map<string, ScanKey>, files: NewFile[]): Promise<Outcome> {
  const instance = item.normalized.instance!;
  const warnings = [...item.normalized.warnings];
  const versions = stored.get(instance.file.sop_instance_uid) ?? [];
  const repeat = versions.find((version) => version.sha256 === item.message.sha256);
  if (repeat) return { persisted: { kind: 'duplicate', answerCode: undefined, links: { scans: repeat.scan_id, scan_files: repeat.scan_file_id, patients: repeat.patient_id } }, warnings };

  const { scan, isForeign } = await placeStudy(dependencies, tx, item, instance, scans, warnings);
  const conflictOf = versions[0]?.scan_file_id;
  if (conflictOf) await reportConflict(tx, instance, warnings);
  const scanFileId = uuidV7();
  const isOwnResult = !isForeign && !conflictOf && await isResultOf(tx, scan, instance);
  files.push(newFile(item, instance, { scanFileId, scanId: scan.scan_id, conflictOf, isQuarantined: isForeign || conflictOf !== undefined, isOwnResult }));
  push(stored, instance.file.sop_instance_uid, {
    scan_file_id: scanFileId, scan_id: scan.scan_id, patient_id: scan.patient_id, sop_instance_uid: instance.file.sop_instance_uid, sha256: item.message.sha256, source_sync_id: item.exchangeId,
  });
  return { persisted: { kind: 'accepted', links: { scans: scan.scan_id, scan_files: scanFileId, patients: scan.patient_id } }, warnings, isForeign, isOwnResult };
}

/** Our own result, which an archive sends back: kept, and no news of the scan's images. */
async function isResultOf(tx: Transaction, scan: ScanKey, { file, series }: InstanceRow): Promise<boolean> {
  return Object.values(resultSopClasses).includes(file.sop_class_uid) && (await resultSeriesOf(tx, scan.scan_id)).has(series.series_instance_uid);
}

/** Study -> scan, with the identity check: an instance that names another patient than its study is kept, but out of the analysis. */
async function placeStudy(dependencies: InstanceDependencies, tx: Transaction, item: PersistItem, instance: InstanceRow, scans: Map<string, ScanKey>, warnings: MappingWarning[]): Promise<{ scan: ScanKey; isForeign: boolean }> {
  const patient: PatientRow = item.normalized.patient ?? { identifiers: [] };
  const known = scans.get(instance.study.study_instance_uid);
  const place = dependencies.known.place(item);
  if (known && (place?.patientId === known.patient_id || patient.identifiers.length === 0)) return ownStudy(tx, known, instance);

  const said = { authority: item.normalized.authority, syncId: item.exchangeId, at: item.message.receivedAt, warnings };
  const unknownName = `UNKNOWN-${instance.study.study_instance_uid.slice(-24)}`;
  if (known) {
    const identified = await identifyPatient(tx, patient, said, unknownName);
    if (identified.patientId === known.patient_id) return ownStudy(tx, known, instance);
    warnings.push({ location: '(0010,0020)', text: 'this instance names another patient than its study; it is quarantined' });
    await raiseAlert(tx, { kind: 'identity_conflict', severity: 'critical', subject: `scan ${known.scan_id}`, message: 'An instance names another patient than the study it belongs to. It is stored, and left out of the analysis until a person decides.' });
    return { scan: known, isForeign: true };
  }
  const scan = await openScan(tx, instance, patient, said, unknownName);
  scans.set(instance.study.study_instance_uid, scan);
  return { scan, isForeign: false };
}

/** An order, or a performed procedure step, named the study before its first image: what only the header says is filled in now. */
async function ownStudy(tx: Transaction, scan: ScanKey, instance: InstanceRow): Promise<{ scan: ScanKey; isForeign: false }> {
  if (scan.instance_count === 0) await fillFromStudy(tx, scan.scan_id, instance.study);
  return { scan, isForeign: false };
}

async function openScan(tx: Transaction, instance: InstanceRow, patient: PatientRow, said: Parameters<typeof identifyPatient>[2], unknownName: string): Promise<ScanKey> {
  const accession = instance.study.accession_number;
  const orders = accession ? (await findScansByOrder(tx, { accession_number: accession })).filter((order) => order.study_instance_uid === null) : [];
  let order: ScanKey | undefined;
  let patientId: string;
  if (patient.identifiers.length === 0 && orders.length === 1) {
    // No Patient ID, but the accession number is that of one open order: the order says who it is.
    order = orders[0]!;
    patientId = order.patient_id;
  } else {
    patientId = (await identifyPatient(tx, patient, said, unknownName)).patientId;
    order = orders.find((candidate) => candidate.patient_id === patientId);
    if (!order && orders.length > 0) said.warnings.push({ location: '(0008,0050)', text: 'the accession number is that of another patient\'s order; not linked' });
  }
  return openStudy(tx, patientId, instance.study, order?.scan_id);
}

async function reportConflict(tx: Transaction, instance: InstanceRow, warnings: MappingWarning[]): Promise<void> {
  warnings.push({ location: '(0008,0018)', text: 'this SOP Instance UID is stored with other bytes; both versions are kept' });
  await raiseAlert(tx, { kind: 'instance_conflict', severity: 'warning', subject: `study ${instance.study.study_instance_uid}`, message: 'An instance arrived again with other content. The first version stays in use; the new one is kept as a conflict.' });
}

function newFile(item: PersistItem, instance: InstanceRow, place: { scanFileId: string; scanId: string; conflictOf: string | undefined; isQuarantined: boolean; isOwnResult: boolean }): NewFile {
  const { series, file, study } = instance;
  return {
    scan_file_id: place.scanFileId, scan_id: place.scanId, ...series, ...file, scan_type: study.scan_type,
    byte_size: item.message.byteSize, sha256: item.message.sha256, storage_location: item.message.object?.location ?? '',
    received_at: item.message.receivedAt.toISOString(), source_integration_id: item.integration.integrationId, source_sync_id: item.exchangeId,
    status: place.isQuarantined ? 'quarantined' : 'stored', conflict_of: place.conflictOf, is_own_result: place.isOwnResult,
  };
}

function transferred(item: PersistItem, persisted: Persisted): AuditEvent {
  return {
    ...auditEvents.instancesTransferred, action: 'C', outcome: 'success',
    actor: { kind: 'application', id: item.message.peer.application ?? 'unknown', address: item.message.peer.address },
    object: { type: 'scan_file', id: persisted.links['scan_files']! }, patientId: persisted.links['patients'], syncId: item.exchangeId,
    ...(persisted.kind === 'duplicate' ? { detail: { repeat: true } } : {}),
  };
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
