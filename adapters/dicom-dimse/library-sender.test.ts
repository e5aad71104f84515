/** dcmjs-dimse's own Client as the sender, and an object larger than what the gateway may hold of it. */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { liveBufferBytes } from '../../test/support/live-memory.ts';
import { configSchema } from './config.ts';
import type { TestGateway } from './testing/gateway.ts';
import { startGateway } from './testing/gateway.ts';
import { BytePeer, ctDataset, ctImageStorage, explicitLittleEndian, implicitLittleEndian, pData, pdv, storeCommand } from './testing/peer.ts';
import { ask } from './upper-layer/dimse-scu.ts';

let gateway: TestGateway;
afterEach(async () => { await gateway.close(); });
const destinationOf = ({ port }: TestGateway) => configSchema.parse({ destination: { host: '127.0.0.1', port, called_ae_title: 'MEDSCAN', calling_ae_title: 'LIBRARY' } }).destination!;
const signal = new AbortController().signal;

test('takes what dcmjs-dimse sends, byte for byte, and answers its C-ECHO', async () => {
  gateway = await startGateway();
  const dataset = ctDataset('1.2.3.4', 400_000);
  expect((await ask(destinationOf(gateway), 'C-ECHO', signal)).outcome).toMatchObject({ kind: 'answered', status: 0 });
  const { outcome } = await ask(destinationOf(gateway), { sopClassUid: ctImageStorage, sopInstanceUid: '1.2.3.4', encodings: new Map([[explicitLittleEndian, dataset], [implicitLittleEndian, dataset]]) }, signal);
  expect(outcome).toEqual({ kind: 'answered', status: 0, errorComment: '', transferSyntaxUid: explicitLittleEndian });
  const { message } = gateway.received[0]!;
  expect(message.peer.application).toBe('LIBRARY');
  expect(readFileSync(join(gateway.directory, message.object!.location)).subarray(message.facts['datasetOffset'] as number).equals(dataset)).toBe(true);
});

test('tells the library why an object was refused', async () => {
  gateway = await startGateway({ receipt: () => ({ kind: 'rejected', reason: 'invalid', text: 'Study Instance UID (0020,000d) is missing', location: '(0020,000d)' }) });
  const { outcome } = await ask(destinationOf(gateway), { sopClassUid: ctImageStorage, sopInstanceUid: '1.2.3.4', encodings: new Map([[explicitLittleEndian, ctDataset('1.2.3.4')]]) }, signal);
  expect(outcome).toMatchObject({ kind: 'answered', status: 0xc000, errorComment: 'Study Instance UID (0020,000d) is missing' });
});

test('takes an object of 128 MiB without holding it', async () => {
  gateway = await startGateway();
  const peer = await BytePeer.associate(gateway.port);
  const head = ctDataset('1.2.3.4', 0), fragment = Buffer.alloc(65_536, 0x5a), fragments = 2048;
  head.writeUInt32LE(fragment.length * fragments, head.length - 4);
  const expected = createHash('sha256').update(head);
  const middle = pData(pdv(3, 0, fragment)), last = pData(pdv(3, 2, fragment));
  const before = liveBufferBytes();
  let most = 0;
  peer.send(pData(pdv(3, 3, storeCommand('1.2.3.4'))));
  peer.send(pData(pdv(3, 0, head)));
  for (let index = 0; index < fragments; index++) {
    expected.update(fragment);
    await new Promise<void>((resolve) => { peer.socket.write(index === fragments - 1 ? last : middle, () => { resolve(); }); });
    if (index % 64 === 0) most = Math.max(most, liveBufferBytes() - before);
  }
  expect((await peer.readResponse()).status).toBe(0);
  const { message } = gateway.received[0]!;
  expect(message.sha256).toBe(expected.digest('hex'));
  expect(message.head.length).toBeLessThan(1000);
  expect(most, 'what waits for the disk and on its way through the sockets, whatever the size of the object').toBeLessThan(16 * 1024 * 1024);
  const stored = createHash('sha256');
  for await (const chunk of createReadStream(join(gateway.directory, message.object!.location), { start: message.facts['datasetOffset'] as number })) stored.update(chunk as Buffer);
  expect(stored.digest('hex')).toBe(message.sha256);
});
