/** What senders nobody knows may take of the gateway's memory. */
import { afterEach, expect, test } from 'vitest';
import type { Integration, Listener } from '#gateway/adapter.ts';
import type { Hl7v2Config } from './config.ts';
import type { MllpListenOptions } from './listener.ts';
import { MllpDecoder } from './mllp.ts';
import { Sender, adt, fakeGateway, integration, startListener } from './testing/fake-gateway.ts';
import type { FakeGateway } from './testing/fake-gateway.ts';

let listener: Listener | undefined;
const senders: Sender[] = [];
afterEach(async () => { for (const sender of senders.splice(0)) sender.close(); await listener?.close(0); listener = undefined; });

async function start(limits: MllpListenOptions['limits'], integrations: readonly Integration<Hl7v2Config>[] = [integration()]): Promise<FakeGateway> {
  const gateway = fakeGateway();
  listener = await startListener(gateway, integrations, { limits: limits ?? {} });
  return gateway;
}
async function connect(): Promise<Sender> { const sender = await Sender.connect(listener!.port); senders.push(sender); return sender; }
const long = (controlId: string, byteLength: number): string => adt(controlId, ['PID|1||P1', `NTE|1||${'x'.repeat(byteLength)}`]);

test('above the budget of all connections the oldest unfinished frame is cut with a log line, and the others go on', async () => {
  const gateway = await start({ heldBytes: 10_000 });
  const oldest = await connect();
  oldest.write(Buffer.from(`\x0b${long('OLDEST', 4000)}`));
  // A message on another connection is answered after the bytes before it were read.
  const steady = await connect();
  expect(await steady.send(adt('M1'))).toContain('MSA|AA|M1');
  const middle = await connect();
  middle.write(Buffer.from(`\x0b${long('MIDDLE', 4000)}`));
  expect(await steady.send(adt('M2'))).toContain('MSA|AA|M2');
  const newest = await connect();
  newest.write(Buffer.from(`\x0b${long('NEWEST', 4000)}`));
  await oldest.closed;
  expect(gateway.logged.filter((line) => line.startsWith('MLLP connection cut'))).toHaveLength(1);
  middle.write(Buffer.from('\x1c\r'));
  newest.write(Buffer.from('\x1c\r'));
  expect(await middle.answer()).toContain('MSA|AA|MIDDLE');
  expect(await newest.answer()).toContain('MSA|AA|NEWEST');
  expect(await steady.send(adt('M3'))).toContain('MSA|AA|M3');
});

test('while whole frames fill the budget nobody else is read; when they are stored everybody is', async () => {
  const gateway = await start({ heldBytes: 5000 });
  let store: () => void = () => {};
  const stored = new Promise<void>((resolve) => { store = resolve; });
  let reached: () => void = () => {};
  const working = new Promise<void>((resolve) => { reached = resolve; });
  gateway.decide = async ({ controlId }) => { if (controlId === 'LARGE') { reached(); await stored; } return undefined; };
  const [large, small] = [await connect(), await connect()];
  const [first, second] = [large.send(long('LARGE', 6000)), working.then(() => small.send(adt('SMALL')))];
  await working;
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => { setImmediate(resolve); });
  expect(gateway.received).toEqual([]);
  store();
  expect(await first).toContain('MSA|AA|LARGE');
  expect(await second).toContain('MSA|AA|SMALL');
  expect(gateway.logged).toEqual([]);
});

test('what is freed is counted as free: many large messages one after the other fill nothing', async () => {
  const gateway = await start({ heldBytes: 8000 });
  const sender = await connect();
  for (let count = 0; count < 20; count++) expect(await sender.send(long(`M${count}`, 5000))).toContain(`MSA|AA|M${count}`);
  gateway.decide = () => { throw new Error('boom'); };
  for (let count = 0; count < 5; count++) expect(await sender.send(long(`E${count}`, 5000))).toContain('MSA|AE|');
  for (let count = 0; count < 5; count++) { const leaver = await connect(); leaver.write(Buffer.from(`\x0b${long('L', 5000)}`)); await new Promise<void>((resolve) => { leaver.socket.end(() => resolve()); }); leaver.close(); await leaver.closed; }
  gateway.decide = undefined;
  expect(await sender.send(long('LAST', 5000))).toContain('MSA|AA|LAST');
});

test('an address that no integration lists may send small frames only, and hears why', async () => {
  const gateway = await start({ strangerFrameBytes: 2000 }, [integration({ addresses: ['192.0.2.7'] }), integration({ addresses: ['198.51.100.0/24'] })]);
  const stranger = await connect();
  expect(await stranger.send(long('BIG', 3000))).toMatch(/MSA\|AR\|BIG\|.*larger than 2000 bytes/);
  await stranger.closed;
  expect(gateway.received[0]?.refusal?.reason).toBe('malformed');
  expect(await (await connect()).send(adt('M1'))).toMatch(/MSA\|AR\|M1\|No integration takes/);
});

test.each([
  ['an address that is listed', [{ addresses: ['192.0.2.7'] }, { addresses: ['127.0.0.0/8'] }]], ['any address where none is listed', [{}]], ['any address where one integration takes all', [{ addresses: ['192.0.2.7'] }, {}]],
])('%s may send frames up to the usual limit', async (_title, settings) => {
  await start({ strangerFrameBytes: 2000 }, settings.map((each) => integration(each)));
  expect(await (await connect()).send(long('BIG', 3000))).toContain('MSA|AA|BIG');
});

test('a frame in single bytes is charged for what its chunks cost', () => {
  const decoder = new MllpDecoder();
  for (const byte of Buffer.from(`\x0b${'x'.repeat(100)}`)) decoder.push(Buffer.of(byte));
  expect(decoder.heldBytes).toBeGreaterThan(100 * 100);
  decoder.push(Buffer.from('\x1c\r'));
  expect(decoder.heldBytes).toBe(0);
});
