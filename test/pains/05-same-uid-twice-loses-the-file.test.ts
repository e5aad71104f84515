/**
 * "Instance file deleted when the same UID arrives twice": repeats, and stores of one UID at the same moment, lose or damage the file. Here the first
 * version stays in use with its bytes, a repeat changes nothing, other bytes under the same UID are kept beside it, and a person is told.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BytePeer, ctDataset, releaseRequest, storePdus } from '#adapters/dicom-dimse/testing/peer.ts';
import { testGateway, type TestGateway } from '../support/gateway.ts';
import { insertIntegration } from '../support/pipeline.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await testGateway({ MEDSCAN_QUIET_SECONDS: '300' });
  await insertIntegration(gateway.db, 'Repeating Hospital', 'PACS', 'dicom-dimse');
  await gateway.integrations.reload();
});
afterAll(() => gateway?.stop());

const uid = '1.2.826.0.1.3680043.10.99.55';
/** Pixel Data tells the versions apart; everything else is the same. */
function version(number: number): Buffer {
  const dataset = ctDataset(uid, 100_000);
  dataset.fill(number, dataset.length - 1000);
  return dataset;
}
async function store(dataset: Buffer): Promise<number> {
  const peer = await BytePeer.associate(gateway.ports.dicom!);
  peer.send(storePdus(uid, dataset));
  const { status } = await peer.readResponse();
  peer.send(releaseRequest);
  await peer.ended();
  return status;
}
interface Row { sha256: string; storage_location: string; dataset_offset: number; conflict_of: string | null }
async function held(): Promise<Row[]> {
  const rows = await gateway.db.asOwner<Row>('SELECT sha256, storage_location, dataset_offset, conflict_of FROM scan_files WHERE sop_instance_uid = $1 ORDER BY conflict_of NULLS FIRST, received_at', [uid]);
  for (const row of rows) {
    const bytes = await readFile(path.join(gateway.home, 'storage', row.storage_location));
    expect(createHash('sha256').update(bytes.subarray(row.dataset_offset)).digest('hex'), 'the file has the bytes that its row says').toBe(row.sha256);
  }
  return rows;
}

test('eight associations that store one UID at the same moment, in two versions, leave two whole files and one version in use', async () => {
  const statuses = await Promise.all(Array.from({ length: 8 }, (_, index) => store(version(index % 2))));
  expect(statuses).toEqual(Array(8).fill(0));
  const rows = await held();
  expect(rows).toHaveLength(2);
  expect(rows.map(({ conflict_of: conflict }) => conflict === null)).toEqual([true, false]);
  expect(new Set(rows.map(({ sha256 }) => sha256)).size).toBe(2);
});

test('repeats of both versions change nothing, and each file is still there', async () => {
  const before = await held();
  expect([await store(version(0)), await store(version(1)), await store(version(0))]).toEqual([0, 0, 0]);
  expect(await held()).toEqual(before);
});

test('a third version is kept too, and the conflict has an alert', async () => {
  expect(await store(version(2))).toBe(0);
  expect(await held()).toHaveLength(3);
  expect(await gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'instance_conflict' AND resolved_at IS NULL")).not.toHaveLength(0);
});
