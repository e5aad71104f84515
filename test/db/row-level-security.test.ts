/** The walls between organizations, read from the catalog: a table that is added later is held to the same rules. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testDatabase, type TestDatabase } from '../support/database.ts';

let db: TestDatabase;
let app: pg.Client;
beforeAll(async () => {
  db = await testDatabase();
  app = new pg.Client({ connectionString: db.appUrl });
  await app.connect();
});
afterAll(async () => {
  await app.end();
  await db.drop();
});

/** Tables of ours that belong to no organization. Each with its reason; a new one needs one too. */
const withoutOrganization: Readonly<Record<string, string>> = {
  schema_migration: 'which migrations ran; no data of a tenant',
};
/** Besides the tenant policy: SELECT only, and only where the transaction says app.scope = 'system' (or, for settings, the installation's own rows). */
const additionalPolicies: Readonly<Record<string, string>> = {
  organizations: 'system_reads', users: 'system_reads', user_sessions: 'system_reads', external_integrations: 'system_reads', system_settings: 'installation_settings',
};
const ours = 'n.nspname = \'public\' AND c.relkind IN (\'r\', \'p\')';

test('every table carries organization_id, except the listed ones', async () => {
  const tables = await db.asOwner<{ name: string }>(`SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${ours}
    AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped)`);
  expect(tables.map((table) => table.name).filter((name) => !(name in withoutOrganization))).toEqual([]);
});

test('every table with organization_id has row level security enabled and forced, and the tenant policy', async () => {
  const tables = await db.asOwner<{ name: string; enabled: boolean; forced: boolean; partition: boolean; policies: string[] }>(`
    SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, c.relispartition AS partition,
      ARRAY(SELECT p.polname || ':' || p.polcmd::text || ':' || coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ':' || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') FROM pg_policy p WHERE p.polrelid = c.oid ORDER BY p.polname) AS policies
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped WHERE ${ours} ORDER BY 1`);
  expect(tables.length).toBeGreaterThan(25);
  for (const table of tables) {
    expect(table, table.name).toMatchObject({ enabled: true, forced: true });
    // A partition without a policy is closed: its rows are reached through the parent only.
    if (table.partition) { expect(table.policies, table.name).toEqual([]); continue; }
    const [tenant, ...others] = table.policies.toSorted((a, b) => Number(b.startsWith('tenant:')) - Number(a.startsWith('tenant:')));
    expect(tenant, table.name).toBe('tenant:*:(organization_id = (NULLIF(current_setting(\'app.organization_id\'::text, true), \'\'::text))::uuid):');
    expect(others.map((policy) => policy.split(':').slice(0, 2).join(':')), table.name).toEqual(table.name in additionalPolicies ? [`${additionalPolicies[table.name]}:r`] : []);
  }
});

test('the application\'s role owns nothing and is subject to every policy', async () => {
  const { rows: [role] } = await app.query('SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = current_user');
  expect(role).toEqual({ rolsuper: false, rolbypassrls: false, rolcreaterole: false, rolcreatedb: false, rolreplication: false });
  const { rows: owned } = await app.query('SELECT relname FROM pg_class WHERE pg_has_role(current_user, relowner, \'MEMBER\') AND relnamespace = \'public\'::regnamespace');
  expect(owned).toEqual([]);
});

test.each([
  ['UPDATE audit_logs SET actor_id = \'x\''], ['DELETE FROM audit_logs'], ['TRUNCATE audit_logs'], ['UPDATE audit_seals SET hash = \'x\''], ['DELETE FROM audit_seals'],
  ['DELETE FROM audit_checkpoints'], ['UPDATE audit_checkpoints SET hash = \'x\''], ['UPDATE configuration_versions SET changed_by = \'x\''], ['DELETE FROM patients'], ['TRUNCATE patients'],
  ['ALTER TABLE audit_logs DISABLE ROW LEVEL SECURITY'], ['DROP TABLE audit_seals'], ['CREATE TABLE public.own_table (x int)'], ['SELECT * FROM audit_logs_default'], ['COPY patients TO PROGRAM \'true\''],
  ['SELECT setval(\'audit_sequence\', 1)'], ['SET ROLE postgres'],
])('the application may not: %s', async (statement) => {
  await expect(app.query(statement)).rejects.toMatchObject({ code: expect.stringMatching(/^(42501|22023)$/) });
});

test('without an organization nothing is visible, and an empty one is none', async () => {
  await db.asOwner('INSERT INTO patients (organization_id, patient_number) VALUES (\'00000000-0000-0000-0000-000000000000\', \'1\')');
  for (const setting of [undefined, '']) {
    await app.query('BEGIN');
    if (setting !== undefined) await app.query('SELECT set_config(\'app.organization_id\', $1, true)', [setting]);
    expect((await app.query('SELECT * FROM patients')).rows).toEqual([]);
    await app.query('ROLLBACK');
  }
});

test('a row for another organization is refused, also by an upsert', async () => {
  const other = '11111111-1111-4111-8111-111111111111';
  await app.query('BEGIN');
  await app.query('SELECT set_config(\'app.organization_id\', $1, true)', [other]);
  await expect(app.query('INSERT INTO system_settings (organization_id, setting_key, version, value, changed_by) VALUES (\'00000000-0000-0000-0000-000000000000\', \'k\', 1, \'1\', \'x\') ON CONFLICT DO NOTHING')).rejects.toMatchObject({ code: '42501' });
  await app.query('ROLLBACK');
});

test('system scope reads the few tables it must, and writes none of them', async () => {
  await app.query('BEGIN');
  await app.query('SELECT set_config(\'app.scope\', \'system\', true)');
  expect((await app.query('SELECT 1 FROM organizations')).rowCount).toBeGreaterThan(0);
  for (const table of ['patients', 'scans', 'audit_logs', 'sync_logs', 'findings', 'reports']) expect((await app.query(`SELECT 1 FROM ${table}`)).rows, table).toEqual([]);
  expect((await app.query('UPDATE organizations SET name = \'x\'')).rowCount).toBe(0);
  await app.query('ROLLBACK');
});

test('every unique key begins with organization_id, so that no key tells one tenant about another', async () => {
  const keys = await db.asOwner<{ table: string; index: string; first: string }>(`
    SELECT t.relname AS table, i.relname AS index, a.attname AS first FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_attribute org ON org.attrelid = t.oid AND org.attname = 'organization_id'
    LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0] WHERE x.indisunique AND n.nspname = 'public'`);
  expect(keys.length).toBeGreaterThan(25);
  // Names tell tenants apart at the command line; no tenant can write another's row.
  expect(keys.filter((key) => key.first !== 'organization_id' && key.index !== 'organizations_name_key')).toEqual([]);
});

test('every foreign key between tables of tenants carries organization_id on both sides', async () => {
  const keys = await db.asOwner<{ name: string; columns: string[]; targets: string[] }>(`
    SELECT c.conname AS name, ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, o) JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY o) AS columns,
      ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k(n, o) JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY o) AS targets
    FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE c.contype = 'f' AND n.nspname = 'public'`);
  expect(keys.length).toBeGreaterThan(20);
  expect(keys.filter((key) => key.columns[0] !== 'organization_id' || key.targets[0] !== 'organization_id')).toEqual([]);
});

test('no view and no function lends its owner\'s rights', async () => {
  expect(await db.asOwner(`SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND (c.relkind = 'm' OR (c.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY(c.reloptions), false)))`)).toEqual([]);
  expect(await db.asOwner('SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = \'public\' AND p.prosecdef')).toEqual([]);
});

test('transactions of two organizations on few connections, with errors between them, never see each other\'s rows', async () => {
  const { inOrganization } = await import('../../src/db/transaction.ts');
  const { createDatabase, sql } = await import('../../src/db/pool.ts');
  const { z } = await import('zod');
  const tenants = ['22222222-2222-4222-8222-222222222222', '33333333-3333-4333-8333-333333333333'];
  for (const tenant of tenants) await db.asOwner('INSERT INTO organizations (organization_id, name) VALUES ($1, $2)', [tenant, tenant]);
  const small = await createDatabase(db.appUrl, { warn: () => undefined }, { maxPoolSize: 3 });
  const foreign: string[] = [];
  await Promise.all(Array.from({ length: 16 }, async (_, worker) => {
    for (let round = 0; round < 25; round++) {
      const tenant = tenants[(worker + round) % 2]!;
      await inOrganization(small, tenant, async (tx) => {
        const seen = await tx.anyFirst(sql.type(z.object({ organization_id: z.string() }))`SELECT organization_id FROM organizations`);
        foreign.push(...seen.filter((id) => id !== tenant));
        if (round % 5 === 0) await tx.query(sql.unsafe`SELECT 1 / 0`);
      }).catch(() => undefined);
    }
  }));
  const leaked = await small.pool.anyFirst(sql.type(z.object({ organization_id: z.string() }))`SELECT organization_id FROM organizations`);
  await small.close();
  expect([foreign, leaked]).toEqual([[], []]);
});
