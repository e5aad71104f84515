/**
 * Reports follow their patient. In: scans that changed hands. Out: versions that say so, in the transaction of the change; the sweep sends them.
 *
 *   merge     a report that some system does not have yet would reach it under a number that is retired: its next version names the patient who
 *             remains and leaves in its place. Who has it learns of the merge as the gateway did, from the feed.
 *   unmerge   a report that names the other patient is withdrawn there (entered-in-error, to whom it was sent), and told anew as a report of its own
 *             under the right patient, to whom it was meant for. Its own, because many receivers refuse to move a result from patient to patient, and
 *             what was withdrawn must stay so in the other's record.
 */
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { announceToReceiversAlone, deliverInstead, deliverToSame, openReportsUnderOldNumbers, renameFindings, reportsNaming } from '../db/report-identity.ts';
import { insertReport, lockReportSource } from '../db/reports.ts';
import { insertSubscriptionEvents } from '../db/subscriptions.ts';
import type { Transaction } from '../db/transaction.ts';
import { insertWithdrawals, newestVersion } from '../db/withdrawals.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { uidOfUuid } from '#standards/dicom/uids.ts';
import { reportPatient } from './report-document.ts';

type Newest = NonNullable<Awaited<ReturnType<typeof newestVersion>>>;
export interface CorrectedReport { readonly reportId: string; readonly withdrawnBy: string; readonly toldAnewAs: string }

/** After an unmerge: of these scans, now those of the earlier patient again, what was told of the one who remained. */
export async function correctReports(tx: Transaction, scanIds: readonly string[], survivorId: string, actor: AuditActor): Promise<readonly CorrectedReport[]> {
  const corrected: CorrectedReport[] = [];
  for (const reportId of await reportsNaming(tx, scanIds, survivorId)) {
    const newest = (await newestVersion(tx, reportId))!;
    const withdrawnBy = await nextVersion(tx, newest, { ...newest.document, status: 'entered-in-error', sections: noted(newest, 'WITHDRAWN: this result belongs to another patient.') }, newest.lineage_id, newest.version + 1, survivorId);
    await insertWithdrawals(tx, newest.lineage_id, withdrawnBy);
    const toldAnewAs = await tellAnew(tx, newest);
    await recordAudit(tx, {
      ...auditEvents.procedureRecord, action: 'U', outcome: 'success', actor, object: { type: 'report', id: reportId }, patientId: survivorId, detail: { wrong_patient: true, withdrawn_by: withdrawnBy, told_anew_as: toldAnewAs },
    });
    corrected.push({ reportId, withdrawnBy, toldAnewAs });
  }
  return corrected;
}

/** Its version goes on counting: of a scan's reports the newest has the highest. */
async function tellAnew(tx: Transaction, newest: Newest): Promise<string> {
  const source = (await lockReportSource(tx, newest.scan_id))!;
  const findings = newest.document.findings.map((finding) => ({ ...finding, trackingUid: uidOfUuid(uuidV7()) }));
  await renameFindings(tx, findings.map(({ findingId, trackingUid }) => ({ finding_id: findingId, tracking_uid: trackingUid })));
  const lineageId = uuidV7();
  const document: ReportDocument = { ...newest.document, findings, patient: reportPatient(source), sections: noted(newest, 'CORRECTED: this result was told of another patient before; it belongs to this one.') };
  const reportId = await nextVersion(tx, newest, document, lineageId, newest.version + 2, source.patient_id);
  await deliverToSame(tx, newest.lineage_id, reportId);
  return reportId;
}

/** After a merge: what is still on its way under a number that is retired now. */
export async function renameOpenReports(tx: Transaction, survivorId: string, syncId: string): Promise<void> {
  for (const reportId of await openReportsUnderOldNumbers(tx, survivorId)) {
    const newest = (await newestVersion(tx, reportId))!, source = (await lockReportSource(tx, newest.scan_id))!;
    const next = await nextVersion(tx, newest, { ...newest.document, patient: reportPatient(source) }, newest.lineage_id, newest.version + 1, source.patient_id);
    const destinations = await deliverInstead(tx, reportId, next);
    await announceToReceiversAlone(tx, next);
    await recordAudit(tx, {
      ...auditEvents.procedureRecord, action: 'U', outcome: 'success', actor: { kind: 'system', id: 'merge' }, object: { type: 'report', id: next }, patientId: source.patient_id, syncId, detail: { merged: true, replaces: reportId, destinations },
    });
  }
}

const noted = ({ document: { sections } }: Newest, note: string): ReportDocument['sections'] => ({ ...sections, impression: `${note}\n${sections.impression}` });

async function nextVersion(tx: Transaction, previous: Newest, document: ReportDocument, lineageId: string, version: number, patientId: string): Promise<string> {
  const reportId = uuidV7();
  await insertReport(tx, {
    reportId, lineageId, version, supersedes: previous.report_id, scanId: previous.scan_id, analysisId: previous.analysis_id ?? undefined, templateId: previous.template_id ?? undefined, authorName: previous.author_name,
    document: { ...document, reportId: lineageId, version, issuedAt: new Date().toISOString() },
  });
  await insertSubscriptionEvents(tx, { reportId, patientId, status: document.status });
  return reportId;
}
