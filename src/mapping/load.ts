/** Reads and checks mappings/*.yaml and mappings/codes/*.yaml: all problems of all files at once, each with file, path and reason. */
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isScalar, parseDocument, visit } from 'yaml';
import type { Document } from 'yaml';
import type { z } from 'zod';
import { blockList, codeFile, fieldList, mappingFile } from './format.ts';
import type { BlockSpec, CodeTable, FieldSpec, MappingFile } from './format.ts';
import { blockPaths, fieldPaths, pathProblem } from './path-syntax.ts';

export interface MappingProblem { readonly file: string; readonly path: string; readonly text: string }

/** Thrown at start: the gateway does not run with a mapping it does not understand. */
export class MappingFileError extends Error {
  readonly problems: readonly MappingProblem[];
  constructor(problems: readonly MappingProblem[]) {
    super(`Mapping files have ${problems.length} problem(s):\n` + problems.map((problem) =>
      `  ${problem.file}: ${problem.path === '' ? '' : `${problem.path}: `}${problem.text}`).join('\n'));
    this.name = 'MappingFileError';
    this.problems = problems;
  }
}

export interface LoadedMappings { readonly files: ReadonlyMap<string, MappingFile>; readonly codes: ReadonlyMap<string, CodeTable> }

/** Throws MappingFileError with every problem found. */
export function loadMappings(directory: string): LoadedMappings {
  const problems: MappingProblem[] = [];
  const codes = new Map<string, CodeTable>();
  for (const file of yamlFiles(join(directory, 'codes'))) {
    const parsed = readChecked(codeFile, file, problems, { mapAsMap: true });
    if (parsed !== undefined) codes.set(parsed.name, parsed.codes);
  }
  const files = new Map<string, MappingFile>();
  for (const file of yamlFiles(directory)) {
    const parsed = readMapping(file, codes, problems);
    if (parsed !== undefined) files.set(parsed.name, parsed);
  }
  if (problems.length > 0) throw new MappingFileError(problems);
  return { files, codes };
}

function yamlFiles(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith('.yaml')).toSorted().map((name) => join(directory, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readMapping(file: string, codes: ReadonlyMap<string, CodeTable>, problems: MappingProblem[]): MappingFile | undefined {
  const parsed = readChecked(mappingFile, file, problems);
  if (parsed === undefined) return undefined;
  const rows = new Map<string, { fields: readonly FieldSpec[] } | { blocks: readonly BlockSpec[] }>();
  for (const [table, rule] of Object.entries(parsed.rows)) {
    // Decided by the first entry, so that a mistake is reported for the kind of list that was meant.
    const isBlocks = isRecord(rule[0]) && 'fields' in rule[0];
    if (isBlocks) {
      const blocks = check(blockList, rule, file, ['rows', table], problems);
      if (blocks !== undefined) rows.set(table, { blocks });
    } else {
      const fields = check(fieldList, rule, file, ['rows', table], problems);
      if (fields !== undefined) rows.set(table, { fields });
    }
  }
  const { name, version, title, source } = parsed;
  const mapping = { name, version, title, source, rows };
  problems.push(...referenceProblems(mapping, file, codes), ...pathProblems(mapping, file));
  return mapping;
}

function* referenceProblems(mapping: MappingFile, file: string, codes: ReadonlyMap<string, CodeTable>): Generator<MappingProblem> {
  for (const [table, rule] of mapping.rows) {
    const fields = 'fields' in rule ? rule.fields : rule.blocks.flatMap((block) => block.fields);
    for (const field of fields) {
      const path = `rows.${table}: ${field.target}`;
      if (field.codes !== undefined && !codes.has(field.codes)) yield { file: basename(file), path, text: `there is no code table codes/${field.codes}.yaml` };
      if (field.required === 'row' && 'fields' in rule) yield { file: basename(file), path, text: "'required: row' has a meaning only in a block: it leaves the row out" };
    }
  }
}

function* pathProblems(mapping: MappingFile, file: string): Generator<MappingProblem> {
  for (const [table, rule] of mapping.rows) {
    const paths = 'fields' in rule ? [{ outside: rule.fields.flatMap(fieldPaths), inside: [] }] : rule.blocks.map(blockPaths);
    const texts = paths.flatMap(({ outside, inside }) => [
      ...outside.map((path) => pathProblem(path, mapping.source, false)), ...inside.map((path) => pathProblem(path, mapping.source, true))]);
    for (const text of texts) if (text !== undefined) yield { file: basename(file), path: `rows.${table}`, text };
  }
}

function readChecked<T extends { name: string }>(schema: z.ZodType<T>, file: string, problems: MappingProblem[], options?: { mapAsMap: boolean }): T | undefined {
  const document = parseDocument(readFileSync(file, 'utf8'), { uniqueKeys: true });
  if (document.errors.length > 0) {
    problems.push(...document.errors.map((error) => ({ file: basename(file), path: '', text: error.message.split('\n')[0] ?? 'is not YAML' })));
    return undefined;
  }
  // JavaScript objects would lose this key on the way to the schema; as a code it is one like any other.
  if (options?.mapAsMap !== true && hasProtoKey(document)) problems.push({ file: basename(file), path: '', text: "unknown key '__proto__'" });
  const content: unknown = options?.mapAsMap === true ? codeContent(document.toJS({ mapAsMap: true })) : document.toJS();
  const parsed = check(schema, content, file, [], problems);
  if (parsed !== undefined && parsed.name !== basename(file, '.yaml')) problems.push({ file: basename(file), path: 'name', text: `must be the file's name, '${basename(file, '.yaml')}'` });
  return parsed;
}

function hasProtoKey(document: Document.Parsed): boolean {
  let found = false;
  visit(document, { Pair: (_key, pair) => { found ||= isScalar(pair.key) && pair.key.value === '__proto__'; } });
  return found;
}

/** Codes stay a Map: a code called '__proto__' is then a code like any other. */
function codeContent(content: unknown): unknown {
  return content instanceof Map ? Object.fromEntries(content) : content;
}

function check<T>(schema: z.ZodType<T>, content: unknown, file: string, path: readonly string[], problems: MappingProblem[]): T | undefined {
  const result = schema.safeParse(content);
  if (result.success) return result.data;
  for (const issue of result.error.issues) problems.push({ file: basename(file), path: pathText([...path, ...issue.path]), text: issue.message });
  return undefined;
}

function pathText(path: readonly PropertyKey[]): string {
  return path.map((step, index) => typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${String(step)}`).join('');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
