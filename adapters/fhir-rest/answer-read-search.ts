/**
 * RESOURCES ARE READ HERE. In: GET [type]/[id], its versions and history, GET [type]?..., POST [type]/_search, GET [type]?_page=...
 * Out: a resource, a Bundle, or 304. The records are read under row level security and audited before they are told (gateway/records.ts); another
 * organization's is 404.
 *
 * The `next` link is sealed by the gateway: it holds the search and where it stopped, and shows neither.
 */
import type { AdapterContext, Integration, IntegrationDirectory, Peer } from '#gateway/adapter.ts';
import type { Reader, RecordRow, Records } from '#gateway/records.ts';
import type { Bundle, Resource } from '#standards/fhir/types.ts';
import { FhirRefusal, answer } from './answer.ts';
import { readBytes } from './body.ts';
import type { Config } from './config.ts';
import { isLenient } from './negotiate.ts';
import { logicalAuthority } from './normalize.ts';
import { demand, principalOf, readingIntegration } from './read-access.ts';
import type { Access } from './read-access.ts';
import { resourceOf } from './record-resources.ts';
import { searchBundle } from './search-bundle.ts';
import { readParameters } from './search-parameters.ts';
import { refused } from './search-values.ts';
import { servedType, servedTypes } from './served-types.ts';
import type { ServedType } from './served-types.ts';
import { subsetOf, subsettingOf } from './subset.ts';
import { tagsOf } from './write-request.ts';

/** `version`: of vread; '' asks for the whole history. */
export interface ReadRequest { readonly type: ServedType; readonly id: string | undefined; readonly version: string | undefined; readonly isForm: boolean; readonly parameters: URLSearchParams; readonly base: string }
export interface Asking { readonly access: Access; readonly reader: Reader; readonly records: Records }

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export async function answerRead(request: Request, read: ReadRequest, peer: Peer, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<Response> {
  const principal = await principalOf(request, context);
  const access: Access = { principal, integration: readingIntegration(principal, integrations) };
  demand(principal, read.type, read.id === undefined ? 's' : 'r');
  if (context.records === undefined) throw new FhirRefusal(503, 'transient', 'The records cannot be read now.');
  const reader: Reader = { organizationId: principal.organizationId, userId: principal.userId, role: principal.role, address: peer.address };
  const asking: Asking = { access, reader, records: context.records };
  if (read.isForm) await readForm(request, read.parameters);
  if (read.version !== undefined) return read.id === undefined ? answer(200, await changesOfType(read, asking)) : readVersions(request, read, read.id, asking);
  return read.id === undefined ? search(request, read, asking) : readOne(request, read, read.id, asking);
}

async function readOne(request: Request, { type, parameters }: ReadRequest, id: string, { access: { integration }, reader, records }: Asking): Promise<Response> {
  checkNames(parameters, ['_format', '_pretty', '_summary', '_elements'], 'a read takes _format, _summary and _elements');
  const record = await recordNamed(type, id, integration, reader, records);
  if (record === undefined) throw new FhirRefusal(404, 'not-found', `There is no ${type} with this id.`);
  return tellVersion(request, { ...resourceOf(record, integration.config), id }, record.updatedAt, parameters);
}

/** 304 where the reader has this version (RFC 9110 13.1.2, 13.1.3; If-Modified-Since counts only without If-None-Match). */
function tellVersion(request: Request, resource: Resource, updatedAt: string, parameters: URLSearchParams): Response {
  const versionId = resource.meta?.versionId ?? '', headers = { etag: `W/"${versionId}"`, 'last-modified': new Date(updatedAt).toUTCString() };
  const known = request.headers.get('if-none-match'), since = Date.parse(request.headers.get('if-modified-since') ?? '');
  const isKnown = known !== null ? tagsOf(known).some((tag) => tag === '*' || tag === versionId) : Math.floor(Date.parse(updatedAt) / 1000) * 1000 <= since;
  return isKnown ? answer(304, undefined, headers) : answer(200, subsetOf(resource, subsettingOf(parameters)), headers);
}

/** Ours, or what this system PUT under that id. */
async function recordNamed(type: ServedType, id: string, { integrationId }: Integration<Config>, reader: Reader, records: Records): Promise<RecordRow | undefined> {
  const { kind } = servedTypes[type], isOurs = uuid.test(id);
  const record = isOurs || !isNameable(type) ? await records.read(reader, kind, id) : undefined;
  if (record !== undefined || !isNameable(type)) return record;
  const criteria = type === 'Patient' ? { patientIdentifiers: [{ value: id, authority: logicalAuthority(integrationId) }] } : { names: [{ name: id, integrationId }] };
  const { records: [found] } = await records.search(reader, { kind, criteria, count: 1, total: false, memo: {} });
  return found;
}

const isNameable = (type: ServedType): boolean => ['Patient', 'ServiceRequest', 'ImagingStudy', 'Task', 'Condition', 'AllergyIntolerance'].includes(type);

/** GET [type]/[id]/_history and [type]/[id]/_history/[version]. What is kept of a record is in Records.history. */
async function readVersions(request: Request, { type, version, parameters, base }: ReadRequest, id: string, { access: { integration }, reader, records }: Asking): Promise<Response> {
  checkNames(parameters, version === '' ? ['_format', '_pretty', '_count', '_since'] : ['_format', '_pretty'], 'a history takes _count, _since and _format');
  const current = await recordNamed(type, id, integration, reader, records);
  if (current === undefined) throw new FhirRefusal(404, 'not-found', `There is no ${type} with this id.`);
  const versions = (await records.history(reader, servedTypes[type].kind, current.id)).map((record) => ({ record, resource: { ...resourceOf(record, integration.config), id } as Resource }));
  if (version !== '') {
    const found = versions.find(({ resource }) => resource.meta?.versionId === version);
    if (found === undefined) throw new FhirRefusal(404, 'not-found', `This version of the ${type} is not kept. Its _history tells which are.`);
    return tellVersion(request, found.resource, found.record.updatedAt, new URLSearchParams());
  }
  return answer(200, historyBundle(type, id, versions, parameters, base));
}

function historyBundle(type: ServedType, id: string, versions: readonly { readonly record: RecordRow; readonly resource: Resource }[], parameters: URLSearchParams, base: string): Bundle {
  const since = parameters.get('_since'), count = Number(parameters.get('_count') ?? '200');
  if (since !== null && Number.isNaN(Date.parse(since))) throw refused('_since must be an instant');
  if (!Number.isInteger(count) || count < 0) throw refused('_count must be a whole number');
  const told = versions.filter(({ record }) => since === null || Date.parse(record.updatedAt) >= Date.parse(since)), first = versions.at(-1);
  return {
    resourceType: 'Bundle', type: 'history', total: told.length, link: [{ relation: 'self', url: `${base}/${type}/${id}/_history${parameters.size === 0 ? '' : `?${parameters.toString()}`}` }],
    ...(told.length === 0 || count === 0 ? {} : {
      entry: told.slice(0, count).map(({ record, resource }) => ({
        fullUrl: `${base}/${type}/${id}`, resource, request: { method: 'PUT' as const, url: `${type}/${id}` },
        response: { status: record === first?.record ? '201' : '200', etag: `W/"${resource.meta?.versionId}"`, lastModified: record.updatedAt },
      })),
    }),
  };
}

const mostVersions = 200;

/** GET [type]/_history: what changed last first. */
async function changesOfType({ type, parameters, base }: ReadRequest, { access: { integration }, reader, records }: Asking): Promise<Bundle> {
  checkNames(parameters, ['_format', '_pretty', '_count', '_since', '_page'], 'a history takes _count, _since and _format');
  const since = parameters.get('_since'), count = Number(parameters.get('_count') ?? '50'), cursor = parameters.get('_page');
  if (since !== null && Number.isNaN(Date.parse(since))) throw refused('_since must be an instant');
  if (!Number.isInteger(count) || count < 1) throw refused('_count must be a whole number from 1');
  const page = await records.changes(reader, servedTypes[type].kind, cursor === null ? { since: since === null ? undefined : Date.parse(since), count: Math.min(count, mostVersions) } : { next: cursor });
  if (page === undefined) throw new FhirRefusal(410, 'not-found', 'This page cannot be had: begin the history again.');
  const self = `${base}/${type}/_history`, query = cursor === null ? parameters.toString() : `_page=${cursor}`;
  return {
    resourceType: 'Bundle', type: 'history', link: [{ relation: 'self', url: query === '' ? self : `${self}?${query}` }, ...(page.next === undefined ? [] : [{ relation: 'next', url: `${self}?_page=${page.next}` }])],
    ...(page.records.length === 0 ? {} : {
      entry: page.records.map((record) => {
        const resource = resourceOf(record, integration.config);
        return { fullUrl: `${base}/${type}/${resource.id}`, resource, request: { method: 'PUT' as const, url: `${type}/${resource.id}` }, response: { status: '200', etag: `W/"${resource.meta?.versionId}"`, lastModified: record.updatedAt } };
      }),
    }),
  };
}

async function search(request: Request, read: ReadRequest, asking: Asking): Promise<Response> {
  const { type, parameters } = read, { kind } = servedTypes[type], { access, reader, records } = asking;
  const cursor = parameters.get('_page');
  if (cursor !== null) {
    const page = await records.next(reader, kind, cursor);
    if (page === undefined) throw new FhirRefusal(410, 'not-found', 'This page cannot be had: begin the search again.');
    return answer(200, await searchBundle(page, `${read.base}/${type}?_page=${cursor}`, read, asking));
  }
  const { criteria, control, used } = readParameters(type, parameters, access.integration, isLenient(request));
  const page = await records.search(reader, {
    kind, criteria, count: control.isCount ? 0 : control.count, total: control.total, ...(control.sort === undefined ? {} : { sort: control.sort }), memo: control.memo,
  });
  // After POST the link must not show what the body kept out of the URL.
  const self = request.method === 'POST' ? `${read.base}/${type}` : `${read.base}/${type}${used.size === 0 ? '' : `?${used.toString()}`}`;
  return answer(200, await searchBundle(page, self, read, asking));
}

function checkNames(parameters: URLSearchParams, allowed: readonly string[], words: string): void {
  if ([...parameters.keys()].some((name) => !allowed.includes(name))) throw refused(words);
}

const mostFormBytes = 65_536;

/** The parameters of POST [type]/_search: read only when it is known who asks. */
async function readForm(request: Request, parameters: URLSearchParams): Promise<void> {
  if (!/^application\/x-www-form-urlencoded\b/i.test(request.headers.get('content-type') ?? '')) throw new FhirRefusal(415, 'not-supported', 'POST _search takes application/x-www-form-urlencoded.');
  const bytes = await readBytes(request, mostFormBytes, `The search has more than ${mostFormBytes} bytes.`);
  for (const [name, value] of new URLSearchParams(bytes.toString())) parameters.append(name, value);
}

/** What a path and its parameters ask to be read; undefined: this is no path of a read. */
export function readRequestOf(request: Request, steps: readonly string[], base: string): ReadRequest | undefined {
  const url = new URL(request.url), [type = '', second, third, fourth] = steps, isForm = second === '_search' && steps.length === 2;
  const isOfType = second === '_history' && steps.length === 2;
  if (type === '' || steps.length > 4 || (request.method === 'POST' && !isForm) || (steps.length > 2 && third !== '_history')) return undefined;
  return { type: servedType(type), id: isForm || isOfType ? undefined : second, version: isOfType ? '' : third === undefined ? undefined : fourth ?? '', isForm, parameters: new URLSearchParams(url.search), base };
}
