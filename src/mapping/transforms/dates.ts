/**
 * Dates and times of the three standards to ISO 8601 at the precision that was sent ('1980' stays '1980').
 * Inputs: DICOM DA, DT and DA+TM joined by concat (PS3.5 6.2), HL7 DT/DTM/TS (v2.5.1 2.A.22), FHIR date and dateTime (R4 datatypes).
 */
import { z } from 'zod';
import * as hl7v2 from '#standards/hl7v2/date-time.ts';
import { isTimeZone, isoDate, isoDateTime } from './calendar.ts';
import type { DateParts } from './calendar.ts';
import type { AnyTransform, Transform } from './index.ts';
import { TransformError } from './transform-error.ts';

const none = z.undefined({ error: 'takes no argument' });
const zoneArgument = z.strictObject({
  zone: z.string().refine((zone) => zone.startsWith('$') || isTimeZone(zone), 'is not an IANA time zone or $setting'),
}).optional() as z.ZodType<ZoneArgument>;
type ZoneArgument = { readonly zone?: string | undefined } | undefined;

const compact = /^(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6})\d*)?)?)?)?)?)?([+-]\d{4})?$/;
const iso = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;

function partsOf(value: string, pattern: RegExp, form: string): DateParts {
  const match = pattern.exec(value);
  if (match === null) throw new TransformError(`is not of the form ${form}`);
  const [, year = '', month, day, hour, minute, second, fraction, offset] = match;
  return { year, month, day, hour, minute, second, fraction, offset };
}

/** Padding off; the ACR-NEMA forms YYYY.MM.DD and hh:mm:ss, which PS3.5 6.2 still asks readers to know, to today's. */
function dicomText(value: string): string {
  const bare = value.replaceAll(/[\0 ]+$/g, '').trimStart();
  return bare.replace(/^(\d{4})\.(\d\d)\.(\d\d)/, '$1$2$3').replaceAll(':', '');
}
const dicomForm = 'YYYYMMDD', dicomTimeForm = 'YYYY[MM[DD[hh[mm[ss[.ffffff]]]]]][+zzzz]';
const hl7TimeForm = 'YYYY[MM[DD[hh[mm[ss[.ffff]]]]]][+zzzz], or names a day or time that does not exist';
const fhirForm = 'YYYY[-MM[-DD]]', fhirTimeForm = 'YYYY[-MM[-DD[Thh:mm:ss[.fff](Z|+zz:zz)]]]';

function hl7DateTime(value: string, zone: string | undefined): string {
  if (zone !== undefined && !isTimeZone(zone)) throw new TransformError('has no offset and the time zone of the integration is not known');
  const result = hl7v2.isoDateTime(value, zone);
  if (result === undefined) throw new TransformError(`is not of the form ${hl7TimeForm}`);
  return result;
}

function date(title: string, convert: (value: string) => string): Transform<undefined> {
  return { title, argument: none, gives: 'text', apply: (value) => value.trim() === '' ? undefined : convert(value) };
}
function dateTime(title: string, convert: (value: string, zone: string | undefined) => string): Transform<ZoneArgument> {
  return { title, argument: zoneArgument, gives: 'text', apply: (value, argument) => value.trim() === '' ? undefined : convert(value, argument?.zone) };
}

export const dateTransforms = {
  'dicom-date': date('DICOM DA to an ISO date.', (value) => isoDate(partsOf(dicomText(value).slice(0, 8), compact, dicomForm))),
  'dicom-date-time': dateTime('DICOM DT, or DA and TM (and offset (0008,0201)) joined by concat, to ISO 8601; {zone: $time_zone} where no offset is sent.',
    (value, zone) => isoDateTime(partsOf(dicomText(value), compact, dicomTimeForm), zone)),
  'hl7-date': date('HL7 v2 DT, or the date of a DTM, to an ISO date.', (value) => hl7DateTime(value, undefined).slice(0, 10)),
  'hl7-date-time': dateTime('HL7 v2 DTM or TS to ISO 8601; {zone: $time_zone} where no offset is sent.', hl7DateTime),
  'fhir-date': date('FHIR date, or the date of a dateTime, to an ISO date.', (value) => isoDate(partsOf(value.trim().replace(/T.*$/, ''), iso, fhirForm))),
  'fhir-date-time': dateTime('FHIR dateTime or instant to ISO 8601; {zone: $time_zone} where no offset is sent.',
    (value, zone) => isoDateTime(partsOf(value.trim(), iso, fhirTimeForm), zone)),
} satisfies Record<string, AnyTransform>;
