/** DA and DT moved by whole days; times and offsets stay. A value that is no whole date becomes empty: nobody could say what it gives away. */
export function shiftedDate(text: string, days: number): string {
  const match = /^(\d{4})[.-]?(\d\d)[.-]?(\d\d)(\d{0,6}(?:\.\d{1,6})?(?:[+-]\d{4})?)$/.exec(text);
  if (match === null) return '';
  const [, year = '', month = '', day = '', rest = ''] = match;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day) + days);
  const moved = date.toISOString();
  return moved.startsWith('-') || moved.startsWith('+') ? '' : moved.slice(0, 10).replaceAll('-', '') + rest;
}
