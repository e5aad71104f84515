/**
 * The draft report. In: a report job (scan id), sent after each analysis. Out, once the last analysis of the scan has ended: one report
 * version, one outbox row per destination, one wake-up per destination, in one transaction (T4). Running twice writes nothing twice:
 * a report that was made from the same analyses is there already.
 */
import type { PgBoss } from 'pg-boss';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert } from '../db/alerts.ts';
import { activeRules, filesInUse } from '../db/analyses.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { findingsOf, findTemplate, insertDeliveries, insertReport, latestReport, lockReportSource, newestAnalyses, type AnalysisOfRun, type ReportSource } from '../db/reports.ts';
import { moveInQueue } from '../db/scan-queue.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { isLeftWithdrawn } from '../db/withdrawals.ts';
import { failpoint } from '../failpoint.ts';
import { QUEUES, type DeliverJob, type ReportJob } from '../queue/queues.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { leaveToPerson } from './complete.ts';
import { reportFinding, reportModel, reportPatient, reportScan, reportSections } from './report-document.ts';
import { actionSchema, holds } from './rules.ts';
import { announceResult } from './subscriptions.ts';

export interface ReportDependencies { readonly database: Database; readonly boss: PgBoss; now(): Date }

export async function report(dependencies: ReportDependencies, job: ReportJob): Promise<string | undefined> {
  return inOrganization(dependencies.database, job.organizationId, async (tx) => {
    const source = await lockReportSource(tx, job.scanId);
    if (!source) return undefined;
    if (source.order_status === 'cancelled') {
      await moveInQueue(tx, job.scanId, { status: 'cancelled', whyWaiting: 'The order was cancelled while the images were analysed; no report is made.' }, dependencies.now());
      return undefined;
    }
    const analyses = await newestAnalyses(tx, job.scanId);
    if (analyses.some((analysis) => ['queued', 'processing'].includes(analysis.status))) return undefined;
    const completed = analyses.filter((analysis) => analysis.status === 'completed');
    if (completed.length === 0) return undefined;
    const previous = await latestReport(tx, job.scanId);
    const isSame = previous && sameSet(previous.analysis_ids, completed.map((analysis) => analysis.analysis_id));
    const isLeft = await isLeftWithdrawn(tx, job.scanId);
    // Whoever has a scan completed by force after its report was withdrawn wants the next version, also where the images are those of before.
    if (isSame && (isLeft || !isWithdrawn(previous.status))) return undefined;
    if (isLeft) {
      await leaveToPerson(tx, job.scanId, dependencies.now());
      return undefined;
    }
    const reportId = uuidV7();
    const lineageId = previous?.lineage_id ?? reportId;
    const { document, templateId } = await draft(dependencies, tx, source, analyses, { reportId: lineageId, version: (previous?.version ?? 0) + 1 });
    await insertReport(tx, {
      reportId, lineageId, version: document.version, supersedes: previous?.report_id, scanId: job.scanId, analysisId: completed[0]!.analysis_id, templateId, document,
      authorName: document.models.map((model) => `${model.name} ${model.version}`).join(', '),
    });
    const critical = document.findings.filter((finding) => finding.severity === 'critical').length;
    if (critical > 0) await raiseAlert(tx, { kind: 'critical_finding', severity: 'critical', subject: `scan ${source.scan_number}`, message: `${critical === 1 ? 'A critical finding waits' : `${critical} critical findings wait`} for a person to confirm or reject.` });
    await fillOutbox(dependencies, tx, job, source, reportId);
    await announceResult(dependencies.boss, tx, { organizationId: job.organizationId, reportId, patientId: source.patient_id, document });
    await moveInQueue(tx, job.scanId, { status: 'completed', whyWaiting: null }, dependencies.now());
    await recordAudit(tx, {
      ...auditEvents.procedureRecord, action: 'C', outcome: 'success', actor: { kind: 'system', id: 'report' }, object: { type: 'report', id: reportId },
      patientId: source.patient_id, detail: { scan_id: job.scanId, version: document.version, finding_count: document.findings.length },
    });
    failpoint('report.beforeCommit');
    return reportId;
  });
}

async function draft(dependencies: ReportDependencies, tx: Transaction, source: ReportSource, analyses: readonly AnalysisOfRun[], identity: { reportId: string; version: number }): Promise<{ document: ReportDocument; templateId: string | undefined }> {
  const completed = analyses.filter((analysis) => analysis.status === 'completed');
  const failed = analyses.filter((analysis) => analysis.status !== 'completed').map((analysis) => `${analysis.model_name} ${analysis.model_version}`);
  const findings = (await findingsOf(tx, completed.map((analysis) => analysis.analysis_id))).map(reportFinding);
  const models = completed.map(reportModel);
  const template = await findTemplate(tx, source.scan_type, source.body_part);
  const document: ReportDocument = {
    ...identity, status: 'preliminary', issuedAt: dependencies.now().toISOString(), organization: { organizationId: source.organization_id, name: source.organization_name },
    patient: reportPatient(source), scan: reportScan(source, await filesInUse(tx, source.scan_id)), models, findings,
    sections: reportSections(template?.sections ?? {}, source, findings, models, failed), conclusionCodes: distinctTypes(findings),
  };
  return { document, templateId: template?.template_id };
}

function distinctTypes(findings: ReportDocument['findings']): ReportDocument['conclusionCodes'] {
  return [...new Map(findings.filter((finding) => finding.type.code).map((finding) => [`${finding.type.system}|${finding.type.code}`, finding.type])).values()];
}

async function fillOutbox(dependencies: ReportDependencies, tx: Transaction, job: ReportJob, source: ReportSource, reportId: string): Promise<void> {
  for (const integrationId of await insertDeliveries(tx, reportId, await routedTo(tx, source))) {
    const data: DeliverJob = { organizationId: job.organizationId, integrationId };
    await dependencies.boss.send(QUEUES.deliver.name, data, { singletonKey: integrationId, db: bossDb(tx) as never });
  }
}

/** Integrations that the rules name; none named means every one that takes results. */
async function routedTo(tx: Transaction, source: ReportSource): Promise<readonly string[]> {
  const names: string[] = [];
  for (const rule of await activeRules(tx)) {
    const actions = rule.actions.map((action) => actionSchema.safeParse(action)).flatMap((parsed) => (parsed.success && parsed.data.action === 'deliver_to' ? [parsed.data.integration] : []));
    if (actions.length === 0) continue;
    try {
      if (holds(rule.conditions, source)) names.push(...actions);
    } catch {
      // A rule that cannot be read was reported when the scan was completed.
    }
  }
  return names;
}

const isWithdrawn = (status: string): boolean => status === 'entered-in-error' || status === 'cancelled';
const sameSet = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((entry) => b.includes(entry));
