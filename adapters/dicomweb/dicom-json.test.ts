/** DICOM JSON by rules of PS3.18 annex F, and against DCMTK dcm2json over the corpus. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { DatasetHead } from '#standards/dicom/dataset-head.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { explicitLittleEndian, readElements } from '#standards/dicom/elements.ts';
import { readHeader } from '#standards/dicom/header.ts';
import { corpusFiles } from '#standards/dicom/test/dcmtk.ts';
import { dicomJsonText, jsonDatasetOf, jsonElement, jsonPersonName } from './dicom-json.ts';

const options = { bulkDataUri: (path: string) => `bulk/${path}` };
const jsonOf = (elements: Parameters<typeof encodeDataset>[0]): any => JSON.parse(dicomJsonText(jsonDatasetOf(readElements(encodeDataset(elements), 0, explicitLittleEndian, () => false).dataset, options)));

test('numbers are numbers, what JSON cannot hold stays text, empty values among others are null', () => {
  expect(jsonOf({ '(0028,0030)': [0.5, 1], '(0020,0013)': 7, '(0008,0008)': 'ORIGINAL\\\\AXIAL', '(0010,0020)': null, '(0028,0009)': 0x00181063, '(0018,9087)': 1e300 })).toEqual({
    '00280030': { vr: 'DS', Value: [0.5, 1] }, '00200013': { vr: 'IS', Value: [7] }, '00080008': { vr: 'CS', Value: ['ORIGINAL', null, 'AXIAL'] }, '00100020': { vr: 'LO' }, '00280009': { vr: 'AT', Value: ['00181063'] }, '00189087': { vr: 'FD', Value: [1e300] },
  });
  expect(jsonElement('DS', ['abc', '1e2', ''])).toEqual({ vr: 'DS', Value: ['abc', 100, null] });
  expect(jsonElement('UV', ['18446744073709551615'])).toEqual({ vr: 'UV', Value: ['18446744073709551615'] });
});

test('names come in their groups', () => {
  expect(jsonPersonName('Yamada^Tarou=山田^太郎=やまだ^たろう')).toEqual({ Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' });
  expect(jsonPersonName('=山田')).toEqual({ Ideographic: '山田' });
  expect(jsonPersonName('^^')).toBeNull();
});

test('keys stand in ascending order also where JavaScript would put numbers first', () => {
  const text = dicomJsonText([{ '52009229': { vr: 'SQ', Value: [{ '20500020': { vr: 'CS' }, '0008002A': { vr: 'DT' } }] }, '00080018': { vr: 'UI', Value: ['1.2'] } }]);
  expect(text).toBe('[{"00080018":{"vr":"UI","Value":["1.2"]},"52009229":{"vr":"SQ","Value":[{"0008002A":{"vr":"DT"},"20500020":{"vr":"CS"}}]}}]');
});

test('Pixel Representation tells US from SS where the header was written without VRs, in items too; a VR that was written stands', () => {
  const smallest = { '(0028,0106)': { vr: 'SS', value: -5 } };
  const elements = { '(0028,0010)': 40_000, '(0028,0103)': 1, ...smallest, '(0040,9096)': [smallest, { '(0028,0103)': 0, '(0028,0106)': 65_000 }] };
  const read = (explicitVr: boolean): any => {
    const { dataset } = readElements(encodeDataset(elements, { explicitVr }), 0, { explicitVr, littleEndian: true }, () => false);
    return jsonDatasetOf(dataset, { ...options, isImplicitVr: !explicitVr });
  };
  for (const told of [read(false), read(true)]) {
    expect([told['00280010'], told['00280106'], told['00409096'].Value.map((item: any) => item['00280106'])]).toEqual([
      { vr: 'US', Value: [40_000] }, { vr: 'SS', Value: [-5] }, [{ vr: 'SS', Value: [-5] }, { vr: 'US', Value: [65_000] }],
    ]);
  }
  const { dataset } = readElements(encodeDataset({ '(0028,0103)': 1, '(0028,0106)': 65_000 }), 0, explicitLittleEndian, () => false);
  expect(jsonDatasetOf(dataset, { ...options, isImplicitVr: false })['00280106']).toEqual({ vr: 'US', Value: [65_000] });
  // An archive that took the image over may have written UN: nothing was said of the sign.
  const unknown = Buffer.from([0x28, 0, 0x03, 0x01, ...Buffer.from('US'), 2, 0, 1, 0, 0x28, 0, 0x20, 0x01, ...Buffer.from('UN'), 0, 0, 2, 0, 0, 0, 0, 0x80]);
  expect(jsonDatasetOf(readElements(unknown, 0, explicitLittleEndian, () => false).dataset, { ...options, isImplicitVr: false })['00280120']).toEqual({ vr: 'SS', Value: [-32_768] });
});

test('large values inside sequences are told by a path that leads to them', () => {
  expect(jsonOf({ '(0088,0200)': [{ '(0028,0010)': 1, '(7fe0,0010)': { vr: 'OB', value: Buffer.alloc(20_000) } }] })['00880200'].Value[0]['7FE00010']).toEqual({ vr: 'OB', BulkDataURI: 'bulk/00880200/1/7fe00010' });
});

const files = corpusFiles();
const hasTool = spawnSync('dcm2json', ['--version']).status === 0;
if (files.length === 0 || !hasTool) process.stderr.write('dicomweb: the corpus (MEDSCAN_CORPUS) or DCMTK dcm2json is absent; the comparison is skipped\n');

describe.skipIf(files.length === 0 || !hasTool)('over the corpus', () => {
  const directory = mkdtempSync(join(tmpdir(), 'medscan-dicom-json-'));
  afterAll(() => { rmSync(directory, { recursive: true, force: true }); });
  let compared = 0;
  test.each(files.map((file) => [basename(file), file]))('%s is told as dcm2json tells it', (_name, file) => {
    const bytes = readFileSync(file);
    const { dataset, complete, part10 } = readHeader(bytes);
    const head = new DatasetHead(bytes.subarray(0, part10.datasetOffset), part10.transferSyntaxUid, bytes.length);
    head.add(bytes.subarray(part10.datasetOffset));
    const headerOnly = join(directory, 'header.dcm'); // dcm2json refuses encapsulated Pixel Data
    writeFileSync(headerOnly, head.bytes());
    const { stdout, status } = spawnSync('dcm2json', ['-fc', headerOnly], { maxBuffer: 256 << 20 });
    const ours: unknown = JSON.parse(dicomJsonText(jsonDatasetOf(dataset, { ...options, isImplicitVr: !part10.encoding.explicitVr })));
    if (status !== 0 || !complete) return; // one of the two cannot read it
    const theirs: unknown = JSON.parse(stdout.toString('utf8'));
    expect(comparable(ours, theirs)).toEqual(comparable(theirs, theirs));
    compared += 1;
  });
  test('most of it could be compared', () => { expect(compared).toBeGreaterThan(files.length * 0.8); });
});

/** What both tell: no pixel data, no binary values, nothing that dcm2json leaves unknown; text beyond ASCII only as being text, for dcm2json may be built without conversion. */
function comparable(dataset: any, theirs: any): any {
  return Object.fromEntries(Object.entries<any>(dataset)
    .filter(([tag, { vr }]) => tag < '7FE00000' && tag >= '00080000' && tag !== '00080005' && !binary.has(vr) && !binary.has(theirs[tag]?.vr))
    .map(([tag, { vr, Value = [] }]) => [tag, { vr, Value: vr === 'SQ' ? Value.map((item: any, index: number) => comparable(item, theirs[tag]?.Value?.[index] ?? {})) : Value.map(plain) }]));
}
const binary = new Set(['OB', 'OW', 'UN', 'OF', 'OD', 'OL', 'OV']);
const isAscii = (text: string): boolean => /^[\x20-\x7e]*$/.test(text);
/** dcm2json cuts floating point numbers to six digits. */
function plain(value: any): any {
  if (typeof value === 'number') return Number(value.toPrecision(6));
  if (typeof value === 'string') return isAscii(value) ? value.trim() : 'text';
  return value === null ? null : Object.fromEntries(Object.entries<string>(value).map(([group, text]) => [group, isAscii(text) ? text.replace(/\^+$/, '') : 'text']));
}
