/**
 * A BATCH ENTERS HERE (R4 http.html#transaction). In: a Bundle of type batch. Out: a batch-response, in the order of the entries; each entry is
 * handled as if it had come alone, with its own exchange, and fails alone.
 *
 * A transaction is taken when it writes one resource, which is all or nothing anyway. One that writes several is refused before anything is stored:
 * each resource is committed for itself, and half a transaction would be worse than none. As a batch it can be sent again without harm.
 */
import type { AdapterContext, IntegrationDirectory } from '#gateway/adapter.ts';
import type { Bundle, BundleEntry, OperationOutcome, Resource } from '#standards/fhir/types.ts';
import { FhirJsonError, defaultJsonLimits, parseFhirJson } from '#standards/fhir/json.ts';
import { FhirRefusal, answer } from './answer.ts';
import { readBody } from './body.ts';
import type { Config } from './config.ts';
import { principalOf } from './read-access.ts';

const mostEntries = 500;

/** `run` handles one request of an entry and never throws. */
export async function receiveBundle(request: Request, base: string, integrations: IntegrationDirectory<Config>, context: AdapterContext, run: (request: Request) => Promise<Response>): Promise<Response> {
  const { organizationId } = await principalOf(request, context);
  const own = integrations.all().filter((candidate) => candidate.organizationId === organizationId);
  if (own.length === 0) throw new FhirRefusal(403, 'forbidden', 'Your organization has no FHIR integration. An administrator can add one.');
  const byteLength = Math.max(...own.map(({ config }) => config.maximum_body_bytes));
  const requests = requestsOf(parse(await readBody(request, byteLength), byteLength), request, base);
  const entry: BundleEntry[] = [];
  // One after the other: an order may follow the patient it is for.
  for (const each of requests) entry.push(await entryOf(await run(each)));
  return answer(200, { resourceType: 'Bundle', type: requests.isTransaction ? 'transaction-response' : 'batch-response', entry } satisfies Bundle);
}

function parse(bytes: Buffer, byteLength: number): Partial<Bundle> {
  try {
    return parseFhirJson(bytes, { ...defaultJsonLimits, byteLength }) as Partial<Bundle>;
  } catch (error) {
    if (error instanceof FhirJsonError) throw new FhirRefusal(400, 'structure', error.message);
    throw error;
  }
}

function requestsOf(bundle: Partial<Bundle>, request: Request, base: string): Request[] & { isTransaction: boolean } {
  if (bundle.resourceType !== 'Bundle' || (bundle.type !== 'batch' && bundle.type !== 'transaction')) throw new FhirRefusal(400, 'invalid', 'The base URL takes a Bundle of type batch.', { expression: 'Bundle.type' });
  const { entry } = bundle;
  if (!Array.isArray(entry) || entry.length === 0 || entry.length > mostEntries) throw new FhirRefusal(400, 'structure', `The Bundle must have 1 to ${mostEntries} entries.`, { expression: 'Bundle.entry' });
  const requests = entry.map((each, index) => requestOf(each, index, request, base));
  const isTransaction = bundle.type === 'transaction';
  if (isTransaction && requests.filter(({ method }) => method !== 'GET').length > 1) {
    throw new FhirRefusal(422, 'not-supported', 'A transaction may write one resource here, because each is committed for itself. Send a batch, patients before their orders: sent again it has no second effect.', { expression: 'Bundle.type' });
  }
  return Object.assign(requests, { isTransaction });
}

function requestOf(entry: BundleEntry, index: number, outer: Request, base: string): Request {
  const { request, resource } = (typeof entry === 'object' && entry !== null ? entry : {}) as BundleEntry, expression = `Bundle.entry[${index}].request`;
  if (typeof request?.url !== 'string' || !['GET', 'POST', 'PUT'].includes(request.method ?? '')) throw new FhirRefusal(400, 'required', 'Every entry needs request.method, one of GET, POST and PUT, and request.url.', { expression });
  const url = URL.parse(request.url, `${base}/`);
  const steps = url?.href.startsWith(`${base}/`) === true ? url.pathname.slice(new URL(base).pathname.length + 1).split('/') : [];
  if (url === null || !/^[A-Z][A-Za-z]*$/.test(steps[0] ?? '')) throw new FhirRefusal(400, 'value', 'request.url must name a resource type of this server, relative to the base URL.', { expression: `${expression}.url` });
  const requestId = outer.headers.get('x-request-id');
  const headers = new Headers({ authorization: outer.headers.get('authorization') ?? '', accept: 'application/fhir+json', ...(requestId === null ? {} : { 'x-request-id': `${requestId}/${index}` }) });
  for (const [name, value] of [['if-none-exist', request.ifNoneExist], ['if-none-match', request.ifNoneMatch], ['if-match', request.ifMatch]] as const) if (typeof value === 'string') headers.set(name, value);
  if (request.method === 'GET') return new Request(url, { headers });
  headers.set('content-type', 'application/fhir+json');
  return new Request(url, { method: request.method ?? 'POST', headers, body: JSON.stringify(resource ?? {}), signal: outer.signal });
}

async function entryOf(response: Response): Promise<BundleEntry> {
  const text = await response.text(), body = text === '' ? undefined : JSON.parse(text) as Resource;
  const isOutcome = body?.resourceType === 'OperationOutcome';
  const [location, etag] = [response.headers.get('location'), response.headers.get('etag')];
  return {
    ...(body === undefined || isOutcome ? {} : { resource: body }),
    response: { status: String(response.status), ...(location === null ? {} : { location }), ...(etag === null ? {} : { etag }), ...(isOutcome ? { outcome: body as OperationOutcome } : {}) },
  };
}
