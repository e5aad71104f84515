/**
 * One field rule as a closure: read -> transform -> code -> default, with the trace of what was done.
 *
 *   nothing there, '' or blank   default, else no key in the row
 *   HL7 null ("")                null in the row: the sender clears the value
 *   a failed transform or code   warning and no key; NormalizeError when the field is required
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { MapSettings, MappingWarning, SourceReader, TraceEntry } from '#gateway/normalized.ts';
import { compileConditions } from './condition.ts';
import type { CodeTable, FieldSpec } from './format.ts';
import { resolveSetting } from './setting.ts';
import { compileSource } from './source.ts';
import type { Place, Value } from './source.ts';
import { compileSteps } from './steps.ts';

/** What one run of a mapping over one message collects; the trace only when somebody asked for it. */
export interface Run {
  readonly root: SourceReader; readonly settings: MapSettings;
  readonly trace: TraceEntry[] | undefined; readonly warnings: MappingWarning[];
}
export type Row = Record<string, unknown>;
/** Writes its key into the row, or nothing; false: the row is not to be kept. */
export type FieldRule = (place: Place, run: Run, row: Row) => boolean;

export function compileField(spec: FieldSpec, table: string, codeTables: ReadonlyMap<string, CodeTable>): FieldRule {
  const rule = ruleInWords(spec), target = `${table}.${spec.target}`, key = spec.target;
  const applies = compileConditions(spec.when);
  const source = compileSource(spec);
  const convert = compileSteps(spec, codeTables);
  const { required } = spec;
  const isRequired = required === true || required === 'row';

  return (place, run, row) => {
    if (Object.hasOwn(row, key)) return skipped(place, run, 'an earlier rule has set it');
    if (!applies(place, run)) return skipped(place, run, 'its condition does not hold');
    const input = source.read(place, run);
    if (spec.const !== undefined) return write(place, run, row, input, resolveSetting(spec.const, run.settings), 'default');
    if (input === null && !isRequired) return write(place, run, row, input, null, 'mapped');
    const result = input === undefined || input === null ? undefined : convert(input, run.settings);
    if (result?.kind === 'failed') return failed(place, run, input, result.text);
    if (result?.kind === 'value' && result.value !== undefined) return write(place, run, row, input, result.value, 'mapped', result.text);
    const fallback = resolveSetting(spec.default, run.settings);
    if (result?.kind === 'no-code' && fallback === undefined) return failed(place, run, input, result.text);
    if (result?.kind === 'no-code') warn(place, run, result.text);
    if (fallback !== undefined) return write(place, run, row, input, fallback, 'default', result?.text);
    return empty(place, run);
  };

  function skipped(place: Place, run: Run, text: string): true {
    run.trace?.push({ source: place.text, rule, target, outcome: 'empty', text });
    return true;
  }
  function write(place: Place, run: Run, row: Row, from: Value, value: unknown, outcome: TraceEntry['outcome'], text?: string): boolean {
    if (value === undefined) return empty(place, run);
    row[key] = value;
    if (!run.trace) return true;
    const input = inputText(from);
    run.trace.push({ source: source.text(place, run), rule, target, outcome, value, ...(input === undefined ? {} : { input }), ...(text === undefined ? {} : { text }) });
    return true;
  }
  function empty(place: Place, run: Run): boolean {
    if (required === true) throw new NormalizeError('invalid', `${source.text(place, run)} is required (${target}) and the message has no value there`, source.text(place, run));
    run.trace?.push({ source: source.text(place, run), rule, target, outcome: 'empty', ...(required === 'row' ? { text: 'row left out: it has no meaning without this value' } : {}) });
    return required !== 'row';
  }
  function failed(place: Place, run: Run, from: Value, text: string): boolean {
    if (required === true) throw new NormalizeError('invalid', `${source.text(place, run)} ${text}`, source.text(place, run));
    warn(place, run, text);
    const input = inputText(from);
    run.trace?.push({ source: source.text(place, run), rule, target, outcome: 'failed', text, ...(input === undefined ? {} : { input }) });
    return required !== 'row';
  }
  function warn(place: Place, run: Run, text: string): void {
    const location = source.text(place, run);
    run.warnings.push({ location, text: `${location} ${text}` });
  }
}

function inputText(value: Value): string | undefined {
  if (value === undefined) return undefined;
  if (value === null) return '""';
  return typeof value === 'string' ? value : value.join(' | ');
}

function ruleInWords(spec: FieldSpec): string {
  const source = spec.const !== undefined ? `constant ${JSON.stringify(spec.const)}`
    : spec.all !== undefined ? `all of ${spec.all}`
    : spec.concat !== undefined ? `${spec.concat.join(' + ')} joined`
    : (spec.from?.length ?? 0) > 1 ? `first of ${spec.from?.join(', ')}` : `${spec.from?.[0]}`;
  const steps = (spec.transform ?? []).map((step) => step.argument === undefined ? step.name : `${step.name} ${JSON.stringify(step.argument)}`);
  return [source, ...steps,
    ...(spec.codes === undefined ? [] : [`codes ${spec.codes}`]),
    ...(spec.default === undefined ? [] : [`else ${JSON.stringify(spec.default)}`])].join('; ');
}
