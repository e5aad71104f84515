/**
 * workflow_rules: data, not code. A rule's conditions are a tree over the scan's columns; its actions come from a closed list.
 *   conditions: { all: [ { field: scan_type, equals: ct }, { any: [ { field: body_part, in: [CHEST, THORAX] }, { field: body_part, exists: false } ] } ] }
 *   actions:    [ { action: run_model, model_name: blob-detector }, { action: set_priority, priority: stat }, { action: assign, user_email: ... }, { action: deliver_to, integration: EMR } ]
 */
import { z } from 'zod';

const FIELDS = ['scan_type', 'body_part', 'laterality', 'priority', 'modalities', 'study_description', 'procedure_code', 'accession_number', 'referring_physician', 'institution_name', 'station_name'] as const;
const Scalar = z.union([z.string(), z.number(), z.boolean()]);

export type Condition = { all: Condition[] } | { any: Condition[] } | { not: Condition } | { field: (typeof FIELDS)[number]; equals?: string | number | boolean | undefined; in?: (string | number | boolean)[] | undefined; exists?: boolean | undefined };
export const conditionSchema: z.ZodType<Condition> = z.lazy(() => z.union([
  z.strictObject({ all: z.array(conditionSchema).max(50) }),
  z.strictObject({ any: z.array(conditionSchema).max(50) }),
  z.strictObject({ not: conditionSchema }),
  z.strictObject({ field: z.enum(FIELDS), equals: Scalar.optional(), in: z.array(Scalar).max(500).optional(), exists: z.boolean().optional() }),
]));

export const actionSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('run_model'), model_name: z.string(), model_version: z.string().optional() }),
  z.strictObject({ action: z.literal('set_priority'), priority: z.enum(['routine', 'urgent', 'emergency', 'stat']) }),
  z.strictObject({ action: z.literal('assign'), user_email: z.string() }),
  z.strictObject({ action: z.literal('deliver_to'), integration: z.string() }),
]);
export type Action = z.infer<typeof actionSchema>;

export type RuleFacts = Readonly<Partial<Record<(typeof FIELDS)[number], string | readonly string[] | null>>>;

/** An empty condition ({}) holds always. A list-valued field (modalities) fits when one of its values does. */
export function holds(condition: unknown, facts: RuleFacts): boolean {
  if (condition === null || typeof condition !== 'object' || Object.keys(condition).length === 0) return true;
  return evaluate(conditionSchema.parse(condition), facts);
}

function evaluate(condition: Condition, facts: RuleFacts): boolean {
  if ('all' in condition) return condition.all.every((part) => evaluate(part, facts));
  if ('any' in condition) return condition.any.some((part) => evaluate(part, facts));
  if ('not' in condition) return !evaluate(condition.not, facts);
  const value = facts[condition.field];
  const values = (Array.isArray(value) ? value : [value]).filter((entry): entry is string => entry !== null && entry !== undefined && entry !== '');
  if (condition.exists !== undefined && (values.length > 0) !== condition.exists) return false;
  if (condition.equals !== undefined && !values.some((entry) => same(entry, condition.equals!))) return false;
  return condition.in === undefined || values.some((entry) => condition.in!.some((wanted) => same(entry, wanted)));
}

const same = (a: string, b: string | number | boolean): boolean => a.toLowerCase() === String(b).toLowerCase();
