/** Subscriptions to results (Subscriptions R5 Backport, R4): rest-hook and websocket, through a running gateway, heard by a server and a client of the test's own. */
import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { insertReport } from '../src/db/reports.ts';
import { inOrganization } from '../src/db/transaction.ts';
import { createApiToken } from '../src/db/user-sessions.ts';
import { credentialsPlace } from '../src/gateway/integrations.ts';
import { announceResult } from '../src/pipeline/subscriptions.ts';
import { sampleReport } from '../adapters/fhir-rest/testcases/sample-report.ts';
import { eventually, testGateway, type TestGateway } from './support/gateway.ts';
import { insertIntegration } from './support/pipeline.ts';
import { uuidV7 } from '#domain/uuid.ts';

interface Heard { readonly headers: IncomingHttpHeaders; readonly text: string; readonly body: any }
const topic = 'urn:medscan:subscription-topic:result-ready', guide = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition', signingKey = 'a key that only the two of us know';
let gateway: TestGateway, token: string, subscriber: Server, origin: string, organizationId: string, integrationId: string, patientId: string, scanId: string;
let heard: Heard[] = [], statuses: number[] = [];

beforeAll(async () => {
  subscriber = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const text = Buffer.concat(chunks).toString(), status = statuses.shift() ?? 200;
      if (status === 200) heard.push({ headers: request.headers, text, body: JSON.parse(text) });
      response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/elsewhere' } : {}).end();
    });
  });
  await new Promise<void>((resolve) => { subscriber.listen(0, '127.0.0.1', resolve); });
  origin = `http://127.0.0.1:${(subscriber.address() as AddressInfo).port}`;
  gateway = await testGateway({ MEDSCAN_RETRY_SECONDS: '0.1' });
  ({ organizationId, integrationId } = await insertIntegration(gateway.db, 'North', 'EMR', 'fhir-rest'));
  await insertIntegration(gateway.db, 'South', 'EMR', 'fhir-rest');
  await gateway.db.asOwner('UPDATE external_integrations SET credentials_sealed = $2, settings = $3 WHERE integration_id = $1', [integrationId, gateway.db.keys.seal(credentialsPlace(integrationId), JSON.stringify({ subscription_signing_key: signingKey })), JSON.stringify({ subscription_origins: [origin] })]);
  await gateway.integrations.reload();
  token = (await createApiToken(gateway.db.database, { organizationName: 'North', role: 'service', name: 'EMR', scopes: undefined })).token;
  const [patient] = await gateway.db.asOwner<{ patient_id: string }>("INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'P1') RETURNING patient_id", [organizationId]);
  patientId = patient!.patient_id;
  const [scan] = await gateway.db.asOwner<{ scan_id: string }>("INSERT INTO scans (organization_id, patient_id, scan_number, scan_type, study_instance_uid) VALUES ($1, $2, 'S1', 'ct', '1.2.3') RETURNING scan_id", [organizationId, patientId]);
  scanId = scan!.scan_id;
});
afterAll(async () => {
  await gateway?.stop();
  subscriber?.closeAllConnections();
  subscriber?.close();
});
afterEach(async () => {
  await gateway.db.asOwner('DELETE FROM result_subscriptions');
  await gateway.db.asOwner("DELETE FROM pgboss.job WHERE name = 'notify' AND state < 'active'");
  [heard, statuses] = [[], []];
});

async function ask(method: string, path: string, options: { body?: object; as?: string } = {}): Promise<{ status: number; body: any; headers: Headers }> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.http}/fhir/r4/${path}`, {
    method, headers: { authorization: `Bearer ${options.as ?? token}`, ...(options.body === undefined ? {} : { 'content-type': 'application/fhir+json' }) }, ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}
const wanted = (channel: object = {}, more: object = {}, content = 'id-only'): object => ({
  resourceType: 'Subscription', status: 'requested', reason: 'results', criteria: topic, ...more,
  channel: { type: 'rest-hook', endpoint: `${origin}/hook`, payload: 'application/fhir+json', _payload: { extension: [{ url: `${guide}/backport-payload-content`, valueCode: content }] }, ...channel },
});
async function report(status: 'preliminary' | 'final' = 'preliminary', patient = patientId): Promise<string> {
  const reportId = uuidV7(), document = { ...sampleReport, reportId, status };
  await inOrganization(gateway.db.database, organizationId, async (tx) => {
    await insertReport(tx, { reportId, lineageId: reportId, version: 1, supersedes: undefined, scanId, analysisId: undefined, templateId: undefined, authorName: 'M', document });
    await announceResult(gateway.boss, tx, { organizationId, reportId, patientId: patient, document });
  });
  return reportId;
}
const parameter = (bundle: any, name: string): any[] => bundle.entry[0].resource.parameter.filter((each: any) => each.name === name);
const kindOf = ({ body }: { body: any }): string => parameter(body, 'type')[0].valueCode;
const numbersOf = (bundles: readonly { body: any }[]): number[] => bundles.flatMap(({ body }) => parameter(body, 'notification-event').map((event) => Number(event.part[0].valueString)));
const times = (count: number, kind: string): Promise<unknown> => eventually(async () => heard.filter((each) => kindOf(each) === kind).length >= count);
const rows = <Row extends object>(text: string): Promise<Row[]> => gateway.db.asOwner<Row & Record<string, unknown>>(text);

test('a subscriber hears the handshake and is active; then every result, numbered, in order, signed, with its own secret header', async () => {
  const made = await ask('POST', 'Subscription', { body: wanted({ header: ['Authorization: Bearer of the subscriber'] }) });
  expect([made.status, made.body.status, made.body.channel.header]).toEqual([201, 'requested', ['Authorization: (not shown)']]);
  expect(made.headers.get('location')).toBe(`http://127.0.0.1:${gateway.ports.http}/fhir/r4/Subscription/${made.body.id}`);
  await times(1, 'handshake');
  const reports = [await report(), await report('final'), await report()];
  await eventually(async () => numbersOf(heard).length === 3);
  expect(numbersOf(heard)).toEqual([1, 2, 3]);
  expect(heard.flatMap(({ body }) => body.entry.slice(1).map((entry: any) => [entry.fullUrl.split(/[:/]/).at(-1), entry.resource]))).toEqual(reports.map((id) => [id, undefined]));
  for (const { headers, text } of heard) {
    const [, seconds, digest] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['x-medscan-signature'])) ?? [];
    expect([headers.authorization, headers['content-type'], createHmac('sha256', signingKey).update(`${seconds}.${text}`).digest('hex')]).toEqual(['Bearer of the subscriber', 'application/fhir+json', digest]);
  }
  await eventually(async () => (await ask('GET', `Subscription/${made.body.id}`)).body.status === 'active');
  const [exchange] = await rows<{ n: number }>("SELECT count(*)::int AS n FROM sync_logs WHERE interaction = 'event-notification Subscription' AND message_status = 'delivered'");
  expect(exchange!.n).toBeGreaterThan(0);
  const [sealed] = await rows<{ text: string }>('SELECT row_to_json(s)::text AS text FROM result_subscriptions s');
  expect(sealed!.text).not.toContain('of the subscriber');
  expect(await rows("SELECT FROM audit_logs WHERE object_type = 'result_subscription' AND action = 'C'")).not.toEqual([]);
});

test('one that fails is in error and counted, waits in order, and hears everything once when it is back', async () => {
  const { body: { id } } = await ask('POST', 'Subscription', { body: wanted({ extension: [{ url: `${guide}/backport-max-count`, valuePositiveInt: 1 }] }, {}, 'full-resource') });
  await times(1, 'handshake');
  statuses = [503, 500, 302, 400];
  const reports = [await report(), await report()];
  await eventually(async () => statuses.length <= 1);
  expect((await ask('GET', `Subscription/${id}`)).body).toMatchObject({ status: 'error', error: expect.any(String) });
  await eventually(async () => numbersOf(heard).length === 2);
  expect(heard.filter((each) => kindOf(each) === 'event-notification').map(({ body }) => [body.entry.length, body.entry[1].resource.resourceType, body.entry[1].resource.id])).toEqual(reports.map((report) => [2, 'DiagnosticReport', report]));
  await eventually(async () => (await ask('GET', `Subscription/${id}/$status`)).body.entry[0].resource.parameter.find((each: any) => each.name === 'status').valueCode === 'active');
  expect(await rows("SELECT resolved_at IS NOT NULL AS resolved FROM system_alerts WHERE kind = 'subscription_failing'")).toEqual([{ resolved: true }]);
});

test.each([
  ['an origin that is not allowed', { endpoint: 'http://169.254.169.254/latest/meta-data' }, {}], ['an origin with a user name', { endpoint: 'http://user@127.0.0.1/' }, {}], ['another port of the same host', { endpoint: 'http://127.0.0.1:1/' }, {}],
  ['no endpoint', { endpoint: undefined }, {}], ['a file', { endpoint: 'file:///etc/passwd' }, {}], ['an e-mail channel', { type: 'email' }, {}], ['another topic', {}, { criteria: 'Observation?status=final' }],
  ['a header that splits the request', { header: ['X-A: b\r\nHost: c'] }, {}], ['a header of ours', { header: ['Host: elsewhere'] }, {}], ['no content', { _payload: undefined }, {}], ['an end in the past', {}, { end: '2020-01-01T00:00:00Z' }],
  ['a filter by name', {}, { _criteria: { extension: [{ url: `${guide}/backport-filter-criteria`, valueString: 'DiagnosticReport?code=1' }] } }], ['a heartbeat of a year', { extension: [{ url: `${guide}/backport-heartbeat-period`, valueUnsignedInt: 31_536_000 }] }, {}],
])('refuses %s, and calls nobody', async (_, channel, more) => {
  const { status, body } = await ask('POST', 'Subscription', { body: wanted(channel, more) });
  expect([status, body.resourceType, body.issue[0].expression?.[0]]).toEqual([422, 'OperationOutcome', expect.stringMatching(/^Subscription\./) as string]);
  expect(await rows('SELECT FROM result_subscriptions')).toEqual([]);
});

test('an origin that is taken away later is not called any more', async () => {
  await ask('POST', 'Subscription', { body: wanted() });
  await times(1, 'handshake');
  const settings = (origins: string[]): Promise<unknown> => gateway.db.asOwner('UPDATE external_integrations SET settings = $2 WHERE integration_id = $1', [integrationId, JSON.stringify({ subscription_origins: origins })]);
  await settings([]);
  await gateway.integrations.reload();
  await report();
  await eventually(async () => (await rows("SELECT FROM sync_logs WHERE interaction = 'event-notification Subscription' AND message_status = 'refused'")).length > 0);
  expect(numbersOf(heard)).toEqual([]);
  await settings([origin]);
  await gateway.integrations.reload();
  await eventually(async () => numbersOf(heard).length === 1);
});

test('nobody sees, reads or ends a subscription of another organization, and its results are told to nobody else', async () => {
  const other = (await createApiToken(gateway.db.database, { organizationName: 'South', role: 'service', name: 'EMR', scopes: undefined })).token;
  const { body: { id } } = await ask('POST', 'Subscription', { body: wanted() });
  for (const [method, path] of [['GET', `Subscription/${id}`], ['DELETE', `Subscription/${id}`], ['GET', `Subscription/${id}/$status`], ['GET', `Subscription/${id}/$events`], ['GET', `Subscription/${id}/$get-ws-binding-token`]] as const) expect([path, (await ask(method, path, { as: other })).status]).toEqual([path, 404]);
  expect((await ask('GET', 'Subscription', { as: other })).body.total).toBe(0);
  expect((await ask('GET', 'Subscription')).body.total).toBe(1);
  const reader = (await createApiToken(gateway.db.database, { organizationName: 'North', role: 'physician', name: 'P', scopes: undefined })).token;
  const narrow = (await createApiToken(gateway.db.database, { organizationName: 'North', role: 'service', name: 'N', scopes: ['system/Subscription.cruds'] })).token;
  expect([(await ask('POST', 'Subscription', { as: reader, body: wanted() })).status, (await ask('POST', 'Subscription', { as: narrow, body: wanted() })).status]).toEqual([403, 403]);
  expect((await ask('DELETE', `Subscription/${id}`)).status).toBe(204);
  expect((await ask('GET', `Subscription/${id}`)).status).toBe(404);
});

test('a disabled account hears nothing more, and goes on where it was when it is enabled again', async () => {
  await ask('POST', 'Subscription', { body: wanted() });
  await times(1, 'handshake');
  await gateway.db.asOwner("UPDATE users SET is_active = false WHERE organization_id = $1", [organizationId]);
  await report();
  await eventually(async () => (await rows("SELECT FROM pgboss.job WHERE name = 'notify' AND state < 'completed'")).length === 0);
  expect(numbersOf(heard)).toEqual([]);
  await gateway.db.asOwner("UPDATE users SET is_active = true WHERE organization_id = $1", [organizationId]);
  await eventually(async () => numbersOf(heard).length === 1);
});

test('a filter by patient and status leaves out the others, and $events gives what was told again', async () => {
  const { body: { id, _criteria } } = await ask('POST', 'Subscription', { body: wanted({}, { _criteria: { extension: [{ url: `${guide}/backport-filter-criteria`, valueString: `DiagnosticReport?patient=Patient/${patientId}&status=final` }] } }) });
  expect(_criteria.extension[0].valueString).toBe(`DiagnosticReport?patient=Patient/${patientId}&status=final`);
  await report('preliminary');
  await report('final', uuidV7());
  const final = await report('final');
  await eventually(async () => numbersOf(heard).length === 1);
  const again = await ask('GET', `Subscription/${id}/$events?eventsSinceNumber=1&content=full-resource`);
  expect([kindOf(again), again.body.entry[1].resource.id, again.body.entry[1].resource.status]).toEqual(['query-event', final, 'final']);
  expect((await ask('GET', `Subscription/${id}/$events?eventsSinceNumber=2`)).body.entry).toHaveLength(1);
  expect((await ask('GET', `Subscription/${id}/$events?eventsSinceNumber=x`)).status).toBe(400);
});

test('who asked for a patient hears of the one that this patient was merged into, however the id was written', async () => {
  const [prior] = await gateway.db.asOwner<{ patient_id: string }>("INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'P0') RETURNING patient_id", [organizationId]);
  const filter = { _criteria: { extension: [{ url: `${guide}/backport-filter-criteria`, valueString: `DiagnosticReport?patient=Patient/${prior!.patient_id.toUpperCase()}` }] } };
  expect((await ask('POST', 'Subscription', { body: wanted({}, filter) })).status).toBe(201);
  await times(1, 'handshake');
  await report('preliminary', prior!.patient_id);
  await eventually(async () => numbersOf(heard).length === 1);
  await gateway.db.asOwner('UPDATE patients SET is_active = false, merged_into_patient_id = $2 WHERE patient_id = $1', [prior!.patient_id, patientId]);
  await report();
  await eventually(async () => numbersOf(heard).length === 2);
  expect(numbersOf(heard)).toEqual([1, 2]);
});

test('while delivering to the system is paused nothing is told; resumed, everything is', async () => {
  await ask('POST', 'Subscription', { body: wanted() });
  await times(1, 'handshake');
  const pause = (at: string): Promise<unknown> => rows(`UPDATE external_integrations SET deliver_paused_at = ${at} WHERE integration_id = '${integrationId}'`);
  const done = async (): Promise<number> => (await rows<{ n: number }>("SELECT count(*)::int AS n FROM pgboss.job WHERE name = 'notify' AND state = 'completed'"))[0]!.n;
  await pause('now()');
  const before = await done();
  await report();
  await eventually(async () => await done() > before);
  expect(numbersOf(heard)).toEqual([]);
  await pause('NULL');
  await eventually(async () => numbersOf(heard).length === 1);
});

test('a quiet subscriber gets signs of life', async () => {
  await ask('POST', 'Subscription', { body: wanted({ extension: [{ url: `${guide}/backport-heartbeat-period`, valueUnsignedInt: 1 }] }) });
  await times(1, 'heartbeat');
});

/** Connects, binds, and collects what comes. */
async function follow(id: string, as = token): Promise<{ socket: WebSocket; messages: { body: any }[] }> {
  const { body } = await ask('POST', `Subscription/${id}/$get-ws-binding-token`, { as });
  const value = (name: string): any => body.parameter.find((each: any) => each.name === name);
  expect(value('websocket-url').valueUrl).toBe(`ws://127.0.0.1:${gateway.ports.http}/fhir/r4/subscriptions/websocket`);
  const socket = new WebSocket(value('websocket-url').valueUrl), messages: { body: any }[] = [];
  socket.on('message', (data) => messages.push({ body: JSON.parse(String(data)) }));
  await new Promise((resolve, reject) => { socket.once('open', resolve).once('error', reject); });
  socket.send(`bind-with-token ${value('token').valueString}`);
  return { socket, messages };
}

test('by websocket: handshake, events in order, and after a break from where it ended', async () => {
  const { body: { id } } = await ask('POST', 'Subscription', { body: wanted({ type: 'websocket', endpoint: undefined }) });
  const first = await follow(id);
  await eventually(async () => first.messages.some((each) => kindOf(each) === 'handshake'));
  await report();
  await report();
  await eventually(async () => numbersOf(first.messages).length === 2);
  first.socket.close();
  await report();
  const second = await follow(id);
  await eventually(async () => numbersOf(second.messages).length === 1);
  expect([numbersOf(first.messages), numbersOf(second.messages)]).toEqual([[1, 2], [3]]);
  const closed = new Promise<number>((resolve) => { second.socket.once('close', resolve); });
  await ask('DELETE', `Subscription/${id}`);
  expect(await closed).toBe(1000);
});

test('a websocket ends when the token that asked for it is revoked', async () => {
  const { token: own, sessionId } = await createApiToken(gateway.db.database, { organizationName: 'North', role: 'service', name: 'lost', scopes: undefined });
  const { body: { id } } = await ask('POST', 'Subscription', { body: wanted({ type: 'websocket', endpoint: undefined }), as: own });
  const { socket, messages } = await follow(id, own);
  await eventually(async () => messages.some((each) => kindOf(each) === 'handshake'));
  const closed = new Promise<number>((resolve) => { socket.once('close', resolve); });
  await gateway.db.asOwner('UPDATE user_sessions SET revoked_at = now() WHERE session_id = $1', [sessionId]);
  await report();
  expect(await closed).toBe(1000);
  expect(numbersOf(messages)).toEqual([]);
});

test('a websocket without a good token is closed, and one elsewhere is not taken', async () => {
  const closeCode = (path: string, text: string): Promise<number> => new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.http}${path}`);
    socket.once('open', () => socket.send(text)).once('close', resolve).on('error', () => undefined);
  });
  expect(await closeCode('/fhir/r4/subscriptions/websocket', 'bind-with-token forged')).toBe(1008);
  expect(await closeCode('/fhir/r4/subscriptions/websocket', 'x'.repeat(9000))).toBe(1009);
  expect(await closeCode('/fhir/r4/elsewhere', '')).toBe(1006);
});

test('a gateway that stops does not wait for its websockets', async () => {
  const stopping = await testGateway({ MEDSCAN_STOP_SECONDS: '25' });
  const socket = new WebSocket(`ws://127.0.0.1:${stopping.ports.http}/fhir/r4/subscriptions/websocket`);
  await new Promise((resolve, reject) => { socket.once('open', resolve).once('error', reject); });
  const closed = new Promise((resolve) => { socket.once('close', resolve).on('error', () => undefined); });
  const started = performance.now();
  await stopping.stop();
  expect(performance.now() - started, 'less than the time that what is under way is given').toBeLessThan(20_000);
  await closed;
});
