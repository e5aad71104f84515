import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatDtm, formatIsoAsDtm, isoDate, isoDateTime } from './date-time.ts';

test.each([
  ['1980', '1980'], ['198005', '1980-05'], ['19800517', '1980-05-17'], ['198005171030+0200', '1980-05-17'], ['1980-05-17', '1980-05-17'], [' 19800517 ', '1980-05-17'],
  ['20000229', '2000-02-29'], ['19000229', undefined], ['19801301', undefined], ['00000000', undefined], ['Aug 15, 1942', undefined], ['', undefined], ['198', undefined],
])('the date of %j is %j', (text, iso) => { expect(isoDate(text)).toBe(iso); });

test.each([
  ['2026', undefined, '2026'], ['20260105', 'Europe/Berlin', '2026-01-05'], ['2026010510', undefined, '2026-01-05T10:00'], ['202601051000', undefined, '2026-01-05T10:00'],
  ['20260105100006.2500-0500', undefined, '2026-01-05T10:00:06.2500-05:00'], ['20260105100006', 'Europe/Berlin', '2026-01-05T10:00:06+01:00'],
  ['20260705100006', 'Europe/Berlin', '2026-07-05T10:00:06+02:00'], ['20260105100006', 'America/St_Johns', '2026-01-05T10:00:06-03:30'],
  ['20260105100006+0000', 'Europe/Berlin', '2026-01-05T10:00:06+00:00'], ['2026010524', undefined, undefined],
])('%s in %s is %s', (text, zone, iso) => { expect(isoDateTime(text, zone)).toBe(iso); });

test('what we send is DTM in UTC, and a partial date stays partial', () => {
  expect(formatDtm(new Date('2026-01-05T10:00:06.789Z'))).toBe('20260105100006+0000');
  expect([formatIsoAsDtm('1980'), formatIsoAsDtm('1980-05'), formatIsoAsDtm('2026-01-05T10:00:06Z'), formatIsoAsDtm('soon')]).toEqual(['1980', '198005', '20260105100006+0000', '']);
});

test('property: a DTM is read to the instant it names', () => {
  fc.assert(fc.property(fc.date({ min: new Date('1900-01-01'), max: new Date('2100-01-01'), noInvalidDate: true }), (date) => {
    expect(Date.parse(isoDateTime(formatDtm(date)) ?? '')).toBe(Math.floor(date.getTime() / 1000) * 1000);
  }));
});
