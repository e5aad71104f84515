import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DatasetHead, mostDatasetBytes } from '#standards/dicom/dataset-head.ts';
import { ctDataset, explicitLittleEndian, implicitLittleEndian } from './testing/peer.ts';

const prefix = Buffer.from('prefix');
const headOf = (transferSyntaxUid: string, ...fragments: Buffer[]): Buffer => {
  const head = new DatasetHead(prefix, transferSyntaxUid);
  for (const fragment of fragments) head.add(fragment);
  return head.bytes().subarray(prefix.length);
};
const explicit = (tag: string, vr: string, value: Buffer, length = value.length): Buffer => {
  const head = Buffer.alloc(['OW', 'SQ', 'UN', 'OB'].includes(vr) ? 12 : 8);
  head.writeUInt16LE(parseInt(tag.slice(0, 4), 16));
  head.writeUInt16LE(parseInt(tag.slice(4), 16), 2);
  head.write(vr, 4, 'latin1');
  if (head.length === 12) head.writeUInt32LE(length, 8); else head.writeUInt16LE(length, 6);
  return Buffer.concat([head, value]);
};
const implicit = (tag: string, value: Buffer, length = value.length): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(parseInt(tag.slice(0, 4), 16));
  head.writeUInt16LE(parseInt(tag.slice(4), 16), 2);
  head.writeUInt32LE(length, 4);
  return Buffer.concat([head, value]);
};
const undefinedLength = 0xffffffff;
const itemEnd = implicit('fffee00d', Buffer.alloc(0)), sequenceEnd = implicit('fffee0dd', Buffer.alloc(0));
const pixels = explicit('7fe00010', 'OW', Buffer.alloc(5000));

test('ends where Pixel Data begins, however the data set is cut', () => {
  const dataset = ctDataset('1.2.3', 100_000);
  const end = dataset.length - 100_000 - 12;
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 }), (sizes) => {
    const fragments: Buffer[] = [];
    for (let at = 0, index = 0; at < dataset.length; index++) { const size = sizes[index % sizes.length] ?? 1; fragments.push(dataset.subarray(at, at + size)); at += size; }
    expect(headOf(explicitLittleEndian, ...fragments).equals(dataset.subarray(0, end))).toBe(true);
  }), { numRuns: 30 });
});

test('is not fooled by Pixel Data inside a sequence, of either kind of length', () => {
  const icon = explicit('7fe00010', 'OW', Buffer.alloc(64));
  const open = explicit('00880200', 'SQ', Buffer.concat([implicit('fffee000', Buffer.concat([icon, itemEnd]), undefinedLength), sequenceEnd]), undefinedLength);
  const closed = explicit('00880200', 'SQ', implicit('fffee000', icon));
  const mixed = explicit('00880200', 'SQ', Buffer.concat([implicit('fffee000', icon), sequenceEnd]), undefinedLength);
  for (const sequence of [open, closed, mixed]) {
    const header = Buffer.concat([explicit('00080060', 'CS', Buffer.from('CT')), sequence, explicit('00280010', 'US', Buffer.alloc(2))]);
    expect(headOf(explicitLittleEndian, Buffer.concat([header, pixels])).equals(header)).toBe(true);
  }
});

test('reads UN of undefined length as Implicit VR, and goes on in Explicit VR behind it', () => {
  const unknown = explicit('00091010', 'UN', Buffer.concat([implicit('fffee000', Buffer.concat([implicit('00091001', Buffer.from('abcd')), itemEnd]), undefinedLength), sequenceEnd]), undefinedLength);
  const header = Buffer.concat([explicit('00080060', 'CS', Buffer.from('CT')), unknown, explicit('00100020', 'LO', Buffer.from('P1'))]);
  expect(headOf(explicitLittleEndian, Buffer.concat([header, pixels])).equals(header)).toBe(true);
});

test('reads Implicit VR', () => {
  const header = Buffer.concat([implicit('00080060', Buffer.from('CT')), implicit('00081140', Buffer.concat([implicit('fffee000', implicit('00081150', Buffer.from('1.2.'))), sequenceEnd]), undefinedLength)]);
  expect(headOf(implicitLittleEndian, Buffer.concat([header, implicit('7fe00010', Buffer.alloc(100))])).equals(header)).toBe(true);
});

test('keeps a data set without Pixel Data whole', () => {
  const report = Buffer.concat([explicit('00080060', 'CS', Buffer.from('SR')), explicit('0040a730', 'SQ', implicit('fffee000', Buffer.alloc(40_000)))]);
  expect(headOf(explicitLittleEndian, report).equals(report)).toBe(true);
});

test('keeps no more than its limit, whatever length an element claims', () => {
  const endless = Buffer.concat([explicit('00080060', 'CS', Buffer.from('CT')), explicit('00091010', 'UN', Buffer.alloc(0), 0xfffffffe)]);
  expect(headOf(explicitLittleEndian, endless, Buffer.alloc(3 * mostDatasetBytes))).toHaveLength(mostDatasetBytes);
});

test('never throws on any bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(explicitLittleEndian, implicitLittleEndian, '1.2.840.10008.1.2.2', '1.2.840.10008.1.2.1.99'), (bytes, syntax) => {
    expect(headOf(syntax, Buffer.from(bytes)).length).toBeLessThanOrEqual(bytes.length);
  }), { numRuns: 1000 });
});
