import { afterAll, beforeAll, expect, test } from 'vitest';
import { apiFixture, auditOf, password, type Answer, type ApiFixture } from '../api/support.ts';

let api: ApiFixture;
beforeAll(async () => { api = await apiFixture(); });
afterAll(() => api.close());

const origin = 'http://localhost';
const form = (fields: Record<string, string>, from = origin): Promise<Answer> => api.call('POST', '/login', { origin: from, body: new URLSearchParams(fields).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' } });
async function cookieOf(email: string): Promise<string> {
  const answer = await form({ email, password });
  expect([answer.status, answer.headers.get('location')]).toEqual([303, '/']);
  return answer.headers.get('set-cookie')!.split(';')[0]!;
}

const hostile = '<script>alert(1)</script><img src=x onerror=alert(2)>"\'&';

test('text from outside is shown as text, wherever it stands on the page', async () => {
  const { organizationId, ids } = api.north;
  await api.db.asOwner('UPDATE organizations SET name = $2 WHERE organization_id = $1', [organizationId, `North ${hostile}`]);
  await api.db.asOwner('UPDATE patients SET family_name = $2, patient_number = $2 WHERE organization_id = $1', [organizationId, hostile]);
  await api.db.asOwner('UPDATE scan_queue SET why_waiting = $2, sla_due_at = now() - interval \'1 hour\' WHERE organization_id = $1', [organizationId, hostile]);
  await api.db.asOwner('UPDATE external_integrations SET last_error = $2, name = $2, last_error_at = now() WHERE integration_id = $1', [ids['integration_id'], hostile]);
  await api.db.asOwner('UPDATE sync_logs SET error_text = $2, interaction = $2, answer_code = $2 WHERE organization_id = $1', [organizationId, hostile]);
  await api.db.asOwner('UPDATE system_alerts SET message = $2, subject = $2 WHERE organization_id = $1', [organizationId, hostile]);
  await api.db.asOwner('UPDATE users SET display_name = $2 WHERE organization_id = $1', [organizationId, hostile]);
  const page = await api.call('GET', '/', { cookie: await cookieOf(api.north.emails.administrator) });
  expect(page.status).toBe(200);
  expect(page.text).not.toMatch(/<script|<img|onerror=alert\(2\)>/);
  expect(page.text.match(/&lt;script&gt;alert\(1\)&lt;\/script&gt;/g)!.length).toBeGreaterThan(8);
  expect(page.headers.get('content-security-policy')).toContain('default-src \'none\'');
});

test('the page needs no script and no inline style', async () => {
  for (const path of ['/', '/login']) {
    const { text } = await api.call('GET', path, { cookie: await cookieOf(api.south.emails.technician) });
    expect(text).not.toMatch(/<script|<style|\sstyle=|\son\w+=|https?:\/\//);
  }
  expect((await api.call('GET', '/assets/medscan.css')).headers.get('content-type')).toBe('text/css; charset=utf-8');
});

test('nobody signed in is sent to the login page, and out again after signing out', async () => {
  const nobody = await api.call('GET', '/');
  expect([nobody.status, nobody.headers.get('location')]).toEqual([303, '/login']);
  const cookie = await cookieOf(api.south.emails.nurse);
  const out = await api.call('POST', '/logout', { cookie, origin });
  expect([out.status, out.headers.get('location'), out.headers.get('set-cookie')]).toEqual([303, '/login', expect.stringContaining('Max-Age=0')]);
  expect((await api.call('GET', '/', { cookie })).status).toBe(303);
});

test('the login form says what is wrong without saying which, and takes no form of another site', async () => {
  const wrong = await form({ email: api.south.emails.nurse, password: 'no' });
  expect([wrong.status, wrong.headers.get('set-cookie')]).toEqual([401, null]);
  expect(wrong.text).toContain('role="alert"');
  expect((await form({ email: api.south.emails.nurse, password }, 'https://evil.example')).status).toBe(403);
  expect((await form({})).status).toBe(401);
});

test('each role sees what it may: exchanges only with the permission to read them; opening the page is audited, its reload is not', async () => {
  const nurse = await api.call('GET', '/', { cookie: await cookieOf(api.south.emails.nurse) });
  expect(nurse.text).not.toContain('Last exchanges');
  expect(nurse.text).not.toContain('North');
  const technician = await cookieOf(api.south.emails.technician);
  const page = await api.call('GET', '/', { cookie: technician });
  expect(page.text).toContain('Last exchanges');
  expect(page.text).not.toContain('Müller');
  expect(await auditOf(api.db, page)).toMatchObject([{ action: 'R', object_type: 'status_page' }]);
  expect(await auditOf(api.db, await api.call('GET', '/?auto=1', { cookie: technician }))).toEqual([]);
});

test('a user pauses the reload for good, on every device', async () => {
  const cookie = await cookieOf(api.south.emails.radiologist);
  expect((await api.call('GET', '/', { cookie })).text).toContain('http-equiv="refresh"');
  const pause = (from: string): Promise<Answer> => api.call('POST', '/reload', { cookie, origin: from, body: 'reload=off', headers: { 'content-type': 'application/x-www-form-urlencoded' } });
  expect((await pause('https://evil.example')).status).toBe(403);
  expect((await pause(origin)).headers.get('location')).toBe('/');
  expect((await api.call('GET', '/', { cookie: await cookieOf(api.south.emails.radiologist) })).text).not.toContain('http-equiv="refresh"');
  expect((await api.call('GET', '/', { cookie: await cookieOf(api.south.emails.nurse) })).text).toContain('http-equiv="refresh"');
});

test('what nobody has taken note of is never pushed off the page by newer or acknowledged alerts; the rest is counted', async () => {
  const { organizationId } = api.south;
  await api.db.asOwner(`INSERT INTO system_alerts (organization_id, kind, severity, subject, message, last_seen_at) VALUES ($1, 'critical_finding', 'critical', 'scan S-OLD', 'A critical finding waits', now() - interval '3 days')`, [organizationId]);
  await api.db.asOwner(`INSERT INTO system_alerts (organization_id, kind, severity, subject, message) SELECT $1, 'instance_conflict', 'warning', 'study ' || n, 'An instance arrived again' FROM generate_series(1, 30) n`, [organizationId]);
  await api.db.asOwner(`INSERT INTO system_alerts (organization_id, kind, severity, subject, message, last_seen_at, acknowledged_at) VALUES ($1, 'job_dead', 'critical', 'job known', 'Known already', now(), now())`, [organizationId]);
  const { text } = await api.call('GET', '/', { cookie: await cookieOf(api.south.emails.nurse) });
  expect(text).toContain('scan S-OLD');
  expect(text).not.toContain('Known already');
  expect(text).toContain('and 13 more');
});

test('a full disk is told to every organization, whoever signs in', async () => {
  await api.db.asOwner(`INSERT INTO system_alerts (organization_id, kind, severity, subject, message) VALUES ('00000000-0000-0000-0000-000000000000', 'disk_low', 'critical', 'object store', 'Images are refused: 12 MiB are free.')`);
  for (const tenant of [api.north, api.south]) expect((await api.call('GET', '/', { cookie: await cookieOf(tenant.emails.nurse) })).text).toContain('Images are refused: 12 MiB are free.');
});
