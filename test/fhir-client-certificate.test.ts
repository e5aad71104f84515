/** A FHIR integration that names client certificates is open to nobody else, whatever the token. */
import https from 'node:https';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiToken } from '../src/db/user-sessions.ts';
import { certificateDirectory, haveOpenssl, type Certificate } from './support/certificates.ts';
import { testGateway, type TestGateway } from './support/gateway.ts';
import { insertIntegration } from './support/pipeline.ts';

describe.skipIf(!haveOpenssl)(`client certificates of FHIR${haveOpenssl ? '' : ' (openssl is not installed)'}`, () => {
  const certificates = haveOpenssl ? certificateDirectory() : undefined!;
  let gateway: TestGateway, token: string, ca: string, emr: Certificate, other: Certificate, stranger: Certificate, integrationId: string;
  beforeAll(async () => {
    const own = certificates.authority('Gateway CA'), senders = certificates.authority('Senders CA'), server = own.sign('gateway');
    [ca, emr, other, stranger] = [own.cert, senders.sign('emr'), senders.sign('other'), certificates.authority('Nobody CA').sign('emr')];
    gateway = await testGateway({ MEDSCAN_HTTPS_PORT: '0', MEDSCAN_TLS_CERT_FILE: server.certificateFile, MEDSCAN_TLS_KEY_FILE: server.keyFile, MEDSCAN_TLS_CLIENT_CA_FILE: senders.certificateFile });
    ({ integrationId } = await insertIntegration(gateway.db, 'North', 'EMR', 'fhir-rest'));
    ({ token } = await createApiToken(gateway.db.database, { organizationName: 'North', role: 'service', name: 'EMR' }));
  });
  afterAll(async () => {
    await gateway?.stop();
    certificates?.remove();
  });
  const settings = async (value: object): Promise<void> => {
    await gateway.db.asOwner('UPDATE external_integrations SET settings = $2 WHERE integration_id = $1', [integrationId, JSON.stringify(value)]);
    await gateway.integrations.reload();
  };
  const ask = (by: Certificate | undefined, method: string, path: string, body?: string): Promise<number | undefined> => new Promise((resolve, reject) => {
    const request = https.request({ host: '127.0.0.1', port: gateway.ports.https, path, method, ca, ...(by ? { cert: by.cert, key: by.key } : {}), headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' } }, (answer) => { answer.resume().once('end', () => resolve(answer.statusCode)); });
    request.once('error', reject).end(body);
  });
  const patient = JSON.stringify({ resourceType: 'Patient', identifier: [{ value: 'C-1' }] });

  test('the one that is named reads and writes; another, a forged one, none at all and the plain port are refused', async () => {
    await settings({ tls_subjects: ['emr'] });
    const tried = async (by: Certificate | undefined): Promise<(number | undefined)[]> => [await ask(by, 'GET', '/fhir/r4/Patient'), await ask(by, 'POST', '/fhir/r4/Patient', patient)];
    expect(await tried(emr)).toEqual([200, 201]);
    for (const by of [other, stranger, undefined]) expect(await tried(by)).toEqual([403, 403]);
    expect((await fetch(`http://127.0.0.1:${gateway.ports.http}/fhir/r4/Patient`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(403);
    expect(await ask(undefined, 'GET', '/fhir/r4/metadata')).toBe(200);
  });

  test('where none is named any token will do, with a certificate or without', async () => {
    await settings({});
    for (const by of [emr, stranger, undefined]) expect(await ask(by, 'GET', '/fhir/r4/Patient')).toBe(200);
  });
});
