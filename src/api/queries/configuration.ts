import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, json, text, timestamp } from '../fields.ts';
import { keyAfter, type Page } from '../pagination.ts';

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
