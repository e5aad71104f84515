/**
 * DIAGNOSTICREPORT LEAVES HERE. In: a report. Out: what the server made of its Bundle.
 *
 *   every entry 2xx        delivered
 *   any entry not 2xx      refused, or unreachable when the entries say "later": some servers run a transaction as a batch, answer 200 and keep a part
 *   408, 425, 429, 5xx     unreachable, with Retry-After
 *   other status           refused, with the OperationOutcome's words
 *   no connection          unreachable
 *   no answer              unconfirmed
 */
import type { AdapterContext, Delivery, DeliveryOutcome } from '#gateway/adapter.ts';
import { isFailure, wordsOf } from '#standards/fhir/operation-outcome.ts';
import type { Bundle } from '#standards/fhir/types.ts';
import type { Config } from './config.ts';
import { failureByStatus } from './failure.ts';
import type { Failure } from './failure.ts';
import { clientFor } from './fhir-client.ts';
import type { HttpAnswer } from './fhir-client.ts';
import { reportBundle } from './report-bundle.ts';

export const interaction = 'transaction DiagnosticReport';

export async function deliver(delivery: Delivery, config: Config, context: AdapterContext): Promise<DeliveryOutcome> {
  if (config.base_url === undefined) return { kind: 'refused', answerCode: 'settings', text: 'base_url is not set: this system gets no results', interaction, peer: '' };
  const bundle = reportBundle(delivery.document, config);
  const json = JSON.stringify(bundle);
  const client = clientFor(config);
  const about = { interaction, peer: new URL(client.baseUrl).host, sent: Buffer.from(json), sentType: 'application/fhir+json' };
  const exchanged = await client.transaction(json, context.signal);
  const failure = 'failure' in exchanged ? exchanged.failure : judge(exchanged.answer, bundle, context.now());
  const answer = 'answer' in exchanged ? { answer: answerBytes(exchanged.answer.body) } : {};
  if (failure === undefined) return { kind: 'delivered', answerCode: 'answer' in exchanged ? String(exchanged.answer.status) : '', ...about, ...answer };
  context.log.warn({ deliveryId: delivery.deliveryId, outcome: failure.kind, answerCode: failure.answerCode, peer: about.peer }, 'a DiagnosticReport was not delivered');
  return { ...outcomeOf(failure), ...about, ...answer };
}

function outcomeOf(failure: Failure): { kind: 'refused'; answerCode: string; text: string } | { kind: 'unreachable'; text: string; retryAfterMilliseconds?: number } | { kind: 'unconfirmed'; text: string } {
  const { kind, answerCode, text, retryAfterMilliseconds } = failure;
  if (kind === 'refused') return { kind, answerCode, text };
  return kind === 'unconfirmed' ? { kind, text } : { kind, text, ...(retryAfterMilliseconds === undefined ? {} : { retryAfterMilliseconds }) };
}

function answerBytes(body: unknown): Buffer {
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

/** Undefined when the answer says that every entry is stored. */
function judge({ status, headers, body }: HttpAnswer, sent: Bundle, now: Date): Failure | undefined {
  if (status < 200 || status > 299) return failureByStatus(status, wordsOf(body), headers, now);
  const answerCode = String(status);
  if (isFailure(body)) return { kind: 'refused', answerCode, text: `HTTP ${status}, but: ${wordsOf(body)}` };
  const { resourceType, type, entry } = (typeof body === 'object' && body !== null ? body : {}) as Partial<Bundle>;
  const isResponse = resourceType === 'Bundle' && (type === 'transaction-response' || type === 'batch-response') && Array.isArray(entry);
  if (!isResponse) return { kind: 'refused', answerCode, text: `HTTP ${status}, but the answer is no transaction-response: what was stored is unknown` };
  return judgeEntries(entry, sent, now);
}

interface EntryFault { readonly position: number; readonly type: string; readonly status: number; readonly words: string | undefined }

function judgeEntries(entries: NonNullable<Bundle['entry']>, sent: Bundle, now: Date): Failure | undefined {
  const expected = sent.entry ?? [];
  if (entries.length !== expected.length) return { kind: 'refused', answerCode: 'entries', text: `the server answered ${entries.length} of ${expected.length} entries: what was stored is unknown` };
  const faults = entries.map((entry, index): EntryFault => ({
    position: index + 1, type: expected[index]?.resource?.resourceType ?? '', status: Number.parseInt(entry?.response?.status ?? '', 10) || 0, words: wordsOf(entry?.response?.outcome, 300),
  })).filter(({ status }) => status < 200 || status > 299);
  const [first] = faults;
  if (first === undefined) return undefined;
  const told = faults.slice(0, 3).map(({ position, type, status, words }) => `entry ${position} (${type}) ${status || 'without status'}${words === undefined ? '' : `: ${words}`}`).join('; ');
  const text = `the server stored ${expected.length - faults.length} of ${expected.length} entries, so it does not run transactions as a whole: ${told}`;
  const areLater = faults.every(({ status }) => failureByStatus(status || 400, undefined, undefined, now).kind === 'unreachable');
  return { kind: areLater ? 'unreachable' : 'refused', answerCode: String(first.status), text };
}
