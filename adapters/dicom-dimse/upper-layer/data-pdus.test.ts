import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DataPdus } from './data-pdus.ts';
import { Invoker } from './invoker.ts';
import { PduReader } from './pdu-reader.ts';

/** The data set and the flags of its PDVs, read back. */
function readBack(pdus: readonly Buffer[]): { dataset: Buffer; flags: boolean[]; contexts: number[] } {
  const fragments: Buffer[] = [], flags: boolean[] = [], contexts: number[] = [];
  const reader = new PduReader({
    header() { /* any */ }, pdu() { throw new Error('not P-DATA'); }, pdv(id, isCommand, isLast) { if (isCommand) throw new Error('a command'); contexts.push(id); flags.push(isLast); },
    fragment(bytes) { fragments.push(Buffer.from(bytes)); }, endOfPdv() { /* next */ },
  });
  for (const pdu of pdus) reader.push(Buffer.from(pdu));
  return { dataset: Buffer.concat(fragments), flags, contexts };
}

const chunksOf = fc.array(fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)), { maxLength: 20 });

test('a data set leaves whole, in PDUs no larger than allowed, the last one and only it marked, however its chunks are cut', () => {
  fc.assert(fc.property(chunksOf, fc.integer({ min: 1, max: 50 }), (chunks, fragmentLength) => {
    const pdus = new DataPdus(fragmentLength), sent: Buffer[] = [];
    for (let round = 0; round < 2; round++) { // the second round is written into buffers that were given back
      sent.length = 0;
      pdus.begin(5);
      const take = (pdu: Buffer): void => { sent.push(Buffer.from(pdu)); pdus.giveBack(pdu); };
      for (const chunk of chunks) for (const pdu of pdus.add(chunk)) take(pdu);
      take(pdus.last());
      const { dataset, flags, contexts } = readBack(sent);
      expect(dataset.equals(Buffer.concat(chunks))).toBe(true);
      expect(flags).toEqual([...Array<boolean>(sent.length - 1).fill(false), true]);
      expect(new Set(contexts)).toEqual(new Set([5]));
      expect(Math.max(...sent.map((pdu) => pdu.length))).toBeLessThanOrEqual(12 + fragmentLength);
    }
  }));
});

test('what is read from a file, from memory and from chunks is the same on the wire, also when the connection is slow', async () => {
  await fc.assert(fc.asyncProperty(chunksOf, fc.integer({ min: 7, max: 60 }), async (chunks, maximumLength) => {
    const whole = Buffer.concat(chunks);
    let at = 0;
    const stored = { read: async (into: Buffer) => { const count = whole.copy(into, 0, at, at + 17); at += count; return count; }, close: async () => undefined, async *[Symbol.asyncIterator]() { yield whole; } };
    const wires: string[] = [];
    for (const dataset of [stored, whole, (async function* chunked() { yield* chunks; })()]) {
      const sent: Buffer[] = [];
      // The bytes are looked at when they are "sent", a turn later: a buffer that was used again too early shows.
      const invoker = new Invoker(async (bytes) => { await new Promise((resolve) => { setImmediate(resolve); }); sent.push(Buffer.from(bytes)); return true; }, maximumLength, new AbortController().signal);
      expect(await invoker.send(3, Buffer.alloc(4), dataset)).toBe(true);
      wires.push(readBack(sent.slice(1)).dataset.toString('hex'));
      expect(Math.max(...sent.slice(1).map((pdu) => pdu.length - 6))).toBeLessThanOrEqual(maximumLength);
    }
    expect(new Set(wires)).toEqual(new Set([whole.toString('hex')]));
  }), { numRuns: 40 });
});

test('a connection that is gone ends the sending', async () => {
  let writes = 0;
  const invoker = new Invoker(async () => { writes += 1; return writes < 3; }, 1000, new AbortController().signal);
  expect(await invoker.send(3, Buffer.alloc(4), Buffer.alloc(5_000_000))).toBe(false);
  expect(writes).toBeLessThan(2_000);
});
