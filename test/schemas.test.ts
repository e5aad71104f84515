/** schemas/ says what the migrations and the route table say, and the SQL file makes the database that the migrations make. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { apiMappings, registeredRoutes } from '../scripts/api-mappings.ts';
import { routeTables } from '../scripts/api-tables.ts';
import { readCatalog, schemaDiagram } from '../scripts/schema-diagram.ts';
import { schemaSql } from '../scripts/schema-sql.ts';
import { allTables, categories } from '../scripts/table-categories.ts';
import { createSite } from '../src/web/site.ts';
import { migrate, readMigrations } from '../src/db/migrate.ts';
import { migrationsDirectory } from '../src/installation.ts';
import { createLog } from '../src/log.ts';
import { pathOf, routeCases } from './api/route-cases.ts';
import { apiFixture, call, password, type ApiFixture } from './api/support.ts';
import { databaseUrl, onServer } from './support/database.ts';

const schemas = path.join(import.meta.dirname, '../schemas');
const file = (name: string): Promise<string> => readFile(path.join(schemas, name), 'utf8');
const hint = 'run: npm run schemas';

let api: ApiFixture;
beforeAll(async () => { api = await apiFixture(); });
afterAll(() => api.close());

test('medscan_schema.sql is what the migrations say', async () => {
  expect(await file('medscan_schema.sql'), hint).toBe(schemaSql(await readMigrations(migrationsDirectory)));
});

test('medscan_schema.sql makes the database that the migrations make, and the gateway finds nothing left to migrate', async () => {
  const name = `medscan_test_schema_${process.pid}`;
  await onServer(inject('serverUrl'), `CREATE DATABASE ${name}`);
  const url = databaseUrl(inject('serverUrl'), name);
  try {
    const loaded = await withClient(url, async (client) => {
      await client.query(await file('medscan_schema.sql'));
      return definitions(client);
    });
    expect(await migrate(url, { directory: migrationsDirectory, check: true })).toEqual([]);
    expect(loaded).toEqual(await withClient(api.db.ownerUrl, definitions));
  } finally {
    await onServer(inject('serverUrl'), `DROP DATABASE ${name} WITH (FORCE)`);
  }
});

test('schema_diagram.md shows the tables of a migrated database', async () => {
  const catalog = await withClient(api.db.ownerUrl, readCatalog);
  expect([...catalog.columns.keys()].toSorted()).toEqual([...allTables.keys()].toSorted());
  expect(await file('schema_diagram.md'), hint).toBe(schemaDiagram(catalog));
});

test('the 21 tables of the documentation are in its eight categories', () => {
  expect(categories.map(({ tables }) => Object.keys(tables).length)).toEqual([4, 2, 3, 3, 2, 3, 2, 2]);
});

test('api_mappings.md shows the route table', async () => {
  const routes = registeredRoutes();
  expect(Object.keys(routeTables).toSorted(), 'scripts/api-tables.ts has a line for each route and no other').toEqual(routes.map(({ name }) => name).toSorted());
  expect(await file('api_mappings.md'), hint).toBe(apiMappings(routes));
});

/** What commands behind the API do is not seen here: the fixture's commands are fakes. */
const throughCommands = new Set(['GET /adapters/{adapter}/conformance', 'POST /scans/{scan_id}/force-complete', 'POST /scan-files/{scan_file_id}/use', 'POST /scan-files/{scan_file_id}/set-aside', 'POST /reports/{report_id}/withdraw', 'POST /scans/{scan_id}/fetch-priors', 'POST /integrations', 'PUT /integrations/{integration_id}', 'POST /integrations/{integration_id}/test', 'POST /sync-logs/{sync_id}/replay', 'POST /integrations/{integration_id}/dry-run',
  'PUT /integrations/{integration_id}/pause', 'GET /sync-logs/{sync_id}/view', 'POST /message-replays', 'POST /message-replays/{replay_id}/cancel', 'POST /deliveries/resend', 'POST /deliveries/{delivery_id}/resend', 'POST /deliveries/{delivery_id}/discard',
  'POST /order-notices/resend', 'POST /order-notices/{notice_id}/resend', 'POST /order-notices/{notice_id}/discard', 'POST /dead-jobs/{dead_job_id}/retry', 'POST /dead-jobs/{dead_job_id}/discard']);
const everyRoute = new Set(['users', 'user_sessions', 'organizations', 'audit_logs']);

test('every route reads and writes the tables that api_mappings.md names', async () => {
  const statements: string[] = [];
  const log = createLog({ logLevel: 'silent' });
  const database = { ...api.db.database, pool: recording(api.db.database.pool, statements) };
  const site = createSite({ database, keys: api.db.keys, config: { roles: ['api'] }, log, commands: api.commands });
  const signIn = await call(site, 'POST', '/api/v1/auth/login', { body: { email: api.north.emails.administrator, password } });
  const session = { cookie: signIn.headers.get('set-cookie')!.split(';')[0]!, origin: 'http://localhost' };
  for (const { name } of endsLast(registeredRoutes())) {
    if (name === 'POST /auth/login' || throughCommands.has(name)) continue;
    const routeCase = routeCases[name];
    const { method, path: address } = pathOf(name, api.north.ids, routeCase);
    statements.length = 0;
    const answer = await call(site, method, address, { ...(routeCase.session ? session : { token: api.north.tokens.administrator }), body: routeCase.body });
    expect(answer.status, `${name}: ${answer.text}`).toBeLessThan(300);
    const { reads, writes } = routeTables[name]!;
    const found = tablesIn(statements);
    expect(found.writes.filter((table) => !everyRoute.has(table)), name).toEqual(writes.filter((table) => !everyRoute.has(table)).toSorted());
    expect(found.reads.filter((table) => !everyRoute.has(table) && !writes.includes(table)), name).toEqual(reads.filter((table) => !everyRoute.has(table) && !writes.includes(table)).toSorted());
  }
});

/** A pool whose transactions note the text of their statements. */
function recording<Pool extends object>(pool: Pool, statements: string[]): Pool {
  const noting = <T extends object>(target: T): T => new Proxy(target, {
    get(from, name, receiver) {
      const value: unknown = Reflect.get(from, name, receiver);
      if (typeof value !== 'function') return value;
      return (...words: unknown[]): unknown => {
        const [first] = words;
        if (typeof first === 'object' && first !== null && 'sql' in first) statements.push(String(first.sql));
        if (name === 'transaction') return value.call(from, (tx: object) => (first as (tx: object) => unknown)(noting(tx)));
        return value.apply(from, words);
      };
    },
  });
  return noting(pool);
}

function tablesIn(statements: readonly string[]): { reads: string[]; writes: string[] } {
  const named = (pattern: RegExp): string[] => [...new Set(statements.flatMap((text) => [...text.matchAll(pattern)].map((match) => match[1]!)))].filter((name) => allTables.has(name)).toSorted();
  return { reads: named(/\b(?:FROM|JOIN)\s+(\w+)/g), writes: named(/\b(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)/g) };
}

function endsLast<Route extends { readonly name: string }>(routes: readonly Route[]): Route[] {
  const rank = ({ name }: Route): number => (name === 'POST /auth/logout' ? 2 : name.startsWith('DELETE') ? 1 : 0);
  return routes.toSorted((a, b) => rank(a) - rank(b));
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return work(client).finally(() => client.end());
}

/** Columns, constraints, indexes, policies, triggers, functions and grants of the schema, as text. */
async function definitions(client: pg.Client): Promise<unknown[]> {
  const queries = [
    'SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_schema = \'public\' ORDER BY 1, 2',
    'SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = \'public\'::regnamespace ORDER BY 1, 2',
    'SELECT indexdef FROM pg_indexes WHERE schemaname = \'public\' ORDER BY 1',
    'SELECT tablename, policyname, cmd, qual, with_check FROM pg_policies WHERE schemaname = \'public\' ORDER BY 1, 2',
    'SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relnamespace = \'public\'::regnamespace AND relkind IN (\'r\', \'p\') ORDER BY 1',
    'SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2',
    'SELECT p.oid::regprocedure::text, prosrc FROM pg_proc p WHERE pronamespace = \'public\'::regnamespace AND proname LIKE \'medscan%\' ORDER BY 1',
    'SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants WHERE table_schema = \'public\' AND grantee = \'medscan_app\' ORDER BY 1, 3',
    'SELECT id, sha256, schema_version FROM schema_migration ORDER BY id',
  ];
  const results: unknown[] = [];
  for (const query of queries) results.push((await client.query(query)).rows);
  return results;
}
