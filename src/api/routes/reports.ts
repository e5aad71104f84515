import { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import type { ApiDependencies } from '../context.ts';
import { id, pathId } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { notFound, Problem } from '../problem.ts';
import { listReports, readReport, Report, reportQuery, ReportWithDeliveries } from '../queries/reports.ts';
import type { ApiRouter } from '../router.ts';

const Withdraw = z.strictObject({ reason: z.string().trim().min(3).max(500).describe('For the readers of the report: it stands first in its impression. No names') }).openapi('WithdrawReport');
const Withdrawn = z.object({ report_id: id, version: z.int(), destinations: z.int().describe('Systems that are sent the withdrawal') }).openapi('WithdrawnReport');

export function reportRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
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

  router.route('POST /reports/{report_id}/withdraw', {
    summary: 'Withdraw a report', tag: 'reports', params: pathId('report_id'), body: Withdraw, returns: Withdrawn,
    description: 'Makes a next version with status entered-in-error and sends it to every system that an earlier version was sent to; versions that have not begun to leave stay here.',
  }, async ({ params, body, caller, actor, auditedElsewhere }) => {
    const withdrawal = await commands.withdrawReport(caller.organizationId, params.report_id, body.reason, actor);
    if (withdrawal.kind === 'not-found') throw notFound('report');
    if (withdrawal.kind === 'refused') throw new Problem(409, withdrawal.reason);
    auditedElsewhere();
    return { report_id: withdrawal.reportId, version: withdrawal.version, destinations: withdrawal.destinations };
  });
}
