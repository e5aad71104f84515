import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrate, MigrationError } from '../../src/db/migrate.ts';
import { migrationsDirectory } from '../../src/installation.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';

let db: TestDatabase;
let directory: string;
beforeEach(async () => {
  db = await testDatabase({ template: 'template1' });
  directory = await mkdtemp(path.join(tmpdir(), 'medscan-migrations-'));
  await write('0001_first.sql', '-- schema-version: 1.0.0\nCREATE TABLE a (n int); CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;');
});
afterEach(() => db.drop());

const write = (name: string, text: string): Promise<void> => writeFile(path.join(directory, name), text);
const run = (): Promise<string[]> => migrate(db.ownerUrl, { directory });

test('applies files in order, once, and records the schema version they bring', async () => {
  await write('0002_second.sql', '-- schema-version: 1.1.0\nALTER TABLE a ADD m int;');
  await write('0003_third.sql', 'ALTER TABLE a ADD o int;');
  expect(await run()).toEqual(['0001_first.sql', '0002_second.sql', '0003_third.sql']);
  expect(await run()).toEqual([]);
  expect((await db.asOwner<{ schema_version: string }>('SELECT schema_version FROM schema_migration ORDER BY id')).map((row) => row.schema_version)).toEqual(['1.0.0', '1.1.0', '1.1.0']);
});

test('lets one of several processes work and the others wait', async () => {
  const results = await Promise.all(Array.from({ length: 5 }, run));
  expect(results.filter((applied) => applied.length === 1)).toHaveLength(1);
  expect(results.flat()).toEqual(['0001_first.sql']);
});

test('refuses an applied file that was edited, but not for its line endings', async () => {
  await run();
  await write('0001_first.sql', '-- schema-version: 1.0.0\r\nCREATE TABLE a (n int); CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;');
  expect(await run()).toEqual([]);
  await appendFile(path.join(directory, '0001_first.sql'), ' -- x');
  await expect(run()).rejects.toThrow('0001_first.sql was edited');
});

test('refuses an applied file that is gone and a new one that comes too early', async () => {
  await write('0005_fifth.sql', 'SELECT 1');
  await run();
  await write('0003_third.sql', 'SELECT 1');
  await expect(run()).rejects.toThrow('0003_third.sql sorts before 0005_fifth.sql');
  await rm(path.join(directory, '0001_first.sql'));
  await rm(path.join(directory, '0003_third.sql'));
  await write('0005_fifth.sql', '-- schema-version: 1.0.0\nSELECT 1');
  await expect(run()).rejects.toThrow('0001_first.sql is applied but its file is gone');
});

test('rolls a failing file back whole and keeps those before it', async () => {
  await write('0002_bad.sql', 'CREATE TABLE b (n int); SELECT 1/0;');
  await expect(run()).rejects.toThrow(MigrationError);
  expect(await db.asOwner("SELECT to_regclass('a') IS NOT NULL AS a, to_regclass('b') IS NOT NULL AS b")).toEqual([{ a: true, b: false }]);
  await write('0002_bad.sql', 'CREATE TABLE b (n int);');
  expect(await run()).toEqual(['0002_bad.sql']);
});

test('says with check what is due and changes nothing', async () => {
  expect(await migrate(db.ownerUrl, { directory, check: true })).toEqual(['0001_first.sql']);
  expect(await db.asOwner("SELECT to_regclass('schema_migration') IS NULL AS untouched")).toEqual([{ untouched: true }]);
});

test('the product\'s own migrations apply to an empty database', async () => {
  expect((await migrate(db.ownerUrl, { directory: migrationsDirectory })).length).toBeGreaterThan(0);
});
