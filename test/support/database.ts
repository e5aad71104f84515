/** A migrated database of its own for each test file, cloned from the run's template. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { createDatabase, type Database } from '../../src/db/pool.ts';
import { provision } from '../../src/db/provision.ts';
import { keysFrom, type Keys } from '../../src/db/secrets.ts';
import { createLog } from '../../src/log.ts';

export interface TestDatabase {
  readonly database: Database;
  /** Superuser: bypasses row level security. For arranging and looking, not for the code under test. */
  readonly ownerUrl: string;
  readonly appUrl: string;
  readonly keys: Keys;
  /** Runs one statement as the owner and returns its rows. */
  asOwner<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Closes the pools and removes the database; call it in afterAll. */
  drop(): Promise<void>;
}

export const testKeys = keysFrom(Buffer.alloc(32, 'test'));

export async function testDatabase(options: { readonly template?: string } = {}): Promise<TestDatabase> {
  const serverUrl = inject('serverUrl');
  const name = `medscan_test_${randomBytes(6).toString('hex')}`;
  await onServer(serverUrl, `CREATE DATABASE ${name} TEMPLATE ${options.template ?? inject('template')}`);
  const ownerUrl = databaseUrl(serverUrl, name);
  const { appUrl } = await provision(ownerUrl, testKeys);
  const database = await createDatabase(appUrl, createLog({ logLevel: 'silent' }), { maxPoolSize: 10 });
  const owner = new pg.Pool({ connectionString: ownerUrl, max: 2 });
  owner.on('error', () => undefined); // tests end connections on purpose; the next query reports it
  return {
    database, ownerUrl, appUrl, keys: testKeys,
    asOwner: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => (await owner.query<Row>(text, values)).rows,
    drop: async () => {
      await database.close();
      await owner.end();
      await onServer(serverUrl, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

export async function onServer(serverUrl: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl(serverUrl, 'postgres') });
  client.on('error', () => undefined); // reported by the query
  await client.connect();
  try {
    // Another file may be cloning the template at this moment, which counts as "being accessed by other users".
    for (let attempt = 1; ; attempt++) {
      try {
        await client.query(statement);
        return;
      } catch (error) {
        if ((error as { code?: string }).code !== '55006' || attempt === 50) throw error;
        await new Promise((resolve) => { setTimeout(resolve, 100); });
      }
    }
  } finally {
    await client.end();
  }
}

export function databaseUrl(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}
