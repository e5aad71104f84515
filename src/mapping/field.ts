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
import type { Place, Reading } from './source.ts';
import { compileSteps } from './steps.ts';

/** What one run of a mapping over one message collects. */
export interface Run {
  readonly root: SourceReader; readonly settings: MapSettings;
  readonly trace: TraceEntry[]; readonly warnings: MappingWarning[];
  /** The trace with the values that nothing read; made when it is asked for. */
  completed?: readonly TraceEntry[];
}
export type Row = Record<string, unknown>;
/** Writes its key into the row, or nothing; false: the row is not to be kept. */
export type FieldRule = (place: Place, run: Run, row: Row) => boolean;

export function compileField(spec: FieldSpec, table: string, codeTables: ReadonlyMap<string, CodeTable>): FieldRule {
  const rule = ruleInWords(spec), target = `${table}.${spec.target}`, key = spec.target;
  const applies = compileConditions(spec.when);
  const read = compileSource(spec);
  const convert = compileSteps(spec, codeTables);
  const { required } = spec;
  const isRequired = required === true || required === 'row';

  return (place, run, row) => {
    if (Object.hasOwn(row, key)) return note(run, { source: place.text, rule, target, outcome: 'empty', text: 'an earlier rule has set it' });
    if (!applies(place, run)) return note(run, { source: place.text, rule, target, outcome: 'empty', text: 'its condition does not hold' });
    const reading = read(place, run);
    if (spec.const !== undefined) return write(run, row, reading, resolveSetting(spec.const, run.settings), 'default');
    const input = inputText(reading);
    if (reading.value === null && !isRequired) return write(run, row, reading, null, 'mapped');
    const result = reading.value === undefined || reading.value === null ? undefined : convert(reading.value, run.settings);
    if (result?.kind === 'failed') return failed(run, reading, input, result.text);
    if (result?.kind === 'value' && result.value !== undefined) return write(run, row, reading, result.value, 'mapped', result.text);
    const fallback = resolveSetting(spec.default, run.settings);
    if (result?.kind === 'no-code' && fallback === undefined) return failed(run, reading, input, result.text);
    if (result?.kind === 'no-code') warn(run, reading, result.text);
    if (fallback !== undefined) return write(run, row, reading, fallback, 'default', result?.text);
    return empty(run, reading);
  };

  function write(run: Run, row: Row, reading: Reading, value: unknown, outcome: TraceEntry['outcome'], text?: string): boolean {
    if (value === undefined) return empty(run, reading);
    row[key] = value;
    const input = inputText(reading);
    return note(run, { source: reading.source, rule, target, outcome, value, ...(input === undefined ? {} : { input }), ...(text === undefined ? {} : { text }) });
  }
  function empty(run: Run, reading: Reading): boolean {
    if (required === true) throw new NormalizeError('invalid', `${reading.source} is required (${target}) and the message has no value there`, reading.source);
    note(run, { source: reading.source, rule, target, outcome: 'empty', ...(required === 'row' ? { text: 'row left out: it has no meaning without this value' } : {}) });
    return required !== 'row';
  }
  function failed(run: Run, reading: Reading, input: string | undefined, text: string): boolean {
    if (required === true) throw new NormalizeError('invalid', `${reading.source} ${text}`, reading.source);
    warn(run, reading, text);
    note(run, { source: reading.source, rule, target, outcome: 'failed', text, ...(input === undefined ? {} : { input }) });
    return required !== 'row';
  }
}

function note(run: Run, entry: TraceEntry): true {
  run.trace.push(entry);
  return true;
}
function warn(run: Run, reading: Reading, text: string): void {
  run.warnings.push({ location: reading.source, text: `${reading.source} ${text}` });
}
function inputText({ value }: Reading): string | undefined {
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
