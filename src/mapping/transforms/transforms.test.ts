import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { transforms } from './index.ts';
import { TransformError } from './transform-error.ts';

function apply(name: string, value: string, argument?: unknown): unknown {
  const transform = transforms.get(name);
  if (transform === undefined) throw new Error(`no transform ${name}`);
  return transform.apply(value, transform.argument.parse(argument) as never);
}

test.each([
  ['dicom-date', '19800517', undefined, '1980-05-17'],
  ['dicom-date', '1980.05.17', undefined, '1980-05-17'],
  ['dicom-date', '19800517 ', undefined, '1980-05-17'],
  ['dicom-date-time', '20040119072731.000000', undefined, '2004-01-19T07:27:31.000000'],
  ['dicom-date-time', '200401190727+0530', undefined, '2004-01-19T07:27+05:30'],
  ['dicom-date-time', '2004.01.1907:27:31', undefined, '2004-01-19T07:27:31'],
  ['dicom-date-time', '200401199:15', undefined, '2004-01-19'],
  ['fhir-date-time', '2026-07-01T08:30:00', { zone: 'Europe/Berlin' }, '2026-07-01T08:30:00+02:00'],
  ['dicom-date-time', '20040119', { zone: 'Europe/Berlin' }, '2004-01-19'],
  ['dicom-date-time', '20040119120000', { zone: 'America/St_Johns' }, '2004-01-19T12:00:00-03:30'],
  ['dicom-date', '19500000', undefined, '1950'],
  ['dicom-date', '19500500', undefined, '1950-05'],
  ['hl7-date', '198005', undefined, '1980-05'],
  ['hl7-date', '19500000', undefined, '1950'],
  ['hl7-date', '20001000', undefined, '2000-10'],
  ['hl7-date', '19100000000000+0000', undefined, '1910'],
  ['hl7-date', '19800517103000+0100', undefined, '1980-05-17'],
  ['hl7-date-time', '20260701083000.1234-0500', undefined, '2026-07-01T08:30:00.1234-05:00'],
  ['hl7-date-time', '2026070108', { zone: 'Asia/Kathmandu' }, '2026-07-01T08:00+05:45'],
  ['fhir-date', '1980', undefined, '1980'],
  ['fhir-date', '1980-05-17T10:00:00Z', undefined, '1980-05-17'],
  ['fhir-date-time', '2026-07-01T08:30:00.123Z', undefined, '2026-07-01T08:30:00.123Z'],
  ['fhir-date-time', '2026-07', undefined, '2026-07'],
  ['integer', ' +12 ', undefined, 12],
  ['integer', '-0', undefined, 0], ['integer', '2147483647', undefined, 2_147_483_647],
  ['dicom-date-time', '20260701083000+9900', undefined, '2026-07-01T08:30:00'], ['dicom-date-time', '20260701083000+1400', undefined, '2026-07-01T08:30:00+14:00'],
  ['number', '-1.5e2', undefined, -150],
  ['boolean', 'Y', undefined, true],
  ['boolean', 'NO', undefined, false],
  ['uid', '1.2.840.10008.1.1\0', undefined, '1.2.840.10008.1.1'], ['uid', ' 1.02.A_3-b ', undefined, '1.02.A_3-b'],
  ['split', 'CT\\MR\\', '\\', ['CT', 'MR']],
  ['part', 'a^b^c', { separator: '^', number: 2 }, 'b'],
  ['strip-prefix', 'urn:oid:1.2', 'urn:oid:', '1.2'],
  ['prefix', '1.2', 'urn:oid:', 'urn:oid:1.2'],
  ['truncate', 'aé😀b', 3, 'aé😀'],
  ['strip-nul', 'a\0b', undefined, 'ab'],
  ['collapse-spaces', ' a \t b ', undefined, 'a b'],
  ['dicom-person-name', 'Yamada^Tarou=山田^太郎=やまだ^たろう', { part: 'given' }, 'Tarou'],
  ['dicom-person-name', 'Yamada^Tarou=山田^太郎=やまだ^たろう', { group: 'ideographic' }, '山田^太郎'],
  ['dicom-person-name', 'Doe^John^^Dr^', {}, 'Doe^John^^Dr'],
])('%s gives from %j', (name, value, argument, expected) => {
  expect(apply(name, value, argument)).toEqual(expected);
});

test.each([
  ['dicom-date', '20230229'], ['dicom-date', '198005171'.slice(0, 5)], ['hl7-date', '00000101'], ['hl7-date', '00000000'], ['hl7-date', '19500017'], ['dicom-date', '19500017'], ['hl7-date', '1950001700'], ['hl7-date', 'unknown'],
  ['fhir-date', '1980-5-7'], ['fhir-date-time', '20260701'], ['dicom-date-time', 'noon'], ['fhir-date-time', '2026-07-01T25:00:00Z'],
  ['integer', '1.5'], ['integer', '99999999999999999'], ['integer', '2147483648'], ['integer', '20250101123456'], ['hl7-date-time', '20260701083000+9900'], ['hl7-date-time', '20260701083000+0160'], ['number', 'Infinity'], ['boolean', 'maybe'], ['uid', '1.2*'], ['uid', '1.2\\1.3'], ['uid', '..'], ['uid', '1'.repeat(65)],
])('%s refuses %j', (name, value) => {
  expect(() => apply(name, value)).toThrow(TransformError);
});

test('a time zone that does not exist is refused when the file is loaded, and fails when it comes from the settings', () => {
  expect(transforms.get('hl7-date-time')?.argument.safeParse({ zone: 'Mars/Olympus' }).success).toBe(false);
  expect(() => transforms.get('hl7-date-time')?.apply('20260701083000', { zone: 'Mars/Olympus' } as never)).toThrow(TransformError);
});

test('property: a local time with the offset that was found denotes the same local time in that zone', () => {
  const zones = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata', 'UTC'];
  const day = fc.date({ min: new Date('1950-01-01'), max: new Date('2090-01-01'), noInvalidDate: true });
  fc.assert(fc.property(day, fc.constantFrom(...zones), (date, zone) => {
    const local = date.toISOString().slice(0, 19);
    const text = apply('hl7-date-time', local.replaceAll(/[-T:]/g, ''), { zone }) as string;
    const shown = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' }).format(new Date(text)).replace(' ', 'T');
    // A local time that a clock change skips has no instant; it moves by the size of the change.
    const difference = Math.abs(Date.parse(`${shown}Z`) - Date.parse(`${local}Z`));
    expect([0, 1_800_000, 3_600_000]).toContain(difference);
    if (zone === 'UTC' || zone === 'Asia/Kolkata') expect(difference).toBe(0);
  }));
});

test('property: no text makes a transform throw anything but TransformError, or repeat the text in the error', () => {
  const names = [...transforms.keys()].filter((name) => transforms.get(name)?.argument.safeParse(undefined).success === true);
  fc.assert(fc.property(fc.constantFrom(...names), fc.oneof(fc.string(), fc.stringMatching(/^[0-9.+:-]{4,30}$/)), (name, value) => {
    try {
      apply(name, value);
    } catch (error) {
      expect(error).toBeInstanceOf(TransformError);
      if (value.length > 12) expect((error as Error).message).not.toContain(value);
    }
  }));
});

test('docs/mappings.md names every transform and no other', () => {
  const guide = readFileSync(join(import.meta.dirname, '../../../docs/mappings.md'), 'utf8');
  const table = /## Transforms\n[\s\S]*?\n## Code tables/.exec(guide)?.[0] ?? '';
  const named = [...table.matchAll(/^\|(.*?)\|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`\{?([a-z0-9-]+)[^`]*`/g)].map(([, name]) => name)).filter((name) => name !== 'group');
  expect(new Set(named)).toEqual(new Set(transforms.keys()));
});
