/** What is written in a character set is what its decoder reads: every character of each set, and a report's words in each. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeMessage, encodingOf } from './character-set.ts';
import { deliverableCharacterSets, encodeMessage } from './encode.ts';
import type { DeliverableCharacterSet } from './encode.ts';

const words: Readonly<Record<DeliverableCharacterSet, string>> = {
  'UNICODE UTF-8': 'Жук 漢 é 𝄞', 'ASCII': 'Smith', '8859/1': 'Müller Ångström ½', '8859/2': 'Łódź Dvořák', '8859/3': 'Ħal Għaxaq ĉ', '8859/4': 'Ķīpsala ģ', '8859/5': 'Иванов', '8859/6': 'محمد',
  '8859/7': 'Παπαδόπουλος', '8859/8': 'כהן', '8859/9': 'Öztürk ğış', '8859/15': 'Šœ €', 'WINDOWS-1252': '“Müller” – €', 'ISO IR87': '山田 太郎 ヤマダ', 'GB 18030-2000': '王小东 é ᠠ', 'KS X 1001': '김희중 洪',
};

test.each(deliverableCharacterSets)('%s: what is written is read again', (set) => {
  const text = `MSH|^~\\&|A|B|||20260105||ADT^A08|1|P|2.5||||||${set === 'ISO IR87' ? '~ISO IR87' : set}\rPID|1||1||${words[set]}^X|Y\r`;
  const bytes = encodeMessage(text, set);
  expect(decodeMessage(bytes).text).toBe(text);
  // A kanji of ISO 2022 may hold the byte of a delimiter between its escapes, but never a line end.
  for (const delimiter of set === 'ISO IR87' ? ['\r'] : ['|', '^', '\r']) expect(bytes.filter((byte) => byte === delimiter.charCodeAt(0))).toHaveLength(text.split(delimiter).length - 1);
});

test.each(deliverableCharacterSets.filter((set) => set !== 'UNICODE UTF-8'))('%s: a character it has not is an error with its place, not a question mark', (set) => {
  expect(() => encodeMessage(`ab${set === 'GB 18030-2000' ? '𝄞' : 'ᠠ'}c`, set)).toThrow(/Character 3 of the message \(U\+\w+\) cannot be written in/);
});

test('property: a character is either written so that it is read again, or refused', () => {
  const decode = (bytes: Buffer, set: DeliverableCharacterSet): string => new TextDecoder(set === '8859/1' ? 'windows-1252' : encodingOf(set) ?? 'utf-8').decode(bytes);
  fc.assert(fc.property(fc.constantFrom(...deliverableCharacterSets), fc.string({ unit: 'grapheme', maxLength: 8 }), (set, text) => {
    let bytes;
    try { bytes = encodeMessage(text, set); } catch (error) { expect(error).toBeInstanceOf(RangeError); return; }
    expect(decode(bytes, set)).toBe(text);
  }), { numRuns: 2_000 });
});

test('the letters of ISO 8859 begin at A0: what browsers put below is not sent under its name', () => {
  for (const set of ['8859/1', '8859/9', '8859/15'] as const) expect(() => encodeMessage('“', set)).toThrow(RangeError);
  expect(encodeMessage('“', 'WINDOWS-1252')).toEqual(Buffer.of(0x93));
});
