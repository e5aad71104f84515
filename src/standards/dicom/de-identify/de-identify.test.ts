import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodeDataset, type DatasetElements } from '../dataset-writer.ts';
import { vrOf } from '../dictionary.ts';
import type { DataElement, Dataset } from '../elements.ts';
import { readHeader } from '../header.ts';
import { buildPart10Header, parsePart10Head } from '../part10.ts';
import { dicomReader } from '../reader.ts';
import { corpusFiles } from '../test/dcmtk.ts';
import { deIdentify, DeIdentifyError, type DeIdentifyOptions, type Pseudonyms } from './de-identify.ts';
import { actionOf } from './profile.ts';
import { reIdentify } from './re-identify.ts';

const hmac = (text: string): Buffer => createHmac('sha256', 'a key of a test').update(text).digest();
const pseudonyms: Pseudonyms = {
  uid: (original) => `2.25.${BigInt(`0x${hmac(original).subarray(0, 15).toString('hex')}`)}`,
  patient: (id) => ({ name: `P-${hmac(id).toString('hex').slice(0, 12)}`, shiftDays: -(1 + (hmac(id).readUInt16BE() % 3650)) }),
};
const strict: DeIdentifyOptions = { dates: 'removed', keepsPatientCharacteristics: false, keepsDeviceIdentity: false, allowsUnknownBurnedIn: false };
const pixels = Buffer.from('e07f10004f570000040000000102fffe', 'hex').subarray(0, 12);
const pixelData = Buffer.concat([pixels, Buffer.from([1, 2, 3, 4])]);
const study = '1.2.826.0.1.3680043.10.91.1';

const image: DatasetElements = {
  '(0008,0005)': 'ISO_IR 192', '(0008,0016)': '1.2.840.10008.5.1.4.1.1.2', '(0008,0018)': `${study}.1.1`, '(0008,0020)': '20260301', '(0008,0030)': '101112', '(0008,0050)': 'ACC-SECRET', '(0008,0060)': 'CT',
  '(0008,0080)': 'Secret Hospital', '(0008,0090)': 'Secret^Doctor', '(0008,1030)': 'Secret study', '(0008,103e)': 'Secret series', '(0010,0010)': 'Secret^Patient', '(0010,0020)': 'MRN-SECRET', '(0010,0030)': '19800517', '(0010,0040)': 'F', '(0010,1010)': '045Y',
  '(0010,1002)': [{ '(0010,0020)': 'OTHER-SECRET', '(0010,0022)': 'TEXT' }], '(0008,1140)': [{ '(0008,1150)': '1.2.840.10008.5.1.4.1.1.2', '(0008,1155)': `${study}.1.7` }], '(0008,0022)': '20260228',
  '(0009,0010)': { vr: 'LO', value: 'SECRET VENDOR' }, '(0009,1001)': { vr: 'LO', value: 'private secret' }, '(0018,1000)': 'SERIAL-SECRET', '(0020,000d)': study, '(0020,000e)': `${study}.1`, '(0020,0010)': 'SID-SECRET', '(0020,0011)': 3, '(0020,0052)': `${study}.9`,
  '(0040,0275)': [{ '(0040,1001)': 'RP-SECRET', '(0032,1060)': 'Secret procedure', '(0040,0007)': 'Secret step' }], '(0028,0010)': 1, '(0028,0011)': 2, '(0028,0100)': 16, '(0020,9222)': [{ '(0020,9164)': `${study}.5`, '(0020,9165)': '(0020,9057)' }],
  '(6000,3000)': { vr: 'OW', value: Buffer.from([1, 0]) }, '(0054,0016)': [{ '(0018,1078)': '20260301101112', '(0018,0031)': 'FDG', '(0009,1001)': { vr: 'LO', value: 'nested private secret' } }],
};
const fileOf = (elements: DatasetElements): Buffer => Buffer.concat([buildPart10Header({ sopClassUid: elements['(0008,0016)'] as string, sopInstanceUid: elements['(0008,0018)'] as string, transferSyntaxUid: '1.2.840.10008.1.2.1' }), encodeDataset(elements), pixelData]);
const file = fileOf(image);

test('nothing of the person, the hospital or the private elements is left, at any depth', () => {
  const { file: sent, removed } = deIdentify(file, strict, pseudonyms);
  expect(sent.toString('latin1')).not.toMatch(/secret/i);
  expect(sent.toString('latin1')).not.toContain(study);
  expect(sent.toString('latin1')).not.toMatch(/20260301|20260228|19800517/);
  expect(removed.length).toBeGreaterThan(15);
});

test('the image says that and how it was de-identified, and its pixels are untouched', () => {
  const result = deIdentify(file, { ...strict, dates: 'shifted', keepsPatientCharacteristics: true }, pseudonyms);
  const reader = dicomReader(result.file);
  expect([reader.first('(0012,0062)'), reader.first('(0028,0303)'), reader.all('(0012,0064)>(0008,0100)'), reader.all('(0012,0064)>(0008,0102)')]).toEqual(['YES', 'MODIFIED', ['113100', '113107', '113108'], ['DCM', 'DCM', 'DCM']]);
  expect([reader.first('(0010,1010)'), reader.first('(0010,0040)')]).toEqual(['045Y', 'F']);
  expect([reader.first('(0010,0020)'), reader.first('(0010,0010)')]).toEqual([result.patientName, result.patientName]);
  expect(result.file.subarray(-4)).toEqual(Buffer.from([1, 2, 3, 4]));
  expect(parsePart10Head(result.file)).toMatchObject({ sopInstanceUid: result.sopInstanceUid, transferSyntaxUid: '1.2.840.10008.1.2.1' });
});

test('UIDs are others, the same for the same one, wherever they stand; classes stay', () => {
  const [one, two] = [deIdentify(file, strict, pseudonyms), deIdentify(fileOf({ ...image, '(0008,0018)': `${study}.1.7` }), strict, pseudonyms)];
  const reader = dicomReader(one.file);
  expect(reader.first('(0008,1140)>(0008,1155)')).toBe(two.sopInstanceUid);
  expect([two.studyInstanceUid, two.seriesInstanceUid]).toEqual([one.studyInstanceUid, one.seriesInstanceUid]);
  expect([reader.first('(0008,0016)'), reader.first('(0008,1140)>(0008,1150)')]).toEqual(['1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.5.1.4.1.1.2']);
  expect(reader.first('(0020,9222)>(0020,9164)')).toMatch(/^2\.25\./);
  expect(one.uids.get(one.studyInstanceUid)).toBe(study);
});

test('dates are moved by the same days for all images of a patient, or kept, or gone', () => {
  const dateOf = (dates: DeIdentifyOptions['dates'], elements = image): string | null | undefined => dicomReader(deIdentify(fileOf(elements), { ...strict, dates }, pseudonyms).file).first('(0008,0020)');
  const days = (text: string): number => Date.parse(`${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}`) / 86_400_000;
  expect([dateOf('removed'), dateOf('kept')]).toEqual(['', '20260301']);
  const { shiftDays } = pseudonyms.patient('MRN-SECRET\0');
  expect(days(dateOf('shifted')!) - days('20260301')).toBe(shiftDays);
  expect(days(dateOf('shifted', { ...image, '(0008,0020)': '20260401' })!) - days(dateOf('shifted')!)).toBe(31);
  expect(dateOf('shifted', { ...image, '(0008,0020)': '2026' })).toBe('');
  const { file: moved } = deIdentify(file, { ...strict, dates: 'shifted' }, pseudonyms);
  expect(dicomReader(moved).first('(0010,0030)')).toBe('');
});

test.each<[string, DatasetElements, Partial<DeIdentifyOptions>, string | undefined]>([
  ['says that there are annotations', { '(0028,0301)': 'YES' }, { allowsUnknownBurnedIn: true }, '(0028,0301) Burned In Annotation is YES'],
  ['is an ultrasound that says nothing', { '(0008,0060)': 'US' }, {}, 'often carry names'],
  ['is a secondary capture that says nothing', { '(0008,0016)': '1.2.840.10008.5.1.4.1.1.7' }, {}, 'often carry names'],
  ['is an ultrasound that says NO', { '(0008,0060)': 'US', '(0028,0301)': 'NO' }, {}, undefined],
  ['is an ultrasound that may go all the same', { '(0008,0060)': 'US' }, { allowsUnknownBurnedIn: true }, undefined],
  ['has no study', { '(0020,000d)': null }, {}, '(0020,000d) is missing'],
])('an image that %s', (_what, more, options, refusal) => {
  const attempt = (): unknown => deIdentify(fileOf({ ...image, ...more }), { ...strict, ...options }, pseudonyms);
  if (refusal === undefined) expect(attempt).not.toThrow();
  else expect(attempt).toThrow(refusal);
});

test('objects without pixels are refused', () => {
  expect(() => deIdentify(file.subarray(0, file.length - pixelData.length), strict, pseudonyms)).toThrow('no Pixel Data');
  expect(() => deIdentify(file.subarray(0, 700), strict, pseudonyms)).toThrow(DeIdentifyError);
  expect(() => deIdentify(file.subarray(0, file.length - 2), strict, pseudonyms)).toThrow('Pixel Data cannot be read');
});

test('an image that comes back is again what it was, element for element, nested and private ones too', () => {
  const sent = deIdentify(file, strict, pseudonyms);
  const back = reIdentify(sent.file, { originalUid: (uid) => sent.uids.get(uid), removed: sent.removed });
  expect(differences(readHeader(back.file).dataset, readHeader(file).dataset)).toEqual([]);
  expect(back).toMatchObject({ sopInstanceUid: `${study}.1.1`, studyInstanceUid: study });
  expect(back.file.subarray(-4)).toEqual(Buffer.from([1, 2, 3, 4]));
});

test('an object made from it gets patient, study and every UID, also inside its references', () => {
  const sent = deIdentify(file, strict, pseudonyms);
  const answer = encodeDataset({
    '(0008,0016)': '1.2.840.10008.5.1.4.1.1.88.34', '(0008,0018)': '1.2.3.4.5', '(0020,000d)': sent.studyInstanceUid, '(0020,000e)': '1.2.3.4', '(0010,0010)': sent.patientName, '(0010,0020)': sent.patientName, '(0008,103e)': 'AI', '(0008,0060)': 'SR',
    '(0040,a375)': [{ '(0020,000d)': sent.studyInstanceUid, '(0008,1115)': [{ '(0020,000e)': sent.seriesInstanceUid, '(0008,1199)': [{ '(0008,1150)': '1.2.840.10008.5.1.4.1.1.2', '(0008,1155)': sent.sopInstanceUid }] }] }],
  });
  const header = buildPart10Header({ sopClassUid: '1.2.840.10008.5.1.4.1.1.88.34', sopInstanceUid: '1.2.3.4.5', transferSyntaxUid: '1.2.840.10008.1.2.1' });
  const reader = dicomReader(reIdentify(Buffer.concat([header, answer]), { originalUid: (uid) => sent.uids.get(uid), removed: sent.removed }).file);
  expect(['(0010,0010)', '(0010,0020)', '(0010,0030)', '(0008,0050)', '(0020,000d)', '(0008,103e)', '(0008,0018)', '(0008,0060)'].map((tag) => reader.first(tag))).toEqual(['Secret^Patient', 'MRN-SECRET', '19800517', 'ACC-SECRET', study, 'AI', '1.2.3.4.5', 'SR']);
  expect(['(0040,a375)>(0020,000d)', '(0040,a375)>(0008,1115)>(0020,000e)', '(0040,a375)>(0008,1115)>(0008,1199)>(0008,1155)'].map((path) => reader.first(path))).toEqual([study, `${study}.1`, `${study}.1.1`]);
});

test('the table says what PS3.15 says of some attributes that everybody knows', () => {
  expect([0x00100010, 0x00080018, 0x00081030, 0x00080090, 0x00090010, 0x60023000, 0x50000010, 0x00280010, 0x00080060, 0x00180015].map(actionOf)).toEqual(['Z', 'U', 'X', 'Z', 'X', 'X', 'X', undefined, undefined, undefined]);
});

/** Paths where two datasets differ. */
function differences(one: Dataset, other: Dataset, path = ''): string[] {
  return [...new Set([...one.keys(), ...other.keys()])].filter((tag) => (tag & 0xffff) !== 0).flatMap((tag) => {
    const [left, right] = [one.get(tag), other.get(tag)], here = `${path}${tag.toString(16).padStart(8, '0')}`;
    if (left?.items !== undefined && right?.items?.length === left.items.length) return left.items.flatMap((item, index) => differences(item, right.items![index]!, `${here}/${index}/`));
    return left !== undefined && right !== undefined && sameBytes(left, right) ? [] : [here];
  });
}
const trimmed = ({ bytes }: DataElement): string => bytes.toString('latin1').replace(/[\0 ]+$/, '');
const sameBytes = (one: DataElement, other: DataElement): boolean => one.bytes.equals(other.bytes) || trimmed(one) === trimmed(other) || (one.littleEndian !== other.littleEndian && one.bytes.length === other.bytes.length);

const emptyElement: DataElement = { tag: 0, vr: 'LO', bytes: Buffer.alloc(0), littleEndian: true };
const files = corpusFiles();
if (files.length === 0) process.stderr.write('de-identify: the corpus (MEDSCAN_CORPUS) is absent; its tests are skipped\n');

describe.skipIf(files.length === 0)('the DICOM corpus', () => {
  test.each(files.map((path) => [basename(path), path]))('%s leaves nobody in its header and comes back whole, or is refused in words', (_name, path) => {
    const bytes = readFileSync(path);
    const attempt = (): ReturnType<typeof deIdentify> => deIdentify(bytes, { ...strict, allowsUnknownBurnedIn: true }, pseudonyms);
    let sent: ReturnType<typeof deIdentify>;
    try {
      sent = attempt();
    } catch (error) {
      expect(error).toBeInstanceOf(DeIdentifyError);
      return;
    }
    const after = readHeader(sent.file);
    expect(after.complete).toBe(true);
    const found = [...everyElement(after.dataset)];
    expect(found.filter(({ tag }) => (tag >>> 16) % 2 === 1 || vrOf(tag) === undefined)).toEqual([]);
    const original = readHeader(bytes);
    const identifying = [0x00100010, 0x00100020, 0x00100030, 0x00080050, 0x00080090, 0x00080080, 0x0020000d, 0x0020000e, 0x00080018].map((tag) => original.dataset.get(tag)).filter((element) => element !== undefined).map(trimmed)
      // Not those that another attribute, which stays, says too: a manufacturer's own images.
      .filter((value) => value.length > 4 && !trimmed(original.dataset.get(0x00080070) ?? emptyElement).includes(value));
    for (const value of identifying) expect(found.filter((element) => element.bytes.length < 1024 && trimmed(element).includes(value)).map(({ tag }) => tag.toString(16)), 'an original value').toEqual([]);
    const back = reIdentify(sent.file, { originalUid: (uid) => sent.uids.get(uid), removed: sent.removed });
    const isLarge = (element: DataElement | undefined): boolean => element?.items !== undefined || (element?.bytes.length ?? 0) > 16_000;
    expect(differences(readHeader(back.file).dataset, original.dataset).filter((where) => !isLarge(original.dataset.get(Number.parseInt(where.slice(0, 8), 16))))).toEqual([]);
  });
});

function* everyElement(dataset: Dataset): Generator<DataElement> {
  for (const element of dataset.values()) {
    yield element;
    for (const item of element.items ?? []) yield* everyElement(item);
  }
}
