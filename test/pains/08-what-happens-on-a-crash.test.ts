/**
 * A buyer asks: "What happens on a crash or an outage, how was it tested?" The answer is docs/guarantees.md. Here its sentences are held to the code (every
 * step that can be killed is named, every test that it names exists), and the gateway is killed at random moments under load, as a power cut would.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { sha256Of } from '../../src/simulator/ledger.ts';
import type { SendableObject } from '../../src/simulator/part10-file.ts';
import { storeObjects } from '../../src/simulator/store-scu.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';

const root = path.join(import.meta.dirname, '../..');
const page = readFileSync(path.join(root, 'docs/guarantees.md'), 'utf8');
/** MEDSCAN_RANDOM_KILLS kills; 3 with every run. */
const KILLS = Number(process.env['MEDSCAN_RANDOM_KILLS'] ?? 3);
const SENDERS = 4;

test('the published page names every step at which the gateway is killed, and no other', () => {
  const inCode = new Set(globSync('{src,adapters}/**/*.ts', { cwd: root }).flatMap((file) => [...readFileSync(path.join(root, file), 'utf8').matchAll(/\bfailpoint\('([\w.]+)'\)/g)].map(([, name]) => name!)));
  const onPage = new Set([...page.matchAll(/`((?:cstore|store|persist|writes|hl7|stow|folder|analyze|report|deliver)\.\w+)`/g)].map(([, name]) => name!));
  expect(inCode.size).toBeGreaterThan(15);
  expect([...onPage].toSorted()).toEqual([...inCode].toSorted());
});

test('every test that the page calls a proof exists', () => {
  const named = [...page.matchAll(/`((?:test|adapters|src)\/[\w./-]+\.ts)`/g)].map(([, file]) => file!);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((file) => !existsSync(path.join(root, file)))).toEqual([]);
});

let db: TestDatabase, home: string;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-kills-'));
  await insertIntegration(db, 'Crash Hospital', 'PACS', 'dicom-dimse');
});
afterAll(async () => {
  await db?.drop();
  await rm(home, { recursive: true, force: true });
});
const start = (): Promise<GatewayProcess> => startGatewayProcess({ DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') });

let made = 0;
function newObject(study: number): SendableObject {
  const sopInstanceUid = `1.2.826.0.1.3680043.10.99.80.${++made}`, sopClassUid = '1.2.840.10008.5.1.4.1.1.7';
  const dataset = encodeDataset({
    '(0008,0016)': sopClassUid, '(0008,0018)': sopInstanceUid, '(0008,0060)': 'OT', '(0010,0010)': 'CRASH^TEST', '(0010,0020)': `CRASH-${study % 3}`,
    '(0020,000D)': `1.2.826.0.1.3680043.10.99.81.${study}`, '(0020,000E)': `1.2.826.0.1.3680043.10.99.82.${study}`, '(0020,0013)': made % 1000, '(7FE0,0010)': { vr: 'OB', value: Buffer.alloc(20_000, made) },
  });
  return { sopClassUid, sopInstanceUid, transferSyntaxUid: '1.2.840.10008.1.2.1', dataset };
}

test(`kill -9 at ${KILLS} random moments while ${SENDERS} senders send: what was answered with Success is there, once`, async () => {
  const objects: SendableObject[] = [], told = new Map<string, string>();
  const send = (gateway: GatewayProcess, batch: readonly SendableObject[]) => storeObjects(batch, { host: '127.0.0.1', port: gateway.ports.dicom, callingAeTitle: 'CRASH', calledAeTitle: 'MEDSCAN' }, {
    answered: ({ sopInstanceUid, status }) => { if (status === 0) told.set(sopInstanceUid, sha256Of(batch.find((object) => object.sopInstanceUid === sopInstanceUid)!.dataset)); },
  });
  let acknowledgedBeforeKills = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const gateway = await start();
    const batches = Array.from({ length: SENDERS }, (_, sender) => Array.from({ length: 60 }, () => newObject(kill * SENDERS + sender)));
    objects.push(...batches.flat());
    const before = told.size;
    const sending = Promise.all(batches.map((batch) => send(gateway, batch)));
    // From the first answer on, so that the machine's speed does not decide what is hit.
    while (told.size === before && gateway.child.exitCode === null) await new Promise((resolve) => { setTimeout(resolve, 2); });
    await new Promise((resolve) => { setTimeout(resolve, Math.random() * 400); });
    gateway.child.kill('SIGKILL');
    expect(await gateway.ended).toBe('SIGKILL');
    await sending;
    acknowledgedBeforeKills += told.size - before;
  }
  const rows = () => db.asOwner<{ sop_instance_uid: string; sha256: string }>('SELECT sop_instance_uid, sha256 FROM scan_files');
  const held = new Map((await rows()).map((row) => [row.sop_instance_uid, row.sha256]));
  expect([...told].filter(([uid, sha256]) => held.get(uid) !== sha256), 'lost').toEqual([]);
  const gateway = await start();
  const again = (await Promise.all(Array.from({ length: SENDERS }, (_, sender) => send(gateway, objects.filter((_object, index) => index % SENDERS === sender))))).flat();
  await gateway.stop();
  expect(again.filter(({ status }) => status !== 0)).toEqual([]);
  expect(await rows(), 'stored once each, after everything was sent again').toHaveLength(objects.length);
  const perScan = await db.asOwner<{ wrong: number }>('SELECT count(*)::int AS wrong FROM scans s WHERE instance_count <> (SELECT count(*) FROM scan_files f WHERE f.scan_id = s.scan_id)');
  expect(perScan).toEqual([{ wrong: 0 }]);
  console.log(`${KILLS} random kills, ${objects.length} objects, ${acknowledgedBeforeKills} acknowledged before a kill; lost 0, doubled 0`);
}, 120_000 + KILLS * 60_000);
