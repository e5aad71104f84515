/** What a hostile or broken peer may send. Each case once brought down, filled or fooled an upper layer that was not prepared. */
import { readdirSync } from 'node:fs';
import { afterEach, expect, test, vi } from 'vitest';
import { processorMilliseconds } from '../../../test/support/processor-time.ts';
import type { TestGateway, TestGatewayOptions } from '../testing/gateway.ts';
import { integration, startGateway } from '../testing/gateway.ts';
import { associateRequest, BytePeer, command, ctContext, ctDataset, echoCommand, pData, pdu, pdv, releaseRequest, storeCommand, storePdus, verificationContext } from '../testing/peer.ts';

let gateway: TestGateway;
afterEach(async () => { await gateway.close(); });
const start = async (options: TestGatewayOptions = {}): Promise<TestGateway> => { gateway = await startGateway(options); return gateway; };

/** The gateway is well when it associates and answers a C-ECHO. */
async function expectAlive(): Promise<void> {
  const peer = await BytePeer.associate(gateway.port, { contexts: [verificationContext] });
  peer.send(pData(pdv(1, 3, echoCommand(42))));
  expect(await peer.readResponse()).toMatchObject({ field: 0x8030, messageId: 42, status: 0 });
  peer.send(releaseRequest);
  expect((await peer.read())?.type).toBe(6);
  await peer.ended();
}
async function expectAbort(peer: BytePeer, reason?: number): Promise<void> {
  const answer = await peer.read();
  expect(answer?.type).toBe(7);
  if (reason !== undefined) expect([...answer!.body.subarray(2)]).toEqual([2, reason]);
  await peer.ended();
}
const openDescriptors = (): number => readdirSync('/dev/fd').length;

test('V1: aborts a request with 129 contexts, or with one context twice', async () => {
  await start();
  for (const contexts of [Array.from({ length: 129 }, (_, index) => ({ ...ctContext, id: (2 * index + 1) % 256 })), [ctContext, ctContext], [{ ...ctContext, id: 2 }], []]) {
    const peer = await BytePeer.connect(gateway.port);
    peer.send(associateRequest({ contexts }));
    await expectAbort(peer, 6);
  }
  await expectAlive();
  expect(gateway.received.map(({ refusal }) => refusal?.reason)).toEqual(['malformed', 'malformed', 'malformed', 'malformed']);
});

test('keeps the bytes of what was no DICOM, whatever other connections send while they are put on record', async () => {
  await start();
  const stranger = await BytePeer.connect(gateway.port);
  stranger.send(Buffer.from('GET / HTTP/1.1\r\nHost: gateway\r\n\r\n'));
  await expectAbort(stranger);
  const sender = await BytePeer.associate(gateway.port);
  sender.send(storePdus('1.2.5', ctDataset('1.2.5')));
  await sender.readResponse();
  sender.close();
  expect(gateway.received[0]?.message.head.toString('latin1')).toMatch(/^GET \/ HTTP/);
});

test('takes 128 contexts', async () => {
  await start();
  await BytePeer.associate(gateway.port, { contexts: Array.from({ length: 128 }, (_, index) => ({ ...ctContext, id: 2 * index + 1 })) }).then((peer) => { peer.close(); });
});

test.each([1, 6, 1024, 4095])('V2: rejects a requestor that takes PDUs of at most %i bytes', async (maximumLength) => {
  await start();
  const peer = await BytePeer.connect(gateway.port);
  peer.send(associateRequest({ maximumLength }));
  expect([...(await peer.read())!.body]).toEqual([0, 1, 3, 2]);
  await peer.ended();
  expect(gateway.received[0]?.refusal?.reason).toBe('malformed');
});

test('V2: takes a requestor without a maximum', async () => {
  await start();
  await BytePeer.associate(gateway.port, { maximumLength: 0 }).then((peer) => { peer.close(); });
});

test('V3: stores nothing on an association that was rejected', async () => {
  await start();
  const peer = await BytePeer.connect(gateway.port);
  peer.send(Buffer.concat([associateRequest({ called: 'OTHER' }), storePdus('1.2.3', ctDataset('1.2.3'))]));
  expect((await peer.read())?.type).toBe(3);
  peer.send(storePdus('1.2.4', ctDataset('1.2.4')));
  await peer.ended();
  await gateway.answered(1);
  expect(gateway.received).toMatchObject([{ message: { interaction: 'A-ASSOCIATE' }, answered: { code: 'A-ASSOCIATE-RJ', heard: true } }]);
  expect(gateway.files()).toEqual([]);
});

test('V4: stores nothing from a peer that keeps its half open after the idle abort', async () => {
  await start({ limits: { idleMilliseconds: 200, closeMilliseconds: 200 } });
  const peer = await BytePeer.connect(gateway.port, { allowHalfOpen: true });
  peer.send(associateRequest());
  expect((await peer.read())?.type).toBe(2);
  expect((await peer.read())?.type).toBe(7);
  // The peer goes on until the gateway's socket is gone for good and its operating system answers with a reset.
  const goOn = setInterval(() => { peer.send(storePdus('1.2.3', ctDataset('1.2.3'))); }, 20);
  await new Promise((resolve) => { peer.socket.once('close', resolve); });
  clearInterval(goOn);
  expect(gateway.received).toEqual([]);
  expect(gateway.files()).toEqual([]);
});

test.each([[1, 0xffffffff], [1, 262_145], [4, 1024], [7, 5], [2, 100]])('V5: cuts a first PDU of type %i that claims %i bytes, at its header', async (type, byteLength) => {
  await start();
  const header = Buffer.from([type, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(byteLength, 2);
  const peer = await BytePeer.connect(gateway.port);
  peer.send(header);
  await expectAbort(peer);
});

test('V5: cuts a P-DATA-TF longer than was offered', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  const header = Buffer.from([4, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(1024 * 1024 + 1, 2);
  peer.send(header);
  await expectAbort(peer, 6);
});

test('V6: see "serves pipelined C-STOREs in order"; a release behind them is answered last', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  peer.send(Buffer.concat([storePdus('1.2.1', ctDataset('1.2.1')), storePdus('1.2.2', ctDataset('1.2.2'), { messageId: 2 }), releaseRequest]));
  expect((await peer.readResponse()).messageId).toBe(1);
  expect((await peer.readResponse()).messageId).toBe(2);
  expect((await peer.read())?.type).toBe(6);
});

test('V7: closes a connection that does not associate in time, silent or one byte at a time', async () => {
  await start({ limits: { artimMilliseconds: 150 } });
  const silent = await BytePeer.connect(gateway.port);
  const slow = await BytePeer.connect(gateway.port);
  const request = associateRequest();
  let at = 0;
  const drip = setInterval(() => { slow.send(request.subarray(at, ++at)); }, 10);
  await Promise.all([silent.ended(), slow.ended()]);
  clearInterval(drip);
  expect(at).toBeLessThan(request.length);
});

test('V7: aborts an association on which next to nothing moves, but not one that is slow', async () => {
  await start({ limits: { idleMilliseconds: 300 } });
  const drip = await BytePeer.associate(gateway.port), slow = await BytePeer.associate(gateway.port);
  const pdus = storePdus('1.2.3', ctDataset('1.2.3', 3000));
  let at = 0;
  const timer = setInterval(() => { drip.send(pdus.subarray(at, ++at)); slow.send(pdus.subarray(100 * (at - 1), 100 * at)); }, 20);
  await expectAbort(drip);
  expect(await slow.readResponse()).toMatchObject({ status: 0 });
  clearInterval(timer);
});

test('V8: makes the sender wait while the disk is slow', async () => {
  let release = (): void => { /* set below */ };
  const gate = new Promise<void>((resolve) => { release = resolve; });
  await start({ writeDelay: () => gate });
  const peer = await BytePeer.associate(gateway.port);
  const dataset = ctDataset('1.2.3', 100 * 1024 * 1024);
  const before = process.memoryUsage().arrayBuffers;
  peer.send(pData(pdv(3, 3, storeCommand('1.2.3'))));
  // The bytes that are not read stay in the sender: what it has handed to its operating system stops growing.
  for (let at = 0; at < dataset.length; at += 1_000_000) peer.send(pData(pdv(3, at + 1_000_000 >= dataset.length ? 2 : 0, dataset.subarray(at, at + 1_000_000))));
  let handedOver = -1;
  while (handedOver !== peer.socket.bytesWritten - peer.socket.writableLength) {
    handedOver = peer.socket.bytesWritten - peer.socket.writableLength;
    await new Promise((resolve) => { setTimeout(resolve, 300); });
  }
  expect(handedOver).toBeLessThan(30 * 1024 * 1024);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(150 * 1024 * 1024 + 30 * 1024 * 1024);
  release();
  expect((await peer.readResponse()).status).toBe(0);
});

test('V9: aborts a command set that does not end', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  for (let sent = 0; sent <= 65_536; sent += 8192) peer.send(pData(pdv(3, 1, Buffer.alloc(8192))));
  await expectAbort(peer, 6);
});

test('V10: answers 0122 to a C-STORE on a Verification context and to a C-ECHO on a storage context, and aborts data on a refused one', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port, { contexts: [verificationContext, ctContext, { id: 5, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.1', transferSyntaxes: ['1.2.840.10008.1.2'] }] });
  peer.send(storePdus('1.2.3', ctDataset('1.2.3'), { contextId: 1 }));
  expect((await peer.readResponse()).status).toBe(0x0122);
  peer.send(pData(pdv(3, 3, echoCommand())));
  expect((await peer.readResponse()).status).toBe(0x0122);
  peer.send(pData(pdv(5, 3, command(0x0020, 1, { sopClass: '1.2.840.10008.5.1.4.1.2.2.1', dataSet: true }))));
  await expectAbort(peer, 6);
  expect(gateway.files()).toEqual([]);
});

test('V11: leaves no file and no open descriptor behind 50 objects cut by RST', async () => {
  await start({ limits: { associationsPerAddress: 60 } });
  const before = openDescriptors();
  for (let round = 0; round < 50; round++) {
    const peer = await BytePeer.associate(gateway.port);
    const pdus = storePdus('1.2.3', ctDataset('1.2.3', 200_000));
    await new Promise<void>((resolve) => { peer.socket.write(pdus.subarray(0, 1000 + round * 3000), () => { resolve(); }); });
    peer.reset();
  }
  await gateway.listener.close(2000);
  expect(gateway.files()).toEqual([]);
  expect(gateway.received).toEqual([]);
  expect(openDescriptors()).toBeLessThanOrEqual(before);
});

test('V12: tells callers beyond the limit to come back, and takes them when there is room again', async () => {
  await start({ limits: { associationsPerAddress: 2 } });
  const first = await BytePeer.associate(gateway.port), second = await BytePeer.associate(gateway.port);
  const third = await BytePeer.connect(gateway.port);
  third.send(associateRequest());
  expect([...(await third.read())!.body]).toEqual([0, 2, 3, 1]);
  await third.ended();
  first.send(releaseRequest);
  await first.ended();
  second.send(releaseRequest);
  await second.ended();
  await expectAlive();
});

test('V12: closes connections beyond twice the limit unheard, and says so once', async () => {
  await start({ limits: { associationsPerAddress: 2 } });
  const peers = await Promise.all(Array.from({ length: 4 }, () => BytePeer.connect(gateway.port)));
  for (let round = 0; round < 5; round++) await BytePeer.connect(gateway.port).then((peer) => peer.ended());
  expect(gateway.log.filter(({ text }) => text.includes('unheard'))).toHaveLength(1);
  for (const peer of peers) peer.close();
  await vi.waitFor(expectAlive, 20_000); // the closings have to arrive first
});

test('V15, V16: answers 70,000 requests on one association, over the wrap of the message ID, the last as fast as the first', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port, { contexts: [verificationContext] });
  const most = 70_000, batch = 1_000, milliseconds: number[] = [];
  for (let sent = 0; sent < most; sent += batch) {
    const started = processorMilliseconds();
    peer.send(Buffer.concat(Array.from({ length: batch }, (_, index) => pData(pdv(1, 3, echoCommand((sent + index) % 65_536))))));
    for (let index = 0; index < batch; index++) {
      const { messageId, status } = await peer.readResponse();
      if (status !== 0 || messageId !== (sent + index) % 65_536) throw new Error(`request ${sent + index} was answered ${status} as ${messageId}`);
    }
    milliseconds.push(processorMilliseconds() - started);
  }
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
  expect(median(milliseconds.slice(-20))).toBeLessThan(3 * median(milliseconds.slice(5, 25)));
  peer.close();
});

test('aborts HTTP on the DICOM port as an unrecognized PDU', async () => {
  await start();
  const peer = await BytePeer.connect(gateway.port);
  peer.send(Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
  await expectAbort(peer, undefined);
  await expectAlive();
});

test('aborts garbage, before and inside an association', async () => {
  await start();
  for (let seed = 1; seed <= 40; seed++) {
    const garbage = Buffer.from(Array.from({ length: 300 }, (_, index) => (seed * 2654435761 + index * 40503 * seed) >>> (index % 17) & 0xff));
    const peer = seed % 2 ? await BytePeer.connect(gateway.port) : await BytePeer.associate(gateway.port);
    peer.socket.end(garbage);
    await peer.ended();
  }
  expect(gateway.files()).toEqual([]);
  await expectAlive();
});

const brokenData: readonly (readonly [string, () => Buffer])[] = [
  ['a P-DATA-TF without a PDV', () => pData()],
  ['a PDV of length 0', () => pData(Buffer.alloc(6))],
  ['a PDV longer than its PDU', () => pdu(4, Buffer.from([0, 0, 1, 0, 3, 3, 0, 0]))],
  ['bytes left over after the last PDV', () => pdu(4, Buffer.concat([pdv(3, 1, Buffer.alloc(4)), Buffer.alloc(3)]))],
  ['a data set without a command', () => pData(pdv(3, 2, ctDataset('1.2.3')))],
  ['a command inside a data set', () => Buffer.concat([pData(pdv(3, 3, storeCommand('1.2.3'))), pData(pdv(3, 0, Buffer.alloc(10))), pData(pdv(3, 3, echoCommand()))])],
  ['a message that changes its context', () => Buffer.concat([pData(pdv(3, 3, storeCommand('1.2.3'))), pData(pdv(1, 2, Buffer.alloc(10)))])],
  ['a release inside a message', () => Buffer.concat([pData(pdv(3, 3, storeCommand('1.2.3'))), releaseRequest])],
  ['a second A-ASSOCIATE-RQ', () => associateRequest()],
  ['a command set of nonsense', () => pData(pdv(3, 3, Buffer.alloc(40, 0xee)))],
  ['a command set without a Message ID', () => pData(pdv(3, 3, Buffer.from('000000010200000030000000000802000000010100', 'hex')))],
  ['a response to nothing', () => pData(pdv(3, 3, command(0x8001, 1)))],
];
test.each(brokenData)('aborts %s and keeps nothing', async (_title, bytes) => {
  await start();
  const peer = await BytePeer.associate(gateway.port);
  peer.send(bytes());
  await expectAbort(peer);
  await gateway.listener.close();
  expect(gateway.files()).toEqual([]);
  expect(gateway.received).toEqual([]);
});

test('rejects another application context and another protocol version', async () => {
  await start();
  for (const [options, answer] of [[{ applicationContext: '1.2.3' }, [0, 1, 1, 2]], [{ protocolVersion: 2 }, [0, 1, 2, 2]]] as const) {
    const peer = await BytePeer.connect(gateway.port);
    peer.send(associateRequest(options));
    expect([...(await peer.read())!.body]).toEqual(answer);
  }
});

test('close lets the object under way finish and ends idle associations at once', async () => {
  await start({ integrations: [integration()] });
  const idle = await BytePeer.associate(gateway.port), busy = await BytePeer.associate(gateway.port);
  const pdus = storePdus('1.2.3', ctDataset('1.2.3', 50_000));
  busy.send(pdus.subarray(0, 20_000));
  while (gateway.files().length === 0) await new Promise((resolve) => { setTimeout(resolve, 5); });
  const closing = gateway.listener.close(5000);
  expect((await idle.read())?.type).toBe(7);
  busy.send(pdus.subarray(20_000));
  expect(await busy.readResponse()).toMatchObject({ status: 0 });
  expect((await busy.read())?.type).toBe(7);
  await closing;
  await expect(BytePeer.connect(gateway.port)).rejects.toThrow('ECONNREFUSED');
});
