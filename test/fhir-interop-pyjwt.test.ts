/**
 * SMART Backend Services in both directions with PyJWT (python3-jwt on Debian), which shares no code with the jose that the gateway uses: its assertions
 * are taken here, and ours stand its checks against the keys that we publish.
 */
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { integrationCommands } from '../src/gateway/integration-commands.ts';
import { createLog } from '../src/log.ts';
import { testGateway, type TestGateway } from './support/gateway.ts';
import { insertIntegration } from './support/pipeline.ts';

const python = ['python3', '/usr/bin/python3'].find((each) => spawnSync(each, ['-c', 'import jwt, cryptography']).status === 0);
if (python === undefined) process.stderr.write('SMART with PyJWT: no python3 with jwt and cryptography (Debian: python3-jwt); its tests are skipped\n');

/** argv: ES384 or RS384, client, audience. Prints the public key set and one assertion. */
const SIGN = `
import sys, json, time, uuid, jwt
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
algorithm, client, audience = sys.argv[1:4]
key = ec.generate_private_key(ec.SECP384R1()) if algorithm == 'ES384' else rsa.generate_private_key(public_exponent=65537, key_size=2048)
public = key.public_key()
if algorithm == 'ES384':
    import base64
    n = public.public_numbers()
    part = lambda value: base64.urlsafe_b64encode(value.to_bytes(48, 'big')).rstrip(b'=').decode()
    jwk = {'kty': 'EC', 'crv': 'P-384', 'x': part(n.x), 'y': part(n.y)}
else:
    jwk = json.loads(RSAAlgorithm.to_jwk(public))
jwk.update(kid='py-1', alg=algorithm, use='sig', key_ops=['verify'])
now = int(time.time())
claims = {'iss': client, 'sub': client, 'aud': audience, 'iat': now, 'exp': now + 240, 'jti': str(uuid.uuid4())}
print(json.dumps({'jwks': {'keys': [jwk]}, 'assertion': jwt.encode(claims, key, algorithm=algorithm, headers={'kid': 'py-1', 'typ': 'JWT'})}))
`;
/** argv: key set, assertion, client, audience. Prints the claims; fails when anything is not as SMART wants it. */
const VERIFY = `
import sys, json, jwt
jwks, assertion, client, audience = sys.argv[1:5]
header = jwt.get_unverified_header(assertion)
key = next(k for k in jwt.PyJWKSet.from_json(jwks).keys if k.key_id == header['kid'])
claims = jwt.decode(assertion, key.key, algorithms=['RS384', 'ES384'], audience=audience, issuer=client, options={'require': ['exp', 'iss', 'sub', 'aud', 'jti']})
assert claims['sub'] == client and header['typ'] == 'JWT' and claims['exp'] - claims.get('iat', claims['exp']) <= 300
print(json.dumps({'claims': claims, 'algorithm': header['alg']}))
`;
function run(program: string, ...values: string[]): any {
  const { status, stdout, stderr } = spawnSync(python!, ['-c', program, ...values], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

describe.skipIf(python === undefined)('SMART Backend Services with PyJWT', () => {
  const serviceUrl = 'https://gateway.example.org/fhir/r4', client = 'emr';
  let gateway: TestGateway, base: string, organizationId: string, integrationId: string;
  beforeAll(async () => {
    gateway = await testGateway();
    base = `http://127.0.0.1:${gateway.ports.http}`;
    ({ integrationId, organizationId } = await insertIntegration(gateway.db, 'North', 'EMR', 'fhir-rest'));
  });
  afterAll(() => gateway?.stop());

  test.each(['ES384', 'RS384'])('its %s assertion gets a token that reads and writes what its scopes say, and nothing else', async (algorithm) => {
    const { jwks, assertion } = run(SIGN, algorithm, client, `${serviceUrl}/auth/token`);
    await gateway.db.asOwner('UPDATE external_integrations SET settings = $2 WHERE integration_id = $1', [integrationId, JSON.stringify({ service_url: serviceUrl, registered_client_id: client, registered_jwks: jwks, registered_scopes: 'system/Patient.crus' })]);
    await gateway.integrations.reload();
    expect(gateway.integrations.problems()).toEqual([]);
    const login = (): Promise<Response> => fetch(`${base}/fhir/r4/auth/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'system/Patient.crus system/Observation.rs', client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: assertion }) });
    const answer = await login(), { access_token: token, scope } = await answer.json() as { access_token: string; scope: string };
    expect([answer.status, scope]).toEqual([200, 'system/Patient.crus']);
    expect((await login()).status).toBe(401); // an assertion is taken once
    const ask = async (method: string, path: string, body?: object): Promise<number> => (await fetch(`${base}/fhir/r4/${path}`, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' }, ...(body ? { body: JSON.stringify(body) } : {}) })).status;
    expect(await ask('POST', 'Patient', { resourceType: 'Patient', identifier: [{ value: algorithm }] })).toBe(201);
    expect(await ask('GET', `Patient?identifier=${algorithm}`)).toBe(200);
    expect(await ask('GET', 'Observation')).toBe(403);
    expect(await ask('POST', 'Condition', { resourceType: 'Condition', subject: { identifier: { value: algorithm } } })).toBe(403);
    const bundle = { resourceType: 'Bundle', type: 'transaction', entry: [{ request: { method: 'POST', url: 'Patient' }, resource: { resourceType: 'Patient', identifier: [{ value: 'IN' }] } }, { request: { method: 'POST', url: 'Condition' }, resource: { resourceType: 'Condition', code: { text: 'x' }, subject: { identifier: { value: 'IN' } } } }] };
    expect(await ask('POST', '', bundle)).toBe(403);
    expect(await gateway.db.asOwner("SELECT FROM patients WHERE patient_number = 'IN'")).toEqual([]);
  });

  test.each(['ES384', 'RS384'] as const)('our %s assertion stands its checks against the keys that we publish', async (algorithm) => {
    const assertions: string[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => { body += String(chunk); });
      request.on('end', () => {
        const assertion = new URLSearchParams(body).get('client_assertion');
        if (assertion !== null) assertions.push(assertion);
        const statement = { resourceType: 'CapabilityStatement', fhirVersion: '4.0.1', rest: [{ mode: 'server', interaction: [{ code: 'transaction' }], resource: [{ type: 'DiagnosticReport', interaction: [{ code: 'create' }, { code: 'update' }] }] }] };
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(assertion === null ? statement : { access_token: 'granted', token_type: 'bearer', expires_in: 60 }));
      });
    });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const { privateKey } = algorithm === 'ES384' ? generateKeyPairSync('ec', { namedCurve: 'P-384' }) : generateKeyPairSync('rsa', { modulusLength: 2048 });
      const commands = await integrationCommands({ database: gateway.db.database, keys: gateway.db.keys, log: createLog({ logLevel: 'silent' }) });
      const saved = await commands.saveIntegration(organizationId, undefined, {
        name: `EMR ${algorithm}`, kind: 'emr', adapter: 'fhir-rest', direction: 'outbound', isEnabled: true,
        settings: { receives: false, base_url: `${url}/fhir`, authentication: 'private-key-jwt', token_url: `${url}/token`, client_id: 'gateway', key_id: `k-${algorithm}`, signing_algorithm: algorithm, private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string },
      }, { kind: 'system', id: 'test' });
      if (saved.kind !== 'saved') throw new Error(JSON.stringify(saved));
      await gateway.integrations.reload();
      expect(await commands.testIntegration(organizationId, saved.integrationId)).toMatchObject({ ok: true });
      const published = await (await fetch(`${base}/.well-known/jwks.json`)).text();
      expect(run(VERIFY, published, assertions[0]!, 'gateway', `${url}/token`)).toMatchObject({ algorithm, claims: { iss: 'gateway', aud: `${url}/token` } });
    } finally {
      await new Promise<void>((resolve) => { server.close(() => resolve()); server.closeAllConnections(); });
    }
  });
});
