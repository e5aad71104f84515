/** What an EMR writes: transactions that are one commit or nothing, conditions judged while the record is held, and what can be read of it afterwards. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiToken } from '../src/db/user-sessions.ts';
import { validateResource } from '../src/standards/fhir/validate.ts';
import { testGateway, type TestGateway } from './support/gateway.ts';
import { insertIntegration } from './support/pipeline.ts';

interface Answer { readonly status: number; readonly headers: Headers; readonly body: any }
let gateway: TestGateway, token: string, integrationId: string;

async function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(path.startsWith('http') ? path : `http://127.0.0.1:${gateway.ports.http}/fhir/r4${path}`, {
    method, headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }), ...headers }, ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}
const counts = async (): Promise<unknown> => (await gateway.db.asOwner(`SELECT (SELECT count(*) FROM patients)::int AS patients, (SELECT count(*) FROM scans)::int AS scans, (SELECT count(*) FROM patient_medical_history)::int AS history,
  (SELECT count(*) FROM sync_logs WHERE message_status IN ('accepted', 'duplicate'))::int AS exchanges, (SELECT count(*) FROM message_identities)::int AS names`))[0];

beforeAll(async () => {
  gateway = await testGateway();
  ({ integrationId } = await insertIntegration(gateway.db, 'North', 'EMR', 'fhir-rest'));
  await gateway.integrations.reload();
  ({ token } = await createApiToken(gateway.db.database, { organizationName: 'North', role: 'service', name: 'EMR' }));
});
afterAll(() => gateway?.stop());

const typed = (code: string): object => ({ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code }] });
const clinical = (code: string, of = 'condition-clinical'): object => ({ coding: [{ system: `http://terminology.hl7.org/CodeSystem/${of}`, code }] });
const mrn = (value: string): object => ({ system: 'urn:oid:1.2.3.4', value, type: typed('MR') });
const patient = (value: string, more: object = {}): object => ({ resourceType: 'Patient', identifier: [mrn(value)], name: [{ family: 'Trans' }], ...more });
const order = (accession: string, subject: object, more: object = {}): object => ({ resourceType: 'ServiceRequest', status: 'active', intent: 'order', subject, identifier: [{ value: accession, type: typed('ACSN') }], ...more });
const urn = (digit: string): string => `urn:uuid:00000000-0000-4000-8000-00000000000${digit}`;
const post = (resource: any, fullUrl?: string, more: object = {}): object => ({ ...(fullUrl === undefined ? {} : { fullUrl }), resource, request: { method: 'POST', url: resource.resourceType, ...more } });
const put = (resource: any, url: string, fullUrl?: string, more: object = {}): object => ({ ...(fullUrl === undefined ? {} : { fullUrl }), resource, request: { method: 'PUT', url, ...more } });
const transaction = (entry: object[], headers: Record<string, string> = {}): Promise<Answer> => ask('POST', '', { resourceType: 'Bundle', type: 'transaction', entry }, headers);
const statuses = ({ body }: Answer): string[] => body.entry.map(({ response }: any) => response.status);

describe('a transaction', () => {
  test('is one commit: patient, order, condition and allergy that name each other by fullUrl, in whatever order they come', async () => {
    const about = { reference: urn('1') };
    const answer = await transaction([
      post(order('T-1', about), urn('2')),
      post({ resourceType: 'Condition', clinicalStatus: clinical('active'), code: { coding: [{ system: 'http://snomed.info/sct', code: '13645005', display: 'COPD' }] }, subject: about, onsetDateTime: '2019-05' }),
      post({ resourceType: 'AllergyIntolerance', clinicalStatus: clinical('active', 'allergyintolerance-clinical'), code: { text: 'Iodine contrast' }, criticality: 'high', patient: about }),
      post(patient('T-1'), urn('1')),
      { request: { method: 'GET', url: 'ServiceRequest?accession=T-1' } },
    ]);
    expect([answer.status, validateResource(answer.body), answer.body.type, statuses(answer)]).toEqual([200, [], 'transaction-response', ['201', '201', '201', '201', '200']]);
    const [request, condition, allergy, person] = answer.body.entry.map(({ response }: any) => response.location);
    const patientId = person.split('/').at(-1);
    expect((await ask('GET', request)).body.subject.reference).toBe(`Patient/${patientId}`);
    expect((await ask('GET', condition)).body).toMatchObject({ resourceType: 'Condition', subject: { reference: `Patient/${patientId}` }, clinicalStatus: clinical('active'), onsetDateTime: '2019-05', code: { coding: [{ code: '13645005' }] } });
    expect((await ask('GET', allergy)).body).toMatchObject({ resourceType: 'AllergyIntolerance', patient: { reference: `Patient/${patientId}` }, criticality: 'high', code: { text: 'Iodine contrast' } });
    expect(answer.body.entry[4].resource.entry[0].resource.subject.reference).toBe(`Patient/${patientId}`);
    for (const { response } of answer.body.entry.slice(0, 4)) expect((await ask('GET', response.location)).headers.get('etag')).toBe(response.etag);
    const rows = await gateway.db.asOwner<{ facts: any; interaction: string }>("SELECT interaction, facts FROM sync_logs WHERE facts->>'transaction' IS NOT NULL ORDER BY (facts->>'entry')::int");
    expect(rows.map(({ interaction, facts }) => [interaction, facts.entry, facts.of])).toEqual([['create ServiceRequest', 0, 5], ['create Condition', 1, 5], ['create AllergyIntolerance', 2, 5], ['create Patient', 3, 5]]);
    expect(new Set(rows.map(({ facts }) => facts.transaction)).size).toBe(1);
  });

  test('sent again, with new fullUrls, creates nothing twice', async () => {
    const before: any = await counts();
    const answer = await transaction([post(order('T-1', { reference: urn('8') }), urn('7')), post(patient('T-1'), urn('8'))]);
    expect(statuses(answer)).toEqual(['200', '200']);
    const after: any = await counts();
    expect({ ...after, exchanges: after.exchanges - 2 }).toEqual(before);
  });

  test('names a patient that carries no identifier by its place alone', async () => {
    const answer = await transaction([post({ resourceType: 'Patient', name: [{ family: 'Unknown' }] }, urn('1')), post(order('T-2', { reference: urn('1') }))]);
    expect(statuses(answer)).toEqual(['201', '201']);
    const [person, request] = answer.body.entry.map(({ response }: any) => response.location);
    expect((await ask('GET', request)).body.subject.reference).toBe(`Patient/${person.split('/').at(-1)}`);
  });

  test.each<[string, object[], number, string, string]>([
    ['an entry that is invalid', [post(patient('N-1'), urn('1')), post({ resourceType: 'ServiceRequest', status: 'active', intent: 'order' })], 422, 'Bundle.entry[1].resource.subject', 'subject'],
    ['an order that names no patient', [post(patient('N-1')), post(order('N-1', { display: 'x' }))], 422, 'Bundle.entry[1].resource.subject', 'must name the patient'],
    ['an order without a number', [post(patient('N-1'), urn('1')), post(order('N-1', { reference: urn('1') }, { identifier: undefined }))], 422, 'Bundle.entry[1].resource.identifier', 'number'],
    ['a patient that is not here', [post(patient('N-1')), post(order('N-1', { reference: 'Patient/00000000-0000-7000-8000-000000000000' }))], 422, 'Bundle.entry[1]', 'no patient'],
    ['a fullUrl that is not in the Bundle', [post(patient('N-1')), post(order('N-1', { reference: urn('9') }))], 422, 'Bundle.entry[1].resource.subject.reference', 'fullUrl'],
    ['a conditional reference to nobody', [post(patient('N-1')), post(order('N-1', { reference: 'Patient?identifier=urn:oid:1.2.3.4|NOBODY' }))], 412, 'Bundle.entry[1]', 'not here'],
    ['a version that is no longer', [post(patient('N-1')), put(patient('T-1'), 'Patient?identifier=urn:oid:1.2.3.4|T-1', undefined, { ifMatch: 'W/"0123"' })], 412, 'Bundle.entry[1]', 'has changed'],
    ['a type that is not taken', [post(patient('N-1')), post({ resourceType: 'Observation', status: 'final', code: { text: 'x' } })], 422, 'Bundle.entry[1]', 'takes: Patient'],
    ['a Task about nothing', [post(patient('N-1'), urn('1')), post({ resourceType: 'Task', status: 'cancelled', intent: 'order', for: { reference: urn('1') }, focus: { identifier: { value: 'NOWHERE' } } })], 422, 'Bundle.entry[1].resource.focus', 'names no order'],
    ['one resource twice', [put({ ...patient('N-1'), id: 'n1' }, 'Patient/n1'), put({ ...patient('N-2'), id: 'n1' }, 'Patient/n1')], 422, 'Bundle.entry[1]', 'same resource'],
    ['a delete', [post(patient('N-1')), { request: { method: 'DELETE', url: 'Patient/1' } }], 400, 'Bundle.entry[1].request', 'GET, HEAD, POST and PUT'],
    ['a value that no column takes', [post(patient('N-1'), urn('1')), post(order('N-1', { reference: urn('1') }, { priority: 'routine', identifier: [{ value: randomBytes(6000).toString('hex'), type: typed('ACSN') }] }))], 422, 'Bundle.entry[1]', 'cannot be stored'],
  ])('with %s writes nothing of any entry, and is on record with the reason', async (_title, entry, status, place, words) => {
    const before: any = await counts();
    const answer = await transaction(entry);
    expect([answer.status, answer.body.resourceType, answer.body.issue[0].expression]).toEqual([status, 'OperationOutcome', [place]]);
    expect(answer.body.issue[0].diagnostics).toContain(words);
    expect(await counts()).toEqual(before);
    const [row] = await gateway.db.asOwner<{ interaction: string; message_status: string; content: Buffer }>("SELECT l.interaction, l.message_status, p.content FROM sync_logs l JOIN exchange_payloads p USING (organization_id, sync_id) ORDER BY l.started_at DESC, l.sync_id DESC LIMIT 1");
    expect([row!.interaction, row!.message_status, JSON.parse(row!.content.toString()).type]).toEqual(['transaction', 'rejected', 'transaction']);
  });

  test('finds a patient by a conditional reference', async () => {
    const answer = await transaction([post(order('T-3', { reference: 'Patient?identifier=urn:oid:1.2.3.4|T-1' }))]);
    expect(statuses(answer)).toEqual(['201']);
    const [expected] = (await ask('GET', '/Patient?identifier=T-1')).body.entry;
    expect((await ask('GET', answer.body.entry[0].response.location)).body.subject.reference).toBe(`Patient/${expected.resource.id}`);
  });

  test('that meets another about the same new patient: both are committed, and the patient is one', async () => {
    const answers = await Promise.all(['A', 'B', 'C', 'D'].map((each) => transaction([post(patient('RACE'), urn('1')), post(order(`RACE-${each}`, { reference: urn('1') }), urn('2'))])));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect((await ask('GET', '/Patient?identifier=RACE&_summary=count')).body.total).toBe(1);
    expect((await ask('GET', '/ServiceRequest?patient.identifier=RACE&_summary=count')).body.total).toBe(4);
  });

  test('is answered with the resources where that is preferred, and with nothing where that is', async () => {
    const entry = [post(patient('T-4'), urn('1')), post(order('T-4', { reference: urn('1') }))];
    const told = await transaction(entry, { prefer: 'return=representation' });
    expect(told.body.entry.map(({ resource }: any) => resource?.resourceType)).toEqual(['Patient', 'ServiceRequest']);
    const quiet = await transaction(entry, { prefer: 'return=minimal' });
    expect(quiet.body.entry.map(({ resource, response }: any) => [resource, response.outcome])).toEqual([[undefined, undefined], [undefined, undefined]]);
  });
});

describe('conditions', () => {
  test('If-Match: an update of the version that was read is taken, one of an older version is 412 and changes nothing', async () => {
    const created = await ask('POST', '/Patient', patient('IM-1'), { prefer: 'return=representation' });
    expect([created.status, created.headers.get('etag')]).toEqual([201, `W/"${created.body.meta.versionId}"`]);
    const path = `/Patient/${created.body.id}`, etag = created.headers.get('etag')!;
    const updated = await ask('PUT', path, { ...created.body, gender: 'female' }, { 'if-match': etag, prefer: 'return=representation' });
    expect([updated.status, updated.body.gender, updated.body.id]).toEqual([200, 'female', created.body.id]);
    expect(updated.headers.get('etag')).not.toBe(etag);
    const stale = await ask('PUT', path, { ...created.body, gender: 'male' }, { 'if-match': etag });
    expect([stale.status, stale.body.issue[0].code]).toEqual([412, 'conflict']);
    expect((await ask('GET', path)).body.gender).toBe('female');
    expect((await ask('PUT', '/Patient/nobody-here', { ...patient('IM-2'), id: 'nobody-here' }, { 'if-match': etag })).status).toBe(412);
  });

  test('of ten updates of the same version at the same moment one is taken', async () => {
    const created = await ask('POST', '/Patient', patient('IM-3'), { prefer: 'return=representation' });
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => ask('PUT', `/Patient/${created.body.id}`, { ...created.body, name: [{ family: `Writer ${index}` }] }, { 'if-match': created.headers.get('etag')! })));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, ...Array.from({ length: 9 }, () => 412)]);
  });

  test('If-None-Exist keeps what is there; a conditional update changes it; both create where nothing is', async () => {
    const condition = { 'if-none-exist': 'identifier=urn:oid:1.2.3.4|NE-1' };
    const first = await ask('POST', '/Patient', patient('NE-1'), condition);
    const second = await ask('POST', '/Patient', patient('NE-1', { name: [{ family: 'Other' }] }), condition);
    expect([first.status, second.status, second.headers.get('location')]).toEqual([201, 200, first.headers.get('location')]);
    expect((await ask('GET', first.headers.get('location')!)).body.name[0].family).toBe('Trans');
    expect((await ask('PUT', '/Patient?identifier=urn:oid:1.2.3.4|NE-1', patient('NE-1', { name: [{ family: 'Other' }] }))).status).toBe(200);
    expect((await ask('GET', first.headers.get('location')!)).body.name[0].family).toBe('Other');
    expect((await ask('PUT', '/Patient?identifier=urn:oid:1.2.3.4|NE-2', patient('NE-2'))).status).toBe(201);
    const kept = await gateway.db.asOwner("SELECT FROM sync_logs WHERE message_status = 'duplicate' AND interaction = 'create Patient' AND facts->>'interaction' = 'conditional-create'");
    expect(kept).toHaveLength(1);
  });

  test('If-None-Match: * creates and does not update', async () => {
    expect((await ask('PUT', '/Patient/inm-1', { ...patient('INM-1'), id: 'inm-1' }, { 'if-none-match': '*' })).status).toBe(201);
    expect((await ask('PUT', '/Patient/inm-1', { ...patient('INM-1'), id: 'inm-1' }, { 'if-none-match': '*' })).status).toBe(412);
  });
});

describe('what is PUT under an id', () => {
  test('is read and changed under it, whatever its type', async () => {
    await ask('PUT', '/Patient/p-9', { ...patient('P-9'), id: 'p-9' });
    const about = { reference: 'Patient/p-9' };
    const resources: Record<string, object> = {
      ServiceRequest: order('P-9', about, { priority: 'urgent' }),
      ImagingStudy: { resourceType: 'ImagingStudy', status: 'available', subject: about, identifier: [{ system: 'urn:dicom:uid', value: 'urn:oid:1.2.826.0.1.3680043.9' }], modality: [{ system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'CT' }], description: 'CT chest' },
      Condition: { resourceType: 'Condition', clinicalStatus: clinical('active'), code: { text: 'Asthma' }, subject: about },
      AllergyIntolerance: { resourceType: 'AllergyIntolerance', clinicalStatus: clinical('active', 'allergyintolerance-clinical'), code: { text: 'Latex' }, patient: about },
      Task: { resourceType: 'Task', status: 'requested', intent: 'order', priority: 'stat', for: about, focus: { reference: 'ServiceRequest/servicerequest-9' } },
    };
    for (const [type, resource] of Object.entries(resources)) {
      const id = `${type.toLowerCase()}-9`, path = `/${type}/${id}`;
      const created = await ask('PUT', path, { ...resource, id });
      expect([type, created.status, created.body?.issue?.[0]?.diagnostics]).toEqual([type, 201, expect.any(String)]);
      expect(created.headers.get('location')).toMatch(new RegExp(`${path}$`));
      const read = await ask('GET', path);
      expect([type, read.status, read.body.id, read.headers.get('etag'), validateResource(read.body)]).toEqual([type, 200, id, created.headers.get('etag'), []]);
      const again = await ask('PUT', path, { ...resource, id }, { 'if-match': read.headers.get('etag')! });
      expect([type, again.status]).toEqual([type, 200]);
    }
    expect((await ask('GET', '/Task/task-9')).body).toMatchObject({ status: 'requested', priority: 'stat' });
    expect((await ask('GET', '/ImagingStudy/imagingstudy-9')).body).toMatchObject({ status: 'registered', description: 'CT chest' });
  });

  test('a Task stops the order it names, and lets it go on', async () => {
    const task = (status: string): Promise<Answer> => ask('PUT', '/Task/task-9', { resourceType: 'Task', id: 'task-9', status, intent: 'order', for: { reference: 'Patient/p-9' }, focus: { reference: 'ServiceRequest/servicerequest-9' } });
    for (const [status, expected] of [['on-hold', 'on-hold'], ['requested', 'active'], ['cancelled', 'revoked']] as const) {
      expect((await task(status)).status).toBe(200);
      expect([status, (await ask('GET', '/ServiceRequest/servicerequest-9')).body.status]).toEqual([status, expected]);
    }
  });

  test('a condition that becomes another one stays under its id; where the other is there already, the first is withdrawn', async () => {
    await ask('PUT', '/Condition/c-1', { resourceType: 'Condition', id: 'c-1', clinicalStatus: clinical('active'), code: { text: 'Gout' }, subject: { reference: 'Patient/p-9' } });
    const before = (await ask('GET', '/Condition?patient.identifier=P-9')).body.entry.find(({ resource }: any) => resource.code.text === 'Gout').resource;
    await ask('PUT', '/Condition/c-1', { resourceType: 'Condition', id: 'c-1', clinicalStatus: clinical('resolved'), code: { text: 'Pseudogout' }, subject: { reference: 'Patient/p-9' } });
    expect((await ask('GET', '/Condition/c-1')).body).toMatchObject({ code: { text: 'Pseudogout' }, clinicalStatus: clinical('resolved') });
    expect((await ask('GET', `/Condition/${before.id}`)).body).toMatchObject({ id: before.id, code: { text: 'Pseudogout' } });
    await ask('PUT', '/Condition/c-2', { resourceType: 'Condition', id: 'c-2', clinicalStatus: clinical('active'), code: { text: 'Gout' }, subject: { reference: 'Patient/p-9' } });
    await ask('PUT', '/Condition/c-1', { resourceType: 'Condition', id: 'c-1', clinicalStatus: clinical('active'), code: { text: 'Gout' }, subject: { reference: 'Patient/p-9' } });
    expect((await ask('GET', '/Condition/c-1')).body).toMatchObject({ code: { text: 'Gout' }, clinicalStatus: clinical('active') });
    expect((await ask('GET', `/Condition/${before.id}`)).body.verificationStatus.coding[0].code).toBe('entered-in-error');
  });

  test('what was read is changed and sent back under the id it was read by', async () => {
    const find = async (query: string): Promise<any> => (await ask('GET', `/${query}`)).body.entry[0].resource;
    const changes: [string, (resource: any) => object, (resource: any) => unknown][] = [
      ['Patient?identifier=P-9', (resource) => ({ ...resource, name: [{ family: 'Sent' }] }), (resource) => resource.name[0].family],
      ['ServiceRequest?accession=P-9', (resource) => ({ ...resource, status: 'active', priority: 'asap', identifier: [{ value: 'P-9-NEW', type: typed('ACSN') }] }), (resource) => [resource.priority, resource.identifier.map(({ value }: any) => value)]],
      ['AllergyIntolerance?patient.identifier=P-9', (resource) => ({ ...resource, code: { text: 'Nickel' } }), (resource) => resource.code.text],
    ];
    for (const [query, change, told] of changes) {
      const read = await find(query), changed = change(read), path = `/${read.resourceType}/${read.id}`, before: any = await counts();
      const sent = await ask('PUT', path, changed, { 'if-match': `W/"${read.meta.versionId}"` });
      expect([query, sent.status, sent.body.issue[0].diagnostics]).toEqual([query, 200, expect.stringContaining('is stored')]);
      expect([query, told((await ask('GET', path)).body)]).toEqual([query, told(changed)]);
      const after: any = await counts();
      expect([query, after.patients, after.scans, after.history]).toEqual([query, before.patients, before.scans, before.history]);
    }
  });

  test('belongs to its sender: another organization reads nothing under that id', async () => {
    await insertIntegration(gateway.db, 'South', 'Their EMR', 'fhir-rest');
    await gateway.integrations.reload();
    const { token: theirs } = await createApiToken(gateway.db.database, { organizationName: 'South', role: 'service', name: 'EMR' });
    for (const path of ['/Patient/p-9', '/ServiceRequest/servicerequest-9', '/Condition/c-1', '/Task/task-9']) expect([path, (await ask('GET', path, undefined, { authorization: `Bearer ${theirs}` })).status]).toEqual([path, 404]);
    expect(integrationId).toHaveLength(36);
  });
});

test('a search that takes too long is stopped, and the reader is told to narrow it', async () => {
  const held = gateway.db.asOwner('BEGIN; LOCK TABLE patients IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(6.5); COMMIT');
  for (let isHeld = false; !isHeld;) [{ isHeld }] = await gateway.db.asOwner<{ isHeld: boolean }>(`SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'patients'::regclass AND mode = 'AccessExclusiveLock' AND granted) AS "isHeld"`) as [{ isHeld: boolean }];
  const { status, body } = await ask('GET', '/Patient?name:contains=a');
  expect([status, body.issue[0].code, validateResource(body)]).toEqual([400, 'too-costly', []]);
  await held;
});

describe('what was before', () => {
  test('is in the history of a patient and of an order, each version to be read by its ETag', async () => {
    const created = await ask('PUT', '/Patient/h-1', { ...patient('H-1'), id: 'h-1' }), names = ['First', 'Second', 'Third'];
    for (const family of names) await ask('PUT', '/Patient/h-1', { ...patient('H-1', { name: [{ family }] }), id: 'h-1' });
    const { body } = await ask('GET', '/Patient/h-1/_history');
    expect([validateResource(body), body.total, body.entry.map(({ resource }: any) => resource.name[0].family)]).toEqual([[], 4, ['Third', 'Second', 'First', 'Trans']]);
    for (const { resource, response } of body.entry) {
      const { status, body: version, headers } = await ask('GET', `/Patient/h-1/_history/${resource.meta.versionId}`);
      expect([status, version, headers.get('etag')]).toEqual([200, resource, response.etag]);
    }
    expect(body.entry.at(-1).response.etag).toBe(created.headers.get('etag'));
    expect((await ask('GET', '/Patient/h-1/_history?_count=2')).body.entry).toHaveLength(2);
    await ask('PUT', '/ServiceRequest/h-2', { ...order('H-2', { reference: 'Patient/h-1' }), id: 'h-2' });
    await ask('PUT', '/ServiceRequest/h-2', { ...order('H-2', { reference: 'Patient/h-1' }, { status: 'on-hold', priority: 'stat' }), id: 'h-2' });
    const orders = (await ask('GET', '/ServiceRequest/h-2/_history')).body;
    expect(orders.entry.map(({ resource }: any) => [resource.status, resource.priority])).toEqual([['on-hold', 'stat'], ['active', 'routine']]);
  });

  test('is in the history of the type as well, what changed last first, page by page without gap or double', async () => {
    const whole = (await ask('GET', '/Patient/_history?_count=200')).body, seen: any[] = [];
    expect([validateResource(whole), whole.type]).toEqual([[], 'history']);
    for (let url: string | undefined = '/Patient/_history?_count=3'; url !== undefined;) {
      const { body }: Answer = await ask('GET', url);
      seen.push(...body.entry);
      url = body.link.find(({ relation }: any) => relation === 'next')?.url;
    }
    expect(seen).toEqual(whole.entry);
    const times = seen.map(({ resource }: any) => Date.parse(resource.meta.lastUpdated));
    expect(times).toEqual(times.toSorted((a, b) => b - a));
    expect(seen.filter(({ resource }: any) => resource.identifier?.some(({ value }: any) => value === 'H-1')).map(({ resource }: any) => resource.name[0].family)).toEqual(['Third', 'Second', 'First', 'Trans']);
    const since = whole.entry[2].resource.meta.lastUpdated;
    expect((await ask('GET', `/Patient/_history?_since=${since}`)).body.entry.length).toBeGreaterThanOrEqual(3);
    expect((await ask('GET', '/Patient/_history?_since=2100-01-01T00:00:00Z')).body.entry).toBeUndefined();
    for (const type of ['ServiceRequest', 'Condition', 'DiagnosticReport', 'Task']) expect([type, (await ask('GET', `/${type}/_history`)).status]).toEqual([type, 200]);
    expect((await ask('GET', '/Patient/_history?_page=x')).status).toBe(410);
  });

  test('keeps nothing of what changes nothing, and nobody else sees it', async () => {
    const before = await gateway.db.asOwner('SELECT FROM record_versions');
    await ask('PUT', '/Patient/h-1', { ...patient('H-1', { name: [{ family: 'Third' }] }), id: 'h-1' });
    expect(await gateway.db.asOwner('SELECT FROM record_versions')).toHaveLength(before.length);
    const { token: theirs } = await createApiToken(gateway.db.database, { organizationName: 'South', role: 'service', name: 'EMR' });
    expect((await ask('GET', '/Patient/h-1/_history', undefined, { authorization: `Bearer ${theirs}` })).status).toBe(404);
  });
});
