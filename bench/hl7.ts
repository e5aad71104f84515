/**
 * `npm run bench:hl7 [-- rounds=3 seconds=5 connections=10 warm=10 peer=HOST:PORT]`: ADT^A08 of about 1 KiB into the gateway (acknowledged after the
 * commit, row level security and audit on), beside a server that only acknowledges, one that stores with group commit and nothing else, and with `peer` any
 * MLLP server that runs already. Each is loaded for `warm` seconds first, so that none is measured while its code is compiled; rounds are interleaved,
 * so that what else runs on the machine meets all. Compare ratios, and read absolute figures with the load average beside them.
 * PostgreSQL: DATABASE_URL (an owner's), else the embedded one with its data synced to disk.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/db/embedded-postgres.ts';
import { createLog } from '../src/log.ts';
import { messageBytes, sendLoad, type Address, type Load } from './hl7-load.ts';
import { processorSeconds, residentMebibytes } from './hl7-processor-time.ts';

export interface Hl7BenchOptions { readonly rounds: number; readonly seconds: number; readonly connections: number; readonly warmUpSeconds: number; readonly serverUrl?: string | undefined; readonly peer?: Address | undefined }
export interface Hl7BenchRow extends Load {
  readonly server: 'gateway' | 'group commit' | 'bare' | 'peer'; readonly connections: number;
  /** Per message: the server's own process, and the backends of its database. */
  readonly serverMicroseconds: number | undefined; readonly databaseMicroseconds: number | undefined; readonly residentMebibytes: number | undefined;
}
/** The peer has no child: it is somebody else's process, whose processor time is not known. */
interface Server extends Address { readonly name: Hl7BenchRow['server']; readonly child?: ChildProcess | undefined; readonly database?: string | undefined }

/** Medians over the rounds, one row per server and number of connections (1, and `connections`). */
export async function benchHl7(options: Hl7BenchOptions): Promise<readonly Hl7BenchRow[]> {
  const directory = await mkdtemp(path.join(tmpdir(), 'medscan-bench-'));
  const embedded = options.serverUrl === undefined ? await startEmbeddedPostgres({ home: directory, log: createLog({ logLevel: 'warn' }) }) : undefined;
  const serverUrl = options.serverUrl ?? embedded!.ownerUrl;
  const names = { gateway: `medscan_bench_${process.pid}`, reference: `medscan_bench_reference_${process.pid}` };
  const servers: Server[] = [];
  try {
    await onDatabase(serverUrl, 'postgres', `CREATE DATABASE ${names.reference}`);
    const start = async (name: Server['name'], file: string, argument: string[], database?: string): Promise<void> => {
      servers.push(await startServer(name, file, argument, urlOf(serverUrl, database ?? 'postgres'), database));
    };
    await start('bare', 'hl7-reference.ts', ['bare']);
    await start('group commit', 'hl7-reference.ts', ['group'], names.reference);
    await start('gateway', 'gateway.ts', [`database=${names.gateway}`, `dir=${path.join(directory, 'home')}`], names.gateway);
    if (options.peer) servers.push({ name: 'peer', ...options.peer });
    for (const server of servers) await sendLoad({ ...server, connections: options.connections, seconds: options.warmUpSeconds });
    const rows: Hl7BenchRow[] = [];
    for (let round = 0; round < options.rounds; round++) {
      for (const connections of [1, options.connections]) for (const server of servers) rows.push(await measure(server, connections, options.seconds, serverUrl));
    }
    return [1, options.connections].flatMap((connections) => servers.map((server) => medianOf(rows.filter((row) => row.server === server.name && row.connections === connections))));
  } finally {
    await Promise.all(servers.map((server) => stop(server.child)));
    for (const name of Object.values(names)) await onDatabase(serverUrl, 'postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    await embedded?.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

async function startServer(name: Server['name'], file: string, parameters: readonly string[], databaseUrl: string, database: string | undefined): Promise<Server> {
  const child = spawn(process.execPath, [fileURLToPath(new URL(file, import.meta.url)), ...parameters], { env: { ...process.env, DATABASE_URL: databaseUrl }, stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await Promise.race([once(child.stdout!, 'data').then(([data]) => String(data)), once(child, 'exit').then(() => { throw new Error(`${file} ended before it listened`); })]);
  return { name, child, database, port: (JSON.parse(line) as { ports: { hl7: number } }).ports.hl7 };
}

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

async function measure(server: Server, connections: number, seconds: number, serverUrl: string): Promise<Hl7BenchRow> {
  const backends = server.database ? (await onDatabase(serverUrl, 'postgres', 'SELECT pid FROM pg_stat_activity WHERE datname = $1', [server.database])).map((row) => Number(row['pid'])) : [];
  const before = await usage(server, backends);
  const load = await sendLoad({ ...server, connections, seconds });
  const after = await usage(server, backends);
  const perMessage = (from: number | undefined, to: number | undefined): number | undefined => (from === undefined || to === undefined ? undefined : (to - from) * 1e6 / load.messages);
  return {
    server: server.name, connections, ...load, residentMebibytes: server.child && await residentMebibytes(server.child.pid!),
    serverMicroseconds: perMessage(before.server, after.server), databaseMicroseconds: server.database ? perMessage(before.database, after.database) : undefined,
  };
}

async function usage(server: Server, backends: readonly number[]): Promise<{ server: number | undefined; database: number | undefined }> {
  const seconds = await Promise.all(backends.map((processId) => processorSeconds(processId, 'postgres')));
  return { server: server.child && await processorSeconds(server.child.pid!), database: seconds.some((value) => value === undefined) ? undefined : seconds.reduce<number>((sum, value) => sum + value!, 0) };
}

function medianOf(rows: readonly Hl7BenchRow[]): Hl7BenchRow {
  const median = (value: (row: Hl7BenchRow) => number | undefined): number | undefined => {
    const values = rows.map(value).filter((number) => number !== undefined).toSorted((a, b) => a - b);
    return values[Math.floor(values.length / 2)];
  };
  const { server, connections } = rows[0]!;
  return {
    server, connections, messages: median((row) => row.messages)!, perSecond: median((row) => row.perSecond)!, p50: median((row) => row.p50)!, p99: median((row) => row.p99)!,
    refused: rows.reduce((sum, row) => sum + row.refused, 0), serverMicroseconds: median((row) => row.serverMicroseconds),
    databaseMicroseconds: median((row) => row.databaseMicroseconds), residentMebibytes: median((row) => row.residentMebibytes),
  };
}

/** The gateway's messages per second over another server's. */
export function gatewayOver(other: Hl7BenchRow['server'], rows: readonly Hl7BenchRow[], connections: number): number {
  const rate = (server: Hl7BenchRow['server']): number => rows.find((row) => row.server === server && row.connections === connections)!.perSecond;
  return rate('gateway') / rate(other);
}

function addressOf(text: string | undefined): Address | undefined {
  if (text === undefined) return undefined;
  const { hostname, port } = new URL(`mllp://${text}`);
  return { host: hostname, port: Number(port || '2575') };
}

const urlOf = (serverUrl: string, database: string): string => Object.assign(new URL(serverUrl), { pathname: `/${database}` }).href;

async function onDatabase(serverUrl: string, database: string, text: string, values: readonly unknown[] = []): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: urlOf(serverUrl, database) });
  await client.connect();
  return client.query<Record<string, unknown>>(text, [...values]).then((result) => result.rows).finally(() => client.end());
}

function print(rows: readonly Hl7BenchRow[]): void {
  const whole = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(0));
  const lines = rows.map((row) => [row.server, String(row.connections), whole(row.perSecond), row.p50.toFixed(1), row.p99.toFixed(1), String(row.refused), whole(row.serverMicroseconds), whole(row.databaseMicroseconds), whole(row.residentMebibytes)]);
  const table = [['server', 'conn', 'msg/s', 'p50 ms', 'p99 ms', 'refused', 'CPU us/msg', 'database CPU', 'RSS MiB'], ...lines];
  for (const cells of table) process.stdout.write(`${cells.map((cell, column) => (column === 0 ? cell.padEnd(14) : cell.padStart(13))).join('')}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const given = new Map(process.argv.slice(2).map((argument) => argument.split('=') as [string, string]));
  const options: Hl7BenchOptions = { rounds: Number(given.get('rounds') ?? 3), seconds: Number(given.get('seconds') ?? 5), connections: Number(given.get('connections') ?? 10), warmUpSeconds: Number(given.get('warm') ?? 10), serverUrl: process.env['DATABASE_URL'], peer: addressOf(given.get('peer')) };
  const rows = await benchHl7(options);
  process.stdout.write(`ADT^A08, ${messageBytes} bytes, medians of ${options.rounds} interleaved rounds of ${options.seconds} s, load average ${loadavg().map((value) => value.toFixed(1)).join(' ')}\n`);
  print(rows);
  const others = ['group commit', ...(options.peer ? ['peer' as const] : [])] as const;
  for (const connections of [1, options.connections]) {
    for (const other of others) process.stdout.write(`gateway / ${other}, ${connections} connection(s): ${gatewayOver(other, rows, connections).toFixed(2)}\n`);
  }
}
