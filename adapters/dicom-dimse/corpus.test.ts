/** Real objects that nobody of this project made, sent by C-STORE: kept byte for byte, and read from their head as from the whole file. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readHeader } from '#standards/dicom/header.ts';
import { corpusFiles } from '#standards/dicom/test/dcmtk.ts';
import { transferSyntaxOf } from '#standards/dicom/transfer-syntaxes.ts';
import type { TestGateway } from './testing/gateway.ts';
import { startGateway } from './testing/gateway.ts';
import { BytePeer, releaseRequest, storePdus } from './testing/peer.ts';

const files = corpusFiles();
if (files.length === 0) process.stderr.write('dicom-dimse: the corpus (MEDSCAN_CORPUS) is absent; its tests are skipped\n');

let gateway: TestGateway;
beforeAll(async () => { gateway = await startGateway(); });
afterAll(async () => { await gateway.close(); });

test.skipIf(files.length === 0)('the corpus has objects', () => { expect(files.length).toBeGreaterThan(20); });

test.skipIf(files.length === 0).each(files.map((file) => [basename(file), file]))('keeps %s as it is', async (_name, file) => {
  const bytes = readFileSync(file);
  const whole = readHeader(bytes);
  const { transferSyntaxUid, datasetOffset } = whole.part10;
  const uidOf = (tag: number, otherwise: string): string => whole.dataset.get(tag)?.bytes.toString('latin1').replace(/[\0 ]+$/, '') || otherwise;
  const sopClass = uidOf(0x00080016, '1.2.3.4'), sopInstance = uidOf(0x00080018, '1.2.3.5');
  const peer = await BytePeer.associate(gateway.port, { contexts: [{ id: 1, abstractSyntax: sopClass, transferSyntaxes: [transferSyntaxUid] }] });
  const before = gateway.received.length;
  peer.send(storePdus(sopInstance, bytes.subarray(datasetOffset), { contextId: 1, sopClass, fragmentLength: 4000 }));
  const answer = await peer.read();
  peer.send(releaseRequest);
  await peer.ended();
  if (answer?.type === 7) { // a directory or another object that is not for storage: its context was refused
    expect(gateway.received.slice(before)[0]).toMatchObject({ message: { interaction: 'A-ASSOCIATE' }, refusal: { reason: 'unsupported' } });
    return;
  }
  const { message, refusal } = gateway.received[before]!;
  expect(refusal).toBeUndefined();
  const stored = readFileSync(join(gateway.directory, message.object!.location));
  expect(stored.subarray(message.facts['datasetOffset'] as number).equals(bytes.subarray(datasetOffset))).toBe(true);
  expect(stored.subarray(0, message.head.length).equals(message.head)).toBe(true);
  const head = readHeader(message.head);
  expect([...head.dataset.keys()]).toEqual([...whole.dataset.keys()]);
  // Pixel data of a few bytes are no longer than the head of an element that has to be looked at.
  if (whole.hasPixelData && stored.length > 4096 && !whole.part10.warnings.length && !transferSyntaxOf(transferSyntaxUid).deflated) expect(message.head.length).toBeLessThan(stored.length);
});
