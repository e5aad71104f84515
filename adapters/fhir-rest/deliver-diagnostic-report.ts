/**
 * DIAGNOSTICREPORT LEAVES HERE. In: a report. Out: what the server made of it. How it goes is planned from the server's CapabilityStatement (plan.ts).
 *
 *   every entry 2xx        delivered
 *   some entries not 2xx   the server runs a transaction entry by entry, answers 200 and keeps a part: completed in stages, or unreachable when
 *                          the entries say "later"
 *   refused for its size    sent in stages instead
 *   401, 403               unreachable: the login must be mended, and every report would meet it
 *   408, 425, 429, 5xx     unreachable, with Retry-After
 *   other status           refused, with the OperationOutcome's codes; its words are in the answer
 *   no connection          unreachable
 *   no answer              unconfirmed
 */
import type { ReportDocument } from '#domain/report-document.ts';
import type { AdapterContext, Delivery, DeliveryOutcome } from '#gateway/adapter.ts';
import { isFailure } from '#standards/fhir/operation-outcome.ts';
import type { Bundle } from '#standards/fhir/types.ts';
import type { Config } from './config.ts';
import { deliverInStages } from './deliver-in-stages.ts';
import { failureByStatus, kept } from './failure.ts';
import type { Failure } from './failure.ts';
import { clientFor } from './fhir-client.ts';
import type { FhirClient, HttpAnswer } from './fhir-client.ts';
import { find, searchFor } from './lookup.ts';
import type { Existing } from './lookup.ts';
import { codesOf } from './outcome-codes.ts';
import { planFor } from './plan.ts';
import type { Plan } from './plan.ts';
import { needsLookup, transactionOf } from './report-bundle.ts';
import { reportItems } from './report-items.ts';
import type { Item, Surroundings } from './report-items.ts';
import { withoutTransaction } from './server-offer.ts';
import { learnNoTransaction, offerFrom } from './statement-cache.ts';
import { matchPatient, surroundingsOf, unknownPatient } from './surroundings.ts';
import { withdrawnFindings } from './withdrawn.ts';

export const interactions = ['transaction DiagnosticReport', 'batch DiagnosticReport', 'create DiagnosticReport', 'transaction DocumentReference', 'batch DocumentReference', 'create DocumentReference'] as const;

type Interaction = (typeof interactions)[number];
interface Sent { readonly failure: Failure | undefined; readonly answerCode: string; readonly interaction: Interaction; readonly sent?: Buffer; readonly answer?: Buffer; readonly runsEntries?: boolean; readonly isTooLarge?: boolean }

export async function deliver(delivery: Delivery, config: Config, context: AdapterContext): Promise<DeliveryOutcome> {
  if (config.base_url === undefined) return { kind: 'refused', answerCode: 'settings', text: 'base_url is not set: this system gets no results', interaction: interactions[0], peer: '' };
  const client = clientFor(config);
  const { failure, answerCode, runsEntries, isTooLarge: _, ...about } = await send(client, delivery.document, config, context);
  const outcome = { ...about, peer: new URL(client.baseUrl).host, sentType: 'application/fhir+json' };
  if (runsEntries === true) context.log.warn({ deliveryId: delivery.deliveryId, peer: outcome.peer }, 'the server ran a transaction entry by entry; results go there in stages from now on');
  if (failure === undefined) return { kind: 'delivered', answerCode, ...outcome };
  context.log.warn({ deliveryId: delivery.deliveryId, outcome: failure.kind, answerCode: failure.answerCode, peer: outcome.peer }, 'a report was not delivered');
  return { ...outcomeOf(failure), ...outcome, ...(failure.answer === undefined ? {} : { answer: failure.answer }) };
}

async function send(client: FhirClient, document: ReportDocument, config: Config, context: AdapterContext): Promise<Sent> {
  const offer = await offerFrom(client, config, context.now(), context.signal);
  if ('failure' in offer) return { failure: offer.failure, answerCode: '', interaction: interactions[0] };
  const plan = planFor(offer, config);
  if ('refused' in plan) return { failure: { kind: 'refused', answerCode: 'capability', text: plan.refused }, answerCode: '', interaction: interactions[0] };
  const surroundings = await surroundingsOf(client, document, config, plan, context.signal);
  if ('failure' in surroundings) return { failure: surroundings.failure, answerCode: '', interaction: `${plan.way === 'single' ? 'create' : plan.way} ${plan.carrier}` };
  if (plan.way !== 'transaction') return sendInStages(client, document, config, plan, surroundings, context);
  const sent = await sendTransaction(client, document, config, plan, surroundings, context);
  if (sent.isTooLarge === true && config.deliver_by !== 'transaction') {
    // Nothing of it was stored; smaller reports may still go as a whole.
    const smaller = planFor(withoutTransaction(offer), config);
    if (!('refused' in smaller)) return sendInStages(client, document, config, smaller, surroundings, context);
  }
  if (sent.runsEntries !== true || config.deliver_by === 'transaction') return sent;
  const learned = learnNoTransaction(client, offer, config, context.now()), next = planFor(learned, config);
  if (sent.failure?.kind !== 'refused' || 'refused' in next) return sent;
  return { ...await sendInStages(client, document, config, next, surroundings, context), runsEntries: true };
}

async function sendTransaction(client: FhirClient, document: ReportDocument, config: Config, plan: Plan, surroundings: Surroundings, context: AdapterContext): Promise<Sent> {
  const interaction: Interaction = `transaction ${plan.carrier}`;
  const items = reportItems(document, config, plan, surroundings);
  const found = await findExisting(client, items, plan, context.signal);
  if ('failure' in found) return { failure: found.failure, answerCode: '', interaction };
  const matched = await addMatch(client, document, config, items, found, context.signal);
  if (matched !== undefined) return { failure: matched, answerCode: '', interaction };
  const patientId = [...found.values()].find(({ resource }) => resource.resourceType === 'Patient')?.resource.id;
  const withdrawn = await withdrawnFindings(client, document, items, config, plan, patientId, context.signal);
  if ('failure' in withdrawn) return { failure: withdrawn.failure, answerCode: '', interaction };
  const bundle = transactionOf(items, plan.offer, found, withdrawn), json = JSON.stringify(bundle);
  const exchanged = await client.transaction(json, context.signal);
  if ('failure' in exchanged) return { failure: exchanged.failure, answerCode: '', interaction, sent: Buffer.from(json) };
  const { status, body } = exchanged.answer;
  const failure = judge(exchanged.answer, bundle, context.now());
  const runsEntries = status === 501 || (status >= 200 && status < 300 && (body as Partial<Bundle> | null)?.type === 'batch-response') || failure?.answerCode.startsWith('entry ') === true;
  return { failure, answerCode: String(status), interaction, sent: Buffer.from(json), ...kept(body), runsEntries, isTooLarge: isTooLarge(exchanged.answer) };
}

async function sendInStages(client: FhirClient, document: ReportDocument, config: Config, plan: Plan, surroundings: Surroundings, context: AdapterContext): Promise<Sent> {
  const items = reportItems(document, config, plan, surroundings);
  const { failure, exchanges } = await deliverInStages(client, items, plan, {
    withdrawn: (patientId) => withdrawnFindings(client, document, items, config, plan, patientId, context.signal),
    ...(config.patient === 'match' ? { match: () => matchPatient(client, document, config, context.signal) } : {}),
  }, context.signal);
  const sent = { resourceType: 'Bundle', type: 'batch', entry: exchanges.map(({ resource, request }) => ({ resource, request })) };
  const answer = { resourceType: 'Bundle', type: 'batch-response', entry: exchanges.map(({ response }) => ({ response })) };
  return { failure, answerCode: '200', interaction: `${plan.way === 'batch' ? 'batch' : 'create'} ${plan.carrier}`, sent: Buffer.from(JSON.stringify(sent)), ...kept(answer) };
}

/** What is there already of the types that take no conditional requests. */
async function findExisting(client: FhirClient, items: readonly Item[], plan: Plan, signal: AbortSignal): Promise<Map<string, Existing> | { readonly failure: Failure }> {
  const found = new Map<string, Existing>();
  let patientId: string | undefined, carrier: string | undefined;
  for (const item of items.filter((candidate) => needsLookup(candidate, plan.offer))) {
    const search = searchFor(item, plan.offer, { patientId, carrier });
    const existing = search === undefined ? undefined : await find(client, search, item.identity, item, signal);
    if (existing === undefined) continue;
    if ('failure' in existing) return existing;
    found.set(item.fullUrl, existing);
    const { resourceType, id } = existing.resource;
    if (resourceType === 'Patient') patientId = id;
    if (item.stage === 3) carrier = `${resourceType}/${id}`;
  }
  return found;
}

/** Fills in the patient by $match where no identifier found it; the failure when there is none. */
async function addMatch(client: FhirClient, document: ReportDocument, config: Config, items: readonly Item[], found: Map<string, Existing>, signal: AbortSignal): Promise<Failure | undefined> {
  const patient = items.find(({ resource, existing }) => resource.resourceType === 'Patient' && existing === 'find');
  if (patient === undefined || found.has(patient.fullUrl)) return undefined;
  const match = config.patient === 'match' ? await matchPatient(client, document, config, signal) : undefined;
  if (match === undefined) return unknownPatient;
  if ('failure' in match) return match.failure;
  found.set(patient.fullUrl, match);
  return undefined;
}

function outcomeOf(failure: Failure): { kind: 'refused'; answerCode: string; text: string } | { kind: 'unreachable'; text: string; retryAfterMilliseconds?: number } | { kind: 'unconfirmed'; text: string } {
  const { kind, answerCode, text, retryAfterMilliseconds } = failure;
  if (kind === 'refused') return { kind, answerCode, text };
  return kind === 'unconfirmed' ? { kind, text } : { kind, text, ...(retryAfterMilliseconds === undefined ? {} : { retryAfterMilliseconds }) };
}

/** Refused as a whole for its size alone. Medplum says so in words only ("too many entries"), under the code of an invalid Bundle. */
function isTooLarge({ status, body }: HttpAnswer): boolean {
  if (status === 413) return true;
  const { resourceType, issue } = (typeof body === 'object' && body !== null ? body : {}) as { resourceType?: unknown; issue?: readonly { code?: unknown; diagnostics?: unknown; details?: { text?: unknown } }[] };
  if (status < 400 || status > 499 || resourceType !== 'OperationOutcome' || !Array.isArray(issue)) return false;
  return issue.some(({ code, diagnostics, details }) => code === 'too-costly' || code === 'too-long' || /\btoo (many entries|large)\b/i.test(`${String(diagnostics)} ${String(details?.text)}`));
}

/** Undefined when the answer says that every entry is stored. */
function judge({ status, headers, body }: HttpAnswer, sent: Bundle, now: Date): Failure | undefined {
  if (status < 200 || status > 299) return failureByStatus(status, body, headers, now);
  const answerCode = String(status);
  if (isFailure(body)) return { kind: 'refused', answerCode, text: `HTTP ${status}, but: ${codesOf(body) ?? 'an error without a code'}` };
  const { resourceType, type, entry } = (typeof body === 'object' && body !== null ? body : {}) as Partial<Bundle>;
  const isResponse = resourceType === 'Bundle' && (type === 'transaction-response' || type === 'batch-response') && Array.isArray(entry);
  if (!isResponse) return { kind: 'refused', answerCode, text: `HTTP ${status}, but the answer is no transaction-response: what was stored is unknown` };
  return judgeEntries(entry, sent, now);
}

interface EntryFault { readonly position: number; readonly type: string; readonly status: number; readonly codes: string | undefined }

function judgeEntries(entries: NonNullable<Bundle['entry']>, sent: Bundle, now: Date): Failure | undefined {
  const expected = sent.entry ?? [];
  if (entries.length !== expected.length) return { kind: 'refused', answerCode: 'entries', text: `the server answered ${entries.length} of ${expected.length} entries: what was stored is unknown` };
  const faults = entries.map((entry, index): EntryFault => ({
    position: index + 1, type: expected[index]?.resource?.resourceType ?? '', status: Number.parseInt(entry?.response?.status ?? '', 10) || 0, codes: codesOf(entry?.response?.outcome),
  })).filter(({ status }) => status < 200 || status > 299);
  const [first] = faults;
  if (first === undefined) return undefined;
  const told = faults.slice(0, 3).map(({ position, type, status, codes }) => `entry ${position} (${type}) ${status || 'without status'}${codes === undefined ? '' : `: ${codes}`}`).join('; ');
  const text = `the server stored ${expected.length - faults.length} of ${expected.length} entries, so it does not run transactions as a whole: ${told}`;
  const areLater = faults.every(({ status }) => failureByStatus(status || 400, undefined, undefined, now).kind === 'unreachable');
  return { kind: areLater ? 'unreachable' : 'refused', answerCode: `entry ${first.status}`, text };
}
