/**
 * Lint for mapping files beyond their form: every target must be a column of the schema, or one of the few words that rows
 * (src/gateway/normalized.ts) use where the schema has another. Run by a test.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { rowGroups } from './format.ts';
import type { MappingFile } from './format.ts';
import { loadMappings } from './load.ts';
import type { MappingProblem } from './load.ts';

/** Words of the normalized rows that persist turns into other columns. */
const rowWords: ReadonlyMap<string, readonly string[]> = new Map([
  ['patients', ['active']],
  // ranks identifiers: the one to match and show first, old ones last
  ['patient_identifiers', ['use']],
  ['scans', ['control', 'modality']],
  ['patient_merges', ['survivor', 'prior']],
]);
/** Keys of the elements of JSON columns and lists: PostalAddress, Telecom, PatientIdentifier. */
const elementKeys: ReadonlyMap<string, readonly string[]> = new Map([
  ['patients.address', ['line', 'line2', 'city', 'state', 'postal_code', 'country', 'use']],
  ['patients.telecom', ['system', 'value', 'use']],
  ['patient_merges.survivor', ['value', 'assigning_authority', 'type_code']],
  ['patient_merges.prior', ['value', 'assigning_authority', 'type_code']],
]);

/** Empty when all is well. Throws MappingFileError when a file does not even load. `directory` is mappings/, `migrations` the folder of *.sql files. */
export function checkMappings(directory: string, migrations: string): readonly MappingProblem[] {
  const columns = schemaColumns(migrations);
  return [...loadMappings(directory).files.values()].flatMap((file) => [...targetProblems(file, columns)]);
}

function* targetProblems(file: MappingFile, columns: ReadonlyMap<string, ReadonlySet<string>>): Generator<MappingProblem> {
  const at = { file: `${file.name}.yaml` };
  for (const [name, rule] of file.rows) {
    const [table = '', column] = (rowGroups.get(name) ?? name).split('.');
    const isKnown = (key: string): boolean => columns.get(table)?.has(key) === true || rowWords.get(table)?.includes(key) === true;
    if (!columns.has(table)) yield { ...at, path: `rows.${name}`, text: `there is no table ${table}` };
    else if (column !== undefined && !isKnown(column)) yield { ...at, path: `rows.${name}`, text: `${table} has no column ${column}` };
    else for (const target of targetsOf(rule)) {
      const known = column === undefined ? isKnown(target) : elementKeys.get(name)?.includes(target) ?? true;
      if (!known) yield { ...at, path: `rows.${name}: ${target}`, text: column === undefined ? `${table} has no column ${target}` : `${name} has no key ${target}` };
    }
  }
}

function targetsOf(rule: MappingFile['rows'] extends ReadonlyMap<string, infer Rule> ? Rule : never): readonly string[] {
  if ('fields' in rule) return rule.fields.map((field) => field.target);
  return rule.blocks.flatMap((block) => [...Object.keys(block.set ?? {}), ...block.fields.map((field) => field.target)]);
}

/** table -> columns, read from CREATE TABLE and ALTER TABLE ... ADD COLUMN: one column per line, as our migrations are written. */
export function schemaColumns(migrations: string): ReadonlyMap<string, ReadonlySet<string>> {
  const tables = new Map<string, Set<string>>();
  for (const name of readdirSync(migrations).filter((file) => file.endsWith('.sql')).toSorted()) {
    const sql = readFileSync(join(migrations, name), 'utf8').replaceAll(/--.*$/gm, '');
    for (const [, table = '', body = ''] of sql.matchAll(/CREATE TABLE (?:IF NOT EXISTS )?(\w+) \(\n([\s\S]*?)\n\)/g)) {
      const words = [...body.matchAll(/^ {2}(\w+) /gm)].map(([, word = '']) => word);
      tables.set(table, new Set(words.filter((word) => !/^(PRIMARY|FOREIGN|UNIQUE|CHECK|CONSTRAINT|EXCLUDE|LIKE)$/.test(word))));
    }
    for (const [, table = '', column = ''] of sql.matchAll(/ALTER TABLE (\w+)\s+ADD COLUMN (?:IF NOT EXISTS )?(\w+)/g)) tables.get(table)?.add(column);
  }
  return tables;
}
