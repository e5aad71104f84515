/**
 * Runs the declarative files of mappings/ over parsed messages:
 *
 *   mappings/*.yaml --createMapper, once--> closures --map(name, reader, settings)--> rows per table + warnings + trace
 *
 * A mapping says where each column comes from; what to do with the rows is the adapter's and the pipeline's business.
 */
import type { MapSettings, MappedRows, Mapper, SourceReader, TraceEntry } from '#gateway/normalized.ts';
import { compileConditions } from './condition.ts';
import { compileField } from './field.ts';
import type { Row, Run } from './field.ts';
import { rowGroups } from './format.ts';
import type { BlockSpec, CodeTable, FieldSpec, MappingFile, SourceKind } from './format.ts';
import { loadMappings } from './load.ts';
import { resolveSetting } from './setting.ts';
import { placesOf } from './source.ts';
import type { Place } from './source.ts';

/**
 * Loads, checks and compiles all files of the directory; throws MappingFileError with every problem. The mapper keeps what it
 * loaded for its lifetime. It throws NormalizeError where a required value is missing, and an Error for an unknown mapping name.
 * In `rows`, a table written as fields is one object (perhaps empty), one written as blocks is a list.
 */
export function createMapper(directory: string): Mapper {
  const { files, codes } = loadMappings(directory);
  const compiled = new Map([...files].map(([name, file]) => [name, compileMapping(file, codes)]));
  return (mapping, source, settings = {}) => {
    const run = compiled.get(mapping);
    if (run === undefined) throw new Error(`There is no mapping '${mapping}' in ${directory} (there are: ${[...compiled.keys()].join(', ')})`);
    return run(source, settings);
  };
}

type RunMapping = (source: SourceReader, settings: MapSettings) => MappedRows;
type RunTable = (place: Place, run: Run) => Row | Row[];

function compileMapping(file: MappingFile, codes: ReadonlyMap<string, CodeTable>): RunMapping {
  const tables: readonly (readonly [string, RunTable])[] = [...file.rows].map(([name, rule]) => {
    const table = rowGroups.get(name) ?? name;
    return [name, 'fields' in rule ? compileFields(table, rule.fields, codes) : compileBlocks(table, rule.blocks, file.source, codes)];
  });
  const mapping = `${file.name}@${file.version}`;
  const runAll = (source: SourceReader, settings: MapSettings, trace: TraceEntry[] | undefined): Pick<MappedRows, 'rows' | 'warnings'> => {
    const run: Run = { root: source, settings, trace, warnings: [] };
    const place: Place = { reader: source, text: '', separator: '' };
    const rows: Record<string, Row | Row[]> = {};
    for (const [name, runTable] of tables) rows[name] = runTable(place, run);
    return { rows, warnings: run.warnings };
  };
  return (source, settings) => {
    let trace: readonly TraceEntry[] | undefined;
    return { ...runAll(source, settings, undefined), mapping, trace: () => trace ??= traced((entries) => runAll(source, settings, entries), source) };
  };
}

/** Another run that notes what it does, then the values that no rule read. Only when the trace is asked for: most messages are stored and their trace is never seen. */
function traced(run: (entries: TraceEntry[]) => unknown, source: SourceReader): readonly TraceEntry[] {
  const entries: TraceEntry[] = [];
  run(entries);
  return [...entries, ...source.unread().map((path): TraceEntry => ({ source: path, rule: '', target: '', outcome: 'unmapped' }))];
}

function compileFields(table: string, specs: readonly FieldSpec[], codes: ReadonlyMap<string, CodeTable>): (place: Place, run: Run) => Row {
  const fields = specs.map((spec) => compileField(spec, table, codes));
  return (place, run) => {
    const row: Row = {};
    for (const field of fields) field(place, run, row);
    return row;
  };
}

function compileBlocks(table: string, specs: readonly BlockSpec[], source: SourceKind, codes: ReadonlyMap<string, CodeTable>): (place: Place, run: Run) => Row[] {
  const blocks = specs.map((spec) => compileBlock(table, spec, source, codes));
  return (place, run) => {
    const rows: Row[] = [];
    for (const block of blocks) block(place, run, rows);
    return rows;
  };
}

/** Without `each` the block is about the message itself and gives at most one row. */
function compileBlock(table: string, spec: BlockSpec, source: SourceKind, codes: ReadonlyMap<string, CodeTable>): (place: Place, run: Run, rows: Row[]) => void {
  const applies = compileConditions(spec.when);
  const constants = Object.entries(spec.set ?? {});
  const fields = spec.fields.map((field) => compileField(field, table, codes));
  const addRow = (place: Place, run: Run, rows: Row[]): void => {
    if (!applies(place, run)) return;
    const row: Row = {};
    let keep = true;
    for (const field of fields) keep = field(place, run, row) && keep;
    if (!keep || !hasKeys(row)) return;
    for (const [key, constant] of constants) {
      const value = resolveSetting(constant, run.settings);
      if (value !== undefined && !Object.hasOwn(row, key)) row[key] = value;
    }
    rows.push(row);
  };
  const { each } = spec;
  if (each === undefined) return addRow;
  const bare = each.startsWith('/') ? each.slice(1) : each;
  const placeAt = placesOf(each, source);
  return (place, run, rows) => {
    const readers = place.reader.each(bare);
    for (let index = 0; index < readers.length; index++) addRow(placeAt(index, readers[index]!), run, rows);
  };
}

function hasKeys(row: Row): boolean {
  for (const _ in row) return true;
  return false;
}
