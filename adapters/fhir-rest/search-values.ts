/** Values of search parameters (R4 search.html): alternatives, tokens, dates with prefixes. Refusals name no value: it may be about a patient. */
import type { DayComparison, TimeRange } from '#gateway/records.ts';
import { earliest, isFhirDate, isFhirDateTime, latest } from '#standards/fhir/dates.ts';
import { FhirRefusal } from './answer.ts';

export interface Token { readonly system: string | undefined; readonly value: string }

export function refused(text: string): FhirRefusal {
  return new FhirRefusal(400, 'value', `${text.charAt(0).toUpperCase()}${text.slice(1)}.`);
}

const mostValues = 100;

/** 'a,b' is two alternatives; '\,' is a comma. */
export function alternatives(text: string): string[] {
  const values = text.split(/(?<!\\),/).map((value) => value.trim()).filter((value) => value !== '');
  if (values.length === 0 || values.length > mostValues) throw refused(`a search parameter takes 1 to ${mostValues} values`);
  return values;
}

export function unescaped(part: string): string {
  return part.replaceAll(/\\([\\,|$])/g, '$1');
}

/** 'system|value', '|value' without system, 'value' of any. */
export function tokenOf(text: string): Token {
  const bar = text.search(/(?<!\\)\|/);
  const token = { system: bar < 0 ? undefined : unescaped(text.slice(0, bar)), value: unescaped(text.slice(bar + 1)) };
  if (token.value === '') throw refused('a token needs a value: system|value, |value or value');
  return token;
}

export const datePrefixes = ['eq', 'ge', 'gt', 'le', 'lt', 'sa', 'eb'];

/** The times that may match: a day is all of it. Every range of a search must hold. */
export function rangeOf(text: string): TimeRange {
  const [, prefix = 'eq', date = ''] = /^(eq|ge|gt|le|lt|sa|eb)?(\d.*)$/.exec(text) ?? [];
  if (!isFhirDateTime(date)) throw refused('a date must be YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a zone, after eq, ge, gt, le, lt, sa or eb');
  const from = earliest(date), to = date.length > 10 ? latest(date) + (date.includes('.') ? 0 : 999) : latest(date);
  switch (prefix) {
    case 'ge': return { from };
    case 'gt': case 'sa': return { from: to + 1 };
    case 'le': return { to };
    case 'lt': case 'eb': return { to: from - 1 };
    default: return { from, to };
  }
}

/** A birth date is known to a year, a month or a day, and is compared to the precision that is asked for. */
export function birthOf(text: string): DayComparison {
  const [, prefix = 'eq', date = ''] = /^(eq|ge|gt|le|lt|sa|eb)?(\d.*)$/.exec(text) ?? [];
  if (!isFhirDate(date)) throw refused('a birth date must be YYYY, YYYY-MM or YYYY-MM-DD, after eq, ge, gt, le, lt, sa or eb');
  const is = ({ ge: '>=', gt: '>', sa: '>', le: '<=', lt: '<', eb: '<' } as const satisfies Record<string, DayComparison['is']> as Record<string, DayComparison['is']>)[prefix] ?? '=';
  return { is, date };
}
