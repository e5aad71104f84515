import { afterAll, beforeAll, expect, test } from 'vitest';
import { PgBoss } from 'pg-boss';
import { z } from 'zod';
import { bossDb, RowMismatchError, sql } from '../../src/db/pool.ts';
import { asSystem, inOrganization } from '../../src/db/transaction.ts';
import { describeError } from '../../src/log.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';

let db: TestDatabase;
beforeAll(async () => { db = await testDatabase(); });
afterAll(() => db.drop());

const nobody = '00000000-0000-7000-8000-000000000000';
const select = <Schema extends z.ZodType>(schema: Schema, text: string) => inOrganization(db.database, nobody, (tx) => tx.one({ ...sql.type(schema)`SELECT`, sql: text }));

test('turns PostgreSQL\'s values into ours', async () => {
  const row = await select(z.unknown() as z.ZodType<object>, `SELECT '2026-01-02 03:04:05.678+00'::timestamptz AS at, '2026-01-02'::date AS day, '2026-01-02 03:04:05'::timestamp AS local, 5::int8 AS big,
    1.5::numeric AS number, '{"a": 1}'::jsonb AS json, '\\x00ff'::bytea AS bytes, ARRAY['2026-01-02'::date] AS days, NULL::date AS nothing`);
  expect(row).toEqual({
    at: new Date('2026-01-02T03:04:05.678Z'), day: '2026-01-02', local: '2026-01-02 03:04:05', big: 5, number: 1.5, json: { a: 1 },
    bytes: Buffer.from([0, 255]), days: ['2026-01-02'], nothing: null,
  });
});

test('refuses an int8 that a number cannot hold', async () => {
  await expect(select(z.object({ n: z.number() }), 'SELECT 9007199254740993::int8 AS n')).rejects.toThrow('beyond 2^53');
});

test('a row that is not as promised is refused without repeating it', async () => {
  const error = await inOrganization(db.database, nobody, (tx) => tx.one(sql.type(z.object({ family: z.number() }))`SELECT ${'MUSTERMANN'} AS family`)).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(RowMismatchError);
  expect((error as Error).message).toContain('family');
  expect(JSON.stringify([error, describeError(error), (error as Error).message])).not.toContain('MUSTERMANN');
});

test.each([
  ['an input error', "SELECT 'MUSTERMANN'::uuid AS n"],
  ['a syntax error', "SELECT 'MUSTERMANN' FROM WHERE"],
  ['a failed cast to a date', "SELECT 'MUSTERMANN'::date AS n"],
])('%s of the database is logged without its values', async (_, text) => {
  const error = await select(z.unknown() as z.ZodType<object>, text).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(Error);
  expect(JSON.stringify(describeError(error))).not.toContain('MUSTERMANN');
});

test('settings end with their transaction, even on the same connection', async () => {
  await asSystem(db.database, 'test', async (tx) => {
    expect(await tx.oneFirst(sql.type(z.object({ s: z.string() }))`SELECT current_setting('app.scope', true) AS s`)).toBe('system');
  });
  await inOrganization(db.database, nobody, (tx) => tx.query(sql.unsafe`SELECT`));
  const left = await db.database.pool.one(sql.type(z.object({ scope: z.string().nullable(), organization: z.string().nullable() }))`
    SELECT current_setting('app.scope', true) AS scope, current_setting('app.organization_id', true) AS organization`);
  expect([left.scope ?? '', left.organization ?? '']).toEqual(['', '']);
});

test('refuses something else than a UUID as organization', () => {
  expect(() => inOrganization(db.database, "x' OR true", () => Promise.resolve())).toThrow('UUID');
});

test('survives every connection being cut, idle or busy', async () => {
  const busy = inOrganization(db.database, nobody, (tx) => tx.query(sql.unsafe`SELECT pg_sleep(20)`)).catch((error: unknown) => error);
  const cut = async (): Promise<number> => (await db.asOwner(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'medscan%' AND datname = current_database()
    AND pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'`)).length;
  while (await cut() === 0) { /* until the busy one has begun */ }
  expect(await busy).toBeInstanceOf(Error);
  await db.asOwner("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'medscan%' AND datname = current_database() AND pid <> pg_backend_pid()");
  await expect.poll(() => db.database.ping().then(() => 'answers', () => 'fails'), { timeout: 5_000 }).toBe('answers');
});

test('a job exists exactly when its transaction commits', async () => {
  const boss = new PgBoss({ connectionString: db.ownerUrl, schema: 'pgboss', supervise: false, schedule: false });
  await boss.start();
  try {
    await boss.createQueue('probe');
    const send = (fail: boolean) => inOrganization(db.database, nobody, async (tx) => {
      const id = await boss.send('probe', { scan: '1' }, { db: bossDb(tx) as never });
      if (fail) throw new Error('rolled back');
      return id;
    });
    await expect(send(true)).rejects.toThrow('rolled back');
    expect(await db.asOwner("SELECT count(*)::int AS n FROM pgboss.job WHERE name = 'probe'")).toEqual([{ n: 0 }]);
    expect(await send(false)).toMatch(/^[0-9a-f-]{36}$/);
    expect(await db.asOwner("SELECT count(*)::int AS n FROM pgboss.job WHERE name = 'probe'")).toEqual([{ n: 1 }]);
  } finally {
    await boss.stop({ graceful: false });
  }
});
