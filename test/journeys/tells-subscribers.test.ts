/** From the image to the subscriber: who asked to hear of results is told of a report that the models made, and reads it by what it was told. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { eventually } from '../support/gateway.ts';
import { anOrder, delivered, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

let journey: Journey, token: string;
beforeAll(async () => {
  journey = await startJourney();
  token = (await createApiToken(journey.gateway.db.database, { organizationName: journey.seeded.organizationName, role: 'service', name: 'EMR', scopes: undefined })).token;
});
afterAll(() => journey?.stop());

async function ask(method: string, path: string, body?: object): Promise<{ status: number; body: any }> {
  const response = await fetch(`http://127.0.0.1:${journey.gateway.ports.http}/fhir/r4/${path}`, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  return { status: response.status, body: await response.json() };
}

test('a report that the pipeline made is an event, and its focus can be read', async () => {
  const { status, body: { id } } = await ask('POST', 'Subscription', {
    resourceType: 'Subscription', status: 'requested', reason: 'results', criteria: 'urn:medscan:subscription-topic:result-ready',
    channel: { type: 'websocket', payload: 'application/fhir+json', _payload: { extension: [{ url: 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content', valueCode: 'id-only' }] } },
  });
  expect(status).toBe(201);
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await journey.hospital.ris.register(patient);
  await journey.hospital.ris.order(patient, order);
  await journey.hospital.pacs.store(study.objects);
  await delivered(journey.gateway, study.studyInstanceUid);
  const told = await eventually(async () => { const { body } = await ask('GET', `Subscription/${id}/$events`); return body.entry.length > 1 ? body : undefined; });
  const [event] = told.entry[0].resource.parameter.filter(({ name }: { name: string }) => name === 'notification-event');
  expect(event.part[0]).toEqual({ name: 'event-number', valueString: '1' });
  const report = await ask('GET', `DiagnosticReport/${told.entry[1].fullUrl.split('/').at(-1)}`);
  expect([report.status, report.body.resourceType, report.body.status]).toEqual([200, 'DiagnosticReport', 'preliminary']);
  expect(JSON.stringify(report.body)).toContain(order.accessionNumber);
});
