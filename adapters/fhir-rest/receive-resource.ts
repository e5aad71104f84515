/**
 * A PATIENT OR SERVICEREQUEST ENTERS HERE. In: one HTTP request. Out: an answer that is only a success when the resource is committed.
 *
 *   route -> token -> integration -> body -> JSON -> validate -> receive (commits) -> 201 | 200
 *        \        \            \        \       \         \            \-> 422, 409 | 503 try again
 *         404 405  401          403      413 415  400       422, all issues
 *
 * What is refused after the route is known is recorded too. The body of a request without a valid token is not read.
 */
import { createHash } from 'node:crypto';
import type { AdapterContext, InboundMessage, Integration, IntegrationDirectory, Peer, Principal, Receipt, Receive, RejectReason } from '#gateway/adapter.ts';
import { FhirJsonError, defaultJsonLimits, parseFhirJson } from '#standards/fhir/json.ts';
import { issueText, outcome, outcomeOf } from '#standards/fhir/operation-outcome.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import { FhirRefusal, answer, failureAnswer, refusalAnswer } from './answer.ts';
import { readBody } from './body.ts';
import type { Config } from './config.ts';
import { controlIdOf } from './control-id.ts';
import type { Interaction } from './interaction.ts';
import { demand, principalOf } from './read-access.ts';

/** What is known so far of the message: enough to record a refusal at any step. */
interface Draft { integration: Integration<Config> | undefined; principal: Principal | undefined; head: Buffer; resource: Record<string, unknown> | undefined }

export async function receiveResource(request: Request, interaction: Interaction, peer: Peer, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext, base: string): Promise<Response> {
  const receivedAt = context.now();
  const draft: Draft = { integration: undefined, principal: undefined, head: Buffer.alloc(0), resource: undefined };
  try {
    await identifySender(request, interaction, draft, integrations, context);
    await readResource(request, interaction, draft);
  } catch (error) {
    if (!(error instanceof FhirRefusal)) throw error;
    const receipt = await receive(messageOf(request, interaction, draft, peer, receivedAt), {
      reason: reasonOf(error.status), text: error.message, ...(error.expression === undefined ? {} : { location: error.expression }),
    });
    receipt.answered(String(error.status), !request.signal.aborted);
    return refusalAnswer(error);
  }
  const receipt = await receive(messageOf(request, interaction, draft, peer, receivedAt));
  const response = answerTo(request, interaction, draft, receipt, base);
  receipt.answered(String(response.status), !request.signal.aborted);
  return response;
}

function reasonOf(status: number): RejectReason {
  return status === 401 || status === 403 ? 'not-allowed' : status === 400 ? 'malformed' : status === 422 ? 'invalid' : 'unsupported';
}

async function identifySender(request: Request, interaction: Interaction, draft: Draft, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<void> {
  const principal = await principalOf(request, context);
  draft.principal = principal;
  const own = integrations.all().filter((integration) => integration.organizationId === principal.organizationId && integration.config.receives);
  const allowed = own.find(({ integrationId }) => principal.scopes?.includes(`integration:${integrationId}`)) ?? own.find((integration) => integration.config.receive_roles.includes(principal.role));
  if (own.length === 0) throw new FhirRefusal(403, 'forbidden', 'No FHIR integration of your organization takes resources. An administrator can add one.');
  if (allowed === undefined) throw new FhirRefusal(403, 'forbidden', `The role '${principal.role}' may not send resources.`);
  draft.integration = allowed;
  demand(principal, interaction.resourceType, interaction.kind.endsWith('create') ? 'c' : 'u');
}

async function readResource(request: Request, interaction: Interaction, draft: Draft): Promise<void> {
  const maximumBytes = draft.integration?.config.maximum_body_bytes ?? 0;
  draft.head = await readBody(request, maximumBytes);
  const resource = parse(draft.head, maximumBytes);
  if (resource['resourceType'] !== interaction.resourceType) throw new FhirRefusal(400, 'invalid', `The URL is for ${interaction.resourceType}; the resource in the body must have that resourceType.`, { expression: 'resourceType' });
  const issues = validateResource(resource);
  const [first] = issues;
  if (first !== undefined) throw new FhirRefusal(422, first.code, issueText(first), { expression: first.expression, all: outcomeOf(issues) });
  if (interaction.id !== undefined && resource['id'] !== interaction.id) throw new FhirRefusal(400, 'invalid', 'The id in the resource must be the id in the URL.', { expression: `${interaction.resourceType}.id` });
  draft.resource = resource;
  const { criteria } = interaction;
  const identifiers = (resource['identifier'] ?? []) as readonly { system?: string; value?: string }[];
  if (criteria !== undefined && !identifiers.some((identifier) => (identifier.system ?? '') === criteria.system && identifier.value === criteria.value)) {
    throw new FhirRefusal(422, 'business-rule', 'The resource must carry the identifier that the condition names.', { expression: `${interaction.resourceType}.identifier` });
  }
}

function parse(bytes: Buffer, byteLength: number): Record<string, unknown> {
  try {
    return parseFhirJson(bytes, { ...defaultJsonLimits, byteLength });
  } catch (error) {
    if (error instanceof FhirJsonError) throw new FhirRefusal(400, 'structure', error.message);
    throw error;
  }
}

function messageOf(request: Request, interaction: Interaction, draft: Draft, peer: Peer, receivedAt: Date): InboundMessage<Config> {
  const sha256 = createHash('sha256').update(draft.head).digest('hex');
  const requestId = request.headers.get('x-request-id')?.slice(0, 200);
  return {
    integration: draft.integration, interaction: `${interaction.kind.endsWith('create') ? 'create' : 'update'} ${interaction.resourceType}`,
    controlId: controlIdOf(interaction, draft.resource, { sha256, requestId, receivedAt }),
    peer: { ...peer, ...(draft.principal === undefined ? {} : { application: draft.principal.userId }) },
    receivedAt, head: draft.head, sha256, byteSize: draft.head.byteLength,
    facts: {
      mediaType: 'application/fhir+json', interaction: interaction.kind,
      ...(interaction.id === undefined ? {} : { id: interaction.id }), ...(requestId === undefined ? {} : { requestId }),
    },
  };
}

function answerTo(request: Request, interaction: Interaction, draft: Draft, receipt: Receipt, base: string): Response {
  if (receipt.kind === 'rejected' || receipt.kind === 'failed') return failureAnswer(receipt);
  const isNew = receipt.kind === 'accepted' && interaction.kind.endsWith('create');
  const id = interaction.id ?? receipt.links[interaction.resourceType === 'Patient' ? 'patients' : 'scans'];
  const etag = createHash('sha256').update(draft.head).digest('hex').slice(0, 16);
  const headers = { etag: `W/"${etag}"`, ...(id === undefined ? {} : { location: `${base}/${interaction.resourceType}/${id}` }) };
  const words = receipt.kind === 'duplicate' ? 'was received before and has no second effect' : 'is stored';
  const body = /return=minimal/.test(request.headers.get('prefer') ?? '') ? undefined
    : outcome('information', 'informational', `The ${interaction.resourceType} ${words}${receipt.exchangeId === undefined ? '' : ` (exchange ${receipt.exchangeId})`}.`);
  return answer(isNew ? 201 : 200, body, headers);
}
