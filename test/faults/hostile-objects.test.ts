/** Single objects that are made to do harm: each is stored or refused with a status of the conformance statement, at flat memory, and the next sender waits for nothing. */
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { constants, deflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BytePeer, ctDataset, ctImageStorage, echoCommand, pData, pdv, releaseRequest, storePdus, verificationContext } from '#adapters/dicom-dimse/testing/peer.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';

let db: TestDatabase, home: string, gateway: GatewayProcess;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-hostile-'));
  await insertIntegration(db, 'Hostile Hospital', 'PACS', 'dicom-dimse');
  gateway = await startGatewayProcess({ DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') });
});
afterAll(async () => {
  await gateway?.stop();
  await db?.drop();
  await rm(home, { recursive: true, force: true });
});

const deflated = '1.2.840.10008.1.2.1.99', explicit = '1.2.840.10008.1.2.1';
async function store(uid: string, dataset: Buffer, transferSyntax = explicit): Promise<number> {
  const peer = await BytePeer.associate(gateway.ports.dicom, { contexts: [{ id: 3, abstractSyntax: ctImageStorage, transferSyntaxes: [transferSyntax] }] });
  peer.send(storePdus(uid, dataset));
  const { status } = await peer.readResponse();
  peer.send(releaseRequest);
  await peer.ended();
  return status;
}
const residentMebibytes = (): number | undefined => (existsSync(`/proc/${gateway.child.pid}/status`) ? Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8'))![1]) / 1024 : undefined);

/** What the gateway's main thread took of the processor so far, in milliseconds; the clock on the wall where there is no /proc. It counts in hundredths of a second. */
function busyMilliseconds(): number {
  const file = `/proc/${gateway.child.pid}/task/${gateway.child.pid}/stat`;
  if (!existsSync(file)) return performance.now();
  const text = readFileSync(file, 'utf8'), [user, system] = text.slice(text.lastIndexOf(')') + 2).split(' ').slice(11, 13).map(Number) as [number, number];
  return (user + system) * 10;
}

/** Resolves to how long the gateway was at work at most while a C-ECHO waited, as long as `work` ran. */
async function slowestEchoDuring(work: Promise<unknown>): Promise<number> {
  const peer = await BytePeer.associate(gateway.ports.dicom, { contexts: [verificationContext], calling: 'BYSTANDER' });
  let isOver = false, slowest = 0, id = 0;
  void work.finally(() => { isOver = true; }).catch(() => undefined);
  while (!isOver) {
    const started = busyMilliseconds();
    peer.send(pData(pdv(1, 3, echoCommand(++id))));
    await peer.readResponse();
    slowest = Math.max(slowest, busyMilliseconds() - started);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  peer.close();
  return slowest;
}

test.each([['after the identifiers', true], ['before them', false]])('a deflate bomb of a gigabyte %s grows nothing and blocks nobody', async (_title, identified) => {
  const uid = `1.2.826.0.1.3680043.10.99.70.${Number(identified)}`, head = ctDataset(uid, 2);
  // (0009,1001) OB, or Pixel Data, of a gigabyte of zeros: a megabyte on the wire.
  const bomb = Buffer.alloc(12);
  Buffer.from(identified ? [0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x42] : [0x09, 0x00, 0x01, 0x10, 0x4f, 0x42]).copy(bomb);
  bomb.writeUInt32LE(2 ** 30 - 2, 8);
  const zeros = deflateRawSync(Buffer.alloc(2 ** 27), { level: 9, finishFlush: constants.Z_FULL_FLUSH });
  const start = deflateRawSync(identified ? Buffer.concat([head.subarray(0, head.length - 14), bomb]) : bomb, { finishFlush: constants.Z_FULL_FLUSH });
  const dataset = Buffer.concat([start, ...Array<Buffer>(8).fill(zeros)]);
  expect(dataset.length).toBeLessThan(2 * 2 ** 20);
  const before = residentMebibytes() ?? 0;
  const storing = store(uid, dataset, deflated);
  const slowest = await slowestEchoDuring(storing);
  expect([0x0000, 0xc000]).toContain(await storing);
  // A quarter of what it would inflate to; what the allocator keeps depends on when the collector found time.
  expect((residentMebibytes() ?? 0) - before).toBeLessThan(256);
  expect(slowest, 'milliseconds of work that a C-ECHO waited for').toBeLessThan(2_000);
});

test.each(['../../../../tmp/evil', '..\\..\\evil', '/etc/passwd', 'CON', '1.2.3/../../x', `1.${'2'.repeat(70)}`])('the UID %s never becomes a path', async (uid) => {
  const status = await store(uid.slice(0, 64), ctDataset('1.2.3', 64).fill(0x2e, 40, 44));
  expect([0xc000, 0xa900, 0x0110]).toContain(status);
  const dataset = ctDataset('1.2.826.0.1.3680043.10.99.71', 64);
  const at = dataset.indexOf('1.2.3.1.1');
  dataset.write('../../../x'.slice(0, 9), at, 'latin1'); // Series Instance UID
  expect([0x0000, 0xc000]).toContain(await store('1.2.826.0.1.3680043.10.99.71', dataset));
  expect(readdirSync(path.join(home, 'storage')).filter((name) => !['incoming', 'objects', 'orphans'].includes(name))).toEqual([]);
  for (const file of globSync('objects/**/*.*', { cwd: path.join(home, 'storage') })) expect(file).toMatch(/^objects\/\d{4}\/\d\d\/\d\d\/\d\d\/[0-9a-f-]{36}\.dcm$/);
});

test('a data set that begins like an executable, or like a file with one in its preamble, is stored behind an empty preamble', async () => {
  const statuses = [];
  for (const magic of ['MZ', '\x7fELF', '#!/bin/sh\n', '<script>']) {
    const dataset = ctDataset('1.2.826.0.1.3680043.10.99.72', 64);
    statuses.push(await store('1.2.826.0.1.3680043.10.99.72', Buffer.concat([Buffer.from(magic.padEnd(128, '\0'), 'latin1'), Buffer.from('DICM'), dataset])));
  }
  for (const status of statuses) expect([0x0000, 0xc000]).toContain(status);
  const files = globSync('objects/**/*.dcm', { cwd: path.join(home, 'storage') });
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) {
    const head = readFileSync(path.join(home, 'storage', file)).subarray(0, 132);
    expect([head.subarray(0, 128).every((byte) => byte === 0), head.toString('latin1', 128)]).toEqual([true, 'DICM']);
  }
});

test('sequences in sequences, 100,000 deep and of undefined length, are read in no time', async () => {
  const level = Buffer.from('08001511535100 00ffffffffFEFF00E0ffffffff'.replaceAll(' ', ''), 'hex');
  const dataset = Buffer.concat([ctDataset('1.2.826.0.1.3680043.10.99.73', 2).subarray(0, -14), ...Array<Buffer>(100_000).fill(level)]);
  const storing = store('1.2.826.0.1.3680043.10.99.73', dataset);
  const slowest = await slowestEchoDuring(storing);
  expect([0x0000, 0xc000]).toContain(await storing);
  expect(slowest, 'milliseconds of work that a C-ECHO waited for').toBeLessThan(2_000);
});

test('afterwards an ordinary object is stored, and nothing unfinished is left', async () => {
  expect(await store('1.2.826.0.1.3680043.10.99.79', ctDataset('1.2.826.0.1.3680043.10.99.79', 2048))).toBe(0);
  expect(globSync('incoming/*/*', { cwd: path.join(home, 'storage') })).toEqual([]);
});
