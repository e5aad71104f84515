import { expect, test } from 'vitest';
import { encodeDataset } from './dataset-writer.ts';
import { buildPart10Header, implementationClassUid, implementationVersionName, parsePart10Head } from './part10.ts';
import { explicitVrBigEndian, explicitVrLittleEndian, implicitVrLittleEndian } from './transfer-syntaxes.ts';
import { isValidUid } from './uids.ts';

const meta = { sopClassUid: '1.2.840.10008.5.1.4.1.1.2', sopInstanceUid: '1.2.3', transferSyntaxUid: explicitVrLittleEndian };
const header = buildPart10Header(meta);
const elements = { '(0008,0016)': meta.sopClassUid, '(0008,0018)': meta.sopInstanceUid, '(0010,0010)': 'Doe^John' };
const dataset = encodeDataset(elements), implicit = encodeDataset(elements, { explicitVr: false });

test('the header is preamble, DICM and a group 0002 whose length counts, the same bytes each time', () => {
  expect(header.subarray(0, 128).every((byte) => byte === 0)).toBe(true);
  expect(header.toString('latin1', 128, 132)).toBe('DICM');
  expect(header.readUInt32LE(140)).toBe(header.length - 144);
  expect(buildPart10Header(meta).equals(header)).toBe(true);
  expect(isValidUid(implementationClassUid)).toBe(true);
  expect(implementationVersionName.length).toBeLessThanOrEqual(16);
});
test('what was built is read back, and the dataset begins where the header ends', () => {
  expect(parsePart10Head(Buffer.concat([header, dataset]))).toMatchObject({ ...meta, datasetOffset: header.length, transferSyntaxSource: 'file meta', implementationClassUid, implementationVersionName, warnings: [] });
});
test('a UID that cannot stand in a UI value is refused', () => {
  for (const sopInstanceUid of ['', '1.2 3', '1\\2', '1'.repeat(65), '1.é']) expect(() => buildPart10Header({ ...meta, sopInstanceUid })).toThrow(RangeError);
});
test('files without preamble, with DICM alone, without group 0002', () => {
  expect(parsePart10Head(Buffer.concat([header.subarray(128), dataset]))).toMatchObject({ datasetOffset: header.length - 128, transferSyntaxUid: explicitVrLittleEndian });
  expect(parsePart10Head(Buffer.concat([header.subarray(132), dataset]))).toMatchObject({ datasetOffset: header.length - 132, transferSyntaxUid: explicitVrLittleEndian });
  expect(parsePart10Head(Buffer.concat([header.subarray(0, 132), implicit]))).toMatchObject({ datasetOffset: 132, transferSyntaxUid: implicitVrLittleEndian, transferSyntaxSource: 'guess' });
});
test('the encoding of a bare dataset is guessed; the hint counts for the name and the bytes for the reading', () => {
  const bigEndian = Buffer.from('0008001855490004312e3200', 'hex');
  expect(parsePart10Head(dataset)).toMatchObject({ datasetOffset: 0, transferSyntaxUid: explicitVrLittleEndian });
  expect(parsePart10Head(implicit)).toMatchObject({ transferSyntaxUid: implicitVrLittleEndian });
  expect(parsePart10Head(bigEndian)).toMatchObject({ transferSyntaxUid: explicitVrBigEndian });
  const told = parsePart10Head(implicit, '1.2.840.10008.1.2.4.50');
  expect(told).toMatchObject({ transferSyntaxUid: '1.2.840.10008.1.2.4.50', transferSyntaxSource: 'hint', encoding: { explicitVr: false, littleEndian: true } });
  expect(told.warnings.join()).toContain('not written as its transfer syntax');
});
test('nothing, and less than nothing sensible, is a head with warnings', () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(131), Buffer.from('DICM'), Buffer.from('GET / HTTP/1.1\r\n\r\n')]) expect(parsePart10Head(bytes).warnings.length).toBeGreaterThan(0);
});
