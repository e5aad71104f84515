/**
 * What a failed exchange with a server means for the next step, in the classes of DeliveryOutcome:
 *   unreachable   never left, or the server said "later": try again
 *   unconfirmed   sent, no usable answer: try again, because our Bundle changes nothing twice
 *   refused       trying again changes nothing: a person must look
 */
import { answerBytes, codesOf } from './outcome-codes.ts';

export interface Failure {
  readonly kind: 'unreachable' | 'unconfirmed' | 'refused';
  readonly answerCode: string;
  /** Our words, and codes and places of the server's: shown to people who may not see patients. */
  readonly text: string;
  /** The body of the server's answer, when it had one. */
  readonly answer?: Buffer;
  readonly retryAfterMilliseconds?: number;
}

/** By HTTP status, with the codes of the body's OperationOutcome. 2xx never comes here. */
export function failureByStatus(status: number, body: unknown, headers: Headers | undefined, now: Date): Failure {
  const codes = codesOf(body), text = `${statusText(status)}${codes === undefined ? '' : `: ${codes}`}`, answer = kept(body);
  // 401 and 403 say something about our login, not about this report: it waits, in order, until an operator has mended the login.
  const isLater = status === 401 || status === 403 || status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501);
  if (!isLater) return { kind: 'refused', answerCode: String(status), text, ...answer };
  const wait = retryAfter(headers?.get('retry-after') ?? undefined, now);
  return { kind: 'unreachable', answerCode: String(status), text, ...answer, ...(wait === undefined ? {} : { retryAfterMilliseconds: wait }) };
}

/** For a Failure: the answer's body, if any. */
export function kept(body: unknown): Pick<Failure, 'answer'> {
  const answer = answerBytes(body);
  return answer === undefined ? {} : { answer };
}

function statusText(status: number): string {
  if (status >= 300 && status < 400) return `HTTP ${status}: the server points elsewhere; redirects are not followed, put the final address into base_url`;
  if (status === 401) return 'HTTP 401: the server does not accept our login';
  if (status === 403) return 'HTTP 403: our login may not do this';
  if (status === 404) return 'HTTP 404: there is nothing at this address; check base_url';
  if (status === 413) return 'HTTP 413: the Bundle is larger than the server takes';
  return `HTTP ${status}`;
}

/** Seconds or an HTTP date (RFC 9110 10.2.3), at most a day. */
function retryAfter(text: string | undefined, now: Date): number | undefined {
  if (text === undefined) return undefined;
  const milliseconds = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - now.getTime();
  return Number.isFinite(milliseconds) ? Math.min(Math.max(milliseconds, 0), 86_400_000) : undefined;
}

const neverLeft = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT', 'EPROTO', 'EADDRNOTAVAIL']);
const tlsFault = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/;
const advice: Readonly<Record<string, string>> = {
  UND_ERR_RES_EXCEEDED_MAX_SIZE: 'the answer is larger than maximum_answer_bytes', MEDSCAN_COMPRESSED_ANSWER: 'the answer is compressed although we asked for none',
};

/** By what fetch threw when there was no whole answer. Never throws itself. */
export function failureByError(error: unknown): Failure {
  const { name, code, message } = rootOf(error);
  if (name === 'TimeoutError') return { kind: 'unconfirmed', answerCode: 'timeout', text: 'no answer within request_timeout_milliseconds; the server may have stored the Bundle' };
  if (name === 'AbortError') return { kind: 'unconfirmed', answerCode: 'stopped', text: 'the gateway stopped while it waited for the answer' };
  const known = code === undefined ? undefined : advice[code];
  if (known !== undefined) return { kind: 'refused', answerCode: code ?? '', text: known };
  if (code !== undefined && tlsFault.test(code)) return { kind: 'unreachable', answerCode: code, text: `the certificate or the TLS handshake failed (${code}); check tls_ca and the host name` };
  if (code !== undefined && neverLeft.has(code)) return { kind: 'unreachable', answerCode: code, text: `no connection (${code})` };
  if (code !== undefined) return { kind: 'unconfirmed', answerCode: code, text: `the connection broke before the answer was complete (${code})` };
  // A parser quotes what it could not read.
  return { kind: 'refused', answerCode: 'answer', text: `the answer cannot be read (${name === 'SyntaxError' ? 'no JSON' : message})` };
}

/** fetch wraps the cause in TypeErrors; several addresses tried give an AggregateError with a code of its own or in its first part. */
function rootOf(error: unknown): { name: string; code: string | undefined; message: string } {
  let current = error as { name?: string; code?: unknown; message?: string; cause?: unknown; errors?: readonly unknown[] } | undefined;
  for (let depth = 0; depth < 5; depth += 1) {
    if (typeof current?.code === 'string') break;
    const next = (current?.cause ?? current?.errors?.[0]) as typeof current;
    if (typeof next !== 'object' || next === null) break;
    current = next;
  }
  return { name: current?.name ?? '', code: typeof current?.code === 'string' ? current.code : undefined, message: String(current?.message ?? error).slice(0, 200) };
}
