import { beforeEach, expect, test } from 'vitest';
import { NormalizeError } from '#gateway/adapter.ts';
import type { AdapterContext, InboundMessage, Integration, IntegrationDirectory, Peer, Principal, Receipt, ReceiptBody, Receive, Refusal, StoredMessage } from '#gateway/adapter.ts';
import type { Normalized } from '#gateway/normalized.ts';
import type { RecordRow, Writes, Written } from '#gateway/records.ts';
import { createMapper } from '#mapping/mapper.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import adapter from './adapter.ts';
import type { Config } from './config.ts';
import { sampleConfig } from './testcases/sample-report.ts';

const map = createMapper(new URL('../../mappings', import.meta.url).pathname);
const principals: Readonly<Record<string, Principal>> = {
  good: { organizationId: 'org-1', userId: 'user-1', role: 'service', name: 'EMR' },
  reader: { organizationId: 'org-1', userId: 'user-2', role: 'radiologist', name: 'R' },
  stranger: { organizationId: 'org-2', userId: 'user-3', role: 'service', name: 'S' },
};
const log = { debug() {}, info() {}, warn() {}, error() {} };
let now = new Date('2026-01-05T10:00:00Z');
const context: AdapterContext = {
  writes: { together: (asked) => together(asked) },
  log, signal: new AbortController().signal, now: () => now, store: () => Promise.reject(new Error('not used')),
  authenticate: (token) => Promise.resolve(principals[token]),
};
const peer: Peer = { address: '192.0.2.7', port: 50_000 };
const integration: Integration<Config> = { integrationId: 'int-1', organizationId: 'org-1', name: 'EMR', config: sampleConfig({ assigning_authority: 'DEFAULT' }) };
const integrations: IntegrationDirectory<Config> = { all: () => [integration] };

interface Received { message: InboundMessage<Config>; refusal: Refusal | undefined; normalized: Normalized | undefined; answers: string[] }
let received: Received[], result: () => Exclude<Written, { kind: 'committed' }> | undefined;
beforeEach(() => {
  received = [];
  result = () => undefined;
});

/** Does what the gateway's receive does with a refusal: puts it on record. */
const receive: Receive = async (anyMessage, refusal) => {
  const entry: Received = { message: anyMessage as InboundMessage<Config>, refusal, normalized: undefined, answers: [] };
  received.push(entry);
  const receipt = (body: ReceiptBody): Receipt => ({ ...body, exchangeId: 'x-1', answered: (code, heard) => { entry.answers.push(`${code} ${heard}`); } });
  return receipt({ kind: 'rejected', reason: refusal?.reason ?? 'not-allowed', text: refusal?.text ?? '' });
};

/** Does what the gateway's writes do, without a database: normalizes, finds nothing that was here before; same id and bytes twice is a duplicate. */
const together: Writes['together'] = async ([write]) => {
  const message = write!.message as InboundMessage<Config>;
  const entry: Received = { message, refusal: undefined, normalized: undefined, answers: [] };
  const isRepeat = received.some((earlier) => earlier.normalized !== undefined && earlier.message.controlId === message.controlId && earlier.message.sha256 === message.sha256);
  const failure = result();
  if (failure !== undefined) return failure;
  try {
    entry.normalized = await adapter.inbound?.normalize(message as StoredMessage<Config>, map);
  } catch (error) {
    if (!(error instanceof NormalizeError)) throw error;
    return { kind: 'rejected', index: 0, reason: error.reason, text: error.message, ...(error.location === undefined ? {} : { location: error.location }) };
  }
  received.push(entry);
  for (const guard of write!.guards) guard.judge([]);
  return { kind: 'committed', results: [{ exchangeId: 'x-1', outcome: isRepeat ? 'duplicate' : 'accepted', record: stored[write!.kind as 'patient'], answered: (code, heard) => { entry.answers.push(`${code} ${heard}`); } }] };
};
const updatedAt = '2026-01-05T10:00:00.000Z';
const stored: Partial<Record<'patient' | 'order', RecordRow>> = {
  patient: { kind: 'patient', id: 'p-1', updatedAt, patient: { patientId: 'p-1', patientNumber: '7', identifiers: [] }, oldIdentifiers: [], isActive: true, mergedInto: undefined, deceased: undefined },
  order: {
    kind: 'order', id: 's-1', updatedAt, patientId: 'p-1', scan: { scanId: 's-1', scanNumber: 'S1', studyInstanceUid: '', modalities: [], series: [] }, orderStatus: 'ordered', isDone: false, priority: 'routine', reason: undefined,
    scheduledAt: undefined, createdAt: updatedAt,
  },
};

interface Sent { token?: string | undefined; headers?: Record<string, string>; body?: unknown }
async function send(method: string, path: string, { token = 'good', headers = {}, body }: Sent = {}): Promise<{ response: Response; body: { resourceType?: string; issue: { code: string; diagnostics: string; expression?: string[] }[] } }> {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const request = new Request(`http://gateway.example/fhir/r4/${path}`, {
    method, ...(text === undefined ? {} : { body: text }), headers: { ...(token === '' ? {} : { authorization: `Bearer ${token}` }), 'content-type': 'application/fhir+json', ...headers },
  });
  const { inbound } = adapter;
  if (inbound?.transport !== 'http') throw new Error('no http inbound');
  const response = await inbound.handle(request, peer, integrations, receive, context);
  const answer = await response.text();
  return { response, body: answer === '' ? { issue: [] } : JSON.parse(answer) as never };
}

const patient = {
  resourceType: 'Patient', active: true,
  identifier: [{ use: 'old', system: 'urn:oid:9', value: 'OLD' }, { system: 'urn:oid:1.2.3.4', value: '7', type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'MR' }] } }, { value: '8' }],
  name: [{ use: 'nickname', given: ['Addy'] }, { use: 'official', family: 'Ng', given: ['Ada', 'B'] }], gender: 'female', birthDate: '1980-05',
  telecom: [{ system: 'phone', value: '1', use: 'home' }], address: [{ line: ['A', 'B'], city: 'C', postalCode: 'D' }], deceasedDateTime: '2026-01-01',
};
const order = {
  resourceType: 'ServiceRequest', status: 'active', intent: 'order', priority: 'asap', subject: { identifier: { system: 'urn:oid:1.2.3.4', value: '7' } },
  identifier: [{ type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] }, value: 'ACC-1' }], code: { coding: [{ system: 'http://loinc.org', code: '36643-5', display: 'XR Chest 2 Views' }] },
  orderDetail: [{ coding: [{ system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'DX' }] }], occurrenceDateTime: '2026-01-06T08:00:00+01:00', reasonCode: [{ text: 'Dyspnoea' }], requester: { display: 'Dr. No' },
};

test('a new Patient is answered 201 with its Location and becomes a patient row, medical record number first, retired ones last', async () => {
  const { response, body } = await send('POST', 'Patient', { body: patient });
  expect([response.status, response.headers.get('location'), response.headers.get('cache-control'), body.resourceType]).toEqual([201, 'http://gateway.example/fhir/r4/Patient/p-1', 'no-store', 'OperationOutcome']);
  expect(response.headers.get('etag')).toMatch(/^W\/"[0-9a-f]{16}"$/);
  expect(received[0]?.normalized).toMatchObject({
    authority: 'registration', mapping: 'fhir-patient-to-rows@1.0.0',
    patient: {
      identifiers: [{ value: '7', assigning_authority: 'HOSP', type_code: 'MR' }, { value: '8', assigning_authority: 'DEFAULT' }, { value: 'OLD', assigning_authority: 'urn:oid:9' }],
      family_name: 'Ng', given_name: 'Ada', middle_name: 'B', sex: 'female', birth_date: '1980-05', active: true, deceased: true,
      telecom: [{ system: 'phone', value: '1', use: 'home' }], address: [{ line: 'A', line2: 'B', city: 'C', postal_code: 'D' }],
    },
  });
  expect(received[0]).toMatchObject({ message: { interaction: 'create Patient', peer: { application: 'user-1' }, integration }, answers: ['201 true'] });
  expect(received[0]?.message.controlId).toMatch(/^Patient\/urn:oid:1\.2\.3\.4\|7#[0-9a-f]{16}$/);
});

test('the same Patient sent again is answered 200 with the same Location; changed content is another message', async () => {
  await send('POST', 'Patient', { body: patient });
  const again = await send('POST', 'Patient', { body: patient });
  expect([again.response.status, again.response.headers.get('location')]).toEqual([200, 'http://gateway.example/fhir/r4/Patient/p-1']);
  expect((await send('POST', 'Patient', { body: { ...patient, gender: 'other' } })).response.status).toBe(201);
});

test('an update that puts earlier content back is not taken for a repeat, one with the same X-Request-Id is', async () => {
  const put = (gender: string, headers = {}): Promise<unknown> => {
    now = new Date(now.getTime() + 1000);
    return send('PUT', 'Patient/abc', { body: { ...patient, id: 'abc', gender }, headers });
  };
  await put('male');
  await put('female');
  await put('male');
  expect(new Set(received.map(({ message }) => message.controlId)).size).toBe(3);
  await put('other', { 'x-request-id': 'r1' });
  await put('other', { 'x-request-id': 'r1' });
  expect(received[3]?.message.controlId).toBe(received[4]?.message.controlId);
});

test('an order finds its patient by identifier, by an id that was PUT, or contained', async () => {
  await send('PUT', 'Patient/abc', { body: { ...patient, id: 'abc' } });
  const logical = { value: 'abc', assigning_authority: 'urn:medscan:fhir:int-1', type_code: 'RI' };
  expect(received[0]?.normalized?.patient?.identifiers.at(-1)).toEqual(logical);
  const { response } = await send('POST', 'ServiceRequest', { body: order });
  expect([response.status, response.headers.get('location')]).toEqual([201, 'http://gateway.example/fhir/r4/ServiceRequest/s-1']);
  expect(received[1]?.normalized).toMatchObject({
    authority: 'order', patient: { identifiers: [{ value: '7', assigning_authority: 'HOSP' }] },
    order: {
      control: 'new', accession_number: 'ACC-1', modality: 'DX', scan_type: 'xray', procedure_code: '36643-5', procedure_system: 'http://loinc.org', procedure_description: 'XR Chest 2 Views',
      reason: 'Dyspnoea', priority: 'emergency', requesting_physician: 'Dr. No',
    },
  });
  await send('POST', 'ServiceRequest', { body: { ...order, subject: { reference: 'Patient/abc' } } });
  expect(received[2]?.normalized?.patient?.identifiers).toEqual([logical]);
  await send('POST', 'ServiceRequest', { body: { ...order, contained: [{ ...patient, id: 'p' }], subject: { reference: '#p' } } });
  expect(received[3]?.normalized).toMatchObject({ patient: { family_name: 'Ng' } });
  await send('POST', 'ServiceRequest', { body: { ...order, subject: { reference: 'https://emr.example/fhir/Patient/5' } } });
  expect(received[4]?.normalized?.patient?.identifiers).toEqual([{ value: '5', assigning_authority: 'https://emr.example/fhir/Patient', type_code: 'RI' }]);
});

test.each([['draft', 'hold'], ['on-hold', 'hold'], ['revoked', 'cancel'], ['entered-in-error', 'cancel'], ['completed', 'change']])('an order with status %s asks for %s', async (status, control) => {
  await send('PUT', 'ServiceRequest?identifier=|ACC-1', { body: { ...order, status } });
  expect(received[0]?.normalized?.order?.control).toBe(control);
});

test('an accession number without type is known by the system that the settings name', async () => {
  await send('POST', 'ServiceRequest', { body: { ...order, identifier: [{ system: 'urn:oid:1.2.276.0.7230010.9.1', value: 'ACC-2' }] } });
  expect(received[0]?.normalized?.order?.accession_number).toBe('ACC-2');
});

test('an identifier of no known type, or else the id it comes with, is the placer order number', async () => {
  await send('POST', 'ServiceRequest', { body: { ...order, identifier: [{ system: 'urn:other', value: 'O-1' }] } });
  await send('PUT', 'ServiceRequest/o2', { body: { ...order, id: 'o2', identifier: undefined } });
  await send('POST', 'ServiceRequest', { body: { ...order, id: 'o3', identifier: undefined } });
  expect(received.map(({ normalized }) => normalized?.order?.placer_order_number)).toEqual(['O-1', 'o2', 'o3']);
});

test('a day is a scheduled time, a month is not', async () => {
  await send('POST', 'ServiceRequest', { body: { ...order, occurrenceDateTime: '2026-01-06' } });
  await send('POST', 'ServiceRequest', { body: { ...order, occurrenceDateTime: '2026-01' } });
  expect(received.map(({ normalized }) => [normalized?.order?.scheduled_at, normalized?.warnings.map(({ location }) => location)])).toEqual([['2026-01-06', []], [undefined, ['ServiceRequest.occurrence[x]']]]);
});

test('Patient.link becomes a merge, in the right direction', async () => {
  const linked = (type: string): object => ({ ...patient, identifier: [{ system: 'urn:oid:9', value: 'A' }], link: [{ type, other: { identifier: { system: 'urn:oid:9', value: 'B' } } }] });
  const [a, b] = [{ value: 'A', assigning_authority: 'urn:oid:9' }, { value: 'B', assigning_authority: 'urn:oid:9' }];
  await send('POST', 'Patient', { body: linked('replaced-by') });
  await send('POST', 'Patient', { body: linked('replaces') });
  expect(received.map(({ normalized }) => normalized?.merges)).toEqual([[{ survivor: [b], prior: [a] }], [{ survivor: [a], prior: [b] }]]);
});

test('conditional requests name one identifier, and the resource must carry it', async () => {
  expect((await send('PUT', 'Patient?identifier=urn:oid:1.2.3.4%7C7', { body: patient })).response.status).toBe(201);
  expect((await send('POST', 'Patient', { body: { ...patient, name: [{ text: 'X' }] }, headers: { 'if-none-exist': 'identifier=urn:oid:1.2.3.4|7' } })).response.status).toBe(201);
  expect(received.map(({ message }) => message.interaction)).toEqual(['update Patient', 'create Patient']);
  for (const query of ['identifier=7', 'name=Ng', 'identifier=a|7&active=true', '']) expect((await send('PUT', `Patient?${query}`, { body: patient })).response.status).toBe(412);
  expect((await send('PUT', 'Patient?identifier=urn:x|other', { body: patient })).response.status).toBe(422);
});

test.each<[string, number, string, string, Sent, string | undefined]>([
  ['no token', 401, 'POST', 'Patient', { token: '', body: patient }, 'not-allowed'],
  ['an unknown token', 401, 'POST', 'Patient', { token: 'forged', body: patient }, 'not-allowed'],
  ['a role that may not send', 403, 'POST', 'Patient', { token: 'reader', body: patient }, 'not-allowed'],
  ['an organization without integration', 403, 'POST', 'Patient', { token: 'stranger', body: patient }, 'not-allowed'],
  ['a type that is not taken', 404, 'POST', 'Observation', { body: {} }, undefined],
  ['an unknown address', 404, 'PUT', 'Patient/1/name', { body: patient }, undefined],
  ['a delete', 405, 'DELETE', 'Patient/1', {}, undefined],
  ['XML that is no FHIR', 400, 'POST', 'Patient', { body: '<Patient/>', headers: { 'content-type': 'application/fhir+xml' } }, 'malformed'],
  ['XML with an entity', 400, 'POST', 'Patient', { body: '<!DOCTYPE a [<!ENTITY b "c">]><Patient xmlns="http://hl7.org/fhir"><id value="&b;"/></Patient>', headers: { 'content-type': 'application/fhir+xml' } }, 'malformed'],
  ['another text', 415, 'POST', 'Patient', { body: 'x', headers: { 'content-type': 'text/plain' } }, 'unsupported'],
  ['FHIR R5', 415, 'POST', 'Patient', { body: patient, headers: { 'content-type': 'application/fhir+json; fhirVersion=5.0' } }, 'unsupported'],
  ['a body that is not compressed as it says', 400, 'POST', 'Patient', { body: patient, headers: { 'content-encoding': 'gzip' } }, 'malformed'],
  ['a compression that is not taken', 415, 'POST', 'Patient', { body: patient, headers: { 'content-encoding': 'br' } }, 'unsupported'],
  ['a client that wants HTML', 406, 'POST', 'Patient', { body: patient, headers: { accept: 'text/html' } }, 'unsupported'],
  ['too many bytes', 413, 'POST', 'Patient', { body: { ...patient, id: 'x'.repeat(1_100_000) } }, 'unsupported'],
  ['no body', 400, 'POST', 'Patient', {}, 'malformed'],
  ['broken JSON', 400, 'POST', 'Patient', { body: '{"resourceType":' }, 'malformed'],
  ['JSON of 100,000 levels', 400, 'POST', 'Patient', { body: '['.repeat(100_000) }, 'malformed'],
  ['__proto__', 400, 'POST', 'Patient', { body: '{"resourceType":"Patient","__proto__":{}}' }, 'malformed'],
  ['another type than the URL says', 400, 'POST', 'Patient', { body: order }, 'malformed'],
  ['another id than the URL says', 400, 'PUT', 'Patient/a', { body: { ...patient, id: 'b' } }, 'malformed'],
  ['an id that is none', 400, 'PUT', 'Patient/a%00b', { body: patient }, undefined],
  ['an invalid resource', 422, 'POST', 'Patient', { body: { ...patient, gender: 'm', telecom: [] } }, 'invalid'],
])('%s is answered %i as OperationOutcome', async (_title, status, method, path, sent, reason) => {
  const { response, body } = await send(method, path, sent);
  expect([response.status, body.resourceType]).toEqual([status, 'OperationOutcome']);
  expect(validateResource(body)).toEqual([]);
  expect(received.map(({ refusal }) => refusal?.reason)).toEqual(reason === undefined ? [] : [reason]);
  expect(received.every(({ answers, normalized }) => answers[0] === `${status} true` && normalized === undefined)).toBe(true);
});

test('all faults of a resource are told at once, each with its place', async () => {
  const { body } = await send('POST', 'Patient', { body: { ...patient, gender: 'm', telecom: [] } });
  expect(body.issue.map(({ expression }) => expression)).toEqual([['Patient.gender'], ['Patient.telecom']]);
});

test('the body of a request without a valid token is not read', async () => {
  let isRead = false;
  const body = new ReadableStream({ pull(controller) { isRead = true; controller.enqueue(Buffer.from('{}')); controller.close(); } }, { highWaterMark: 0 });
  const request = new Request('http://gateway.example/fhir/r4/Patient', { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/json' } } as RequestInit);
  const { inbound } = adapter;
  if (inbound?.transport !== 'http') throw new Error('no http inbound');
  expect((await inbound.handle(request, peer, integrations, receive, context)).status).toBe(401);
  expect([isRead, received[0]?.message.byteSize]).toEqual([false, 0]);
});

test('what the gateway cannot store is answered 503 with Retry-After, never as a success', async () => {
  result = () => ({ kind: 'failed', text: 'the gateway could not store this now; try again' });
  const failed = await send('POST', 'Patient', { body: patient });
  expect([failed.response.status, failed.response.headers.get('retry-after'), failed.body.issue[0]?.code]).toEqual([503, '30', 'transient']);
  result = () => { throw new Error('down'); };
  expect((await send('POST', 'Patient', { body: { ...patient, active: false } })).response.status).toBe(503);
});

test('what cannot become rows is answered 422 with the place', async () => {
  const noOrder = await send('POST', 'ServiceRequest', { body: { ...order, identifier: undefined } });
  expect([noOrder.response.status, noOrder.body.issue[0]?.expression]).toEqual([422, ['ServiceRequest.identifier']]);
  const noPatient = await send('POST', 'ServiceRequest', { body: { ...order, subject: { display: 'somebody' } } });
  expect([noPatient.response.status, noPatient.body.issue[0]?.expression]).toEqual([422, ['ServiceRequest.subject']]);
});

test('what a person sends again is judged as at the door: invalid stays refused, and a condition that failed is the sender\'s to judge', async () => {
  const replayed = (resource: object, facts: object = {}): Promise<Normalized> => adapter.inbound!.normalize({ interaction: 'update Patient', controlId: 'x', receivedAt: now, integration, head: Buffer.from(JSON.stringify(resource)), facts: { replayOf: 'y', ...facts } }, map);
  expect((await replayed(patient)).patient?.family_name).toBe('Ng');
  await expect(replayed({ ...patient, gender: 'm' })).rejects.toMatchObject({ reason: 'invalid', location: 'Patient.gender' });
  await expect(replayed(patient, { precondition: 'failed' })).rejects.toMatchObject({ reason: 'conflict' });
  await expect(replayed({ resourceType: 'Bundle', type: 'transaction' })).rejects.toMatchObject({ reason: 'unsupported' });
});

test('metadata is a valid CapabilityStatement and needs no token', async () => {
  const { response, body } = await send('GET', 'metadata', { token: '' });
  expect(response.status).toBe(200);
  expect(validateResource(body)).toEqual([]);
  expect(body).toMatchObject({ resourceType: 'CapabilityStatement', fhirVersion: '4.0.1', implementation: { url: 'http://gateway.example/fhir/r4' } });
});

test('Prefer: return=minimal is answered without a body', async () => {
  const { response } = await send('POST', 'Patient', { body: patient, headers: { prefer: 'return=minimal' } });
  expect([response.status, response.headers.get('content-type')]).toEqual([201, null]);
});
