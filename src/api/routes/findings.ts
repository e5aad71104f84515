import { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import { pathId } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { notFound } from '../problem.ts';
import { Analysis, analysisQuery, listAnalyses, readAnalysis } from '../queries/analyses.ts';
import { Finding, findingQuery, FindingReview, listFindings, readFinding } from '../queries/findings.ts';
import { CriticalFinding, criticalUnreviewedFindings } from '../queries/worklists.ts';
import { reviewByPerson } from '../review-finding.ts';
import type { ApiRouter } from '../router.ts';

export function analysisRoutes(router: ApiRouter): void {
  router.route('GET /analyses', { summary: 'AI analyses, newest first', tag: 'analyses', query: analysisQuery, returns: listOf(Analysis) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listAnalyses(tx, query), query, (analysis) => analysis.analysis_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'analysis', id: '*' }, detail: { analysis_ids: page.items.map((analysis) => analysis.analysis_id) } });
    return page;
  }));

  router.route('GET /analyses/{analysis_id}', { summary: 'One analysis', tag: 'analyses', params: pathId('analysis_id'), returns: Analysis }, ({ transact, params }) =>
    transact(async (tx, audit) => {
      const analysis = await readAnalysis(tx, params.analysis_id);
      if (!analysis) throw notFound('analysis');
      await audit({ ...auditEvents.procedureRecord, action: 'R', object: { type: 'analysis', id: analysis.analysis_id }, patientId: analysis.patient_id });
      return analysis;
    }));
}

export function findingRoutes(router: ApiRouter): void {
  router.route('GET /findings', { summary: 'Findings, newest first', tag: 'findings', query: findingQuery, returns: listOf(Finding) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listFindings(tx, query), query, (finding) => finding.finding_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'finding', id: '*' }, detail: { finding_ids: page.items.map((finding) => finding.finding_id) } });
    return page;
  }));

  // Before /findings/{finding_id}, which would take the name for an id.
  router.route('GET /findings/critical-unreviewed', {
    summary: 'Critical findings that nobody has reviewed', tag: 'findings', returns: z.object({ items: z.array(CriticalFinding), next_cursor: z.null() }),
  }, ({ transact }) => transact(async (tx, audit) => {
    const findings = await criticalUnreviewedFindings(tx);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'finding', id: '*' }, detail: { scan_numbers: findings.map((finding) => finding.scan_number) } });
    return { items: [...findings], next_cursor: null };
  }));

  router.route('GET /findings/{finding_id}', { summary: 'One finding', tag: 'findings', params: pathId('finding_id'), returns: Finding }, ({ transact, params }) =>
    transact(async (tx, audit) => {
      const finding = await readFinding(tx, params.finding_id);
      if (!finding) throw notFound('finding');
      await audit({ ...auditEvents.procedureRecord, action: 'R', object: { type: 'finding', id: finding.finding_id }, patientId: finding.patient_id });
      return finding;
    }));

  router.route('PATCH /findings/{finding_id}', {
    summary: 'Confirm or reject a finding', tag: 'findings', params: pathId('finding_id'), body: FindingReview, returns: Finding,
  }, ({ transact, params, body, caller }) => transact((tx, audit) => reviewByPerson(tx, audit, caller, params.finding_id, body.is_confirmed)));
}
