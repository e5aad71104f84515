/**
 * One PostgreSQL for the whole test run (DATABASE_URL, else an embedded one in a temporary directory, nothing synced), with one migrated template
 * database that test files clone (database.ts).
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { migrate } from '../../src/db/migrate.ts';
import { provision } from '../../src/db/provision.ts';
import { migrationsDirectory } from '../../src/installation.ts';
import { createLog } from '../../src/log.ts';
import { installQueues } from '../../src/queue/install.ts';
import { databaseUrl, onServer, testKeys } from './database.ts';

declare module 'vitest' {
  interface ProvidedContext { serverUrl: string; template: string }
}

/** A gateway that is started for the hundredth time compiles nothing: half of the processor's time of a start. Children inherit it. */
process.env['NODE_COMPILE_CACHE'] ??= path.join(import.meta.dirname, '../../node_modules/.cache/compiled');

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const home = await mkdtemp(path.join(tmpdir(), 'medscan-test-'));
  const server = process.env['DATABASE_URL'] ? undefined : await startInReach(home);
  const serverUrl = process.env['DATABASE_URL'] ?? server!.ownerUrl;
  const template = `medscan_template_${process.pid}`;
  const teardown = async (): Promise<void> => {
    if (!server) await onServer(serverUrl, `DROP DATABASE IF EXISTS ${template} WITH (FORCE)`);
    await server?.stop();
    await rm(home, { recursive: true, force: true });
  };
  await prepareTemplate(serverUrl, template).catch(async (error: unknown) => {
    await teardown();
    throw error;
  });
  project.provide('serverUrl', serverUrl);
  project.provide('template', template);
  return teardown;
}

async function prepareTemplate(serverUrl: string, template: string): Promise<void> {
  const templateUrl = databaseUrl(serverUrl, template);
  await onServer(serverUrl, `CREATE DATABASE ${template}`);
  await provision(templateUrl, testKeys);
  await migrate(templateUrl, { directory: migrationsDirectory });
  await installQueues(templateUrl);
}

async function startInReach(home: string): ReturnType<typeof startEmbeddedPostgres> {
  // mkdtemp makes it 0700, but the server may run as another account (src/db/server-account.ts).
  await chmod(home, 0o755);
  return startEmbeddedPostgres({ home, log: createLog({ logLevel: 'warn' }), durable: false });
}
