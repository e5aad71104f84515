/**
 * The embedded PostgreSQL: a real server, started and watched by this process, data under MEDSCAN_HOME/postgres.
 *
 * Whoever uses the server holds a lease: one session with a shared advisory lock. Who stops takes the lock exclusively, and only if that
 * succeeds, nobody else has a lease and the server is stopped. So two gateways on one home share the server and the last one to leave
 * stops it, whoever started it; and a gateway killed with SIGKILL leaves a running server that the next start adopts.
 * A server that dies by itself is started again on the same port; connection pools recover on their own.
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, open, readFile, rename, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Log } from '../log.ts';
import { EmbeddedPostgresError, findBinaries, type PostgresBinaries } from './embedded-binaries.ts';
import { readOrCreateSecretFile } from './secrets.ts';
import { giveTo, serverAccount, serverDirectory, type ServerAccount } from './server-account.ts';
import { choosePort, isServerOn, readPostmasterFile, whileHoldingStartLock } from './server-process.ts';

export { EmbeddedPostgresError } from './embedded-binaries.ts';

export interface EmbeddedPostgres {
  /** Connects as the owner of the database `medscan`, a superuser: for provisioning and migrations only. */
  readonly ownerUrl: string;
  readonly port: number;
  /** Gives up this process's lease; stops the server (fast shutdown) when it was the last one. */
  stop(): Promise<void>;
  /** Called each time the server ends without having been stopped; it is being started again already. */
  onExit(listener: () => void): void;
}

export interface EmbeddedPostgresOptions {
  readonly home: string;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** false: nothing is synced to disk. For the tests' throw-away servers only. */
  readonly durable?: boolean;
}

interface Cluster {
  readonly directory: string;
  readonly data: string;
  readonly binaries: PostgresBinaries;
  readonly account: ServerAccount | undefined;
  readonly password: string;
  readonly durable: boolean;
  readonly log: EmbeddedPostgresOptions['log'];
}
interface Lease { readonly client: pg.Client; readonly port: number; readonly processId: number }

const leaseLock = 6_335_322;            // an arbitrary key, the same for every gateway
const startTimeoutMilliseconds = 120_000; // crash recovery of a large write-ahead log takes a while
const databaseName = 'medscan';
const run = promisify(execFile);

export async function startEmbeddedPostgres({ home, log, durable = true }: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const account = await serverAccount();
  await mkdir(home, { recursive: true });
  const directory = await serverDirectory(home, account);
  await mkdir(directory, { recursive: true });
  if (account) await chmod(directory, 0o755); // passable for the account under any umask; `data` itself is 0700
  if (!directory.startsWith(path.resolve(home))) log.warn({ directory, account: account?.name }, 'the account that runs PostgreSQL may not enter MEDSCAN_HOME; the database lives in another directory');
  const password = await readOrCreateSecretFile(path.join(home, 'secrets', 'postgres.password'), () => randomBytes(24).toString('base64url'));
  const cluster: Cluster = { directory, data: path.join(directory, 'data'), binaries: await findBinaries(directory, account), account, password, durable, log };
  return supervise(cluster, await obtainLease(cluster));
}

async function supervise(cluster: Cluster, first: Lease): Promise<EmbeddedPostgres> {
  const listeners: (() => void)[] = [];
  const stopping = new AbortController();
  let lease: Lease | undefined = first;
  let restart: Promise<void> = Promise.resolve();
  const watch = (current: Lease): void => {
    current.client.once('end', () => {
      lease = undefined;
      if (stopping.signal.aborted) return;
      cluster.log.error({ port: current.port }, 'the embedded PostgreSQL ended unexpectedly; starting it again');
      for (const listener of listeners) listener();
      restart = startAgain();
    });
  };
  const startAgain = async (): Promise<void> => {
    for (let pause = 100; !stopping.signal.aborted; pause = Math.min(pause * 2, 5_000)) {
      try {
        lease = await obtainLease(cluster, first.port);
        watch(lease);
        return cluster.log.info({ port: lease.port }, 'the embedded PostgreSQL runs again');
      } catch (error) {
        cluster.log.error({ reason: (error as Error).message, nextTryMilliseconds: pause }, 'the embedded PostgreSQL did not start');
        await delay(pause, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  };
  watch(first);
  return {
    ownerUrl: url(cluster, first.port, databaseName),
    port: first.port,
    onExit: (listener) => { listeners.push(listener); },
    stop: async () => {
      if (stopping.signal.aborted) return;
      stopping.abort();
      await restart;
      if (lease) await release(cluster, lease);
    },
  };
}

/** A session with the server, which is initialised, adopted or started as needed. Of several processes one works and the others wait. */
async function obtainLease(cluster: Cluster, port?: number): Promise<Lease> {
  return whileHoldingStartLock(cluster.directory, async () => {
    if (!existsSync(cluster.data)) await initialise(cluster);
    const lease = await adopt(cluster) ?? await start(cluster, port);
    await lease.client.query(`CREATE DATABASE ${databaseName}`).catch(unlessCode('42P04'));
    return lease;
  });
}

async function initialise(cluster: Cluster): Promise<void> {
  const unfinished = path.join(cluster.directory, 'data.new');
  const passwordFile = path.join(cluster.directory, 'password.new');
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  await giveTo(cluster.account, unfinished);
  await writeFile(passwordFile, cluster.password, { mode: 0o600 });
  await giveTo(cluster.account, passwordFile);
  try {
    await run(cluster.binaries.initdb, [
      '-D', unfinished, '-U', 'medscan', `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C',
      '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--data-checksums', ...(cluster.durable ? [] : ['--no-sync']),
    ], { cwd: cluster.directory, env: serverEnvironment(), ...asAccount(cluster) });
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new EmbeddedPostgresError(`PostgreSQL could not be initialised in ${unfinished}: ${stderr.trim() || (error as Error).message}`, { cause: error });
  } finally {
    await unlink(passwordFile);
  }
  // A directory named `data` is complete: an initdb that was cut off left `data.new`.
  await rename(unfinished, cluster.data);
  await syncDirectory(cluster.directory);
}

/** Takes a lease on a server that runs already; undefined when none does. Waits for one that is starting, recovering or stopping. */
async function adopt(cluster: Cluster): Promise<Lease | undefined> {
  const deadline = Date.now() + startTimeoutMilliseconds;
  while (Date.now() < deadline) {
    const running = await readPostmasterFile(cluster.data);
    if (!running) return undefined;
    if (!await isServerOn(cluster.data, running.processId)) {
      // Left behind by a crash. PostgreSQL would refuse to start if the number now belongs to another process of the same account.
      await rm(path.join(cluster.data, 'postmaster.pid'), { force: true });
      return undefined;
    }
    const lease = await connect(cluster, running);
    if (lease) return lease;
    await delay(50);
  }
  throw new EmbeddedPostgresError(`A PostgreSQL server runs on ${cluster.data} but does not answer. See ${path.join(cluster.directory, 'server.log')}, then stop it.`);
}

async function start(cluster: Cluster, fixedPort?: number): Promise<Lease> {
  const port = fixedPort ?? await choosePort(cluster.directory);
  const logFile = path.join(cluster.directory, 'server.log');
  await truncate(logFile).catch(() => undefined);
  const output = await open(logFile, 'a', 0o600);
  // Its own process group: an interrupt from the keyboard reaches the gateway, which first finishes its work and then stops the server.
  const server = spawn(cluster.binaries.postgres, ['-D', cluster.data, '-p', String(port), ...serverSettings(cluster.durable)],
    { cwd: cluster.directory, env: serverEnvironment(), detached: true, stdio: ['ignore', output.fd, output.fd], ...asAccount(cluster) });
  let ended: string | undefined;
  server.once('error', (error) => { ended = error.message; });
  server.once('exit', (code, signal) => { ended ??= `ended with ${signal ?? `code ${code}`}`; });
  server.unref();
  await output.close();
  const deadline = Date.now() + startTimeoutMilliseconds;
  while (ended === undefined && Date.now() < deadline) {
    const running = await readPostmasterFile(cluster.data);
    const lease = running && running.processId === server.pid ? await connect(cluster, running) : undefined;
    if (lease) return lease;
    await delay(20);
  }
  throw new EmbeddedPostgresError(`PostgreSQL did not start (${ended ?? 'no answer in time'}). Its own words: ${(await readFile(logFile, 'utf8')).trim().slice(-600)}`);
}

/** The server's log keeps neither statements nor values (DETAIL lines would show rows): it may be read by people who must not see patients. */
function serverSettings(durable: boolean): string[] {
  const settings = {
    listen_addresses: '127.0.0.1', unix_socket_directories: '', max_connections: '200', shared_buffers: '128MB', max_wal_size: '2GB',
    max_parallel_workers_per_gather: '0', jit: 'off', timezone: 'UTC', log_timezone: 'UTC', log_error_verbosity: 'terse', log_min_error_statement: 'panic',
    ...(durable ? { synchronous_commit: 'on' } : { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', autovacuum: 'off' }),
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Undefined while the server is starting, recovering or stopping. */
async function connect(cluster: Cluster, { port, processId }: { port: number; processId: number }): Promise<Lease | undefined> {
  const client = new pg.Client({ connectionString: url(cluster, port, 'postgres'), connectionTimeoutMillis: 5_000, application_name: `medscan lease ${process.pid}`, keepAlive: true });
  client.on('error', () => undefined); // the 'end' that follows is what counts
  try {
    await client.connect();
    await client.query('SELECT pg_advisory_lock_shared($1)', [leaseLock]);
    return { client, port, processId };
  } catch (error) {
    await client.end().catch(() => undefined);
    if ((error as { code?: string }).code === '28P01') {
      throw new EmbeddedPostgresError(`The PostgreSQL server in ${cluster.data} does not accept the password in MEDSCAN_HOME/secrets/postgres.password. Restore that file from a backup.`);
    }
    return undefined;
  }
}

async function release(cluster: Cluster, { client, processId }: Lease): Promise<void> {
  try {
    await client.query('SELECT pg_advisory_unlock_shared($1)', [leaseLock]);
    const { rows: [answer] } = await client.query<{ alone: boolean }>('SELECT pg_try_advisory_lock($1) AS alone', [leaseLock]);
    if (!answer?.alone) return await client.end();
  } catch {
    return; // the server ended by itself meanwhile
  }
  process.kill(processId, 'SIGINT');
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline && await isServerOn(cluster.data, processId)) await delay(20);
  if (await isServerOn(cluster.data, processId)) cluster.log.warn({ processId }, 'PostgreSQL is still shutting down');
}

function url(cluster: Cluster, port: number, database: string): string {
  return `postgres://medscan:${cluster.password}@127.0.0.1:${port}/${database}`;
}

/** PG* variables of the caller's shell must not change what the server does. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const { PATH, SystemRoot } = process.env;
  return { LC_ALL: 'C', ...(PATH && { PATH }), ...(SystemRoot && { SystemRoot }) };
}

function asAccount({ account }: Cluster): { uid?: number; gid?: number } {
  return account ? { uid: account.uid, gid: account.gid } : {};
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  await handle.sync().catch(() => undefined); // not every file system syncs directories
  await handle.close();
}

function unlessCode(code: string): (error: unknown) => void {
  return (error) => {
    if ((error as { code?: string }).code !== code) throw error;
  };
}
