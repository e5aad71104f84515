/** Each association tells which stored objects it brought and how it ended, for a study is not complete while its sender is at it. */
import { afterEach, expect, test } from 'vitest';
import type { UpperLayerLimits } from './upper-layer/limits.ts';
import type { TestGateway } from './testing/gateway.ts';
import { startGateway } from './testing/gateway.ts';
import { BytePeer, ctDataset, pdu, releaseRequest, storePdus } from './testing/peer.ts';

let gateway: TestGateway;
afterEach(async () => { await gateway?.close(); });

async function start(limits: Partial<UpperLayerLimits> = {}): Promise<{ told: string[]; ended: Promise<void> }> {
  const told: string[] = [], { promise: ended, resolve } = Promise.withResolvers<void>();
  gateway = await startGateway({
    limits,
    receipt: () => ({ kind: 'accepted', links: { scans: 'scan-1' } }),
    ports: { arrivals: { begin: ({ name }, peer) => ({
      brought: (receipt) => { told.push(`${peer} at ${name}: ${receipt.kind === 'accepted' ? receipt.links['scans'] : receipt.kind}`); },
      ended: (how) => { told.push(how); resolve(); },
    }) } },
  });
  return { told, ended };
}
async function stores(): Promise<BytePeer> {
  const peer = await BytePeer.associate(gateway.port);
  peer.send(storePdus('1.2.3.4', ctDataset('1.2.3.4')));
  expect(await peer.readResponse()).toMatchObject({ status: 0 });
  return peer;
}

test.each([
  ['released', 'a release', (peer: BytePeer) => { peer.send(releaseRequest); }],
  ['broken', 'an A-ABORT', (peer: BytePeer) => { peer.send(pdu(7, Buffer.alloc(4))); }],
  ['broken', 'a lost connection', (peer: BytePeer) => { peer.reset(); }],
  ['broken', 'bytes that are no PDU', (peer: BytePeer) => { peer.send(pdu(0x55, Buffer.alloc(4))); }],
])('it is %s after %s', async (how, _, end) => {
  const { told, ended } = await start();
  end(await stores());
  await ended;
  expect(told).toEqual(['CT1 at integration-1: scan-1', how]);
});

const first = storePdus('1.2.3.4', ctDataset('1.2.3.4')), next = storePdus('1.2.3.5', ctDataset('1.2.3.5', 60_000), { messageId: 2 });
test.each([
  ['released', 'has nothing more to say', first],
  ['broken', 'falls silent within an object', Buffer.concat([first, next.subarray(0, next.length / 2)])],
])('it is %s at the idle limit when the sender %s', async (how, _, bytes) => {
  // Where this machine stalls before the bytes are there, the limit ends an association that brought nothing: once more then.
  for (let told: string[] = []; told.length < 2; await gateway.close()) {
    const begun = await start({ idleMilliseconds: 300 });
    await BytePeer.associate(gateway.port).then((peer) => { peer.send(bytes); }, () => { /* too late */ });
    await begun.ended;
    told = begun.told;
    if (told.length === 2) expect(told).toEqual(['CT1 at integration-1: scan-1', how]);
  }
});

test('a gateway that stops broke it off', async () => {
  const { told, ended } = await start();
  await stores();
  await gateway.listener.close(0);
  await ended;
  expect(told.at(-1)).toBe('broken');
});
