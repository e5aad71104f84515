/** What app.request() cannot see: the API over a real socket, with the bodies that real clients send. */
import http from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { testGateway, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let token: string;
beforeAll(async () => {
  gateway = await testGateway({ MEDSCAN_ROLES: 'api' });
  await gateway.db.asOwner("INSERT INTO organizations (name) VALUES ('HTTP Hospital')");
  ({ token } = await createApiToken(gateway.db.database, { organizationName: 'HTTP Hospital', role: 'administrator', name: 'test' }));
});
afterAll(() => gateway?.stop());

function send(method: string, path: string, headers: Record<string, string>, chunks: readonly string[]): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: gateway.ports.http, method, path, headers: { authorization: `Bearer ${token}`, ...headers } }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => { body += chunk; }).on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.once('error', reject);
    for (const chunk of chunks) request.write(chunk);
    request.end();
  });
}

test('a chunked body is read', async () => {
  const { status, body } = await send('POST', '/api/v1/patients/search', { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }, ['{"na', 'me": "Doe"}']);
  expect([status, body]).toEqual([200, expect.stringContaining('"items":[]')]);
});

test('a POST without a body is answered', async () => {
  const { status } = await send('POST', '/api/v1/audit-logs/verify', {}, []);
  expect(status).toBe(200);
});

test('a FHIR resource sent in chunks is taken up to its answer', async () => {
  const { status, body } = await send('POST', '/fhir/r4/Patient', { 'content-type': 'application/fhir+json', 'transfer-encoding': 'chunked' }, ['{"resourceType":', '"Patient"}']);
  expect([403, 404, 422]).toContain(status);
  expect(body).toContain('OperationOutcome');
});
