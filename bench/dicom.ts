/**
 * `npm run bench:dicom`: C-STORE into the gateway and into its peers, side by side. All servers are up at once; every round sends one burst
 * to each in turn, so that whatever else the machine does hits all of them. Printed are medians over rounds, and ratios that were taken
 * within a round. The gateway's figure is the full durable path.
 *   npm run bench:dicom -- [--rounds 12] [--cases ct:1,ct:4,sr:4,dx:1] [--servers medscan,orthanc-postgresql,...] [--quick]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/db/embedded-postgres.ts';
import { createLog } from '../src/log.ts';
import { startServers, stopServers, usage, type Server } from './dicom/servers.ts';
import { sopInstanceUid, StoreSender, template, type Template } from './dicom/store-sender.ts';

const CASES: Readonly<Record<string, { kind: 'ct' | 'sr' | 'dx'; bytes: number; perBurst: number; label: string }>> = {
  ct: { kind: 'ct', bytes: 512 * 1024, perBurst: 40, label: 'CT 512 KiB' }, sr: { kind: 'sr', bytes: 10 * 1024, perBurst: 60, label: 'SR 10 KiB' }, dx: { kind: 'dx', bytes: 13_000_000, perBurst: 6, label: 'DX 13 MB' },
};
const { values: options } = parseArgs({ options: {
  rounds: { type: 'string', default: '12' }, cases: { type: 'string', default: 'ct:1,ct:4,sr:4,dx:1' }, quick: { type: 'boolean', default: false },
  servers: { type: 'string', default: 'medscan,floor,orthanc-postgresql,orthanc-sqlite,storescp' },
} });

/** Not counted: connections, caches and compiled code are as they are in a process that has run for a while. */
const WARM_UP_ROUNDS = options.quick ? 1 : 6;

interface Burst { readonly perSecond: number; readonly milliseconds: readonly number[] }
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const percentile = (values: readonly number[], share: number): number => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;

let study = 0;
/** One study, sent over `associations` at once, its instances dealt out among them. */
async function burst(senders: readonly StoreSender[], { sopClassUid }: Template, objects: readonly { uid: string; dataset: Buffer }[]): Promise<Burst> {
  const milliseconds: number[] = [];
  let next = 0;
  const started = performance.now();
  await Promise.all(senders.map(async (sender) => {
    for (let index = next++; index < objects.length; index = next++) milliseconds.push(await sender.store(sopClassUid, objects[index]!.uid, objects[index]!.dataset));
  }));
  return { perSecond: objects.length / ((performance.now() - started) / 1000), milliseconds };
}

async function runCase(spec: string, servers: readonly Server[], rounds: number): Promise<void> {
  const [name = 'ct', associations = '1'] = spec.split(':');
  const shape = CASES[name];
  if (!shape) throw new Error(`--cases: '${name}' is not one of ${Object.keys(CASES).join(', ')}`);
  const objects = template(shape.kind, shape.bytes);
  const connections = new Map<Server, StoreSender[]>();
  for (const server of servers) connections.set(server, await Promise.all(Array.from({ length: Number(associations) }, () => StoreSender.connect(server.port, objects.sopClassUid))));
  const results = new Map<Server, Burst[]>(servers.map((server) => [server, []]));
  const before = new Map<Server, number>();
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    if (round === 0) for (const server of servers) before.set(server, usage(server).cpuSeconds);
    for (const server of servers) {
      study += 1;
      const count = options.quick ? 8 : shape.perBurst;
      const sent = Array.from({ length: count }, (_, index) => ({ uid: sopInstanceUid(study, index), dataset: objects.dataset(study, index) }));
      const result = await burst(connections.get(server)!, objects, sent);
      if (round >= 0) results.get(server)!.push(result);
    }
  }
  for (const senders of connections.values()) await Promise.all(senders.map((sender) => sender.release()));
  report(`${shape.label}, ${associations} association${associations === '1' ? '' : 's'}`, servers, results, before, shape.bytes);
}

function report(title: string, servers: readonly Server[], results: ReadonlyMap<Server, readonly Burst[]>, before: ReadonlyMap<Server, number>, bytes: number): void {
  const reference = results.get(servers.find((server) => server.name === 'medscan')!)!;
  console.log(`\n${title} (load average ${loadavg()[0]!.toFixed(1)})`);
  console.log(`${'server'.padEnd(20)}${'objects/s'.padStart(10)}${'medscan is'.padStart(12)}${'p50 ms'.padStart(9)}${'p99 ms'.padStart(9)}${'CPU s/GB'.padStart(10)}${'peak MB'.padStart(9)}  before Success`);
  for (const server of servers) {
    const bursts = results.get(server)!;
    const times = bursts.flatMap((entry) => entry.milliseconds);
    const ratio = median(bursts.map((entry, round) => reference[round]!.perSecond / entry.perSecond));
    const { cpuSeconds, peakBytes } = usage(server);
    const gigabytes = (times.length * bytes) / 1e9;
    console.log(`${server.name.padEnd(20)}${median(bursts.map((entry) => entry.perSecond)).toFixed(0).padStart(10)}${`${ratio.toFixed(2)}x`.padStart(12)}${percentile(times, 0.5).toFixed(1).padStart(9)}${percentile(times, 0.99).toFixed(1).padStart(9)}${((cpuSeconds - before.get(server)!) / gigabytes).toFixed(1).padStart(10)}${(peakBytes / 1e6).toFixed(0).padStart(9)}  ${server.durability}`);
  }
}

const directory = mkdtempSync(path.join(tmpdir(), 'medscan-bench-'));
const external = process.env['DATABASE_URL'];
const embedded = external ? undefined : await startEmbeddedPostgres({ home: directory, log: createLog({ logLevel: 'silent' }) });
const database = new URL(external ?? embedded!.ownerUrl);
const client = new pg.Client({ connectionString: database.href });
await client.connect();
await client.query('DROP DATABASE IF EXISTS orthanc');
await client.query('CREATE DATABASE orthanc');
await client.end();
let servers: Server[] = [];
try {
  servers = await startServers(options.servers.split(','), directory, database);
  for (const spec of options.cases.split(',')) await runCase(spec, servers, options.quick ? 2 : Number(options.rounds));
} finally {
  await stopServers(servers);
  await embedded?.stop();
  rmSync(directory, { recursive: true, force: true });
}
