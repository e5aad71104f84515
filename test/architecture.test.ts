import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { importCycles, importsOf, importViolations, isTest, partOf, parts, type Part, type Sources } from './support/import-rules.ts';

const root = path.join(import.meta.dirname, '..');
const product = read('{src,adapters}/**/*.ts');

function read(pattern: string): Map<string, string> {
  const files = globSync(pattern, { cwd: root, exclude: (name) => name.includes('node_modules') }).map((file) => file.replaceAll(path.sep, '/'));
  return new Map(files.toSorted().map((file) => [file, readFileSync(path.join(root, file), 'utf8')]));
}

/** 'file:line: text' of every line that matches, tests excepted. */
function linesWith(sources: Sources, pattern: RegExp, allowed: (file: string) => boolean = () => false): string[] {
  return [...sources].filter(([file]) => !allowed(file) && !isTest(file)).flatMap(([file, text]) =>
    withoutComments(text).split('\n').flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])));
}

/** Keeps the line numbers. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, '')).replaceAll(/(^|\s)\/\/.*$/gm, '$1');
}

test('every import is one that its part may have', () => {
  expect(product.size).toBeGreaterThan(50);
  expect(importViolations(product)).toEqual([]);
});

test('no imports run in a circle between folders', () => {
  expect(importCycles(product)).toEqual([]);
});

test('every file of the product belongs to a part', () => {
  const strays = [...product.keys()].filter((file) => !isTest(file) && partOf(file) === undefined);
  expect(strays).toEqual([]);
});

test('the parts stand above one another: below main and cli there is no way round', () => {
  const reaches = (part: Part, above: readonly Part[]): readonly Part[] => (above.includes(part) ? [...above, part] : (parts[part] as readonly Part[]).filter((next) => !['main', 'cli', 'simulator'].includes(next)).flatMap((next) => reaches(next, [...above, part])));
  for (const part of Object.keys(parts) as Part[]) expect(reaches(part, []), part).toEqual([]);
});

test.each([
  ['an adapter that reaches for the database', 'adapters/hl7v2-mllp/x.ts', "import { sql } from '../../src/db/pool.ts';"],
  ['an adapter that reaches for it by alias', 'adapters/hl7v2-mllp/x.ts', "import { sql } from '#src/db/pool.ts';"],
  ['an adapter that wants only its types', 'adapters/hl7v2-mllp/x.ts', "import type { Database } from '#src/db/pool.ts';"],
  ['an adapter that loads it later', 'adapters/hl7v2-mllp/x.ts', "const { sql } = await import('#src/db/pool.ts');"],
  ['an adapter that uses another adapter', 'adapters/hl7v2-mllp/x.ts', "import { read } from '../dicom-dimse/dataset-head.ts';"],
  ['an adapter that uses another by alias', 'adapters/hl7v2-mllp/x.ts', "export { read } from '#adapters/dicom-dimse/dataset-head.ts';"],
  ['an adapter that opens its own connection', 'adapters/hl7v2-mllp/x.ts', "import pg from 'pg';"],
  ['an adapter that queues', 'adapters/hl7v2-mllp/x.ts', "import { PgBoss } from 'pg-boss';"],
  ['an adapter that logs by itself', 'adapters/hl7v2-mllp/x.ts', "import { createLog } from '#src/log.ts';"],
  ['a codec that knows the database', 'src/standards/hl7v2/x.ts', "import {\n  sql,\n  type Database,\n} from '../../db/pool.ts';"],
  ['a codec that knows the gateway beyond the contract', 'src/standards/hl7v2/x.ts', "import { loadAdapters } from '#gateway/registry.ts';"],
  ['a codec that takes more than types of the contract', 'src/standards/hl7v2/x.ts', "import { NormalizeError } from '#gateway/adapter.ts';"],
  ['the pipeline naming an adapter', 'src/pipeline/x.ts', "import adapter from '../../adapters/hl7v2-mllp/adapter.ts';"],
  ['the database knowing the pipeline', 'src/db/x.ts', "import { receive } from '../pipeline/receive.ts';"],
  ['the pipeline knowing the API', 'src/pipeline/x.ts', "export * from '../api/router.ts';"],
  ['a table knowing the web framework', 'src/db/x.ts', "import { Hono } from 'hono';"],
  ['a leaf with an import', 'src/log.ts', "import { sql } from './db/pool.ts';"],
  ['the product using test code', 'src/db/x.ts', "import { testDatabase } from '../../test/support/database.ts';"],
])('refuses %s', (_, file, text) => {
  expect(importViolations(new Map([[file, text]]))).toHaveLength(1);
});

test.each([
  ['adapters/hl7v2-mllp/x.ts', "import type { Adapter } from '#gateway/adapter.ts';\nimport { NormalizeError } from '#gateway/adapter.ts';\nimport { failpoint } from '#src/failpoint.ts';\nimport net from 'node:net';\nimport './y.ts';"],
  ['src/domain/x.ts', "import type { ScanPriority } from '#gateway/normalized.ts';"],
  ['src/pipeline/x.ts', "import { sql } from '../db/pool.ts';\nimport type { Log } from '../log.ts';"],
])('allows what %s imports', (file, text) => {
  expect(importViolations(new Map([[file, text]]))).toEqual([]);
});

test('sees a circle between folders, but not one of types or of later loading', () => {
  const circle = (last: string): string[] => importCycles(new Map([
    ['src/db/a.ts', "import { b } from './b.ts';\nimport { c } from '../audit/c.ts';"], ['src/db/b.ts', "import { a } from './a.ts';"], ['src/audit/c.ts', last],
  ]));
  expect(circle("import { b } from '../db/b.ts';")).toEqual(['src/audit/c.ts -> src/db/b.ts -> src/db/a.ts -> src/audit/c.ts']);
  expect(circle("import type { B } from '../db/b.ts';")).toEqual([]);
  expect(circle("import { type B } from '../db/b.ts';")).toEqual([]);
  expect(circle("const { b } = await import('../db/b.ts');")).toEqual([]);
  expect(importsOf('src/db/a.ts', "import { a, type B } from './b.ts';")[0]).toMatchObject({ to: 'src/db/b.ts', typeOnly: false });
});

test('only src/db speaks to the pool, and only its transaction.ts and held-commit.ts begin a transaction', () => {
  const pool = /\bdatabase\.pool\b|\bpool\.(query|one|any|many|maybeOne|exists|transaction|connect|stream)\w*\(/;
  expect(linesWith(product, pool, (file) => file.startsWith('src/db/'))).toEqual([]);
  expect(linesWith(product, /\bpool\.(transaction|connect)\(|\bBEGIN\b(?=['"`;])/, (file) => ['src/db/transaction.ts', 'src/db/held-commit.ts', 'src/db/migrate.ts'].includes(file))).toEqual([]);
});

test('text never becomes a program, and programs are started in the known places only', () => {
  expect(linesWith(product, /\beval\s*\(|\bnew\s+Function\b|(?<![.\w])Function\s*\(|['"](node:)?vm['"]/)).toEqual([]);
  const starters = ['src/db/embedded-postgres.ts', 'src/db/embedded-binaries.ts', 'src/ai/onnx/'];
  expect(linesWith(product, /['"](node:)?child_process['"]/, (file) => starters.some((starter) => file.startsWith(starter)))).toEqual([]);
});

test('no path of a developer\'s machine is in the repository', () => {
  const everything = new Map([...product, ...read('{bench,bin,deploy,docs,mappings,migrations,models,schemas,seeds,test}/**/*.{ts,mjs,md,sql,yaml,json,sh}'), ...read('*.{md,json,ts}')]);
  const machine = new RegExp(String.raw`(^|[\s'"\`(=])/(${['work', 'home', 'Users'].join('|')})/\w`, 'm');
  expect([...everything].filter(([, text]) => machine.test(text)).map(([file]) => file)).toEqual([]);
});

test('what is made for each message has no getter in an object literal: its shape would keep the whole message (gateway/normalized.ts)', () => {
  const perMessage = ['adapters/', 'src/gateway/', 'src/mapping/', 'src/standards/'];
  const literal = /[{,]\s*get \w+\(\) \{|^\s+get \w+\(\) \{.*\},/;
  expect(linesWith(product, literal, (file) => !perMessage.some((folder) => file.startsWith(folder)))).toEqual([]);
  expect(linesWith(new Map([['adapters/x.ts', 'return { a, get trace() { return b; } };'], ['adapters/y.ts', '  get trace() { return b; },'], ['adapters/z.ts', '  get text(): string { return this.#text; }']]), literal)).toHaveLength(2);
});
