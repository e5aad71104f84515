/**
 * Dates and times (DA, TM, DT: PS3.5 6.2) to ISO 8601 and back, cut to the precision that was sent.
 * Accepts the ACR-NEMA forms YYYY.MM.DD and hh:mm:ss, which PS3.5 asks readers to know. undefined: no such day or time.
 */

/** '19800517' or '1980.05.17' -> '1980-05-17'; '198005' -> '1980-05'; '1980' -> '1980'. */
export function isoDateOfDa(text: string): string | undefined {
  const match = /^(\d{4})(?:[.-]?(\d\d)(?:[.-]?(\d\d))?)?$/.exec(unpadded(text));
  if (match === null) return undefined;
  const [, year = '', month, day] = match;
  if (year === '0000' || (month !== undefined && !isDay(Number(year), Number(month), Number(day ?? '1')))) return undefined;
  return [year, month, day].filter((part) => part !== undefined).join('-');
}

/** '0709' -> '07:09'; '070907.0705' -> '07:09:07.0705'; '07:09:07' too. */
export function isoTimeOfTm(text: string): string | undefined {
  const match = /^(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?$/.exec(unpadded(text));
  if (match === null) return undefined;
  const [, hour = '', minute, second, fraction] = match;
  if (Number(hour) > 23 || Number(minute ?? 0) > 59 || Number(second ?? 0) > 60) return undefined;
  return [hour, minute, second].filter((part) => part !== undefined).join(':') + (fraction === undefined ? '' : `.${fraction}`);
}

/** What (0008,0201) or the integration says about local times: '+0100', or an IANA name; undefined when nobody says. */
export interface LocalTime { readonly offset?: string | undefined; readonly zone?: string | undefined }

/** DA and TM of one moment -> 'YYYY-MM-DDThh:mm:ss[.f][+hh:mm]'; the date alone without a usable TM; undefined without a whole date. */
export function isoDateTimeOf(da: string, tm: string | undefined, local: LocalTime = {}): string | undefined {
  const date = isoDateOfDa(da);
  const time = tm === undefined ? undefined : isoTimeOfTm(tm);
  if (date === undefined || date.length < 10 || time === undefined) return date;
  const filled = `${date}T${time}${time.length === 2 ? ':00:00' : time.length === 5 ? ':00' : ''}`;
  return filled + (offsetText(local.offset) ?? (local.zone === undefined ? '' : zoneOffset(filled, local.zone)));
}

/** DT, whose own offset counts before `local`. */
export function isoDateTimeOfDt(dt: string, local: LocalTime = {}): string | undefined {
  const match = /^(\d{4,8})(\d{0,6}(?:\.\d{1,6})?)([+-]\d{4})?$/.exec(unpadded(dt));
  if (match === null) return undefined;
  const [, date = '', time = '', offset] = match;
  return isoDateTimeOf(date, time === '' ? undefined : time, { ...local, offset: offset ?? local.offset });
}

/** '1980-05-17' (or a cut or longer ISO date) -> DA '19800517'; '' when it is not a whole date, for DA has no shorter form. */
export function daOfIsoDate(iso: string | undefined): string {
  const match = /^(\d{4})-(\d\d)-(\d\d)/.exec(iso ?? '');
  return match === null ? '' : `${match[1]}${match[2]}${match[3]}`;
}
/**
 * An ISO 8601 moment as DA, TM and (0008,0201) of the zone, or of UTC. A date alone has no TM; a local time without offset stays as it
 * is and has no offset; nothing, or no date, gives empty values.
 */
export function localDaTm(iso: string | undefined, zone?: string): { readonly da: string; readonly tm: string; readonly offset: string | undefined } {
  const da = daOfIsoDate(iso);
  const match = /T(\d\d):(\d\d)(?::(\d\d))?[^+Z-]*(Z|[+-]\d\d:?\d\d)?$/.exec(iso ?? '');
  if (da === '' || match === null) return { da, tm: '', offset: undefined };
  const [, hour = '', minute = '', second = '00', offset] = match;
  const instant = Date.parse(iso ?? '');
  if (offset === undefined || Number.isNaN(instant)) return { da, tm: hour + minute + second, offset: undefined };
  const shift = zone === undefined ? '+00:00' : zoneOffsetAt(instant, zone);
  const local = new Date(instant + minutesOf(shift) * 60_000).toISOString();
  return { da: local.slice(0, 10).replaceAll('-', ''), tm: local.slice(11, 19).replaceAll(':', ''), offset: shift.replace(':', '') };
}

function unpadded(text: string): string {
  return text.replace(/[\0 ]+$/, '').trimStart();
}
function isDay(year: number, month: number, day: number): boolean {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}
/** PS3.3 C.12.1.1.8: -1200 to +1400. */
function offsetText(offset: string | undefined): string | undefined {
  const match = /^([+-])(\d\d):?([0-5]\d)$/.exec(unpadded(offset ?? ''));
  return match === null || Number(match[2]) > 14 ? undefined : `${match[1]}${match[2]}:${match[3]}`;
}

/** The offset that the zone had at that local time; where a clock change leaves two or none, the one before it. '' for an unknown zone. */
function zoneOffset(localIso: string, zone: string): string {
  const local = Date.parse(`${localIso.slice(0, 19).replace(/:60$/, ':59')}Z`);
  try {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' });
    const before = offsetAt(format, local - 86_400_000), guess = offsetAt(format, local - minutesOf(before) * 60_000);
    return guess === before ? before : offsetAt(format, local - minutesOf(guess) * 60_000);
  } catch (error) {
    if (error instanceof RangeError) return '';
    throw error;
  }
}
function zoneOffsetAt(milliseconds: number, zone: string): string {
  return offsetAt(new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' }), milliseconds);
}
function offsetAt(format: Intl.DateTimeFormat, milliseconds: number): string {
  const name = format.formatToParts(milliseconds).find((part) => part.type === 'timeZoneName')?.value ?? 'GMT';
  return /[+-]\d\d:\d\d/.exec(name)?.[0] ?? '+00:00';
}
function minutesOf(offset: string): number {
  return (offset.startsWith('-') ? -1 : 1) * (Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4, 6)));
}
