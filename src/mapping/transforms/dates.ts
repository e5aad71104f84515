/**
 * Dates and times of the three standards to ISO 8601 at the precision that was sent ('1980' stays '1980'), by the functions of
 * src/standards. Inputs: DICOM DA, DT and DA+TM joined by concat (PS3.5 6.2), HL7 DT/DTM/TS (v2.5.1 2.A.22), FHIR date and dateTime (R4).
 */
import { z } from 'zod';
import { isoDateOfDa } from '#standards/dicom/dates.ts';
import { isFhirDate, isFhirDateTime } from '#standards/fhir/dates.ts';
import { isoDateTime } from '#standards/hl7v2/date-time.ts';
import type { AnyTransform, Transform } from './index.ts';
import { TransformError } from './transform-error.ts';

const none = z.undefined({ error: 'takes no argument' });
const zoneArgument = z.strictObject({
  zone: z.string().refine((zone) => zone.startsWith('$') || isTimeZone(zone), 'is not an IANA time zone or $setting'),
}).optional() as z.ZodType<ZoneArgument>;
type ZoneArgument = { readonly zone?: string | undefined } | undefined;

const knownZones = new Map<string, boolean>();
function isTimeZone(zone: string): boolean {
  const known = knownZones.get(zone) ?? isInDatabase(zone);
  if (knownZones.size < 1000) knownZones.set(zone, known);
  return known;
}
function isInDatabase(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/** Padding off; the ACR-NEMA forms YYYY.MM.DD and hh:mm:ss, which PS3.5 6.2 still asks readers to know, to today's. */
function dicomText(value: string): string {
  return value.replaceAll(/[\0 ]+$/g, '').trimStart().replace(/^(\d{4})[.-](\d\d)[.-](\d\d)/, '$1$2$3').replaceAll(':', '');
}

/** Neither standard has it, and registries send it: zeros for the month or day that nobody knows. 19500000 is 1950, 19500500 May 1950. */
function withoutUnknownParts(value: string): string {
  return /00/.test(value) ? value.trim().replace(/^(\d{4})(?:00(?:00)?|(\d\d)00)(?:0{2,6}(?:\.0+)?)?(?:[+-]\d{4})?$/, '$1$2') : value;
}

/** DICOM DT has the form of an HL7 DTM. An offset that no place has leaves the time, as one without; a time that cannot be read leaves the date. */
function dicomDateTime(value: string, zone: string | undefined): string | undefined {
  const text = dicomText(value);
  return isoDateTime(text, zone) ?? isoDateTime(text.replace(/[+-]\d{4}$/, ''), zone) ?? isoDateOfDa(text.slice(0, 8));
}
/** A time without a zone is not FHIR but unambiguous where the sender's zone is known. */
function fhirDateTime(value: string, zone: string | undefined): string | undefined {
  const text = value.trim();
  if (isFhirDateTime(text)) return text;
  return /^\d{4}-\d\d-\d\dT[\d:.]+$/.test(text) ? isoDateTime(text, zone) : undefined;
}
function fhirDate(value: string): string | undefined {
  const text = value.trim().replace(/T.*$/, '');
  return isFhirDate(text) ? text : undefined;
}

function date(title: string, form: string, convert: (value: string) => string | undefined): Transform<undefined> {
  return { title, argument: none, gives: 'text', apply: (value) => value.trim() === '' ? undefined : convert(value) ?? refuse(form) };
}
function dateTime(title: string, form: string, convert: (value: string, zone: string | undefined) => string | undefined): Transform<ZoneArgument> {
  return {
    title: `${title} {zone: $time_zone} gives the offset where none is sent.`, argument: zoneArgument, gives: 'text',
    apply(value, argument) {
      const zone = argument?.zone;
      if (zone !== undefined && !isTimeZone(zone)) throw new TransformError('cannot be placed in time: the time zone of the integration is not known');
      return value.trim() === '' ? undefined : convert(value, zone) ?? refuse(form);
    },
  };
}
function refuse(form: string): never {
  throw new TransformError(`is not of the form ${form}, or names a day or time that does not exist`);
}

export const dateTransforms = {
  'dicom-date': date('DICOM DA to an ISO date.', 'YYYYMMDD', (value) => isoDateOfDa(withoutUnknownParts(value))),
  'dicom-date-time': dateTime('DICOM DT, or DA, TM and offset (0008,0201) joined by concat, to ISO 8601.', 'YYYY[MM[DD[hh[mm[ss[.ffffff]]]]]][+zzzz]', dicomDateTime),
  'hl7-date': date('HL7 v2 DT, or the date of a DTM, to an ISO date.', 'YYYY[MM[DD]]', (value) => isoDateTime(withoutUnknownParts(value))?.slice(0, 10)),
  'hl7-date-time': dateTime('HL7 v2 DTM or TS to ISO 8601.', 'YYYY[MM[DD[hh[mm[ss[.ffff]]]]]][+zzzz]', isoDateTime),
  'fhir-date': date('FHIR date, or the date of a dateTime, to an ISO date.', 'YYYY[-MM[-DD]]', fhirDate),
  'fhir-date-time': dateTime('FHIR dateTime or instant to ISO 8601.', 'YYYY[-MM[-DD[Thh:mm:ss[.fff](Z|+zz:zz)]]]', fhirDateTime),
} satisfies Record<string, AnyTransform>;
