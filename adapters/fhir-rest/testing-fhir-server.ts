/**
 * A small FHIR R4 server in memory, for tests: transaction, conditional create and update, read, metadata, and faults on demand. It stores only
 * valid resources, resolves urn:uuid references, and undoes a failed transaction; with `runsAsBatch` it does not, as some servers do.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { outcome, outcomeOf } from '#standards/fhir/operation-outcome.ts';
import type { Bundle, BundleEntry, Identifier, OperationOutcome, Resource } from '#standards/fhir/types.ts';
import { validateResource } from '#standards/fhir/validate.ts';

export interface TestingFhirServer {
  readonly baseUrl: string;
  readonly resources: Map<string, Resource & { meta?: { versionId?: string } }>;
  readonly requests: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
  runsAsBatch: boolean;
  /** Refuses resources of this type inside a Bundle. */
  refuses: string | undefined;
  /** Answers in place of the server; return false to let it answer itself. */
  intercept: ((request: IncomingMessage, response: ServerResponse, body: string) => boolean) | undefined;
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

export async function startTestingFhirServer(): Promise<TestingFhirServer> {
  const resources: TestingFhirServer['resources'] = new Map();
  let nextId = 1;
  const server = createServer((request, response) => { void handle(request, response); });
  const state: TestingFhirServer = {
    baseUrl: '', resources, requests: [], runsAsBatch: false, refuses: undefined, intercept: undefined,
    ofType: (resourceType) => [...resources.values()].filter((resource) => resource.resourceType === resourceType),
    close: () => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); }),
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    state.requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
    if (state.intercept?.(request, response, body) === true) return;
    try {
      send(response, 200, answer(request, body));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      send(response, error.status, error.body);
    }
  }

  function answer(request: IncomingMessage, body: string): object {
    const path = (request.url ?? '').replace(/^\/fhir\/?/, '');
    if (request.method === 'POST' && path === '') return runBundle(JSON.parse(body) as Bundle);
    if (request.method === 'GET' && path === 'metadata') return capabilities(state.runsAsBatch);
    const found = request.method === 'GET' ? resources.get(path) : undefined;
    if (found === undefined) throw new Refused(404, outcome('error', 'not-found', 'no such resource'));
    return found;
  }

  function runBundle(bundle: Bundle): Bundle {
    const issues = validateResource(bundle);
    if (issues.length > 0) throw new Refused(422, outcomeOf(issues));
    const before = new Map(resources), urls = new Map<string, string>();
    const entries = (bundle.entry ?? []).map((entry): BundleEntry => {
      try {
        return { response: runEntry(entry, urls) };
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (state.runsAsBatch) return { response: { status: String(error.status), outcome: error.body as OperationOutcome } };
        resources.clear();
        for (const [key, resource] of before) resources.set(key, resource);
        throw error;
      }
    });
    for (const [key, resource] of resources) resources.set(key, resolved(resource, urls));
    return { resourceType: 'Bundle', type: state.runsAsBatch ? 'batch-response' : 'transaction-response', entry: entries };
  }

  function runEntry({ fullUrl = '', resource, request }: BundleEntry, urls: Map<string, string>): NonNullable<BundleEntry['response']> {
    if (resource === undefined || resource.resourceType === state.refuses) throw new Refused(400, outcome('error', 'not-supported', `${resource?.resourceType} is not taken here`));
    const query = request?.method === 'PUT' ? request.url?.split('?')[1] : request?.ifNoneExist;
    const matches = query === undefined ? [] : [...resources].filter(([, stored]) => stored.resourceType === resource.resourceType && isMatch(stored, query));
    if (matches.length > 1) throw new Refused(412, outcome('error', 'multiple-matches', 'more than one resource matches'));
    const [match] = matches;
    const key = match?.[0] ?? `${resource.resourceType}/${nextId++}`;
    urls.set(fullUrl, key);
    if (match !== undefined && request?.method === 'POST') return { status: '200 OK', location: key };
    const versionId = String(Number(match?.[1].meta?.versionId ?? 0) + 1);
    resources.set(key, { ...resource, id: key.split('/')[1] ?? '', meta: { ...resource.meta, versionId } });
    return { status: match === undefined ? '201 Created' : '200 OK', location: `${key}/_history/${versionId}` };
  }

  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return Object.assign(state, { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir` });
}

function isMatch(resource: Resource, query: string): boolean {
  const [name, text] = [...new URLSearchParams(query)][0] ?? [];
  const [system = '', value] = (text ?? '').split('|');
  if (name === '_tag') return resource.meta?.tag?.some((tag) => tag.system === system && tag.code === value) === true;
  const { identifier } = resource as { identifier?: readonly Identifier[] };
  return name === 'identifier' && identifier?.some((candidate) => (candidate.system ?? '') === system && candidate.value === value) === true;
}

function resolved<T>(value: T, urls: ReadonlyMap<string, string>): T {
  return JSON.parse(JSON.stringify(value), (key, item: unknown) => key === 'reference' && typeof item === 'string' ? urls.get(item) ?? item : item) as T;
}

function capabilities(runsAsBatch: boolean): object {
  const resource = ['Patient', 'Device', 'ImagingStudy', 'Observation', 'DiagnosticReport', 'Provenance'].map((type) =>
    ({ type, interaction: [{ code: 'create' }, { code: 'update' }], conditionalCreate: true, conditionalUpdate: true }));
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', implementation: { description: 'test' }, software: { name: 'testing server' },
    fhirVersion: '4.0.1', format: ['json'], rest: [{ mode: 'server', resource, interaction: [{ code: runsAsBatch ? 'batch' : 'transaction' }] }],
  };
}

export function send(response: ServerResponse, status: number, body: object | string, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { 'content-type': 'application/fhir+json', ...headers }).end(typeof body === 'string' ? body : JSON.stringify(body));
}
