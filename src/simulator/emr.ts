/**
 * An EMR on loopback: a FHIR R4 server in memory at /fhir that takes results, with the strictness of a real one and its misbehaviours.
 * It judges: what it answers 201 or 200 has passed the checks of fhir-structure.ts and every reference leads somewhere.
 */
import http from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Arrivals } from './arrivals.ts';
import { operationOutcome, responseOf, runBatch, runTransaction, searchset } from './fhir-bundle.ts';
import { FhirError, FhirStore } from './fhir-store.ts';
import { supportedTypes } from './fhir-structure.ts';
import type { FhirResource } from './fhir-structure.ts';
import { Misbehaviour } from './misbehaviour.ts';

/** `batch`: a transaction is answered 200 but run entry by entry, as some servers do. `transaction-unsupported`: 400 and not offered in metadata. */
export type EmrMode = 'accept' | '503' | '429' | '422' | '401' | 'batch' | 'transaction-unsupported' | 'html-502' | 'hang' | 'hang-after-commit' | 'down';
export interface EmrOptions {
  /** 0 takes any port. */
  readonly port?: number;
  /** Without it, every request is let in. */
  readonly bearerToken?: string;
  readonly retryAfterSeconds?: number;
}
export interface EmrExchange { readonly method: string; readonly path: string; readonly status: number; readonly at: Date; readonly body: unknown; readonly answer: unknown }
interface Answer { readonly status: number; readonly body?: FhirResource; readonly headers?: Readonly<Record<string, string>>; readonly hang?: boolean; readonly html?: string }

const mostBodyBytes = 32 * 1024 * 1024;

export class Emr {
  readonly store = new FhirStore();
  readonly exchanges = new Arrivals<EmrExchange>();
  /** Each DiagnosticReport version as it is accepted. */
  readonly reports = new Arrivals<FhirResource>();
  readonly behaviour: Misbehaviour<EmrMode>;
  readonly #options: EmrOptions;
  #server: http.Server | undefined;
  #port: number;

  private constructor(options: EmrOptions) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.behaviour = new Misbehaviour<EmrMode>('accept', async (mode) => mode === 'down' ? this.stop() : this.#open());
  }

  static async start(options: EmrOptions = {}): Promise<Emr> {
    const emr = new Emr(options);
    await emr.#open();
    return emr;
  }

  get port(): number { return this.#port; }
  get baseUrl(): string { return `http://127.0.0.1:${this.#port}/fhir`; }
  list(type: string): readonly FhirResource[] { return this.store.list(type); }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }

  async #open(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = http.createServer((request, response) => void this.#serve(request, response).catch(() => response.destroy()));
    this.#server = server;
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    let byteLength = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) if ((byteLength += chunk.length) <= mostBodyBytes) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString('utf8');
    const answer = byteLength > mostBodyBytes ? refusal(413, 'the body is too large') : this.#answer(request, body);
    const path = request.url ?? '/';
    if (path.startsWith('/fhir/metadata') === false) {
      this.exchanges.add({ method: request.method ?? '', path, status: answer.status, at: new Date(), body: parsed(body), answer: answer.body });
    }
    if (answer.hang === true) return;
    if (answer.html !== undefined) { response.writeHead(answer.status, { 'content-type': 'text/html' }).end(answer.html); return; }
    response.writeHead(answer.status, { 'content-type': 'application/fhir+json; charset=utf-8', ...answer.headers }).end(answer.body === undefined ? '' : JSON.stringify(answer.body));
  }

  #answer(request: http.IncomingMessage, body: string): Answer {
    const url = new URL(request.url ?? '/', this.baseUrl);
    const steps = url.pathname.split('/').filter((step) => step !== '');
    if (steps[0] !== 'fhir') return refusal(404, 'FHIR is at /fhir');
    if (steps[1] === 'metadata') return { status: 200, body: capabilityStatement(this.baseUrl, this.behaviour.mode !== 'transaction-unsupported') };
    const { bearerToken } = this.#options;
    if (bearerToken !== undefined && request.headers.authorization !== `Bearer ${bearerToken}`) return unauthorized();
    const mode = this.behaviour.take();
    const misbehaved = this.#misbehave(mode);
    if (misbehaved !== undefined) return misbehaved;
    try {
      const answer = this.#interact(request, url, steps.slice(1), body, mode);
      return mode === 'hang-after-commit' ? { ...answer, hang: true } : answer;
    } catch (error) {
      if (error instanceof FhirError) return { status: error.status, body: operationOutcome(error.problems) };
      throw error;
    }
  }

  #misbehave(mode: EmrMode): Answer | undefined {
    switch (mode) {
      case '503': return refusal(503, 'The service is being maintained');
      case '429': return { ...refusal(429, 'Too many requests'), headers: { 'retry-after': String(this.#options.retryAfterSeconds ?? 1) } };
      case '422': return refusal(422, 'Refused on request');
      case '401': return unauthorized();
      case 'html-502': return { status: 502, html: '<html><body><h1>502 Bad Gateway</h1></body></html>' };
      case 'hang': return { status: 0, hang: true };
      default: return undefined;
    }
  }

  #interact(request: http.IncomingMessage, url: URL, [type, id, step, versionId]: readonly string[], body: string, mode: EmrMode): Answer {
    if (request.method === 'GET') return this.#read(url, type ?? '', id, step, versionId);
    const resource = parsed(body) as FhirResource | undefined;
    if (typeof resource?.resourceType !== 'string') return refusal(400, 'the body is not a FHIR resource in JSON');
    if (!/^application\/(fhir\+)?json\b/.test(request.headers['content-type'] ?? '')) return refusal(415, 'Content-Type must be application/fhir+json');
    if (type === undefined && request.method === 'POST') return { status: 200, body: this.#bundle(resource, mode) };
    if (resource.resourceType !== type) return refusal(400, 'the resource is not of the type that the URL names');
    const written = this.store.atomically(() => {
      const result = request.method === 'POST' ? this.store.create(resource, header(request, 'if-none-exist'))
        : id === undefined ? this.store.updateMatching(type, url.search.slice(1), resource) : this.store.update(type, id, resource, header(request, 'if-match'));
      this.store.checkReferences(result.version.resource);
      return result;
    });
    this.#announce([written.version.resource]);
    const { location, etag } = responseOf(type, written);
    return { status: written.status, body: written.version.resource, headers: { location: `${this.baseUrl}/${String(location)}`, etag: String(etag) } };
  }

  #bundle(bundle: FhirResource, mode: EmrMode): FhirResource {
    const kind = bundle['type'];
    if (bundle.resourceType !== 'Bundle' || (kind !== 'transaction' && kind !== 'batch')) throw new FhirError(400, [{ code: 'value', expression: 'Bundle.type', text: 'must be transaction or batch' }]);
    if (kind === 'transaction' && mode === 'transaction-unsupported') throw new FhirError(400, [{ code: 'not-supported', expression: 'Bundle.type', text: 'transaction is not supported' }]);
    const before = new Set(this.store.list('DiagnosticReport'));
    const answer = kind === 'batch' || mode === 'batch' ? runBatch(this.store, bundle) : runTransaction(this.store, bundle);
    this.#announce(this.store.list('DiagnosticReport').filter((report) => !before.has(report)));
    return answer;
  }

  #read(url: URL, type: string, id: string | undefined, step: string | undefined, versionId: string | undefined): Answer {
    if (id === undefined) return { status: 200, body: searchset(this.store.search(type, url.searchParams)) };
    const versions = this.store.history(type, id);
    if (versions.length === 0) return refusal(404, `there is no ${type} with this id`);
    if (step === '_history' && versionId === undefined) return { status: 200, body: { ...searchset(versions.toReversed().map((version) => version.resource)), type: 'history' } };
    const version = step === '_history' ? versions[Number(versionId) - 1] : versions.at(-1);
    return version === undefined ? refusal(404, 'there is no such version') : { status: 200, body: version.resource, headers: { etag: `W/"${version.versionId}"` } };
  }

  #announce(resources: readonly FhirResource[]): void {
    for (const resource of resources) if (resource.resourceType === 'DiagnosticReport') this.reports.add(resource);
  }
}

function refusal(status: number, text: string): Answer {
  const code = status === 429 ? 'throttled' : status >= 500 ? 'transient' : status === 404 ? 'not-found' : 'processing';
  return { status, body: { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code, diagnostics: text }] } };
}
function unauthorized(): Answer {
  return { status: 401, headers: { 'www-authenticate': 'Bearer' }, body: { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'login', diagnostics: 'A valid bearer token is needed' }] } };
}
function header(request: http.IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
function parsed(body: string): unknown {
  try { return JSON.parse(body) as unknown; } catch { return undefined; }
}

function capabilityStatement(baseUrl: string, hasTransaction: boolean): FhirResource {
  const interaction = ['read', 'vread', 'update', 'history-instance', 'create', 'search-type'].map((code) => ({ code }));
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', fhirVersion: '4.0.1', format: ['application/fhir+json'],
    software: { name: 'Simulated EMR' }, implementation: { description: 'Simulated EMR on loopback', url: baseUrl },
    rest: [{
      mode: 'server', interaction: [{ code: 'batch' }, ...(hasTransaction ? [{ code: 'transaction' }] : [])],
      resource: supportedTypes().map((type) => ({ type, interaction, versioning: 'versioned', conditionalCreate: true, conditionalUpdate: true, updateCreate: true, searchParam: [{ name: 'identifier', type: 'token' }] })),
    }],
  };
}
