/**
 * A person withdraws a report: wrong patient, wrong images, a model that should not have run. In: any of its versions. Out: a next version with status
 * entered-in-error, which every system is sent that some version was sent to, or may have been; versions that have not begun to leave stay here.
 * Receivers know it by the same identifiers as the first (OBR-3, DiagnosticReport.identifier, SOP instances), so that it takes its place.
 *
 * From then on the gateway makes nothing of the scan by itself: what is being analysed is dropped, images that come later are kept, and a person is told
 * (complete.ts). Whoever completes the scan by force wants a next version.
 */
import type { PgBoss } from 'pg-boss';
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { cancelUnfinishedAnalyses } from '../db/analyses.ts';
import { insertReport, lockReportSource } from '../db/reports.ts';
import { moveInQueue } from '../db/scan-queue.ts';
import { inOrganization } from '../db/transaction.ts';
import type { Database } from '../db/pool.ts';
import { insertWithdrawals, keepBack, newestVersion } from '../db/withdrawals.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { wakeDestination } from './commands.ts';
import { announceResult } from './subscriptions.ts';

export interface WithdrawDependencies { readonly database: Database; readonly boss: PgBoss; now(): Date }
export type Withdrawal = { readonly kind: 'withdrawn'; readonly reportId: string; readonly version: number; readonly destinations: number } | { readonly kind: 'not-found' } | { readonly kind: 'refused'; readonly reason: string };

/** `reason` is for the readers of the report: it stands first in its impression. */
export async function withdrawReport({ database, boss, now }: WithdrawDependencies, organizationId: string, reportId: string, reason: string, actor: AuditActor): Promise<Withdrawal> {
  return inOrganization(database, organizationId, async (tx) => {
    const seen = await newestVersion(tx, reportId);
    const source = seen && await lockReportSource(tx, seen.scan_id); // one at a time with a new version
    const newest = source && await newestVersion(tx, reportId);
    if (!newest) return { kind: 'not-found' };
    if (newest.author_kind !== 'device') return { kind: 'refused', reason: 'Another system made this report; it is withdrawn there.' };
    if (newest.status === 'entered-in-error' || newest.status === 'cancelled') return { kind: 'refused', reason: `The report is withdrawn already (version ${newest.version}).` };
    const id = uuidV7();
    const { sections } = newest.document;
    const document: ReportDocument = {
      ...newest.document, version: newest.version + 1, status: 'entered-in-error', issuedAt: now().toISOString(), sections: { ...sections, impression: `WITHDRAWN: ${reason}\n${sections.impression}` },
    };
    await insertReport(tx, {
      reportId: id, lineageId: newest.lineage_id, version: document.version, supersedes: newest.report_id, scanId: newest.scan_id, analysisId: newest.analysis_id ?? undefined,
      templateId: newest.template_id ?? undefined, document, authorName: newest.author_name,
    });
    const cancelled = await cancelUnfinishedAnalyses(tx, newest.scan_id);
    if (cancelled > 0) await moveInQueue(tx, newest.scan_id, { status: 'paused', whyWaiting: 'The report was withdrawn while the images were analysed; complete the scan by force to have them analysed after all.' }, now());
    const keptBack = await keepBack(tx, newest.lineage_id);
    const destinations = await insertWithdrawals(tx, newest.lineage_id, id);
    for (const integrationId of destinations) await wakeDestination(boss, tx, { organizationId, integrationId });
    await announceResult(boss, tx, { organizationId, reportId: id, patientId: source.patient_id, document });
    await recordAudit(tx, {
      ...auditEvents.procedureRecord, action: 'U', outcome: 'success', actor, object: { type: 'report', id }, patientId: source.patient_id,
      detail: { withdrawn: newest.report_id, version: document.version, destinations: destinations.length, kept_back: keptBack, cancelled_analyses: cancelled },
    });
    return { kind: 'withdrawn', reportId: id, version: document.version, destinations: destinations.length };
  });
}
