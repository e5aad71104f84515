/** Models, rules and templates: read by many, changed by administrators. What is wrong is said with its place before anything is stored. */
import type { z } from '@hono/zod-openapi';
import { auditEvents, eventTypes } from '../../audit/event.ts';
import { modelConfigProblems, ruleProblems, templateProblems, type ConfigurationProblem } from '../../pipeline/index.ts';
import { pathId } from '../fields.ts';
import { listOf, pageQuery, toPage } from '../pagination.ts';
import { notFound, Problem } from '../problem.ts';
import {
  holdModelConfig, insertModel, insertRule, insertTemplate, keepVersion, listModels, listRules, listTemplates, Model, ModelChange, namesForRules, NewModel, NewRule, NewTemplate, readModel, readRule, readTemplate, ReportTemplate,
  retireTemplate, RuleChange, TemplateChange, updateModel, updateRule, WorkflowRule,
} from '../queries/configuration.ts';
import type { Transaction } from '../../db/transaction.ts';
import type { ApiRouter, RequestAudit } from '../router.ts';

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

  router.route('POST /ai-models', { summary: 'Add an AI model', tag: 'configuration', body: NewModel, returns: Model, status: 201 }, ({ transact, body, caller }) => {
    refuse(modelConfigProblems(body.config));
    return transact(async (tx, audit) => {
      const model = await insertModel(tx, body);
      await keepVersion(tx, 'ai_models', model.model_id, model, caller.userId);
      await changed(audit, 'C', 'ai_model', model.model_id, { name: model.model_name, version: model.model_version, status: model.status });
      return model;
    });
  });

  router.route('PUT /ai-models/{model_id}', {
    summary: 'Change an AI model', tag: 'configuration', params: pathId('model_id'), body: ModelChange, returns: Model, description: 'Name and version stay; another version is another model. It holds from the next analysis on.',
  }, ({ transact, params, body, caller }) => transact(async (tx, audit) => {
    const stored = await holdModelConfig(tx, params.model_id);
    if (!stored) throw notFound('model');
    const config = withStoredHeaders(body.config, stored);
    refuse(modelConfigProblems(config));
    const model = await updateModel(tx, params.model_id, { ...body, config });
    await keepVersion(tx, 'ai_models', model.model_id, model, caller.userId);
    await changed(audit, 'U', 'ai_model', model.model_id, { name: model.model_name, version: model.model_version, status: model.status });
    return model;
  }));

  router.route('POST /workflow-rules', { summary: 'Add a workflow rule', tag: 'configuration', body: NewRule, returns: WorkflowRule, status: 201 }, ({ transact, body, caller }) => transact(async (tx, audit) => {
    await checkRule(tx, body);
    const rule = await insertRule(tx, body);
    await keepVersion(tx, 'workflow_rules', rule.rule_id, rule, caller.userId);
    await changed(audit, 'C', 'workflow_rule', rule.rule_id, { name: rule.name, version: rule.version });
    return rule;
  }));

  router.route('PUT /workflow-rules/{rule_id}', { summary: 'Change a workflow rule', tag: 'configuration', params: pathId('rule_id'), body: RuleChange, returns: WorkflowRule }, ({ transact, params, body, caller }) => transact(async (tx, audit) => {
    await checkRule(tx, body);
    const rule = await updateRule(tx, params.rule_id, body);
    if (!rule) {
      const stored = await readRule(tx, params.rule_id);
      throw stored ? new Problem(409, `Somebody changed the rule meanwhile: it has version ${stored.version} now.`) : notFound('rule');
    }
    await keepVersion(tx, 'workflow_rules', rule.rule_id, rule, caller.userId);
    await changed(audit, 'U', 'workflow_rule', rule.rule_id, { name: rule.name, version: rule.version, is_enabled: rule.is_enabled, state: rule.state });
    return rule;
  }));

  router.route('POST /report-templates', { summary: 'Add a report template', tag: 'configuration', body: NewTemplate, returns: ReportTemplate, status: 201 }, ({ transact, body }) => {
    refuse(templateProblems(body.sections));
    return transact(async (tx, audit) => {
      const template = await insertTemplate(tx, body.name, 1, body);
      await changed(audit, 'C', 'report_template', template.template_id, { name: template.name, version: template.version });
      return template;
    });
  });

  router.route('PUT /report-templates/{template_id}', {
    summary: 'Change a report template', tag: 'configuration', params: pathId('template_id'), body: TemplateChange, returns: ReportTemplate, description: 'Makes its next version, with an id of its own: reports keep the version they were written by.',
  }, ({ transact, params, body }) => {
    refuse(templateProblems(body.sections));
    return transact(async (tx, audit) => {
      const stored = await readTemplate(tx, params.template_id);
      if (!stored) throw notFound('template');
      const newest = await retireTemplate(tx, stored.name);
      if (body.expected_version !== undefined && body.expected_version !== newest) throw new Problem(409, `Somebody changed the template meanwhile: it has version ${newest} now.`);
      const template = await insertTemplate(tx, stored.name, newest + 1, body);
      await changed(audit, 'U', 'report_template', template.template_id, { name: template.name, version: template.version });
      return template;
    });
  });
}

async function checkRule(tx: Transaction, rule: z.output<typeof NewRule>): Promise<void> {
  refuse(ruleProblems(rule));
  const { models, integrations, users } = await namesForRules(tx);
  const known: Readonly<Record<string, { readonly field: string; readonly names: readonly string[]; readonly what: string }>> = {
    run_model: { field: 'model_name', names: models, what: 'model' }, deliver_to: { field: 'integration', names: integrations, what: 'integration' }, assign: { field: 'user_email', names: users, what: 'active user' },
  };
  refuse(rule.actions.flatMap((action, index) => {
    const look = known[String(action['action'])];
    if (!look) return [];
    const value = String(action[look.field]), name = look.field === 'user_email' ? value.toLowerCase() : action['model_version'] === undefined ? value : `${value} ${String(action['model_version'])}`;
    return look.names.includes(name) ? [] : [{ pointer: `/actions/${index}/${look.field}`, message: `there is no ${look.what} "${name}" in this organization` }];
  }));
}

/** What signs in to a model server is never shown, so it is kept when it is left out; but not for another address, which would be told it. */
function withStoredHeaders(config: Readonly<Record<string, unknown>>, stored: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const endpoint = config['endpoint'] as { url?: unknown; headers?: unknown } | undefined, before = stored['endpoint'] as { url?: unknown; headers?: unknown } | undefined;
  const isSameServer = typeof endpoint?.url === 'string' && typeof before?.url === 'string' && URL.canParse(endpoint.url) && URL.canParse(before.url) && new URL(endpoint.url).origin === new URL(before.url).origin;
  return endpoint && endpoint.headers === undefined && isSameServer && before?.headers !== undefined ? { ...config, endpoint: { ...endpoint, headers: before.headers } } : { ...config };
}

function refuse(problems: readonly ConfigurationProblem[]): void {
  if (problems.length > 0) throw new Problem(422, `${problems.length === 1 ? 'A value is' : `${problems.length} values are`} missing or wrong; see errors.`, { errors: problems.map(({ pointer, message }) => ({ pointer: `#${pointer}`, message })) });
}

function changed(audit: RequestAudit, action: 'C' | 'U', type: string, id: string, detail: Readonly<Record<string, unknown>>): Promise<void> {
  return audit({ ...auditEvents.securityAlert, action, object: { type, id }, detail: { event_type: eventTypes.softwareConfiguration, ...detail } });
}

function orNotFound<Row>(what: string, row: Row | null): Row {
  if (row === null) throw notFound(what);
  return row;
}
