import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pData, pdu, pdv, releaseRequest } from '../testing/peer.ts';
import type { PduConsumer } from './pdu-reader.ts';
import { PduReader } from './pdu-reader.ts';

/** What a reader hands on, with the fragments of a PDV joined: this must not depend on how the bytes were cut. */
function read(chunks: readonly Buffer[], holdAtEndOfPdv = false): string[] {
  const seen: string[] = [];
  let fragments: Buffer[] = [];
  const consumer: PduConsumer = {
    header: (type, byteLength) => { seen.push(`header ${type} ${byteLength}`); },
    pdu: (type, bytes) => { seen.push(`pdu ${type} ${bytes.toString('hex')}`); },
    pdv: (contextId, isCommand, isLast) => { seen.push(`pdv ${contextId} ${isCommand} ${isLast}`); },
    fragment: (bytes) => { fragments.push(Buffer.from(bytes)); },
    endOfPdv: () => { seen.push(`data ${Buffer.concat(fragments).toString('hex')}`); fragments = []; if (holdAtEndOfPdv) reader.hold(); },
  };
  const reader = new PduReader(consumer);
  for (const chunk of chunks) {
    reader.push(chunk);
    while (reader.isHeld) reader.release();
  }
  return seen;
}

const cut = (bytes: Buffer, at: readonly number[]): Buffer[] => {
  const places = [0, ...at.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
};

const anyPdv = fc.tuple(fc.integer({ min: 1, max: 255 }), fc.integer({ min: 0, max: 3 }), fc.uint8Array({ maxLength: 40 })).map(([id, flags, data]) => pdv(id, flags, Buffer.from(data)));
const anyPdu = fc.oneof(
  { weight: 4, arbitrary: fc.array(anyPdv, { minLength: 1, maxLength: 4 }).map((pdvs) => pData(...pdvs)) },
  { weight: 1, arbitrary: fc.constant(releaseRequest) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((body) => pdu(1, Buffer.from(body))) },
);

test('hands on the same PDUs and PDVs however the stream is cut, held or not', () => {
  fc.assert(fc.property(fc.array(anyPdu, { minLength: 1, maxLength: 6 }), fc.array(fc.nat(), { maxLength: 30 }), fc.boolean(), (pdus, places, hold) => {
    const stream = Buffer.concat(pdus);
    expect(read(cut(stream, places), hold)).toEqual(read([stream]));
  }), { numRuns: 500 });
});

test('hands on the same when every chunk is one byte', () => {
  const stream = Buffer.concat([pData(pdv(1, 3, Buffer.from('abc')), pdv(3, 2, Buffer.alloc(0))), releaseRequest, pData(pdv(5, 0, Buffer.from('d')))]);
  expect(read([...stream].map((byte) => Buffer.from([byte])))).toEqual(read([stream]));
});

test('hands on PDV data as slices of the chunk, not as copies', () => {
  const chunk = pData(pdv(3, 2, Buffer.alloc(1000, 7)));
  let slice: Buffer | undefined;
  new PduReader({ header() { /* fine */ }, pdu() { /* none */ }, pdv() { /* fine */ }, fragment: (bytes) => { slice = bytes; }, endOfPdv() { /* fine */ } }).push(chunk);
  expect(slice?.buffer).toBe(chunk.buffer);
});

test('throws nothing but InvalidPdu on any bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(), { maxLength: 5 }), (bytes, places) => {
    try { read(cut(Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 100]), Buffer.from(bytes)]), places)); } catch (error) { expect((error as Error).name).toBe('InvalidPdu'); }
  }), { numRuns: 500 });
});
