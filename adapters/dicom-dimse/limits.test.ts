/** What a peer may ask of the listener, limit by limit: what it is told, what stays on record, and with which advice. */
import { afterEach, expect, test } from 'vitest';
import type { AssociationRecord } from '#gateway/associations.ts';
import { adviceOnBreak, adviceOnCaller, explain } from './advice.ts';
import { rejections } from './association.ts';
import { limitsOf, defaultLimits } from './upper-layer/limits.ts';
import { RefusalBursts } from './refusal-bursts.ts';
import type { TestGateway, TestGatewayOptions } from './testing/gateway.ts';
import { integration, startGateway } from './testing/gateway.ts';
import { associateRequest, BytePeer, ctContext, ctDataset, ctImageStorage, echoCommand, explicitLittleEndian, pData, pdu, pdv, releaseRequest, storePdus, verificationContext } from './testing/peer.ts';

let gateway: TestGateway, told: AssociationRecord[];
afterEach(async () => { await gateway?.close(); });
async function start(options: TestGatewayOptions = {}): Promise<TestGateway> {
  told = [];
  gateway = await startGateway({ ...options, ports: { associations: { record: (association) => { told.push(association); } }, ...options.ports } });
  return gateway;
}
async function rejectionOf(options: Parameters<typeof associateRequest>[0] = {}): Promise<number[]> {
  const peer = await BytePeer.connect(gateway.port);
  peer.send(associateRequest(options));
  const answer = await peer.read();
  expect(answer?.type).toBe(3);
  await peer.ended();
  return [...answer!.body.subarray(1)];
}
async function release(peer: BytePeer): Promise<void> {
  peer.send(releaseRequest);
  await peer.ended();
}
const closed = (): Promise<void> => gateway.listener.close(500);

test('the operator\'s limits replace the defaults, one by one', () => {
  expect(limitsOf(undefined)).toEqual(defaultLimits);
  expect(limitsOf({ associations: 3, associationsPerCaller: 2, messagePartByteLength: 16_384, beginMilliseconds: 5, idleMilliseconds: 6 })).toEqual({ ...defaultLimits, associations: 3, associationsPerCallingAeTitle: 2, maximumLength: 16_384, artimMilliseconds: 5, idleMilliseconds: 6 });
});

test('beyond the associations of all peers, of an address and of a calling AE title a caller is told to come back', async () => {
  await start({ limits: { associations: 1 } });
  const only = await BytePeer.associate(gateway.port);
  expect(await rejectionOf()).toEqual([2, 3, 1]);
  await release(only);
  await gateway.close();

  await start({ limits: { associationsPerCallingAeTitle: 1 } });
  const first = await BytePeer.associate(gateway.port, { calling: 'CT1' });
  expect(await rejectionOf({ calling: 'CT1' })).toEqual([2, 3, 2]);
  const other = await BytePeer.associate(gateway.port, { calling: 'CT2' });
  await release(first);
  await release(other);
  const again = await BytePeer.associate(gateway.port, { calling: 'CT1' });
  await release(again);
  await closed();
  expect(told.map(({ outcome, rejection }) => [outcome, rejection])).toEqual([['rejected', '2/3/2'], ['released', undefined], ['released', undefined], ['released', undefined]]);
  expect(told[0]).toMatchObject({ reason: expect.stringContaining('MEDSCAN_DICOM_ASSOCIATIONS_PER_AE'), advice: expect.stringContaining('fewer associations'), callingAeTitle: 'CT1', repeats: 0 });
  expect(gateway.received, 'nothing was wrong with the request').toEqual([]);
});

test('the limit of a calling AE title holds for requests that come together, and a place that was refused for another reason is free again', async () => {
  let answer!: (text: string | undefined) => void;
  let asked = new Promise<string | undefined>((resolve) => { answer = resolve; });
  await start({ limits: { associationsPerCallingAeTitle: 2 }, ports: { congestion: () => asked } });
  const together = async (): Promise<{ peers: BytePeer[]; types: (number | undefined)[] }> => {
    const peers = await Promise.all(Array.from({ length: 5 }, () => BytePeer.connect(gateway.port)));
    for (const peer of peers) peer.send(associateRequest({ calling: 'CT1' }));
    const answers = peers.map((peer) => peer.read());
    // The three beyond the limit are told at once; the two that have a place wait for the look at the store.
    const waiting = new Set(answers.keys());
    for (let told = 0; told < 3; told++) waiting.delete(await Promise.race([...waiting].map(async (index) => { await answers[index]; return index; })));
    answer(full);
    return { peers, types: (await Promise.all(answers)).map((pdu) => pdu?.type) };
  };
  let full: string | undefined = 'the store has no room';
  const refused = await together();
  expect(refused.types).toEqual([3, 3, 3, 3, 3]);
  await Promise.all(refused.peers.map((peer) => peer.ended()));
  full = undefined;
  asked = new Promise((resolve) => { answer = resolve; });
  const { peers, types } = await together();
  expect(types.toSorted((one, other) => (one ?? 0) - (other ?? 0))).toEqual([2, 2, 3, 3, 3]);
  await Promise.all(peers.map(async (peer, index) => { if (types[index] === 2) await release(peer); }));
});

test('while there is no room, storage is rejected as temporary congestion; a C-ECHO and what is open already go on', async () => {
  let full: string | undefined;
  await start({ ports: { congestion: async () => full } });
  const open = await BytePeer.associate(gateway.port);
  full = 'the object store has 3 MiB free';
  expect(await rejectionOf()).toEqual([2, 3, 1]);
  const echo = await BytePeer.associate(gateway.port, { contexts: [verificationContext] });
  echo.send(pData(pdv(1, 3, echoCommand())));
  expect((await echo.readResponse()).status).toBe(0);
  await release(echo);
  open.send(storePdus('1.2.3', ctDataset('1.2.3')));
  expect((await open.readResponse()).status).toBe(0);
  await release(open);
  full = undefined;
  await release(await BytePeer.associate(gateway.port));
  await closed();
  expect(told.find(({ outcome }) => outcome === 'rejected')).toMatchObject({ rejection: '2/3/1', reason: 'the object store has 3 MiB free', advice: expect.stringContaining('goes by itself') });
});

test('offers the maximum length that was set, and aborts a longer PDU', async () => {
  await start({ limits: { maximumLength: 16_384 } });
  const peer = await BytePeer.connect(gateway.port);
  peer.send(associateRequest());
  const accepted = await peer.read();
  const at = accepted!.body.indexOf(Buffer.from([0x51, 0, 0, 4]));
  expect(accepted!.body.readUInt32BE(at + 4)).toBe(16_384);
  peer.send(pdu(4, pdv(3, 0, Buffer.alloc(16_379))));
  expect((await peer.read())?.type).toBe(7);
  await peer.ended();
});

test('after maximum_objects_per_association a C-STORE is answered A700, and taken on a new association', async () => {
  await start({ integrations: [integration({ maximum_objects_per_association: 2 })] });
  const peer = await BytePeer.associate(gateway.port);
  const statuses = [];
  for (const number of [1, 2, 3, 4]) {
    peer.send(storePdus(`1.2.${number}`, ctDataset(`1.2.${number}`), { messageId: number }));
    statuses.push(await peer.readResponse());
  }
  expect(statuses.map(({ status }) => status)).toEqual([0, 0, 0xa700, 0xa700]);
  expect(statuses[2]!.comment).toContain('use a new association');
  await release(peer);
  const next = await BytePeer.associate(gateway.port);
  next.send(storePdus('1.2.3', ctDataset('1.2.3')));
  expect((await next.readResponse()).status).toBe(0);
  expect(gateway.files()).toHaveLength(3);
});

test('a storage class that sop_classes does not name is refused when the association is made, a private one by its own setting', async () => {
  const mr = '1.2.840.10008.5.1.4.1.1.4', vendor = '1.2.840.113619.4.30';
  const contexts = [verificationContext, ctContext, { id: 5, abstractSyntax: mr, transferSyntaxes: [explicitLittleEndian] }, { id: 7, abstractSyntax: vendor, transferSyntaxes: [explicitLittleEndian] }];
  const results = async (config: Parameters<typeof integration>[0]): Promise<unknown> => {
    await start({ integrations: [integration(config)] });
    await release(await BytePeer.associate(gateway.port, { contexts }));
    await gateway.close();
    return told[0]!.contexts.map(({ result }) => result);
  };
  expect(await results({})).toEqual([0, 0, 0, 0]);
  expect(await results({ sop_classes: [ctImageStorage] })).toEqual([0, 0, 1, 1]);
  expect(await results({ sop_classes: [vendor] })).toEqual([0, 1, 1, 0]);
  expect(await results({ accept_unknown_sop_classes: false })).toEqual([0, 0, 0, 3]);
  await start({ integrations: [integration({ sop_classes: [mr] })] });
  await release(await BytePeer.associate(gateway.port, { contexts: [ctContext] }));
  await gateway.answered(1);
  expect(gateway.received[0]).toMatchObject({ refusal: { reason: 'unsupported', text: expect.stringContaining(`${ctImageStorage} (setting sop_classes)`) } });
});

test('called AE titles lead to their organizations', async () => {
  await start({ integrations: [integration({ called_ae_title: 'NORTH' }, 'north', 'organization-north'), integration({ called_ae_title: 'SOUTH' }, 'south', 'organization-south')] });
  for (const called of ['NORTH', 'SOUTH']) {
    const peer = await BytePeer.associate(gateway.port, { called });
    peer.send(storePdus('1.2.3', ctDataset('1.2.3')));
    expect((await peer.readResponse()).status).toBe(0);
    await release(peer);
  }
  expect(await rejectionOf({ called: 'EAST' })).toEqual([1, 1, 7]);
  await closed();
  expect(gateway.received.map(({ message }) => message.integration?.organizationId)).toEqual(['organization-north', 'organization-south', undefined]);
  expect(told.map(({ organizationId, outcome }) => [organizationId, outcome])).toEqual([['organization-north', 'released'], ['organization-south', 'released'], [undefined, 'rejected']]);
});

test('the association log tells who called, what was offered and accepted, how much was moved, and how it ended', async () => {
  await start();
  const peer = await BytePeer.associate(gateway.port, { contexts: [verificationContext, ctContext, { id: 9, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.1', transferSyntaxes: ['1.2.840.10008.1.2'] }] });
  peer.send(pData(pdv(1, 3, echoCommand())));
  await peer.readResponse();
  for (const number of [1, 2]) {
    peer.send(storePdus(`1.2.${number}`, ctDataset(`1.2.${number}`, 10_000), { messageId: number }));
    await peer.readResponse();
  }
  await release(peer);
  const aborting = await BytePeer.associate(gateway.port);
  aborting.send(pdu(7, Buffer.alloc(4)));
  await aborting.ended();
  const vanishing = await BytePeer.associate(gateway.port);
  vanishing.close();
  const breaking = await BytePeer.associate(gateway.port);
  breaking.send(pData());
  await breaking.ended();
  (await BytePeer.connect(gateway.port)).close();
  await closed();
  expect(told).toHaveLength(4);
  expect(told[0]).toMatchObject({
    outcome: 'released', integrationId: 'integration-1', callingAeTitle: 'CT1', calledAeTitle: 'MEDSCAN', peerAddress: '127.0.0.1', implementationVersionName: 'BYTES_1', peerMaximumLength: 16384,
    requests: { 'C-ECHO': 1, 'C-STORE': 2 }, objects: { accepted: 2 }, repeats: 0,
    contexts: [{ id: 1, result: 0 }, { id: 3, result: 0, transfer_syntaxes: [explicitLittleEndian, '1.2.840.10008.1.2'], transfer_syntax: explicitLittleEndian }, { id: 9, result: 1 }],
  });
  expect(told[0]!.bytesReceived).toBeGreaterThan(20_000);
  expect(told[0]!.bytesSent).toBeGreaterThan(300);
  expect(told.slice(1).map(({ outcome }) => outcome).toSorted()).toEqual(['aborted-by-gateway', 'aborted-by-peer', 'connection-lost']);
  for (const { reason, advice } of told.slice(1)) expect([reason, advice]).toEqual([expect.stringMatching(/\w{4}/), expect.stringMatching(/\.$/)]);
});

test('a burst of equal refusals is one exchange, one line in the log and one association that counts its repeats', async () => {
  await start();
  for (let round = 0; round < 12; round++) expect(await rejectionOf({ called: 'NOBODY' })).toEqual([1, 1, 7]);
  expect(await rejectionOf({ called: 'SOMEBODY' })).toEqual([1, 1, 7]);
  for (let round = 0; round < 5; round++) {
    const peer = await BytePeer.connect(gateway.port);
    peer.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await peer.ended();
  }
  await gateway.answered(3);
  await closed();
  expect(gateway.received.map(({ refusal }) => refusal?.reason)).toEqual(['not-allowed', 'not-allowed', 'malformed']);
  const last = new Map(told.map((association) => [association.associationId, association]));
  expect([...last.values()].map(({ outcome, repeats }) => [outcome, repeats])).toEqual([['rejected', 11], ['rejected', 0], ['unreadable', 4]]);
  expect(gateway.log.filter(({ level }) => level === 'warn').map(({ text }) => text.replace(/:.*/s, ''))).toEqual(['association rejected', 'association rejected', 'the same 11 more times', 'the same 4 more times']);
});

test('a caller that finds ever new ways to be refused shares one burst after a while, and quiet ends a burst', async () => {
  const ended: number[] = [];
  const bursts = new RefusalBursts({ quietMilliseconds: 40, longestMilliseconds: 10_000, burstsPerAddress: 3, bursts: 5 });
  const first = Array.from({ length: 50 }, (_, index) => bursts.begins('10.0.0.1', `reason ${index}`, (repeats) => { ended.push(repeats); }));
  expect(first.filter(Boolean)).toHaveLength(4);
  for (let address = 0; address < 100; address++) bursts.begins(`10.1.0.${address}`, 'x', () => undefined);
  expect(ended, 'the oldest burst made room').toEqual([46]);
  expect(bursts.begins('10.1.0.99', 'x', () => undefined)).toBe(false);
  await new Promise((resolve) => { setTimeout(resolve, 120); });
  expect(bursts.begins('10.1.0.99', 'x', () => undefined)).toBe(true);
  bursts.close();
});

test('every reject reason, status and end has advice of its own', () => {
  const general = 'The gateway\'s log says more.';
  for (const [name, rejection] of Object.entries(rejections)) expect(adviceOnCaller(rejection), name).not.toBe(general);
  const advices = [[1, 1], [1, 2], [1, 3], [1, 7], [2, 1], [2, 2], [3, 1], [3, 2]].map(([source, reason]) => explain({ kind: 'rejected', result: 1, source: source!, reason: reason! }));
  for (const { text, advice } of advices) expect([text, advice]).toEqual([expect.stringMatching(/^association rejected: [a-z]/), expect.stringMatching(/^[A-Z].+\.$/)]);
  for (const why of ['aborted by the peer', 'idle for 60000 ms', 'ARTIM timer expired: no association was made in time', 'the connection was closed without a release', 'PDU type 71 does not exist; is the peer speaking DICOM?']) expect(adviceOnBreak(why), why).not.toContain('breaks the standard');
  for (const status of [0xa700, 0xa900, 0xc123, 0x0122, 0x0124, 0x0211]) expect(explain({ kind: 'answered', status, errorComment: '', transferSyntaxUid: '' }).advice).not.toBe('The receiver\'s log says more.');
});
