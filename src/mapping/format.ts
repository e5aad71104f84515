/**
 * The format of the files in mappings/ and mappings/codes/, as a schema: what is not described here is refused at start.
 * docs/mappings.md explains every key to integrators; the transforms are the closed list of transforms/index.ts.
 */
import { z } from 'zod';
import { transforms } from './transforms/index.ts';

/** Names of row groups that normalized rows have beside the tables, and the table each goes to: a study, its series and its file are three of two. */
export const rowGroups: ReadonlyMap<string, string> = new Map([['series', 'scan_files'], ['order', 'scans']]);

const reservedNames = new Set(['constructor', 'prototype', 'hasownproperty', 'tostring', 'valueof']);
const columnName = z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be a column name: lower case letters, digits and _')
  .refine((name) => !reservedNames.has(name), 'is a reserved name');
const rowsName = z.string().regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$/, "must be 'table', or 'table.column' for the elements of a JSON column")
  .refine((name) => name.split('.').every((part) => !reservedNames.has(part)), 'is a reserved name');
const path = z.string().min(1).refine((text) => text === text.trim() && text !== '/', 'must be a path without surrounding blanks');
const constant = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const version = z.string().regex(/^\d+\.\d+\.\d+$/, "must be a version like '1.0.0'");

const condition = z.strictObject({
  from: path,
  equals: z.string().optional(),
  in: z.array(z.string()).min(1).optional(),
  exists: z.boolean().optional(),
}).refine((when) => [when.equals, when.in, when.exists].filter((test) => test !== undefined).length === 1,
  "needs exactly one of 'equals', 'in', 'exists'");
const conditions = z.union([condition, z.array(condition).min(1)]).transform((when) => Array.isArray(when) ? when : [when]);

const transform = z.union([z.string(), z.record(z.string(), z.unknown())]).transform((step, context) => {
  const entries = typeof step === 'string' ? [[step, undefined] as const] : Object.entries(step);
  const [name, argument] = entries[0] ?? ['', undefined];
  const known = entries.length === 1 ? transforms.get(name) : undefined;
  if (known === undefined) {
    context.addIssue(entries.length === 1
      ? `unknown transform '${name}' (known: ${[...transforms.keys()].join(', ')})`
      : 'must be a name or one {name: argument}');
    return z.NEVER;
  }
  const checked = known.argument.safeParse(argument);
  if (!checked.success) {
    context.addIssue(`transform '${name}': ${checked.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`.trim()).join('; ')}`);
    return z.NEVER;
  }
  return { name, argument: checked.data };
});

const field = z.strictObject({
  target: columnName,
  from: z.union([path, z.array(path).min(1)]).transform((paths) => Array.isArray(paths) ? paths : [paths]).optional(),
  all: path.optional(),
  concat: z.array(path).min(1).optional(),
  separator: z.string().optional(),
  const: constant.optional(),
  transform: z.array(transform).min(1).optional(),
  codes: z.string().optional(),
  codes_missing: z.enum(['keep', 'fail', 'default']).optional(),
  default: constant.optional(),
  required: z.union([z.boolean(), z.literal('row')]).optional(),
  when: conditions.optional(),
}).superRefine((spec, context) => { for (const problem of fieldProblems(spec)) context.addIssue(problem); });

function* fieldProblems(spec: {
  from?: unknown; all?: unknown; concat?: unknown; const?: unknown; separator?: unknown; default?: unknown; codes?: unknown;
  codes_missing?: string | undefined; transform?: readonly { name: string }[] | undefined;
}): Generator<string> {
  const sources = ['from', 'all', 'concat', 'const'] as const;
  if (sources.filter((key) => spec[key] !== undefined).length !== 1) yield "needs exactly one of 'from', 'all', 'concat', 'const'";
  if (spec.separator !== undefined && spec.concat === undefined && spec.all === undefined) yield "'separator' goes with 'concat' or 'all'";
  if (spec.codes_missing !== undefined && spec.codes === undefined) yield "'codes_missing' goes with 'codes'";
  if (spec.codes_missing === 'default' && spec.default === undefined) yield "'codes_missing: default' needs a 'default'";
  if (spec.const !== undefined && (spec.transform ?? spec.codes) !== undefined) yield "'const' is written as it is: no 'transform', no 'codes'";
  const steps = (spec.transform ?? []).map((step) => ({ ...step, gives: transforms.get(step.name)?.gives }));
  const early = steps.slice(0, -1).find((step) => step.gives !== 'text');
  if (early !== undefined) yield `transform '${early.name}' gives no text, so nothing may follow it`;
  const last = steps.at(-1);
  if (spec.codes !== undefined && last !== undefined && last.gives !== 'text' && last.gives !== 'list') yield `'codes' needs text, '${last.name}' gives a ${last.gives}`;
}

const block = z.strictObject({
  each: path.optional(),
  when: conditions.optional(),
  set: z.record(columnName, constant).optional(),
  fields: z.array(field).min(1),
});

export const mappingFile = z.strictObject({
  name: z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/),
  version,
  title: z.string().min(1),
  source: z.enum(['dicom', 'hl7v2', 'fhir']),
  rows: z.record(rowsName, z.array(z.unknown()).min(1)),
});
export const fieldList = z.array(field);
export const blockList = z.array(block);

export const codeFile = z.strictObject({
  name: z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/),
  version,
  title: z.string().min(1),
  codes: z.map(z.union([z.string(), z.number(), z.boolean()]).transform(String), constant),
});

export type FieldSpec = z.output<typeof field>;
export type BlockSpec = z.output<typeof block>;
export type ConditionSpec = z.output<typeof condition>;
export type Constant = z.output<typeof constant>;
export type SourceKind = z.output<typeof mappingFile>['source'];
/** A checked mapping file. A table's rule is one row (fields) or many (blocks). */
export interface MappingFile {
  readonly name: string; readonly version: string; readonly title: string; readonly source: SourceKind;
  readonly rows: ReadonlyMap<string, { readonly fields: readonly FieldSpec[] } | { readonly blocks: readonly BlockSpec[] }>;
}
export type CodeTable = ReadonlyMap<string, Constant>;
