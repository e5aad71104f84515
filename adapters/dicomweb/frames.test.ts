/** Frame positions by each of the tables, on data sets made of bytes; the way through the gateway is in gateway.test.ts. */
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { readHeader } from '#standards/dicom/header.ts';
import { transferSyntaxOf } from '#standards/dicom/transfer-syntaxes.ts';
import { ByteSource, RangeReader } from './byte-ranges.ts';
import { framesOf } from './frames.ts';
import { readStoredHeader } from './stored-header.ts';
import { encapsulated, explicitLittleEndian, jpegBaseline, native, object } from './testing/objects.ts';

const image = (frames: number, more: DatasetElements = {}): DatasetElements => ({ '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2', '(0028,0008)': String(frames), '(0028,0010)': 2, '(0028,0011)': 2, '(0028,0100)': 8, ...more });
const longElement = (tag: string, bytes: Buffer): Buffer => { const head = Buffer.from(`${tag}4f56000000000000`, 'hex'); head.writeUInt32LE(bytes.length, 8); return Buffer.concat([head, bytes]); };
const words = (...values: number[]): Buffer => { const bytes = Buffer.alloc(values.length * 8); values.forEach((value, index) => bytes.writeBigUInt64LE(BigInt(value), index * 8)); return bytes; };

async function frames(elements: DatasetElements, pixelData: Buffer, wanted: readonly number[] | 'all', transferSyntaxUid: string, chunkLength = 7): Promise<string[]> {
  const { dataset, sopInstanceUid } = object(elements, { transferSyntaxUid, pixelData });
  const open = (): Readable => Readable.from((function* () { for (let at = 0; at < dataset.length; at += chunkLength) yield dataset.subarray(at, at + chunkLength); })());
  const instance = { sopInstanceUid, sopClassUid: '1.2.3', transferSyntaxUid, studyInstanceUid: '1', seriesInstanceUid: '1', byteSize: 0, sha256: '', location: '', datasetOffset: 0 };
  const header = await readStoredHeader({ openDataset: open } as never, instance);
  expect(header.header.dataset.size).toBe(readHeader(dataset, transferSyntaxUid).dataset.size);
  const ranges = await framesOf(header, transferSyntaxOf(transferSyntaxUid), new ByteSource(open()), wanted);
  const reader = new RangeReader(open), found: string[] = [];
  for (const parts of ranges.values()) found.push(Buffer.concat(await Array.fromAsync(reader.bytes(parts))).toString('latin1'));
  return found;
}

test.each([1, 3, 11, 1000])('native frames, read in chunks of %i bytes', async (chunkLength) => {
  expect(await frames(image(3), native('OB', Buffer.from('aaaabbbbcccc')), [3, 1, 2], explicitLittleEndian, chunkLength)).toEqual(['cccc', 'aaaa', 'bbbb']);
});
test('native frames of several samples and 16 bits', async () => {
  expect(await frames(image(2, { '(0028,0002)': 3, '(0028,0100)': 16 }), native('OW', Buffer.from('a'.repeat(24) + 'b'.repeat(24))), [2], explicitLittleEndian)).toEqual(['b'.repeat(24)]);
});
test('the Extended Offset Table stands above everything', async () => {
  const tables = Buffer.concat([longElement('e07f0100', words(0, 10)), longElement('e07f0200', words(2, 3))]);
  expect(await frames(image(2), Buffer.concat([tables, encapsulated([], [Buffer.from('aa'), Buffer.from('bbb\0')])]), 'all', jpegBaseline)).toEqual(['aa', 'bbb']);
});
test('the Basic Offset Table joins the fragments of a frame', async () => {
  const fragments = ['a1', 'a2', 'b1', 'c1', 'c2'].map((text) => Buffer.from(text));
  expect(await frames(image(3), encapsulated([0, 20, 30], fragments), [2, 1, 3], jpegBaseline)).toEqual(['b1', 'a1a2', 'c1c2']);
});
test('a Basic Offset Table that is none is not believed', async () => {
  expect(await frames(image(2), encapsulated([0, 0], [Buffer.from('a1'), Buffer.from('b1')]), 'all', jpegBaseline)).toEqual(['a1', 'b1']);
});
test.each<[string, DatasetElements, Buffer, string, RegExp]>([
  ['a frame beyond the last', image(1), native('OB', Buffer.alloc(4)), explicitLittleEndian, /has 1 frame/],
  ['pixel data shorter than promised', image(4), native('OB', Buffer.alloc(4)), explicitLittleEndian, /shorter/],
  ['frames of half bytes', image(4, { '(0028,0100)': 1, '(0028,0011)': 3 }), native('OB', Buffer.alloc(4)), explicitLittleEndian, /whole bytes/],
  ['no pixel data', image(4), Buffer.alloc(0), explicitLittleEndian, /no pixel data/],
  ['fragments cut off', image(4), encapsulated([], [Buffer.alloc(100)]).subarray(0, 40), jpegBaseline, /ends inside/],
])('refuses %s in words', async (_what, elements, pixelData, transferSyntaxUid, words_) => {
  await expect(frames(elements, pixelData, [4], transferSyntaxUid)).rejects.toThrow(words_);
});

test('refuses frames of a big endian object in words: their bytes would have to be swapped', async () => {
  const element = (tag: string, vr: string, value: Buffer): Buffer => { const head = Buffer.from(`${tag}00000000`, 'hex'); head.write(vr, 4, 'latin1'); head.writeUInt16BE(value.length, 6); return Buffer.concat([head, value]); };
  const dataset = Buffer.concat([element('00080060', 'CS', Buffer.from('CT')), element('00280008', 'IS', Buffer.from('1 ')), Buffer.from('7fe000104f57000000000002abcd', 'hex')]);
  const open = (): Readable => Readable.from([dataset]);
  const header = await readStoredHeader({ openDataset: open } as never, { sopInstanceUid: '1.2', sopClassUid: '1.2', transferSyntaxUid: '1.2.840.10008.1.2.2' } as never);
  expect(header.pixelDataAt).toBe(dataset.length - 14);
  await expect(framesOf(header, transferSyntaxOf('1.2.840.10008.1.2.2'), new ByteSource(open()), [1])).rejects.toThrow(/Explicit VR Big Endian; retrieve the instance/);
});
