/** Answers on the wire: DICOM JSON where the standard has it, else a sentence as JSON for people (PS3.18 8.5). */
import type { RejectReason } from '#gateway/adapter.ts';
import { dicomJsonText, type JsonDataset } from './dicom-json.ts';

/** Ends the handling of a request with this answer. */
export class Refusal extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, text: string, headers: Readonly<Record<string, string>> = {}) {
    super(text);
    this.name = 'Refusal';
    this.status = status;
    this.headers = headers;
  }
}

/** Nothing about patients is to be kept by anything on the way. */
export const commonHeaders = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

export function refusalAnswer({ status, message, headers }: Refusal): Response {
  return Response.json({ status, message }, { status, headers: { ...commonHeaders, ...headers } });
}

export function dicomJsonAnswer(status: number, body: JsonDataset | readonly JsonDataset[], headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(dicomJsonText(body), { status, headers: { ...commonHeaders, 'content-type': 'application/dicom+json', ...headers } });
}

/** A Warning header (RFC 7234 5.5, PS3.18 8.4.3): one line of plain characters. */
export const warning = (text: string): Readonly<Record<string, string>> => ({ warning: `299 medscan "${text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, '\'').slice(0, 400)}"` });

export const tryAgain = { 'retry-after': '30' } as const;

/** Of an HTTP status, for the record. */
export function reasonOf(status: number): RejectReason {
  return status === 401 || status === 403 ? 'not-allowed' : status === 400 ? 'malformed' : 'unsupported';
}
