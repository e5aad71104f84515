import { existsSync } from 'node:fs';
import { serve, type ServerType } from '@hono/node-server';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { apiFixture, auditOf, password, type Answer, type ApiFixture } from '../api/support.ts';

let api: ApiFixture;
/** Of which system parked reports were sent again. */
const asked: (string | undefined)[] = [];
beforeAll(async () => {
  api = await apiFixture();
  api.commands.resendParked = async (_organizationId, integrationId) => { asked.push(integrationId); return { resent: [], leftOut: [] }; };
});
afterAll(() => api.close());

const origin = 'http://localhost';
const encoded = { 'content-type': 'application/x-www-form-urlencoded' };
async function cookieOf(email: string): Promise<string> {
  const answer = await api.call('POST', '/login', { origin, body: new URLSearchParams({ email, password }).toString(), headers: encoded });
  return answer.headers.get('set-cookie')!.split(';')[0]!;
}
const get = (path: string, cookie: string): Promise<Answer> => api.call('GET', path, { cookie });
const post = (path: string, cookie: string, fields: Record<string, string> = {}, from = origin): Promise<Answer> => api.call('POST', path, { cookie, origin: from, body: new URLSearchParams(fields).toString(), headers: encoded });
const pages = ({ ids } = api.north): string[] => ['/messages', `/messages/${ids['sync_id']}`, '/dead-letters', '/replays', `/replays/${ids['replay_id']}`, '/systems', `/systems/${ids['integration_id']}`, `/systems/${ids['integration_id']}/edit`, `/systems/${ids['integration_id']}/try`, `/systems/${ids['integration_id']}/conformance`, '/associations', `/associations/${ids['association_id']}`];
/** What a nurse may see, too. */
const scanPages = ({ ids } = api.north): string[] => ['/scans', `/scans/${ids['scan_id']}`, `/scans/${ids['scan_id']}/images/${ids['scan_file_id']}`, `/reports/${ids['report_id']}`, '/alerts'];

test('every page wants a sign-in, and a role sees only what it may', async () => {
  for (const path of [...pages(), ...scanPages()]) {
    const nobody = await api.call('GET', path);
    expect([nobody.status, nobody.headers.get('location')], path).toEqual([303, `/login?next=${encodeURIComponent(path)}`]);
  }
  const nurse = await cookieOf(api.north.emails.nurse), technician = await cookieOf(api.north.emails.technician);
  for (const path of pages()) expect((await get(path, nurse)).status, path).toBe(403);
  for (const path of scanPages()) expect((await get(path, nurse)).status, path).toBe(200);
  expect((await get('/', nurse)).text).not.toMatch(/href="\/(messages|dead-letters|replays|systems|associations)"/);
  for (const [path, status] of [['/messages', 200], ['/dead-letters', 200], ['/replays', 403], ['/systems', 200]] as const) expect((await get(path, technician)).status, path).toBe(status);
  const message = await get(`/messages/${api.north.ids['sync_id']}`, technician);
  expect(message.text).toContain('Your role may not see the content of messages.');
  expect(message.text).not.toContain('Rows it made');
  expect((await get('/dead-letters', technician)).text).not.toContain('Send now');
  for (const path of [`/dead-letters/deliveries/${api.north.ids['delivery_id']}/again`, `/systems/${api.north.ids['integration_id']}/pause`, '/replays']) expect((await post(path, technician, { receive: 'on' })).status, path).toBe(403);
});

test('what belongs to another organization is not there', async () => {
  const cookie = await cookieOf(api.north.emails.administrator), { ids } = api.south;
  for (const path of [`/messages/${ids['sync_id']}`, `/replays/${ids['replay_id']}`, `/systems/${ids['integration_id']}`, `/systems/${ids['integration_id']}/try`, `/systems/${ids['integration_id']}/conformance`, `/scans/${ids['scan_id']}`, `/scans/${api.north.ids['scan_id']}/images/${ids['scan_file_id']}`, `/scans/${ids['scan_id']}/images/${ids['scan_file_id']}/picture`, `/reports/${ids['report_id']}`, `/associations/${ids['association_id']}`, `/scans/of-analysis/${ids['analysis_id']}`]) expect((await get(path, cookie)).status, path).toBe(404);
  for (const path of [`/messages/${ids['sync_id']}/replay`, `/dead-letters/deliveries/${ids['delivery_id']}/again`, `/dead-letters/notices/${ids['notice_id']}/again`, `/dead-letters/jobs/${ids['dead_job_id']}/again`, `/systems/${ids['integration_id']}/pause`, `/systems/${ids['integration_id']}/test`, `/scans/${ids['scan_id']}/complete`, `/scans/${ids['scan_id']}/priors`, `/scans/${ids['scan_id']}/images/${ids['scan_file_id']}/decide`, `/reports/${ids['report_id']}/withdraw`, `/alerts/${ids['alert_id']}/acknowledge`]) expect((await post(path, cookie, { receive: 'on', reason: 'a reason', decision: 'use' })).status, path).toBe(404);
  for (const path of [...pages(), ...scanPages()]) expect((await get(path, cookie)).text, path).not.toContain('south');
});

test('opening a page is on record, and looking at a message names its patient', async () => {
  const cookie = await cookieOf(api.north.emails.integrator);
  for (const path of pages()) expect((await auditOf(api.db, await get(path, cookie))).length, path).toBe(1);
  const administrator = await cookieOf(api.north.emails.administrator);
  for (const path of scanPages()) expect((await auditOf(api.db, await get(path, administrator))).length, path).toBe(1);
  expect(await auditOf(api.db, await get(`/scans/${api.north.ids['scan_id']}`, administrator))).toMatchObject([{ event_code: '110109', patient_id: api.north.ids['patient_id'] }]);
  expect(await auditOf(api.db, await get(`/messages/${api.north.ids['sync_id']}`, cookie))).toMatchObject([{ event_code: '110106', action: 'R', object_id: api.north.ids['sync_id'], patient_id: api.north.ids['patient_id'] }]);
});

test('who may not see patients sees no patient\'s number in what FHIR calls a message, but where the whole message is shown', async () => {
  const controlId = 'Patient/urn:oid:1.2.3|SECRET-77#7', { organizationId, organizationName, ids } = { organizationName: (await api.db.asOwner<{ name: string }>('SELECT name FROM organizations WHERE organization_id = $1', [api.north.organizationId]))[0]!.name, ...api.north };
  const [row] = await api.db.asOwner<{ sync_id: string }>(`INSERT INTO sync_logs (organization_id, integration_id, adapter, direction, interaction, control_id, message_status, facts, correlation_id)
    VALUES ($1, $2, 'fhir-rest', 'inbound', 'update Patient', $3, 'accepted', '{"id": "SECRET-77", "interaction": "update"}', $4) RETURNING sync_id`, [organizationId, ids['integration_id'], controlId, ids['sync_id']]);
  await api.db.asOwner('UPDATE sync_logs SET correlation_id = $2 WHERE organization_id = $1 AND sync_id = $3', [organizationId, row!.sync_id, ids['sync_id']]);
  await api.db.asOwner("INSERT INTO message_replay_items (organization_id, replay_id, sync_id) VALUES ($1, $2, $3)", [organizationId, ids['replay_id'], row!.sync_id]);
  const narrow = (await createApiToken(api.db.database, { organizationName, role: 'technician', name: 'narrow', scopes: ['exchanges:read'] })).token, { integrator, technician, administrator } = api.north.tokens;
  const ways = ['', `/${row!.sync_id}`, `?control_id=${encodeURIComponent(controlId)}`];
  for (const [token, sees, finds] of [[narrow, false, 0], [integrator, false, 1], [technician, true, 1], [administrator, true, 1]] as const) {
    const answers = await Promise.all(ways.map((way) => api.call('GET', `/api/v1/sync-logs${way}`, { token })));
    expect([answers.map(({ status }) => status), answers.some(({ text }) => text.includes('SECRET-77')), answers[2]!.body.items.length]).toEqual([[200, 200, 200], sees, finds]);
  }
  expect((await api.call('GET', `/api/v1/sync-logs/${row!.sync_id}`, { token: integrator })).body).toMatchObject({ control_id: 'Patient/…#7', facts: { interaction: 'update' } });
  expect((await api.call('POST', '/api/v1/sync-logs/search', { token: integrator, body: { text: controlId } })).body.items).toMatchObject([{ control_id: 'Patient/…#7' }]);
  expect((await api.call('GET', `/api/v1/message-replays/${ids['replay_id']}/messages`, { token: integrator })).body.items).toContainEqual(expect.objectContaining({ control_id: 'Patient/…#7' }));
  const cookie = await cookieOf(api.north.emails.integrator);
  for (const path of ['/messages', `/messages/${ids['sync_id']}`, `/replays/${ids['replay_id']}`]) expect([path, (await get(path, cookie)).text.includes('Patient/…#7'), (await get(path, cookie)).text.includes('SECRET-77')]).toEqual([path, true, false]);
  const whole = await get(`/messages/${row!.sync_id}`, cookie);
  expect([whole.text.includes('SECRET-77'), (await auditOf(api.db, whole))[0]]).toMatchObject([true, { event_code: '110106' }]);
  for (const table of ['message_replay_items', 'sync_logs']) await api.db.asOwner(`DELETE FROM ${table} WHERE organization_id = $1 AND sync_id = $2`, [organizationId, row!.sync_id]);
  await api.db.asOwner('UPDATE sync_logs SET correlation_id = NULL WHERE organization_id = $1 AND sync_id = $2', [organizationId, ids['sync_id']]);
});

test('a patient\'s number is looked for in the body, never in an address', async () => {
  const cookie = await cookieOf(api.north.emails.integrator);
  const found = await post('/messages', cookie, { text: 'MRN-north', direction: 'inbound' });
  expect(found.status).toBe(200);
  expect(found.text).toContain(`/messages/${api.north.ids['sync_id']}`);
  expect((await post('/messages', cookie, { text: 'MRN-south' })).text).toContain('No message matches.');
  const byControlId = await post('/messages', cookie, { control_id: 'Patient/urn:oid:1.2|MRN-north#1' });
  expect([byControlId.status, byControlId.headers.get('location')]).toEqual([200, null]);
  const plain = await post('/messages', cookie, { message_status: 'rejected', text: '' });
  expect([plain.status, plain.headers.get('location')]).toEqual([303, '/messages?message_status=rejected']);
  expect((await get('/messages?message_status=no-such', cookie)).text).toContain('role="alert"');
});

test('a form of another site changes nothing, and a sentence in a link does not show', async () => {
  const cookie = await cookieOf(api.north.emails.administrator);
  for (const path of [`/dead-letters/deliveries/${api.north.ids['delivery_id']}/again`, '/dead-letters/resend', `/systems/${api.north.ids['integration_id']}/pause`, '/replays']) expect((await post(path, cookie, { receive: 'on' }, 'https://evil.example')).status, path).toBe(403);
  expect((await get('/systems?word=Call+0900+1234&done=Call+0900+1234', cookie)).text).not.toContain('0900');
  const paused = await post(`/systems/${api.north.ids['integration_id']}/pause`, cookie, { receive: 'on' });
  expect(paused.status).toBe(303);
  expect((await get(paused.headers.get('location')!, cookie)).text).toContain('role="status">Paused.');
  expect((await get(paused.headers.get('location')!, await cookieOf(api.north.emails.integrator))).text, 'nor for somebody else').not.toContain('role="status"');
});

test('a system is connected and changed on a page; what is wrong is said beside what was typed, and secrets are not shown', async () => {
  const cookie = await cookieOf(api.north.emails.integrator), technician = await cookieOf(api.north.emails.technician), one = `/systems/${api.north.ids['integration_id']}/edit`;
  expect([(await get('/systems/new', technician)).status, (await get(one, technician)).status, (await post(one, technician, {})).status]).toEqual([403, 403, 403]);
  expect((await get(`/systems/${api.south.ids['integration_id']}/edit`, cookie)).status).toBe(404);
  expect((await get('/systems/new', cookie)).text).toContain('href="/systems/new?adapter=fake"');
  const open = await get(one, cookie);
  expect(open.text).toContain('host: pacs.example');
  expect(open.text).not.toContain('must not be shown');
  const fields = { name: 'PACS 2', kind: 'pacs', direction: 'both', enabled: 'on', settings: 'host: a.example\nport: 104\n' };
  for (const [settings, words] of [['host: [a', 'The settings are not YAML'], ['- a', 'lines of'], ['a: &a\n  b: *a', 'refer to themselves'], ['port: wrong', '<strong>port</strong>: must be a number']] as const) {
    const refused = await post('/systems/new?adapter=fake', cookie, { ...fields, settings });
    expect([refused.status, refused.text.includes(words), refused.text.includes('value="PACS 2"')], settings).toEqual([422, true, true]);
  }
  expect((await post('/systems/new?adapter=none', cookie, fields)).status).toBe(404);
  expect((await post('/systems/new?adapter=fake', cookie, fields, 'https://evil.example')).status).toBe(403);
  const before = api.commands.reloads.count, saved = await post('/systems/new?adapter=fake', cookie, fields);
  expect([saved.status, api.commands.saved.at(-1), api.commands.reloads.count]).toMatchObject([303, { name: 'PACS 2', adapter: 'fake', settings: { host: 'a.example', port: 104 }, isEnabled: true }, before + 1]);
  expect((await get(saved.headers.get('location')!, cookie)).text).toContain('Saved as version 1. Try the connection now.');
  expect((await post(one, cookie, { ...fields, name: 'PACS', expected_version: '7' })).text).toContain('Somebody changed it meanwhile: it has version 1 now.');
  expect((await post(one, cookie, { name: 'PACS', kind: 'pacs', direction: 'both', settings: 'host: b.example', expected_version: '1' })).status).toBe(303);
  expect(api.commands.saved.at(-1)).toMatchObject({ isEnabled: false, settings: { host: 'b.example' } });
});

test('after the sign-in a person comes to the page that was asked for, and never to another site', async () => {
  const asked = await api.call('GET', '/messages?message_status=rejected');
  expect(asked.headers.get('location')).toBe('/login?next=%2Fmessages%3Fmessage_status%3Drejected');
  expect((await api.call('GET', asked.headers.get('location')!)).text).toContain('name="next" value="/messages?message_status=rejected"');
  const signIn = async (next: string): Promise<string | null> => (await api.call('POST', '/login', { origin, headers: encoded, body: new URLSearchParams({ email: api.north.emails.integrator, password, next }).toString() })).headers.get('location');
  expect(await signIn('/messages?message_status=rejected')).toBe('/messages?message_status=rejected');
  for (const next of ['//evil.example', '/\\evil.example', 'https://evil.example', '/api/v1/scans', '/logout', '/login', '/a\r\nset-cookie: x', 'javascript:alert(1)']) expect(await signIn(next), next).toBe('/');
});

test('an address where nothing is answers a browser with a page, and a program with a problem; what fails is told in words', async () => {
  const nothing = await api.call('GET', '/scan', { headers: { accept: 'text/html,*/*' } });
  expect([nothing.status, nothing.text.includes('There is nothing at this address')]).toEqual([404, true]);
  expect((await api.call('GET', '/scan')).headers.get('content-type')).toBe('application/problem+json');
  const cookie = await cookieOf(api.north.emails.administrator), statement = api.commands.conformanceStatement;
  api.commands.conformanceStatement = async () => { throw new Error('the inside of it'); };
  const failed = await get(`/systems/${api.north.ids['integration_id']}/conformance`, cookie);
  api.commands.conformanceStatement = statement;
  expect([failed.status, failed.text.includes('This did not work'), failed.text.includes('the inside of it'), failed.text.includes(failed.headers.get('x-request-id')!)]).toEqual([500, true, false, true]);
  expect(api.logLines.some((line) => line.includes('a page failed'))).toBe(true);
});

test('a radiologist confirms or rejects a finding on the page of its scan; nobody else is offered it, and its critical alert ends', async () => {
  const { organizationId, ids, emails } = api.north, page = `/scans/${ids['scan_id']}`, path = `${page}/findings/${ids['finding_id']}/review`;
  const [radiologist, physician] = [await cookieOf(emails.radiologist), await cookieOf(emails.physician)];
  const [scan] = await api.db.asOwner<{ scan_number: string }>('SELECT scan_number FROM scans WHERE scan_id = $1', [ids['scan_id']]);
  await api.db.asOwner("INSERT INTO system_alerts (organization_id, kind, severity, subject, message) VALUES ($1, 'critical_finding', 'critical', $2, 'A critical finding waits')", [organizationId, `scan ${scan!.scan_number}`]);
  expect((await get(page, physician)).text).toContain('Nodule, 9 mm');
  expect((await get(page, physician)).text).not.toContain('aria-label="Confirm: ');
  expect((await get(page, radiologist)).text).toContain('aria-label="Confirm: Nodule, 9 mm"');
  expect((await post(path, physician, { is_confirmed: 'true' })).status).toBe(403);
  expect((await get((await post(path, radiologist, { is_confirmed: 'perhaps' })).headers.get('location')!, radiologist)).text).toContain('Confirm the finding, or reject it.');
  expect((await post(`${page}/findings/${api.south.ids['finding_id']}/review`, radiologist, { is_confirmed: 'true' })).status).toBe(404);
  const done = await post(path, radiologist, { is_confirmed: 'false' });
  expect((await get(done.headers.get('location')!, radiologist)).text).toMatch(/Rejected: Nodule, 9 mm[\s\S]*rejected by a person/);
  expect(await auditOf(api.db, done)).toMatchObject([{ object_type: 'finding', patient_id: ids['patient_id'], detail: { is_confirmed: false } }]);
  expect(await api.db.asOwner("SELECT resolved_at IS NOT NULL AS ended FROM system_alerts WHERE organization_id = $1 AND kind = 'critical_finding'", [organizationId])).toEqual([{ ended: true }]);
  expect((await get(page, radiologist)).text).not.toContain('aria-label="Reject: ');
});

test('dead letters of one system stay with it, are sent again together, and go on page by page', async () => {
  const { organizationId, ids, emails } = api.north, cookie = await cookieOf(emails.administrator);
  await api.db.asOwner("UPDATE deliveries SET status = 'refused', last_text = 'AE' WHERE organization_id = $1", [organizationId]);
  await api.db.asOwner("INSERT INTO dead_jobs (organization_id, queue_name, job_data, scan_id) SELECT $1, 'job ' || n, '{}', $2 FROM generate_series(1, 60) n", [organizationId, ids['scan_id']]);
  const all = await get('/dead-letters', cookie);
  expect(all.text).toContain(`/messages?delivery_id=${ids['delivery_id']}`);
  expect(all.text.match(/>Try again</g)).toHaveLength(50);
  const older = await get(/href="(\/dead-letters\?jobs=[^"]+)"/.exec(all.text)![1]!, cookie);
  expect(older.text.match(/>Try again</g)).toHaveLength(11);
  expect((await get('/dead-letters?jobs=nonsense', cookie)).status).toBe(422);
  const ofSystem = `/dead-letters?integration_id=${ids['integration_id']}`;
  const one = await get(ofSystem, cookie);
  expect(one.text).toContain('Parked reports of PACS');
  expect(one.text).not.toContain('>Try again<');
  const resent = await post('/dead-letters/resend', cookie, { integration_id: ids['integration_id']! });
  expect(resent.headers.get('location')).toMatch(new RegExp(`^/dead-letters\\?integration_id=${ids['integration_id']}&word=`));
  expect((await get(resent.headers.get('location')!, cookie)).text).toContain('role="status"');
  expect(asked.at(-1)).toBe(ids['integration_id']);
  await api.db.asOwner("DELETE FROM dead_jobs WHERE organization_id = $1 AND queue_name LIKE 'job %'", [organizationId]);
});

test('patients, pictures and headers are for the roles that may see them, on the pages of scans too', async () => {
  const { ids, emails, organizationId } = api.north, scan = `/scans/${ids['scan_id']}`, image = `${scan}/images/${ids['scan_file_id']}`;
  await api.db.asOwner("UPDATE scan_files SET rows = 512, columns = 512 WHERE organization_id = $1", [organizationId]);
  const sees = async (email: string): Promise<{ name: boolean; picture: boolean; header: boolean; decides: boolean; drawn: number }> => {
    const cookie = await cookieOf(email), pages = await Promise.all(['/scans', scan, image].map((path) => get(path, cookie)));
    const text = pages.map((page) => page.text).join('');
    return { name: /Müller-north|MRN-north/.test(text), picture: text.includes('<img'), header: !text.includes('Your role may not see the content of images.'), decides: text.includes(`action="${image}/decide"`), drawn: (await get(`${image}/picture`, cookie)).status };
  };
  expect(await sees(emails.nurse)).toEqual({ name: true, picture: false, header: false, decides: false, drawn: 403 });
  expect(await sees(emails.physician)).toEqual({ name: true, picture: true, header: true, decides: false, drawn: 200 });
  expect(await sees(emails.technician)).toEqual({ name: true, picture: true, header: true, decides: true, drawn: 200 });
  expect(await sees(emails.integrator)).toEqual({ name: false, picture: false, header: true, decides: true, drawn: 403 });
  const physician = await cookieOf(emails.physician), drawn = await get(`${image}/picture`, physician);
  expect([drawn.headers.get('content-type'), drawn.headers.get('x-content-type-options'), drawn.text.includes('cannot be shown')]).toEqual(['image/svg+xml', 'nosniff', true]);
  expect(await auditOf(api.db, drawn)).toMatchObject([{ event_code: '110103', object_id: ids['scan_file_id'], patient_id: ids['patient_id'], detail: { part: 'picture' } }]);
  for (const path of [`${image}/decide`, `${scan}/complete`]) expect((await post(path, physician, { decision: 'use', reason: 'a reason' })).status, path).toBe(403);
  await api.db.asOwner("UPDATE scan_files SET rows = NULL, columns = NULL WHERE organization_id = $1", [organizationId]);
});

test('where a scan is: one sentence for each thing that it can wait for', async () => {
  const { ids, emails, organizationId } = api.south, cookie = await cookieOf(emails.physician);
  const set = (text: string): Promise<unknown> => api.db.asOwner(`${text} WHERE organization_id = $1`, [organizationId]);
  const says = async (): Promise<string> => /<h2>Where it is<\/h2><div class="where">([\s\S]*?)<\/div><\/div>/.exec((await get(`/scans/${ids['scan_id']}`, cookie)).text)![1]!.replaceAll(/<[^>]+>/g, ' ').replaceAll(/\s+/g, ' ').trim();
  expect(await says()).toBe('ordered No image has come yet.');
  await set('UPDATE scans SET instance_count = 3, status = \'in_progress\'');
  expect(await says()).toBe('images arriving Waiting for images Version 1 was made before.');
  await set("UPDATE scans SET images_complete_at = now(), completeness_proof = 'quiet_time', completion_run = 1, status = 'completed'");
  await set("UPDATE ai_analyses SET status = 'processing', completion_run = 1");
  expect(await says()).toMatch(/^being analysed /);
  await set("UPDATE ai_analyses SET status = 'failed'");
  expect(await says()).toMatch(/^failed The analysis failed: .*Version 1 was made before\.$/);
  await set("UPDATE ai_analyses SET status = 'completed'");
  expect(await says()).toBe('reported Report version 1 (preliminary): delivered to 0 of 1 system; the rest waits.');
  await set("UPDATE deliveries SET status = 'refused'");
  expect(await says()).toBe('refused Report version 1 (preliminary): refused by 1 of 1 system; see Dead letters.');
  await set("UPDATE deliveries SET status = 'delivered'");
  expect(await says()).toBe('delivered Report version 1 (preliminary): delivered to 1 system.');
  await set("UPDATE scan_queue SET status = 'paused', why_waiting = 'A person decides.'");
  expect(await says()).toBe('waits for a person A person decides. Version 1 was made before.');
  await set("UPDATE scans SET status = 'cancelled'");
  expect(await says()).toBe('cancelled The order was cancelled.');
  await set("UPDATE deliveries SET status = 'queued'");
});

test('callers of no organization are shown to none where there are several', async () => {
  await api.db.asOwner("INSERT INTO association_logs (organization_id, association_id, started_at, finished_at, duration_ms, calling_ae_title, called_ae_title, peer_address, peer_port, outcome) VALUES ('00000000-0000-0000-0000-000000000000', medscan_uuid_v7(), now(), now(), 1, 'LOSTCT', 'NOBODY', '10.0.0.9', 1, 'rejected')");
  for (const path of ['/systems', '/associations']) expect((await get(path, await cookieOf(api.north.emails.administrator))).text).not.toContain('LOSTCT');
});

test('odd questions are answered with a page: too long, with zeros, of no day, of no cursor', async () => {
  const cookie = await cookieOf(api.north.emails.administrator);
  for (const text of ['x'.repeat(250), '%_\\', "' OR 1=1 --", '\u0000', '^^^', '\u{1f600}', '1.2.3.'.repeat(30)]) expect((await post('/scans', cookie, { text })).status, text).toBeLessThan(500);
  for (const path of ['/scans?created_from=yesterday', '/scans?status=no-such', '/scans?limit=0', '/associations?outcome=no-such', '/associations?calling_ae_title=THIS-IS-LONGER-THAN-AN-AE-TITLE', '/alerts?state=no-such']) {
    const { status, text } = await get(path, cookie);
    expect([status, text.includes('role="alert"')], path).toEqual([200, true]);
  }
  for (const path of ['/scans?cursor=x', '/associations?cursor=x', '/alerts?cursor=x']) expect((await get(path, cookie)).status, path).toBe(422);
  for (const path of [`/scans/${api.north.ids['scan_id']}/images?series=%00&from=-1`, `/scans/${api.north.ids['scan_id']}/images?from=1e9`]) expect((await get(path, cookie)).status, path).toBeLessThan(500);
  expect((await get('/scans/number/S000000-000000', cookie)).status).toBe(404);
  const [scan] = await api.db.asOwner<{ scan_number: string }>('SELECT scan_number FROM scans WHERE scan_id = $1', [api.north.ids['scan_id']]);
  expect((await get(`/scans/number/${scan!.scan_number}`, cookie)).headers.get('location')).toBe(`/scans/${api.north.ids['scan_id']}`);
  expect((await get(`/scans/of-analysis/${api.north.ids['analysis_id']}`, cookie)).headers.get('location')).toBe(`/scans/${api.north.ids['scan_id']}`);
});

test('giving up needs a reason', async () => {
  const cookie = await cookieOf(api.north.emails.administrator), path = `/dead-letters/deliveries/${api.north.ids['delivery_id']}/discard`;
  const without = await post(path, cookie, { reason: ' ' });
  expect((await get(without.headers.get('location')!, cookie)).text).toContain('Giving up needs a reason');
  const done = await post(path, cookie, { reason: 'handed over on paper' });
  expect((await get(done.headers.get('location')!, cookie)).text).toContain('the reason is in the audit log');
  const { text } = await get('/dead-letters', cookie);
  expect(text).toContain(`action="/dead-letters/notices/${api.north.ids['notice_id']}/again"`);
  expect(text).toMatch(/aria-label="Send again: the status \(received\) of /);
  const notice = await post(`/dead-letters/notices/${api.north.ids['notice_id']}/discard`, cookie, { reason: 'told by telephone' });
  expect((await get(notice.headers.get('location')!, cookie)).text).toContain('the reason is in the audit log');
});

test('text from outside is shown as text on every page, without script or inline style', async () => {
  const hostile = '<script>alert(1)</script><img src=x onerror=alert(2)>"\'&', { organizationId, ids } = api.north;
  await api.db.asOwner("UPDATE sync_logs SET error_text = $2, interaction = $2, control_id = $2, peer_application = $2, answer_code = $2, message_status = 'rejected', facts = '{}' WHERE organization_id = $1", [organizationId, hostile]);
  await api.db.asOwner("UPDATE deliveries SET last_text = $2, last_outcome = $2, status = 'refused' WHERE organization_id = $1", [organizationId, hostile]);
  await api.db.asOwner("UPDATE order_notices SET last_text = $2, last_outcome = $2 WHERE organization_id = $1", [organizationId, hostile]);
  await api.db.asOwner('UPDATE dead_jobs SET error_text = $2, queue_name = $2 WHERE organization_id = $1', [organizationId, hostile]);
  await api.db.asOwner('UPDATE external_integrations SET name = $2, last_error = $2 WHERE integration_id = $1', [ids['integration_id'], `N${hostile}`]);
  await api.db.asOwner("UPDATE association_logs SET calling_ae_title = $2, reason = $2, advice = $2, contexts = jsonb_build_array(jsonb_build_object('id', 1, 'abstract_syntax', $2::text, 'transfer_syntaxes', jsonb_build_array($2::text), 'result', 3)) WHERE organization_id = $1", [organizationId, hostile]);
  await api.db.asOwner('UPDATE system_alerts SET message = $2, subject = $2 WHERE organization_id = $1', [organizationId, hostile]);
  await api.db.asOwner('UPDATE scans SET study_description = $2, accession_number = $2, referring_physician = $2 WHERE organization_id = $1', [organizationId, hostile]);
  await api.db.asOwner('UPDATE patients SET family_name = $2 WHERE organization_id = $1', [organizationId, hostile]);
  await api.db.asOwner("UPDATE scan_files SET status = 'quarantined', series_description = $2, sop_class_uid = $2 WHERE organization_id = $1", [organizationId, hostile]);
  await api.db.asOwner('UPDATE reports SET findings_text = $2, impression = $2, author_name = $2 WHERE organization_id = $1', [organizationId, hostile]);
  await api.db.asOwner("UPDATE message_replay_items SET outcome = 'rejected', outcome_text = $2, outcome_location = $2 WHERE organization_id = $1", [organizationId, hostile]);
  const cookie = await cookieOf(api.north.emails.administrator);
  for (const path of [...pages(), ...scanPages()]) {
    const { text, status } = await get(path, cookie);
    expect(status, path).toBe(200);
    expect(text, path).not.toMatch(/<script|<img src=x|onerror=alert\(2\)>|<style|\sstyle=|\son\w+="/);
    if (path !== '/replays' && !path.endsWith('/conformance')) expect(text, path).toContain('&lt;script&gt;alert(1)');
  }
  const tried = await post(`/systems/${ids['integration_id']}/try`, cookie, { message: `</textarea>${hostile}` });
  expect(tried.text).not.toMatch(/<\/textarea><script|<script>alert/);
});

const browserPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));
test.skipIf(browserPath === undefined)('a person works with the keyboard alone: finds a message, opens it, gives up a report, with no error of the page (needs Chromium)', async () => {
  const { promise: listening, resolve } = Promise.withResolvers<number>();
  const server: ServerType = serve({ fetch: api.app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => resolve(port));
  const base = `http://127.0.0.1:${await listening}`;
  const browser = await chromium.launch({ executablePath: browserPath!, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage({ colorScheme: 'dark' });
    const errors: string[] = [];
    page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`${base}/login`);
    await page.locator('input[autofocus]:focus').waitFor(); // the field takes the focus a moment after the page is there
    await page.keyboard.type(api.south.emails.administrator);
    await page.keyboard.press('Tab');
    await page.keyboard.type(password);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${base}/`);
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('To the content');
    await page.getByRole('link', { name: 'Messages' }).focus();
    await page.keyboard.press('Enter');
    await page.waitForURL(`${base}/messages`);
    await page.getByLabel('Number or text').focus();
    await page.keyboard.type('MSG1');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Messages that match' }).waitFor();
    await page.getByRole('link', { name: 'ADT^A04' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Rows it made or changed' }).waitFor();
    expect(await page.getByRole('table').count()).toBeGreaterThan(1);
    await page.goto(`${base}/dead-letters`);
    await page.locator('summary[aria-label^="Give up the report"]').first().focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    await page.keyboard.type('handed over on paper');
    await page.keyboard.press('Enter');
    await page.getByRole('status').waitFor();
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(16, 22, 28)');
    // On a telephone each page is as wide as the screen; tables scroll by themselves, by keyboard too.
    await page.setViewportSize({ width: 390, height: 800 });
    for (const path of ['/', ...pages(api.south), ...scanPages(api.south)]) {
      await page.goto(base + path);
      expect([path, await page.evaluate('[document.documentElement.scrollWidth <= 390, document.querySelectorAll("h1").length, [...document.querySelectorAll(".scroll")].every((one) => one.tabIndex === 0 && one.ariaLabel)]')]).toEqual([path, [true, 1, true]]);
    }
    expect(errors).toEqual([]);
  } finally {
    await browser.close();
    const { promise: closed, resolve: done } = Promise.withResolvers<void>();
    server.close(() => done());
    if ('closeAllConnections' in server) server.closeAllConnections();
    await closed;
  }
});

test('what is not there and what the role may not see is told on a page, and the second is on record as a security alert', async () => {
  const technician = await cookieOf(api.north.emails.technician);
  const missing = await get('/messages/00000000-0000-7000-8000-000000000000', technician);
  expect([missing.status, missing.headers.get('content-type')]).toEqual([404, 'text/html; charset=UTF-8']);
  expect(missing.text).toContain('There is no such message in this organization.');
  const refused = await get('/replays', technician);
  expect([refused.status, refused.headers.get('content-type')]).toEqual([403, 'text/html; charset=UTF-8']);
  expect(await auditOf(api.db, refused)).toMatchObject([{ action: 'E', outcome: 'minor_failure', detail: { route: 'GET /replays', permission: 'exchanges:replay' } }]);
});
