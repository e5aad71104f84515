import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { sql } from '../../src/db/pool.ts';
import { provision, ProvisionError } from '../../src/db/provision.ts';
import { keysFrom } from '../../src/db/secrets.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { databaseUrl, onServer, testDatabase, type TestDatabase } from '../support/database.ts';

let db: TestDatabase;
beforeAll(async () => { db = await testDatabase(); });
afterAll(() => db.drop());

async function asApplication(statement: string, url = db.appUrl): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client.query(statement).finally(() => client.end());
}

test('the application is neither superuser nor owner and cannot bypass row level security', async () => {
  const { rows } = await asApplication('SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = current_user');
  expect(rows).toEqual([{ rolsuper: false, rolbypassrls: false, rolcreaterole: false, rolcreatedb: false, rolreplication: false }]);
  expect((await asApplication("SELECT 1 FROM pg_class WHERE relowner = current_user::regrole OR pg_has_role(current_user, relowner, 'member')")).rows).toEqual([]);
});

test.each([
  'ALTER TABLE organizations DISABLE ROW LEVEL SECURITY',
  'ALTER ROLE CURRENT_USER BYPASSRLS',
  'SET ROLE medscan',
  'SET row_security = off; SELECT * FROM organizations',
  'DELETE FROM audit_logs',
  'UPDATE audit_logs SET outcome = outcome',
  'CREATE TABLE mine (n int)',
  'DELETE FROM schema_migration',
])('the application may not: %s', async (statement) => {
  await expect(asApplication(statement)).rejects.toMatchObject({ code: expect.stringMatching(/^(42501|22023|42704)$/) as string });
});

test('one organization cannot write into another', async () => {
  const [a, b] = (await db.asOwner<{ organization_id: string }>("INSERT INTO organizations (name, organization_type) VALUES ('A', 'clinic'), ('B', 'clinic') RETURNING organization_id")).map((row) => row.organization_id);
  const insert = (as: string, into: string) => inOrganization(db.database, as, (tx) => tx.query(sql.unsafe`INSERT INTO workflow_rules (organization_id, name) VALUES (${into}, 'rule')`));
  await expect(insert(a!, b!)).rejects.toMatchObject({ code: '42501' });
  await expect(insert(a!, a!)).resolves.toMatchObject({ rowCount: 1 });
});

test('databases of one cluster are provisioned at once without disturbing each other', async () => {
  const names = Array.from({ length: 4 }, () => `medscan_test_${randomBytes(6).toString('hex')}`);
  const urls = names.map((name) => databaseUrl(inject('serverUrl'), name));
  for (const name of names) await onServer(inject('serverUrl'), `CREATE DATABASE ${name}`);
  const keys = keysFrom(randomBytes(32));
  try {
    const results = await Promise.all([...urls, ...urls].map((url) => provision(url, keys)));
    for (const { appUrl } of results) expect((await asApplication('SELECT 1 AS n', appUrl)).rows).toEqual([{ n: 1 }]);
  } finally {
    for (const name of names) await onServer(inject('serverUrl'), `DROP DATABASE ${name} WITH (FORCE)`);
    await onServer(inject('serverUrl'), `DROP ROLE ${new URL((await provisionedLogin(keys)).appUrl).username}`);
  }
});

test('a password changed by hand is set back', async () => {
  await db.asOwner(`ALTER ROLE ${new URL(db.appUrl).username} PASSWORD 'other'`);
  const { appUrl } = await provision(db.ownerUrl, db.keys);
  expect((await asApplication('SELECT 1 AS n', appUrl)).rows).toHaveLength(1);
});

test('an owner that cannot create roles but is subject to row level security is used itself; one that bypasses it is refused in words', async () => {
  const role = `owner_${randomBytes(4).toString('hex')}`;
  await db.asOwner(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
  const url = new URL(db.ownerUrl);
  url.username = role;
  url.password = 'x';
  try {
    expect(await provision(url.href, db.keys)).toEqual({ appUrl: url.href });
    await db.asOwner(`ALTER ROLE ${role} BYPASSRLS`);
    await expect(provision(url.href, db.keys)).rejects.toThrow(ProvisionError);
    await expect(provision(url.href, db.keys)).rejects.toThrow(`ALTER ROLE ${role} CREATEROLE`);
  } finally {
    await db.asOwner(`DROP ROLE ${role}`);
  }
});

const provisionedLogin = (keys: ReturnType<typeof keysFrom>): Promise<{ appUrl: string }> => provision(inject('serverUrl'), keys);
