/**
 * A system logs in here (SMART App Launch 2, Backend Services; RFC 7523): client_credentials with an assertion signed by a key that the integration
 * registered, inline or by URL. Out: a token for 5 minutes with the scopes that were both asked for and registered.
 *
 *   RS384 or ES384, iss = sub = registered_client_id, aud = service_url + /auth/token, exp within 5 minutes, each jti once
 *
 * The audience is configured and not taken from the request: an assertion made for another server must not be good here because of a Host header.
 */
import { createLocalJWKSet, createRemoteJWKSet, customFetch, decodeJwt, errors, jwtVerify } from 'jose';
import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import type { AdapterContext, Integration, IntegrationDirectory, Peer } from '#gateway/adapter.ts';
import type { Config } from './config.ts';
import { openConnection } from './connection.ts';
import { grantedScopes } from './scopes.ts';

export const tokenPath = '/auth/token';
export const assertionAlgorithms = ['RS384', 'ES384'];
const lifetimeSeconds = 300, mostAssertionSeconds = 300, toleranceSeconds = 10, mostBytes = 32_768;

/** RFC 6749 5.2. `reason` goes on record. */
class TokenRefusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly integration: Integration<Config> | undefined;
  constructor(status: number, code: string, text: string, integration?: Integration<Config>) {
    super(text);
    this.status = status;
    this.code = code;
    this.integration = integration;
  }
}

export async function answerTokenRequest(request: Request, peer: Peer, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<Response> {
  try {
    return json(200, await issue(request, peer, integrations, context));
  } catch (error) {
    if (!(error instanceof TokenRefusal)) throw error;
    const { integration, code } = error;
    await context.tokens?.refused({ organizationId: integration?.organizationId, integrationId: integration?.integrationId, address: peer.address, reason: `${code}: ${error.message}` });
    return json(error.status, { error: code, error_description: error.message });
  }
}

async function issue(request: Request, peer: Peer, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<object> {
  const form = await readForm(request);
  if (form.get('grant_type') !== 'client_credentials') throw new TokenRefusal(400, 'unsupported_grant_type', 'grant_type must be client_credentials');
  if (form.get('client_assertion_type') !== 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer') throw new TokenRefusal(400, 'invalid_request', 'client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
  const { integration, payload } = await verified(form.get('client_assertion') ?? '', integrations, context);
  const scopes = grantedScopes(form.get('scope') ?? '', integration.config.registered_scopes);
  if (scopes.length === 0) throw new TokenRefusal(400, 'invalid_scope', 'none of the scopes that were asked for is registered for this client; they look like system/DiagnosticReport.rs', integration);
  const { organizationId, integrationId, name } = integration;
  const issued = await context.tokens?.issue({ organizationId, integrationId, name, address: peer.address, scopes, lifetimeSeconds, assertionId: payload.jti ?? '' });
  if (issued === undefined) throw new TokenRefusal(503, 'temporarily_unavailable', 'tokens cannot be issued now', integration);
  if (issued === 'replayed') throw new TokenRefusal(401, 'invalid_client', 'this assertion was used before: make a new one, with a new jti, for each request', integration);
  if (issued === 'disabled') throw new TokenRefusal(401, 'invalid_client', 'the account of this client is disabled', integration);
  return { access_token: issued.token, token_type: 'bearer', expires_in: lifetimeSeconds, scope: scopes.join(' ') };
}

async function readForm(request: Request): Promise<URLSearchParams> {
  if (request.method !== 'POST') throw new TokenRefusal(405, 'invalid_request', 'the token endpoint takes POST');
  if (!/^application\/x-www-form-urlencoded\b/i.test(request.headers.get('content-type') ?? '')) throw new TokenRefusal(400, 'invalid_request', 'the body must be application/x-www-form-urlencoded');
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  for await (const chunk of request.body ?? []) {
    byteLength += chunk.byteLength;
    if (byteLength > mostBytes) throw new TokenRefusal(413, 'invalid_request', `the body has more than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  const form = new URLSearchParams(Buffer.concat(chunks).toString());
  for (const name of ['grant_type', 'client_assertion', 'scope']) if (form.getAll(name).length > 1) throw new TokenRefusal(400, 'invalid_request', `${name} comes twice`);
  return form;
}

/** Two organizations may know a client by the same name: the one whose keys fit is meant. */
async function verified(assertion: string, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<{ integration: Integration<Config>; payload: JWTPayload }> {
  const client = claimedClient(assertion);
  const candidates = integrations.all().filter(({ config }) => config.registered_client_id === client);
  if (client === undefined || candidates.length === 0) throw new TokenRefusal(401, 'invalid_client', 'client_assertion is not a JWT of a client that is registered here');
  let refusal: TokenRefusal | undefined;
  for (const integration of candidates) {
    const { config } = integration;
    try {
      const { payload } = await jwtVerify(assertion, keysOf(integration), {
        algorithms: assertionAlgorithms, issuer: client, subject: client, audience: `${(config.service_url ?? '').replace(/\/+$/, '')}${tokenPath}`, clockTolerance: toleranceSeconds,
        requiredClaims: ['iss', 'sub', 'aud', 'exp', 'jti'], currentDate: context.now(),
      });
      const seconds = (payload.exp ?? 0) - context.now().getTime() / 1000;
      if (seconds > mostAssertionSeconds + toleranceSeconds) throw new TokenRefusal(401, 'invalid_client', `exp is more than ${mostAssertionSeconds} seconds ahead`, integration);
      if (typeof payload.jti !== 'string' || payload.jti === '' || payload.jti.length > 255) throw new TokenRefusal(401, 'invalid_client', 'jti must be a text of 1 to 255 characters', integration);
      return { integration, payload };
    } catch (error) {
      refusal = error instanceof TokenRefusal ? error : refusalFor(error, integration);
    }
  }
  throw refusal ?? new TokenRefusal(401, 'invalid_client', 'the assertion cannot be verified');
}

function claimedClient(assertion: string): string | undefined {
  try {
    return decodeJwt(assertion).iss;
  } catch {
    return undefined;
  }
}

function refusalFor(error: unknown, integration: Integration<Config>): TokenRefusal {
  if (error instanceof errors.JWTExpired) return new TokenRefusal(401, 'invalid_client', 'the assertion is expired', integration);
  if (error instanceof errors.JWTClaimValidationFailed) return new TokenRefusal(401, 'invalid_client', `the claim ${error.claim} is missing or wrong${error.claim === 'aud' ? `: it must be ${integration.config.service_url?.replace(/\/+$/, '')}${tokenPath}` : ''}`, integration);
  if (error instanceof errors.JOSEAlgNotAllowed) return new TokenRefusal(401, 'invalid_client', `the assertion must be signed with ${assertionAlgorithms.join(' or ')}`, integration);
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return new TokenRefusal(401, 'invalid_client', 'no registered key has the kid and algorithm of the assertion', integration);
  if (error instanceof errors.JWSSignatureVerificationFailed) return new TokenRefusal(401, 'invalid_client', 'the signature does not fit the registered key', integration);
  if (error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError)) return new TokenRefusal(503, 'temporarily_unavailable', 'the keys at registered_jwks_url cannot be read now', integration);
  return new TokenRefusal(401, 'invalid_client', 'the assertion or the registered key set cannot be used', integration);
}

/** Key sets of URLs, kept for 10 minutes; an unknown kid reads them again, at most every 30 seconds. */
const remote = new Map<string, JWTVerifyGetKey>();
const mostRemote = 256;

function keysOf({ config }: Integration<Config>): JWTVerifyGetKey {
  if (config.registered_jwks !== undefined) return createLocalJWKSet(config.registered_jwks as never);
  const url = config.registered_jwks_url ?? '';
  const known = remote.get(url);
  if (known !== undefined) return known;
  const dispatcher = openConnection({ ...config, maximum_answer_bytes: 262_144, request_timeout_milliseconds: 5000 });
  const keys = createRemoteJWKSet(new URL(url), {
    timeoutDuration: 5000, cooldownDuration: 30_000, cacheMaxAge: 600_000,
    [customFetch]: (address, options) => fetch(address, { ...options, redirect: 'manual', dispatcher } as unknown as RequestInit),
  });
  if (remote.size >= mostRemote) remote.clear();
  remote.set(url, keys);
  return keys;
}

function json(status: number, body: object): Response {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache', 'x-content-type-options': 'nosniff' };
  return new Response(JSON.stringify(body), { status, headers: status === 405 ? { ...headers, allow: 'POST' } : headers });
}
