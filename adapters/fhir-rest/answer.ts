/** Answers on the wire: every one that is not a resource is an OperationOutcome (R4 http.html#summary). */
import type { OperationOutcome, OperationOutcomeIssue } from '#standards/fhir/types.ts';
import { outcome } from '#standards/fhir/operation-outcome.ts';
import type { RejectReason } from '#gateway/adapter.ts';
import type { Written } from '#gateway/records.ts';

/** Ends the handling of a request with this answer. */
export class FhirRefusal extends Error {
  readonly status: number;
  readonly code: OperationOutcomeIssue['code'];
  readonly expression: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** All issues, when there are more than the one in words. */
  readonly all: OperationOutcome | undefined;
  constructor(status: number, code: OperationOutcomeIssue['code'], text: string, more: { expression?: string; headers?: Readonly<Record<string, string>>; all?: OperationOutcome } = {}) {
    super(text);
    this.name = 'FhirRefusal';
    this.status = status;
    this.code = code;
    this.expression = more.expression;
    this.headers = more.headers ?? {};
    this.all = more.all;
  }
}

export function refusalAnswer(refusal: FhirRefusal): Response {
  return answer(refusal.status, refusal.all ?? outcome('error', refusal.code, refusal.message, refusal.expression), refusal.headers);
}

/** No answer about patients is to be kept by anything on the way (Cache-Control). */
export function answer(status: number, body: object | undefined, headers: Readonly<Record<string, string>> = {}): Response {
  const more = body === undefined ? {} : { 'content-type': 'application/fhir+json; charset=utf-8' };
  return new Response(body === undefined ? null : JSON.stringify(body), { status, headers: { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', ...more, ...headers } });
}

const rejected: Readonly<Record<RejectReason, readonly [number, OperationOutcomeIssue['code']]>> = {
  malformed: [400, 'structure'], unsupported: [422, 'not-supported'], 'not-allowed': [403, 'forbidden'], invalid: [422, 'invalid'], conflict: [409, 'conflict'],
};

/** What was not written as the refusal that is told: 503 asks for another try, the others for another message. */
export function rejectedRefusal(written: Exclude<Written, { kind: 'committed' }>): FhirRefusal {
  if (written.kind === 'failed') return new FhirRefusal(503, 'transient', written.text, { headers: { 'retry-after': '30' } });
  const [status, code] = rejected[written.reason];
  return new FhirRefusal(status, code, written.text, written.location === undefined ? {} : { expression: written.location });
}
