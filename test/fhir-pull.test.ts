/** Fetching from an EMR that does not send: by _lastUpdated, overlap-safe and idempotent, through a running gateway. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createApiToken } from '../src/db/user-sessions.ts';
import { eventually, testGateway, type TestGateway } from './support/gateway.ts';
import { insertIntegration } from './support/pipeline.ts';

interface Held { readonly resourceType: string; readonly id: string; readonly meta: { readonly versionId: string; readonly lastUpdated: string }; readonly [name: string]: unknown }
let gateway: TestGateway, emr: Server, base: string, integrationId: string, organizationId: string;
const arrivals: { readonly url: URL; readonly at: number }[] = [];
let onAsked: ((url: URL) => Promise<void>) | undefined;
let held: Held[] = [], asked: URL[] = [], failing: ((url: URL) => number) | undefined, clockSkewMilliseconds = 0, isSorting = true;
const PAGE = 2;

/** An EMR that only answers searches, two to a page, and whose clock may be wrong. */
beforeAll(async () => {
  emr = createServer(async (request, response) => {
    const url = new URL(request.url ?? '', base), [, , type = ''] = url.pathname.split('/');
    asked.push(url);
    arrivals.push({ url, at: Date.now() });
    const status = failing?.(url) ?? 200, since = Date.parse(url.searchParams.get('_lastUpdated')?.replace('ge', '') ?? ''), page = Number(url.searchParams.get('page') ?? 0);
    const matches = held.filter((resource) => resource.resourceType === type && Date.parse(resource.meta.lastUpdated) >= since).toSorted((a, b) => (Date.parse(a.meta.lastUpdated) - Date.parse(b.meta.lastUpdated)) * (isSorting ? 1 : -1));
    const next = new URL(url);
    next.searchParams.set('page', String(page + 1));
    const body = { resourceType: 'Bundle', type: 'searchset', entry: matches.slice(page * PAGE, (page + 1) * PAGE).map((resource) => ({ resource })), link: matches.length > (page + 1) * PAGE ? [{ relation: 'next', url: next.href }] : [] };
    const seen = JSON.stringify(status === 200 ? body : { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'throttled' }] });
    await onAsked?.(url);
    response.writeHead(status, { 'content-type': 'application/fhir+json', date: new Date(Date.now() + clockSkewMilliseconds).toUTCString() }).end(seen);
  });
  await new Promise<void>((resolve) => { emr.listen(0, '127.0.0.1', resolve); });
  base = `http://127.0.0.1:${(emr.address() as AddressInfo).port}/fhir`;
  gateway = await testGateway();
  ({ integrationId, organizationId } = await insertIntegration(gateway.db, 'North', 'EMR', 'fhir-rest'));
  await gateway.db.asOwner("UPDATE external_integrations SET kind = 'emr', direction = 'inbound', settings = $2 WHERE integration_id = $1", [integrationId, JSON.stringify({ base_url: base, pull_types: ['Patient', 'ServiceRequest'], pull_seconds: 5 })]);
  await gateway.integrations.reload();
});
afterAll(async () => {
  await gateway?.stop();
  emr?.closeAllConnections();
  emr?.close();
});
beforeEach(() => { [asked, failing, onAsked] = [[], undefined, undefined]; });

const now = (): string => new Date(Date.now() + clockSkewMilliseconds).toISOString();
const patient = (id: string, more: object = {}, versionId = '1'): Held => ({ resourceType: 'Patient', id, meta: { versionId, lastUpdated: now() }, identifier: [{ system: 'urn:oid:1.2.3', value: `N-${id}` }], name: [{ family: `Family-${id}` }], ...more });
const order = (id: string, subject: string): Held => ({ resourceType: 'ServiceRequest', id, meta: { versionId: '1', lastUpdated: now() }, status: 'active', intent: 'order', identifier: [{ type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] }, value: `A-${id}` }], code: { text: 'CT' }, subject: { reference: `Patient/${subject}` } });
/** A look at the EMR that begins after this, to its end: one that is under way now, and knows nothing of what the test has changed, does not count. */
async function nextRun(): Promise<void> {
  const from = arrivals.length;
  await gateway.db.asOwner('UPDATE record_pulls SET next_run_at = now()');
  await gateway.boss.send('pull', { organizationId, integrationId });
  await eventually(async () => {
    const begun = arrivals.slice(from), first = begun.findIndex(({ url }) => url.pathname.endsWith('/Patient') && !url.searchParams.has('page'));
    const last = first < 0 ? undefined : begun.slice(first).find(({ url }) => url.pathname.endsWith('/ServiceRequest'));
    return last !== undefined && (await gateway.db.asOwner("SELECT FROM record_pulls WHERE resource_type = 'ServiceRequest' AND last_run_at >= $1", [new Date(last.at)])).length > 0;
  }, 60_000);
}
const patients = async (): Promise<string[]> => (await gateway.db.asOwner<{ family_name: string }>('SELECT family_name FROM patients ORDER BY family_name')).map((row) => row.family_name);
const accepted = async (): Promise<number> => (await gateway.db.asOwner<{ n: number }>("SELECT count(*)::int AS n FROM sync_logs WHERE direction = 'inbound' AND message_status = 'accepted'"))[0]!.n;

test('what changed is received as if it had been sent, page by page, patients before their orders, and what was read before changes nothing', async () => {
  held = ['1', '2', '3', '4', '5'].map((id) => patient(id));
  held.push(order('o1', '3'));
  await eventually(async () => (await gateway.db.asOwner('SELECT FROM scans')).length === 1, 30_000);
  expect(await patients()).toEqual(['Family-1', 'Family-2', 'Family-3', 'Family-4', 'Family-5']);
  expect(await gateway.db.asOwner("SELECT p.family_name, s.accession_number FROM scans s JOIN patients p USING (organization_id, patient_id)")).toEqual([{ family_name: 'Family-3', accession_number: 'A-o1' }]);
  expect(asked.filter(({ pathname }) => pathname.endsWith('/Patient')).length).toBeGreaterThanOrEqual(3);
  const before = await accepted();
  await nextRun();
  expect([await patients(), await accepted()]).toEqual([['Family-1', 'Family-2', 'Family-3', 'Family-4', 'Family-5'], before]);
  held[1] = patient('2', { name: [{ family: 'Renamed' }] }, '2');
  await nextRun();
  expect([await patients(), await accepted()]).toEqual([['Family-1', 'Family-3', 'Family-4', 'Family-5', 'Renamed'], before + 1]);
});

test('a server that fails on its second page loses nothing: the next look goes on, and a person is told of lasting trouble', async () => {
  failing = (url) => (url.pathname.endsWith('/Patient') && url.searchParams.get('page') === '1' ? 503 : 200);
  held = [patient('6'), patient('7'), patient('8')];
  await nextRun();
  expect(await patients()).not.toContain('Family-8');
  failing = () => 500;
  for (let time = 0; time < 3; time += 1) await nextRun();
  expect(await gateway.db.asOwner("SELECT DISTINCT kind FROM system_alerts WHERE resolved_at IS NULL AND subject LIKE 'EMR: %'")).toEqual([{ kind: 'pull_failing' }]);
  failing = undefined;
  await nextRun();
  expect(await patients()).toEqual(expect.arrayContaining(['Family-6', 'Family-7', 'Family-8']));
  expect(await gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'pull_failing' AND resolved_at IS NULL")).toEqual([]);
});

test('a resource that is invalid is on record with the place of its fault, and does not hold up the others', async () => {
  held = [patient('9', { gender: 'unheard-of' }), patient('10')];
  await nextRun();
  expect(await patients()).toContain('Family-10');
  expect(await gateway.db.asOwner("SELECT DISTINCT error_location FROM sync_logs WHERE direction = 'inbound' AND message_status = 'rejected'")).toMatchObject([{ error_location: 'Patient.gender' }]);
});

test('a clock that is an hour slow, and times in the future, leave nothing out', async () => {
  clockSkewMilliseconds = -3_600_000;
  await gateway.db.asOwner("UPDATE record_pulls SET read_until = now() - interval '2 h'");
  held = [patient('11')];
  await nextRun();
  held.push({ ...patient('12'), meta: { versionId: '1', lastUpdated: '2099-01-01T00:00:00Z' } });
  await nextRun();
  held.push(patient('13'));
  await nextRun();
  expect(await patients()).toEqual(expect.arrayContaining(['Family-11', 'Family-12', 'Family-13']));
});

test('a page that fails time and again is told to a person, although those before it can be read', async () => {
  clockSkewMilliseconds = 0;
  failing = (url) => (url.pathname.endsWith('/Patient') && url.searchParams.get('page') === '1' ? 500 : 200);
  held = [patient('14'), patient('15'), patient('16')];
  for (let time = 0; time < 3; time += 1) await nextRun();
  expect(await gateway.db.asOwner("SELECT subject FROM system_alerts WHERE kind = 'pull_failing' AND resolved_at IS NULL")).toEqual([{ subject: 'EMR: Patient' }]);
  failing = undefined;
  await nextRun();
  expect(await gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'pull_failing' AND resolved_at IS NULL")).toEqual([]);
  expect(await patients()).toEqual(expect.arrayContaining(['Family-14', 'Family-15', 'Family-16']));
});

test('what the system sends itself while it is asked is newer than what it answers, and stays', async () => {
  const { token } = await createApiToken(gateway.db.database, { organizationName: 'North', role: 'service', name: 'EMR' });
  held = [patient('21', { name: [{ family: 'Asked' }] })];
  onAsked = async ({ pathname }) => {
    if (!pathname.endsWith('/Patient')) return;
    onAsked = undefined;
    held = [patient('21', { name: [{ family: 'Sent' }] }, '2')];
    const { meta: _, ...sent } = held[0]!;
    expect((await fetch(`http://127.0.0.1:${gateway.ports.http}/fhir/r4/Patient/21`, { method: 'PUT', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' }, body: JSON.stringify(sent) })).status).toBe(201);
  };
  await gateway.db.asOwner('UPDATE record_pulls SET next_run_at = now()');
  await gateway.boss.send('pull', { organizationId, integrationId });
  const [told] = await eventually(async () => { const rows = await gateway.db.asOwner<{ message_status: string }>("SELECT message_status FROM sync_logs WHERE control_id LIKE 'Patient/%N-21#1'"); return rows.length > 0 && rows; });
  expect([told, (await patients()).includes('Sent')]).toEqual([{ message_status: 'rejected' }, true]);
  await nextRun();
  expect([(await patients()).includes('Sent'), (await patients()).includes('Asked')]).toEqual([true, false]);
}, 60_000);

test('a server that does not sort loses nothing when it fails on its second page', async () => {
  const ago = (id: string, minutes: number): Held => ({ ...patient(id), meta: { versionId: '1', lastUpdated: new Date(Date.now() - minutes * 60_000).toISOString() } });
  await gateway.db.asOwner("UPDATE record_pulls SET read_until = now() - interval '2 h'");
  isSorting = false;
  held = [ago('17', 100), ago('18', 80), ago('19', 60), ago('20', 1)];
  failing = (url) => (url.pathname.endsWith('/Patient') && url.searchParams.get('page') === '1' ? 503 : 200);
  await nextRun();
  expect(await patients()).toContain('Family-20');
  failing = undefined;
  await nextRun();
  expect(await patients()).toEqual(expect.arrayContaining(['Family-17', 'Family-18', 'Family-19', 'Family-20']));
});
