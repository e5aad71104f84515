import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { ReceiptBody } from '#gateway/adapter.ts';
import { parsePart10Head } from '#standards/dicom/part10.ts';
import type { TestGateway, TestGatewayOptions } from './testing/gateway.ts';
import { integration, startGateway } from './testing/gateway.ts';
import { BytePeer, command, ctContext, ctDataset, ctImageStorage, explicitLittleEndian, pData, pdv, releaseRequest, storeCommand, storePdus } from './testing/peer.ts';
import { encodeStoreRequest } from './upper-layer/command-set.ts';

let gateway: TestGateway;
afterEach(async () => { await gateway.close(); });
const start = async (options: TestGatewayOptions = {}): Promise<TestGateway> => { gateway = await startGateway(options); return gateway; };

test('stores the data set as it came behind a preamble and group 0002, and answers 0000 after receive', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  const dataset = ctDataset('1.2.3.4.5', 100_000);
  peer.send(storePdus('1.2.3.4.5', dataset));
  expect(await peer.readResponse()).toEqual({ field: 0x8001, messageId: 1, status: 0, comment: '' });
  peer.send(releaseRequest);
  expect((await peer.read())?.type).toBe(6);
  await gateway.answered(1);
  const [entry] = gateway.received;
  const message = entry!.message;
  expect(entry!.answered).toEqual({ code: '0000', heard: true });
  expect(message).toMatchObject({
    interaction: 'C-STORE', controlId: '1.2.3.4.5', byteSize: dataset.length, sha256: createHash('sha256').update(dataset).digest('hex'),
    facts: { sopClassUid: ctImageStorage, sopInstanceUid: '1.2.3.4.5', transferSyntaxUid: explicitLittleEndian, callingAeTitle: 'CT1', calledAeTitle: 'MEDSCAN', messageId: 1, implementationVersionName: 'BYTES_1' },
    peer: { address: '127.0.0.1', application: 'CT1' },
  });
  const stored = readFileSync(join(gateway.directory, message.object!.location));
  const offset = message.facts['datasetOffset'] as number;
  expect(stored.subarray(offset).equals(dataset)).toBe(true);
  expect(message.object!.byteSize).toBe(stored.length);
  expect(parsePart10Head(stored)).toMatchObject({ datasetOffset: offset, transferSyntaxUid: explicitLittleEndian, sopInstanceUid: '1.2.3.4.5' });
});

test('tells who asked for an object by C-MOVE, and whether that was the gateway', async () => {
  const destination = { host: '127.0.0.1', port: 1, called_ae_title: 'PACS', calling_ae_title: 'OURS' } as never;
  await start({ integrations: [integration({ destination })] });
  const peer = await BytePeer.associate(gateway.port);
  const originators = [undefined, { aeTitle: 'OURS', messageId: 7 }, { aeTitle: 'MEDSCAN', messageId: 65_535 }, { aeTitle: 'WORKSTATION', messageId: 7 }, { aeTitle: '', messageId: 7 }];
  for (const [index, moveOriginator] of originators.entries()) {
    const sopInstanceUid = `1.2.3.${index}`;
    const request = encodeStoreRequest({ sopClassUid: ctImageStorage, sopInstanceUid, messageId: index + 1, ...(moveOriginator ? { moveOriginator } : {}) });
    peer.send(pData(pdv(3, 3, request), pdv(3, 2, ctDataset(sopInstanceUid))));
    expect((await peer.readResponse()).status).toBe(0);
  }
  expect(gateway.received.map(({ message: { facts } }) => [facts['retrieved'], facts['moveOriginatorAeTitle'], facts['moveOriginatorMessageId']])).toEqual([
    [undefined, undefined, undefined], ['C-MOVE', 'OURS', 7], ['C-MOVE', 'MEDSCAN', 65_535], [undefined, 'WORKSTATION', 7], [undefined, undefined, undefined],
  ]);
});

test('hands on a head that is a prefix of the file and ends where Pixel Data begins', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  const dataset = ctDataset('1.2.3.4.5', 600_000);
  peer.send(storePdus('1.2.3.4.5', dataset));
  await peer.readResponse();
  const { message } = gateway.received[0]!;
  const stored = readFileSync(join(gateway.directory, message.object!.location));
  expect(message.head.equals(stored.subarray(0, message.head.length))).toBe(true);
  expect(stored.readUInt16LE(message.head.length)).toBe(0x7fe0);
});

test('writes the same file for the same object', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  const pdus = storePdus('1.2.3.4.5', ctDataset('1.2.3.4.5'));
  peer.send(pdus);
  await peer.readResponse();
  peer.send(pdus);
  await peer.readResponse();
  const [first, second] = gateway.received.map(({ message }) => readFileSync(join(gateway.directory, message.object!.location)));
  expect(first!.equals(second!)).toBe(true);
});

const receipts: readonly [string, ReceiptBody, number, string][] = [
  ['0000 for a duplicate', { kind: 'duplicate', answerCode: '0000', links: {} }, 0x0000, ''],
  ['C000 for a data set that is malformed', { kind: 'rejected', reason: 'malformed', text: 'cut' }, 0xc000, 'cut'],
  ['C000 with the offending element for an invalid value', { kind: 'rejected', reason: 'invalid', text: 'Study Instance UID (0020,000D) is missing', location: '(0020,000D)' }, 0xc000, 'Study Instance UID (0020,000D) is missing'],
  ['A900 for a conflict', { kind: 'rejected', reason: 'conflict', text: 'other UID' }, 0xa900, 'other UID'],
  ['0122 for an unsupported SOP class', { kind: 'rejected', reason: 'unsupported', text: 'no' }, 0x0122, 'no'],
  ['0124 for a sender that may not', { kind: 'rejected', reason: 'not-allowed', text: 'no' }, 0x0124, 'no'],
  ['A700 when the gateway failed', { kind: 'failed', text: 'database away', retryable: true }, 0xa700, 'not stored, please send again'],
  ['at most 64 characters of comment', { kind: 'rejected', reason: 'invalid', text: `ü${'x'.repeat(100)}` }, 0xc000, `?${'x'.repeat(63)}`],
];
test.each(receipts)('answers %s and keeps the object for replay', async (_title, body, status, comment) => {
  await start({ receipt: () => body });
  const peer = await BytePeer.associate(gateway.port);
  peer.send(storePdus('1.2.3', ctDataset('1.2.3')));
  expect(await peer.readResponse()).toMatchObject({ status, comment });
  await gateway.answered(1);
  expect(gateway.received[0]!.answered).toEqual({ code: status.toString(16).toUpperCase().padStart(4, '0'), heard: true });
  expect(gateway.files().filter((name) => name.endsWith('.dcm'))).toHaveLength(1);
});

test('does not answer before receive resolves', async () => {
  let commit = (): void => { throw new Error('receive was not called'); };
  let called = (): void => { throw new Error('nobody waits'); };
  const isCalled = new Promise<void>((resolve) => { called = resolve; });
  await start({ receipt: () => new Promise((resolve) => { commit = () => { resolve({ kind: 'accepted', links: {} }); }; called(); }) });
  const peer = await BytePeer.associate(gateway.port);
  let answers = 0;
  peer.socket.on('data', () => { answers++; });
  peer.send(storePdus('1.2.3', ctDataset('1.2.3')));
  await isCalled;
  await new Promise((resolve) => { setImmediate(() => { setImmediate(resolve); }); });
  expect(answers).toBe(0);
  commit();
  expect((await peer.readResponse()).status).toBe(0);
});

test('answers A700 and leaves no file when the disk is full, and goes on with the next object', async () => {
  let isFull = true;
  await start({ writeDelay: async () => { if (isFull) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }); } });
  const peer = await BytePeer.associate(gateway.port);
  peer.send(storePdus('1.2.3', ctDataset('1.2.3', 200_000)));
  expect((await peer.readResponse()).status).toBe(0xa700);
  expect(gateway.files()).toEqual([]);
  expect(gateway.received).toHaveLength(0);
  isFull = false;
  peer.send(storePdus('1.2.4', ctDataset('1.2.4')));
  expect((await peer.readResponse()).status).toBe(0);
});

test('answers A700 when the store cannot be opened', async () => {
  await start({ store: () => Promise.reject(new Error('ENOSPC')) });
  const peer = await BytePeer.associate(gateway.port);
  peer.send(storePdus('1.2.3', ctDataset('1.2.3')));
  expect((await peer.readResponse()).status).toBe(0xa700);
});

test('tells that the answer was not heard when the sender hung up during the commit', async () => {
  let commit = (): void => { throw new Error('receive was not called'); };
  let called = (): void => { throw new Error('nobody waits'); };
  const isCalled = new Promise<void>((resolve) => { called = resolve; });
  await start({ receipt: () => new Promise((resolve) => { commit = () => { resolve({ kind: 'accepted', links: {} }); }; called(); }) });
  const peer = await BytePeer.associate(gateway.port);
  peer.send(storePdus('1.2.3', ctDataset('1.2.3')));
  await isCalled;
  const gone = new Promise<void>((resolve) => { const timer = setInterval(() => { if (gateway.log.some(({ text }) => text.includes('without a release'))) { clearInterval(timer); resolve(); } }, 5); });
  peer.reset();
  await gone;
  commit();
  await gateway.answered(1);
  expect(gateway.received[0]!.answered).toEqual({ code: '0000', heard: false });
});

test('refuses a C-STORE whose SOP class is not that of its context: 0122, on record, nothing stored', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  peer.send(storePdus('1.2.3', ctDataset('1.2.3'), { sopClass: '1.2.840.10008.5.1.4.1.1.4' }));
  expect((await peer.readResponse()).status).toBe(0x0122);
  expect(gateway.received[0]!.refusal).toMatchObject({ reason: 'unsupported' });
  expect(gateway.files()).toEqual([]);
});

test('refuses a C-STORE without a data set or without a SOP Instance UID: C000, on record', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  peer.send(pData(pdv(3, 3, command(0x0001, 7, { sopClass: ctImageStorage, sopInstance: '1.2.3' }))));
  expect(await peer.readResponse()).toMatchObject({ messageId: 7, status: 0xc000, comment: 'C-STORE without a data set' });
  peer.send(storePdus('', ctDataset('1.2.3')));
  expect(await peer.readResponse()).toMatchObject({ status: 0xc000, comment: 'Affected SOP Instance UID is missing or not a UID' });
  expect(gateway.received.map(({ refusal }) => refusal?.reason)).toEqual(['malformed', 'malformed']);
  expect(gateway.files()).toEqual([]);
});

test('aborts an object that is larger than the integration allows, puts it on record and leaves no file', async () => {
  await start({ integrations: [integration({ maximum_object_megabytes: 1 })] });
  const peer = await BytePeer.associate(gateway.port);
  peer.send(storePdus('1.2.3', ctDataset('1.2.3', 2 * 1024 * 1024)));
  expect((await peer.read())?.type).toBe(7);
  await gateway.answered(1);
  await peer.ended();
  await gateway.listener.close();
  expect(gateway.received[0]).toMatchObject({ refusal: { reason: 'unsupported' }, answered: { code: 'A-ABORT' } });
  expect(gateway.files()).toEqual([]);
});

test('answers a service that it does not have with 0211 and reads its identifier away', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  peer.send(pData(pdv(3, 3, command(0x0020, 9, { sopClass: ctImageStorage, dataSet: true }))));
  peer.send(pData(pdv(3, 2, ctDataset('1.2.3'))));
  expect(await peer.readResponse()).toMatchObject({ field: 0x8020, messageId: 9, status: 0x0211 });
  peer.send(storePdus('1.2.3', ctDataset('1.2.3')));
  expect((await peer.readResponse()).status).toBe(0);
});

test('serves pipelined C-STOREs in order, each answered after its own commit', async () => {
  const order: string[] = [];
  await start({ receipt: async (message) => { order.push(message.controlId); await new Promise((resolve) => { setImmediate(resolve); }); return { kind: 'accepted', links: {} }; } });
  const peer = await BytePeer.associate(gateway.port);
  const count = 20;
  peer.send(Buffer.concat(Array.from({ length: count }, (_, index) => storePdus(`1.2.${index}`, ctDataset(`1.2.${index}`, 30_000), { messageId: index + 1 }))));
  for (let index = 0; index < count; index++) expect(await peer.readResponse()).toMatchObject({ messageId: index + 1, status: 0 });
  expect(order).toEqual(Array.from({ length: count }, (_, index) => `1.2.${index}`));
  for (const { message } of gateway.received) {
    const stored = readFileSync(join(gateway.directory, message.object!.location));
    expect(stored.subarray(message.facts['datasetOffset'] as number).equals(ctDataset(message.controlId, 30_000))).toBe(true);
  }
});

test('takes several PDVs in one PDU, and the command and the data set in one PDU', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port, { contexts: [ctContext] });
  const dataset = ctDataset('1.2.3', 5000);
  peer.send(pData(pdv(3, 1, storeCommand('1.2.3').subarray(0, 20)), pdv(3, 3, storeCommand('1.2.3').subarray(20)), pdv(3, 0, dataset.subarray(0, 1)), pdv(3, 0, Buffer.alloc(0)), pdv(3, 0, dataset.subarray(1, 3000)), pdv(3, 0, dataset.subarray(3000)), pdv(3, 2, Buffer.alloc(0))));
  expect((await peer.readResponse()).status).toBe(0);
  expect(gateway.received[0]!.message.sha256).toBe(createHash('sha256').update(dataset).digest('hex'));
});
