/** The requests of one stage, as one batch or one after the other, and what each was answered. */
import type { Bundle, BundleEntry, Resource } from '#standards/fhir/types.ts';
import { isFailure } from '#standards/fhir/operation-outcome.ts';
import { failureByStatus, kept } from './failure.ts';
import type { Failure } from './failure.ts';
import type { FhirClient, HttpAnswer } from './fhir-client.ts';
import { codesOf } from './outcome-codes.ts';

export interface StageRequest { readonly method: 'POST' | 'PUT'; readonly url: string; readonly resource: Resource; readonly ifNoneExist?: string; readonly ifMatch?: string }
/** `reference` is 'Type/id' of what is stored now, when the server told. */
export type StageAnswer = { readonly reference: string | undefined; readonly isNew: boolean } | { readonly failure: Failure };

/** As many answers as requests; single requests end at the first failure, and the ones after it have no answer. */
export async function sendStage(client: FhirClient, requests: readonly StageRequest[], way: 'batch' | 'single', exchanges: BundleEntry[], signal: AbortSignal): Promise<readonly StageAnswer[]> {
  if (way === 'batch' && requests.length > 1) return sendBatch(client, requests, exchanges, signal);
  const answers: StageAnswer[] = [];
  for (const request of requests) {
    const { method, url, resource, ...conditions } = request;
    const exchanged = await client.send({ method, url, json: JSON.stringify(resource), ...conditions }, signal);
    const answer: StageAnswer = 'failure' in exchanged ? exchanged : judged(request, exchanged.answer);
    exchanges.push({ resource, request: { method, url, ...conditions }, response: 'failure' in exchanged ? { status: exchanged.failure.answerCode } : { status: String(exchanged.answer.status) } });
    answers.push(answer);
    if ('failure' in answer) return answers;
  }
  return answers;
}

async function sendBatch(client: FhirClient, requests: readonly StageRequest[], exchanges: BundleEntry[], signal: AbortSignal): Promise<readonly StageAnswer[]> {
  const entry = requests.map(({ resource, ...request }): BundleEntry => ({ resource, request }));
  const exchanged = await client.transaction(JSON.stringify({ resourceType: 'Bundle', type: 'batch', entry } satisfies Bundle), signal);
  if ('failure' in exchanged) return [exchanged];
  const { status, headers, body } = exchanged.answer;
  const answered = (typeof body === 'object' && body !== null ? body : {}) as Partial<Bundle>;
  if (status < 200 || status > 299) return [{ failure: failureByStatus(status, body, headers, new Date()) }];
  if (answered.resourceType !== 'Bundle' || answered.entry?.length !== requests.length) return [{ failure: { kind: 'refused', answerCode: String(status), text: `HTTP ${status}, but the answer is no batch-response with ${requests.length} entries: what was stored is unknown`, ...kept(body) } }];
  return answered.entry.map((each, index) => {
    const request = requests[index], code = Number.parseInt(each?.response?.status ?? '', 10) || 0;
    exchanges.push({ ...entry[index], response: { status: each?.response?.status ?? '' } });
    const headersOfEntry = new Headers(each?.response?.location === undefined ? {} : { location: each.response.location });
    return request === undefined ? { reference: undefined, isNew: false } : judged(request, { status: code, headers: headersOfEntry, body: each?.response?.outcome ?? each?.resource });
  });
}

function judged({ method, url, resource, ifMatch }: StageRequest, { status, headers, body }: HttpAnswer): StageAnswer {
  const what = `${method} ${resource.resourceType}`;
  if (status === 412 && ifMatch !== undefined) return { failure: { kind: 'unreachable', answerCode: '412', text: `${what}: somebody changed it meanwhile; it is read again at the next attempt` } };
  if (status < 200 || status > 299) return { failure: failed(failureByStatus(status || 400, body, headers, new Date()), what) };
  if (isFailure(body)) return { failure: { kind: 'refused', answerCode: String(status), text: `${what}: HTTP ${status}, but: ${codesOf(body) ?? 'an error without a code'}`, ...kept(body) } };
  return { reference: referenceIn(url, resource.resourceType, headers, body), isNew: status === 201 };
}

function failed(failure: Failure, what: string): Failure {
  return { ...failure, text: `${what}: ${failure.text}` };
}

/** From Location (`[base]/Type/id/_history/1`), from the resource in the answer, or from the URL of an update. */
function referenceIn(url: string, type: string, headers: Headers | undefined, body: unknown): string | undefined {
  const location = headers?.get('location') ?? headers?.get('content-location') ?? '';
  const told = new RegExp(`(?:^|/)${type}/([A-Za-z0-9.-]{1,64})(?:/_history/|$)`).exec(location)?.[1];
  const { resourceType, id } = (typeof body === 'object' && body !== null ? body : {}) as Partial<Resource>;
  const found = told ?? (resourceType === type ? id : undefined) ?? new RegExp(`^${type}/([A-Za-z0-9.-]{1,64})$`).exec(url)?.[1];
  return found === undefined ? undefined : `${type}/${found}`;
}
