/** The query of a search (PS3.18 8.3.4): what to match, which attributes to tell, how many from where. Throws InvalidMatchError, which names the key. */
import { InvalidMatchError, matchKeys, matchOf, mostRows, type InstanceKey, type Match } from '#gateway/holdings.ts';
import { attributeNamed, attributes, depthOf, type Attribute } from './attributes.ts';
import type { InstancePath, Level } from './resource.ts';

export interface SearchQuery {
  readonly match: { readonly [K in InstanceKey]?: Match };
  /** Names of what was matched, for the record. */
  readonly keys: readonly string[];
  readonly fields: readonly Attribute[];
  readonly limit: number; readonly offset: number;
  readonly warnings: readonly string[];
}

const mostParameters = 100;

export function parseQuery(parameters: URLSearchParams, { level, path }: { readonly level: Level; readonly path: InstancePath }, mostResults: number): SearchQuery {
  if (parameters.size > mostParameters) throw new InvalidMatchError('query', `A query may have ${mostParameters} parameters`);
  const match: { [K in InstanceKey]?: Match } = {};
  const asked = new Set<Attribute>();
  const warnings = new Set<string>();
  for (const [name, value] of parameters) {
    if (controls.has(name)) continue;
    const attribute = matchable(name, level);
    asked.add(attribute);
    const key = attribute.key!;
    if (match[key] !== undefined) throw new InvalidMatchError(attribute.keyword, `${attribute.keyword} is named twice`);
    const found = matchOf(attribute.keyword, matchKeys.instance[key], valueOf(attribute, value));
    if (found !== undefined) match[key] = found;
  }
  if (parameters.get('fuzzymatching') === 'true') warnings.add('The fuzzymatching parameter is not supported. Only literal matching has been performed.');
  const fields = fieldsFor(parameters, level, path, asked, warnings);
  narrow(match, 'studyInstanceUid', path.study);
  narrow(match, 'seriesInstanceUid', path.series);
  return { match, keys: Object.keys(match), fields, warnings: [...warnings], ...pageOf(parameters, mostResults) };
}

const controls = new Set(['limit', 'offset', 'includefield', 'fuzzymatching']);

function matchable(name: string, level: Level): Attribute {
  const attribute = attributeNamed(name);
  const words = /^[\w,.()-]{1,64}$/.test(name) ? name : 'a parameter';
  if (attribute?.key === undefined) throw new InvalidMatchError(name, `${words} cannot be matched; the conformance statement lists what can`);
  if (depthOf[attribute.level] > depthOf[level]) throw new InvalidMatchError(name, `${words} belongs to a lower level than is searched`);
  return attribute;
}

/** Lists of UIDs are joined by commas in a URL (PS3.18 8.3.4.1.1), and in DICOM by backslash; other values are taken as they are. */
function valueOf({ vr, key }: Attribute, value: string): string {
  return vr === 'UI' || key === 'modalitiesInStudy' || key === 'modality' ? value.replaceAll(',', '\\') : value;
}

/** What the URL's path names holds beside what the query names. */
function narrow(match: { [K in InstanceKey]?: Match }, key: 'studyInstanceUid' | 'seriesInstanceUid', uid: string | undefined): void {
  if (uid === undefined) return;
  const asked = match[key];
  const holds = asked === undefined || (asked.kind === 'exact' ? asked.value === uid : asked.kind === 'list' && asked.values.includes(uid));
  if (!holds) throw new InvalidMatchError(key, 'The query names another UID than the path');
  match[key] = { kind: 'exact', value: uid };
}

/**
 * Everything known at the level and above; above the level only what the path leaves open, was matched, or is asked for (tables 10.6.3-3 to -5).
 */
function fieldsFor(parameters: URLSearchParams, level: Level, path: InstancePath, asked: ReadonlySet<Attribute>, warnings: Set<string>): readonly Attribute[] {
  const included = parameters.getAll('includefield').flatMap((text) => text.split(',')).map((name) => name.trim()).filter((name) => name !== '');
  if (included.length > 500) throw new InvalidMatchError('includefield', 'includefield names more than 500 attributes');
  const isAll = included.includes('all');
  const named = included.filter((name) => name !== 'all').map(attributeNamed);
  if (named.includes(undefined)) warnings.add('Some attributes of includefield are not kept for search and left out; metadata has them.');
  const isOpen = (attribute: Attribute): boolean => (attribute.level === 'study' ? path.study === undefined : path.series === undefined);
  return attributes.filter((attribute) => depthOf[attribute.level] <= depthOf[level] && (attribute.level === level || isAll || isOpen(attribute)
    || alwaysTold.has(attribute.tag) || asked.has(attribute) || named.includes(attribute)));
}
const alwaysTold = new Set(['00080005', '00080056', '00080201', '0020000D', '0020000E', '00080060']);

function pageOf(parameters: URLSearchParams, mostResults: number): { limit: number; offset: number } {
  const limit = numberOf(parameters, 'limit', mostResults), offset = numberOf(parameters, 'offset', 0);
  if (offset > mostRows) throw new InvalidMatchError('offset', `offset may be at most ${mostRows}; narrow the search instead`);
  return { limit: Math.min(limit, mostResults), offset };
}

function numberOf(parameters: URLSearchParams, name: string, otherwise: number): number {
  const values = parameters.getAll(name);
  if (values.length === 0) return otherwise;
  if (values.length > 1 || !/^\d{1,9}$/.test(values[0] ?? '')) throw new InvalidMatchError(name, `${name} must be a number and be named once`);
  return Number(values[0]);
}
