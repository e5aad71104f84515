import { expect, test } from 'vitest';
import { decimalString, encodeDataset } from './dataset-writer.ts';

const hex = (bytes: Buffer) => bytes.toString('hex');

test('tags ascend, values are padded as their VR asks, long VRs have the long head', () => {
  expect(hex(encodeDataset({ '(0010,0010)': 'A', '(0008,0018)': '1.2', '(7fe0,0010)': { vr: 'OB', value: Buffer.from([1]) } }))).toBe('08001800' + '5549' + '0400' + '312e3200' + '10001000' + '504e' + '0200' + '4120' + 'e07f1000' + '4f42' + '0000' + '02000000' + '0100');
  expect(hex(encodeDataset({ '(0010,0010)': 'A', '(0008,1140)': [{ '(0028,0010)': 5 }] }, { explicitVr: false }))).toBe('08004011' + '12000000' + 'feff00e0' + '0a000000' + '28001000' + '02000000' + '0500' + '10001000' + '02000000' + '4120');
});
test('null is present and empty, undefined is not there, numbers by their VR', () => {
  expect(hex(encodeDataset({ '(0010,0020)': null, '(0010,0021)': undefined }))).toBe('10002000' + '4c4f' + '0000');
  expect(hex(encodeDataset({ '(0028,0030)': [0.5, 1 / 3] }).subarray(8))).toBe(Buffer.from('0.5\\0.33333333333333').toString('hex').padEnd(2 * 20, '20'));
  expect(hex(encodeDataset({ '(0028,0009)': '(0018,1063)' }))).toBe('28000900' + '4154' + '0400' + '18006310');
});
test('what cannot be written is refused with the tag and without the value', () => {
  for (const elements of [{ '(0009,1001)': 'secret' }, { '(0028,0010)': 70_000 }, { '(0028,0010)': 'secret' }, { 'PatientName': 'secret' }, { '(0020,0013)': 'secret' }, { '(7fe0,0010)': 'secret' }, { '(0008,1140)': 'secret' }, { '(0008,1030)': 'x'.repeat(65_536) }]) {
    expect(() => encodeDataset(elements)).toThrow(RangeError);
    expect(() => encodeDataset(elements)).not.toThrow(/secret/);
  }
});
test('decimal strings have at most 16 characters and keep what those can hold', () => {
  const values = [0, -1, 0.1, 1 / 3, -1 / 3, 1e21, 123456789012345680, 1.5e-300, -1.23456789012345e-300, 87.12345678901234];
  for (const value of values) {
    expect(decimalString(value).length).toBeLessThanOrEqual(16);
    expect(Math.abs(Number(decimalString(value)) - value)).toBeLessThanOrEqual(Math.abs(value) * 1e-8);
  }
  expect(() => decimalString(Number.NaN)).toThrow(RangeError);
});
