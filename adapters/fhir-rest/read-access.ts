/**
 * Who may read what. A token without scopes reads what its role may; one with scopes only what they say: `system/Observation.rs` (SMART App Launch 2:
 * c r u d s) or `system/*.read` (version 1). Scopes of other kinds say nothing about FHIR.
 */
import type { AdapterContext, Integration, IntegrationDirectory, Principal } from '#gateway/adapter.ts';
import { FhirRefusal } from './answer.ts';
import type { Config } from './config.ts';
import { systemScope } from './scopes.ts';

export type Letter = 'c' | 'r' | 'u' | 'd' | 's';
export interface Access { readonly principal: Principal; readonly integration: Integration<Config> }

/** Throws FhirRefusal 401. */
export async function principalOf(request: Request, context: AdapterContext): Promise<Principal> {
  const token = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(request.headers.get('authorization') ?? '')?.[1];
  const principal = token === undefined ? undefined : await context.authenticate(token);
  if (principal !== undefined) return principal;
  const error = token === undefined ? '' : ', error="invalid_token"';
  throw new FhirRefusal(401, 'login', 'A valid access token is needed: Authorization: Bearer <token>.', { headers: { 'www-authenticate': `Bearer realm="medscan"${error}` } });
}

/** The integration in whose terms the organization is read. Throws FhirRefusal 403. */
export function readingIntegration(principal: Principal, integrations: IntegrationDirectory<Config>): Integration<Config> {
  const own = integrations.all().filter((integration) => integration.organizationId === principal.organizationId && integration.config.serves);
  const named = own.find(({ integrationId }) => principal.scopes?.includes(`integration:${integrationId}`));
  const allowed = named ?? own.find((integration) => integration.config.read_roles.includes(principal.role));
  if (own.length === 0) throw new FhirRefusal(403, 'forbidden', 'No FHIR integration of your organization lets this reader read. An administrator can add one, or its client certificate (tls_subjects).');
  if (allowed === undefined) throw new FhirRefusal(403, 'forbidden', `The role '${principal.role}' may not read resources.`);
  return allowed;
}

export function mayDo({ scopes = [], role }: Principal, type: string, letter: Letter): boolean {
  if (scopes.length === 0) return type !== 'AuditEvent' || role === 'administrator';
  return scopes.some((scope) => allows(scope, type, letter));
}

export function demand(principal: Principal, type: string, letter: Letter): void {
  if (mayDo(principal, type, letter)) return;
  const what = principal.scopes?.length ? `The token's scopes do not hold system/${type}.${letter}.` : `The role '${principal.role}' may not read ${type}.`;
  throw new FhirRefusal(403, 'forbidden', what, { headers: { 'www-authenticate': `Bearer realm="medscan", error="insufficient_scope", scope="system/${type}.${letter}"` } });
}

function allows(scope: string, type: string, letter: Letter): boolean {
  const granted = systemScope(scope);
  return granted !== undefined && (granted.type === '*' ? type !== 'AuditEvent' : granted.type === type) && granted.letters.includes(letter);
}
