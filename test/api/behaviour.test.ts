import net from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { createDatabase } from '../../src/db/pool.ts';
import { apiFixture, auditOf, call, expectProblem, type Answer, type ApiFixture } from './support.ts';

let api: ApiFixture;
beforeAll(async () => { api = await apiFixture(); });
afterAll(() => api.close());

const get = (path: string): Promise<Answer> => api.call('GET', `/api/v1${path}`, { token: api.north.tokens.administrator });
const send = (method: string, path: string, body: unknown): Promise<Answer> => api.call(method, `/api/v1${path}`, { token: api.north.tokens.administrator, body });

test('a page follows a page until all rows were seen once, newest first', async () => {
  await api.db.asOwner(`INSERT INTO scans (organization_id, patient_id, scan_type) SELECT $1, $2, 'mri' FROM generate_series(1, 25)`, [api.north.organizationId, api.north.ids['patient_id']]);
  const seen: string[] = [];
  let cursor: string | null = '';
  for (let pages = 0; cursor !== null; pages++) {
    expect(pages).toBeLessThan(10);
    const { body } = await get(`/scans?scan_type=mri&limit=10${cursor ? `&cursor=${cursor}` : ''}`);
    seen.push(...body.items.map((scan: { scan_id: string }) => scan.scan_id));
    cursor = body.next_cursor;
  }
  expect(seen.length).toBe(25);
  expect(new Set(seen).size).toBe(25);
  expect(seen).toEqual(seen.toSorted().toReversed());
});

test('a scan is found by its Study Instance UID, the name that alerts have for it, and no other organization\'s is', async () => {
  for (const [uid, found] of [['1.2.3.5', 1], ['1.2.3.4', 0], ["1.2.3.5' OR true --", 0]] as const) expect((await get(`/scans?study_instance_uid=${encodeURIComponent(uid)}`)).body.items.length, uid).toBe(found);
});

test.each([['cursor', 'x'], ['cursor', Buffer.from('1:1; DROP TABLE scans').toString('base64url')], ['cursor', Buffer.from('2:00000000-0000-0000-0000-000000000000').toString('base64url')], ['limit', '0'], ['limit', '201'], ['limit', 'ten'], ['status', 'lost'], ['created_from', 'yesterday']])('a query with %s=%s is a 422 that names the parameter', async (name, value) => {
  const answer = await get(`/scans?${name}=${encodeURIComponent(value)}`);
  expectProblem(answer, 422);
  expect(answer.body.errors).toEqual([{ pointer: `query/${name}`, message: expect.any(String) }]);
});

test.each([
  ['/scans?stauts=completed', ['query/stauts'], 'GET /scans takes limit, cursor, '], ['/scans?Status=completed&limit=1&page=2&page=3', ['query/Status', 'query/page'], 'GET /scans takes'], ['/scans?__proto__=1', ['query/__proto__'], 'GET /scans'],
  ['/scans?=x', ['query/'], 'GET /scans takes'], ['/sync-logs?from=2026-01-01', ['query/from'], 'GET /sync-logs takes limit, cursor, '], ['/auth/me?verbose', ['query/verbose'], 'GET /auth/me takes no query parameters.'],
])('%s has a parameter that does not exist: 400 with the names that do, and no list of everything', async (path, pointers, names) => {
  const answer = await get(path);
  expectProblem(answer, 400);
  expect(answer.body.errors).toEqual(pointers.map((pointer) => ({ pointer, message: expect.stringContaining(names) as string })));
  expect(answer.text).not.toContain('completed');
});

test('a command with a parameter that does not exist does nothing; who may not use it hears of the permission alone', async () => {
  const path = `/api/v1/users/${api.north.userIds.nurse}?force=true`;
  expectProblem(await api.call('DELETE', path, { token: api.north.tokens.administrator }), 400);
  expect((await get(`/users/${api.north.userIds.nurse}`)).body.is_active).toBe(true);
  const refused = await api.call('DELETE', path, { token: api.north.tokens.nurse });
  expectProblem(refused, 403);
  expect(refused.text).not.toContain('query');
});

test('every query parameter of the OpenAPI document is taken', async () => {
  const { paths } = (await api.call('GET', '/api/v1/openapi.json', { token: api.north.tokens.administrator })).body as { paths: Record<string, Record<string, { parameters?: { in: string; name: string }[]; responses: Record<string, unknown> }>> };
  const lists = Object.entries(paths).flatMap(([path, { get: read }]) => (read && !path.includes('{') ? [{ path: path.replace('/api/v1', ''), names: (read.parameters ?? []).filter((parameter) => parameter.in === 'query').map(({ name }) => name), read }] : []));
  expect(lists.filter(({ names }) => names.includes('cursor')).length).toBeGreaterThan(15);
  for (const { path, names, read } of lists) {
    // A value may be wrong (422): the names are not.
    for (const name of names) expect((await get(`${path}?${name}=`)).status, `${path} ${name}`).not.toBe(400);
    expect(read.responses, path).toHaveProperty('400');
  }
});

test('a wrong body is a 422 with a JSON pointer to each wrong value, and without repeating it', async () => {
  const answer = await send('POST', '/users', { email: 'Secret Patient', role: 'king', password: 'short', more: 1 });
  expectProblem(answer, 422);
  expect(answer.body.errors.map((error: { pointer: string }) => error.pointer).toSorted()).toEqual(['#', '#/display_name', '#/email', '#/password', '#/role']);
  expect(answer.text).not.toContain('Secret Patient');
});

test('broken JSON is 400, another media type 415, an unknown address 404, a second user of the same address 409: all as problems', async () => {
  expectProblem(await send('POST', '/patients/search', '{"name": '), 400);
  expectProblem(await api.call('POST', '/api/v1/patients/search', { token: api.north.tokens.administrator, body: 'name=x', headers: { 'content-type': 'text/plain' } }), 415);
  for (const path of ['/api/v1/nothing', '/nothing', '/api', '/favicon.ico']) expectProblem(await api.call('GET', path), 404);
  expectProblem(await send('POST', '/users', { email: api.north.emails.nurse.toUpperCase(), display_name: 'x', role: 'nurse', password: 'long enough password' }), 409);
});

test('an address that is almost right is answered with the right ones', async () => {
  const answer = await api.call('GET', '/fhir/Patient');
  expectProblem(answer, 404);
  expect(answer.body.detail).toContain('/fhir/r4');
});

test('a patient is found by the beginnings of the name, by birth date and by identifier, never by a wildcard', async () => {
  const find = async (search: object): Promise<string[]> => (await send('POST', '/patients/search', search)).body.items.map((patient: { patient_number: string }) => patient.patient_number);
  for (const search of [{ name: 'MÜLLER' }, { name: 'mül, an' }, { name: 'Anna' }, { birth_date: '1980' }, { birth_date: '1980-05-17', name: 'anna' }, { identifier: { value: 'MRN-north' } }, { identifier: { value: 'MRN-north', assigning_authority: 'NORTH' } }]) {
    expect(await find(search), JSON.stringify(search)).toEqual(['MRN-north']);
  }
  for (const search of [{ name: '%' }, { name: 'm_ller' }, { name: 'üller' }, { name: 'anna peter' }, { birth_date: '1981' }, { identifier: { value: 'MRN-south' } }, { identifier: { value: 'MRN-north', assigning_authority: 'SOUTH' } }]) {
    expect(await find(search), JSON.stringify(search)).toEqual([]);
  }
  expectProblem(await send('POST', '/patients/search', {}), 422);
});

test('a search is audited with what was asked for and who was shown, without the words of the search', async () => {
  const answer = await send('POST', '/patients/search', { name: 'mül', birth_date: '1980' });
  const [entry] = await auditOf(api.db, answer);
  expect(entry).toMatchObject({ event_code: '110112', action: 'E', detail: { criteria: ['name', 'birth_date'], patient_ids: [api.north.ids['patient_id']] } });
  expect(JSON.stringify(entry)).not.toContain('mül');
});

test('names, numbers and dates of patients reach no log line', async () => {
  await get(`/patients/${api.north.ids['patient_id']}`);
  await send('POST', '/patients/search', { name: 'Müller-north' });
  await get(`/sync-logs/${api.north.ids['sync_id']}/payload`);
  for (const word of ['Müller', 'MRN-north', '1980-05-17', 'MSH|']) expect(api.logLines.join('')).not.toContain(word);
});

test('the DICOM file leaves as it was stored, as a download, after its audit entry', async () => {
  const answer = await get(`/scan-files/${api.north.ids['scan_file_id']}/content`);
  expect(answer.text).toBe(`DICM of ${api.north.organizationId}`);
  expect(Object.fromEntries(['content-type', 'content-disposition', 'x-content-type-options', 'cache-control', 'content-length'].map((name) => [name, answer.headers.get(name)]))).toEqual({
    'content-type': 'application/dicom', 'content-disposition': 'attachment; filename="1.2.3.1.1.dcm"', 'x-content-type-options': 'nosniff', 'cache-control': 'no-store', 'content-length': String(answer.text.length),
  });
  expect(await auditOf(api.db, answer)).toMatchObject([{ event_code: '110106', patient_id: api.north.ids['patient_id'], object_id: api.north.ids['scan_file_id'] }]);
});

test('a file that is missing in the store is an error, without an audit entry that says it was read', async () => {
  const [file] = await api.db.asOwner<{ scan_file_id: string }>(`INSERT INTO scan_files (organization_id, scan_id, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, byte_size, dataset_offset, sha256, storage_location, received_at)
    VALUES ($1, $2, '1', '1.9', '1', '1', 1, 0, 'y', 'gone.dcm', now()) RETURNING scan_file_id`, [api.north.organizationId, api.north.ids['scan_id']]);
  const answer = await get(`/scan-files/${file!.scan_file_id}/content`);
  expectProblem(answer, 500);
  expect(await auditOf(api.db, answer)).toEqual([]);
});

test('the payload of an exchange leaves as its bytes, whatever media type its sender claimed', async () => {
  const answer = await get(`/sync-logs/${api.north.ids['sync_id']}/payload`);
  expect([answer.text, answer.headers.get('content-type'), answer.headers.get('content-disposition')]).toEqual(['MSH|^~\\&|north', 'x-application/hl7-v2+er7', `attachment; filename="${api.north.ids['sync_id']}-message.hl7"`]);
  await api.db.asOwner('INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content) VALUES ($1, $2, \'answer\', \'text/html\', \'<script>\')', [api.north.organizationId, api.north.ids['sync_id']]);
  expect((await get(`/sync-logs/${api.north.ids['sync_id']}/payload?part=answer`)).headers.get('content-type')).toBe('application/octet-stream');
});

test('secrets of an integration are never returned', async () => {
  for (const answer of [await get('/integrations'), await get(`/integrations/${api.north.ids['integration_id']}`)]) {
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('pacs.example');
    for (const secret of ['must not be shown', 'v1.sealed']) expect(answer.text).not.toContain(secret);
  }
});

test('what the gateway signs in to a model server with is never returned', async () => {
  await api.db.asOwner('UPDATE ai_models SET config = config || \'{"endpoint": {"url": "http://model.example", "model": "m", "headers": {"authorization": "Bearer model-secret"}}}\' WHERE model_id = $1', [api.north.ids['model_id']]);
  for (const answer of [await get('/ai-models'), await get(`/ai-models/${api.north.ids['model_id']}`)]) {
    expect(answer.text).toContain('medscan-blob-detector');
    expect(answer.text).not.toContain('model-secret');
  }
});

test('wrong settings come back with pointers, a stale version as 409, a saved one makes the listeners reload', async () => {
  const input = { name: 'Other', kind: 'ris', adapter: 'fake', direction: 'both', settings: { port: 'wrong' } };
  const wrong = await send('POST', '/integrations', input);
  expectProblem(wrong, 422);
  expect(wrong.body.errors).toEqual([{ pointer: '#/settings/port', message: 'must be a number' }]);
  expectProblem(await send('PUT', `/integrations/${api.north.ids['integration_id']}`, { ...input, settings: {}, expected_version: 7 }), 409);
  const before = api.commands.reloads.count;
  expect((await send('POST', '/integrations', { ...input, settings: { port: 1 } })).body).toMatchObject({ name: 'Other', has_credentials: false });
  expect(api.commands.reloads.count).toBe(before + 1);
});

test('switching an integration off takes a version and keeps the one before in the history', async () => {
  const { body } = await send('PATCH', `/integrations/${api.north.ids['integration_id']}`, { is_enabled: false });
  expect(body).toMatchObject({ is_enabled: false, version: 2 });
  const [version] = await api.db.asOwner<{ value: { is_enabled: boolean } }>('SELECT value FROM configuration_versions WHERE row_id = $1 AND version = 2', [api.north.ids['integration_id']]);
  expect(version!.value.is_enabled).toBe(false);
});

test('the last administrator cannot be disabled or demoted', async () => {
  const id = api.north.userIds.administrator;
  expectProblem(await send('DELETE', `/users/${id}`, undefined), 409);
  expectProblem(await send('PATCH', `/users/${id}`, { role: 'nurse' }), 409);
  await send('POST', '/users', { email: 'second@north.example', display_name: 'Second', role: 'administrator', password: 'long enough password' });
  expect((await send('PATCH', `/users/${id}`, { role: 'nurse' })).body.role).toBe('nurse');
});

test('reading the audit log is itself in the audit log, and a fresh log verifies', async () => {
  const list = await get('/audit-logs?limit=5');
  expect(list.body.items).toHaveLength(5);
  expect(await auditOf(api.db, list)).toMatchObject([{ event_code: '110101', action: 'R' }]);
  expect((await send('POST', '/audit-logs/verify', undefined)).body).toMatchObject({ ok: true, defects: [] });
});

test('every answer forbids caching, framing, sniffing and foreign scripts', async () => {
  for (const answer of [await get('/scans'), await api.call('GET', '/nothing'), await api.call('GET', '/login')]) {
    expect(answer.headers.get('x-frame-options')).toBe('DENY');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'self'; script-src 'self'; .*frame-ancestors 'none'/);
  }
});

test('the reference page and its files come from this server alone', async () => {
  const page = await api.call('GET', '/api/docs');
  expect(page.text).not.toMatch(/https?:\/\//);
  expect(page.text).not.toMatch(/<script>|style=|onload=/);
  for (const [, path] of page.text.matchAll(/(?:src|href)="([^"]+)"/g)) expect((await api.call('GET', path!)).status, path).toBe(200);
  expectProblem(await api.call('GET', '/api/docs/assets/package.json'), 404);
  expectProblem(await api.call('GET', '/api/docs/assets/..%2fpackage.json'), 404);
});

test('everything below an adapter\'s mount goes to the adapter, untouched and before any rule of the API', async () => {
  const answer = await api.call('POST', '/fhir/r4/Patient', { body: 'x'.repeat(500_000), headers: { 'content-type': 'application/fhir+json' } });
  expect([answer.status, answer.text]).toEqual([201, 'adapter got 500000 bytes']);
});

test('health needs no sign-in; ready tells the reasons when it is not', async () => {
  expect((await api.call('GET', '/healthz')).body).toEqual({ status: 'ok', roles: ['api'] });
  expect((await api.call('GET', '/readyz')).body).toEqual({ status: 'ready' });
  api.commands.notReadyReasons = ['the DICOM listener is not up'];
  const answer = await api.call('GET', '/readyz');
  api.commands.notReadyReasons = [];
  expect([answer.status, answer.body]).toEqual([503, { status: 'not ready', reasons: ['the DICOM listener is not up'] }]);
});

test('metrics are in the Prometheus format, by route pattern and not by address', async () => {
  await get(`/patients/${api.north.ids['patient_id']}`);
  const { text, headers } = await api.call('GET', '/metrics');
  expect(headers.get('content-type')).toMatch(/^text\/plain/);
  expect(text).toMatch(/medscan_http_request_duration_seconds_count\{method="GET",route="\/api\/v1\/patients\/:patient_id",status="200"\}/);
  expect(text).not.toContain(api.north.ids['patient_id']);
});

test('while the database is away the API answers 503 and says when to try again, and serves as soon as it is back', async () => {
  const proxy = await databaseProxy(api.db.appUrl);
  const database = await createDatabase(proxy.url, { warn: () => undefined });
  const app = createApi({ database, keys: api.db.keys, config: { roles: ['api'] }, log: { info() {}, warn() {}, error() {} }, commands: api.commands });
  const scans = (): Promise<Answer> => call(app, 'GET', '/api/v1/scans', { token: api.south.tokens.administrator });
  expect((await scans()).status).toBe(200);
  proxy.cut();
  const answer = await scans();
  expectProblem(answer, 503);
  expect(answer.headers.get('retry-after')).toBe('5');
  expectProblem(await scans(), 503);
  expect((await call(app, 'GET', '/readyz')).status).toBe(503);
  await proxy.open();
  expect((await scans()).status).toBe(200);
  proxy.cut();
  await database.close();
});

/** A way to the database that can be cut, which ends every connection on it, and opened again. */
async function databaseProxy(appUrl: string): Promise<{ url: string; cut(): void; open(): Promise<void> }> {
  const url = new URL(appUrl);
  const target = { host: url.hostname, port: Number(url.port) };
  const sockets = new Set<net.Socket>();
  let server: net.Server;
  const open = async (): Promise<void> => {
    server = net.createServer((socket) => {
      const upstream = net.connect(target);
      for (const end of [socket, upstream]) { sockets.add(end); end.on('error', () => undefined); }
      socket.pipe(upstream).pipe(socket);
    });
    server.listen(Number(url.port) === target.port ? 0 : Number(url.port), '127.0.0.1');
    await new Promise((resolve) => { server.once('listening', resolve); });
    url.hostname = '127.0.0.1';
    url.port = String((server.address() as net.AddressInfo).port);
  };
  await open();
  return { url: url.href, open, cut: () => { server.close(); for (const socket of sockets) socket.destroy(); sockets.clear(); } };
}
