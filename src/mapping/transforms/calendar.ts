/** The calendar common to DICOM, HL7 v2 and FHIR dates: parts cut to the precision that was sent, checked, written as ISO 8601. */
import { TransformError } from './transform-error.ts';

/** Text parts as they were sent; the first absent one ends the precision. `offset` is '', 'Z' or '+hhmm' / '+hh:mm'. */
export interface DateParts {
  readonly year: string; readonly month?: string | undefined; readonly day?: string | undefined;
  readonly hour?: string | undefined; readonly minute?: string | undefined; readonly second?: string | undefined;
  readonly fraction?: string | undefined; readonly offset?: string | undefined;
}

/** 'YYYY', 'YYYY-MM' or 'YYYY-MM-DD'. Throws TransformError for a day that the calendar does not have. */
export function isoDate({ year, month, day }: DateParts): string {
  if (Number(year) === 0) throw new TransformError('has the year 0000');
  if (month === undefined) return year;
  if (!inRange(month, 1, 12)) throw new TransformError('has a month outside 01-12');
  if (day === undefined) return `${year}-${month}`;
  if (!inRange(day, 1, daysInMonth(Number(year), Number(month)))) throw new TransformError('has a day that the month does not have');
  return `${year}-${month}-${day}`;
}

/**
 * ISO 8601 at the precision that was sent: a date, or 'YYYY-MM-DDThh:mm:ss[.fff][offset]' with minutes and seconds filled up.
 * Without an offset of its own the time gets the one that `zone` (IANA name) had at that local time; without either, none.
 */
export function isoDateTime(parts: DateParts, zone: string | undefined): string {
  const date = isoDate(parts);
  const { hour, minute = '00', second = '00', fraction } = parts;
  if (parts.day === undefined || hour === undefined) return date;
  if (!inRange(hour, 0, 23) || !inRange(minute, 0, 59) || !inRange(second, 0, 60)) throw new TransformError('has a time outside 00:00:00-23:59:60');
  const local = `${date}T${hour}:${minute}:${second}${fraction === undefined || fraction === '' ? '' : `.${fraction}`}`;
  if (parts.offset !== undefined && parts.offset !== '') return local + isoOffset(parts.offset);
  return zone === undefined ? local : local + zoneOffset(parts, zone);
}

function isoOffset(offset: string): string {
  if (offset === 'Z') return offset;
  const hours = offset.slice(1, 3), minutes = offset.slice(-2);
  if (!inRange(hours, 0, 14) || !inRange(minutes, 0, 59)) throw new TransformError('has an offset from UTC outside -14:00 to +14:00');
  return `${offset[0]}${hours}:${minutes}`;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

/** True when the runtime knows the IANA name. */
export function isTimeZone(zone: string): boolean {
  try {
    formatterOf(zone);
    return true;
  } catch {
    return false;
  }
}

function formatterOf(zone: string): Intl.DateTimeFormat {
  let formatter = formatters.get(zone);
  if (formatter === undefined) {
    formatter = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', era: 'short', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' });
    formatters.set(zone, formatter);
  }
  return formatter;
}

/** The offset is found in two steps, since it depends on the instant that it yields; a local time that a clock change skips gets the offset before it. */
function zoneOffset(parts: DateParts, zone: string): string {
  if (!isTimeZone(zone)) throw new TransformError('has no offset and the time zone of the integration is not known');
  const local = utcMilliseconds(parts);
  const first = offsetMinutesAt(local, zone);
  const minutes = offsetMinutesAt(local - first * 60_000, zone);
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${String(Math.floor(size / 60)).padStart(2, '0')}:${String(size % 60).padStart(2, '0')}`;
}

function offsetMinutesAt(milliseconds: number, zone: string): number {
  const shown = new Map(formatterOf(zone).formatToParts(milliseconds).map((part) => [part.type, part.value]));
  const year = Number(shown.get('year')) * (shown.get('era') === 'BC' ? -1 : 1);
  const local = utcMilliseconds({ year: String(year).padStart(4, '0'), month: shown.get('month'), day: shown.get('day'), hour: shown.get('hour'), minute: shown.get('minute'), second: shown.get('second') });
  return Math.round((local - milliseconds) / 60_000);
}

function utcMilliseconds({ year, month = '01', day = '01', hour = '00', minute = '00', second = '00' }: DateParts): number {
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  return date.setUTCHours(Number(hour), Number(minute), Number(second), 0);
}

function inRange(text: string, least: number, most: number): boolean {
  const number = Number(text);
  return number >= least && number <= most;
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
