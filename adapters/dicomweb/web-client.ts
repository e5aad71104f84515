/**
 * Requests to one DICOMweb server under its base URL: with time limits, no redirects, no compression, no answer without end.
 * undici's own request function: what it does not do (follow, decompress, pool cookies) need not be switched off.
 */
import { createHash } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { Agent, request, type Dispatcher } from 'undici';
import type { Config } from './config.ts';
import { compressedCode, failureByError, tooLargeCode, type Failure, type Purpose } from './failure.ts';
import { withIdleLimit } from './idle-limit.ts';

interface Head { readonly status: number; readonly retryAfter: string | undefined; /** WWW-Authenticate. */ readonly challenge: string | undefined }
/** `contentType` is in lower case. */
export interface HttpAnswer extends Head { readonly contentType: string; readonly body: Buffer }
export type Exchanged = { readonly answer: HttpAnswer } | { readonly failure: Failure };
export interface ClientRequest { readonly method: 'GET' | 'POST'; readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly body?: Buffer }

/** An answer whose body comes: read it to its end, or end it. Its bytes throw when nothing comes for too long, or the connection breaks. */
export interface OpenAnswer extends Head { readonly contentType: string; readonly bytes: AsyncIterable<Uint8Array>; end(): void }
export type Opened = { readonly answer: OpenAnswer } | { readonly failure: Failure };

export interface AnswerLimits {
  readonly purpose: Purpose;
  /** Beyond it the answer is cut off; maximum_answer_bytes when absent. */
  readonly mostBytes?: number;
}

export interface DicomwebClient {
  /** Resolves for what network and server do. @param path below the base URL, e.g. '/studies' */
  send(wanted: ClientRequest, signal: AbortSignal, limits?: AnswerLimits): Promise<Exchanged>;
  /** The same, of an answer that may be large. `idleMilliseconds`: for its beginning, and for every chunk. */
  open(wanted: ClientRequest, signal: AbortSignal, idleMilliseconds: number): Promise<Opened>;
  close(): Promise<void>;
}

/** Throws when certificates or keys of the settings cannot be used. */
export function createClient(config: Config): DicomwebClient {
  const base = baseUrl(config), login = authorization(config);
  // Here, and not where a connection is made: what is thrown there, in an event, nobody catches.
  if (base.startsWith('https:')) createSecureContext(tlsOptions(config));
  const agent = new Agent({
    connections: 8, headersTimeout: 0, bodyTimeout: 0, // the limits are those of each request
    connect: { timeout: config.connect_timeout_milliseconds, ...tlsOptions(config) },
  });
  const ask = async ({ method, path, headers, body }: ClientRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> => {
    const answer = await request(`${base}${path}`, { method, dispatcher: agent, signal, headers: { 'accept-encoding': 'identity', ...login, ...headers }, ...(body === undefined ? {} : { body }) });
    // A body that is ended early says so by an error, whoever listens: without this the process would end with it.
    answer.body.on('error', () => { /* told to who reads it */ });
    return answer;
  };
  return {
    async send(wanted, signal, { purpose, mostBytes = config.maximum_answer_bytes } = { purpose: 'store' }) {
      try {
        const answer = await ask(wanted, AbortSignal.any([signal, AbortSignal.timeout(config.request_timeout_milliseconds)]));
        return { answer: { ...headOf(answer), contentType: (textOf(answer, 'content-type') ?? '').toLowerCase(), body: await readableBody(answer, purpose, mostBytes) } };
      } catch (error) {
        return { failure: failureByError(error, purpose) };
      }
    },
    async open(wanted, signal, idleMilliseconds) {
      const patience = new AbortController();
      const timer = setTimeout(() => patience.abort(new DOMException('nothing came', 'TimeoutError')), idleMilliseconds);
      try {
        const answer = await ask(wanted, AbortSignal.any([signal, patience.signal]));
        if (encodingOf(answer) !== undefined && isSuccess(answer)) throw compressed(answer);
        return { answer: { ...headOf(answer), contentType: textOf(answer, 'content-type') ?? '', bytes: withIdleLimit(answer.body, idleMilliseconds), end: () => { answer.body.destroy(); } } };
      } catch (error) {
        return { failure: failureByError(error, 'retrieve') };
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => agent.destroy(),
  };
}

const headOf = (answer: Dispatcher.ResponseData): Head => ({ status: answer.statusCode, retryAfter: textOf(answer, 'retry-after'), challenge: textOf(answer, 'www-authenticate') });

function textOf({ headers }: Dispatcher.ResponseData, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

const isSuccess = ({ statusCode }: Dispatcher.ResponseData): boolean => statusCode >= 200 && statusCode < 300;
function encodingOf(answer: Dispatcher.ResponseData): string | undefined {
  const encoding = textOf(answer, 'content-encoding')?.trim().toLowerCase() ?? '';
  return encoding === '' || encoding === 'identity' ? undefined : encoding;
}
function compressed(answer: Dispatcher.ResponseData): Error {
  answer.body.destroy();
  return Object.assign(new Error('the answer is compressed'), { code: compressedCode });
}

type Decode = (bytes: Buffer, options: { readonly maxOutputLength: number }) => Buffer;
const decoders: Readonly<Record<string, Decode>> = { 'gzip': gunzipSync, 'x-gzip': gunzipSync, 'deflate': inflateSync, 'br': brotliDecompressSync };

/** No compression is asked for. Whoever compresses all the same is heard where something was stored; and a status that is no success speaks for itself. */
async function readableBody(answer: Dispatcher.ResponseData, purpose: Purpose, mostBytes: number): Promise<Buffer> {
  const encoding = encodingOf(answer);
  if (encoding === undefined) return wholeBody(answer.body, mostBytes);
  const decode = purpose === 'store' ? decoders[encoding] : undefined;
  const bytes = decode && await wholeBody(answer.body, mostBytes);
  try {
    if (bytes) return decode(bytes, { maxOutputLength: mostBytes });
  } catch { /* not what it says it is, or a bomb */ }
  if (isSuccess(answer)) throw compressed(answer);
  answer.body.destroy();
  return Buffer.alloc(0);
}

async function wholeBody(body: AsyncIterable<Uint8Array>, mostBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  for await (const chunk of body) {
    byteLength += chunk.byteLength;
    if (byteLength > mostBytes) throw Object.assign(new Error('the answer is too large'), { code: tooLargeCode });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Whom to trust, and who we are. */
export function tlsOptions({ tls_ca: ca, tls_certificate: cert, tls_key: key }: Config): { ca?: string; cert?: string; key?: string } {
  return { ...(ca === undefined ? {} : { ca }), ...(cert === undefined || key === undefined ? {} : { cert, key }) };
}

function authorization({ authentication, username = '', password = '', bearer_token: token = '' }: Config): Record<string, string> {
  if (authentication === 'basic') return { authorization: `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}` };
  return authentication === 'bearer' ? { authorization: `Bearer ${token}` } : {};
}

/** Without a trailing slash. Throws when the settings have none. */
export function baseUrl(config: Config): string {
  if (config.base_url === undefined) throw new Error('base_url is not set: this system gets no reports and is asked nothing');
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
