/**
 * Damaged DICOM against the gateway as its users run it: 2,000 mutations, or MEDSCAN_MUTATIONS of them (`npm run test:mutations` sends 100,000).
 * It must not crash, hang, lose what it answered Success to, keep descriptors or unfinished files, or grow. A failure names its number; the same
 * number is the same bytes: MEDSCAN_MUTATIONS_FROM=<number> MEDSCAN_MUTATIONS=10 begins there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BytePeer, ctDataset, echoCommand, pData, pdv, releaseRequest, storePdus, verificationContext } from '#adapters/dicom-dimse/testing/peer.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';
import { contexts, mutation, type Mutation } from './dicom-mutations.ts';

const COUNT = Number(process.env['MEDSCAN_MUTATIONS'] ?? 2_000);
const FROM = Number(process.env['MEDSCAN_MUTATIONS_FROM'] ?? 1);
const LANES = 4;
/** From the first fifth, when caches and pools have their size, to the end. */
const MOST_GROWTH_MEBIBYTES = 64;
const canSeeProcess = existsSync('/proc/self/fd');
if (!canSeeProcess) process.stderr.write('mutations: there is no /proc to see the gateway\'s memory and descriptors in; they are not checked\n');
const statuses = new Set([0x0000, 0xa700, 0xa900, 0xc000, 0x0110, 0x0122, 0x0124, 0x0211]);

let db: TestDatabase, home: string, gateway: GatewayProcess;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-mutations-'));
  await insertIntegration(db, 'Mutated Hospital', 'PACS', 'dicom-dimse');
  gateway = await startGatewayProcess({
    DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'),
    MEDSCAN_DICOM_ARTIM_SECONDS: '2', MEDSCAN_DICOM_IDLE_SECONDS: '5', MEDSCAN_DICOM_ASSOCIATIONS_PER_ADDRESS: '100', MEDSCAN_DICOM_ASSOCIATIONS_PER_AE: '100', NODE_OPTIONS: '--max-semi-space-size=2',
  });
}, 120_000);
afterAll(async () => {
  await gateway?.stop();
  await db?.drop();
  await rm(home, { recursive: true, force: true });
}, 120_000);

const answers = new Map<string, number>();
const stored = new Map<string, string>();
const note = (what: string): void => { answers.set(what, (answers.get(what) ?? 0) + 1); };

test(`${COUNT} mutations of data sets, commands, requests and PDUs harm nobody`, async () => {
  let next = FROM;
  const samples: { mebibytes: number; descriptors: number }[] = [];
  const sampling = canSeeProcess ? setInterval(() => { samples.push(sample()); }, Math.max(200, COUNT / 20)) : undefined;
  const started = performance.now();
  await Promise.all(Array.from({ length: LANES }, () => lane(() => (next < FROM + COUNT ? next++ : undefined))));
  clearInterval(sampling);
  const seconds = (performance.now() - started) / 1000;
  expect(gateway.child.exitCode, 'the gateway runs').toBeNull();
  await expectWell();
  await expectNothingLost();
  expect(unfinishedFiles()).toEqual([]);
  expectSafeFiles();
  console.log(`${COUNT} mutations in ${seconds.toFixed(0)} s; ${[...answers].map(([what, count]) => `${what}: ${count}`).join(', ')}; ${stored.size} stored, 0 lost`);
  if (samples.length < 10) return;
  const mean = (from: number, to: number, key: 'mebibytes' | 'descriptors'): number => {
    const part = samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to));
    return part.reduce((sum, one) => sum + one[key], 0) / part.length;
  };
  const growth = mean(0.8, 1, 'mebibytes') - mean(0.2, 0.4, 'mebibytes');
  console.log(`resident ${mean(0, 0.2, 'mebibytes').toFixed(0)}, ${mean(0.2, 0.4, 'mebibytes').toFixed(0)}, ${mean(0.4, 0.6, 'mebibytes').toFixed(0)}, ${mean(0.6, 0.8, 'mebibytes').toFixed(0)}, ${mean(0.8, 1, 'mebibytes').toFixed(0)} MiB by fifths; descriptors ${mean(0.2, 0.4, 'descriptors').toFixed(1)} -> ${mean(0.8, 1, 'descriptors').toFixed(1)}`);
  expect(growth).toBeLessThan(MOST_GROWTH_MEBIBYTES);
  expect(sample().descriptors, 'descriptors after all associations are closed').toBeLessThanOrEqual(mean(0.2, 0.4, 'descriptors') + 5);
}, 120_000 + COUNT * 100);

/** Data sets share an association until the gateway ends it; everything else gets one of its own. */
async function lane(take: () => number | undefined): Promise<void> {
  let shared: BytePeer | undefined;
  for (let number = take(); number !== undefined; number = take()) {
    const mutated = mutation(number);
    try {
      if (mutated.kind === 'data set') shared = await store(shared ?? await BytePeer.associate(gateway.ports.dicom, { contexts }), mutated);
      else await alone(mutated);
    } catch (error) { throw new Error(`mutation ${number} (${mutated.kind}): ${error instanceof Error ? error.message : String(error)}`, { cause: error }); }
  }
  shared?.send(releaseRequest);
  await shared?.ended();
}

async function store(peer: BytePeer, { pdus, sopInstanceUid, sha256 }: Extract<Mutation, { kind: 'data set' }>): Promise<BytePeer | undefined> {
  peer.send(pdus);
  const { status } = await within(peer.readResponse(), 'no answer to the C-STORE');
  if (!statuses.has(status)) throw new Error(`status ${status.toString(16)} is none that the conformance statement names`);
  note(status.toString(16).padStart(4, '0'));
  if (status === 0) stored.set(sopInstanceUid, sha256);
  return peer;
}

/** Whatever is answered, the connection ends by the gateway's timers at the latest. */
async function alone({ kind, pdus }: Mutation): Promise<void> {
  const peer = kind === 'association request' ? await BytePeer.connect(gateway.ports.dicom) : await BytePeer.associate(gateway.ports.dicom, { contexts });
  peer.send(pdus);
  peer.socket.end();
  await within(peer.ended(), 'the connection is left open');
  note(kind);
}

async function within<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => { timer = setTimeout(() => { reject(new Error(what)); }, 60_000); });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function expectWell(): Promise<void> {
  const peer = await BytePeer.associate(gateway.ports.dicom, { contexts: [verificationContext, contexts[0]!].map((context, index) => ({ ...context, id: 2 * index + 1 })) });
  peer.send(pData(pdv(1, 3, echoCommand())));
  expect((await peer.readResponse()).status).toBe(0);
  peer.send(storePdus('1.2.3.4.5', ctDataset('1.2.3.4.5')));
  expect((await peer.readResponse()).status).toBe(0);
  peer.send(releaseRequest);
  await peer.ended();
}

async function expectNothingLost(): Promise<void> {
  const rows = await db.asOwner<{ sop_instance_uid: string; sha256: string }>('SELECT sop_instance_uid, sha256 FROM scan_files');
  const held = new Set(rows.map((row) => `${row.sop_instance_uid} ${row.sha256}`));
  const lost = [...stored].filter(([uid, sha256]) => !held.has(`${uid} ${sha256}`));
  expect(lost.slice(0, 10)).toEqual([]);
}

const storage = (): string => path.join(home, 'storage');
const files = (folder: string): string[] => readdirSync(path.join(storage(), folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
function unfinishedFiles(): string[] { return files('incoming'); }

/** Names are the gateway's own, in the store alone; the preamble is empty, whatever was sent. */
function expectSafeFiles(): void {
  expect(readdirSync(storage()).toSorted().filter((name) => !['incoming', 'objects', 'orphans'].includes(name))).toEqual([]);
  const all = files('objects');
  expect(all.filter((file) => !/\/objects\/\d{4}\/\d\d\/\d\d\/\d\d\/[0-9a-f-]{36}\.dcm$/.test(file))).toEqual([]);
  const step = Math.ceil(all.length / 500);
  for (let index = 0; index < all.length; index += step) {
    const head = readFileSync(all[index]!).subarray(0, 132);
    expect([head.subarray(0, 128).every((byte) => byte === 0), head.toString('latin1', 128)]).toEqual([true, 'DICM']);
  }
}

function sample(): { mebibytes: number; descriptors: number } {
  const status = readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8');
  return { mebibytes: Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1024, descriptors: readdirSync(`/proc/${gateway.child.pid}/fd`).length };
}
