/**
 * A report to a server without transactions: stage by stage, what is referred to before what refers to it.
 *
 *   Patient, Device -> ImagingStudy -> Observation (with those withdrawn) -> DiagnosticReport | DocumentReference -> Provenance
 *
 * Each item is looked for first, unless the server takes conditional requests, so an attempt that broke off is completed by the next and
 * nothing comes twice. When a stage fails the later ones are not sent, and the words say what is stored: the report itself goes last but one,
 * so what is left over is never a report without its results.
 */
import type { BundleEntry, Reference } from '#standards/fhir/types.ts';
import type { Failure } from './failure.ts';
import type { FhirClient } from './fhir-client.ts';
import { find, searchFor } from './lookup.ts';
import type { Existing } from './lookup.ts';
import { canBeFound } from './plan.ts';
import type { Plan } from './plan.ts';
import { ifMatch, needsLookup, withReferences } from './report-bundle.ts';
import { identityQuery } from './report-items.ts';
import type { Item } from './report-items.ts';
import { sendStage } from './stage-requests.ts';
import type { StageRequest } from './stage-requests.ts';
import { unknownPatient } from './surroundings.ts';

export interface Staged {
  readonly failure: Failure | undefined;
  /** What went out, as the entries of a Bundle, each with the status it was answered. */
  readonly exchanges: readonly BundleEntry[];
}

interface Progress {
  readonly references: Map<string, Reference>;
  readonly exchanges: BundleEntry[];
  readonly stored: string[];
  patientId: string | undefined;
  carrier: string | undefined;
}

interface Questions {
  withdrawn(patientId: string | undefined): Promise<readonly Existing[] | { readonly failure: Failure }>;
  /** The patient where no identifier found it; undefined: there is no certain match. */
  match?(): Promise<Existing | undefined | { readonly failure: Failure }>;
}

export async function deliverInStages(client: FhirClient, items: readonly Item[], plan: Plan, questions: Questions, signal: AbortSignal): Promise<Staged> {
  const progress: Progress = { references: new Map(), exchanges: [], stored: [], patientId: undefined, carrier: undefined };
  for (const stage of [...new Set(items.map((item) => item.stage))].toSorted((a, b) => a - b)) {
    const failure = (stage === 3 ? await withdraw(client, plan, questions, progress, signal) : undefined)
      ?? await runStage(client, items.filter((item) => item.stage === stage), plan, questions, progress, signal);
    if (failure !== undefined) return { failure: withKnowledge(failure, progress, plan, items), exchanges: progress.exchanges };
  }
  return { failure: undefined, exchanges: progress.exchanges };
}

async function runStage(client: FhirClient, items: readonly Item[], plan: Plan, questions: Questions, progress: Progress, signal: AbortSignal): Promise<Failure | undefined> {
  const toSend: { item: Item; request: StageRequest }[] = [];
  for (const item of items) {
    const isMatched = item.existing === 'find' && questions.match !== undefined;
    const existing = await lookUp(client, item, plan, progress, signal) ?? (isMatched ? await questions.match?.() : undefined);
    if (existing !== undefined && 'failure' in existing) return existing.failure;
    if (existing === undefined && isMatched) return unknownPatient;
    const request = requestFor(item, plan, existing, progress);
    if (request === undefined) note(progress, item, existing === undefined ? undefined : `${existing.resource.resourceType}/${existing.resource.id}`);
    else if ('failure' in request) return request.failure;
    else toSend.push({ item, request });
  }
  const answers = toSend.length === 0 ? [] : await sendStage(client, toSend.map(({ request }) => request), plan.way === 'batch' ? 'batch' : 'single', progress.exchanges, signal);
  let failure: Failure | undefined;
  for (const [index, answer] of answers.entries()) {
    if ('failure' in answer) failure ??= answer.failure;
    else if (toSend[index] !== undefined) {
      progress.stored.push(`${answer.reference ?? toSend[index].item.resource.resourceType}${answer.isNew ? ' (new)' : ''}`);
      const reference = answer.reference ?? await askAgain(client, toSend[index].item, plan, progress, signal);
      note(progress, toSend[index].item, reference);
    }
  }
  return failure;
}

async function lookUp(client: FhirClient, item: Item, plan: Plan, progress: Progress, signal: AbortSignal): Promise<Existing | undefined | { readonly failure: Failure }> {
  if (!needsLookup(item, plan.offer)) return undefined;
  const search = searchFor(item, plan.offer, progress);
  return search === undefined ? undefined : find(client, search, item.identity, item, signal);
}

/** A server may store without telling the id. */
async function askAgain(client: FhirClient, item: Item, plan: Plan, progress: Progress, signal: AbortSignal): Promise<string | undefined> {
  const search = searchFor(item, plan.offer, progress);
  const found = search === undefined ? undefined : await find(client, search, item.identity, item, signal);
  return found === undefined || 'failure' in found ? undefined : `${found.resource.resourceType}/${found.resource.id}`;
}

function requestFor(item: Item, plan: Plan, existing: Existing | undefined, progress: Progress): StageRequest | undefined | { readonly failure: Failure } {
  const { resourceType: type } = item.resource, query = identityQuery(item.identity);
  const resource = withReferences(item.resource, progress.references);
  if (item.existing === 'find' || (existing === undefined ? item.existing === 'amend' : item.existing === 'keep')) return undefined;
  if (item.existing === 'put') return { method: 'PUT', url: `${type}/${resource.id}`, resource };
  if (item.existing === 'replace' && !needsLookup(item, plan.offer)) return { method: 'PUT', url: `${type}?${query}`, resource };
  if (existing !== undefined && plan.offer.offers(type, 'update')) return { method: 'PUT', url: `${type}/${existing.resource.id}`, resource: { ...resource, id: existing.resource.id ?? '' }, ...ifMatch(existing) };
  if (existing !== undefined) return isSame(existing.resource, resource) ? undefined : { failure: cannotCorrect(type, existing) };
  if (!plan.offer.offers(type, 'create')) return type === 'Patient' ? { failure: { kind: 'refused', answerCode: 'patient', text: 'the server does not know the patient and takes no new one: register the patient there first, or set patient to reference' } } : undefined;
  return { method: 'POST', url: type, resource, ...(plan.offer.offers(type, 'conditional create') ? { ifNoneExist: query } : {}) };
}

/** Whether a resource that cannot be updated is already what we would send: same status, same moment. A Device has neither and stays. */
function isSame(theirs: object, ours: object): boolean {
  const moment = (resource: object): number => { const { issued, date } = resource as { issued?: string; date?: string }; return Date.parse(issued ?? date ?? '1970-01-01'); };
  const status = (resource: object): unknown => (resource as { status?: unknown }).status;
  return status(theirs) === status(ours) && moment(theirs) === moment(ours);
}

function cannotCorrect(type: string, { resource }: Existing): Failure {
  return { kind: 'refused', answerCode: 'update', text: `${type}/${resource.id} there is of an earlier version, and the server takes no update of ${type}: correct or retract it there by hand, or send results to this system as ORU^R01` };
}

function note(progress: Progress, item: Item, reference: string | undefined): void {
  const { resourceType: type } = item.resource;
  if (type === 'Patient') progress.patientId = reference?.split('/')[1];
  if (item.stage === 3) progress.carrier = reference;
  const { system, value } = item.identity;
  progress.references.set(item.fullUrl, reference === undefined ? { type: type as never, identifier: { ...(system === '' ? {} : { system }), value } } : { reference });
}

async function withdraw(client: FhirClient, plan: Plan, questions: Questions, progress: Progress, signal: AbortSignal): Promise<Failure | undefined> {
  const withdrawn = await questions.withdrawn(progress.patientId);
  if ('failure' in withdrawn) return withdrawn.failure;
  if (withdrawn.length === 0) return undefined;
  const [first] = withdrawn;
  if (first !== undefined && !plan.offer.offers('Observation', 'update')) return cannotCorrect('Observation', first);
  const requests = withdrawn.map((existing): StageRequest => ({ method: 'PUT', url: `${existing.resource.resourceType}/${existing.resource.id}`, resource: existing.resource, ...ifMatch(existing) }));
  const answers = await sendStage(client, requests, plan.way === 'batch' ? 'batch' : 'single', progress.exchanges, signal);
  const failed = answers.find((answer) => 'failure' in answer);
  if (failed === undefined) progress.stored.push(...requests.map(({ url }) => `${url} (withdrawn)`));
  return failed === undefined ? undefined : failed.failure;
}

/** Sending again is harmless only where what was sent can be found again. */
function withKnowledge(failure: Failure, { stored }: Progress, plan: Plan, items: readonly Item[]): Failure {
  const written = stored.length === 0 ? 'nothing was stored before it' : `stored before it: ${stored.slice(0, 20).join(', ')}${stored.length > 20 ? ` and ${stored.length - 20} more` : ''}`;
  const blind = failure.kind === 'unconfirmed' ? items.find((item) => item.existing !== 'put' && !canBeFound(plan.offer, item.resource.resourceType)) : undefined;
  if (blind !== undefined) return { kind: 'refused', answerCode: failure.answerCode, text: `${failure.text}; ${written}. The server cannot search ${blind.resource.resourceType} for what we sent, so a person must look there before it is sent again` };
  const next = failure.kind === 'refused' ? 'Sent again, it continues there and makes nothing twice' : 'The next attempt completes it';
  return { ...failure, text: `${failure.text}; ${written}. ${next}` };
}
