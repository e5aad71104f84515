import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { createMapper } from '#mapping/mapper.ts';
import { encodeDataset } from './dataset-writer.ts';
import type { DatasetElements } from './dataset-writer.ts';
import { dicomReader } from './reader.ts';
import { explicitVrLittleEndian } from './transfer-syntaxes.ts';

const map = createMapper(resolve(import.meta.dirname, '../../../mappings'));
const least: DatasetElements = { '(0008,0016)': '1.2.840.10008.5.1.4.1.1.2', '(0008,0018)': '1.2.3', '(0020,000d)': '1.2.4', '(0020,000e)': '1.2.5' };
const rowsOf = (elements: DatasetElements, settings = {}) => map('dicom-instance-to-rows', dicomReader(encodeDataset(elements), { transferSyntaxUid: explicitVrLittleEndian }), settings);

test('a full header becomes patient, identifiers, scan, series and file', () => {
  const { rows, warnings } = rowsOf({
    ...least, '(0008,0005)': 'ISO_IR 192', '(0008,0020)': '20260701', '(0008,0030)': '083015.25', '(0008,0050)': 'ACC-1', '(0008,0060)': 'CT', '(0008,0080)': 'Klinikum', '(0008,0090)': 'Meier^Eva',
    '(0008,1010)': 'CT1', '(0008,1030)': 'Thorax', '(0008,1032)': [{ '(0008,0100)': '71250' }], '(0008,103e)': 'axial', '(0010,0010)': 'Yamada^Tarou^X^Dr^jr=山田^太郎=やまだ^たろう', '(0010,0020)': 'ID-1',
    '(0010,0021)': 'HOSP', '(0010,0030)': '19800517', '(0010,0040)': 'M', '(0010,1002)': [{ '(0010,0020)': 'OLD-1', '(0010,0021)': 'CLINIC' }, { '(0010,0020)': 'OLD-2' }, { '(0010,0021)': 'nobody' }],
    '(0018,0015)': 'CHEST', '(0020,0010)': 'S1', '(0020,0011)': 3, '(0020,0013)': 7, '(0020,0060)': 'R', '(0028,0008)': 2, '(0028,0010)': 512, '(0028,0011)': 256, '(0028,0100)': 16,
  }, { assigning_authority: 'DEFAULT', time_zone: 'Europe/Berlin' });
  expect(warnings).toEqual([]);
  expect(rows).toEqual({
    patients: { family_name: 'Yamada', given_name: 'Tarou', middle_name: 'X', name_prefix: 'Dr', name_suffix: 'jr', ideographic_name: '山田^太郎', phonetic_name: 'やまだ^たろう', birth_date: '1980-05-17', sex: 'male' },
    patient_identifiers: [{ value: 'ID-1', assigning_authority: 'HOSP', type_code: 'MR' }, { value: 'OLD-1', assigning_authority: 'CLINIC', type_code: 'PI' }, { value: 'OLD-2', assigning_authority: '', type_code: 'PI' }],
    scans: {
      study_instance_uid: '1.2.4', accession_number: 'ACC-1', study_id: 'S1', study_description: 'Thorax', study_at: '2026-07-01T08:30:15.25+02:00', referring_physician: 'Meier^Eva', institution_name: 'Klinikum',
      station_name: 'CT1', scan_type: 'ct', body_part: 'CHEST', laterality: 'right', procedure_code: '71250',
    },
    series: { series_instance_uid: '1.2.5', series_number: 3, series_description: 'axial', modality: 'CT', body_part: 'CHEST' },
    scan_files: { sop_instance_uid: '1.2.3', sop_class_uid: '1.2.840.10008.5.1.4.1.1.2', transfer_syntax_uid: explicitVrLittleEndian, instance_number: 7, rows: 512, columns: 256, number_of_frames: 2, bits_allocated: 16, dataset_offset: 0 },
  });
});
test('empty elements say nothing: no key, no warning; without an issuer the integration\'s default holds', () => {
  const { rows, warnings } = rowsOf({ ...least, '(0008,0020)': '', '(0008,0030)': '101010', '(0008,0050)': '', '(0008,0060)': 'OT', '(0010,0010)': '', '(0010,0020)': 'ID', '(0010,0030)': null, '(0010,0040)': null }, { assigning_authority: 'DEFAULT' });
  expect(warnings).toEqual([]);
  expect(rows['patients']).toEqual({});
  expect(rows['patient_identifiers']).toEqual([{ value: 'ID', assigning_authority: 'DEFAULT', type_code: 'MR' }]);
  expect(rows['scans']).toEqual({ study_instance_uid: '1.2.4', scan_type: 'other' });
});
test('an image without Patient ID has no identifiers and is not refused', () => {
  expect(rowsOf(least).rows['patient_identifiers']).toEqual([]);
  expect(rowsOf({ ...least, '(0010,0020)': ' ' }).rows['patient_identifiers']).toEqual([]);
});
test('(0008,0201) counts before the time zone of the integration', () => {
  const { rows } = rowsOf({ ...least, '(0008,0020)': '20260701', '(0008,0030)': '0830', '(0008,0201)': '-0500' }, { time_zone: 'Europe/Berlin' });
  expect(rows['scans']).toMatchObject({ study_at: '2026-07-01T08:30-05:00' });
});
test('odd values are warned about by their tag and left out', () => {
  const { rows, warnings } = rowsOf({ ...least, '(0010,0030)': '19801399', '(0010,0040)': 'X', '(0020,0013)': { vr: 'LO', value: 'seven' } });
  expect(rows['patients']).toEqual({});
  expect(warnings.map((warning) => warning.location)).toEqual(['(0010,0030)', '(0010,0040)', '(0020,0013)']);
});
test('what identifies the instance is required, and named by its tag when missing', () => {
  for (const tag of Object.keys(least)) expect(() => rowsOf({ ...least, [tag]: undefined })).toThrow(expect.objectContaining({ name: 'NormalizeError', location: tag }));
});
