/** The rows that every organization starts with: seeds/reference-data.yaml and the reference model of seeds/reference-model.yaml. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql, type Transaction } from './pool.ts';

const json = z.record(z.string(), z.unknown());

export const WorkflowRuleSeed = z.strictObject({
  name: z.string(), rule_order: z.int().default(100), conditions: json, actions: z.array(json), state: z.enum(['draft', 'active']).default('active'),
});
const TemplateSeed = z.strictObject({ name: z.string(), scan_types: z.array(z.string()).default([]), body_parts: z.array(z.string()).default([]), sections: z.record(z.string(), z.string()) });
const ReferenceData = z.strictObject({ report_templates: z.array(TemplateSeed), workflow_rules: z.array(WorkflowRuleSeed) });
const ModelSeed = z.strictObject({
  model_name: z.string(), model_version: z.string(), manufacturer: z.string(), runtime: z.string(), scan_types: z.array(z.string()), body_parts: z.array(z.string()),
  not_for_clinical_use: z.boolean(), status: z.enum(['draft', 'active', 'retired']), checksum: z.string(), config: json, baseline_metrics: json,
});

/** In the caller's transaction and organization. What is there already stays, except the reference model's own files. */
export async function insertReferenceData(tx: Transaction): Promise<void> {
  const { report_templates: templates, workflow_rules: rules } = await readSeed('reference-data.yaml', ReferenceData);
  await insertModel(tx, await readSeed('reference-model.yaml', ModelSeed));
  await tx.query(sql.typeAlias('void')`
    INSERT INTO report_templates (organization_id, name, scan_types, body_parts, sections)
    SELECT ${ORGANIZATION}, name, ARRAY(SELECT jsonb_array_elements_text(scan_types)), ARRAY(SELECT jsonb_array_elements_text(body_parts)), sections
    FROM jsonb_to_recordset(${JSON.stringify(templates)}::jsonb) AS r(name text, scan_types jsonb, body_parts jsonb, sections jsonb)
    ON CONFLICT (organization_id, name, version) DO NOTHING`);
  await insertWorkflowRules(tx, rules);
}

export async function insertWorkflowRules(tx: Transaction, rules: readonly z.infer<typeof WorkflowRuleSeed>[]): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    INSERT INTO workflow_rules (organization_id, name, rule_order, conditions, actions, state)
    SELECT ${ORGANIZATION}, name, rule_order, conditions, actions, state
    FROM jsonb_to_recordset(${JSON.stringify(rules)}::jsonb) AS r(name text, rule_order integer, conditions jsonb, actions jsonb, state text)
    ON CONFLICT (organization_id, name) DO NOTHING`);
}

/** A rebuilt model file has another checksum; the row follows the file that ships with it. */
async function insertModel(tx: Transaction, model: z.infer<typeof ModelSeed>): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    INSERT INTO ai_models (organization_id, model_name, model_version, manufacturer, runtime, scan_types, body_parts, config, checksum, not_for_clinical_use, status, baseline_metrics)
    VALUES (${ORGANIZATION}, ${model.model_name}, ${model.model_version}, ${model.manufacturer}, ${model.runtime}, ${sql.array(model.scan_types, 'text')}, ${sql.array(model.body_parts, 'text')},
      ${JSON.stringify(model.config)}::jsonb, ${model.checksum}, ${model.not_for_clinical_use}, ${model.status}, ${JSON.stringify(model.baseline_metrics)}::jsonb)
    ON CONFLICT (organization_id, model_name, model_version) DO UPDATE SET config = excluded.config, checksum = excluded.checksum
    WHERE (ai_models.config, ai_models.checksum) IS DISTINCT FROM (excluded.config, excluded.checksum)`);
}

export async function readSeed<Schema extends z.ZodType>(name: string, schema: Schema): Promise<z.output<Schema>> {
  const file = path.join(import.meta.dirname, '../../seeds', name);
  const parsed = schema.safeParse(parse(await readFile(file, 'utf8'), { merge: true }));
  if (parsed.success) return parsed.data;
  throw new Error(`seeds/${name}: ${parsed.error.issues.map((issue) => `/${issue.path.map(String).join('/')}: ${issue.message}`).join('; ')}`);
}
