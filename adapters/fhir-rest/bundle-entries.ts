/** The entries of a Bundle that was sent to the base URL: what each asks for, and what became of it. */
import type { Bundle, BundleEntry, OperationOutcome, Resource } from '#standards/fhir/types.ts';
import { FhirRefusal, refusalAnswer } from './answer.ts';

export const mostEntries = 500;

/** Bundle.entry.request with the URL below the base. */
export interface EntryRequest {
  readonly index: number; readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT'; readonly url: URL; readonly resource: Readonly<Record<string, unknown>> | undefined;
  readonly fullUrl: string | undefined; readonly ifNoneExist: string | null; readonly ifMatch: string | null; readonly ifNoneMatch: string | null;
}

/** Throws FhirRefusal 400. */
export function entryRequests(bundle: Partial<Bundle>, base: string): EntryRequest[] {
  const { entry } = bundle;
  if (!Array.isArray(entry) || entry.length === 0 || entry.length > mostEntries) throw new FhirRefusal(400, 'structure', `The Bundle must have 1 to ${mostEntries} entries.`, { expression: 'Bundle.entry' });
  return entry.map((each, index) => entryRequest(each, index, base));
}

function entryRequest(entry: BundleEntry, index: number, base: string): EntryRequest {
  const { request, resource, fullUrl } = (typeof entry === 'object' && entry !== null ? entry : {}) as BundleEntry, expression = `Bundle.entry[${index}].request`;
  const { method } = request ?? {};
  if (typeof request?.url !== 'string' || (method !== 'GET' && method !== 'HEAD' && method !== 'POST' && method !== 'PUT')) throw new FhirRefusal(400, 'required', 'Every entry needs request.method, one of GET, HEAD, POST and PUT, and request.url. Nothing is deleted or patched here: PUT what changes, or the status that withdraws.', { expression });
  const url = URL.parse(request.url, `${base}/`);
  const steps = url?.href.startsWith(`${base}/`) === true ? url.pathname.slice(new URL(base).pathname.length + 1).split('/') : [];
  if (url === null || !/^[A-Z][A-Za-z]*$/.test(steps[0] ?? '')) throw new FhirRefusal(400, 'value', 'request.url must name a resource type of this server, relative to the base URL.', { expression: `${expression}.url` });
  return {
    index, method, url, resource: resource as unknown as Record<string, unknown> | undefined, fullUrl: typeof fullUrl === 'string' ? fullUrl : undefined,
    ifNoneExist: textOf(request.ifNoneExist), ifMatch: textOf(request.ifMatch), ifNoneMatch: textOf(request.ifNoneMatch),
  };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** The entry as the request that would ask for the same alone. */
export function requestOf(entry: EntryRequest, outer: Request): Request {
  const requestId = outer.headers.get('x-request-id'), prefer = outer.headers.get('prefer');
  const headers = new Headers({ authorization: outer.headers.get('authorization') ?? '', accept: 'application/fhir+json', ...(requestId === null ? {} : { 'x-request-id': `${requestId}/${entry.index}` }), ...(prefer === null ? {} : { prefer }) });
  for (const [name, value] of [['if-none-exist', entry.ifNoneExist], ['if-none-match', entry.ifNoneMatch], ['if-match', entry.ifMatch]] as const) if (value !== null) headers.set(name, value);
  if (entry.method === 'GET' || entry.method === 'HEAD') return new Request(entry.url, { method: entry.method, headers });
  headers.set('content-type', 'application/fhir+json');
  return new Request(entry.url, { method: entry.method, headers, body: JSON.stringify(entry.resource ?? {}), signal: outer.signal });
}

/** So much is held for one answer: a Bundle of reads could ask for everything that is here, and then for it again. */
const mostAnswerCharacters = 32 * 1024 * 1024;

/** The answers in the order of the entries, one after the other. Reads beyond what fits into one answer are refused, each by itself. */
export async function answeredEntries(entries: readonly EntryRequest[], run: (entry: EntryRequest) => Response | Promise<Response>, most = mostAnswerCharacters): Promise<BundleEntry[]> {
  const answered: BundleEntry[] = [];
  let length = 0;
  for (const entry of entries) {
    const isTooMuch = length > most && (entry.method === 'GET' || entry.method === 'HEAD');
    const response = isTooMuch ? refusalAnswer(new FhirRefusal(413, 'too-costly', 'The answers to the entries before this one fill the Bundle: ask for this in another request.')) : await run(entry), text = await response.text();
    length += text.length;
    answered.push(responseEntry(response, text));
  }
  return answered;
}

function responseEntry(response: Response, text: string): BundleEntry {
  const body = text === '' ? undefined : JSON.parse(text) as Resource;
  const isOutcome = body?.resourceType === 'OperationOutcome';
  const [location, etag, modified] = ['location', 'etag', 'last-modified'].map((name) => response.headers.get(name));
  return {
    ...(body === undefined || isOutcome ? {} : { resource: body }),
    response: {
      status: String(response.status), ...(location ? { location } : {}), ...(etag ? { etag } : {}), ...(modified ? { lastModified: new Date(modified).toISOString() } : {}),
      ...(isOutcome ? { outcome: body as OperationOutcome } : {}),
    },
  };
}
