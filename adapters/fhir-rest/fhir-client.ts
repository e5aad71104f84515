/**
 * fhir-kit-client behind a wall. The library follows links and references to any host with our token in hand, follows redirects, waits for ever,
 * reads without limit and puts ids into paths as they are. So: nothing of it that takes an address from a server is used, each request is held
 * to the base URL, has a time limit, follows no redirect, reads at most maximum_answer_bytes, and ids are checked.
 */
import { createHash } from 'node:crypto';
import { Client } from 'fhir-kit-client';
import type { RequestOptions } from 'fhir-kit-client';
import { LoginError, loginFor } from './backend-services-auth.ts';
import { baseUrl } from './config.ts';
import type { Config } from './config.ts';
import { openConnection } from './connection.ts';
import { failureByError } from './failure.ts';
import type { Failure } from './failure.ts';

/** `body` is the parsed JSON object, or text where it was none. */
export interface HttpAnswer { readonly status: number; readonly headers: Headers | undefined; readonly body: unknown }
export type Exchanged = { readonly answer: HttpAnswer } | { readonly failure: Failure };

export interface ClientRequest { readonly method: 'GET' | 'POST' | 'PUT'; readonly url: string; readonly json?: string; readonly ifNoneExist?: string; readonly ifMatch?: string }

export interface FhirClient {
  readonly baseUrl: string;
  /** All resolve for what network and server do; `signal` ends the wait. */
  capabilities(signal: AbortSignal): Promise<Exchanged>;
  /** Posts the bytes as they are to the base URL. A 401 is tried once more with a new token. */
  transaction(json: string, signal: AbortSignal): Promise<Exchanged>;
  read(resourceType: string, id: string, signal: AbortSignal): Promise<Exchanged>;
  search(resourceType: string, parameters: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Exchanged>;
  /** One interaction with a type or a resource: `Patient`, `Patient/1`, `Patient?identifier=...`. */
  send(request: ClientRequest, signal: AbortSignal): Promise<Exchanged>;
  /** An operation on a type, by POST: `Patient`, `$match`. */
  operation(resourceType: string, name: `$${string}`, json: string, signal: AbortSignal): Promise<Exchanged>;
  /** The next page of a search when its link stays below the base URL; undefined when there is none. */
  nextPage(bundle: unknown, signal: AbortSignal): Promise<Exchanged | undefined>;
  authorization(signal: AbortSignal): Promise<string | undefined>;
  /** What the server said the login may do (OAuth 2.0 scope); undefined: it did not say. */
  grantedScopes(): string | undefined;
  close(): Promise<void>;
}

type Method = ClientRequest['method'];

export function createFhirClient(config: Config): FhirClient {
  const base = baseUrl(config), dispatcher = openConnection(config), login = loginFor(config, dispatcher);
  const requestSigner = async (url: string, options: RequestInit): Promise<void> => {
    if (!isBelow(url, base)) throw new TypeError('the address is not below base_url');
    const authorization = await login.authorization(options.signal ?? AbortSignal.timeout(config.request_timeout_milliseconds));
    if (authorization !== undefined) (options.headers as Headers).set('authorization', authorization);
  };
  const client = new Client({ baseUrl: base, requestOptions: { dispatcher, redirect: 'manual' }, customHeaders: { 'accept-encoding': 'identity' }, requestSigner: (url, options) => requestSigner(url, options) as unknown as void });

  const once = async (method: Method, path: string, signal: AbortSignal, body?: string, more: Readonly<Record<string, string>> = {}): Promise<Exchanged> => {
    // Not with a Bundle: Medplum then answers 200 without the entries, and nothing says what became of them.
    const minimal = path === '' || path.includes('/$') ? {} : { prefer: 'return=minimal' };
    const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/fhir+json', ...minimal, ...more };
    const options: RequestOptions = { headers, signal: AbortSignal.any([signal, AbortSignal.timeout(config.request_timeout_milliseconds)]) };
    try {
      const resource = await client.request(`${base}${path}`, { method, options, body });
      const { response } = Client.httpFor(resource);
      return { answer: { status: response?.status ?? 200, headers: response?.headers, body: resource } };
    } catch (error) {
      return exchanged(error);
    }
  };
  const exchange = async (method: Method, path: string, signal: AbortSignal, body?: string, more?: Readonly<Record<string, string>>): Promise<Exchanged> => {
    const first = await once(method, path, signal, body, more);
    return 'answer' in first && first.answer.status === 401 && login.forget() ? once(method, path, signal, body, more) : first;
  };
  return {
    baseUrl: base,
    capabilities: (signal) => exchange('GET', '/metadata', signal),
    transaction: (json, signal) => exchange('POST', '', signal, json),
    async read(resourceType, id, signal) {
      return isType(resourceType) && isId(id) ? exchange('GET', `/${resourceType}/${id}`, signal) : { failure: badName };
    },
    async search(resourceType, parameters, signal) {
      return isType(resourceType) ? exchange('GET', `/${resourceType}?${new URLSearchParams(parameters).toString()}`, signal) : { failure: badName };
    },
    async send({ method, url, json, ifNoneExist, ifMatch }, signal) {
      if (!isInteractionUrl(url)) return { failure: badName };
      return exchange(method, `/${url}`, signal, json, { ...(ifNoneExist === undefined ? {} : { 'if-none-exist': ifNoneExist }), ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }) });
    },
    async operation(resourceType, name, json, signal) {
      return isType(resourceType) && /^\$[a-z-]{1,60}$/.test(name) ? exchange('POST', `/${resourceType}/${name}`, signal, json) : { failure: badName };
    },
    async nextPage(bundle, signal) {
      const links = (bundle as { link?: readonly { relation?: string; url?: string }[] } | undefined)?.link;
      const next = Array.isArray(links) ? links.find((link) => link?.relation === 'next')?.url : undefined;
      if (typeof next !== 'string') return undefined;
      const url = URL.parse(next, `${base}/`)?.href;
      if (url === undefined || !isBelow(url, base)) return { failure: { kind: 'refused', answerCode: 'link', text: 'the next page is not below base_url; our login is not taken there' } };
      return exchange('GET', url.slice(new URL(base).href.replace(/\/$/, '').length), signal);
    },
    authorization: (signal) => login.authorization(signal),
    grantedScopes: () => login.granted(),
    close: () => dispatcher.close(),
  };
}

/** Same scheme, host and port, and a path below the base path after . and .. are resolved. */
function isBelow(url: string, base: string): boolean {
  const target = URL.parse(url), root = new URL(base);
  const path = root.pathname.replace(/\/$/, '');
  return target !== null && target.origin === root.origin && target.username === '' && (target.pathname === path || target.pathname.startsWith(`${path}/`)) && !/%2e|%2f|%5c/i.test(target.pathname);
}

const badName: Failure = { kind: 'refused', answerCode: 'id', text: 'not a resource type or not an id (1 to 64 characters of A-Z, a-z, 0-9, - and .)' };
function isType(resourceType: string): boolean {
  return /^[A-Z][A-Za-z]{1,60}$/.test(resourceType);
}
function isId(id: string): boolean {
  return /^[A-Za-z0-9.-]{1,64}$/.test(id) && !/^\.+$/.test(id);
}

function isInteractionUrl(url: string): boolean {
  const [path = ''] = url.split('?'), [type = '', id, ...rest] = path.split('/');
  return isType(type) && (id === undefined || isId(id)) && rest.length === 0;
}

/** The library throws for every status that is not 2xx, and for 2xx whose body is no JSON: all of that is an answer. */
function exchanged(error: unknown): Exchanged {
  if (error instanceof LoginError) return { failure: error.failure };
  const { response, config } = error as { response?: { status: number; data: unknown }; config?: { headers?: Headers } };
  return response === undefined ? { failure: failureByError(error) } : { answer: { status: response.status, headers: config?.headers, body: response.data } };
}

/** Clients live on between deliveries, for their connections and tokens; one per settings, the least used leaves first. */
const clients = new Map<string, FhirClient>();
const clientLimit = 64;

export function clientFor(config: Config): FhirClient {
  const key = createHash('sha256').update(JSON.stringify(config)).digest('hex');
  const client = clients.get(key) ?? createFhirClient(config);
  clients.delete(key);
  clients.set(key, client);
  const [oldest] = clients;
  if (clients.size > clientLimit && oldest !== undefined) {
    clients.delete(oldest[0]);
    void oldest[1].close();
  }
  return client;
}
