/** What a failed exchange with a DICOMweb server means for the next step, in the classes of DeliveryOutcome. */
export interface Failure {
  readonly kind: 'unreachable' | 'unconfirmed' | 'refused';
  readonly answerCode: string;
  readonly text: string;
  readonly retryAfterMilliseconds?: number;
}

/** What was asked of the server: the words are about that. */
export type Purpose = 'store' | 'search' | 'retrieve';

/** By an HTTP status that is no 2xx: 408, 425, 429 and 5xx mean later, the others that a person must look. */
export function failureByStatus(status: number, retryAfter: string | undefined, now: Date, purpose: Purpose = 'store'): Failure {
  const isLater = status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
  if (!isLater) return { kind: 'refused', answerCode: String(status), text: statusText(status, purpose) };
  const wait = waitOf(retryAfter, now);
  return { kind: 'unreachable', answerCode: String(status), text: statusText(status, purpose), ...(wait === undefined ? {} : { retryAfterMilliseconds: wait }) };
}

const notHere: Readonly<Record<Purpose, string>> = { store: 'there is no DICOMweb service at this address; check base_url', search: 'there is no DICOMweb service at this address; check base_url', retrieve: 'the server does not have it, or there is no WADO-RS at this address' };
const notOffered: Readonly<Record<Purpose, string>> = { store: 'the server does not store (no STOW-RS at this address)', search: 'the server does not search (no QIDO-RS at this address)', retrieve: 'the server hands nothing out (no WADO-RS at this address)' };

function statusText(status: number, purpose: Purpose): string {
  if (status >= 300 && status < 400) return `HTTP ${status}: the server points elsewhere; redirects are not followed, put the final address into base_url`;
  const known: Readonly<Record<number, string>> = {
    400: purpose === 'store' ? '' : 'the server does not understand the question', 401: 'the server does not accept our login', 403: 'our login may not do this', 404: notHere[purpose], 405: notOffered[purpose], 406: 'the server does not offer the media type that was asked for',
    410: 'it is not there any more', 413: purpose === 'store' ? 'the object is larger than the server takes' : 'the answer would be larger than the server gives', 415: 'the server does not take application/dicom',
    429: 'the server wants fewer requests', 501: notOffered[purpose], 503: 'the server is busy or away',
  };
  return known[status] ? `HTTP ${status}: ${known[status]}` : `HTTP ${status}`;
}

/** Seconds or an HTTP date (RFC 9110 10.2.3), at most a day. */
function waitOf(text: string | undefined, now: Date): number | undefined {
  if (text === undefined) return undefined;
  const milliseconds = /^\s*\d+\s*$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now.getTime();
  return Number.isFinite(milliseconds) ? Math.min(Math.max(milliseconds, 0), 86_400_000) : undefined;
}

const neverLeft = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT', 'EPROTO', 'EADDRNOTAVAIL']);
const tlsFault = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/;

const timeoutTexts: Readonly<Record<Purpose, string>> = {
  store: 'no answer within request_timeout_milliseconds; the server may have stored the object', search: 'no whole answer within request_timeout_milliseconds',
  retrieve: 'nothing came for retrieve_timeout_seconds',
};
/** Of what our client itself throws. */
export const compressedCode = 'MEDSCAN_COMPRESSED_ANSWER', tooLargeCode = 'MEDSCAN_ANSWER_TOO_LARGE';

/** By what was thrown when there was no whole answer. Never throws itself. */
export function failureByError(error: unknown, purpose: Purpose = 'store'): Failure {
  const { name, code, message } = rootOf(error);
  if (name === 'TimeoutError' || name === 'SilentSenderError') return { kind: 'unconfirmed', answerCode: 'timeout', text: timeoutTexts[purpose] };
  if (name === 'AbortError') return { kind: 'unconfirmed', answerCode: 'stopped', text: 'the gateway stopped while it waited for the answer' };
  if (code === tooLargeCode) return { kind: 'refused', answerCode: 'too large', text: purpose === 'store' ? 'the answer is larger than maximum_answer_bytes' : 'the answer is larger than the gateway reads' };
  if (code === compressedCode) return { kind: 'refused', answerCode: 'compressed', text: 'the answer is compressed although none was asked for; switch compression off for the gateway' };
  if (code !== undefined && tlsFault.test(code)) return { kind: 'unreachable', answerCode: code, text: `the certificate or the TLS handshake failed (${code}); check tls_ca and the host name` };
  if (code !== undefined && neverLeft.has(code)) return { kind: 'unreachable', answerCode: code, text: `no connection (${code})` };
  return { kind: 'unconfirmed', answerCode: code ?? 'answer', text: `the connection broke before the answer was complete (${code ?? message})` };
}

/** Several addresses tried give an AggregateError, whose code is its own or that of its first part. */
function rootOf(error: unknown): { name: string; code: string | undefined; message: string } {
  let current = error as { name?: string; code?: unknown; message?: string; cause?: unknown; errors?: readonly unknown[] } | undefined;
  for (let depth = 0; depth < 5 && typeof current?.code !== 'string' && current?.name !== 'SilentSenderError'; depth += 1) {
    const next = (current?.cause ?? current?.errors?.[0]) as typeof current;
    if (typeof next !== 'object' || next === null) break;
    current = next;
  }
  return { name: current?.name ?? '', code: typeof current?.code === 'string' ? current.code : undefined, message: String(current?.message ?? error).slice(0, 200) };
}
