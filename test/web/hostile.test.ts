/** The pages against what people and those who mean ill send: wrong addresses, long and deep texts, numbers of others, a long audit log, a database that is away. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { sql, type Database } from '../../src/db/pool.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { createLog } from '../../src/log.ts';
import { createSite } from '../../src/web/site.ts';
import { listDecisions } from '../../src/web/version-rows.ts';
import { apiFixture, auditOf, call, password, type Answer, type ApiFixture } from '../api/support.ts';

let api: ApiFixture, cookie: string;
beforeAll(async () => {
  api = await apiFixture();
  cookie = await cookieOf(api.north.emails.administrator);
});
afterAll(() => api.close());

const origin = 'http://localhost', accept = 'text/html,application/xhtml+xml', form = 'application/x-www-form-urlencoded';
async function cookieOf(email: string): Promise<string> {
  const answer = await api.call('POST', '/login', { origin, body: new URLSearchParams({ email, password }).toString(), headers: { 'content-type': form } });
  return answer.headers.get('set-cookie')!.split(';')[0]!;
}
const get = (path: string): Promise<Answer> => api.call('GET', path, { cookie, headers: { accept } });
const post = (path: string, fields: Record<string, string> = {}, from = origin): Promise<Answer> =>
  api.call('POST', path, { cookie, origin: from, body: new URLSearchParams(fields).toString(), headers: { accept, 'content-type': form } });
const isError = (line: string): boolean => (JSON.parse(line) as { level: unknown }).level === 'error';
const isPage = ({ status, headers, text }: Answer): unknown[] => [status, headers.get('content-type')?.split(';')[0], /role="alert">/.test(text)];

test('an address that is wrong is answered by a page that says so, never by an error of ours', async () => {
  const { ids } = api.north, long = 'x'.repeat(300);
  for (const path of ['/dead-letters?parked=x', `/dead-letters?jobs=${long}`, `/dead-letters?notices=${long}`, `/dead-letters?waiting=${long}`, '/scans?text=%00', '/scans?cursor=x', `/scans/${ids['scan_id']}/images?series=%00`, '/associations?calling_ae_title=%00', '/alerts?cursor=x']) expect([path, ...isPage(await get(path))]).toEqual([path, 422, 'text/html', true]);
  for (const path of ['/alerts?state=<script>', '/scans?limit=9999', '/scans?created_from=yesterday']) expect([path, (await get(path)).text.includes('role="alert"'), (await get(path)).text.includes('<script')]).toEqual([path, true, false]);
  expect(api.logLines.filter(isError)).toEqual([]);
});

test('what is parked is not sent again to all because a system was named wrong', async () => {
  let asked = 0;
  const { resendParked, resendParkedNotices } = api.commands, count = async (): Promise<{ resent: string[]; leftOut: [] }> => { asked += 1; return { resent: [], leftOut: [] }; };
  Object.assign(api.commands, { resendParked: count, resendParkedNotices: count });
  for (const path of ['/dead-letters/resend', '/dead-letters/notices/resend']) expect(isPage(await post(path, { integration_id: 'nope' }))).toEqual([422, 'text/html', true]);
  expect(asked).toBe(0);
  Object.assign(api.commands, { resendParked, resendParkedNotices });
});

test('what is refused before a page is reached is a page too: a form that is too large, one of another site', async () => {
  expect(isPage(await post('/scans', { text: 'x'.repeat(300_000) }))).toEqual([413, 'text/html', true]);
  expect(isPage(await post('/scans', { text: 'x' }, 'https://evil.example'))).toEqual([403, 'text/html', true]);
  expect(isPage(await post('/login', {}, 'https://evil.example'))).toEqual([403, 'text/html', true]);
  const program = await api.call('POST', '/scans', { cookie, origin: 'https://evil.example', body: 'text=x', headers: { 'content-type': form } });
  expect([program.status, program.headers.get('content-type')]).toEqual([403, 'application/problem+json']);
});

test('while the database is away every page says so as a page, when to try again, and nothing of the database', async () => {
  const refuse = (): never => { throw Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432 secret-word'), { code: 'ECONNREFUSED' }); };
  const away: Database = { ...api.db.database, pool: new Proxy(api.db.database.pool, { get: () => refuse }) }, lines: string[] = [];
  const app = createSite({ database: away, keys: api.db.keys, config: { roles: ['api'] }, log: createLog({ logLevel: 'info' }, { write: (line) => { lines.push(line); } }), commands: api.commands });
  for (const path of ['/', '/scans', '/systems', '/dead-letters']) {
    const answer = await call(app, 'GET', path, { cookie, headers: { accept } });
    expect([path, ...isPage(answer), answer.headers.get('retry-after')]).toEqual([path, 503, 'text/html', true, '5']);
    expect(answer.text).not.toMatch(/secret-word|ECONNREFUSED|127\.0\.0\.1/);
  }
  expect((await call(app, 'GET', '/api/v1/scans', { cookie, headers: { accept } })).headers.get('content-type')).toBe('application/problem+json');
  expect(lines.filter(isError)).toHaveLength(5);
});

test('settings that are nested beyond reason are said to be unreadable', async () => {
  const save = (name: string, settings: string): Promise<Answer> => post('/systems/new?adapter=fake', { name, kind: 'pacs', direction: 'both', settings });
  for (const settings of ['{a: '.repeat(20_000), `a: ${'*'.repeat(1_000)}`, 'a: &a [*a]']) expect(isPage(await save('Deep', settings))).toEqual([422, 'text/html', true]);
  // Where the stack ends depends on the machine: what fits in a form is taken or refused, nothing else.
  for (const levels of [600, 700, 715]) {
    const { status, text } = await save(`Deep ${levels}`, Array.from({ length: levels }, (_, level) => `${' '.repeat(level)}a:\n`).join(''));
    expect([levels, status === 303 || (status === 422 && text.includes('role="alert"'))], text.slice(0, 100)).toEqual([levels, true]);
  }
});

test('a long finding does not make an address that no server takes', async () => {
  const { ids } = api.north;
  await api.db.asOwner('UPDATE findings SET description = $2 WHERE finding_id = $1', [ids['finding_id'], `<b>${'nodule ü '.repeat(4_000)}`]);
  const back = await post(`/scans/${ids['scan_id']}/findings/${ids['finding_id']}/review`, { is_confirmed: 'true' });
  expect([back.status, back.headers.get('location')!.length < 4_000]).toEqual([303, true]);
  expect((await get(back.headers.get('location')!)).text).toContain('role="status">Confirmed: &lt;b&gt;nodule ü nodule');
});

test('the number of a scan leads to that scan, also when somebody else\'s accession number is the same', async () => {
  const { ids, organizationId } = api.north;
  const [scan] = await api.db.asOwner<{ scan_number: string }>('SELECT scan_number FROM scans WHERE scan_id = $1', [ids['scan_id']]);
  await api.db.asOwner("INSERT INTO scans (organization_id, patient_id, scan_type, accession_number) SELECT $1, $2, 'ct', $3 FROM generate_series(1, 3)", [organizationId, ids['patient_id'], scan!.scan_number]);
  await api.db.asOwner('UPDATE scans SET scan_type = scan_type WHERE scan_id = $1', [ids['scan_id']]);
  expect((await get(`/scans/number/${scan!.scan_number}`)).headers.get('location')).toBe(`/scans/${ids['scan_id']}`);
});

test('of headers that cannot be read, or not to their end, it is not said that they are the same', async () => {
  const { ids } = api.north, image = `/scans/${ids['scan_id']}/images/${ids['scan_file_id']}`, { storedHead } = api.commands;
  const [other] = await api.db.asOwner<{ scan_file_id: string }>(`
    INSERT INTO scan_files (organization_id, scan_id, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, byte_size, dataset_offset, sha256, storage_location, received_at, status, conflict_of)
    SELECT organization_id, scan_id, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, 44, 0, 'again', 'b.dcm', now(), 'quarantined', scan_file_id FROM scan_files WHERE scan_file_id = $1 RETURNING scan_file_id`, [ids['scan_file_id']]);
  const said = async (head: Buffer): Promise<string> => {
    api.commands.storedHead = async () => ({ ...await storedHead(`${api.north.organizationId}/a.dcm`), head });
    return (await get(image)).text;
  };
  expect(await said(Buffer.from('no DICOM'))).toContain('the file is not readable now');
  const element = (group: number, at: number): Buffer => { const bytes = Buffer.from([0, 0, 0, 0, 0x4c, 0x4f, 2, 0, 0x41, 0x20]); bytes.writeUInt16LE(group, 0); bytes.writeUInt16LE(at, 2); return bytes; };
  const part10 = (elements: number): Buffer => Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), ...Array.from({ length: elements }, (_, at) => element(0x0011, 0x1000 + at))]);
  expect(await said(part10(10))).toContain('No attribute that can be shown as text differs');
  expect(await said(part10(10))).not.toContain('was not compared');
  expect(await said(part10(5_100))).toContain('behind its first 5,000 lines was not compared');
  api.commands.storedHead = storedHead;
  await api.db.asOwner('DELETE FROM scan_files WHERE scan_file_id = $1', [other!.scan_file_id]);
});

test('of more images than a page lists it is said how many wait', async () => {
  const { ids, organizationId } = api.north;
  const [scan] = await api.db.asOwner<{ scan_id: string }>(`
    WITH s AS (INSERT INTO scans (organization_id, patient_id, scan_type, instance_count) VALUES ($1, $2, 'ct', 1) RETURNING scan_id)
    INSERT INTO scan_files (organization_id, scan_id, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, byte_size, dataset_offset, sha256, storage_location, received_at, status)
    SELECT $1, scan_id, '1.2.4', '1.2.4.' || n, '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', 44, 0, 'x', 'a.dcm', now(), 'quarantined' FROM s, generate_series(1, 203) n RETURNING scan_id`, [organizationId, ids['patient_id']]);
  const { text } = await get(`/scans/${scan!.scan_id}`);
  expect([text.includes('203 images wait for a decision'), text.includes('These are the first 200.')]).toEqual([true, true]);
});

test('who compares versions of two patients has looked at both, on record', async () => {
  const { ids, organizationId } = api.north;
  const [other] = await api.db.asOwner<{ scan_file_id: string; patient_id: string }>(`
    WITH p AS (INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'OTHER-1') RETURNING patient_id), s AS (INSERT INTO scans (organization_id, patient_id, scan_type) SELECT $1, patient_id, 'ct' FROM p RETURNING scan_id, patient_id)
    INSERT INTO scan_files (organization_id, scan_id, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, byte_size, dataset_offset, sha256, storage_location, received_at, status, conflict_of)
    SELECT $1, scan_id, '1.2.3.1', '1.2.3.1.1', '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', 44, 0, 'y', 'a.dcm', now(), 'quarantined', $2::uuid FROM s
    RETURNING scan_file_id, (SELECT patient_id FROM s) AS patient_id`, [organizationId, ids['scan_file_id']]);
  const looks = await auditOf(api.db, await get(`/scans/${ids['scan_id']}/images/${ids['scan_file_id']}`));
  expect(looks.map(({ object_id: file, patient_id: patient }) => [file, patient])).toEqual([[ids['scan_file_id'], ids['patient_id']], [other!.scan_file_id, other!.patient_id]]);
});

test('decisions are found whichever patient had the scan then, without walking the audit log', async () => {
  const { ids, organizationId } = api.north, created = new Date(Date.now() - 60_000).toISOString();
  const [far] = await api.db.asOwner<{ patient_id: string }>("INSERT INTO patients (organization_id, patient_number, is_active) VALUES ($1, 'FAR-1', false) RETURNING patient_id", [organizationId]);
  const [near] = await api.db.asOwner<{ prior_patient_id: string }>('SELECT prior_patient_id FROM patient_merges WHERE organization_id = $1', [organizationId]);
  await api.db.asOwner("INSERT INTO patient_merges (organization_id, survivor_patient_id, prior_patient_id, moved) VALUES ($1, $2, $3, '{}')", [organizationId, near!.prior_patient_id, far!.patient_id]);
  const record = (patient: string, decision: string, count: number) => api.db.asOwner(`
    INSERT INTO audit_logs (organization_id, event_code, event_name, action, outcome, actor_kind, actor_id, object_type, object_id, patient_id, detail)
    SELECT $1, '110111', 'Procedure Record', 'U', 'success', 'user', 'somebody', 'scan_file', $2, ${patient}, jsonb_build_object('decision', $3::text, 'scan_id', $4::text) FROM generate_series(1, $5::int)`, [organizationId, ids['scan_file_id'], decision, ids['scan_id'], count]);
  await record(`'${far!.patient_id}'`, 'use', 1);
  await record(`'${ids['patient_id']!}'`, 'set aside', 1);
  await record('gen_random_uuid()', 'use', 20_000);
  await api.db.asOwner('ANALYZE audit_logs');
  const listed = (patientId: string) => inOrganization(api.db.database, organizationId, async (tx) => {
    const read = (): Promise<number> => tx.oneFirst(sql.type(z.object({ rows: z.number() }))`SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int8 AS rows FROM pg_stat_xact_user_tables`);
    const before = await read(), decisions = await listDecisions(tx, { scan_id: ids['scan_id']!, patient_id: patientId, created_at: created }, 50);
    return { decisions: decisions.map(({ decision }) => decision).toSorted(), rows: await read() - before };
  });
  for (const patientId of [ids['patient_id']!, near!.prior_patient_id, far!.patient_id]) {
    const { decisions, rows } = await listed(patientId);
    expect(decisions).toEqual(['set aside', 'use']);
    expect(rows, 'rows read').toBeLessThan(1_000);
  }
});
