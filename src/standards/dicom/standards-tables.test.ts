import { describe, expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { daOfIsoDate, isoDateOfDa, isoDateTimeOf, isoDateTimeOfDt, isoTimeOfTm, localDaTm } from './dates.ts';
import { vrOf } from './dictionary.ts';
import { scanTypeByModality, scanTypeOfModality } from './modality.ts';
import { formatPersonName, parsePersonName } from './person-name.ts';
import { isImageSopClass, isStorageSopClass, storageClassOf, storageSopClasses } from './sop-classes.ts';
import { transferSyntaxes, transferSyntaxOf } from './transfer-syntaxes.ts';
import { deriveUid, isValidUid, uidOfUuid } from './uids.ts';

describe('dates', () => {
  test('DA with today\'s and ACR-NEMA punctuation, cut dates, and days that are none', () => {
    expect(['19800517', '1980.05.17', '198005', '1980', '20240229 '].map(isoDateOfDa)).toEqual(['1980-05-17', '1980-05-17', '1980-05', '1980', '2024-02-29']);
    expect(['20230229', '19801301', '00000000', '', 'yesterday', '19800517-19800518'].map(isoDateOfDa)).toEqual(Array.from({ length: 6 }, () => undefined));
  });
  test('TM to its precision', () => {
    expect(['07', '0709', '070907', '070907.0705 ', '07:09:07', '235960'].map(isoTimeOfTm)).toEqual(['07', '07:09', '07:09:07', '07:09:07.0705', '07:09:07', '23:59:60']);
    expect(['24', '0760', '7', '0709071'].map(isoTimeOfTm)).toEqual(Array.from({ length: 4 }, () => undefined));
  });
  test('a moment takes its offset from (0008,0201), else from the zone at that local time, else has none', () => {
    expect(isoDateTimeOf('20260701', '0830', { offset: '-0500', zone: 'Europe/Berlin' })).toBe('2026-07-01T08:30:00-05:00');
    expect(isoDateTimeOf('20260701', '083015.5', { zone: 'Europe/Berlin' })).toBe('2026-07-01T08:30:15.5+02:00');
    expect(isoDateTimeOf('20260101', '08', { zone: 'Europe/Berlin' })).toBe('2026-01-01T08:00:00+01:00');
    expect(isoDateTimeOf('20260101', '08', { zone: 'Asia/Kolkata' })).toBe('2026-01-01T08:00:00+05:30');
    expect(isoDateTimeOf('20260101', '08')).toBe('2026-01-01T08:00:00');
    expect(isoDateTimeOf('20260101', undefined, { zone: 'Europe/Berlin' })).toBe('2026-01-01');
    expect(isoDateTimeOf('20260101', '08', { zone: 'Mars/Olympus' })).toBe('2026-01-01T08:00:00');
  });
  test('around a clock change: the skipped and the doubled hour get the offset before the change', () => {
    expect(['20260329 01', '20260329 02', '20260329 03', '20261025 01', '20261025 02', '20261025 03'].map((text) => isoDateTimeOf(text.slice(0, 8), text.slice(9), { zone: 'Europe/Berlin' })?.slice(19)))
      .toEqual(['+01:00', '+01:00', '+02:00', '+02:00', '+02:00', '+01:00']);
  });
  test('DT', () => {
    expect(['20260701083015.25+0100', '202607010830', '2026', '20260701-0400'].map((text) => isoDateTimeOfDt(text, { zone: 'UTC' }))).toEqual(['2026-07-01T08:30:15.25+01:00', '2026-07-01T08:30:00+00:00', '2026', '2026-07-01']);
  });
  test('ISO back to DA and TM, in UTC or in a zone', () => {
    expect(localDaTm('2026-02-28T23:30:00Z', 'Europe/Berlin')).toEqual({ da: '20260301', tm: '003000', offset: '+0100' });
    expect(localDaTm('2026-02-28T23:30:00.123Z')).toEqual({ da: '20260228', tm: '233000', offset: '+0000' });
    expect(localDaTm('2026-02-28T23:30:00')).toEqual({ da: '20260228', tm: '233000', offset: undefined });
    expect([localDaTm('2026-02-28'), localDaTm(undefined)]).toEqual([{ da: '20260228', tm: '', offset: undefined }, { da: '', tm: '', offset: undefined }]);
    expect([daOfIsoDate('1980-05'), daOfIsoDate('1980-05-17')]).toEqual(['', '19800517']);
  });
});

test('person names in three groups, and back without delimiters from inside', () => {
  expect(parsePersonName('Adams^John Robert Quincy^^Rev.^B.A. M.Div.')).toEqual({ alphabetic: { family: 'Adams', given: 'John Robert Quincy', middle: '', prefix: 'Rev.', suffix: 'B.A. M.Div.' }, ideographic: '', phonetic: '' });
  expect(parsePersonName('=山田^太郎^^=')).toMatchObject({ alphabetic: { family: '' }, ideographic: '山田^太郎', phonetic: '' });
  expect(formatPersonName({ family: 'O\\Ne^ill', given: 'A=B', phonetic: 'x^y^' })).toBe('O Ne ill^A B==x^y');
  expect(formatPersonName({})).toBe('');
});

test('UIDs: valid forms, and derived ones that never change', () => {
  expect(['1.2.3', '2.25.0', '1.02', '1', '1..2', '1.2.', `1.${'2'.repeat(63)}`, 'a.b'].map(isValidUid)).toEqual([true, true, false, false, false, false, false, false]);
  expect(deriveUid('a')).toBe(deriveUid('a'));
  expect(deriveUid('a')).not.toBe(deriveUid('b'));
  expect(Array.from({ length: 200 }, (_, index) => deriveUid(String(index))).every((uid) => isValidUid(uid) && uid.startsWith('2.25.'))).toBe(true);
  expect(uidOfUuid('f81d4fae-7dec-11d0-a765-00a0c91e6bf6')).toBe('2.25.329800735698586629295641978511506172918'); // PS3.5 B.2
});

test('storage SOP classes: images, other storage, what is not storage', () => {
  expect([...storageSopClasses.keys()].every(isValidUid)).toBe(true);
  expect(['1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.5.1.4.1.1.88.67', '1.2.840.10008.1.1'].map((uid) => [isStorageSopClass(uid), isImageSopClass(uid)])).toEqual([[true, true], [true, false], [false, false]]);
  expect(['1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.5.1.4.1.1.9999', '1.3.12.2.1107.5.9.1', '1.2.840.10008.1.1', '1.2.840.10008.5.1.4.39.1', '1.2.840.10008.5.1.4.1.1.200.1', '', 'x'].map(storageClassOf)).toEqual(['standard', 'standard-unknown', 'private', ...Array<string>(5).fill('not-storage')]);
});
test('transfer syntaxes', () => {
  expect([...transferSyntaxes.keys()].every(isValidUid)).toBe(true);
  expect(transferSyntaxOf('1.2.840.10008.1.2.4.90')).toMatchObject({ encapsulated: true, lossy: false, explicitVr: true });
  expect(transferSyntaxOf('1.2.840.10008.1.2.4.50')).toMatchObject({ encapsulated: true, lossy: true });
  expect(transferSyntaxOf('1.2.840.10008.1.2')).toMatchObject({ explicitVr: false, littleEndian: true, encapsulated: false });
  expect(transferSyntaxOf('1.2.840.10008.1.2.4.95')).toMatchObject({ deflated: true, encapsulated: false });
});
test('the code table of the mapping engine says what modality.ts says', () => {
  const file = parse(readFileSync(resolve(import.meta.dirname, '../../../mappings/codes/dicom-modality-to-scan-type.yaml'), 'utf8')) as { codes: Record<string, string> };
  expect(Object.fromEntries(Object.entries(file.codes).filter(([, type]) => type !== 'other'))).toEqual(scanTypeByModality);
  expect([' ct ', 'OT', undefined, 'constructor'].map(scanTypeOfModality)).toEqual(['ct', 'other', 'other', 'other']);
});
test('the data dictionary knows public, repeating, private and unknown elements', () => {
  expect([0x00100010, 0x00280010, 0x00081140, 0x60020010, 0x60103000, 0x00090010, 0x00091001, 0x00080000, 0x00080007].map(vrOf)).toEqual(['PN', 'US', 'SQ', 'US', 'OW', 'LO', undefined, 'UL', undefined]);
});
