/**
 * RESOURCES ARE READ HERE. In: GET [type]/[id], GET [type]?..., POST [type]/_search, GET [type]?_page=... Out: a resource, a searchset Bundle, or 304.
 * The records are read under row level security and audited before they are told (gateway/records.ts); another organization's is 404.
 *
 * The `next` link is sealed by the gateway: it holds the search and where it stopped, and shows neither.
 */
import type { AdapterContext, IntegrationDirectory, Peer } from '#gateway/adapter.ts';
import type { Criteria, Reader, RecordPage, Records } from '#gateway/records.ts';
import type { Bundle, BundleEntry, Resource } from '#standards/fhir/types.ts';
import { FhirRefusal, answer } from './answer.ts';
import type { Config } from './config.ts';
import { logicalAuthority } from './normalize.ts';
import { demand, mayDo, principalOf, readingIntegration } from './read-access.ts';
import type { Access } from './read-access.ts';
import { resourceOf } from './record-resources.ts';
import { alternatives, rangeOf, refused } from './search-values.ts';
import { servedType, servedTypes } from './served-types.ts';
import type { ServedType } from './served-types.ts';

export interface ReadRequest { readonly type: ServedType; readonly id: string | undefined; readonly parameters: URLSearchParams; readonly base: string }

const defaultCount = 50, mostCount = 200;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export async function answerRead(request: Request, read: ReadRequest, peer: Peer, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<Response> {
  const principal = await principalOf(request, context);
  const access: Access = { principal, integration: readingIntegration(principal, integrations) };
  demand(principal, read.type, read.id === undefined ? 's' : 'r');
  if (context.records === undefined) throw new FhirRefusal(503, 'transient', 'The records cannot be read now.');
  const reader: Reader = { organizationId: principal.organizationId, userId: principal.userId, role: principal.role, address: peer.address };
  const response = read.id === undefined ? await search(request, read, access, reader, context.records) : await readOne(request, read, read.id, access, reader, context.records);
  return request.method === 'HEAD' ? new Response(null, response) : response;
}

async function readOne(request: Request, { type, parameters }: ReadRequest, id: string, { integration }: Access, reader: Reader, records: Records): Promise<Response> {
  checkFormat(parameters, ['_format', '_pretty']);
  const record = uuid.test(id) || type !== 'Patient' ? await records.read(reader, servedTypes[type].kind, id) : await byLogicalId(id, integration.integrationId, reader, records);
  if (record === undefined) throw new FhirRefusal(404, 'not-found', `There is no ${type} with this id.`);
  const resource = { ...resourceOf(record, integration.config), id };
  const headers = { etag: `W/"${resource.meta?.versionId}"`, 'last-modified': new Date(record.updatedAt).toUTCString() };
  const known = request.headers.get('if-none-match')?.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (known?.some((tag) => tag === '*' || tag === `"${resource.meta?.versionId}"`) === true) return answer(304, undefined, headers);
  return answer(200, resource, headers);
}

/** `Patient/123` is what this system PUT as Patient/123. */
async function byLogicalId(id: string, integrationId: string, reader: Reader, records: Records): Promise<RecordPage['records'][number] | undefined> {
  const { records: [found] } = await records.search(reader, { kind: 'patient', criteria: { patientIdentifiers: [{ value: id, authority: logicalAuthority(integrationId) }] }, count: 1, total: false, memo: {} });
  return found;
}

async function search(request: Request, read: ReadRequest, access: Access, reader: Reader, records: Records): Promise<Response> {
  const { type, parameters } = read, { kind } = servedTypes[type];
  const cursor = parameters.get('_page');
  if (cursor !== null) {
    const page = await records.next(reader, kind, cursor);
    if (page === undefined) throw new FhirRefusal(410, 'not-found', 'This page cannot be had: begin the search again.');
    return answer(200, await bundleOf(page, `${read.base}/${type}?_page=${cursor}`, read, access, reader, records));
  }
  const isLenient = /handling=lenient/.test(request.headers.get('prefer') ?? '');
  const { criteria, control, used } = readParameters(type, parameters, access.integration.config, isLenient);
  const isCount = control.get('_summary') === 'count' || control.get('_count') === '0';
  const page = await records.search(reader, {
    kind, criteria, count: isCount ? 0 : countOf(control.get('_count')), total: isCount || control.get('_total') === 'accurate', memo: { include: control.get('_include') ?? '' },
  });
  // After POST the link must not show what the body kept out of the URL.
  const self = request.method === 'POST' ? `${read.base}/${type}` : `${read.base}/${type}${used.size === 0 ? '' : `?${used.toString()}`}`;
  return answer(200, await bundleOf(page, self, read, access, reader, records));
}

const controls = ['_count', '_summary', '_total', '_include', '_format', '_pretty'];

function readParameters(type: ServedType, parameters: URLSearchParams, config: Config, isLenient: boolean): { criteria: Criteria; control: ReadonlyMap<string, string>; used: URLSearchParams } {
  const criteria: Record<string, unknown> = {}, control = new Map<string, string>(), used = new URLSearchParams();
  checkFormat(parameters, undefined);
  for (const [name, text] of parameters) {
    const parameter = Object.hasOwn(servedTypes[type].parameters, name) ? servedTypes[type].parameters[name] : undefined;
    if (controls.includes(name)) control.set(name, name === '_include' && control.has(name) ? `${control.get(name)} ${text}` : text);
    else if (parameter === undefined && isLenient) continue;
    else if (parameter === undefined) throw refused(`${type} cannot be searched by ${/^[\w:.-]{1,60}$/.test(name) ? `'${name}'` : 'this parameter'}; it takes ${[...Object.keys(servedTypes[type].parameters), ...controls].join(', ')}`);
    else if (typeof parameter.criteria === 'string') criteria[parameter.criteria] = [...(criteria[parameter.criteria] as [] | undefined) ?? [], rangeOf(text)];
    else {
      for (const [key, value] of Object.entries(parameter.criteria(alternatives(text), config))) {
        if (key in criteria) throw refused('two parameters ask for the same thing; give alternatives in one, separated by commas');
        criteria[key] = value;
      }
    }
    used.append(name, text);
  }
  checkControls(type, control);
  return { criteria, control, used };
}

function checkControls(type: ServedType, control: ReadonlyMap<string, string>): void {
  const summary = control.get('_summary'), total = control.get('_total');
  if (summary !== undefined && summary !== 'count' && summary !== 'false') throw refused('_summary is count or false here');
  if (total !== undefined && !['none', 'accurate', 'estimate'].includes(total)) throw refused('_total is none, estimate or accurate');
  for (const include of includesOf(control.get('_include') ?? '')) {
    if (include.source !== type || !Object.hasOwn(servedTypes[type].includes, include.name)) throw refused(`_include of ${type} takes ${Object.keys(servedTypes[type].includes).map((name) => `${type}:${name}`).join(', ') || 'nothing'}`);
  }
}

/** Answers are JSON; a reader that wants XML is told so rather than surprised. */
function checkFormat(parameters: URLSearchParams, allowed: readonly string[] | undefined): void {
  const format = parameters.get('_format')?.toLowerCase();
  if (format !== undefined && !format.includes('json')) throw new FhirRefusal(406, 'not-supported', 'Answers are application/fhir+json only; XML is not offered.');
  const other = allowed === undefined ? undefined : [...parameters.keys()].find((name) => !allowed.includes(name));
  if (other !== undefined) throw refused('a read takes no parameters but _format');
}

function countOf(text: string | undefined): number {
  if (text === undefined) return defaultCount;
  if (!/^\d{1,9}$/.test(text)) throw refused('_count must be a whole number');
  return Math.min(Number(text), mostCount);
}

function includesOf(text: string): { source: string; name: string }[] {
  return text.split(' ').filter(Boolean).map((each) => { const [source = '', name = ''] = each.split(':'); return { source, name }; });
}

async function bundleOf(page: RecordPage, self: string, { type, base }: ReadRequest, access: Access, reader: Reader, records: Records): Promise<Bundle> {
  const { config } = access.integration;
  const matches = page.records.map((record) => resourceOf(record, config));
  const included = await includedBy(matches, type, page.memo['include'] ?? '', access, reader, records);
  const entry = (mode: 'match' | 'include') => (resource: Resource): BundleEntry => ({ fullUrl: `${base}/${resource.resourceType}/${resource.id}`, resource, search: { mode } });
  const entries = [...matches.map(entry('match')), ...included.map(entry('include'))];
  return {
    resourceType: 'Bundle', type: 'searchset', ...(page.total === undefined ? {} : { total: page.total }),
    link: [{ relation: 'self', url: self }, ...(page.next === undefined ? [] : [{ relation: 'next', url: `${base}/${type}?_page=${page.next}` }])], ...(entries.length === 0 ? {} : { entry: entries }),
  };
}

/** Each type in one search by ids; a type that the token may not read is left out. */
async function includedBy(matches: readonly Resource[], type: ServedType, include: string, { principal, integration }: Access, reader: Reader, records: Records): Promise<Resource[]> {
  const there = new Set(matches.map((resource) => `${resource.resourceType}/${resource.id}`)), wanted = new Map<ServedType, Set<string>>();
  for (const { name } of includesOf(include)) {
    const followed = servedTypes[type].includes[name];
    for (const resource of matches) {
      for (const reference of [(resource as unknown as Record<string, unknown>)[followed?.property ?? '']].flat() as ({ reference?: string } | undefined)[]) {
        const [target = '', id = ''] = reference?.reference?.split('/') ?? [];
        if (followed?.targets.includes(target as ServedType) === true && !there.has(`${target}/${id}`)) wanted.set(target as ServedType, (wanted.get(target as ServedType) ?? new Set()).add(id));
      }
    }
  }
  const included: Resource[] = [];
  for (const [target, ids] of wanted) {
    if (!mayDo(principal, target, 'r')) continue;
    const page = await records.search(reader, { kind: servedTypes[target].kind, criteria: { ids: [...ids] }, count: ids.size, total: false, memo: {} });
    included.push(...page.records.map((record) => resourceOf(record, integration.config)));
  }
  return included;
}

/** The search of GET [type]?... or, as a form, of POST [type]/_search; parameters of the URL count as well. */
export async function readRequestOf(request: Request, steps: readonly string[], base: string): Promise<ReadRequest> {
  const url = new URL(request.url), [type = '', second] = steps;
  const parameters = new URLSearchParams(url.search);
  if (request.method === 'POST') {
    if (!/^application\/x-www-form-urlencoded\b/i.test(request.headers.get('content-type') ?? '')) throw new FhirRefusal(415, 'not-supported', 'POST _search takes application/x-www-form-urlencoded.');
    const text = await request.text();
    if (text.length > 65_536) throw new FhirRefusal(413, 'too-long', 'The search has more than 65536 characters.');
    for (const [name, value] of new URLSearchParams(text)) parameters.append(name, value);
  }
  return { type: servedType(type), id: second === '_search' ? undefined : second, parameters, base };
}
