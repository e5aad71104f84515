/**
 * A large object by STOW-RS and back by WADO-RS at flat memory: the gateway's resident set, sampled from /proc while the object arrives and
 * while it leaves, may grow by 64 MiB at most. 200 MiB by default, 1 GiB with MEDSCAN_LARGE=1.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { testDatabase, type TestDatabase } from '../../test/support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../../test/support/gateway-process.ts';
import { insertIntegration } from '../../test/support/pipeline.ts';
import { boundary, DicomwebTestClient, relatedType } from './testing/client.ts';
import { multiframe, object, root } from './testing/objects.ts';

const MEBIBYTES = process.env['MEDSCAN_LARGE'] === '1' ? 1024 : 200;
const MOST_GROWTH_MEBIBYTES = 64;
const canSeeMemory = existsSync('/proc/self/status');
if (!canSeeMemory) process.stderr.write('skipped: there is no /proc to read the gateway\'s memory from\n');

let db: TestDatabase, home: string, gateway: GatewayProcess, client: DicomwebTestClient, token: string;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-large-web-'));
  await insertIntegration(db, 'Large Hospital', 'VNA', 'dicomweb');
  await db.asOwner('UPDATE external_integrations SET settings = \'{"allow_retrieve": true}\'');
  gateway = await startGatewayProcess({ DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway,api', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') });
  ({ token } = await createApiToken(db.database, { organizationName: 'Large Hospital', role: 'service', name: 'large' }));
  client = new DicomwebTestClient(gateway.ports.http, token);
});
afterAll(async () => {
  await gateway?.stop();
  await db?.drop();
  await rm(home, { recursive: true, force: true });
});

test.skipIf(!canSeeMemory)(`an object of ${MEBIBYTES} MiB comes and goes while the gateway grows by at most ${MOST_GROWTH_MEBIBYTES} MiB`, async () => {
  for (const turn of [1, 2, 3]) {
    expect((await client.stream('/studies', { 'content-type': relatedType }, largeBody(8, `${root}.900.${turn}`, createHash('sha256')))).status, 'warm-up').toBe(200);
    await retrieve(`${root}.900.${turn}`);
  }
  const uid = `${root}.901`, sent = createHash('sha256');
  const stored = await growthDuring(() => client.stream('/studies', { 'content-type': relatedType }, largeBody(MEBIBYTES, uid, sent)));
  expect(stored.result.status).toBe(200);
  expect(JSON.parse(stored.result.text)['00081199'].Value[0]['00081155'].Value).toEqual([uid]);
  const retrieved = await growthDuring(() => retrieve(uid));
  const frame = await growthDuring(() => client.get(`${instanceOf(uid)}/frames/${MEBIBYTES * 4}`));
  process.stdout.write(`${MEBIBYTES} MiB: stored in ${stored.seconds.toFixed(1)} s (+${stored.growth.toFixed(0)} MiB), retrieved in ${retrieved.seconds.toFixed(1)} s (+${retrieved.growth.toFixed(0)} MiB), last frame in ${frame.seconds.toFixed(1)} s (+${frame.growth.toFixed(0)} MiB)\n`);
  expect(retrieved.result).toBe(sent.digest('hex'));
  expect([frame.result.status, frame.result.body.includes(Buffer.alloc(8192, (MEBIBYTES * 128 - 1) % 251))]).toEqual([200, true]);
  expect(Math.max(stored.growth, retrieved.growth, frame.growth)).toBeLessThanOrEqual(MOST_GROWTH_MEBIBYTES);
}, 240_000);

const instanceOf = (uid: string): string => `/studies/${uid}.1/series/${uid}.2/instances/${uid}`;

/** Frames of 512 x 512 bytes: four make a MiB. The data set goes into the hash. */
function* largeBody(mebibytes: number, uid: string, hash: ReturnType<typeof createHash>): Generator<Buffer> {
  const head = Buffer.from('e07f10004f42000000000000', 'hex');
  head.writeUInt32LE(mebibytes * 1024 * 1024, 8);
  const { file, dataset } = object({
    '(0008,0016)': multiframe, '(0008,0018)': uid, '(0020,000d)': `${uid}.1`, '(0020,000e)': `${uid}.2`, '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2', '(0028,0008)': String(mebibytes * 4), '(0028,0010)': 512, '(0028,0011)': 512,
    '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0,
  }, { pixelData: head });
  hash.update(dataset);
  yield Buffer.concat([Buffer.from(`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`), file]);
  for (let index = 0; index < mebibytes * 128; index += 1) {
    const chunk = Buffer.alloc(8192, index % 251);
    hash.update(chunk);
    yield chunk;
  }
  yield Buffer.from(`\r\n--${boundary}--\r\n`);
}

/** SHA-256 of the data set of an instance, read as it comes. */
async function retrieve(uid: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  request(`${client.base}${instanceOf(uid)}`, { headers: { authorization: `Bearer ${token}`, accept: 'application/dicom' } }, (response) => {
    const hash = createHash('sha256');
    const offset = object({ '(0008,0016)': multiframe, '(0008,0018)': uid });
    let toSkip = offset.file.length - offset.dataset.length;
    response.on('data', (chunk: Buffer) => {
      const skipped = Math.min(toSkip, chunk.length);
      toSkip -= skipped;
      hash.update(chunk.subarray(skipped));
    }).once('end', () => resolve(hash.digest('hex'))).once('error', reject);
  }).once('error', reject).end();
  return promise;
}

async function growthDuring<T>(work: () => Promise<T>): Promise<{ result: T; growth: number; seconds: number }> {
  const before = await residentMebibytes(), started = performance.now();
  let most = before;
  const sampling = setInterval(() => { void residentMebibytes().then((now) => { most = Math.max(most, now); }); }, 25);
  const result = await work().finally(() => clearInterval(sampling));
  most = Math.max(most, await residentMebibytes());
  return { result, growth: most - before, seconds: (performance.now() - started) / 1000 };
}

async function residentMebibytes(): Promise<number> {
  return Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${gateway.child.pid}/status`, 'utf8'))![1]) / 1024;
}
