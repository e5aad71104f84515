import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { createDatabase } from '../../src/db/pool.ts';
import { createLog } from '../../src/log.ts';

const holderScript = path.join(import.meta.dirname, '../support/hold-postgres.ts');
const log = createLog({ logLevel: 'silent' });
const home = mkdtempSync(path.join(tmpdir(), 'medscan-embedded-'));
const running: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];

beforeAll(() => chmodSync(home, 0o755));
afterEach(async () => {
  for (const child of children.splice(0)) await end(child, 'SIGTERM');
  for (const server of running.splice(0)) await server.stop();
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function start(): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ home, log, durable: false });
  running.push(server);
  return server;
}

/** Another process that holds a lease; resolves when it has one. */
async function holder(): Promise<{ child: ChildProcess; ownerUrl: string }> {
  const child = spawn(process.execPath, [holderScript, home, 'throw-away'], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const [ownerUrl] = await once(createInterface(child.stdout!), 'line') as [string];
  return { child, ownerUrl };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return (await client.query<Record<string, unknown>>(text).finally(() => client.end())).rows;
}

const postmaster = (): number => Number(readFileSync(path.join(home, 'postgres/data/postmaster.pid'), 'utf8').split('\n')[0]);
const isRunning = (): boolean => existsSync(path.join(home, 'postgres/data/postmaster.pid'));

test('starts an empty database that speaks UTF-8, checks its pages and listens on this machine only', async () => {
  const server = await start();
  expect(await query(server.ownerUrl, `SELECT current_database() AS name, current_setting('server_encoding') AS encoding, current_setting('data_checksums') AS checksums,
    current_setting('listen_addresses') AS addresses, current_setting('password_encryption') AS passwords`))
    .toEqual([{ name: 'medscan', encoding: 'UTF8', checksums: 'on', addresses: '127.0.0.1', passwords: 'scram-sha-256' }]);
  const wrong = new URL(server.ownerUrl);
  wrong.password = 'guess';
  await expect(query(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
});

test('adopts the server that a gateway killed with SIGKILL left running, with its data', async () => {
  const { child, ownerUrl } = await holder();
  await query(ownerUrl, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)');
  const before = postmaster();
  await end(child, 'SIGKILL');
  expect(isRunning()).toBe(true);
  const server = await start();
  expect(postmaster()).toBe(before);
  expect(server.ownerUrl).toBe(ownerUrl);
  expect(await query(server.ownerUrl, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
});

test('two processes share the server, and only the last to leave stops it', async () => {
  const first = await holder();
  const server = await start();
  expect(server.ownerUrl).toBe(first.ownerUrl);
  await end(first.child, 'SIGTERM');
  expect(await query(server.ownerUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  await server.stop();
  expect(isRunning()).toBe(false);
});

test('processes that start at once end up with one server', async () => {
  const [a, b, c] = await Promise.all([holder(), holder(), start()]);
  expect(new Set([a.ownerUrl, b.ownerUrl, c.ownerUrl]).size).toBe(1);
});

test('keeps its port from one start to the next', async () => {
  const first = await start();
  await first.stop();
  expect((await start()).port).toBe(first.port);
});

test('a server that dies is started again on the same port, and the pool recovers', async () => {
  const server = await start();
  const database = await createDatabase(server.ownerUrl, log);
  const ended = Promise.withResolvers<void>();
  server.onExit(() => ended.resolve());
  const before = postmaster();
  process.kill(before, 'SIGKILL');
  await ended.promise;
  await expect.poll(() => database.ping().then(() => 'answers', () => 'away'), { timeout: 20_000 }).toBe('answers');
  expect(postmaster()).not.toBe(before);
  await database.close();
});

test('recovers from a lock file whose process number now belongs to another program', async () => {
  await (await start()).stop();
  const other = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
  try {
    writeFileSync(path.join(home, 'postgres/data/postmaster.pid'), `${other.pid}\n${home}/postgres/data\n0\n5432\n\n127.0.0.1\n`);
    const server = await start();
    expect(await query(server.ownerUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  } finally {
    await end(other, 'SIGKILL');
  }
});

test('a start lock left by a process whose number is in use again does not block', async () => {
  await (await start()).stop();
  writeFileSync(path.join(home, 'postgres/starting'), `${process.pid} 1`);
  const server = await start();
  expect(await query(server.ownerUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  expect(existsSync(path.join(home, 'postgres/starting'))).toBe(false);
});

test('an initialisation that was cut off is begun anew, and a stale start lock does not block', async () => {
  const fresh = mkdtempSync(path.join(tmpdir(), 'medscan-embedded-'));
  chmodSync(fresh, 0o755);
  mkdirSync(path.join(fresh, 'postgres/data.new'), { recursive: true });
  writeFileSync(path.join(fresh, 'postgres/data.new/PG_VERSION'), '18\n');
  const gone = spawn(process.execPath, ['-e', '']);
  await once(gone, 'exit');
  writeFileSync(path.join(fresh, 'postgres/starting'), String(gone.pid));
  const server = await startEmbeddedPostgres({ home: fresh, log, durable: false });
  expect(await query(server.ownerUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  await server.stop();
  rmSync(fresh, { recursive: true, force: true });
});

test('its log keeps no values of rows or statements', async () => {
  const server = await start();
  await query(server.ownerUrl, "CREATE TABLE people (name text UNIQUE); INSERT INTO people VALUES ('MUSTERMANN')");
  await expect(query(server.ownerUrl, "INSERT INTO people VALUES ('MUSTERMANN')")).rejects.toMatchObject({ code: '23505' });
  const text = readFileSync(path.join(home, 'postgres/server.log'), 'utf8');
  expect(text).toContain('duplicate key');
  expect(text).not.toContain('MUSTERMANN');
});

test('a lost password file is reported in words', async () => {
  const server = await start();
  const file = path.join(home, 'secrets/postgres.password');
  const password = readFileSync(file);
  writeFileSync(file, 'other\n');
  await expect(startEmbeddedPostgres({ home, log })).rejects.toThrow('does not accept the password');
  writeFileSync(file, password);
  await server.stop();
});

test.runIf(process.getuid?.() === 0)('started by root under a directory that others may not enter, it lives elsewhere and stays there', async () => {
  const closed = mkdtempSync(path.join(tmpdir(), 'medscan-embedded-'));
  const first = await startEmbeddedPostgres({ home: closed, log, durable: false });
  await query(first.ownerUrl, 'CREATE TABLE kept (n int)');
  await first.stop();
  expect(existsSync(path.join(closed, 'postgres'))).toBe(false);
  chmodSync(closed, 0o755);
  const second = await startEmbeddedPostgres({ home: closed, log, durable: false });
  const [{ directory }] = await query(second.ownerUrl, "SELECT current_setting('data_directory') AS directory, n FROM kept RIGHT JOIN (VALUES (1)) one (x) ON true") as [{ directory: string }];
  expect(directory).toMatch(/^\/var\/lib\/medscan\/[0-9a-f]{12}\/data$/);
  await second.stop();
  rmSync(path.dirname(directory), { recursive: true });
  rmSync(closed, { recursive: true });
});
