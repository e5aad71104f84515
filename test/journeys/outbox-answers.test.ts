/** A receiver's answer is what the receiver wants it to be. One NUL in it stops the outbox, and the report is sent without pause. */
import http from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/gateway.ts';
import { anOrder, changeSettings, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

let journey: Journey;
let posts = 0;
let words = 'Patient Zaphod Beeblebrox is unknown';
const receiver = http.createServer((request, response) => {
  request.resume().on('end', () => {
    if (request.method === 'GET') return response.writeHead(404).end();
    posts += 1;
    return response.writeHead(422, { 'content-type': 'application/fhir+json' }).end(JSON.stringify({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'invalid', diagnostics: words }] }));
  });
});
beforeAll(async () => {
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  journey = await startJourney();
  await changeSettings(journey.gateway, 'EMR', { base_url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/fhir` });
});
afterAll(async () => { await journey?.stop(); receiver.close(); });

const sendStudy = () => journey.hospital.pacs.store(smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber }).objects);
const deliveries = async (): Promise<string[]> =>
  (await journey.gateway.db.asOwner<{ status: string }>("SELECT d.status FROM deliveries d JOIN external_integrations i USING (integration_id) WHERE i.name = 'EMR' ORDER BY d.position")).map((row) => row.status);

test('what a receiver says of a patient is not shown to those who may not see patients', async () => {
  await sendStudy();
  await eventually(async () => (await deliveries())[0] === 'refused');
  const told = await journey.gateway.db.asOwner('SELECT message AS text FROM system_alerts UNION ALL SELECT last_error FROM external_integrations');
  expect(JSON.stringify(told)).not.toContain('Beeblebrox');
});

test('a refusal with a NUL in it parks the report after one attempt', async () => {
  words = 'not \0 known';
  posts = 0;
  await sendStudy();
  await eventually(async () => posts > 0);
  await eventually(async () => (await deliveries())[1] === 'refused', 8_000).catch(() => undefined);
  expect({ status: (await deliveries())[1], posts }).toEqual({ status: 'refused', posts: 1 });
});
