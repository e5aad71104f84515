/** date, dateTime, instant and time of FHIR R4 (datatypes.html#dateTime): a time of day needs seconds and a zone; leap years are kept. */
export const datePattern = /^(\d{4})(?:-(\d\d)(?:-(\d\d))?)?$/;
const dateTimePattern = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d))?)?)?$/;
const timePattern = /^(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,9})?$/;

export function isFhirDate(text: string): boolean {
  return datePattern.test(text) && isDay(text);
}

export function isFhirDateTime(text: string): boolean {
  return dateTimePattern.test(text) && isDay(text.slice(0, 10)) && (text.length <= 10 || isTimeAndZone(text.slice(11)));
}

export function isFhirInstant(text: string): boolean {
  return text.length > 19 && isFhirDateTime(text);
}

export function isFhirTime(text: string): boolean {
  return timePattern.test(text);
}

function isDay(text: string): boolean {
  const [year = 0, month = 1, day = 1] = text.split('-').map(Number);
  if (year < 1 || month < 1 || month > 12 || day < 1) return false;
  const days = [31, year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  return day <= (days[month - 1] ?? 0);
}

function isTimeAndZone(text: string): boolean {
  const zone = /(?:Z|[+-](\d\d):(\d\d))$/.exec(text);
  return isFhirTime(text.slice(0, zone?.index)) && Number(zone?.[1] ?? 0) <= 14 && Number(zone?.[2] ?? 0) <= 59;
}

/** The first millisecond that the date or dateTime can mean; a date without zone is read as UTC, so compare days with days only. */
export function earliest(text: string): number {
  return Date.parse(fill(text, '-01-01'));
}
/** The last millisecond that it can mean: '2012' reaches to the end of the year. */
export function latest(text: string): number {
  if (text.length > 10) return Date.parse(text);
  const [year = 0, month, day] = text.split('-').map(Number);
  const next = day !== undefined ? Date.UTC(year, (month ?? 1) - 1, day + 1) : month !== undefined ? Date.UTC(year, month, 1) : Date.UTC(year + 1, 0, 1);
  return next - 1;
}
function fill(text: string, rest: string): string {
  return text.length >= 10 ? text : text.length === 7 ? `${text}-01` : text.length === 4 ? text + rest : text;
}
