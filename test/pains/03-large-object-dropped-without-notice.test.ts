/**
 * "Large DICOM takes excessive memory", "433 MB object just dropped without notification": here a large object passes a gateway whose heap is smaller than
 * the object, byte for byte; and one that is larger than its integration allows ends in an abort that names the setting, for the sender and on record.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BytePeer, ctDataset, ctImageStorage, pData, pdv, storeCommand } from '#adapters/dicom-dimse/testing/peer.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/gateway.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';
import { streamObject } from '../support/streaming-store.ts';

const MEBIBYTES = 160;
const HEAP_MEBIBYTES = 96;
let db: TestDatabase, home: string, gateway: GatewayProcess;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-large-'));
  await insertIntegration(db, 'Large Hospital', 'PACS', 'dicom-dimse');
  await db.asOwner(`UPDATE external_integrations SET settings = '{"maximum_object_megabytes": 200}'`);
  gateway = await startGatewayProcess({ DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'), NODE_OPTIONS: `--max-old-space-size=${HEAP_MEBIBYTES}` });
});
afterAll(async () => {
  await gateway?.stop();
  await db?.drop();
  await rm(home, { recursive: true, force: true });
});

const target = () => ({ host: '127.0.0.1', port: gateway.ports.dicom, callingAeTitle: 'LARGE', calledAeTitle: 'MEDSCAN' });
function objectOf(sopInstanceUid: string, mebibytes: number) {
  return {
    sopClassUid: ctImageStorage, sopInstanceUid,
    * chunks(): Generator<Buffer> {
      const dataset = ctDataset(sopInstanceUid, 2);
      const head = Buffer.from(dataset.subarray(0, dataset.length - 2));
      head.writeUInt32LE(mebibytes * 1024 * 1024, head.length - 4);
      yield head;
      for (let index = 0; index < mebibytes * 128; index += 1) yield Buffer.alloc(8192, index % 251);
    },
  };
}

test(`an object of ${MEBIBYTES} MiB passes a gateway with a heap of ${HEAP_MEBIBYTES} MiB, byte for byte`, async () => {
  const sent = await streamObject(objectOf('1.2.826.0.1.3680043.10.99.31', MEBIBYTES), target());
  expect(sent.status).toBe(0);
  const [row] = await db.asOwner<{ storage_location: string; dataset_offset: number }>("SELECT storage_location, dataset_offset FROM scan_files WHERE sop_instance_uid = '1.2.826.0.1.3680043.10.99.31'");
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path.join(home, 'storage', row!.storage_location), { start: row!.dataset_offset })) hash.update(chunk as Buffer);
  expect(hash.digest('hex')).toBe(sent.sha256);
  expect(gateway.child.exitCode).toBeNull();
});

test('an object over the limit is not dropped in silence: the association ends, and exchange and association log name the setting', async () => {
  const peer = await BytePeer.associate(gateway.ports.dicom, { calling: 'LARGE' });
  let answer: { type: number } | undefined;
  const answered = peer.read().then((pdu) => { answer = pdu ?? { type: 0 }; });
  peer.send(pData(pdv(3, 3, storeCommand('1.2.826.0.1.3680043.10.99.32'))));
  for (const chunk of objectOf('1.2.826.0.1.3680043.10.99.32', 220).chunks()) {
    if (answer) break;
    if (!peer.socket.write(pData(pdv(3, 0, chunk)))) await Promise.race([once(peer.socket, 'drain'), answered]);
  }
  await answered;
  expect(answer, 'A-ABORT').toMatchObject({ type: 7 });
  const [exchange] = await eventually(async () => {
    const rows = await db.asOwner<{ message_status: string; error_text: string; answer_code: string | null }>("SELECT message_status, error_text, answer_code FROM sync_logs WHERE control_id = '1.2.826.0.1.3680043.10.99.32'");
    return rows[0]?.answer_code ? rows : undefined;
  });
  expect(exchange).toEqual({ message_status: 'rejected', error_text: 'the object is larger than 200 MiB (setting maximum_object_megabytes)', answer_code: 'A-ABORT' });
  const [association] = await eventually(async () => {
    const rows = await db.asOwner<{ outcome: string; reason: string; advice: string }>("SELECT outcome, reason, advice FROM association_logs WHERE calling_ae_title = 'LARGE' AND outcome <> 'released'");
    return rows.length > 0 && rows;
  });
  expect(association).toEqual({ outcome: 'aborted-by-gateway', reason: expect.stringContaining('200 MiB'), advice: expect.stringContaining('maximum_object_megabytes') });
  expect(await db.asOwner("SELECT FROM scan_files WHERE sop_instance_uid = '1.2.826.0.1.3680043.10.99.32'")).toEqual([]);
});
