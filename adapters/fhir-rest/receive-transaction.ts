/**
 * A TRANSACTION ENTERS HERE (R4 http.html#trules). In: a Bundle of type transaction. Out: a transaction-response when every entry that writes is committed,
 * in one commit; else the one OperationOutcome of why none is, on record with the whole Bundle.
 *
 *   Bundle -> validate, all entries -> what each asks for -> references between them (bundle-references.ts) -> one commit -> reads -> answers in their order
 *
 * Patients are written before what is about them; all conditions are judged against what was here before. A transaction that is sent again creates
 * nothing twice: each entry is known by its own content or by X-Request-Id.
 */
import { createHash } from 'node:crypto';
import type { AdapterContext, InboundMessage, IntegrationDirectory, Peer, Principal, Receive } from '#gateway/adapter.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { Bundle } from '#standards/fhir/types.ts';
import { issueText, outcomeOf } from '#standards/fhir/operation-outcome.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import { FhirRefusal, answer, refusalAnswer, rejectedRefusal } from './answer.ts';
import type { Body } from './body.ts';
import { answeredEntries, entryRequests, requestOf } from './bundle-entries.ts';
import type { EntryRequest } from './bundle-entries.ts';
import { resolveReferences } from './bundle-references.ts';
import type { Resolved } from './bundle-references.ts';
import type { Config } from './config.ts';
import { interactionOf } from './interaction.ts';
import type { Interaction } from './interaction.ts';
import { preferredReturn } from './negotiate.ts';
import { demand } from './read-access.ts';
import { answerTo, reasonOf, receivingIntegration, requestIdOf, writesOf } from './receive-resource.ts';
import { mount } from './mount.ts';
import { checkNames, writeRequest } from './write-request.ts';
import type { Sender, WriteRequest } from './write-request.ts';

export interface Transaction {
  readonly request: Request; readonly base: string; readonly peer: Peer; readonly principal: Principal; readonly receivedAt: Date; readonly body: Body; readonly bundle: Partial<Bundle>;
}
export interface WritingEntry { readonly entry: EntryRequest; readonly interaction: Interaction; readonly resource: Readonly<Record<string, unknown>> }

export async function receiveTransaction(transaction: Transaction, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext, run: (request: Request) => Promise<Response>): Promise<Response> {
  const { request, base } = transaction;
  let answers: ReadonlyMap<number, Response>, entries: EntryRequest[];
  try {
    entries = entriesOf(transaction);
    answers = await commit(transaction, entries, integrations, context);
  } catch (error) {
    if (!(error instanceof FhirRefusal) || error.status === 503) throw error;
    const integration = integrations.all().find(({ organizationId }) => organizationId === transaction.principal.organizationId);
    const receipt = await receive(refusedMessage(transaction, integration), { reason: reasonOf(error.status), text: error.message, ...(error.expression === undefined ? {} : { location: error.expression }) });
    receipt.answered(String(error.status), !request.signal.aborted);
    return refusalAnswer(error);
  }
  const entry = await answeredEntries(entries, (each) => answers.get(each.index) ?? run(requestOf(each, request)));
  return answer(200, { resourceType: 'Bundle', type: 'transaction-response', entry } satisfies Bundle, { 'content-location': base });
}

function entriesOf({ bundle, base }: Transaction): EntryRequest[] {
  const entries = entryRequests(bundle, base), issues = validateResource(bundle), [first] = issues;
  if (first !== undefined) throw new FhirRefusal(422, first.code, issueText(first), { expression: first.expression, all: outcomeOf(issues) });
  return entries;
}

async function commit(transaction: Transaction, entries: readonly EntryRequest[], integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<ReadonlyMap<number, Response>> {
  const { request, base, peer, principal, receivedAt } = transaction;
  const writing = entries.filter(({ method }) => method === 'POST' || method === 'PUT').map(writingEntry);
  if (writing.length === 0) return new Map();
  const sender: Sender = { integration: receivingIntegration(principal, integrations), principal, peer, receivedAt };
  for (const { interaction } of writing) demand(principal, interaction.resourceType, interaction.kind.endsWith('create') ? 'c' : 'u');
  checkOverlap(writing);
  const resolved = resolveReferences(writing, sender.integration), preference = preferredReturn(request);
  const requests = writesFor(transaction, resolved, sender, preference === 'representation');
  const written = await writesOf(context).together(requests.map(({ write }) => write));
  if (written.kind !== 'committed') {
    const index = written.kind === 'rejected' ? resolved[written.index]!.entry.index : 0;
    const refusal = written.kind === 'rejected' ? requests[written.index]!.outcome.refusal ?? rejectedRefusal(written) : rejectedRefusal(written);
    throw written.kind === 'failed' ? refusal : placed(refusal, index);
  }
  return new Map(resolved.map(({ entry, interaction }, position) => {
    const result = written.results[position]!, response = answerTo(result, requests[position]!, interaction, preference, sender.integration.config, base);
    result.answered(String(response.status), !request.signal.aborted);
    return [entry.index, response] as const;
  }));
}

/** Throws FhirRefusal with the place in the Bundle. */
function writingEntry(entry: EntryRequest): WritingEntry {
  try {
    const interaction = interactionOf(entry, mount), { resource } = entry;
    if (resource === undefined) throw new FhirRefusal(400, 'required', 'An entry that writes needs its resource.', { expression: 'resource' });
    if (resource['resourceType'] !== interaction.resourceType) throw new FhirRefusal(400, 'invalid', `request.url is for ${interaction.resourceType}; the resource must have that resourceType.`, { expression: 'resource' });
    checkNames(interaction, resource);
    return { entry, interaction, resource };
  } catch (error) {
    throw error instanceof FhirRefusal ? placed(error, entry.index) : error;
  }
}

/** 'Patient.gender' of the third entry is 'Bundle.entry[2].resource.gender'. */
function placed(refusal: FhirRefusal, index: number): FhirRefusal {
  const [, below] = /^[A-Z][A-Za-z]*(|[.[].*)$/.exec(refusal.expression ?? '') ?? [];
  const expression = below === undefined ? `Bundle.entry[${index}]` : `Bundle.entry[${index}].resource${below}`;
  const status = refusal.status === 404 || refusal.status === 405 ? 422 : refusal.status;
  return new FhirRefusal(status, refusal.code, refusal.message, { expression, headers: refusal.headers });
}

/** No resource may be meant by two entries (R4 http.html#trules). */
function checkOverlap(writing: readonly WritingEntry[]): void {
  const seen = new Map<string, number>();
  for (const { entry, interaction: { resourceType, id, criteria } } of writing) {
    const names = [...(id === undefined ? [] : [`${resourceType}/${id}`]), ...(criteria === undefined ? [] : [`${resourceType}?${criteria.system}|${criteria.value}`]), ...(entry.fullUrl === undefined ? [] : [entry.fullUrl])];
    for (const name of names) {
      const other = seen.get(name);
      if (other !== undefined && other !== entry.index) throw new FhirRefusal(422, 'conflict', `Entries ${other} and ${entry.index} are about the same resource: a transaction must not write one twice.`, { expression: `Bundle.entry[${entry.index}]` });
      seen.set(name, entry.index);
    }
  }
}

function writesFor({ request, bundle }: Transaction, resolved: readonly Resolved[], sender: Sender, isTold: boolean): WriteRequest[] {
  const transaction = uuidV7(), requestId = requestIdOf(request), of = bundle.entry?.length;
  return resolved.map(({ entry, interaction, resource, guards, patientOf }) => {
    const body: Body = { bytes: Buffer.from(JSON.stringify(resource)), mediaType: 'application/fhir+json' };
    const { write, outcome } = writeRequest({
      interaction, body, resource, preconditions: entry, requestId: requestId === undefined ? undefined : `${requestId}/${entry.index}`, facts: { transaction, entry: entry.index, of },
    }, sender, isTold);
    const own = guards(outcome);
    return { outcome, write: { ...write, guards: [...own, ...write.guards], ...(patientOf === undefined ? {} : { patientOf }) } };
  });
}

function refusedMessage({ request, body, peer, principal, receivedAt }: Transaction, integration: InboundMessage<Config>['integration']): InboundMessage<Config> {
  const sha256 = createHash('sha256').update(body.bytes).digest('hex'), requestId = requestIdOf(request);
  return {
    integration, interaction: 'transaction', controlId: `Bundle/${sha256.slice(0, 16)}#${requestId ?? receivedAt.toISOString()}`, peer: { ...peer, application: principal.userId }, receivedAt,
    head: body.bytes, sha256, byteSize: body.bytes.byteLength, facts: { mediaType: body.mediaType, interaction: 'transaction', ...(requestId === undefined ? {} : { requestId }) },
  };
}
