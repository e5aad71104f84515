/** What comes twice or late over FHIR: a repeat of an older version, and refused messages that a person receives again. Neither undoes what is newer. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiToken } from '../src/db/user-sessions.ts';
import { testGateway, type TestGateway } from './support/gateway.ts';
import { insertIntegration } from './support/pipeline.ts';

interface Answer { readonly status: number; readonly headers: Headers; readonly body: any }
let gateway: TestGateway, token: string, operator: string, organizationId: string, integrationId: string;

async function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}, as = token): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.http}${path}`, { method, headers: { authorization: `Bearer ${as}`, ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }), ...headers }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}
const put = (resource: { resourceType: string; id?: string }, headers: Record<string, string> = {}, query = `/${resource.id}`): Promise<Answer> => ask('PUT', `/fhir/r4/${resource.resourceType}${query}`, resource, headers);
const get = async (path: string): Promise<any> => (await ask('GET', `/fhir/r4/${path}`)).body;

beforeAll(async () => {
  gateway = await testGateway();
  ({ organizationId, integrationId } = await insertIntegration(gateway.db, 'North', 'EMR', 'fhir-rest'));
  await gateway.integrations.reload();
  [token, operator] = await Promise.all(['service', 'integrator'].map(async (role) => (await createApiToken(gateway.db.database, { organizationName: 'North', role, name: role })).token)) as [string, string];
});
afterAll(() => gateway?.stop());

const patient = (family: string, value: string, more: object = {}) => ({ resourceType: 'Patient', identifier: [{ system: 'urn:oid:1.2.3', value, type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'MR' }] } }], name: [{ family }], ...more });
const condition = (id: string, code: string, status = 'active', mrn = 'C-1') => ({
  resourceType: 'Condition', id, clinicalStatus: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-clinical', code: status }] }, code: { coding: [{ system: 'http://snomed.info/sct', code, display: `Code ${code}` }] }, subject: { identifier: { system: 'urn:oid:1.2.3', value: mrn } },
});
const order = (id: string, accession: string, text: string) => ({ resourceType: 'ServiceRequest', id, status: 'active', intent: 'order', code: { text }, identifier: [{ value: accession, type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] } }], subject: { identifier: { system: 'urn:oid:1.2.3', value: 'C-1' } } });
const hour = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString();

/** A message that was refused then, for a reason that has been put right since; its bytes and facts as the gateway keeps them. */
async function refused(interaction: string, controlId: string, resource: object, facts: object, at: string): Promise<string> {
  const content = Buffer.from(JSON.stringify(resource));
  const [row] = await gateway.db.asOwner<{ sync_id: string }>(`INSERT INTO sync_logs (organization_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, facts, sha256, payload_location, error_text)
    VALUES ($1, $2, 'fhir-rest', 'inbound', $3, $4, 'rejected', $5, $6, $7, 'database', 'refused then') RETURNING sync_id`, [organizationId, integrationId, interaction, controlId, at, JSON.stringify({ mediaType: 'application/fhir+json', ...facts }), createHash('sha256').update(content).digest('hex')]);
  await gateway.db.asOwner("INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content) VALUES ($1, $2, 'message', 'application/fhir+json', $3)", [organizationId, row!.sync_id, content]);
  return row!.sync_id;
}
async function replayed(syncId: string): Promise<{ outcome: string; text: string | null }> {
  const { body } = await ask('POST', `/api/v1/sync-logs/${syncId}/replay`, undefined, {}, operator);
  expect(body.replays).toHaveLength(1);
  return body.replays[0];
}

describe('the same request that arrives a second time after a newer one', () => {
  test('leaves a condition as the newer one made it', async () => {
    expect((await put(condition('c-1', '111'), { 'x-request-id': 'r-1' })).status).toBe(201);
    expect((await put(condition('c-1', '222'), { 'x-request-id': 'r-2' })).status).toBe(200);
    expect((await put(condition('c-1', '111'), { 'x-request-id': 'r-1' })).status).toBe(200);
    expect((await get('Condition/c-1')).code.coding[0].code).toBe('222');
    const row = await gateway.db.asOwner<{ status: string }>("SELECT code, status FROM patient_medical_history WHERE code IN ('111', '222')");
    expect(row).toEqual([{ code: '222', status: 'active' }]);
  });

  test('leaves an order its newer number, and the name to whom it went', async () => {
    await put(order('o-1', 'ACC-1', 'CT head'), { 'x-request-id': 'o-1' });
    await put(order('o-1', 'ACC-2', 'CT chest'), { 'x-request-id': 'o-2' });
    await put(order('o-1', 'ACC-1', 'CT head'), { 'x-request-id': 'o-1' });
    expect(await gateway.db.asOwner("SELECT accession_number, procedure_description FROM scans WHERE accession_number LIKE 'ACC-%'")).toEqual([{ accession_number: 'ACC-2', procedure_description: 'CT chest' }]);
    expect((await get('ServiceRequest/o-1')).code.text).toBe('CT chest');
  });

  test('is no other order: a second one under the same id, with no number of its own, is refused and changes nothing', async () => {
    const placed = (text: string) => ({ resourceType: 'ServiceRequest', id: 'example', status: 'active', intent: 'order', code: { text }, subject: { identifier: { system: 'urn:oid:1.2.3', value: 'C-1' } } });
    const entry = (text: string) => ({ request: { method: 'POST', url: 'ServiceRequest' }, resource: placed(text) });
    const orders = () => gateway.db.asOwner("SELECT placer_order_number, procedure_description FROM scans WHERE placer_order_number IN ('example', 'C-1') OR procedure_description LIKE 'CT foot%'");
    expect((await ask('POST', '/fhir/r4', { resourceType: 'Bundle', type: 'transaction', entry: [entry('CT foot 1'), entry('CT foot 2')] })).status).toBe(409);
    expect(await orders()).toEqual([]);
    expect((await ask('POST', '/fhir/r4/ServiceRequest', placed('CT hand'))).status).toBe(201);
    expect((await ask('POST', '/fhir/r4/ServiceRequest', placed('CT hand'))).status, 'sent again').toBeLessThan(300);
    const other = await ask('POST', '/fhir/r4/ServiceRequest', placed('CT knee'));
    expect([other.status, other.body.issue[0].diagnostics ?? other.body.issue[0].details?.text]).toEqual([409, expect.stringContaining('came with the same id')]);
    expect(await orders()).toEqual([{ placer_order_number: 'example', procedure_description: 'CT hand' }]);
  });

  test('leaves a patient', async () => {
    for (const [family, id] of [['One', 'p-1'], ['Two', 'p-2'], ['One', 'p-1']] as const) await put({ ...patient(family, 'P-1'), id: 'pat-1' }, { 'x-request-id': id });
    expect((await get('Patient/pat-1')).name[0].family).toBe('Two');
  });
});

describe('a refused message that is received again', () => {
  test('changes the record that its sender named by our id, and no other', async () => {
    const made = await ask('POST', '/fhir/r4/Patient', patient('Before', 'R-1')), id = made.headers.get('location')!.split('/').at(-1)!;
    const syncId = await refused('update Patient', 'Patient/urn:oid:1.2.3|R-1-new#1', { ...patient('After', 'R-1-new'), id }, { interaction: 'update', id }, hour(1));
    expect(await replayed(syncId)).toMatchObject({ outcome: 'accepted' });
    expect((await get(`Patient/${id}`)).name[0].family).toBe('After');
    expect(await gateway.db.asOwner("SELECT value FROM patient_identifiers WHERE patient_id = $1 ORDER BY value", [id])).toEqual([{ value: 'R-1' }, { value: 'R-1-new' }]);
    expect((await gateway.db.asOwner("SELECT FROM patients WHERE family_name = 'After'")).length).toBe(1);
  });

  test('is named by the id that its sender PUT, so that the next update finds it', async () => {
    const syncId = await refused('update Condition', 'Condition/c-9#1', condition('c-9', '999'), { interaction: 'update', id: 'c-9' }, hour(-1));
    expect(await replayed(syncId)).toMatchObject({ outcome: 'accepted' });
    expect((await put(condition('c-9', '998'))).status).toBe(200);
    expect((await gateway.db.asOwner("SELECT FROM patient_medical_history WHERE code IN ('999', '998')")).length).toBe(1);
    expect((await replayed(syncId)).outcome, 'twice it changes nothing').toBe('duplicate');
    expect((await get('Condition/c-9')).code.coding[0].code).toBe('998');
  });

  test('keeps to its conditions: If-Match, an identifier that fits one, If-None-Exist', async () => {
    const made = await ask('POST', '/fhir/r4/Patient', patient('Cond', 'K-1')), id = made.headers.get('location')!.split('/').at(-1)!;
    const stale = await refused('update Patient', 'Patient/urn:oid:1.2.3|K-1#s', { ...patient('Stale', 'K-1'), id }, { interaction: 'update', id, ifMatch: 'W/"0"' }, hour(1));
    expect(await replayed(stale)).toMatchObject({ outcome: 'rejected', text: expect.stringContaining('has changed') });
    const fits = await refused('update Patient', 'Patient/urn:oid:1.2.3|K-1#f', { ...patient('Fits', 'K-1'), id }, { interaction: 'update', id, ifMatch: made.headers.get('etag') }, hour(1));
    expect(await replayed(fits)).toMatchObject({ outcome: 'accepted' });
    const kept = await refused('create Patient', 'Patient/urn:oid:1.2.3|K-1#k', patient('Kept', 'K-1'), { interaction: 'conditional-create', identifier: 0 }, hour(1));
    expect(await replayed(kept)).toMatchObject({ outcome: 'duplicate' });
    expect((await get(`Patient/${id}`)).name[0].family).toBe('Fits');
    const unknown = await refused('update Patient', 'Patient/urn:oid:1.2.3|K-1#u', patient('Unknown', 'K-1'), { interaction: 'conditional-update' }, hour(1));
    expect(await replayed(unknown)).toMatchObject({ outcome: 'rejected', text: expect.stringContaining('not on record') });
  });

  test('is refused again when it is invalid, or its condition did not hold at the door', async () => {
    const wrong = await put({ ...patient('Wrong', 'W-1', { gender: 'x' }), id: 'w-1' } as never);
    const [row] = await gateway.db.asOwner<{ sync_id: string; facts: object }>("SELECT sync_id, facts FROM sync_logs WHERE message_status = 'rejected' AND control_id LIKE 'Patient/w-1#%'");
    expect([wrong.status, row!.facts]).toEqual([422, { mediaType: 'application/fhir+json', interaction: 'update', id: 'w-1' }]);
    expect(await replayed(row!.sync_id)).toMatchObject({ outcome: 'rejected', location: 'Patient.gender' });
    expect((await put({ ...patient('Late', 'K-1') } as never, { 'if-match': 'W/"0"' }, '?identifier=urn:oid:1.2.3|K-1')).status).toBe(412);
    const [late] = await gateway.db.asOwner<{ sync_id: string; facts: object }>("SELECT sync_id, facts FROM sync_logs WHERE message_status = 'rejected' AND facts ? 'precondition'");
    expect(late!.facts).toEqual({ mediaType: 'application/fhir+json', interaction: 'conditional-update', identifier: 0, ifMatch: 'W/"0"', precondition: 'failed' });
    expect(await replayed(late!.sync_id)).toMatchObject({ outcome: 'rejected', text: expect.stringContaining('only the sender') });
  });
});

describe('an older message that is received again after a newer one was taken', () => {
  test.each<[string, () => Promise<unknown>, () => [string, string, object, object], () => Promise<unknown>, unknown]>([
    ['a patient', () => put({ ...patient('Newer', 'V-1'), id: 'v-1' }), () => ['update Patient', 'Patient/urn:oid:1.2.3|V-1#old', { ...patient('Older', 'V-1'), id: 'v-1' }, { interaction: 'update', id: 'v-1' }], async () => (await get('Patient/v-1')).name[0].family, 'Newer'],
    ['an order', () => put(order('v-2', 'V-ACC', 'Newer')), () => ['update ServiceRequest', 'ServiceRequest/|V-ACC#old', order('v-2', 'V-ACC', 'Older'), { interaction: 'update', id: 'v-2' }], async () => (await get('ServiceRequest/v-2')).code.text, 'Newer'],
    ['a condition', () => put(condition('v-3', '333', 'resolved')), () => ['update Condition', 'Condition/v-3#old', condition('v-3', '333', 'active'), { interaction: 'update', id: 'v-3' }], async () => (await get('Condition/v-3')).clinicalStatus.coding[0].code, 'resolved'],
    ['a condition that became another', () => put(condition('v-4', '444')), () => ['update Condition', 'Condition/v-4#old', condition('v-4', '443'), { interaction: 'update', id: 'v-4' }], async () => (await get('Condition/v-4')).code.coding[0].code, '444'],
  ])('%s: refused, and the newer one stays', async (_name, newer, older, now, expected) => {
    await newer();
    const [interaction, controlId, resource, facts] = older(), syncId = await refused(interaction, controlId, resource, facts, hour(-1));
    expect(await replayed(syncId)).toMatchObject({ outcome: 'rejected', text: expect.stringMatching(/^a later message about the same was taken since \(exchange [0-9a-f-]{36}\)/) });
    expect(await now()).toEqual(expected);
  });

  test('other conditions of the same patient, taken meanwhile, do not stand in its way', async () => {
    await put(condition('m-1', '555'));
    expect(await replayed(await refused('update Condition', 'Condition/m-2#1', condition('m-2', '556'), { interaction: 'update', id: 'm-2' }, hour(-1)))).toMatchObject({ outcome: 'accepted' });
  });

  test('several, in the order in which they first came: the last of them holds', async () => {
    const [first, second] = [await refused('update Patient', 'Patient/urn:oid:1.2.3|S-1#1', { ...patient('First', 'S-1'), id: 's-1' }, { interaction: 'update', id: 's-1' }, hour(-2)), await refused('update Patient', 'Patient/urn:oid:1.2.3|S-1#2', { ...patient('Second', 'S-1'), id: 's-1' }, { interaction: 'update', id: 's-1' }, hour(-1))];
    expect([(await replayed(first)).outcome, (await replayed(second)).outcome]).toEqual(['accepted', 'accepted']);
    expect((await get('Patient/s-1')).name[0].family).toBe('Second');
    const third = await refused('update Patient', 'Patient/urn:oid:1.2.3|S-1#3', { ...patient('Between', 'S-1'), id: 's-1' }, { interaction: 'update', id: 's-1' }, hour(-1.5));
    expect((await replayed(third)).outcome).toBe('rejected');
  });

  test('what another system said since stays, value by value', async () => {
    const other = await insertIntegration(gateway.db, 'North', 'RIS', 'hl7v2-mllp');
    await put({ ...patient('Theirs', 'X-1', { gender: 'female' }), id: 'x-1' });
    await gateway.db.asOwner("UPDATE sync_logs SET integration_id = $1 WHERE control_id LIKE 'Patient/urn:oid:1.2.3|X-1#%'", [other.integrationId]);
    expect(await replayed(await refused('update Patient', 'Patient/urn:oid:1.2.3|X-1#old', { ...patient('Ours', 'X-1', { birthDate: '1970-01-01', gender: 'female' }), id: 'x-1' }, { interaction: 'update', id: 'x-1' }, hour(-1)))).toMatchObject({ outcome: 'accepted' });
    expect(await get('Patient/x-1')).toMatchObject({ name: [{ family: 'Theirs' }], birthDate: '1970-01-01' });
    expect(await gateway.db.asOwner("SELECT warnings->0->>'location' AS location FROM sync_logs WHERE control_id LIKE 'Patient/urn:oid:1.2.3|X-1#old' AND message_status = 'accepted'")).toEqual([{ location: 'patient' }]);
  });
});
