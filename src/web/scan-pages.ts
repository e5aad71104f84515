/**
 * The pages about scans and reports: where a study is, one scan, one report. In and out as in console.ts; what changes something goes to the same commands as by the API.
 */
import type { Hono } from 'hono';
import { auditEvents } from '../audit/event.ts';
import { actorOf, type ApiDependencies, type ApiEnv } from '../api/context.ts';
import { toPage } from '../api/pagination.ts';
import { findsByNumber, seesPatients } from '../api/permissions.ts';
import { notFound } from '../api/problem.ts';
import { analysisQuery, listAnalyses, readAnalysis } from '../api/queries/analyses.ts';
import { deliveryQuery, listDeliveries } from '../api/queries/deliveries.ts';
import { findingQuery, listFindings } from '../api/queries/findings.ts';
import { listReports, readReport, reportQuery } from '../api/queries/reports.ts';
import { readScanSources } from '../api/queries/scan-sources.ts';
import { listScans, readScan, scanQuery } from '../api/queries/scans.ts';
import { listSyncLogs, syncLogQuery } from '../api/queries/sync-logs.ts';
import { reviewByPerson } from '../api/review-finding.ts';
import type { Transaction } from '../db/transaction.ts';
import { reportPage } from './report.ts';
import { scanPage } from './scan.ts';
import { findScans, listSeries, readScanPatient, readWhereabouts, scanOfNumber, type ScanRow } from './scan-rows.ts';
import { scanList } from './scans.ts';
import { listDecisions, listKeptOut } from './version-rows.ts';
import { form, uuid, visitor, withoutEmpty, wordsOf, type PageAudit, type Visit } from './visit.ts';

export function scanPages(app: Hono<ApiEnv>, dependencies: ApiDependencies): void {
  const { commands } = dependencies;
  const visit = visitor(dependencies);

  const browse = async (v: Visit, given: Record<string, string>): Promise<Response> => {
    const { text, ...filter } = given;
    const parsed = scanQuery.safeParse(filter);
    const byName = seesPatients(v.caller), byPatient = findsByNumber(v.caller);
    const { page, whereabouts, isCut } = await v.read(async (tx, audit) => {
      const among = text === undefined || !parsed.success ? undefined : await findScans(tx, text, { byPatient, byName });
      const query = parsed.success ? parsed.data : scanQuery.parse({});
      const found = toPage(parsed.success && among?.length !== 0 ? await listScans(tx, query, among) : [], query, (scan) => scan.scan_id);
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'scan', id: '*' }, detail: { ...(text === undefined ? {} : { by: 'text' }), scan_ids: found.items.map((scan) => scan.scan_id) } });
      return { page: found, whereabouts: await readWhereabouts(tx, found.items.map((scan) => scan.scan_id)), isCut: among?.length === 200 };
    });
    const { cursor: _, limit: __, ...shown } = given;
    return v.page('/scans', 'Scans', scanList({ filter: shown, items: page.items, whereabouts, nextCursor: page.next_cursor, isCut, seesPatients: byName, findsByNumber: byPatient, seesExchanges: v.may('exchanges:read'), now: v.now, problem: parsed.success ? undefined : wordsOf(parsed.error) }));
  };
  app.get('/scans', visit('scans:read', (v) => browse(v, withoutEmpty(v.c.req.query()))));
  // A number or name of a patient goes in the body, and never into an address that is kept.
  app.post('/scans', form, visit('scans:read', async (v) => {
    const fields = await v.fields();
    return fields['text'] === undefined && fields['cursor'] === undefined ? v.c.redirect(Object.keys(fields).length === 0 ? '/scans' : `/scans?${new URLSearchParams(fields)}`, 303) : browse(v, fields);
  }));

  // What alerts name is a scan's number, or an analysis of it.
  app.get('/scans/number/:number{S[0-9-]+}', visit('scans:read', async (v) => {
    const scanId = await v.read((tx) => scanOfNumber(tx, v.c.req.param('number')!));
    if (scanId === null) throw notFound('scan');
    return v.c.redirect(`/scans/${scanId}`, 303);
  }));
  app.get(`/scans/of-analysis/:id{${uuid}}`, visit('scans:read', async (v) => {
    const analysis = await v.read((tx) => readAnalysis(tx, v.c.req.param('id')!));
    if (!analysis) throw notFound('analysis');
    return v.c.redirect(`/scans/${analysis.scan_id}`, 303);
  }));

  app.get(`/scans/:id{${uuid}}`, visit('scans:read', async (v) => {
    const one = await v.read(async (tx, audit) => {
      const scan = await openScan(tx, audit, v.c.req.param('id')!, 'page');
      const scanId = scan.scan_id, [newest, ...older] = v.may('analyses:read') ? await listAnalyses(tx, analysisQuery.parse({ scan_id: scanId, limit: 20 })) : [];
      return {
        scan, at: (await readWhereabouts(tx, [scanId])).get(scanId), patient: seesPatients(v.caller) ? await readScanPatient(tx, scan.patient_id) ?? undefined : undefined,
        series: await listSeries(tx, scanId), keptOut: await listKeptOut(tx, scanId, 200), decisions: await listDecisions(tx, scan, 50), sources: await readScanSources(tx, scanId),
        analyses: v.may('analyses:read') ? [...(newest ? [newest] : []), ...older] : undefined,
        findings: newest === undefined ? undefined : await listFindings(tx, findingQuery.parse({ analysis_id: newest.analysis_id, limit: 50 })),
        reports: v.may('reports:read') ? await listReports(tx, reportQuery.parse({ scan_id: scanId, limit: 20 })) : undefined,
        deliveries: v.may('reports:read') || v.may('exchanges:read') ? await listDeliveries(tx, deliveryQuery.parse({ scan_id: scanId, limit: 20 })) : undefined,
        messages: v.may('exchanges:read') ? (await listSyncLogs(tx, syncLogQuery.parse({ scan_id: scanId, limit: 20 }), v.caller)).slice(0, 20) : undefined,
      };
    });
    return v.page('/scans', one.scan.scan_number, scanPage({ ...one, mayComplete: v.may('scans:complete'), mayReview: v.may('findings:review'), seesImages: v.may('images:read'), done: v.done, problem: v.problem, now: v.now }));
  }));

  app.post(`/scans/:id{${uuid}}/findings/:finding{${uuid}}/review`, form, visit('findings:review', async (v) => {
    const scanId = v.c.req.param('id')!, says = (await v.fields())['is_confirmed'];
    if (says !== 'true' && says !== 'false') return v.back(`/scans/${scanId}`, { problem: 'Confirm the finding, or reject it.' });
    const finding = await v.read((tx, audit) => reviewByPerson(tx, audit, v.caller, v.c.req.param('finding')!, says === 'true'));
    return v.back(`/scans/${finding.scan_id}`, { done: `${says === 'true' ? 'Confirmed' : 'Rejected'}: ${finding.description}` });
  }));

  app.post(`/scans/:id{${uuid}}/complete`, form, visit('scans:complete', async (v) => {
    const scanId = v.c.req.param('id')!, done = await commands.forceComplete(v.caller.organizationId, scanId, actorOf(v.c, v.caller));
    if (done.kind === 'not-found') throw notFound('scan');
    return v.back(`/scans/${scanId}`, done.kind === 'refused' ? { problem: done.reason } : { done: 'Its images count as complete; analysis begins.' });
  }));
  app.post(`/scans/:id{${uuid}}/priors`, form, visit('scans:complete', async (v) => {
    const scanId = v.c.req.param('id')!, done = await commands.fetchPriors(v.caller.organizationId, scanId, actorOf(v.c, v.caller));
    if (done.kind === 'not-found') throw notFound('scan');
    return v.back(`/scans/${scanId}`, done.kind === 'refused' ? { problem: done.reason } : { done: done.sources.length > 0 ? `Asked: ${done.sources.join(', ')}.` : 'A search waits already.' });
  }));

  // ---- reports

  app.get(`/reports/:id{${uuid}}`, visit('reports:read', async (v) => {
    const report = await v.read(async (tx, audit) => {
      const found = await readReport(tx, v.c.req.param('id')!);
      if (!found) throw notFound('report');
      await audit({ ...auditEvents.patientRecord, action: 'R', object: { type: 'report', id: found.report_id }, patientId: found.patient_id });
      return { report: found, scan: (await readScan(tx, found.scan_id))!, patient: seesPatients(v.caller) ? await readScanPatient(tx, found.patient_id) ?? undefined : undefined, versions: await listReports(tx, reportQuery.parse({ scan_id: found.scan_id, limit: 50 })) };
    });
    return v.page('/scans', `Report of ${report.scan.scan_number}`, reportPage({ ...report, mayWithdraw: v.may('reports:withdraw'), done: v.done, problem: v.problem, now: v.now }));
  }));
  app.post(`/reports/:id{${uuid}}/withdraw`, form, visit('reports:withdraw', async (v) => {
    const reportId = v.c.req.param('id')!, reason = (await v.fields())['reason'] ?? '';
    if (reason.length < 3 || reason.length > 500) return v.back(`/reports/${reportId}`, { problem: 'A withdrawal needs a reason of 3 to 500 characters.' });
    const done = await commands.withdrawReport(v.caller.organizationId, reportId, reason, actorOf(v.c, v.caller));
    if (done.kind === 'not-found') throw notFound('report');
    return v.back(done.kind === 'refused' ? `/reports/${reportId}` : `/reports/${done.reportId}`, done.kind === 'refused' ? { problem: done.reason } : { done: `Withdrawn; ${done.destinations} ${done.destinations === 1 ? 'system is' : 'systems are'} told.` });
  }));
}

/** The scan of the address, with its look on record. */
export async function openScan(tx: Transaction, audit: PageAudit, scanId: string, part: string): Promise<ScanRow> {
  const scan = await readScan(tx, scanId);
  if (!scan) throw notFound('scan');
  await audit({ ...auditEvents.orderRecord, action: 'R', object: { type: 'scan', id: scanId }, patientId: scan.patient_id, detail: { part } });
  return scan;
}
