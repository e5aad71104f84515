/**
 * A small FHIR R4 server in memory, for tests: transaction, batch, single creates and updates, conditional or not, search, read, metadata, and
 * faults on demand. It does what its CapabilityStatement says and nothing else, stores only valid resources, resolves urn:uuid references in a
 * transaction only, and undoes a failed one; with `runsAsBatch` it does not, as some servers do.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { outcome, outcomeOf } from '#standards/fhir/operation-outcome.ts';
import type { Bundle, BundleEntry, CapabilityStatement, Identifier, OperationOutcome, Resource } from '#standards/fhir/types.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import { offerOf } from './server-offer.ts';

export type StoredResource = Resource & { meta?: { versionId?: string } };
export interface TestingFhirServer {
  readonly baseUrl: string;
  readonly resources: Map<string, StoredResource>;
  readonly requests: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
  /** What metadata answers, and what is allowed. */
  statement: CapabilityStatement;
  runsAsBatch: boolean;
  /** Refuses resources of this type. */
  refuses: string | undefined;
  /** Answers in place of the server; return false to let it answer itself. Not asked for metadata, unless `interceptsMetadata`. */
  intercept: ((request: IncomingMessage, response: ServerResponse, body: string) => boolean) | undefined;
  interceptsMetadata: boolean;
  ofType(resourceType: string): Resource[];
  close(): Promise<void>;
}

class Refused extends Error {
  readonly status: number;
  readonly body: object;
  constructor(status: number, body: object) {
    super(String(status));
    this.status = status;
    this.body = body;
  }
}
const refuse = (status: number, code: Parameters<typeof outcome>[1], text: string): never => { throw new Refused(status, outcome('error', code, text)); };

interface Stored { readonly status: number; readonly key: string; readonly versionId: string }
interface Conditions { readonly ifNoneExist?: string | undefined; readonly ifMatch?: string | undefined }

export async function startTestingFhirServer(statement: CapabilityStatement = everything()): Promise<TestingFhirServer> {
  const resources: TestingFhirServer['resources'] = new Map();
  let nextId = 1;
  const server = createServer((request, response) => { void handle(request, response); });
  const state: TestingFhirServer = {
    baseUrl: '', resources, requests: [], statement, runsAsBatch: false, refuses: undefined, intercept: undefined, interceptsMetadata: false,
    ofType: (resourceType) => [...resources.values()].filter((resource) => resource.resourceType === resourceType),
    close: () => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); }),
  };
  const offer = (): ReturnType<typeof offerOf> => offerOf(state.statement);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    state.requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
    if ((state.interceptsMetadata || request.url !== '/fhir/metadata') && state.intercept?.(request, response, body) === true) return;
    try {
      answer(request, response, body);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      send(response, error.status, error.body);
    }
  }

  function answer(request: IncomingMessage, response: ServerResponse, body: string): void {
    const [path = '', query] = (request.url ?? '').replace(/^\/fhir\/?/, '').split(/\?(.*)/s), method = request.method ?? '';
    if (method === 'POST' && path === '') return send(response, 200, runBundle(JSON.parse(body) as Bundle));
    if (method === 'GET' && path === 'metadata') return send(response, 200, state.statement);
    if (method === 'GET' && !path.includes('/')) return send(response, 200, search(path, query ?? ''));
    if (method === 'GET') return send(response, 200, resources.get(path) ?? refuse(404, 'not-found', 'no such resource'));
    const resource = JSON.parse(body) as StoredResource;
    if (JSON.stringify(resource).includes('"urn:uuid:')) refuse(422, 'invalid', 'a reference to a urn:uuid leads nowhere');
    const header = (name: string): string | undefined => request.headers[name] as string | undefined;
    const stored = write(method, request.url?.replace(/^\/fhir\//, '') ?? '', resource, { ifNoneExist: header('if-none-exist'), ifMatch: header('if-match') });
    response.setHeader('location', `${state.baseUrl}/${stored.key}/_history/${stored.versionId}`);
    return send(response, stored.status, '');
  }

  function search(type: string, query: string): Bundle {
    if (!offer().offers(type, 'search')) refuse(404, 'not-supported', `${type} cannot be searched`);
    for (const name of new URLSearchParams(query).keys()) if (!offer().searches(type, name)) refuse(400, 'not-supported', `the search parameter ${name} is not supported`);
    const found = [...resources.values()].filter((resource) => resource.resourceType === type && isMatch(resource, query));
    return { resourceType: 'Bundle', type: 'searchset', total: found.length, entry: found.map((resource) => ({ fullUrl: `${state.baseUrl}/${type}/${resource.id}`, resource, search: { mode: 'match' } })) };
  }

  function write(method: string, url: string, resource: StoredResource, conditions: Conditions): Stored {
    const [path = '', query] = url.split(/\?(.*)/s), [type = '', id] = path.split('/');
    if (resource.resourceType !== type || resource.resourceType === state.refuses) refuse(400, 'not-supported', `${resource.resourceType} is not taken here`);
    const issues = validateResource(resource);
    if (issues.length > 0) throw new Refused(422, outcomeOf(issues));
    const need = method === 'POST' ? conditions.ifNoneExist === undefined ? 'create' : 'conditional create' : id === undefined ? 'conditional update' : 'update';
    if (!offer().offers(type, need)) refuse(need.startsWith('conditional') ? 412 : 405, 'not-supported', `no ${need} of ${type}`);
    return store(type, id, need.startsWith('conditional') ? query ?? conditions.ifNoneExist : undefined, resource, method, conditions.ifMatch);
  }

  function store(type: string, id: string | undefined, condition: string | undefined, resource: StoredResource, method: string, ifMatch: string | undefined): Stored {
    const matches = condition === undefined ? [] : [...resources].filter(([, stored]) => stored.resourceType === type && isMatch(stored, condition));
    if (matches.length > 1) refuse(412, 'multiple-matches', 'more than one resource matches');
    const key = matches[0]?.[0] ?? `${type}/${id ?? nextId++}`, there = resources.get(key);
    if (there !== undefined && method === 'POST') return { status: 200, key, versionId: there.meta?.versionId ?? '1' };
    if (ifMatch !== undefined && ifMatch !== `W/"${there?.meta?.versionId}"`) refuse(412, 'conflict', 'If-Match names another version');
    const versionId = String(Number(there?.meta?.versionId ?? 0) + 1);
    resources.set(key, { ...resource, id: key.split('/')[1] ?? '', meta: { ...resource.meta, versionId } });
    return { status: there === undefined ? 201 : 200, key, versionId };
  }

  function runBundle(bundle: Bundle): Bundle {
    const isTransaction = bundle.type === 'transaction' && !state.runsAsBatch;
    if (!(bundle.type === 'transaction' ? offer().transaction : offer().batch)) refuse(400, 'not-supported', `no ${bundle.type} here`);
    const issues = validateResource(bundle);
    if (issues.length > 0) throw new Refused(422, outcomeOf(issues));
    const before = new Map(resources), urls = new Map<string, string>();
    const entries = (bundle.entry ?? []).map((entry): BundleEntry => {
      try {
        return { response: runEntry(entry, urls) };
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (!isTransaction) return { response: { status: String(error.status), outcome: error.body as OperationOutcome } };
        resources.clear();
        for (const [key, resource] of before) resources.set(key, resource);
        throw error;
      }
    });
    if (isTransaction) for (const [key, resource] of resources) resources.set(key, resolved(resource, urls));
    return { resourceType: 'Bundle', type: isTransaction ? 'transaction-response' : 'batch-response', entry: entries };
  }

  function runEntry({ fullUrl = '', resource, request }: BundleEntry, urls: Map<string, string>): NonNullable<BundleEntry['response']> {
    const { status, key, versionId } = write(request?.method ?? '', request?.url ?? '', resource as StoredResource, { ifNoneExist: request?.ifNoneExist, ifMatch: request?.ifMatch });
    urls.set(fullUrl, key);
    return { status: status === 201 ? '201 Created' : '200 OK', location: `${key}/_history/${versionId}` };
  }

  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return Object.assign(state, { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir` });
}

function isMatch(resource: StoredResource, query: string): boolean {
  return [...new URLSearchParams(query)].every(([name, text]) => {
    const [system = '', value] = text.split('|');
    if (name === 'identifier' && value === undefined) return (resource as { identifier?: readonly Identifier[] }).identifier?.some((candidate) => candidate.value === text) === true;
    if (name === '_tag') return resource.meta?.tag?.some((tag) => tag.system === system && tag.code === value) === true;
    const { identifier, subject, target } = resource as { identifier?: readonly Identifier[]; subject?: { reference?: string }; target?: readonly { reference?: string }[] };
    if (name === 'patient' || name === 'subject') return subject?.reference === text;
    if (name === 'target') return target?.some(({ reference }) => reference === text) === true;
    return name === 'identifier' && identifier?.some((candidate) => (candidate.system ?? '') === system && candidate.value === value) === true;
  });
}

function resolved<T>(value: T, urls: ReadonlyMap<string, string>): T {
  return JSON.parse(JSON.stringify(value), (key, item: unknown) => key === 'reference' && typeof item === 'string' ? urls.get(item) ?? item : item) as T;
}

const allTypes = ['Patient', 'Device', 'ImagingStudy', 'Observation', 'DiagnosticReport', 'DocumentReference', 'Provenance', 'Endpoint', 'ServiceRequest', 'Task', 'Flag', 'Communication', 'Organization'];

/** What a statement says of one type, in short: 'create update search conditional', and its search parameters. */
export interface TypeOffer { readonly can: string; readonly searches?: string }

export function statementOf(system: readonly ('transaction' | 'batch')[], types: Readonly<Record<string, TypeOffer>>): CapabilityStatement {
  const codes: Readonly<Record<string, 'create' | 'update' | 'read' | 'search-type'>> = { create: 'create', update: 'update', search: 'search-type', read: 'read' };
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', implementation: { description: 'test' }, software: { name: 'testing server' },
    fhirVersion: '4.0.1', format: ['json'],
    rest: [{
      mode: 'server', interaction: system.map((code) => ({ code })),
      resource: Object.entries(types).map(([type, { can, searches = '' }]) => ({
        type: type as 'Patient', interaction: [...can.split(' ').filter((word) => word !== 'conditional' && word !== ''), 'read'].map((word) => ({ code: codes[word] ?? 'read' })),
        ...(can.includes('conditional') ? { conditionalCreate: true, conditionalUpdate: true } : {}),
        searchParam: searches.split(' ').filter(Boolean).map((name) => ({ name, type: 'token' as const })),
      })),
    }],
  };
}

export function everything(): CapabilityStatement {
  return statementOf(['transaction', 'batch'], Object.fromEntries(allTypes.map((type) => [type, { can: 'create update search conditional', searches: 'identifier _tag patient' }])));
}

export function send(response: ServerResponse, status: number, body: object | string, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { 'content-type': 'application/fhir+json', ...headers }).end(typeof body === 'string' ? body : JSON.stringify(body));
}
