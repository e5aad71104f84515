/**
 * What other systems tell later about a scan: its report (ORU^R01, MDM^T02) and its appointment (SIU). In: the row, the patient that the message
 * named, the transaction of the message. Out: the scan it was about, or undefined: nothing here is meant, and the message is kept without effect.
 *
 *   report, first time     reports row of author_kind 'external', compared with the newest AI result; signed: the queue's clock stops
 *   report, said again     nothing
 *   report, changed        next version, superseding the one before
 *   appointment            scans.scheduled_at; cancelled: none, and the queue row waits
 *
 * A number that belongs to another patient's scan links nothing, and a person is told.
 */
import { raiseAlert } from '../db/alerts.ts';
import { finishInQueue, insertExternalReport, latestAiFindings, latestExternalReport, setAppointment, type Agreement } from '../db/external-reports.ts';
import type { Transaction } from '../db/pool.ts';
import { lockReportSource } from '../db/reports.ts';
import { moveInQueue } from '../db/scan-queue.ts';
import { findScansByOrder, type ScanKey } from '../db/scans.ts';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { InboundReportRow, Normalized, ScanReference, ScheduleRow } from '#gateway/normalized.ts';
import type { Said } from './identify.ts';
import type { PersistItem } from './persist.ts';
import { reportPatient, reportScan } from './report-document.ts';

export const tellsOfScan = ({ reports, schedule }: Normalized): boolean => (reports ?? []).length > 0 || schedule !== undefined;

/** Applies all reports and the appointment of one message; the scan of the last one that is known here. */
export async function applyToScan(tx: Transaction, item: PersistItem, patientId: string, said: Said, now: Date): Promise<string | undefined> {
  const { reports = [], schedule } = item.normalized;
  let scanId: string | undefined;
  for (const row of reports) scanId = await applyReport(tx, item, row, patientId, said, now) ?? scanId;
  if (schedule) scanId = await applySchedule(tx, schedule, patientId, said, now) ?? scanId;
  return scanId;
}

async function applyReport(tx: Transaction, item: PersistItem, row: InboundReportRow, patientId: string, said: Said, now: Date): Promise<string | undefined> {
  const scanId = (await scanMeant(tx, row, patientId, said))?.scan_id;
  const source = scanId && await lockReportSource(tx, scanId);
  if (!scanId || !source) return undefined;
  const { integrationId } = item.integration;
  const previous = await latestExternalReport(tx, scanId, integrationId, row.report_identifier);
  if (previous && previous.status === row.status && previous.findings_text === row.findings_text && previous.impression === row.impression) return scanId;
  const reportId = uuidV7();
  const [version, lineageId] = [(previous?.version ?? 0) + 1, previous?.lineage_id ?? reportId];
  const agreement = row.status === 'final' || row.status === 'corrected' ? await compareWithAi(tx, scanId, row, said) : undefined;
  await insertExternalReport(tx, {
    reportId, lineageId, version, supersedes: previous?.report_id, scanId, authorName: row.author_name ?? item.message.peer.application ?? item.integration.name,
    signedAt: row.status === 'preliminary' ? undefined : fullTime(row.signed_at),
    document: {
      reportId: lineageId, version, status: row.status, issuedAt: fullTime(row.signed_at) ?? now.toISOString(), organization: { organizationId: source.organization_id, name: source.organization_name },
      patient: reportPatient(source), scan: reportScan(source, []), models: [], findings: [], sections: { findings: row.findings_text, impression: row.impression }, conclusionCodes: [],
      external: { identifier: row.report_identifier, integrationId, syncId: item.exchangeId, ...(agreement ? { agreement } : {}) },
    },
  });
  if (row.status === 'final' || row.status === 'corrected') await finishInQueue(tx, scanId, now);
  await recordAudit(tx, {
    ...auditEvents.procedureRecord, action: previous ? 'U' : 'C', outcome: 'success', actor: { kind: 'application', id: item.message.peer.application ?? 'unknown', address: item.message.peer.address },
    object: { type: 'report', id: reportId }, patientId: source.patient_id, syncId: item.exchangeId,
    detail: { scan_id: scanId, version, status: row.status, ...(agreement ? { ai_findings_named: agreement.named.length, ai_findings_not_named: agreement.notNamed.length } : {}) },
  });
  return scanId;
}

/** A finding counts as named when all words of its name stand in the text. Negations are not understood: it is a pointer for a person, no judgement. */
async function compareWithAi(tx: Transaction, scanId: string, row: InboundReportRow, said: Said): Promise<Agreement | undefined> {
  const ai = await latestAiFindings(tx, scanId);
  if (!ai) return undefined;
  const words = wordsOf(`${row.findings_text} ${row.impression}`);
  const { named = [], notNamed = [] } = Object.groupBy(ai.findings, (finding) => (wordsOf(finding.type.display).isSubsetOf(words) ? 'named' : 'notNamed'));
  if (ai.findings.length > 0) said.warnings.push({ location: 'agreement', text: `${named.length} of ${ai.findings.length} AI findings are named in this report (compared word by word; negations are not understood)` });
  return { reportId: ai.report_id, named: named.map(({ findingId }) => findingId), notNamed: notNamed.map(({ findingId }) => findingId) };
}

const wordsOf = (text: string): Set<string> => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu));
/** A time without the hour is no moment. */
const fullTime = (text: string | null | undefined): string | undefined => (text && text.includes('T') ? text : undefined);

async function applySchedule(tx: Transaction, row: ScheduleRow, patientId: string, said: Said, now: Date): Promise<string | undefined> {
  const scan = await scanMeant(tx, row, patientId, said);
  if (!scan) return undefined;
  const { scan_id: scanId } = scan;
  const scheduledAt = row.control === 'cancel' ? null : row.scheduled_at;
  if (scheduledAt === undefined) said.warnings.push({ location: 'AIS-4', text: 'the appointment names no time; the one before stays' });
  else if (!await setAppointment(tx, scanId, scheduledAt)) said.warnings.push({ location: 'AIS-4', text: 'the scan has images already; its time stays' });
  else if (row.control === 'cancel') await moveInQueue(tx, scanId, { status: 'paused', whyWaiting: 'The appointment was cancelled; the order stands.' }, now);
  else if (scan.order_status === 'ordered') await moveInQueue(tx, scanId, { status: 'pending', whyWaiting: 'Ordered; waiting for images.' }, now);
  return scanId;
}

/** The oldest scan of this patient with one of these numbers. An accession number may also stand where the filler's number is expected. */
async function scanMeant(tx: Transaction, row: ScanReference, patientId: string, said: Said): Promise<ScanKey | undefined> {
  const { accession_number: accession, placer_order_number: placer, filler_order_number: filler, study_instance_uid: study } = row;
  const reference = Object.fromEntries(Object.entries({ accession_number: accession ?? filler, placer_order_number: placer, filler_order_number: filler, study_instance_uid: study }).filter(([, value]) => value));
  const candidates: readonly ScanKey[] = Object.keys(reference).length > 0 ? await findScansByOrder(tx, reference) : [];
  const own = candidates.find((candidate) => candidate.patient_id === patientId);
  if (own) return own;
  if (candidates.length === 0) {
    said.warnings.push({ location: 'order', text: 'no scan here has the numbers of this message; kept without effect' });
    return undefined;
  }
  said.warnings.push({ location: 'order', text: 'the numbers are those of another patient\'s scan; not linked' });
  await raiseAlert(tx, { kind: 'identity_conflict', severity: 'critical', subject: `scan ${candidates[0]!.scan_id}`, about: [{ patient_id: patientId }], message: 'A report or appointment names this scan but another patient. It was not linked; compare the two patients.' });
  return undefined;
}
