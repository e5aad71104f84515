import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { databaseUrl, onServer } from '../support/database.ts';

const program = path.join(import.meta.dirname, '../../bin/medscan.mjs');
const home = mkdtempSync(path.join(tmpdir(), 'medscan-cli-'));
const database = `medscan_test_cli_${process.pid}`;

beforeAll(async () => {
  chmodSync(home, 0o755);
  await onServer(inject('serverUrl'), `CREATE DATABASE ${database}`);
});
afterAll(async () => {
  await onServer(inject('serverUrl'), `DROP DATABASE ${database} WITH (FORCE)`);
  rmSync(home, { recursive: true, force: true });
});

interface Result { readonly code: number; readonly out: string; readonly err: string }

function medscan(words: readonly string[], environment: Record<string, string> = {}, input = ''): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>();
  const env = { PATH: process.env['PATH'], MEDSCAN_HOME: home, DATABASE_URL: databaseUrl(inject('serverUrl'), database), MEDSCAN_HTTP_PORT: '0', MEDSCAN_DICOM_PORT: '0', MEDSCAN_HL7_PORT: '0', ...environment };
  const child = execFile(process.execPath, [program, ...words], { env }, (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }));
  child.stdin?.end(input);
  return promise;
}

test('an empty database becomes an installation with a first administrator and a token', async () => {
  expect((await medscan(['migrate', '--check'])).code).toBe(1);
  expect(await medscan(['migrate'])).toMatchObject({ code: 0, out: expect.stringContaining('0001_') as string });
  expect(await medscan(['migrate', '--check'])).toMatchObject({ code: 0, out: 'The database is up to date.\n' });
  expect((await medscan(['token', 'create', '--role', 'integrator'])).err).toContain('There is no organization yet');
  expect(await medscan(['user', 'create', '--email', 'first@hospital.example', '--organization', 'North'], {}, 'correct horse battery\n')).toMatchObject({ code: 0 });
  expect((await medscan(['user', 'create', '--email', 'first@hospital.example'], {}, 'correct horse battery\n')).err).toContain('There is a user first@hospital.example already.');
  expect(await medscan(['token', 'create', '--role', 'integrator', '--organization', 'North'])).toMatchObject({ code: 0, out: expect.stringMatching(/^msk_[\w-]{43}\n$/) as string, err: '' });
  expect((await medscan(['exchange', 'list'])).out).toContain('No message');
  expect((await medscan(['integration', 'list'])).out).toContain('There is no integration yet');
});

test.each([
  ['a short password', ['user', 'create', '--email', 'x@y.z'], 'short\n', 'A password has'],
  ['no password', ['user', 'create', '--email', 'x@y.z'], '', 'No password was given'],
  ['an unknown role', ['token', 'create', '--role', 'king'], '', 'wanted: one of radiologist'],
  ['an id that is none', ['exchange', 'show', 'x'], '', 'is not the id of an exchange'],
  ['a file that is not there', ['integration', 'apply', '/nowhere.yaml'], '', 'cannot be read (ENOENT)'],
  ['an unknown command', ['sing'], '', 'unknown command'],
])('refuses %s in words', async (_, words, input, expected) => {
  const { code, err } = await medscan(words, {}, input);
  expect(code).toBe(1);
  expect(err).toContain(expected);
  expect(err).not.toMatch(/^\s+at /m);
});

test('names every mistake of an integration file with its place', async () => {
  const file = path.join(home, 'integrations.yaml');
  writeFileSync(file, 'organization: North\nintegrations:\n  - { name: PACS, kind: fax, adapter: dicom-dimse, direction: both, colour: red }\n');
  const { code, err } = await medscan(['integration', 'apply', file]);
  expect(code).toBe(1);
  expect(err).toContain('/integrations/0/kind');
  expect(err).toContain('colour');
});

test('wrong settings are all named, and nothing is started', async () => {
  const { code, err } = await medscan(['migrate'], { MEDSCAN_HTTP_PORT: 'web', MEDSCAN_ROLES: 'chef' });
  expect(code).toBe(1);
  expect(err).toContain('2 problems');
});

test('a database that is away or refuses is explained', async () => {
  expect((await medscan(['migrate'], { DATABASE_URL: 'postgres://a:b@127.0.0.1:1/x' })).err).toContain('Nothing answers at 127.0.0.1:1');
  const wrong = new URL(inject('serverUrl'));
  wrong.password = 'wrong';
  expect((await medscan(['migrate'], { DATABASE_URL: wrong.href })).err).toContain('refuses the user or password');
});

test('the doctor finds nothing wrong here, and says what to do about a port that is taken', async () => {
  await medscan(['migrate']);
  const well = await medscan(['doctor']);
  expect(well.out).toContain('row level security holds');
  expect(well.out).not.toContain('FAILED');
  expect(well.code).toBe(0);
  const other = createServer();
  const { promise: listening, resolve } = Promise.withResolvers<void>();
  other.listen(0, '127.0.0.1', resolve);
  await listening;
  const { port } = other.address() as { port: number };
  const ill = await medscan(['doctor', '--json'], { MEDSCAN_DICOM_PORT: String(port) });
  other.close();
  expect(ill.code).toBe(1);
  expect(JSON.parse(ill.out)).toContainEqual(expect.objectContaining({ name: 'port', status: 'failed', advice: expect.stringContaining('MEDSCAN_DICOM_PORT') as string }));
});

test('the doctor sees a table without row level security', async () => {
  const { default: pg } = await import('pg');
  const owner = new pg.Client({ connectionString: databaseUrl(inject('serverUrl'), database) });
  await owner.connect();
  await owner.query('ALTER TABLE patients NO FORCE ROW LEVEL SECURITY');
  const ill = await medscan(['doctor']);
  await owner.query('ALTER TABLE patients FORCE ROW LEVEL SECURITY');
  await owner.end();
  expect(ill.out).toMatch(/FAILED\s+tenants\s+no row level security on patients/);
});
