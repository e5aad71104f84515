import { pathId } from '../fields.ts';
import { listOf, pageQuery, toPage } from '../pagination.ts';
import { notFound } from '../problem.ts';
import { listModels, listRules, listTemplates, Model, readModel, readRule, readTemplate, ReportTemplate, WorkflowRule } from '../queries/configuration.ts';
import type { ApiRouter } from '../router.ts';

const unaudited = 'read-only reference data without patients or secrets';

export function configurationRoutes(router: ApiRouter): void {
  router.route('GET /ai-models', { summary: 'AI models', tag: 'configuration', query: pageQuery, returns: listOf(Model), unaudited }, ({ transact, query }) =>
    transact(async (tx) => toPage(await listModels(tx, query), query, (model) => model.model_id)));

  router.route('GET /ai-models/{model_id}', { summary: 'One AI model', tag: 'configuration', params: pathId('model_id'), returns: Model, unaudited }, async ({ transact, params }) =>
    orNotFound('model', await transact((tx) => readModel(tx, params.model_id))));

  router.route('GET /workflow-rules', { summary: 'Workflow rules', tag: 'configuration', query: pageQuery, returns: listOf(WorkflowRule), unaudited }, ({ transact, query }) =>
    transact(async (tx) => toPage(await listRules(tx, query), query, (rule) => rule.rule_id)));

  router.route('GET /workflow-rules/{rule_id}', { summary: 'One workflow rule', tag: 'configuration', params: pathId('rule_id'), returns: WorkflowRule, unaudited }, async ({ transact, params }) =>
    orNotFound('rule', await transact((tx) => readRule(tx, params.rule_id))));

  router.route('GET /report-templates', { summary: 'Report templates', tag: 'configuration', query: pageQuery, returns: listOf(ReportTemplate), unaudited }, ({ transact, query }) =>
    transact(async (tx) => toPage(await listTemplates(tx, query), query, (template) => template.template_id)));

  router.route('GET /report-templates/{template_id}', { summary: 'One report template', tag: 'configuration', params: pathId('template_id'), returns: ReportTemplate, unaudited }, async ({ transact, params }) =>
    orNotFound('template', await transact((tx) => readTemplate(tx, params.template_id))));
}

function orNotFound<Row>(what: string, row: Row | null): Row {
  if (row === null) throw notFound(what);
  return row;
}
