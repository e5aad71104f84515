import { serve } from '@hono/node-server';
import net, { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { hashPassword, verifyPassword } from '../../src/db/passwords.ts';
import { createApiToken, resolveToken } from '../../src/db/user-sessions.ts';
import { apiFixture, auditOf, call, expectProblem, password, type Answer, type ApiFixture } from './support.ts';

let api: ApiFixture;
beforeAll(async () => { api = await apiFixture(); });
afterAll(() => api.close());
beforeEach(() => api.db.asOwner('UPDATE users SET failed_attempts = 0, locked_until = NULL, is_active = true; DELETE FROM user_sessions WHERE kind = \'browser\''));

const origin = 'http://localhost';
const login = (email: string, secret = password, more: object = {}): Promise<Answer> => api.call('POST', '/api/v1/auth/login', { body: { email, password: secret, ...more } });
const cookieOf = (answer: Answer): string => answer.headers.get('set-cookie')!.split(';')[0]!;
const me = (cookie: string): Promise<Answer> => api.call('GET', '/api/v1/auth/me', { cookie });

test('signing in sets a cookie that scripts cannot read and other sites cannot send', async () => {
  const answer = await login(api.north.emails.nurse);
  expect(answer.body).toEqual({ user_id: api.north.userIds.nurse, organization_id: api.north.organizationId, organization_name: 'North Hospital', display_name: 'nurse of North Hospital', role: 'nurse' });
  expect(answer.headers.get('set-cookie')).toMatch(/^medscan_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
  expect(await auditOf(api.db, answer)).toMatchObject([{ event_code: '110114', outcome: 'success', actor_id: api.north.userIds.nurse, detail: { event_type: { code: '110122' } } }]);
  expect((await me(cookieOf(answer))).body).toMatchObject({ role: 'nurse', signed_in_by: 'session' });
  const proxied = await api.call('POST', '/api/v1/auth/login', { body: { email: api.north.emails.nurse, password }, headers: { 'x-forwarded-proto': 'https' } });
  expect(proxied.headers.get('set-cookie')).toContain('; Secure');
});

test('the database holds only the hash of the token, and of the password an argon2id string', async () => {
  const token = cookieOf(await login(api.north.emails.nurse)).split('=')[1]!;
  const dump = JSON.stringify([await api.db.asOwner('SELECT * FROM user_sessions'), await api.db.asOwner('SELECT * FROM users'), await api.db.asOwner('SELECT * FROM audit_logs')]);
  for (const secret of [token, api.north.tokens.service, password]) expect(dump).not.toContain(secret);
  expect(dump).toContain('$argon2id$v=19$m=19456,t=2,p=1$');
});

test('a wrong password, an unknown address and a disabled user are told the same', async () => {
  await api.db.asOwner('UPDATE users SET is_active = false WHERE user_id = $1', [api.north.userIds.technician]);
  const answers = [await login(api.north.emails.nurse, 'wrong'), await login('nobody@north.example'), await login(api.north.emails.technician)];
  for (const answer of answers) expectProblem(answer, 401);
  expect(new Set(answers.map((answer) => answer.body.detail)).size).toBe(1);
  expect((await auditOf(api.db, answers[0]!)).map((row) => [row.outcome, row.actor_id, row.detail.reason])).toEqual([['minor_failure', api.north.userIds.nurse, 'wrong']]);
  expect(JSON.stringify(await auditOf(api.db, answers[1]!))).not.toContain('nobody@north.example');
});

test('an address that no column takes is refused as invalid input, not as our fault', async () => {
  const logged = api.logLines.length;
  expectProblem(await login('nurse\u0000@north.example'), 422);
  expect(api.logLines.slice(logged).join('')).not.toContain('"level":"error"');
});

test('five wrong passwords lock the account for 15 minutes, also when they come at once', async () => {
  const wrong = await Promise.all(Array.from({ length: 8 }, () => login(api.north.emails.physician, 'wrong')));
  expect(wrong.every((answer) => answer.status === 401)).toBe(true);
  const [user] = await api.db.asOwner<{ failed_attempts: number; minutes: number }>('SELECT failed_attempts, extract(epoch FROM locked_until - now()) / 60 AS minutes FROM users WHERE user_id = $1', [api.north.userIds.physician]);
  expect(user!.failed_attempts).toBe(5);
  expect(Math.round(Number(user!.minutes))).toBe(15);
  const right = await login(api.north.emails.physician);
  expectProblem(right, 401);
  expect(await auditOf(api.db, right)).toMatchObject([{ detail: { reason: 'locked' } }]);
  await api.db.asOwner('UPDATE users SET locked_until = now() - interval \'1 second\' WHERE user_id = $1', [api.north.userIds.physician]);
  expect((await login(api.north.emails.physician)).status).toBe(200);
});

test('an administrator lifts the lock', async () => {
  for (let i = 0; i < 5; i++) await login(api.north.emails.physician, 'wrong');
  expect((await login(api.north.emails.physician)).status).toBe(401);
  await api.call('PATCH', `/api/v1/users/${api.north.userIds.physician}`, { token: api.north.tokens.administrator, body: { locked: false } });
  expect((await login(api.north.emails.physician)).status).toBe(200);
});

test('an address known to two organizations needs the organization\'s name', async () => {
  await api.db.asOwner('INSERT INTO users (organization_id, email, display_name, role, password_hash) VALUES ($1, $2, \'x\', \'nurse\', $3)', [api.south.organizationId, api.north.emails.radiologist, await hashPassword(password)]);
  expectProblem(await login(api.north.emails.radiologist), 401);
  const named = await login(api.north.emails.radiologist, password, { organization: 'south clinic' });
  expect(named.body.organization_id).toBe(api.south.organizationId);
});

test('a session ends after 15 idle minutes, after 12 hours, at logout, and when its user is disabled', async () => {
  const ends = async (change: (cookie: string) => Promise<unknown>): Promise<void> => {
    const cookie = cookieOf(await login(api.north.emails.nurse));
    expect((await me(cookie)).status).toBe(200);
    await change(cookie);
    expectProblem(await me(cookie), 401);
  };
  await ends(() => api.db.asOwner('UPDATE user_sessions SET idle_expires_at = now() WHERE kind = \'browser\''));
  await ends(() => api.db.asOwner('UPDATE user_sessions SET expires_at = now() WHERE kind = \'browser\''));
  await ends((cookie) => api.call('POST', '/api/v1/auth/logout', { cookie, origin }));
  await ends(() => api.call('PATCH', `/api/v1/users/${api.north.userIds.nurse}`, { token: api.north.tokens.administrator, body: { is_active: false } }));
  await api.db.asOwner('UPDATE users SET is_active = true');
  await ends(() => api.call('PATCH', `/api/v1/users/${api.north.userIds.nurse}`, { token: api.north.tokens.administrator, body: { password: 'another long password' } }));
  await api.db.asOwner('UPDATE users SET password_hash = $2 WHERE user_id = $1', [api.north.userIds.nurse, await hashPassword(password)]);
  await ends(() => api.db.asOwner('UPDATE organizations SET is_active = false WHERE organization_id = $1', [api.north.organizationId]));
  await api.db.asOwner('UPDATE organizations SET is_active = true');
});

test('activity keeps a session alive, but not beyond its 12 hours, and the status page\'s own reload does not', async () => {
  const idle = async (): Promise<number> => Number((await api.db.asOwner<{ s: string }>('SELECT extract(epoch FROM idle_expires_at - now()) AS s FROM user_sessions WHERE kind = \'browser\' AND revoked_at IS NULL'))[0]!.s);
  const cookie = cookieOf(await login(api.north.emails.nurse));
  await api.db.asOwner('UPDATE user_sessions SET last_seen_at = now() - interval \'10 minutes\', idle_expires_at = now() + interval \'5 minutes\' WHERE kind = \'browser\'');
  expect((await api.call('GET', '/?auto=1', { cookie })).status).toBe(200);
  expect(await idle()).toBeLessThan(301);
  expect((await me(cookie)).status).toBe(200);
  expect(await idle()).toBeGreaterThan(800);
});

test('an organization sets its own limits for sessions, and every change stays on record', async () => {
  const limits = async (email: string): Promise<number[]> => {
    await login(email);
    const [row] = await api.db.asOwner<{ idle: string; absolute: string }>('SELECT extract(epoch FROM idle_expires_at - created_at) / 60 AS idle, extract(epoch FROM expires_at - created_at) / 3600 AS absolute FROM user_sessions WHERE kind = \'browser\' ORDER BY session_id DESC LIMIT 1');
    return [Number(row!.idle), Number(row!.absolute)];
  };
  const set = (key: string, value: unknown): Promise<Answer> => api.call('PUT', `/api/v1/system-settings/${key}`, { token: api.south.tokens.administrator, body: { value } });
  expect(await limits(api.south.emails.nurse)).toEqual([15, 12]);
  expect((await set('session_idle_minutes', 5)).body).toMatchObject({ value: 5, version: 1 });
  expect((await set('session_hours', 8)).body).toMatchObject({ value: 8, version: 1 });
  expect((await set('session_hours', 9)).body).toMatchObject({ value: 9, version: 2 });
  expect(await limits(api.south.emails.nurse)).toEqual([5, 9]);
  expect(await limits(api.north.emails.nurse)).toEqual([15, 12]);
  expectProblem(await set('session_idle_minutes', 0), 422);
  expectProblem(await set('session_idle_minutes', 'x'), 422);
  expectProblem(await set('everything', 1), 404);
  expect((await api.db.asOwner('SELECT version, value FROM system_settings WHERE setting_key = \'session_hours\' ORDER BY version'))).toEqual([{ version: 1, value: 8 }, { version: 2, value: 9 }]);
});

test('signing in again gives a new token and ends the old session', async () => {
  const first = cookieOf(await login(api.north.emails.nurse));
  const second = cookieOf(await api.call('POST', '/api/v1/auth/login', { cookie: first, body: { email: api.north.emails.nurse, password } }));
  expect(second).not.toBe(first);
  expectProblem(await me(first), 401);
  expect((await me(second)).status).toBe(200);
});

test('a change with a session cookie must come from our own pages', async () => {
  const cookie = cookieOf(await login(api.north.emails.administrator));
  const change = (headers: Record<string, string>): Promise<Answer> => api.call('PATCH', `/api/v1/organizations/${api.north.organizationId}`, { cookie, headers, body: { time_zone: 'UTC' } });
  for (const headers of [{}, { origin: 'https://evil.example' }, { origin: 'null' }, { origin: 'http://localhost.evil.example' }]) expectProblem(await change(headers as Record<string, string>), 403);
  expect((await change({ origin })).status).toBe(200);
  expectProblem(await api.call('POST', '/api/v1/auth/login', { origin: 'https://evil.example', body: { email: api.north.emails.nurse, password } }), 403);
});

test('an API token is a principal for adapters until it is revoked, expired, or its user is disabled; a session\'s token never is', async () => {
  const made = await createApiToken(api.db.database, { organizationName: 'North Hospital', role: 'service', name: 'EMR' });
  expect(made.token).toMatch(/^msk_[\w-]{43}$/);
  const principal = { organizationId: api.north.organizationId, userId: made.userId, role: 'service', name: 'EMR' };
  expect(await resolveToken(api.db.database, made.token)).toEqual(principal);
  expect(await resolveToken(api.db.database, cookieOf(await login(api.north.emails.nurse)).split('=')[1]!)).toBeUndefined();
  for (const change of ['UPDATE user_sessions SET expires_at = now() WHERE session_id = $1', 'UPDATE user_sessions SET expires_at = NULL, revoked_at = now() WHERE session_id = $1']) {
    await api.db.asOwner(change, [made.sessionId]);
    expect(await resolveToken(api.db.database, made.token)).toBeUndefined();
  }
  await expect(createApiToken(api.db.database, { role: 'service', name: 'x' })).rejects.toThrow('Name one organization');
  await expect(createApiToken(api.db.database, { role: 'king', name: 'x', organizationName: 'North Hospital' })).rejects.toThrow();
});

test('a token cannot confirm a finding: that takes a person', async () => {
  expectProblem(await api.call('PATCH', `/api/v1/findings/${api.north.ids['finding_id']}`, { token: api.north.tokens.radiologist, body: { is_confirmed: true } }), 403);
});

test('10 MB from nobody is answered 401 without reading them', async () => {
  let pulled = 0;
  const body = new ReadableStream<Uint8Array>({ pull: (controller) => { pulled += 1; if (pulled > 160) controller.close(); else controller.enqueue(new Uint8Array(65_536)); } }, { highWaterMark: 0 });
  const response = await api.app.request('/api/v1/patients/search', { method: 'POST', body, headers: { 'content-type': 'application/json' }, duplex: 'half' } as RequestInit);
  expect([response.status, pulled]).toEqual([401, 0]);
});

test('over a socket too: the answer comes while the body is still being sent, and the audit log knows the caller\'s address', async () => {
  const server = serve({ fetch: api.app.fetch, hostname: '127.0.0.1', port: 0 });
  await new Promise((resolve) => { server.once('listening', resolve); });
  const { port } = server.address() as AddressInfo;
  const login = await fetch(`http://127.0.0.1:${port}/api/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ email: api.north.emails.nurse, password }) });
  expect(await api.db.asOwner('SELECT network_address, actor_id FROM audit_logs WHERE request_id = $1', [login.headers.get('x-request-id')])).toEqual([{ network_address: '127.0.0.1', actor_id: api.north.userIds.nurse }]);
  const socket = net.connect(port, '127.0.0.1');
  const { promise: answered, resolve } = Promise.withResolvers<string>();
  socket.on('data', (chunk) => resolve(chunk.toString('latin1')));
  socket.on('error', () => undefined);
  socket.write('POST /api/v1/patients/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10485760\r\n\r\n');
  socket.write(Buffer.alloc(1000, 'x'));
  expect(await answered).toMatch(/^HTTP\/1\.1 401 /);
  socket.destroy();
  await new Promise((done) => { server.close(done); });
});

test('a body beyond the limit is refused before it is parsed', async () => {
  expectProblem(await api.call('POST', '/api/v1/patients/search', { token: api.north.tokens.administrator, body: { name: 'x'.repeat(300_000) } }), 413);
  expect((await call(api.app, 'POST', '/login', { origin, body: 'x'.repeat(20_000) })).status).toBe(413);
});

test('verifyPassword refuses what is no hash, and the wrong password', async () => {
  const stored = await hashPassword('a');
  expect([await verifyPassword(stored, 'a'), await verifyPassword(stored, 'b'), await verifyPassword(null, ''), await verifyPassword('plain', 'plain')]).toEqual([true, false, false, false]);
});
