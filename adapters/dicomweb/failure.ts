/** What a failed exchange with a DICOMweb server means for the next step, in the classes of DeliveryOutcome. */
export interface Failure {
  readonly kind: 'unreachable' | 'unconfirmed' | 'refused';
  readonly answerCode: string;
  readonly text: string;
  readonly retryAfterMilliseconds?: number;
}

/** By an HTTP status that is no 2xx: 408, 425, 429 and 5xx mean later, the others that a person must look. */
export function failureByStatus(status: number, retryAfter: string | undefined, now: Date): Failure {
  const isLater = status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
  if (!isLater) return { kind: 'refused', answerCode: String(status), text: statusText(status) };
  const wait = waitOf(retryAfter, now);
  return { kind: 'unreachable', answerCode: String(status), text: statusText(status), ...(wait === undefined ? {} : { retryAfterMilliseconds: wait }) };
}

function statusText(status: number): string {
  if (status >= 300 && status < 400) return `HTTP ${status}: the server points elsewhere; redirects are not followed, put the final address into base_url`;
  const known: Readonly<Record<number, string>> = {
    401: 'the server does not accept our login', 403: 'our login may not do this', 404: 'there is no DICOMweb service at this address; check base_url',
    405: 'the server does not store (no STOW-RS at this address)', 413: 'the object is larger than the server takes', 415: 'the server does not take application/dicom',
  };
  return known[status] === undefined ? `HTTP ${status}` : `HTTP ${status}: ${known[status]}`;
}

/** Seconds or an HTTP date (RFC 9110 10.2.3), at most a day. */
function waitOf(text: string | undefined, now: Date): number | undefined {
  if (text === undefined) return undefined;
  const milliseconds = /^\s*\d+\s*$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now.getTime();
  return Number.isFinite(milliseconds) ? Math.min(Math.max(milliseconds, 0), 86_400_000) : undefined;
}

const neverLeft = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT', 'EPROTO', 'EADDRNOTAVAIL']);
const tlsFault = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/;

/** By what was thrown when there was no whole answer. Never throws itself. */
export function failureByError(error: unknown): Failure {
  const { name, code, message } = rootOf(error);
  if (name === 'TimeoutError' || code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return { kind: 'unconfirmed', answerCode: 'timeout', text: 'no answer within request_timeout_milliseconds; the server may have stored the object' };
  if (name === 'AbortError') return { kind: 'unconfirmed', answerCode: 'stopped', text: 'the gateway stopped while it waited for the answer' };
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return { kind: 'refused', answerCode: code, text: 'the answer is larger than maximum_answer_bytes' };
  if (code !== undefined && tlsFault.test(code)) return { kind: 'unreachable', answerCode: code, text: `the certificate or the TLS handshake failed (${code}); check tls_ca and the host name` };
  if (code !== undefined && neverLeft.has(code)) return { kind: 'unreachable', answerCode: code, text: `no connection (${code})` };
  return { kind: 'unconfirmed', answerCode: code ?? 'answer', text: `the connection broke before the answer was complete (${code ?? message})` };
}

/** Several addresses tried give an AggregateError, whose code is its own or that of its first part. */
function rootOf(error: unknown): { name: string; code: string | undefined; message: string } {
  let current = error as { name?: string; code?: unknown; message?: string; cause?: unknown; errors?: readonly unknown[] } | undefined;
  for (let depth = 0; depth < 5 && typeof current?.code !== 'string'; depth += 1) {
    const next = (current?.cause ?? current?.errors?.[0]) as typeof current;
    if (typeof next !== 'object' || next === null) break;
    current = next;
  }
  return { name: current?.name ?? '', code: typeof current?.code === 'string' ? current.code : undefined, message: String(current?.message ?? error).slice(0, 200) };
}
