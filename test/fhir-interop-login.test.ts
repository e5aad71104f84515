/** SMART Backend Services in both directions, with jose as the independent side: systems log in here, and we log in at a strict token endpoint. */
import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRemoteJWKSet, exportJWK, exportPKCS8, generateKeyPair, jwtVerify, SignJWT, type CryptoKey, type JWK } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { integrationCommands } from '../src/gateway/integration-commands.ts';
import { createLog } from '../src/log.ts';
import { testGateway, type TestGateway } from './support/gateway.ts';
import { insertIntegration } from './support/pipeline.ts';

const clientId = 'emr-backend', serviceUrl = 'https://gateway.example.org/fhir/r4', audience = `${serviceUrl}/auth/token`;
let gateway: TestGateway, base: string, key: CryptoKey, publicJwk: JWK, integrationId: string, organizationId: string;

const change = async (id: string, settings: object): Promise<void> => {
  await gateway.db.asOwner('UPDATE external_integrations SET settings = $2 WHERE integration_id = $1', [id, JSON.stringify(settings)]);
  await gateway.integrations.reload();
  expect(gateway.integrations.problems()).toEqual([]);
};
const registered = (more: object = {}): object => ({ service_url: serviceUrl, registered_client_id: clientId, registered_jwks: { keys: [publicJwk] }, registered_scopes: 'system/Patient.rs system/DiagnosticReport.rs system/AuditEvent.rs', ...more });

beforeAll(async () => {
  gateway = await testGateway();
  base = `http://127.0.0.1:${gateway.ports.http}`;
  const pair = await generateKeyPair('ES384', { extractable: true });
  key = pair.privateKey;
  publicJwk = { ...await exportJWK(pair.publicKey), kid: 'k1', alg: 'ES384' };
  ({ integrationId, organizationId } = await insertIntegration(gateway.db, 'North', 'EMR', 'fhir-rest'));
  await change(integrationId, registered());
});
afterAll(() => gateway?.stop());

interface Claims { iss?: string; sub?: string; aud?: string; jti?: string | undefined; seconds?: number; kid?: string; algorithm?: string; signer?: CryptoKey | Uint8Array }
async function assertion({ iss = clientId, sub = clientId, aud = audience, seconds = 240, kid = 'k1', algorithm = 'ES384', signer = key, ...more }: Claims = {}): Promise<string> {
  const jwt = new SignJWT('jti' in more && more.jti === undefined ? {} : { jti: more.jti ?? randomUUID() }).setProtectedHeader({ alg: algorithm, kid, typ: 'JWT' }).setIssuer(iss).setSubject(sub).setAudience(aud).setIssuedAt();
  return (seconds === 0 ? jwt : jwt.setExpirationTime(Math.floor(Date.now() / 1000) + seconds)).sign(signer);
}
interface TokenAnswer { status: number; body: any; headers: Headers }
async function login(clientAssertion: string, form: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<TokenAnswer> {
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: clientAssertion, scope: 'system/*.rs', ...form });
  const response = await fetch(`${base}/fhir/r4/auth/token`, { method: 'POST', body, headers });
  return { status: response.status, body: await response.json(), headers: response.headers };
}
const read = async (path: string, token: string): Promise<number> => (await fetch(`${base}/fhir/r4/${path}`, { headers: { authorization: `Bearer ${token}` } })).status;

test('a client with a registered key gets a token for five minutes with the scopes that were asked for and registered, and reads with it', async () => {
  const { status, body, headers } = await login(await assertion(), { scope: 'system/*.rs system/Observation.rs patient/Patient.r launch' });
  expect([status, body]).toEqual([200, { access_token: expect.stringMatching(/^msk_/), token_type: 'bearer', expires_in: 300, scope: 'system/Patient.rs system/DiagnosticReport.rs' }]);
  expect(headers.get('cache-control')).toBe('no-store');
  expect([await read('Patient', body.access_token), await read('Observation', body.access_token), await read('AuditEvent', body.access_token)]).toEqual([200, 403, 403]);
  const [session] = await gateway.db.asOwner<{ seconds: number; token_hash: string }>("SELECT extract(epoch FROM expires_at - created_at)::int AS seconds, token_hash FROM user_sessions WHERE kind = 'api_token'");
  expect(session).toMatchObject({ seconds: 300 });
  await gateway.db.asOwner("UPDATE user_sessions SET expires_at = now() WHERE kind = 'api_token'");
  expect(await read('Patient', body.access_token)).toBe(401);
  const named = await login(await assertion(), { scope: 'system/AuditEvent.rs system/Patient.read' });
  expect(named.body.scope).toBe('system/AuditEvent.rs system/Patient.rs');
  expect(await read('AuditEvent', named.body.access_token)).toBe(200);
  expect(await gateway.db.asOwner("SELECT FROM users WHERE email LIKE 'client-%'")).toHaveLength(1);
});

test('an assertion is taken once, also when it comes twice at the same moment', async () => {
  const once = await assertion();
  const answers = await Promise.all([login(once), login(once), login(once)]);
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 401, 401]);
  expect(answers.find(({ status }) => status === 401)?.body).toMatchObject({ error: 'invalid_client', error_description: expect.stringContaining('used before') });
});

test('refusals are told in the words of OAuth and are on record', async () => {
  const other = await generateKeyPair('ES384'), rsa = await generateKeyPair('RS256');
  const cases: [string, Promise<TokenAnswer>, number, string, RegExp][] = [
    ['another key', assertion({ signer: other.privateKey }).then((jwt) => login(jwt)), 401, 'invalid_client', /signature/],
    ['another algorithm', assertion({ algorithm: 'RS256', signer: rsa.privateKey }).then((jwt) => login(jwt)), 401, 'invalid_client', /RS384 or ES384/],
    ['a shared secret', assertion({ algorithm: 'HS384', signer: new TextEncoder().encode(JSON.stringify(publicJwk)) }).then((jwt) => login(jwt)), 401, 'invalid_client', /RS384 or ES384/],
    ['no signature', Promise.resolve(login(`${btoa('{"alg":"none"}')}.${btoa(JSON.stringify({ iss: clientId }))}.`)), 401, 'invalid_client', /.+/],
    ['another audience', assertion({ aud: 'https://elsewhere.example/token' }).then((jwt) => login(jwt)), 401, 'invalid_client', /claim aud.*gateway\.example\.org/],
    ['the audience of a forged Host', assertion({ aud: `${base}/fhir/r4/auth/token` }).then((jwt) => login(jwt)), 401, 'invalid_client', /claim aud/],
    ['expired', assertion({ seconds: -60 }).then((jwt) => login(jwt)), 401, 'invalid_client', /expired/],
    ['good for too long', assertion({ seconds: 3600 }).then((jwt) => login(jwt)), 401, 'invalid_client', /300 seconds/],
    ['without exp', assertion({ seconds: 0 }).then((jwt) => login(jwt)), 401, 'invalid_client', /exp/],
    ['without jti', assertion({ jti: undefined }).then((jwt) => login(jwt)), 401, 'invalid_client', /jti/],
    ['another subject', assertion({ sub: 'somebody' }).then((jwt) => login(jwt)), 401, 'invalid_client', /sub/],
    ['an unknown client', assertion({ iss: 'nobody', sub: 'nobody' }).then((jwt) => login(jwt)), 401, 'invalid_client', /registered/],
    ['an unknown kid', assertion({ kid: 'k9' }).then((jwt) => login(jwt)), 401, 'invalid_client', /kid/],
    ['no JWT', login('abc'), 401, 'invalid_client', /JWT/],
    ['scopes that are not registered', assertion().then((jwt) => login(jwt, { scope: 'system/Observation.rs system/Patient.c system/Patient.rs?x=1' })), 400, 'invalid_scope', /registered/],
    ['another grant', assertion().then((jwt) => login(jwt, { grant_type: 'password' })), 400, 'unsupported_grant_type', /client_credentials/],
    ['too many bytes', login('x'.repeat(40_000)), 413, 'invalid_request', /bytes/],
  ];
  for (const [title, asked, status, error, words] of cases) {
    const answer = await asked;
    expect([title, answer.status, answer.body]).toEqual([title, status, { error, error_description: expect.stringMatching(words) }]);
  }
  const recorded = await gateway.db.asOwner<{ outcome: string; detail: { reason: string } }>("SELECT outcome, detail FROM audit_logs WHERE event_code = '110114' AND outcome <> 'success'");
  expect(recorded.length).toBeGreaterThanOrEqual(cases.length);
  expect((await fetch(`${base}/fhir/r4/auth/token`)).status).toBe(405);
});

test('a disabled account gets no token, and loses the one it has', async () => {
  const { body } = await login(await assertion());
  await gateway.db.asOwner("UPDATE users SET is_active = false WHERE email LIKE 'client-%'");
  expect(await read('Patient', body.access_token)).toBe(401);
  expect(await login(await assertion())).toMatchObject({ status: 401, body: { error_description: expect.stringContaining('disabled') } });
  await gateway.db.asOwner("UPDATE users SET is_active = true WHERE email LIKE 'client-%'");
});

test('keys may be at a URL, and a key that is new there is found', async () => {
  const rsa = await generateKeyPair('RS384', { extractable: true });
  const jwks = { keys: [publicJwk] as JWK[] };
  const server = await listen((_path, answer) => answer(200, jwks));
  try {
    await change(integrationId, registered({ registered_jwks: undefined, registered_jwks_url: `${urlOf(server)}/jwks` }));
    jwks.keys = [{ ...await exportJWK(rsa.publicKey), kid: 'r1', alg: 'RS384' }];
    expect((await login(await assertion({ algorithm: 'RS384', signer: rsa.privateKey, kid: 'r1' }))).status).toBe(200);
    await change(integrationId, registered({ registered_jwks: undefined, registered_jwks_url: 'http://127.0.0.1:9/jwks' }));
    expect(await login(await assertion())).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
  } finally {
    await close(server);
    await change(integrationId, registered());
  }
});

test('settings that would be unsafe are refused in words', async () => {
  const commands = await integrationCommands({ database: gateway.db.database, keys: gateway.db.keys, log: createLog({ logLevel: 'silent' }) });
  const save = (settings: Record<string, unknown>) => commands.saveIntegration(organizationId, undefined, { name: 'X', kind: 'emr', adapter: 'fhir-rest', direction: 'inbound', settings, isEnabled: true }, { kind: 'system', id: 'test' });
  const secret = { ...await exportJWK(key), kid: 'k1' };
  expect(await save({ service_url: serviceUrl, registered_client_id: 'x', registered_jwks: { keys: [secret] } })).toMatchObject({ kind: 'invalid', errors: [{ message: expect.stringContaining('private') }] });
  expect(await save({ registered_client_id: 'x', registered_jwks: { keys: [publicJwk] } })).toMatchObject({ kind: 'invalid', errors: [{ pointer: '/settings/service_url' }] });
});

test('smart-configuration and the CapabilityStatement name the token endpoint', async () => {
  const configuration = await (await fetch(`${base}/fhir/r4/.well-known/smart-configuration`)).json() as { token_endpoint: string };
  expect(configuration).toMatchObject({ token_endpoint: `${base}/fhir/r4/auth/token`, token_endpoint_auth_methods_supported: ['private_key_jwt'], token_endpoint_auth_signing_alg_values_supported: ['RS384', 'ES384'], capabilities: expect.arrayContaining(['client-confidential-asymmetric']) });
  const statement = await (await fetch(`${base}/fhir/r4/metadata`)).json() as any;
  expect(statement.rest[0].security.extension[0].extension[0].valueUri).toBe(configuration.token_endpoint);
});

test('we log in at a strict token endpoint, with the key that we publish, and with a new assertion each time', async () => {
  const pair = await generateKeyPair('RS384', { extractable: true });
  const seen = new Set<string>(), kids: unknown[] = [], faults: unknown[] = [];
  const server: Server = await listen((path, answer, body, headers) => {
    if (path === '/fhir/metadata' && headers['authorization'] !== 'Bearer granted') return answer(401, { resourceType: 'OperationOutcome', issue: [] });
    if (path === '/fhir/metadata') return answer(200, { resourceType: 'CapabilityStatement', fhirVersion: '4.0.1', rest: [{ mode: 'server', interaction: [{ code: 'transaction' }], resource: [{ type: 'DiagnosticReport', interaction: [{ code: 'create' }, { code: 'update' }] }] }] });
    const form = new URLSearchParams(body);
    const strict = jwtVerify(form.get('client_assertion') ?? '', createRemoteJWKSet(new URL(`${base}/.well-known/jwks.json`)), { algorithms: ['RS384'], issuer: 'gateway', subject: 'gateway', audience: `${urlOf(server)}/token`, maxTokenAge: '5m', requiredClaims: ['exp', 'jti', 'aud'], typ: 'JWT' });
    strict.then(({ payload, protectedHeader }) => {
      if (seen.has(payload.jti!) || !['g1', 'g2'].includes(protectedHeader.kid ?? '') || payload.exp! - payload.iat! > 300 || [...form.keys()].some((name) => name === 'client_id' || name === 'client_secret')) throw new Error('not strict');
      seen.add(payload.jti!);
      kids.push(protectedHeader.kid);
      answer(200, { access_token: 'granted', token_type: 'bearer', expires_in: 60, scope: form.get('scope') });
    }).catch((error: unknown) => { faults.push(error); answer(401, { error: 'invalid_client' }); });
  });
  try {
    const commands = await integrationCommands({ database: gateway.db.database, keys: gateway.db.keys, log: createLog({ logLevel: 'silent' }) });
    const integration = { name: 'Strict EMR', kind: 'emr', adapter: 'fhir-rest', direction: 'outbound', isEnabled: true } as const;
    const saved = await commands.saveIntegration(organizationId, undefined, {
      ...integration, settings: { receives: false, base_url: `${urlOf(server)}/fhir`, authentication: 'private-key-jwt', token_url: `${urlOf(server)}/token`, client_id: 'gateway', key_id: 'g1', private_key: await exportPKCS8(pair.privateKey) },
    }, { kind: 'system', id: 'test' });
    if (saved.kind !== 'saved') throw new Error(JSON.stringify(saved));
    await gateway.integrations.reload();
    for (let round = 1; round <= 2; round += 1) {
      expect(await commands.testIntegration(organizationId, saved.integrationId), String(faults)).toMatchObject({ ok: true });
      expect(seen.size).toBe(round);
    }
    const published = await (await fetch(`${base}/.well-known/jwks.json`)).json() as { keys: Record<string, unknown>[] };
    expect(published.keys).toHaveLength(1);
    expect(Object.keys(published.keys[0]!).toSorted()).toEqual(['alg', 'e', 'key_ops', 'kid', 'kty', 'n', 'use']);
    // The next key is published before it is used, so that a system that keeps our keys for a while knows it by then.
    const login = { receives: false, base_url: `${urlOf(server)}/fhir`, authentication: 'private-key-jwt', token_url: `${urlOf(server)}/token`, client_id: 'gateway' };
    const nextKey = await exportPKCS8((await generateKeyPair('RS384', { extractable: true })).privateKey), kidsNow = async (): Promise<unknown> => (await (await fetch(`${base}/.well-known/jwks.json`)).json() as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
    const change = async (settings: object): Promise<void> => {
      expect((await commands.saveIntegration(organizationId, saved.integrationId, { ...integration, settings: { ...login, ...settings } }, { kind: 'system', id: 'test' })).kind).toBe('saved');
      await gateway.integrations.reload();
      expect(await commands.testIntegration(organizationId, saved.integrationId), String(faults)).toMatchObject({ ok: true });
    };
    await change({ key_id: 'g1', private_key: await exportPKCS8(pair.privateKey), next_key_id: 'g2', next_private_key: nextKey });
    expect([await kidsNow(), kids.at(-1)]).toEqual([['g1', 'g2'], 'g1']);
    await change({ key_id: 'g2', private_key: nextKey, next_key_id: null, next_private_key: null });
    expect([await kidsNow(), kids.at(-1)]).toEqual([['g2'], 'g2']);
  } finally {
    await close(server);
  }
});

type Answer = (status: number, body: object) => void;
async function listen(handle: (path: string, answer: Answer, body: string, headers: Record<string, unknown>) => void): Promise<Server> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => { body += String(chunk); });
    request.on('end', () => handle(request.url ?? '', (status, value) => { response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value)); }, body, request.headers));
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return server;
}
const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const close = (server: Server): Promise<void> => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); });
