/** Transaction and batch Bundles (R4 http.html#transaction): DELETE, POST, PUT, GET in this order; urn:uuid references become ids. */
import { randomUUID } from 'node:crypto';
import { FhirError } from './fhir-store.ts';
import type { FhirStore, Written } from './fhir-store.ts';
import { isObject } from './fhir-structure.ts';
import type { FhirProblem, FhirResource } from './fhir-structure.ts';

interface Entry { readonly index: number; readonly fullUrl: string | undefined; readonly resource: FhirResource | undefined; readonly method: string; readonly url: string; readonly ifNoneExist: string | undefined; readonly ifMatch: string | undefined }
interface EntryResponse { readonly response: Record<string, unknown>; readonly resource?: FhirResource }

/** All entries or none; throws FhirError with the first entry's problems. */
export function runTransaction(store: FhirStore, bundle: FhirResource): FhirResource {
  const entries = readEntries(bundle);
  const answers = store.atomically(() => {
    const ids = assignIds(store, entries);
    const written = inOrder(entries).map((entry) => [entry.index, runEntry(store, entry, ids)] as const);
    for (const [index, { resource }] of written) if (resource !== undefined) located(index, () => store.checkReferences(resource));
    return new Map(written);
  });
  return responseBundle('transaction-response', entries.map((entry) => answers.get(entry.index)?.answer ?? { response: { status: '500' } }));
}

/** Each entry on its own: a failed one has an OperationOutcome and the others stay. urn:uuid references to entries that failed do not resolve. */
export function runBatch(store: FhirStore, bundle: FhirResource): FhirResource {
  const entries = readEntries(bundle);
  const ids = new Map<string, string>();
  const answers = new Map<number, EntryResponse>();
  for (const entry of inOrder(entries)) {
    try {
      store.atomically(() => {
        const { answer, resource } = runEntry(store, entry, ids);
        if (resource !== undefined) store.checkReferences(resource);
        answers.set(entry.index, answer);
      });
    } catch (error) {
      if (!(error instanceof FhirError)) throw error;
      answers.set(entry.index, { response: { status: String(error.status), outcome: operationOutcome(error.problems) } });
    }
  }
  return responseBundle('batch-response', entries.map((entry) => answers.get(entry.index) ?? { response: { status: '500' } }));
}

export function operationOutcome(problems: readonly FhirProblem[]): FhirResource {
  return { resourceType: 'OperationOutcome', issue: problems.map((problem) => ({ severity: 'error', code: problem.code, diagnostics: `${problem.expression} ${problem.text}`, expression: [problem.expression] })) };
}

function readEntries(bundle: FhirResource): readonly Entry[] {
  const entries = bundle['entry'];
  if (!Array.isArray(entries) || entries.length === 0) throw new FhirError(400, [{ code: 'required', expression: 'Bundle.entry', text: 'has nothing to do' }]);
  const read = entries.map((entry: unknown, index) => {
    const request = isObject(entry) && isObject(entry['request']) ? entry['request'] : undefined;
    const { method, url, ifNoneExist, ifMatch } = request ?? {};
    if (!isObject(entry) || typeof method !== 'string' || typeof url !== 'string') throw new FhirError(400, [{ code: 'required', expression: `Bundle.entry[${index}].request`, text: 'needs method and url (bdl-3)' }]);
    return { index, fullUrl: text(entry['fullUrl']), resource: entry['resource'] as FhirResource | undefined, method, url, ifNoneExist: text(ifNoneExist), ifMatch: text(ifMatch) };
  });
  const urls = read.flatMap((entry) => entry.fullUrl ?? []);
  if (new Set(urls).size !== urls.length) throw new FhirError(400, [{ code: 'invariant', expression: 'Bundle', text: 'bdl-7: fullUrl must be unique' }]);
  return read;
}

/** fullUrl -> 'Type/id' for every entry that will exist: of an existing resource where a condition matches, else a new id. */
function assignIds(store: FhirStore, entries: readonly Entry[]): Map<string, string> {
  const ids = new Map<string, string>();
  for (const entry of entries) {
    if (entry.fullUrl === undefined || (entry.method !== 'POST' && entry.method !== 'PUT')) continue;
    const { type, id, query } = splitUrl(entry.url);
    const condition = entry.method === 'POST' ? entry.ifNoneExist : query;
    const existing = condition === undefined ? undefined : located(entry.index, () => store.matchId(type, condition));
    ids.set(entry.fullUrl, `${type}/${id ?? existing ?? randomUUID()}`);
  }
  return ids;
}

function runEntry(store: FhirStore, entry: Entry, ids: Map<string, string>): { answer: EntryResponse; resource?: FhirResource } {
  return located(entry.index, () => {
    const { type, id, query } = splitUrl(entry.url);
    if (entry.method === 'GET') {
      const found = id === undefined ? undefined : store.read(type, id)?.resource;
      if (id !== undefined && found === undefined) throw new FhirError(404, [{ code: 'not-found', expression: type, text: 'does not exist' }]);
      return { answer: { response: { status: '200 OK' }, resource: found ?? searchset(store.search(type, new URLSearchParams(query ?? ''))) } };
    }
    if (entry.method !== 'POST' && entry.method !== 'PUT') throw new FhirError(400, [{ code: 'not-supported', expression: 'Bundle.entry.request.method', text: `${entry.method} is not supported` }]);
    if (entry.resource === undefined || entry.resource.resourceType !== type) throw new FhirError(400, [{ code: 'structure', expression: 'Bundle.entry.resource', text: `must be the ${type} that the url names` }]);
    const resource = resolveReferences(store, entry.resource, ids) as FhirResource;
    const assigned = entry.fullUrl === undefined ? undefined : ids.get(entry.fullUrl)?.split('/')[1];
    const written = entry.method === 'POST' ? store.create(resource, entry.ifNoneExist, assigned)
      : id === undefined ? store.updateMatching(type, query ?? '', resource, assigned) : store.update(type, id, resource, entry.ifMatch);
    if (entry.fullUrl !== undefined) ids.set(entry.fullUrl, `${type}/${written.version.resource.id}`);
    return { answer: { response: responseOf(type, written) }, resource: written.version.resource };
  });
}

/** urn: references by fullUrl, and conditional references ('Patient?identifier=...') by their single match. */
function resolveReferences(store: FhirStore, value: unknown, ids: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((child: unknown) => resolveReferences(store, child, ids));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, name === 'reference' && typeof child === 'string' ? resolved(store, child, ids) : resolveReferences(store, child, ids)]));
}

function resolved(store: FhirStore, reference: string, ids: ReadonlyMap<string, string>): string {
  const known = ids.get(reference);
  if (known !== undefined || !/^[A-Z]\w+\?/.test(reference)) return known ?? reference;
  const { type, query } = splitUrl(reference);
  const id = store.matchId(type, query ?? '');
  if (id === undefined) throw new FhirError(412, [{ code: 'not-found', expression: 'reference', text: 'the conditional reference matches nothing' }]);
  return `${type}/${id}`;
}

export function responseOf(type: string, { status, version }: Written): Record<string, unknown> {
  return { status: status === 201 ? '201 Created' : '200 OK', location: `${type}/${version.resource.id}/_history/${version.versionId}`, etag: `W/"${version.versionId}"`, lastModified: version.at };
}
export function searchset(resources: readonly FhirResource[]): FhirResource {
  return { resourceType: 'Bundle', type: 'searchset', total: resources.length, entry: resources.map((resource) => ({ fullUrl: `${resource.resourceType}/${resource.id}`, resource, search: { mode: 'match' } })) };
}
function responseBundle(type: string, entry: readonly EntryResponse[]): FhirResource {
  return { resourceType: 'Bundle', type, entry };
}

function splitUrl(url: string): { type: string; id: string | undefined; query: string | undefined } {
  const [path = '', query] = url.split(/\?(.*)/s);
  const [type = '', id] = path.replace(/^\//, '').split('/');
  return { type, id: id === '' ? undefined : id, query };
}

function inOrder(entries: readonly Entry[]): readonly Entry[] {
  const order = ['DELETE', 'POST', 'PUT', 'PATCH', 'GET', 'HEAD'];
  return entries.toSorted((a, b) => order.indexOf(a.method) - order.indexOf(b.method));
}

function located<T>(index: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof FhirError)) throw error;
    throw new FhirError(error.status, error.problems.map((problem) => ({ ...problem, expression: `Bundle.entry[${index}]: ${problem.expression}` })));
  }
}
function text(value: unknown): string | undefined { return typeof value === 'string' ? value : undefined; }
