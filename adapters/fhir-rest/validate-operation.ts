/** $validate (R4 resource-operation-validate.html): is this resource one that would be taken? Nothing is stored and nothing put on record. */
import type { AdapterContext, IntegrationDirectory } from '#gateway/adapter.ts';
import { outcome, outcomeOf } from '#standards/fhir/operation-outcome.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import { FhirRefusal, answer } from './answer.ts';
import { readBody, resourceFrom } from './body.ts';
import type { Config } from './config.ts';
import { principalOf } from './read-access.ts';
import { servedType } from './served-types.ts';

/** Always 200 with an OperationOutcome, also for an invalid resource. `type` is that of the URL, if it names one; 404 where it is none that is here. */
export async function validate(request: Request, type: string | undefined, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<Response> {
  if (type !== undefined) servedType(type);
  const { organizationId } = await principalOf(request, context);
  const integration = integrations.all().find((candidate) => candidate.organizationId === organizationId);
  if (integration === undefined) throw new FhirRefusal(403, 'forbidden', 'Your organization has no FHIR integration. An administrator can add one.');
  const resource = resourceIn(await resourceFrom(await readBody(request, integration.config.maximum_body_bytes)));
  const issues = validateResource(resource);
  if (issues.length > 0) return answer(200, outcomeOf(issues));
  if (type !== undefined && resource?.['resourceType'] !== type) return answer(200, outcome('error', 'invalid', `The resource is no ${type}.`, 'resourceType'));
  return answer(200, outcome('information', 'informational', 'The resource is valid FHIR R4: structure, required bindings, invariants. Profiles and other terminology are not checked.'));
}

/** The resource itself, or the parameter `resource` of a Parameters resource. */
function resourceIn(body: Record<string, unknown>): Record<string, unknown> | undefined {
  if (body['resourceType'] !== 'Parameters') return body;
  const parameters = Array.isArray(body['parameter']) ? body['parameter'] as { name?: unknown; resource?: Record<string, unknown> }[] : [];
  const found = parameters.find(({ name }) => name === 'resource')?.resource;
  if (found === undefined) throw new FhirRefusal(400, 'required', 'Parameters must hold a parameter named resource.', { expression: 'Parameters.parameter' });
  return found;
}
