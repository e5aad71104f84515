/**
 * A large multi-frame object by C-STORE at flat memory: the gateway's resident set, sampled from /proc while the object arrives, may grow by
 * 64 MiB at most. 256 MiB by default, 1 GiB with MEDSCAN_LARGE=1.
 */
import { createReadStream, existsSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';
import { streamObject } from '../support/streaming-store.ts';

const MEBIBYTES = process.env['MEDSCAN_LARGE'] === '1' ? 1024 : 256;
const MOST_GROWTH_MEBIBYTES = 64;
const canSeeMemory = existsSync('/proc/self/status');
if (!canSeeMemory) console.log('skipped: there is no /proc to read the gateway\'s memory from');
const multiframe = '1.2.840.10008.5.1.4.1.1.7.2';

let db: TestDatabase;
let home: string;
let gateway: GatewayProcess;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-large-'));
  await insertIntegration(db, 'Large Hospital', 'PACS', 'dicom-dimse');
  gateway = await startGatewayProcess({ DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') });
});
afterAll(async () => {
  await gateway?.stop();
  await db?.drop();
  await rm(home, { recursive: true, force: true });
});

test.skipIf(!canSeeMemory)(`an object of ${MEBIBYTES} MiB is stored with Success while the gateway grows by at most ${MOST_GROWTH_MEBIBYTES} MiB`, async () => {
  const target = { host: '127.0.0.1', port: gateway.ports.dicom, callingAeTitle: 'LARGE', calledAeTitle: 'MEDSCAN' };
  for (const turn of [1, 2, 3]) expect((await streamObject(objectOf(4, `1.2.826.0.1.3680043.8.498.900.${turn}`), target)).status, 'warm-up').toBe(0);
  const before = await residentMebibytes();
  let most = before;
  const sampling = setInterval(() => { void residentMebibytes().then((now) => { most = Math.max(most, now); }); }, 25);
  const started = performance.now();
  const sent = await streamObject(objectOf(MEBIBYTES, '1.2.826.0.1.3680043.8.498.901'), target).finally(() => clearInterval(sampling));
  const seconds = (performance.now() - started) / 1000;
  most = Math.max(most, await residentMebibytes());
  console.log(`${MEBIBYTES} MiB in ${seconds.toFixed(1)} s (${Math.round(MEBIBYTES / seconds)} MiB/s); resident ${before.toFixed(0)} MiB before, ${most.toFixed(0)} MiB at most: +${(most - before).toFixed(0)} MiB`);
  expect(sent.status).toBe(0);
  expect(most - before).toBeLessThanOrEqual(MOST_GROWTH_MEBIBYTES);

  const [row] = await db.asOwner<{ sha256: string; byte_size: string; number_of_frames: number; storage_location: string; dataset_offset: number }>("SELECT * FROM scan_files WHERE sop_instance_uid = '1.2.826.0.1.3680043.8.498.901'");
  expect(row).toMatchObject({ sha256: sent.sha256, number_of_frames: MEBIBYTES * 4 });
  expect(Number(row!.byte_size)).toBe(sent.byteLength);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path.join(home, 'storage', row!.storage_location), { start: row!.dataset_offset })) hash.update(chunk as Buffer);
  expect(hash.digest('hex')).toBe(sent.sha256);
  const exchanges = await db.asOwner("SELECT message_status, sha256 FROM sync_logs l WHERE control_id = '1.2.826.0.1.3680043.8.498.901' AND EXISTS (SELECT FROM audit_logs a WHERE a.sync_id = l.sync_id)");
  expect(exchanges).toEqual([{ message_status: 'accepted', sha256: sent.sha256 }]);
}, 180_000);

/** Frames of 512 x 512 bytes: four make a MiB. */
function objectOf(mebibytes: number, sopInstanceUid: string) {
  return {
    sopClassUid: multiframe, sopInstanceUid,
    * chunks(): Generator<Buffer> {
      const header = encodeDataset({
        '(0008,0016)': multiframe, '(0008,0018)': sopInstanceUid, '(0008,0060)': 'OT', '(0010,0010)': 'LARGE^TEST', '(0010,0020)': 'LARGE-1', '(0020,000D)': `${sopInstanceUid}.1`, '(0020,000E)': `${sopInstanceUid}.2`,
        '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2', '(0028,0008)': String(mebibytes * 4), '(0028,0010)': 512, '(0028,0011)': 512, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0,
      });
      const pixelData = Buffer.alloc(12);
      Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x42]).copy(pixelData);
      pixelData.writeUInt32LE(mebibytes * 1024 * 1024, 8);
      yield Buffer.concat([header, pixelData]);
      // A maximum length of 16 KiB is what every acceptor takes.
      for (let index = 0; index < mebibytes * 128; index += 1) yield Buffer.alloc(8192, index % 251);
    },
  };
}

async function residentMebibytes(): Promise<number> {
  const status = await readFile(`/proc/${gateway.child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1024;
}
