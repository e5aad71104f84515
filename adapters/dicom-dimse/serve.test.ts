/** Queries and retrieves by a peer made of bytes: cancelling, limits, and what must not bring the association or the gateway down. */
import { afterEach, describe, expect, test } from 'vitest';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import type { Config } from './config.ts';
import { configSchema } from './config.ts';
import type { ScriptedAcceptor } from './testing/acceptor.ts';
import { startAcceptor } from './testing/acceptor.ts';
import type { TestGateway } from './testing/gateway.ts';
import { integration, startGateway } from './testing/gateway.ts';
import type { TestHoldings } from './testing/holdings.ts';
import { testHoldings } from './testing/holdings.ts';
import { encodeAssociateAccept } from './upper-layer/pdu.ts';
import { BytePeer, command, ctDataset, echoCommand, explicitLittleEndian, pData, pdv, storePdus, verificationContext, ctContext } from './testing/peer.ts';

const findContext = { id: 5, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.1', transferSyntaxes: [explicitLittleEndian] };
const moveContext = { id: 7, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.2', transferSyntaxes: [explicitLittleEndian] };
const contexts = [verificationContext, ctContext, findContext, moveContext];
const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup(); });

async function start(holdings: TestHoldings | undefined, config: Partial<Config> = {}): Promise<{ gateway: TestGateway; peer: BytePeer }> {
  const gateway = await startGateway({ integrations: [integration({ allow_query: true, allow_retrieve: true, ...config })], ...(holdings ? { ports: { holdings: holdings.open } } : {}) });
  cleanups.push(() => gateway.close());
  const peer = await BytePeer.associate(gateway.port, { contexts });
  cleanups.push(() => { peer.close(); });
  return { gateway, peer };
}

const element = (number: number, value: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(number, 2);
  head.writeUInt32LE(value.length, 4);
  return Buffer.concat([head, value]);
};
const us = (value: number): Buffer => { const bytes = Buffer.alloc(2); bytes.writeUInt16LE(value); return bytes; };
const commandSet = (...elements: Buffer[]): Buffer => {
  const body = Buffer.concat(elements), length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([element(0, length), body]);
};
const images: DatasetElements = { '(0008,0052)': 'IMAGE', '(0020,000d)': '1.2.3.1', '(0020,000e)': '1.2.3.1.1', '(0008,0018)': null };
const find = (messageId: number, identifier: DatasetElements | Buffer): Buffer => Buffer.concat([
  pData(pdv(5, 3, command(0x0020, messageId, { sopClass: findContext.abstractSyntax, dataSet: true }))), pData(pdv(5, 2, Buffer.isBuffer(identifier) ? identifier : encodeDataset(identifier))),
]);
const cancel = (messageId: number, contextId = 5): Buffer => pData(pdv(contextId, 3, commandSet(element(0x0100, us(0x0fff)), element(0x0120, us(messageId)), element(0x0800, us(0x0101)))));
const move = (messageId: number, destination: string): Buffer => Buffer.concat([
  pData(pdv(7, 3, commandSet(element(0x0002, Buffer.from(`${moveContext.abstractSyntax}\0`.slice(0, 28))), element(0x0100, us(0x0021)), element(0x0110, us(messageId)), element(0x0600, Buffer.from(destination.padEnd(destination.length + destination.length % 2))), element(0x0700, us(0)), element(0x0800, us(0))))),
  pData(pdv(7, 2, encodeDataset({ '(0008,0052)': 'STUDY', '(0020,000d)': '1.2.3.1' }))),
]);

/** Reads responses of one message up to the final one; data sets in between are skipped. */
async function responses(peer: BytePeer, onPending?: (count: number) => void): Promise<{ statuses: number[]; last: { status: number; comment: string; field: number } }> {
  const statuses: number[] = [];
  for (;;) {
    const response = await peer.readResponse();
    if (response.field === -1) continue;
    statuses.push(response.status);
    if ((response.status & 0xff00) !== 0xff00) return { statuses, last: response };
    onPending?.(statuses.length);
  }
}

describe('C-FIND', () => {
  test('ends with FE00 soon after a C-CANCEL, and reads no more rows', async () => {
    const holdings = testHoldings({ count: 2000 });
    const { peer } = await start(holdings, { most_matches: 5000 });
    peer.send(find(11, images));
    const { last } = await responses(peer, (count) => { if (count === 3) peer.send(cancel(11)); });
    expect(last.status).toBe(0xfe00);
    expect(holdings.told()).toBeLessThan(2000);
    expect(holdings.outcomes).toMatchObject([{ answerCode: 'FE00', heard: true }]);
  });

  test('is not touched by a C-CANCEL for another message', async () => {
    const { peer } = await start(testHoldings({ count: 20 }));
    peer.send(find(12, images));
    peer.send(cancel(99));
    const { statuses, last } = await responses(peer);
    expect([statuses.length, last.status]).toEqual([21, 0]);
  });

  test('answers what came meanwhile afterwards, in order: C-ECHO, C-STORE, another C-FIND', async () => {
    const { peer, gateway } = await start(testHoldings({ count: 50 }));
    peer.send(Buffer.concat([find(1, images), pData(pdv(1, 3, echoCommand(2))), storePdus('1.2.3.99', ctDataset('1.2.3.99'), { messageId: 3 }), find(4, images)]));
    const order: string[] = [];
    for (let finals = 0; finals < 4;) {
      const { field, messageId, status } = await peer.readResponse();
      if (field === -1 || status === 0xff00 || status === 0xff01) continue;
      order.push(`${field.toString(16)} ${messageId} ${status}`);
      finals++;
    }
    expect(order).toEqual(['8020 1 0', '8030 2 0', '8001 3 0', '8020 4 0']);
    expect(gateway.received).toHaveLength(1);
  });

  test.each([
    ['an identifier that is cut', encodeDataset(images).subarray(0, 21)], ['an identifier that is noise', Buffer.from('ffffffffffffffffffffffff', 'hex')],
    ['no level', { ...images, '(0008,0052)': null }], ['a UID with a wildcard', { ...images, '(0020,000d)': '1.2.*' }],
  ])('refuses %s with A900 and stays up', async (_what, identifier) => {
    const holdings = testHoldings();
    const { peer } = await start(holdings);
    peer.send(find(1, identifier));
    expect((await responses(peer)).last.status).toBe(0xa900);
    expect(holdings.requests).toEqual([]);
    peer.send(pData(pdv(1, 3, echoCommand(2))));
    expect(await peer.readResponse()).toMatchObject({ field: 0x8030, status: 0 });
  });

  test('an identifier without end aborts the association, before it fills the memory', async () => {
    const { peer } = await start(testHoldings());
    peer.send(pData(pdv(5, 3, command(0x0020, 1, { sopClass: findContext.abstractSyntax, dataSet: true }))));
    for (let sent = 0; sent < 6; sent++) peer.send(pData(pdv(5, 0, Buffer.alloc(1_000_000))));
    expect((await peer.read())?.type).toBe(7);
  });

  test('is refused with A700 when it cannot be put on record', async () => {
    const { peer } = await start({ ...testHoldings(), open: async () => { throw new Error('the database is away'); } });
    peer.send(find(1, images));
    expect((await responses(peer)).last).toMatchObject({ status: 0xa700 });
  });

  test('is not negotiated where it is not allowed', async () => {
    const { peer } = await start(testHoldings(), { allow_query: false });
    peer.send(find(1, images));
    expect((await peer.read())?.type, 'P-DATA on a context that was not accepted').toBe(7);
  });

  test('stops when the peer goes away in the middle', async () => {
    const holdings = testHoldings({ count: 5000 });
    const { peer, gateway } = await start(holdings, { most_matches: 9_999 });
    peer.send(find(1, images));
    await peer.readResponse();
    peer.reset();
    await gateway.listener.close(2000);
    expect(holdings.outcomes).toMatchObject([{ heard: false }]);
    expect(holdings.told()).toBeLessThan(5000);
  });
});

test('C-GET without the role of SCP sends nothing and says so', async () => {
  const holdings = testHoldings();
  const gateway = await startGateway({ integrations: [integration({ allow_retrieve: true })], ports: { holdings: holdings.open } });
  cleanups.push(() => gateway.close());
  const getContext = { id: 9, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.3', transferSyntaxes: [explicitLittleEndian] };
  const peer = await BytePeer.associate(gateway.port, { contexts: [ctContext, getContext] });
  cleanups.push(() => { peer.close(); });
  peer.send(Buffer.concat([pData(pdv(9, 3, command(0x0010, 1, { sopClass: getContext.abstractSyntax, dataSet: true }))), pData(pdv(9, 2, encodeDataset({ '(0008,0052)': 'STUDY', '(0020,000d)': '1.2.3.1' })))]));
  expect((await responses(peer)).last.status).toBe(0xa702);
  expect(holdings.outcomes).toMatchObject([{ count: 0, failed: 3, text: expect.stringContaining('role selection') }]);
});

test('a C-GET requestor that reads nothing more is aborted: what it holds up is given back', async () => {
  const holdings = testHoldings({ count: 2, pixelByteLength: 24 << 20 });
  const gateway = await startGateway({ integrations: [integration({ allow_retrieve: true })], limits: { idleMilliseconds: 400, closeMilliseconds: 200 }, ports: { holdings: holdings.open } });
  cleanups.push(() => gateway.close());
  const getContext = { id: 9, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.3', transferSyntaxes: [explicitLittleEndian] };
  const peer = await BytePeer.associate(gateway.port, { contexts: [ctContext, getContext], scpOf: [ctContext.abstractSyntax] });
  cleanups.push(() => { peer.close(); });
  peer.socket.pause();
  peer.send(Buffer.concat([pData(pdv(9, 3, command(0x0010, 1, { sopClass: getContext.abstractSyntax, dataSet: true }))), pData(pdv(9, 2, encodeDataset({ '(0008,0052)': 'STUDY', '(0020,000d)': '1.2.3.1' })))]));
  await expect.poll(() => holdings.outcomes, { timeout: 4_000 }).toMatchObject([{ heard: false, count: 0 }]);
});

test('identifiers mutated at random are answered or refused, and the association stays', async () => {
  const { peer, gateway } = await start(testHoldings());
  const whole = encodeDataset({ ...images, '(0010,0010)': 'DOE*', '(0008,0020)': '20260101-', '(0008,0005)': 'ISO_IR 192', '(0040,0100)': [{ '(0008,0060)': 'CT' }] });
  let seed = 20261122;
  const random = (below: number): number => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return seed % below; };
  for (let round = 1; round <= 500; round++) {
    const mutated = Buffer.from(whole);
    for (let change = random(6); change >= 0; change--) mutated[random(mutated.length)] = random(256);
    peer.send(find(round, random(4) === 0 ? mutated.subarray(0, random(mutated.length) & ~1) : mutated));
    expect([0, 0xa900, 0xc000]).toContain((await responses(peer)).last.status);
  }
  peer.send(pData(pdv(1, 3, echoCommand(2))));
  expect(await peer.readResponse()).toMatchObject({ field: 0x8030, status: 0 });
  expect(gateway.log.filter(({ level }) => level === 'error')).toEqual([]);
});

describe('C-MOVE', () => {
  const destination = async (script: Parameters<typeof startAcceptor>[0]): Promise<{ acceptor: ScriptedAcceptor; config: Partial<Config> }> => {
    const acceptor = await startAcceptor(script);
    cleanups.push(() => acceptor.close());
    return { acceptor, config: { destination: configSchema.parse({ destination: acceptor.destination }).destination } };
  };

  test('sends the stored bytes and says from which request they come', async () => {
    const { acceptor, config } = await destination({});
    const holdings = testHoldings({ count: 3, pixelByteLength: 300_000 });
    const { peer } = await start(holdings, config);
    peer.send(move(21, 'PACS'));
    expect((await responses(peer)).statuses).toEqual([0xff00, 0xff00, 0]);
    expect(acceptor.datasets.map((dataset, index) => dataset.equals(holdings.datasetOf(holdings.instances[index]!)))).toEqual([true, true, true]);
    expect(holdings.outcomes).toMatchObject([{ answerCode: '0000', count: 3, failed: 0 }]);
  });

  test('does not transcode: where the destination refuses the syntax, it fails in words', async () => {
    const { config } = await destination({ accepts: () => false });
    const holdings = testHoldings({ transferSyntaxUid: '1.2.840.10008.1.2.4.70' });
    const { peer } = await start(holdings, config);
    peer.send(move(22, 'PACS'));
    const { last } = await responses(peer);
    expect(last.status).toBe(0xa702);
    expect(holdings.outcomes).toMatchObject([{ count: 0, failed: 3, text: expect.stringContaining('does not take 1.2.840.10008.5.1.4.1.1.2 in transfer syntax 1.2.840.10008.1.2.4.70') }]);
  });

  test('a destination that reads nothing more is given up, and the requestor hears of it', async () => {
    const { config } = await destination({ onAssociate(request, socket) {
      setImmediate(() => { socket.pause(); });
      return encodeAssociateAccept(request, request.presentationContexts.map((one) => ({ ...one, transferSyntax: one.transferSyntaxes[0]!, result: 0 })), 1 << 18, { classUid: '1.2.3', versionName: 'DEAF' });
    } });
    const holdings = testHoldings({ count: 2, pixelByteLength: 24 << 20 });
    const { peer } = await start(holdings, config);
    peer.send(move(26, 'PACS'));
    expect((await responses(peer)).last.status).toBe(0xa702);
    expect(holdings.outcomes).toMatchObject([{ answerCode: 'A702', count: 0, failed: 2 }]);
  }, 10_000);

  test('a file that cannot be read fails alone', async () => {
    const { acceptor, config } = await destination({});
    const holdings = testHoldings({ missing: [1] });
    const { peer } = await start(holdings, config);
    peer.send(move(23, 'PACS'));
    expect((await responses(peer)).last.status).toBe(0xb000);
    expect(acceptor.sopInstanceUids).toEqual(['1.2.3.1.1.0', '1.2.3.1.1.2']);
    expect(holdings.outcomes).toMatchObject([{ answerCode: 'B000', count: 2, failed: 1 }]);
  });

  test('stops after a C-CANCEL', async () => {
    const { acceptor, config } = await destination({});
    const { peer } = await start(testHoldings({ count: 500 }), config);
    peer.send(move(24, 'PACS'));
    expect((await responses(peer, (count) => { if (count === 2) peer.send(cancel(24, 7)); })).last.status).toBe(0xfe00);
    expect(acceptor.datasets.length).toBeLessThan(500);
  });

  test.each(['OTHERPACS', '', '127.0.0.1:104'])('knows no destination %j: A801, and nothing is opened for transfer', async (name) => {
    const { acceptor, config } = await destination({});
    const holdings = testHoldings();
    const { peer } = await start(holdings, config);
    peer.send(move(25, name));
    expect((await responses(peer)).last.status).toBe(0xa801);
    expect(acceptor.proposed).toEqual([]);
    expect(holdings.requests).toMatchObject([{ purpose: 'query' }]);
    expect(holdings.outcomes).toMatchObject([{ answerCode: 'A801' }]);
  });

  test('never sends to a destination of another organization', async () => {
    const { acceptor, config } = await destination({});
    const gateway = await startGateway({
      integrations: [integration({ allow_retrieve: true, called_ae_title: 'MEDSCAN' }), integration({ called_ae_title: 'OTHERS', ...config }, 'integration-2', 'organization-2')], ports: { holdings: testHoldings().open },
    });
    cleanups.push(() => gateway.close());
    const peer = await BytePeer.associate(gateway.port, { contexts });
    cleanups.push(() => { peer.close(); });
    peer.send(move(26, 'PACS'));
    expect((await responses(peer)).last.status).toBe(0xa801);
    expect(acceptor.proposed).toEqual([]);
  });
});
