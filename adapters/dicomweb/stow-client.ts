/**
 * Requests to one DICOMweb server under its base URL: with time limits, no redirects, no compression, at most maximum_answer_bytes of answer.
 * undici's own request function: what it does not do (follow, decompress, pool cookies) need not be switched off.
 */
import { createHash } from 'node:crypto';
import { Agent, request, type Dispatcher } from 'undici';
import type { Config } from './config.ts';
import { failureByError, type Failure } from './failure.ts';

export interface HttpAnswer { readonly status: number; readonly retryAfter: string | undefined; readonly contentType: string; readonly body: Buffer }
export type Exchanged = { readonly answer: HttpAnswer } | { readonly failure: Failure };
export interface ClientRequest { readonly method: 'GET' | 'POST'; readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly body?: Buffer }

export interface DicomwebClient {
  /** Resolves for what network and server do. @param path below the base URL, e.g. '/studies' */
  send(wanted: ClientRequest, signal: AbortSignal): Promise<Exchanged>;
  close(): Promise<void>;
}

/** Throws when certificates or keys of the settings cannot be used. */
export function createClient(config: Config): DicomwebClient {
  const base = baseUrl(config);
  const agent = new Agent({
    connections: 4, maxResponseSize: config.maximum_answer_bytes, headersTimeout: config.request_timeout_milliseconds, bodyTimeout: config.request_timeout_milliseconds,
    connect: {
      timeout: config.connect_timeout_milliseconds,
      ...(config.tls_ca === undefined ? {} : { ca: config.tls_ca }), ...(config.tls_certificate === undefined ? {} : { cert: config.tls_certificate, key: config.tls_key }),
    },
  });
  return {
    async send(wanted, signal) {
      try {
        return { answer: await exchange(agent, base, wanted, authorization(config), AbortSignal.any([signal, AbortSignal.timeout(config.request_timeout_milliseconds)])) };
      } catch (error) {
        return { failure: failureByError(error) };
      }
    },
    close: () => agent.destroy(),
  };
}

async function exchange(dispatcher: Dispatcher, base: string, { method, path, headers, body }: ClientRequest, login: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HttpAnswer> {
  const answer = await request(`${base}${path}`, { method, dispatcher, signal, headers: { 'accept-encoding': 'identity', ...login, ...headers }, ...(body === undefined ? {} : { body }) });
  const text = (name: string): string | undefined => { const value = answer.headers[name]; return Array.isArray(value) ? value[0] : value; };
  return { status: answer.statusCode, retryAfter: text('retry-after'), contentType: (text('content-type') ?? '').toLowerCase(), body: Buffer.from(await answer.body.arrayBuffer()) };
}

function authorization({ authentication, username = '', password = '', bearer_token: token = '' }: Config): Record<string, string> {
  if (authentication === 'basic') return { authorization: `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}` };
  return authentication === 'bearer' ? { authorization: `Bearer ${token}` } : {};
}

/** Without a trailing slash. Throws when the settings have none. */
export function baseUrl(config: Config): string {
  if (config.base_url === undefined) throw new Error('base_url is not set: this system gets no reports');
  return config.base_url.replace(/\/+$/, '');
}

/** Clients live on between deliveries, for their connections; one per settings, the least used leaves first. */
const clients = new Map<string, DicomwebClient>();
const mostClients = 64;

export function clientFor(config: Config): DicomwebClient {
  const key = createHash('sha256').update(JSON.stringify(config)).digest('hex');
  const client = clients.get(key) ?? createClient(config);
  clients.delete(key);
  clients.set(key, client);
  const [oldest] = clients;
  if (clients.size > mostClients && oldest !== undefined) {
    clients.delete(oldest[0]);
    void oldest[1].close();
  }
  return client;
}
