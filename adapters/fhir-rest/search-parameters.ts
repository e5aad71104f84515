/** The parameters of a search (R4 search.html): what is asked of the records, and how the answer is to be. */
import type { Integration } from '#gateway/adapter.ts';
import type { Criteria, RecordSort } from '#gateway/records.ts';
import type { Config } from './config.ts';
import { alternatives, birthOf, rangeOf, refused } from './search-values.ts';
import { servedTypes } from './served-types.ts';
import type { SearchParameter, ServedType } from './served-types.ts';
import { subsettingOf } from './subset.ts';

const defaultCount = 50, mostCount = 200, mostIncludes = 20;
export const resultParameters = ['_count', '_summary', '_elements', '_total', '_sort', '_include', '_revinclude', '_format', '_pretty'];

export interface Control { readonly count: number; readonly isCount: boolean; readonly total: boolean; readonly sort: RecordSort | undefined; readonly memo: Readonly<Record<string, string>> }

/** Throws FhirRefusal 400. `used` is what counted: the self link. */
export function readParameters(type: ServedType, parameters: URLSearchParams, integration: Integration<Config>, isLenient: boolean): { criteria: Criteria; control: Control; used: URLSearchParams } {
  const criteria: Record<string, unknown> = {}, control = new URLSearchParams(), used = new URLSearchParams();
  for (const [name, text] of parameters) {
    const [base = '', modifier] = name.split(':', 2), known = servedTypes[type].parameters;
    const parameter = Object.hasOwn(known, base) ? known[base] : undefined;
    if (resultParameters.includes(name)) control.append(name, text);
    else if (parameter === undefined && isLenient) continue;
    else if (base === '_has') throw refused(`_has is not taken: search the type that refers to ${type} by what it is to have, with _include of the ${type}; or ${type} with _revinclude`);
    else if (parameter === undefined) throw refused(`${type} cannot be searched by ${/^[\w:.-]{1,60}$/.test(name) ? `'${name}'` : 'this parameter'}; it takes ${[...Object.keys(known), ...resultParameters].join(', ')}`);
    // R4 search.html#modifiers: one that is not known is always refused, because without it the search would mean something else.
    else if (modifier !== undefined && parameter.modifiers?.includes(modifier) !== true) throw refused(`the modifier of ${base} is not taken${parameter.modifiers === undefined ? '' : `; known are ${parameter.modifiers.map((each) => `:${each}`).join(', ')}`}`);
    else add(criteria, parameter, text, integration, modifier);
    used.append(name, text);
  }
  return { criteria, control: controlOf(type, control), used };
}

function add(criteria: Record<string, unknown>, { criteria: asks }: SearchParameter, text: string, { config, integrationId }: Integration<Config>, modifier: string | undefined): void {
  const append = (key: string, value: unknown): void => { criteria[key] = [...(criteria[key] as [] | undefined) ?? [], value]; };
  if (asks === 'born') append('born', birthOf(text));
  else if (typeof asks === 'string') append(asks, rangeOf(text));
  else {
    for (const [key, value] of Object.entries(asks(alternatives(text), config, integrationId, modifier))) {
      if (key === 'texts') append(key, (value as unknown[])[0]);
      else if (key in criteria) throw refused('two parameters ask for the same thing; give alternatives in one, separated by commas');
      else criteria[key] = value;
    }
  }
}

function controlOf(type: ServedType, control: URLSearchParams): Control {
  const total = control.get('_total'), summary = control.get('_summary'), count = control.get('_count');
  if (total !== null && !['none', 'accurate', 'estimate'].includes(total)) throw refused('_total is none, estimate or accurate');
  if (count !== null && !/^\d{1,9}$/.test(count)) throw refused('_count must be a whole number');
  const isCount = summary === 'count' || count === '0';
  const [include, revinclude] = [control.getAll('_include'), control.getAll('_revinclude')];
  checkIncludes(type, include, revinclude);
  const { summary: part, elements } = subsettingOf(control);
  return {
    count: count === null ? defaultCount : Math.min(Number(count), mostCount), isCount, total: isCount || total === 'accurate' || total === 'estimate', sort: sortOf(type, control.getAll('_sort')),
    memo: { include: include.join(' '), revinclude: revinclude.join(' '), ...(part === undefined ? {} : { summary: part }), ...(elements === undefined ? {} : { elements: elements.join(',') }) },
  };
}

function sortOf(type: ServedType, asked: readonly string[]): RecordSort | undefined {
  if (asked.length === 0) return undefined;
  const { sorts } = servedTypes[type], [, minus = '', name = ''] = /^(-?)([\w-]+)$/.exec(asked.join(',')) ?? [];
  const by = name === '_lastUpdated' ? 'updated' : Object.hasOwn(sorts, name) ? sorts[name] : undefined;
  if (by === undefined) throw refused(`_sort of ${type} takes one of ${['_lastUpdated', ...Object.keys(sorts)].join(', ')}, with - before it for the other way round`);
  return { by, isDescending: minus === '-' };
}

function checkIncludes(type: ServedType, include: readonly string[], revinclude: readonly string[]): void {
  if (include.length + revinclude.length > mostIncludes) throw refused(`a search takes at most ${mostIncludes} of _include and _revinclude`);
  const allowed = includesOf(type), reverse = revincludesOf(type);
  if (include.some((each) => !allowed.includes(withoutTarget(each)))) throw refused(`_include of ${type} takes ${allowed.join(', ') || 'nothing'}`);
  if (revinclude.some((each) => !reverse.includes(withoutTarget(each)))) throw refused(`_revinclude of ${type} takes ${reverse.join(', ') || 'nothing'}`);
}

/** 'DiagnosticReport:subject:Patient' is 'DiagnosticReport:subject'. */
const withoutTarget = (text: string): string => text.split(':').slice(0, 2).join(':');

export function includesOf(type: ServedType): string[] {
  return Object.keys(servedTypes[type].includes).map((name) => `${type}:${name}`);
}
export function revincludesOf(type: ServedType): string[] {
  return Object.entries(servedTypes).flatMap(([source, { includes }]) => Object.entries(includes).flatMap(([name, { targets, reverse }]) => (reverse !== undefined && targets.includes(type) ? [`${source}:${name}`] : [])));
}
