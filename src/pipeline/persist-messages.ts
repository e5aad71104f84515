/**
 * HL7 v2 and FHIR messages to rows, in order of arrival: patient, merges, history, order. The same name with the same bytes was here
 * before: answered as before, no second effect. The same name with other bytes is another message.
 */
import { raiseAlert } from '../db/alerts.ts';
import { cancelQueuedAnalyses } from '../db/analyses.ts';
import { insertExchanges, insertPayloads, type ExchangeRow, type PayloadRow } from '../db/exchanges.ts';
import { findMessageIdentities, insertMessageIdentity } from '../db/message-identities.ts';
import { quarantinedPatients, setPatientStatus, upsertHistory } from '../db/patients.ts';
import { enterQueue, moveInQueue, setPriority } from '../db/scan-queue.ts';
import { findScansByOrder, insertOrderedScan, updateOrder, type ScanKey } from '../db/scans.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { auditEvents, type AuditEvent } from '../audit/event.ts';
import { recordAudits } from '../audit/record.ts';
import { failpoint } from '../failpoint.ts';
import type { HistoryRow, MappingWarning, OrderRow } from '#gateway/normalized.ts';
import { applyMerge, identifyPatient, type Identified, type Said } from './identify.ts';
import { inboundExchange, type PersistDependencies, type PersistItem, type Persisted } from './persist.ts';

export async function persistMessages(dependencies: PersistDependencies, organizationId: string, items: readonly PersistItem[]): Promise<readonly Persisted[]> {
  failpoint('persist.beforeBegin');
  const results = await inOrganization(dependencies.database, organizationId, async (tx) => {
    const exchanges: ExchangeRow[] = [];
    const payloads: PayloadRow[] = [];
    const audits: AuditEvent[] = [];
    const persisted: Persisted[] = [];
    for (const item of items) {
      const warnings = [...item.normalized.warnings];
      const result = await applyMessage(tx, item, warnings, dependencies.now());
      persisted.push(result);
      exchanges.push(inboundExchange(item, result.kind, result.links, warnings, dependencies.now()));
      payloads.push({ sync_id: item.exchangeId, part: 'message', media_type: mediaType(item), content: item.message.head });
      audits.push(recorded(item, result));
    }
    await insertExchanges(tx, exchanges);
    await insertPayloads(tx, payloads);
    await recordAudits(tx, audits);
    failpoint('persist.beforeCommit');
    return persisted;
  });
  failpoint('persist.afterCommit');
  return results;
}

async function applyMessage(tx: Transaction, item: PersistItem, warnings: MappingWarning[], now: Date): Promise<Persisted> {
  const key = { integrationId: item.integration.integrationId, sender: item.message.peer.application ?? '', controlId: item.message.controlId };
  const versions = await findMessageIdentities(tx, key);
  const repeat = versions.find((version) => version.sha256 === item.message.sha256);
  if (repeat) return { kind: 'duplicate', answerCode: repeat.answer_code ?? undefined, links: repeat.links };
  if (versions.length > 0) warnings.push({ location: 'control id', text: 'this control id was used before with other content; taken as another message' });

  const links = await applyContent(tx, item, warnings, now);
  await insertMessageIdentity(tx, key, { sha256: item.message.sha256, interaction: item.message.interaction, syncId: item.exchangeId, links });
  return { kind: 'accepted', links };
}

async function applyContent(tx: Transaction, item: PersistItem, warnings: MappingWarning[], now: Date): Promise<Readonly<Record<string, string>>> {
  const { patient, merges = [], history = [], order, authority } = item.normalized;
  const said: Said = { authority, syncId: item.exchangeId, at: item.message.receivedAt, warnings };
  const links: Record<string, string> = {};
  let identified: Identified | undefined;
  if (patient) {
    identified = await identifyPatient(tx, patient, said, `UNKNOWN-${item.exchangeId.slice(-12)}`);
    if (identified.isQuarantined && authority === 'registration' && patient.identifiers.length > 0) await setPatientStatus(tx, identified.patientId, { identityStatus: 'established' });
    links['patients'] = identified.patientId;
  }
  for (const merge of merges) {
    const survivorId = await applyMerge(tx, merge, said);
    if (survivorId) links['patients'] = survivorId;
  }
  if (history.length > 0 && links['patients']) await upsertHistory(tx, links['patients'], history.map(toStatement), item.exchangeId);
  if (order && links['patients']) links['scans'] = await applyOrder(tx, order, links['patients'], said, now);
  return links;
}

const toStatement = (row: HistoryRow): HistoryRow & { statement_key: string } =>
  ({ ...row, statement_key: [row.kind, row.code_system ?? '', row.code ?? row.display, row.onset ?? ''].join('|') });

async function applyOrder(tx: Transaction, order: OrderRow, patientId: string, said: Said, now: Date): Promise<string> {
  const candidates = await findScansByOrder(tx, order);
  const existing = await chooseScan(tx, candidates, patientId, said);
  const scanId = existing?.scan_id ?? await insertOrderedScan(tx, patientId, order);
  // Another patient's scan holds this Study Instance UID: the order keeps its numbers and leaves the study to a person.
  const { study_instance_uid: study, ...withoutStudy } = order;
  await updateOrder(tx, scanId, patientId, !existing && candidates.some((candidate) => candidate.study_instance_uid === study) ? withoutStudy : order);
  const priority = order.priority ?? existing?.priority ?? 'routine';
  if (order.control === 'cancel') {
    await cancelQueuedAnalyses(tx, scanId);
    await enterQueue(tx, [{ scanId, priority, whyWaiting: 'The order was cancelled.' }], now);
    await moveInQueue(tx, scanId, { status: 'cancelled', whyWaiting: 'The order was cancelled.' }, now);
  } else if ((existing?.instance_count ?? 0) === 0) {
    await enterQueue(tx, [{ scanId, priority, whyWaiting: order.control === 'hold' ? 'The order is on hold.' : 'Ordered; waiting for images.' }], now);
    if (order.control === 'hold') await moveInQueue(tx, scanId, { status: 'paused', whyWaiting: 'The order is on hold.' }, now);
  } else if (order.priority) {
    await setPriority(tx, scanId, order.priority);
  }
  return scanId;
}

/** The scan an order means: same patient, or images whose patient is still unknown. An order that names another patient's scan links nothing. */
async function chooseScan(tx: Transaction, candidates: readonly ScanKey[], patientId: string, said: Said): Promise<ScanKey | undefined> {
  const own = candidates.find((candidate) => candidate.patient_id === patientId);
  if (own || candidates.length === 0) return own;
  const unknown = await findQuarantined(tx, candidates);
  if (unknown) return unknown;
  said.warnings.push({ location: 'order', text: 'the order\'s identifiers are those of another patient\'s scan; not linked' });
  await raiseAlert(tx, { kind: 'identity_conflict', severity: 'critical', subject: `scan ${candidates[0]!.scan_id}`, message: 'An order names this scan but another patient. It was stored as an order of its own; compare the two patients.' });
  return undefined;
}

async function findQuarantined(tx: Transaction, candidates: readonly ScanKey[]): Promise<ScanKey | undefined> {
  const quarantined = await quarantinedPatients(tx, candidates.map((candidate) => candidate.patient_id));
  return candidates.find((candidate) => quarantined.has(candidate.patient_id));
}

function mediaType(item: PersistItem): string {
  return String(item.message.facts['mediaType'] ?? (item.adapter.startsWith('fhir') ? 'application/fhir+json' : 'application/hl7-v2'));
}

function recorded(item: PersistItem, result: Persisted): AuditEvent {
  const event = item.normalized.order ? auditEvents.orderRecord : auditEvents.patientRecord;
  const [type, id] = item.normalized.order && result.links['scans'] ? ['scan', result.links['scans']] : ['patient', result.links['patients'] ?? ''];
  return {
    ...event, action: 'U', outcome: 'success', actor: { kind: 'application', id: item.message.peer.application ?? 'unknown', address: item.message.peer.address },
    object: { type, id }, patientId: result.links['patients'], syncId: item.exchangeId, detail: { interaction: item.message.interaction, ...(result.kind === 'duplicate' ? { repeat: true } : {}) },
  };
}
