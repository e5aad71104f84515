import { expect, test } from 'vitest';
import { encodeDataset } from './dataset-writer.ts';
import type { DatasetElements } from './dataset-writer.ts';
import { dicomReader } from './reader.ts';
import { explicitVrLittleEndian, implicitVrLittleEndian } from './transfer-syntaxes.ts';

const elements: DatasetElements = {
  '(0008,0005)': 'ISO_IR 192', '(0008,0008)': ['ORIGINAL', 'PRIMARY'], '(0008,0050)': null, '(0010,0010)': 'Yamada^Tarou^^Dr^=山田^太郎=やまだ^たろう^^', '(0010,0020)': 'ID-1 ',
  '(0010,1002)': [{ '(0010,0020)': 'B', '(0010,0021)': 'SITE' }, { '(0010,0020)': 'C' }],
  '(0040,0275)': [{ '(0040,0007)': 'first' }, { '(0040,1001)': 'RP-2', '(0032,1064)': [{ '(0008,0100)': 'CODE' }] }],
  '(0010,4000)': 'a\\b', '(0028,0010)': 512, '(0028,0009)': '(0018,1063)', '(0009,0010)': 'ACME', '(7fe0,0010)': { vr: 'OW', value: Buffer.alloc(8) },
};
const readers = [true, false].map((explicitVr) => dicomReader(encodeDataset(elements, { explicitVr }), { transferSyntaxUid: explicitVr ? explicitVrLittleEndian : implicitVrLittleEndian, callingAeTitle: 'CT1' }));

test('values, components and groups by path, alike in Explicit and Implicit VR', () => {
  for (const reader of readers) {
    expect(['(0010,0010).1', '(0010,0010).2', '(0010,0010).3', '(0010,0010).4', '(0010,0010).5'].map((path) => reader.first(path))).toEqual(['Yamada', 'Tarou', '', 'Dr', '']);
    expect(['alphabetic', 'ideographic', 'phonetic'].map((group) => reader.first(`(0010,0010).${group}`))).toEqual(['Yamada^Tarou^^Dr', '山田^太郎', 'やまだ^たろう']);
    expect(reader.first('(0010,0010)')).toBe('Yamada^Tarou^^Dr^=山田^太郎=やまだ^たろう^^');
    expect(reader.first('(0010,0020)')).toBe('ID-1');
    expect(reader.all('(0008,0008)')).toEqual(['ORIGINAL', 'PRIMARY']);
    expect(reader.first('(0028,0010)')).toBe('512');
    expect(reader.first('(0028,0009)')).toBe('(0018,1063)');
    expect(reader.all('(0010,4000)')).toEqual(['a\\b']);
  }
});
test('there and empty, not there, and nonsense', () => {
  for (const reader of readers) expect([reader.first('(0008,0050)'), reader.first('(0008,0051)'), reader.first('PID-3'), reader.first('(0010,0010).9'), reader.first('(0010,1002)')]).toEqual(['', undefined, undefined, undefined, undefined]);
});
test('sequences by > and by each, in which paths start at the item', () => {
  for (const reader of readers) {
    expect(reader.first('(0040,0275)>(0040,1001)')).toBe('RP-2');
    expect(reader.all('(0010,1002)>(0010,0020)')).toEqual(['B', 'C']);
    expect(reader.first('(0040,0275)>(0032,1064)>(0008,0100)')).toBe('CODE');
    expect(reader.each('(0010,1002)').map((item) => [item.first('(0010,0020)'), item.first('(0010,0021)')])).toEqual([['B', 'SITE'], ['C', undefined]]);
    expect(reader.each('(0008,0008)').map((value) => value.first('.'))).toEqual(['ORIGINAL', 'PRIMARY']);
    expect(reader.each('(0010,0010)').map((value) => value.first('.1'))).toEqual(['Yamada']);
  }
});
test('facts: given ones, and those that the bytes tell', () => {
  const [reader] = readers;
  expect([reader?.first('fact:callingAeTitle'), reader?.first('fact:transferSyntaxUid'), reader?.first('fact:datasetOffset'), reader?.first('fact:hasPixelData'), reader?.first('fact:nothing'), reader?.first('fact:constructor')])
    .toEqual(['CT1', explicitVrLittleEndian, '0', 'true', undefined, undefined]);
});
test('unread lists what holds a value and was not asked for, to the depth that was entered, without Pixel Data', () => {
  const reader = dicomReader(encodeDataset(elements));
  expect(reader.unread()).toEqual(['(0008,0005)', '(0008,0008)', '(0009,0010)', '(0010,0010)', '(0010,0020)', '(0010,1002)', '(0010,4000)', '(0028,0009)', '(0028,0010)', '(0040,0275)']);
  reader.first('(0010,0010).1');
  reader.all('(0040,0275)>(0040,1001)');
  expect(reader.unread()).toEqual(['(0008,0005)', '(0008,0008)', '(0009,0010)', '(0010,0020)', '(0010,1002)', '(0010,4000)', '(0028,0009)', '(0028,0010)', '(0040,0275)>(0040,0007)', '(0040,0275)>(0032,1064)']);
});
test('an item with its own character set is read by it, an item without by the one around it', () => {
  const latin = (text: string) => ({ vr: 'PN', value: Buffer.from(text, 'latin1') });
  const bytes = encodeDataset({ '(0008,0005)': 'ISO_IR 100', '(0010,0010)': latin('Müller'), '(0040,0275)': [{ '(0008,0005)': 'ISO_IR 192', '(0040,0006)': 'Łuk' }, { '(0040,0006)': latin('Bär') }] });
  const reader = dicomReader(bytes);
  expect([reader.first('(0010,0010)'), ...reader.all('(0040,0275)>(0040,0006)')]).toEqual(['Müller', 'Łuk', 'Bär']);
});
