import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildApi } from '../../src/api/app.ts';
import { isAllowed, rolePermissions, roles, routePermissions, type Permission, type Role, type RouteName } from '../../src/api/permissions.ts';
import { ApiRouter } from '../../src/api/router.ts';
import { apiFixture, auditOf, expectProblem, type ApiFixture } from './support.ts';
import { pathOf, routeCases } from './route-cases.ts';

let api: ApiFixture;
beforeAll(async () => { api = await apiFixture(); });
afterAll(() => api.close());

const names = Object.keys(routePermissions) as RouteName[];
const guarded = names.filter((name) => routePermissions[name] !== 'public');
/** Routes whose path names a row; a setting or preference is named by a word that every organization has. */
const reaching = names.filter((name) => name.includes('_id}'));
const dependencies = (): ConstructorParameters<typeof ApiRouter>[0] => ({ database: api.db.database, keys: api.db.keys, config: { roles: ['api'] }, log: { info() {}, warn() {}, error() {} }, commands: api.commands });

/** A cookie of a signed-in person of that role. */
async function signedIn(email: string): Promise<string> {
  const answer = await api.call('POST', '/api/v1/auth/login', { body: { email, password: 'correct horse battery' } });
  expect(answer.status).toBe(200);
  return answer.headers.get('set-cookie')!.split(';')[0]!;
}

test('a route that permissions.ts does not name stops the start', () => {
  const router = new ApiRouter(dependencies());
  expect(() => router.route('GET /secrets' as RouteName, { summary: 's', tag: 't' }, async () => undefined)).toThrow('no permission');
});

test('a handler that audits nothing answers 500 instead of its result', async () => {
  const router = new ApiRouter(dependencies());
  router.route('GET /scans', { summary: 's', tag: 't' }, async () => new Response('a patient'));
  router.app.onError((error, c) => c.text(error.message, 500));
  const answer = await router.app.request('/scans', { headers: { authorization: `Bearer ${api.north.tokens.administrator}` } });
  expect([answer.status, await answer.text()]).toEqual([500, 'The route GET /scans wrote no audit event.']);
});

test('the OpenAPI document lists every route of the table, and no other', async () => {
  const { body } = await api.call('GET', '/api/v1/openapi.json');
  const described = Object.entries(body.paths as Record<string, object>).flatMap(([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`));
  expect(described.toSorted()).toEqual(names.toSorted());
  expect(buildApi(dependencies()).routes.map((route) => route.name).toSorted()).toEqual(names.toSorted());
  expect(body.openapi).toBe('3.1.0');
});

describe.each(guarded)('%s', (name) => {
  const routeCase = routeCases[name];

  test('is refused without, with an unknown, and with a malformed token', async () => {
    const { method, path } = pathOf(name, api.north.ids, routeCase);
    for (const headers of [{}, { authorization: 'Bearer msk_0000000000000000000000000000000000000000000' }, { authorization: 'Basic YTpi' }]) {
      expectProblem(await api.call(method, path, { headers, body: routeCase.body }), 401);
    }
  });

  test('is refused to every role that lacks the permission, with an entry in the audit log', async () => {
    const permission = routePermissions[name] as Permission | 'signed-in';
    if (permission === 'signed-in') return;
    const { method, path } = pathOf(name, api.north.ids, routeCase);
    for (const role of roles.filter((candidate) => !rolePermissions[candidate].includes(permission))) {
      const answer = await api.call(method, path, { token: api.north.tokens[role], body: routeCase.body });
      expectProblem(answer, 403);
      expect(await auditOf(api.db, answer)).toMatchObject([{ event_code: '110113', outcome: 'minor_failure', detail: { permission } }]);
    }
  });
});

describe.each(reaching)('%s across organizations', (name) => {
  test('answers 404 for the other organization\'s id, changes nothing there and records no success', async () => {
    const routeCase = routeCases[name];
    const { method, path } = pathOf(name, api.south.ids, routeCase);
    const stateOf = () => api.db.asOwner('SELECT (SELECT jsonb_agg(u ORDER BY user_id) FROM users u WHERE organization_id = $1) AS users, (SELECT jsonb_agg(i) FROM external_integrations i WHERE organization_id = $1) AS integrations, (SELECT jsonb_agg(f) FROM findings f WHERE organization_id = $1) AS findings, (SELECT jsonb_agg(o) FROM organizations o WHERE organization_id = $1) AS organization, (SELECT jsonb_agg(a) FROM system_alerts a WHERE organization_id = $1) AS alerts, (SELECT count(*) FROM audit_logs WHERE organization_id = $1) AS audit', [api.south.organizationId]);
    const before = await stateOf();
    const credentials = routeCase.session ? { cookie: await signedIn(api.north.emails.administrator), origin: 'http://localhost' } : { token: api.north.tokens.administrator };
    const answer = await api.call(method, path, { ...credentials, body: routeCase.body });
    expectProblem(answer, 404);
    expect(answer.text).not.toContain('South');
    expect((await auditOf(api.db, answer)).filter((row) => row.outcome === 'success')).toEqual([]);
    expect(await stateOf()).toEqual(before);
  });

  test('answers 404 for an id that is none', async () => {
    const { method, path } = pathOf(name, Object.fromEntries(Object.keys(api.north.ids).map((key) => [key, 'not-an-id'])), routeCases[name]);
    expectProblem(await api.call(method, path, { token: api.north.tokens.administrator, body: routeCases[name].body }), 404);
  });
});

test('lists show rows of the own organization only', async () => {
  for (const name of names.filter((candidate) => candidate.startsWith('GET') && !candidate.includes('{'))) {
    const { method, path } = pathOf(name, api.north.ids, routeCases[name]);
    const answer = await api.call(method, path, { token: api.north.tokens.administrator });
    expect(answer.status, name).toBe(200);
    for (const foreign of [...Object.values(api.south.ids).filter((id) => id.length === 36), 'south', 'South Clinic']) expect(answer.text, `${name} shows ${foreign}`).not.toContain(foreign);
  }
});

test('a token\'s scopes narrow what its role may', () => {
  expect(isAllowed('administrator', ['scans:read'], 'scans:read')).toBe(true);
  expect(isAllowed('administrator', ['scans:read'], 'users:write')).toBe(false);
  expect(isAllowed('nurse', ['users:write'], 'users:write')).toBe(false);
  expect(isAllowed('stranger', [], 'scans:read')).toBe(false);
});

// Last: these cases change and end things.
describe('every route succeeds for a role that may, and leaves its audit entry', () => {
  const order = [...names].sort((a, b) => Number(a === 'POST /auth/logout') - Number(b === 'POST /auth/logout') || Number(a.startsWith('DELETE')) - Number(b.startsWith('DELETE')));
  test.each(order.filter((name) => name !== 'POST /auth/login'))('%s', async (name) => {
    const routeCase = routeCases[name];
    const { method, path } = pathOf(name, api.north.ids, routeCase);
    const role: Role = 'administrator';
    const credentials = routeCase.session ? { cookie: await signedIn(api.north.emails[role]), origin: 'http://localhost' } : { token: api.north.tokens[role] };
    const answer = await api.call(method, path, { ...credentials, body: routeCase.body });
    expect(answer.status, answer.text).toBe(routeCase.status ?? 200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    const registered = buildApi(dependencies()).routes.find((route) => route.name === name)!;
    const commandAudits = ['POST /scans/{scan_id}/force-complete', 'POST /scan-files/{scan_file_id}/use', 'POST /scan-files/{scan_file_id}/set-aside', 'POST /reports/{report_id}/withdraw', 'POST /scans/{scan_id}/fetch-priors', 'POST /integrations', 'PUT /integrations/{integration_id}', 'POST /sync-logs/{sync_id}/replay',
      'PUT /integrations/{integration_id}/pause', 'POST /patient-merges/{merge_id}/undo', 'POST /message-replays', 'POST /message-replays/{replay_id}/cancel', 'POST /deliveries/resend', 'POST /deliveries/{delivery_id}/resend', 'POST /deliveries/{delivery_id}/discard', 'POST /order-notices/resend', 'POST /order-notices/{notice_id}/resend', 'POST /order-notices/{notice_id}/discard', 'POST /dead-jobs/{dead_job_id}/retry', 'POST /dead-jobs/{dead_job_id}/discard'].includes(name);
    const audit = await auditOf(api.db, answer);
    if (registered.unaudited === undefined && !commandAudits) expect(audit.map((row) => [row.organization_id, row.action])).toEqual([[api.north.organizationId, expect.any(String)]]);
  });
});
