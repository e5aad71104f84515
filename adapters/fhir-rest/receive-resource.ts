/**
 * A RESOURCE ENTERS HERE. In: one HTTP request that creates or updates one. Out: an answer that is only a success when it is committed.
 *
 *   route -> token -> integration -> body -> JSON or XML -> validate -> write (commits) -> 201 | 200
 *        \        \            \        \              \         \           \-> 412, 422, 409 | 503 try again
 *         404 405  401          403      413 415        400       422, all issues
 *
 * What is refused after the route is known is recorded too. The body of a request without a valid token is not read.
 */
import { createHash } from 'node:crypto';
import type { AdapterContext, InboundMessage, Integration, IntegrationDirectory, Peer, Principal, Receive, RejectReason } from '#gateway/adapter.ts';
import type { WriteResult } from '#gateway/records.ts';
import { outcome } from '#standards/fhir/operation-outcome.ts';
import { FhirRefusal, answer, refusalAnswer, rejectedRefusal } from './answer.ts';
import { readBody, resourceFrom } from './body.ts';
import type { Body } from './body.ts';
import type { Config } from './config.ts';
import { controlIdOf } from './control-id.ts';
import type { Interaction } from './interaction.ts';
import { preferredReturn } from './negotiate.ts';
import type { Preference } from './negotiate.ts';
import { demand, principalOf } from './read-access.ts';
import { resourceOf } from './record-resources.ts';
import { checkResource, conditionFacts, writeRequest } from './write-request.ts';
import type { Preconditions, Sender, WriteRequest } from './write-request.ts';

/** What is known so far of the message: enough to record a refusal at any step. */
interface Draft { integration: Integration<Config> | undefined; principal: Principal | undefined; body: Body | undefined; /** As it came, and when it is valid. */ read: Record<string, unknown> | undefined; resource: Record<string, unknown> | undefined }

export async function receiveResource(request: Request, interaction: Interaction, peer: Peer, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext, base: string): Promise<Response> {
  const receivedAt = context.now(), requestId = requestIdOf(request);
  const draft: Draft = { integration: undefined, principal: undefined, body: undefined, read: undefined, resource: undefined };
  try {
    const preference = preferredReturn(request);
    const { write, outcome: found } = await readRequest(request, interaction, draft, peer, receivedAt, requestId, integrations, context);
    const written = await writesOf(context).together([write]);
    if (written.kind !== 'committed') throw found.refusal ?? rejectedRefusal(written);
    const [result] = written.results;
    const response = answerTo(result!, { write, outcome: found }, interaction, preference, draft.integration!.config, base);
    result!.answered(String(response.status), !request.signal.aborted);
    return response;
  } catch (error) {
    if (!(error instanceof FhirRefusal) || error.status === 503) throw error;
    const receipt = await receive(refusedMessage(request, interaction, draft, peer, receivedAt, error.status), { reason: reasonOf(error.status), text: error.message, ...(error.expression === undefined ? {} : { location: error.expression }) });
    receipt.answered(String(error.status), !request.signal.aborted);
    return refusalAnswer(error);
  }
}

async function readRequest(request: Request, interaction: Interaction, draft: Draft, peer: Peer, receivedAt: Date, requestId: string | undefined, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<WriteRequest> {
  draft.principal = await principalOf(request, context);
  draft.integration = receivingIntegration(draft.principal, integrations);
  demand(draft.principal, interaction.resourceType, interaction.kind.endsWith('create') ? 'c' : 'u');
  draft.body = await readBody(request, draft.integration.config.maximum_body_bytes);
  const resource = draft.read = await resourceFrom(draft.body);
  checkResource(interaction, resource);
  draft.resource = resource;
  const sender: Sender = { integration: draft.integration, principal: draft.principal, peer, receivedAt };
  return writeRequest({ interaction, body: draft.body, resource, preconditions: preconditionsOf(request), requestId }, sender, preferredReturn(request) === 'representation');
}

export function writesOf(context: AdapterContext): NonNullable<AdapterContext['writes']> {
  if (context.writes === undefined) throw new FhirRefusal(503, 'transient', 'Nothing can be written now.');
  return context.writes;
}

const preconditionsOf = ({ headers }: Request): Preconditions => ({ ifMatch: headers.get('if-match'), ifNoneMatch: headers.get('if-none-match') });

export function requestIdOf(request: Request): string | undefined {
  return request.headers.get('x-request-id')?.slice(0, 200);
}

export function reasonOf(status: number): RejectReason {
  return ({ 400: 'malformed', 401: 'not-allowed', 403: 'not-allowed', 409: 'conflict', 412: 'conflict', 422: 'invalid' } as const satisfies Record<number, RejectReason> as Record<number, RejectReason>)[status] ?? 'unsupported';
}

/** In whose terms the sender's resources are read. Throws FhirRefusal 403. */
export function receivingIntegration(principal: Principal, integrations: IntegrationDirectory<Config>): Integration<Config> {
  const own = integrations.all().filter((integration) => integration.organizationId === principal.organizationId && integration.config.receives);
  const allowed = own.find(({ integrationId }) => principal.scopes?.includes(`integration:${integrationId}`)) ?? own.find((integration) => integration.config.receive_roles.includes(principal.role));
  if (own.length === 0) throw new FhirRefusal(403, 'forbidden', 'No FHIR integration of your organization takes resources from this sender. An administrator can add one, or its client certificate (tls_subjects).');
  if (allowed === undefined) throw new FhirRefusal(403, 'forbidden', `The role '${principal.role}' may not send resources.`);
  return allowed;
}

function refusedMessage(request: Request, interaction: Interaction, draft: Draft, peer: Peer, receivedAt: Date, status: number): InboundMessage<Config> {
  const requestId = requestIdOf(request);
  const head = draft.body?.bytes ?? Buffer.alloc(0), sha256 = createHash('sha256').update(head).digest('hex');
  return {
    integration: draft.integration, interaction: `${interaction.kind.endsWith('create') ? 'create' : 'update'} ${interaction.resourceType}`, controlId: controlIdOf(interaction, draft.resource, { sha256, requestId, receivedAt }),
    peer: { ...peer, ...(draft.principal === undefined ? {} : { application: draft.principal.userId }) }, receivedAt, head, sha256, byteSize: head.byteLength,
    facts: { mediaType: draft.body?.mediaType ?? 'application/fhir+json', ...conditionFacts({ interaction, resource: draft.read, preconditions: preconditionsOf(request) }), ...(requestId === undefined ? {} : { requestId }), ...(status === 412 ? { precondition: 'failed' } : {}) },
  };
}

/** 201 when something came to be that was not here before. */
export function answerTo(result: WriteResult, { outcome: found }: WriteRequest, interaction: Interaction, preference: Preference, config: Config, base: string): Response {
  const { resourceType } = interaction, { record } = result;
  const id = interaction.id ?? record?.id, resource = record === undefined ? undefined : { ...resourceOf(record, config), ...(id === undefined ? {} : { id }) };
  const headers = {
    ...(resource?.meta?.versionId === undefined ? {} : { etag: `W/"${resource.meta.versionId}"` }), ...(record === undefined ? {} : { 'last-modified': new Date(record.updatedAt).toUTCString() }),
    ...(id === undefined ? {} : { location: `${base}/${resourceType}/${id}` }),
  };
  const isNew = result.outcome === 'accepted' && !found.existed;
  const words = result.outcome === 'skipped' ? 'was here before and stays as it is' : result.outcome === 'duplicate' ? 'was received before and has no second effect' : 'is stored';
  const body = preference === 'minimal' ? undefined : preference === 'representation' && resource !== undefined ? resource
    : outcome('information', 'informational', `The ${resourceType} ${words} (exchange ${result.exchangeId}).`);
  return answer(isNew ? 201 : 200, body, headers);
}

