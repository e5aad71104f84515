import { deflateRawSync, deflateSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { processorMilliseconds } from '../../../test/support/processor-time.ts';
import { encodeDataset } from './dataset-writer.ts';
import { readHeader } from './header.ts';
import { buildPart10Header } from './part10.ts';
import { formatTag } from './tag.ts';
import { deflatedExplicitVrLittleEndian, explicitVrBigEndian, explicitVrLittleEndian, implicitVrLittleEndian } from './transfer-syntaxes.ts';

const elements = {
  '(0008,0005)': 'ISO_IR 100', '(0008,0018)': '1.2.3', '(0008,1140)': [{ '(0008,1155)': '1.2.4' }, { '(0008,1155)': '1.2.5' }],
  '(0010,0010)': 'Doe^John', '(0028,0010)': 512, '(7fe0,0010)': { vr: 'OW', value: Buffer.alloc(64, 7) },
};
const hex = (...parts: readonly string[]) => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');
const listed = (bytes: Buffer, transferSyntaxUid: string) => [...readHeader(bytes, transferSyntaxUid).dataset.keys()].map(formatTag);
const allTags = ['(0008,0005)', '(0008,0018)', '(0008,1140)', '(0010,0010)', '(0028,0010)'];

test('Implicit and Explicit VR give the same elements, sequences with their items', () => {
  for (const [explicitVr, uid] of [[true, explicitVrLittleEndian], [false, implicitVrLittleEndian]] as const) {
    const header = readHeader(encodeDataset(elements, { explicitVr }), uid);
    expect([...header.dataset.keys()].map(formatTag)).toEqual(allTags);
    expect(header.dataset.get(0x00081140)?.items?.map((item) => item.get(0x00081155)?.bytes.toString('latin1'))).toEqual(['1.2.4\0', '1.2.5\0']);
    expect(header).toMatchObject({ complete: true, hasPixelData: true });
  }
});
test('every prefix gives the elements that lie wholly in it, and only the whole one is complete with pixels', () => {
  const bytes = encodeDataset(elements);
  const pixelsAt = bytes.length - 64 - 12;
  for (let length = 0; length <= bytes.length; length += 1) {
    const header = readHeader(bytes.subarray(0, length), explicitVrLittleEndian);
    const tags = [...header.dataset.keys()].map(formatTag);
    expect(allTags.slice(0, tags.length)).toEqual(tags);
    expect(header.hasPixelData).toBe(length >= pixelsAt + 8);
    if (length >= pixelsAt + 8) expect([tags, header.complete]).toEqual([allTags, true]);
  }
});
test('undefined lengths of sequences and items, in Explicit VR, and after them the next element', () => {
  const bytes = hex('08004011 5351 0000 ffffffff', 'feff00e0 ffffffff', '08005511 5549 0400 312e3200', 'feff0de0 00000000', 'feffdde0 00000000', '10001000 504e 0200 4120');
  expect(listed(bytes, explicitVrLittleEndian)).toEqual(['(0008,1140)', '(0010,0010)']);
});
test('UN of undefined length holds Implicit VR items; UN of a known tag gets the VR of the dictionary', () => {
  const bytes = hex('08004011 554e 0000 ffffffff', 'feff00e0 ffffffff', '08005511 04000000 312e3200', 'feff0de0 00000000', 'feffdde0 00000000', '10001000 554e 0000 02000000 4120');
  const { dataset } = readHeader(bytes, explicitVrLittleEndian);
  expect(dataset.get(0x00081140)?.items?.[0]?.get(0x00081155)?.bytes.toString('latin1')).toBe('1.2\0');
  expect(dataset.get(0x00100010)?.vr).toBe('PN');
});
test('a private sequence of unknown VR is a sequence by its looks', () => {
  const item = hex('09000110 02000000 4142');
  const { dataset } = readHeader(hex('09000210 12000000', 'feff00e0 0a000000', item.toString('hex'), '10001000 02000000 4120'), implicitVrLittleEndian);
  expect([...dataset.values()].map(({ tag, items }) => [formatTag(tag), items?.length])).toEqual([['(0009,1002)', 1], ['(0010,0010)', undefined]]);
});
test('encapsulated values inside items are passed over', () => {
  const icon = hex('e07f1000 4f42 0000 ffffffff', 'feff00e0 00000000', 'feff00e0 04000000 01020304', 'feffdde0 00000000');
  const bytes = hex('88000002 5351 0000 ffffffff', 'feff00e0 ffffffff', icon.toString('hex'), 'feff0de0 00000000', 'feffdde0 00000000', '10001000 504e 0200 4120');
  expect(readHeader(bytes, explicitVrLittleEndian)).toMatchObject({ complete: true, hasPixelData: false });
  expect(listed(bytes, explicitVrLittleEndian)).toEqual(['(0088,0200)', '(0010,0010)']);
});
test('odd lengths, an unknown VR, a blank VR and an element in Implicit VR do not stop the reading', () => {
  expect(listed(hex('08005000 5348 0300 414243', '10001000 504e 0200 4120'), explicitVrLittleEndian)).toEqual(['(0008,0050)', '(0010,0010)']);
  expect(listed(hex('08005000 5a5a 0000 02000000 4142', '10001000 504e 0200 4120'), explicitVrLittleEndian)).toEqual(['(0008,0050)', '(0010,0010)']);
  expect(listed(hex('08000500 4353 0200 4120', '08005000 2020 0200 4142', '10001000 504e 0200 4120'), explicitVrLittleEndian)).toEqual(['(0008,0005)', '(0008,0050)', '(0010,0010)']);
  expect(listed(hex('08000500 4353 0200 4120', '08005000 02000000 4142', '10001000 504e 0200 4120'), explicitVrLittleEndian)).toEqual(['(0008,0005)', '(0008,0050)', '(0010,0010)']);
});
test('a sequence that holds no items is passed over, with a warning, to its end', () => {
  const bytes = hex('08004011 5351 0000 ffffffff', '08005511 5549 0400 312e3200', 'feffdde0 00000000', '08004111 5351 0000 08000000 0102030405060708', '10001000 504e 0200 4120');
  expect(listed(bytes, explicitVrLittleEndian)).toEqual(['(0008,1140)', '(0008,1141)', '(0010,0010)']);
  expect(readHeader(bytes, explicitVrLittleEndian).warnings.filter((warning) => warning.includes('not an item'))).toHaveLength(2);
});
test('Explicit VR Big Endian', () => {
  const bytes = hex('00080018 5549 0004 312e3200', '00081140 5351 0000 00000014', 'fffee000 0000000c', '00081155 5549 0004 312e3300', '00280010 5553 0002 0200');
  expect(listed(bytes, explicitVrBigEndian)).toEqual(['(0008,0018)', '(0008,1140)', '(0028,0010)']);
});
test('a deflated dataset is inflated only as far as the header, raw or with a zlib head, whole or cut', () => {
  const plain = encodeDataset({ ...elements, '(7fe0,0010)': { vr: 'OW', value: Buffer.alloc(40_000_000) } });
  const head = buildPart10Header({ sopClassUid: '1.2', sopInstanceUid: '1.3', transferSyntaxUid: deflatedExplicitVrLittleEndian });
  for (const deflate of [deflateRawSync, deflateSync]) {
    const bytes = Buffer.concat([head, deflate(plain)]);
    expect(listed(bytes, '')).toEqual(allTags);
    expect(listed(bytes.subarray(0, bytes.length - 100), '')).toEqual(allTags);
  }
});
test('a deflate bomb before Pixel Data ends at the cap, quickly', () => {
  const bomb = deflateRawSync(encodeDataset({ '(0008,0018)': '1.2.3', '(0009,1001)': { vr: 'OB', value: Buffer.alloc(200_000_000) } }));
  const started = processorMilliseconds();
  const header = readHeader(bomb, deflatedExplicitVrLittleEndian);
  expect(header.complete).toBe(false);
  expect(header.warnings.join()).toContain('inflates to more than');
  expect(processorMilliseconds() - started).toBeLessThan(3000);
});
test('lengths that lie are never allocated and end the reading with a warning', () => {
  for (const bytes of [hex('08005000 4f42 0000 fffffffe'), hex('08005000 feffffff'), hex('08004011 5351 0000 fffffffe feff00e0 fffffffe 08005511 5549 feff'), hex('08004011 5351 0000 ffffffff feff00e0 ffffffff')]) {
    const header = readHeader(bytes, explicitVrLittleEndian);
    expect(header.complete).toBe(false);
    expect(header.warnings.length).toBeGreaterThan(0);
  }
});
test('nesting beyond reason and millions of empty elements are bounded', () => {
  const level = hex('08004011 5351 0000 ffffffff feff00e0 ffffffff');
  const nested = readHeader(Buffer.concat(Array.from({ length: 20_000 }, () => level)), explicitVrLittleEndian);
  expect(nested.warnings.join()).toContain('nested deeper');
  const many = Buffer.alloc(8 * 1_000_000);
  for (let at = 0; at < many.length; at += 8) { many.writeUInt16LE(0x0008, at); many.write('SH', at + 4, 'latin1'); }
  expect(readHeader(many, explicitVrLittleEndian)).toMatchObject({ complete: false });
});
