import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, json, text, timestamp } from '../fields.ts';
import { keyAfter, type Page } from '../pagination.ts';
import { scanTypes } from './scans.ts';

export const Model = z.object({
  model_id: id, model_name: z.string(), model_version: z.string(), manufacturer: z.string(), runtime: z.enum(['onnx', 'kserve', 'http', 'command', 'dicom-node']),
  scan_types: z.array(z.string()), body_parts: z.array(z.string()), config: json.describe('Without the headers that sign in to a model server'), checksum: text, not_for_clinical_use: z.boolean(), status: z.enum(['draft', 'active', 'retired']),
  baseline_metrics: json, created_at: timestamp, updated_at: timestamp,
}).openapi('Model');
// `headers` are what the gateway signs in to a model server with.
const modelColumns = sql.fragment`model_id, model_name, model_version, manufacturer, runtime, scan_types, body_parts, config #- '{endpoint,headers}' AS config, checksum, not_for_clinical_use, status, baseline_metrics, created_at, updated_at`;

export const WorkflowRule = z.object({
  rule_id: id, name: z.string(), rule_order: z.int(), conditions: json, actions: z.array(json), is_enabled: z.boolean(), state: z.enum(['draft', 'active']), version: z.int(),
  created_at: timestamp, updated_at: timestamp,
}).openapi('WorkflowRule');
const ruleColumns = sql.fragment`rule_id, name, rule_order, conditions, actions, is_enabled, state, version, created_at, updated_at`;

export const ReportTemplate = z.object({
  template_id: id, name: z.string(), scan_types: z.array(z.string()), body_parts: z.array(z.string()), version: z.int(), sections: json, is_active: z.boolean(),
  created_at: timestamp, updated_at: timestamp,
}).openapi('ReportTemplate');
const templateColumns = sql.fragment`template_id, name, scan_types, body_parts, version, sections, is_active, created_at, updated_at`;

export function listModels(tx: Transaction, page: Page) {
  return tx.any(sql.type(Model)`
    SELECT ${modelColumns} FROM ai_models WHERE organization_id = ${ORGANIZATION} AND model_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY model_id DESC LIMIT ${page.limit + 1}`);
}

export function readModel(tx: Transaction, modelId: string) {
  return tx.maybeOne(sql.type(Model)`SELECT ${modelColumns} FROM ai_models WHERE organization_id = ${ORGANIZATION} AND model_id = ${modelId}`);
}

export function listRules(tx: Transaction, page: Page) {
  return tx.any(sql.type(WorkflowRule)`
    SELECT ${ruleColumns} FROM workflow_rules WHERE organization_id = ${ORGANIZATION} AND rule_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY rule_id DESC LIMIT ${page.limit + 1}`);
}

export function readRule(tx: Transaction, ruleId: string) {
  return tx.maybeOne(sql.type(WorkflowRule)`SELECT ${ruleColumns} FROM workflow_rules WHERE organization_id = ${ORGANIZATION} AND rule_id = ${ruleId}`);
}

export function listTemplates(tx: Transaction, page: Page) {
  return tx.any(sql.type(ReportTemplate)`
    SELECT ${templateColumns} FROM report_templates WHERE organization_id = ${ORGANIZATION} AND template_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY template_id DESC LIMIT ${page.limit + 1}`);
}

export function readTemplate(tx: Transaction, templateId: string) {
  return tx.maybeOne(sql.type(ReportTemplate)`SELECT ${templateColumns} FROM report_templates WHERE organization_id = ${ORGANIZATION} AND template_id = ${templateId}`);
}

const bodyParts = z.array(z.string().min(1).max(64)).max(100).default([]);
const types = z.array(z.enum(scanTypes)).default([]).describe('Empty: any');
const modelFields = {
  manufacturer: z.string().max(200).default(''), runtime: z.enum(['onnx', 'kserve']), scan_types: types, body_parts: bodyParts, config: json.describe('docs/ai-models.md; endpoint.headers that are left out keep their stored value while the address stays'),
  checksum: z.string().regex(/^[0-9a-f]{64}$/, 'the SHA-256 of the file, 64 hexadecimal digits').nullable().optional(), not_for_clinical_use: z.boolean().default(true), status: z.enum(['draft', 'active', 'retired']).default('draft'),
};
export const NewModel = z.strictObject({ model_name: z.string().regex(/^[\w.-]{1,100}$/), model_version: z.string().regex(/^[\w.+-]{1,64}$/), ...modelFields }).openapi('NewModel');
/** Name and version stay: analyses and reports refer to them. Another version is another model. */
export const ModelChange = z.strictObject(modelFields).openapi('ModelChange');

const ruleFields = {
  name: z.string().trim().min(1).max(200), rule_order: z.int().min(0).max(100_000).default(100), conditions: json.default({}), actions: z.array(json).max(50).default([]), is_enabled: z.boolean().default(true), state: z.enum(['draft', 'active']).default('active'),
};
export const NewRule = z.strictObject(ruleFields).openapi('NewRule');
export const RuleChange = z.strictObject({ ...ruleFields, expected_version: z.int().min(1).optional().describe('Refuse with 409 when somebody changed it meanwhile') }).openapi('RuleChange');

const templateFields = { scan_types: types, body_parts: bodyParts, is_active: z.boolean().default(true), sections: z.strictObject({ indication: z.string(), technique: z.string(), findings: z.string(), impression: z.string() }).partial() };
export const NewTemplate = z.strictObject({ name: z.string().trim().min(1).max(200), ...templateFields }).openapi('NewTemplate');
/** Makes the next version: reports keep the version they were written by. */
export const TemplateChange = z.strictObject({ ...templateFields, expected_version: z.int().min(1).optional() }).openapi('TemplateChange');

/** With the headers that sign in to a model server: only to merge them, never to be shown. */
export function holdModelConfig(tx: Transaction, modelId: string) {
  return tx.maybeOneFirst(sql.type(z.object({ config: json }))`SELECT config FROM ai_models WHERE organization_id = ${ORGANIZATION} AND model_id = ${modelId} FOR UPDATE`);
}

type ModelValues = z.output<typeof ModelChange>;
export function insertModel(tx: Transaction, model: z.output<typeof NewModel>) {
  return tx.one(sql.type(Model)`
    INSERT INTO ai_models (organization_id, model_name, model_version, manufacturer, runtime, scan_types, body_parts, config, checksum, not_for_clinical_use, status)
    VALUES (${ORGANIZATION}, ${model.model_name}, ${model.model_version}, ${model.manufacturer}, ${model.runtime}, ${sql.array(model.scan_types, 'text')}, ${sql.array(model.body_parts, 'text')},
      ${JSON.stringify(model.config)}::jsonb, ${model.checksum ?? null}, ${model.not_for_clinical_use}, ${model.status}) RETURNING ${modelColumns}`);
}
export function updateModel(tx: Transaction, modelId: string, model: ModelValues) {
  return tx.one(sql.type(Model)`
    UPDATE ai_models SET manufacturer = ${model.manufacturer}, runtime = ${model.runtime}, scan_types = ${sql.array(model.scan_types, 'text')}, body_parts = ${sql.array(model.body_parts, 'text')},
      config = ${JSON.stringify(model.config)}::jsonb, checksum = ${model.checksum ?? null}, not_for_clinical_use = ${model.not_for_clinical_use}, status = ${model.status}
    WHERE organization_id = ${ORGANIZATION} AND model_id = ${modelId} RETURNING ${modelColumns}`);
}

export function insertRule(tx: Transaction, rule: z.output<typeof NewRule>) {
  return tx.one(sql.type(WorkflowRule)`
    INSERT INTO workflow_rules (organization_id, name, rule_order, conditions, actions, is_enabled, state)
    VALUES (${ORGANIZATION}, ${rule.name}, ${rule.rule_order}, ${JSON.stringify(rule.conditions)}::jsonb, ${JSON.stringify(rule.actions)}::jsonb, ${rule.is_enabled}, ${rule.state}) RETURNING ${ruleColumns}`);
}
export function updateRule(tx: Transaction, ruleId: string, rule: z.output<typeof RuleChange>) {
  return tx.maybeOne(sql.type(WorkflowRule)`
    UPDATE workflow_rules SET name = ${rule.name}, rule_order = ${rule.rule_order}, conditions = ${JSON.stringify(rule.conditions)}::jsonb, actions = ${JSON.stringify(rule.actions)}::jsonb, is_enabled = ${rule.is_enabled},
      state = ${rule.state}, version = version + 1
    WHERE organization_id = ${ORGANIZATION} AND rule_id = ${ruleId} AND version = coalesce(${rule.expected_version ?? null}::int, version) RETURNING ${ruleColumns}`);
}

export function insertTemplate(tx: Transaction, name: string, version: number, template: z.output<typeof TemplateChange>) {
  return tx.one(sql.type(ReportTemplate)`
    INSERT INTO report_templates (organization_id, name, version, scan_types, body_parts, sections, is_active)
    VALUES (${ORGANIZATION}, ${name}, ${version}, ${sql.array(template.scan_types, 'text')}, ${sql.array(template.body_parts, 'text')}, ${JSON.stringify(template.sections)}::jsonb, ${template.is_active}) RETURNING ${templateColumns}`);
}
/** Older versions are not taken for new reports any more. Returns the highest version there is. */
export async function retireTemplate(tx: Transaction, name: string): Promise<number> {
  const versions = await tx.anyFirst(sql.type(z.object({ version: z.number() }))`UPDATE report_templates SET is_active = false WHERE organization_id = ${ORGANIZATION} AND name = ${name} RETURNING version`);
  return Math.max(0, ...versions);
}

/** Earlier states of models and rules, by whom; the highest version is in force. Without what signs in to a model server. */
export async function keepVersion(tx: Transaction, table: 'ai_models' | 'workflow_rules', rowId: string, value: unknown, changedBy: string): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    INSERT INTO configuration_versions (organization_id, table_name, row_id, version, value, changed_by)
    SELECT ${ORGANIZATION}, ${table}, ${rowId}, coalesce(max(version), 0) + 1, ${JSON.stringify(value)}::jsonb, ${changedBy} FROM configuration_versions
    WHERE organization_id = ${ORGANIZATION} AND table_name = ${table} AND row_id = ${rowId}`);
}

const Names = z.object({ models: z.array(z.string()), integrations: z.array(z.string()), users: z.array(z.string()) });
/** What a rule may name. */
export function namesForRules(tx: Transaction) {
  return tx.one(sql.type(Names)`
    SELECT ARRAY(SELECT model_name FROM ai_models WHERE organization_id = ${ORGANIZATION} UNION SELECT model_name || ' ' || model_version FROM ai_models WHERE organization_id = ${ORGANIZATION}) AS models,
      ARRAY(SELECT name FROM external_integrations WHERE organization_id = ${ORGANIZATION}) AS integrations, ARRAY(SELECT lower(email) FROM users WHERE organization_id = ${ORGANIZATION} AND is_active AND email IS NOT NULL) AS users`);
}
