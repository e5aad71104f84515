/** The transforms and the code table of a field, precompiled: text in, value or reason out. */
import type { MapSettings } from '#gateway/normalized.ts';
import type { CodeTable, FieldSpec } from './format.ts';
import { resolveSetting } from './setting.ts';
import { transforms } from './transforms/index.ts';
import { TransformError } from './transforms/transform-error.ts';

export type Converted =
  | { readonly kind: 'value'; readonly value: unknown; readonly text?: string }
  | { readonly kind: 'no-code'; readonly text: string }
  | { readonly kind: 'failed'; readonly text: string };
type Step = (value: string, settings: MapSettings) => unknown;

export function compileSteps(spec: FieldSpec, codeTables: ReadonlyMap<string, CodeTable>): (value: string | readonly string[], settings: MapSettings) => Converted {
  const steps = (spec.transform ?? []).map(compileStep);
  const lookUp = compileCodes(spec, codeTables);
  return (value, settings) => {
    try {
      const changed = typeof value === 'string' ? applySteps(steps, value, settings) : listOf(value.map((element) => applySteps(steps, element, settings)));
      return lookUp(changed, settings);
    } catch (error) {
      if (error instanceof TransformError) return { kind: 'failed', text: error.message };
      throw error;
    }
  };
}

function applySteps(steps: readonly Step[], value: string, settings: MapSettings): unknown {
  let current: unknown = value;
  for (const step of steps) {
    if (typeof current !== 'string' || current === '') break;
    current = step(current, settings);
  }
  return current === '' ? undefined : current;
}

function listOf(values: readonly unknown[]): readonly unknown[] | undefined {
  const list = values.filter((value) => value !== undefined).flat();
  return list.length > 0 ? list : undefined;
}

function compileStep({ name, argument }: { readonly name: string; readonly argument: unknown }): Step {
  const transform = transforms.get(name);
  if (transform === undefined) throw new Error(`unknown transform '${name}'`);
  const dynamic = typeof argument === 'object' && argument !== null && Object.values(argument).some((value) => typeof value === 'string' && value.startsWith('$'));
  if (!dynamic) return (value) => transform.apply(value, argument as never);
  return (value, settings) => transform.apply(value, resolved(argument, settings) as never);
}

function resolved(argument: object, settings: MapSettings): object {
  return Object.fromEntries(Object.entries(argument).map(([key, value]) => [key, resolveSetting(value, settings)]));
}

/** `codes.<table>` in the integration's settings names another table to use: a site's own codes need no mapping of their own. */
function compileCodes(spec: FieldSpec, codeTables: ReadonlyMap<string, CodeTable>): (value: unknown, settings: MapSettings) => Converted {
  const name = spec.codes;
  if (name === undefined) return (value) => ({ kind: 'value', value });
  const usual = codeTables.get(name) ?? new Map();
  const setting = `$codes.${name}`;
  const missing = spec.codes_missing ?? (spec.default === undefined ? 'fail' : 'default');
  return (value, settings) => {
    const override = resolveSetting(setting, settings);
    const table = (typeof override === 'string' ? codeTables.get(override) : undefined) ?? usual;
    if (value === undefined) return { kind: 'value', value };
    if (typeof value === 'string') {
      const code = codeOf(table, value);
      if (code !== undefined) return { kind: 'value', value: code };
    }
    const codes = (Array.isArray(value) ? value : [value]).map((code) => codeOf(table, String(code)));
    const unknown = codes.includes(undefined);
    if (!unknown) return { kind: 'value', value: Array.isArray(value) ? codes : codes[0] };
    if (missing === 'keep') return { kind: 'value', value, text: `kept: the code is not in ${name}` };
    return { kind: missing === 'default' ? 'no-code' : 'failed', text: `has a code that is not in ${name}` };
  };
}

/** As written, else in upper case: tables of HL7 v2 and DICOM are upper case, senders are not always. */
function codeOf(table: CodeTable, code: string): unknown {
  const bare = code.trim();
  return table.get(bare) ?? (table.has(bare) ? undefined : table.get(bare.toUpperCase()));
}
