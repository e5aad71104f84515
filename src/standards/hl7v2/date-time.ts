/**
 * DTM, TS and DT (HL7 v2.5.1 ch. 2A.22, 2A.77): YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ], read to ISO 8601 cut to the precision
 * that was sent. Nothing is invented: '1980' stays '1980', and a time without offset stays without one unless the sender's zone is known.
 */
export interface Dtm {
  readonly year: string; readonly month?: string; readonly day?: string;
  readonly hour?: string; readonly minute?: string; readonly second?: string; readonly fraction?: string;
  /** '+02:15' */
  readonly offset?: string;
}

const dtmPattern = /^(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?$/;
/** Not HL7, but unambiguous and sent: 1980-05-17, 2026-01-05T10:00:06Z. */
const isoPattern = /^(\d{4})-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?)?(Z|[+-]\d{2}:?\d{2})?$/;

/** undefined: not a date the standard or the calendar knows. */
export function readDtm(text: string): Dtm | undefined {
  const trimmed = text.trim();
  const match = dtmPattern.exec(trimmed) ?? isoPattern.exec(trimmed);
  if (!match) return undefined;
  const [, year = '', month, day, hour, minute, second, fraction, zone] = match;
  if (!isCalendarDate(Number(year), Number(month ?? '1'), Number(day ?? '1'))) return undefined;
  if (Number(hour ?? 0) > 23 || Number(minute ?? 0) > 59 || Number(second ?? 0) > 60) return undefined;
  const dtm: { -readonly [Part in keyof Dtm]: Dtm[Part] } = { year };
  if (month !== undefined) dtm.month = month;
  if (day !== undefined) dtm.day = day;
  if (hour !== undefined) dtm.hour = hour;
  if (minute !== undefined) dtm.minute = minute;
  if (second !== undefined) dtm.second = second;
  if (fraction !== undefined) dtm.fraction = fraction;
  const offset = readOffset(zone);
  if (offset !== undefined && !isOffset(offset)) return undefined;
  if (offset !== undefined) dtm.offset = offset;
  return dtm;
}

function isCalendarDate(year: number, month: number, day: number): boolean {
  if (year < 1 || month < 1 || month > 12 || day < 1) return false;
  const daysInMonth = [31, year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  return day <= (daysInMonth[month - 1] ?? 0);
}

function readOffset(zone: string | undefined): string | undefined {
  if (zone === undefined) return undefined;
  if (zone === 'Z') return '+00:00';
  const digits = zone.replace(':', '');
  return `${digits.slice(0, 3)}:${digits.slice(3)}`;
}

/** No place is further from UTC than 14 hours; a database takes no more than 16. */
function isOffset(offset: string): boolean {
  return Number(offset.slice(1, 3)) <= 14 && Number(offset.slice(4)) <= 59;
}

/** '1980', '1980-05' or '1980-05-17'; the time of day, if any, is left off and nothing is shifted. */
export function isoDate(text: string): string | undefined {
  const dtm = readDtm(text);
  return dtm && dateOf(dtm);
}

function dateOf({ year, month, day }: Dtm): string {
  return month === undefined ? year : day === undefined ? `${year}-${month}` : `${year}-${month}-${day}`;
}

/**
 * ISO 8601 cut to the precision sent: '2026-01', '2026-01-05T10:00', '2026-01-05T10:00:06.25-05:00'. An hour alone gets minute 00, which ISO
 * cannot leave off. `timeZone` (IANA name) gives the offset when the sender gave none.
 */
export function isoDateTime(text: string, timeZone?: string): string | undefined {
  const dtm = readDtm(text);
  const date = dtm && dateOf(dtm);
  if (dtm?.hour === undefined) return date;
  const clock = `${dtm.hour}:${dtm.minute ?? '00'}${dtm.second === undefined ? '' : `:${dtm.second}`}${dtm.fraction === undefined ? '' : `.${dtm.fraction}`}`;
  return `${date}T${clock}${dtm.offset ?? (timeZone ? zoneOffset(`${date}T${dtm.hour}:${dtm.minute ?? '00'}:00`, timeZone) : '')}`;
}

/** The offset a wall clock shows in a zone; asked twice because the offset decides the instant that decides the offset. */
function zoneOffset(wallClock: string, timeZone: string): string {
  const asUtc = Date.parse(`${wallClock}Z`);
  const first = offsetMinutes(asUtc, timeZone);
  const minutes = offsetMinutes(asUtc - first * 60_000, timeZone);
  const absolute = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${String(Math.floor(absolute / 60)).padStart(2, '0')}:${String(absolute % 60).padStart(2, '0')}`;
}

const formats = new Map<string, Intl.DateTimeFormat>();
function offsetMinutes(instant: number, timeZone: string): number {
  let format = formats.get(timeZone);
  if (!format) formats.set(timeZone, format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' }));
  const name = format.formatToParts(instant).find((part) => part.type === 'timeZoneName')?.value ?? '';
  const match = /GMT([+-])(\d{2}):(\d{2})/.exec(name);
  return match ? (match[1] === '-' ? -1 : 1) * (Number(match[2]) * 60 + Number(match[3])) : 0;
}

/** An instant as DTM in UTC: 20260105100006+0000. */
export function formatDtm(instant: Date): string {
  return `${instant.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}+0000`;
}

/** An ISO 8601 date or time as DTM, keeping its precision; '' when it is neither. */
export function formatIsoAsDtm(iso: string): string {
  const dtm = readDtm(iso);
  if (!dtm) return '';
  const { year, month = '', day = '', hour = '', minute = '', second = '', fraction, offset } = dtm;
  return `${year}${month}${day}${hour}${minute}${second}${fraction === undefined ? '' : `.${fraction.slice(0, 4)}`}${offset === undefined ? '' : offset.replace(':', '')}`;
}
