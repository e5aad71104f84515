import { expect, test } from 'vitest';
import { characterSetOf } from './character-set.ts';
import { encodeText, specificCharacterSet, UnwritableTextError, writableSetOf, type writableCharacterSets } from './encode-text.ts';

const back = (text: string, set: (typeof writableCharacterSets)[number]): string => characterSetOf([specificCharacterSet(set)].flat().join('\\')).decode(encodeText(text, set), { isPersonName: true });

test.each([
  ['ISO_IR 100', 'Müller^Jörg'], ['ISO_IR 101', 'Dvořák^Żaneta'], ['ISO_IR 109', 'Ġorġ'], ['ISO_IR 110', 'Šķēle'], ['ISO_IR 126', 'Διονυσιος'], ['ISO_IR 127', 'قباني^لنزار'], ['ISO_IR 138', 'שרון^דבורה'],
  ['ISO_IR 144', 'Люкceмбypг'], ['ISO_IR 148', 'Çavuşoğlu'], ['ISO_IR 166', 'สมชาย'], ['ISO_IR 203', 'Œuvre €'], ['ISO_IR 192', 'Wang^XiaoDong=王^小东'], ['GB18030', 'Wang^XiaoDong=王^小东'], ['GBK', '王^小东\\李'],
  ['ISO 2022 IR 87', 'Yamada^Tarou=山田^太郎=やまだ^たろう'], ['ISO 2022 IR 149', 'Hong^Gildong=洪^吉洞=홍^길동'],
] as const)('what is written in %s is read again as it was', (set, text) => {
  expect(back(text, set)).toBe(text);
  expect(back('DOE^JOHN', set)).toBe('DOE^JOHN');
});

test('is written as the examples of PS3.5 annexes H and I have it', () => {
  expect(encodeText('Yamada^Tarou=山田^太郎=やまだ^たろう', 'ISO 2022 IR 87').toString('latin1')).toBe('Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B');
  expect(encodeText('Hong^Gildong=洪^吉洞=홍^길동', 'ISO 2022 IR 149').toString('latin1')).toBe('Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf');
});

test.each([['ISO_IR 100', 'Dvořák'], ['ISO_IR 101', 'Œuvre'], ['GBK', '😀'], ['ISO 2022 IR 87', 'Müller'], ['ISO 2022 IR 149', '😀'], ['ISO_IR 166', 'é']] as const)('%s does not have every character, and never writes another one', (set, text) => {
  expect(() => encodeText(text, set)).toThrow(UnwritableTextError);
});

test('the set that a question was asked in, where text can be written in it', () => {
  const of = (value: string) => writableSetOf(characterSetOf(value).terms);
  expect(['ISO_IR 100', 'ISO 2022 IR 100', '\\ISO 2022 IR 87', 'ISO 2022 IR 6\\ISO 2022 IR 149', 'ISO 2022 IR 13\\ISO 2022 IR 87', 'GB18030', 'ISO_IR 192', '', 'ISO_IR 6', 'ISO_IR 13', 'nonsense'].map(of))
    .toEqual(['ISO_IR 100', 'ISO_IR 100', 'ISO 2022 IR 87', 'ISO 2022 IR 149', 'ISO 2022 IR 87', 'GB18030', 'ISO_IR 192', undefined, undefined, undefined, undefined]);
});
