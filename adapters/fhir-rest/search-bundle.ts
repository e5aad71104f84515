/** One page of a search as a Bundle of type searchset (R4 search.html#return): what fits, and what was asked to come with it. */
import type { RecordPage } from '#gateway/records.ts';
import type { Bundle, BundleEntry, Resource } from '#standards/fhir/types.ts';
import { outcome } from '#standards/fhir/operation-outcome.ts';
import type { Asking, ReadRequest } from './answer-read-search.ts';
import { mayDo } from './read-access.ts';
import { resourceOf } from './record-resources.ts';
import { servedTypes } from './served-types.ts';
import type { ServedType } from './served-types.ts';
import { subsetOf } from './subset.ts';
import type { Summary } from './subset.ts';

/** Of one type, for one page. */
const mostReverse = 500;

export async function searchBundle(page: RecordPage, self: string, { type, base }: Pick<ReadRequest, 'type' | 'base'>, asking: Asking): Promise<Bundle> {
  const { config } = asking.access.integration, { memo } = page;
  const matches = page.records.map((record) => resourceOf(record, config));
  const there = new Map(matches.map((resource) => [nameOf(resource), resource]));
  const { isCut, included } = await includedBy(matches, type, memo['include'] ?? '', memo['revinclude'] ?? '', there, asking);
  const subsetting = { summary: memo['summary'] as Summary | undefined, elements: memo['elements']?.split(',') };
  const entry = (mode: 'match' | 'include') => (resource: Resource): BundleEntry => ({ fullUrl: `${base}/${nameOf(resource)}`, resource: mode === 'match' ? subsetOf(resource, subsetting) : resource, search: { mode } });
  const cut: BundleEntry[] = isCut ? [{ resource: outcome('warning', 'incomplete', `More than ${mostReverse} resources of a type refer to what is on this page: ask for them by themselves.`), search: { mode: 'outcome' } }] : [];
  const entries = [...matches.map(entry('match')), ...included.map(entry('include')), ...cut];
  return {
    resourceType: 'Bundle', type: 'searchset', ...(page.total === undefined ? {} : { total: page.total }),
    link: [{ relation: 'self', url: self }, ...(page.next === undefined ? [] : [{ relation: 'next', url: `${base}/${type}?_page=${page.next}` }])], ...(entries.length === 0 ? {} : { entry: entries }),
  };
}

const nameOf = ({ resourceType, id = '' }: Resource): string => `${resourceType}/${id}`;

/** Each type in one search by ids; a type that the token may not read is left out. */
async function includedBy(matches: readonly Resource[], type: ServedType, include: string, revinclude: string, there: Map<string, Resource>, { access: { principal, integration }, reader, records }: Asking): Promise<{ included: Resource[]; isCut: boolean }> {
  const included: Resource[] = [];
  let isCut = false;
  const add = (page: RecordPage): void => {
    for (const resource of page.records.map((record) => resourceOf(record, integration.config))) {
      if (there.has(nameOf(resource))) continue;
      there.set(nameOf(resource), resource);
      included.push(resource);
    }
  };
  for (const [target, ids] of wantedBy(matches, include, there)) {
    if (mayDo(principal, target, 'r')) add(await records.search(reader, { kind: servedTypes[target].kind, criteria: { ids: [...ids] }, count: ids.size, total: false, memo: {} }));
  }
  const ids = matches.map(({ id = '' }) => id);
  for (const [, source, name] of ids.length === 0 ? [] : revinclude.matchAll(/(\w+):([\w-]+)\S*/g)) {
    const { kind, includes } = servedTypes[source as ServedType], criteria = includes[name ?? '']?.reverse?.(ids, type);
    if (criteria === undefined || !mayDo(principal, source ?? '', 's')) continue;
    const page = await records.search(reader, { kind, criteria, count: mostReverse, total: false, memo: {} });
    isCut ||= page.next !== undefined;
    add(page);
  }
  return { included, isCut };
}

function wantedBy(matches: readonly Resource[], include: string, there: ReadonlyMap<string, Resource>): Map<ServedType, Set<string>> {
  const wanted = new Map<ServedType, Set<string>>();
  for (const [, source, name, only] of include.matchAll(/(\w+):([\w-]+)(?::(\w+))?/g)) {
    const followed = servedTypes[source as ServedType].includes[name ?? ''];
    for (const resource of matches) {
      for (const reference of [(resource as unknown as Record<string, unknown>)[followed?.property ?? '']].flat() as ({ reference?: string } | undefined)[]) {
        const [target = '', id = ''] = reference?.reference?.split('/') ?? [];
        if (followed?.targets.includes(target as ServedType) !== true || there.has(`${target}/${id}`) || (only !== undefined && only !== target)) continue;
        wanted.set(target as ServedType, (wanted.get(target as ServedType) ?? new Set()).add(id));
      }
    }
  }
  return wanted;
}
