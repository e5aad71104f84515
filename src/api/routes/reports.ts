import { auditEvents } from '../../audit/event.ts';
import { pathId } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { notFound } from '../problem.ts';
import { listReports, readReport, Report, reportQuery, ReportWithDeliveries } from '../queries/reports.ts';
import type { ApiRouter } from '../router.ts';

export function reportRoutes(router: ApiRouter): void {
  router.route('GET /reports', { summary: 'Reports, newest first', tag: 'reports', query: reportQuery, returns: listOf(Report) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listReports(tx, query), query, (report) => report.report_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'report', id: '*' }, detail: { report_ids: page.items.map((report) => report.report_id) } });
    return page;
  }));

  router.route('GET /reports/{report_id}', {
    summary: 'One report, with the document that was sent and its deliveries', tag: 'reports', params: pathId('report_id'), returns: ReportWithDeliveries,
  }, ({ transact, params }) => transact(async (tx, audit) => {
    const report = await readReport(tx, params.report_id);
    if (!report) throw notFound('report');
    await audit({ ...auditEvents.patientRecord, action: 'R', object: { type: 'report', id: report.report_id }, patientId: report.patient_id });
    return report;
  }));
}
