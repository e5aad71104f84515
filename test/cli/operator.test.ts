/** The operator's commands as they are typed, against a database with something to decide about. No gateway runs: what needs one says so. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { checkDatabase } from '../../src/cli/doctor-database.ts';
import { apiFixture, type ApiFixture } from '../api/support.ts';
import { databaseUrl, onServer } from '../support/database.ts';

/** Each command is a process of its own. */
vi.setConfig({ testTimeout: 120_000 });

const program = path.join(import.meta.dirname, '../../bin/medscan.mjs');
const home = mkdtempSync(path.join(tmpdir(), 'medscan-cli-'));
let api: ApiFixture;
beforeAll(async () => {
  chmodSync(home, 0o755);
  api = await apiFixture();
  await api.db.asOwner("UPDATE deliveries SET status = 'refused', last_text = 'HTTP 422'");
  await api.db.asOwner("UPDATE sync_logs SET message_status = 'rejected', error_text = 'PID-3 is required'");
});
afterAll(async () => {
  await api?.close();
  rmSync(home, { recursive: true, force: true });
});

interface Result { readonly code: number; readonly out: string; readonly err: string }
function medscan(...words: string[]): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>();
  const env = { PATH: process.env['PATH'], MEDSCAN_HOME: home, MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'), DATABASE_URL: databaseUrl(inject('serverUrl'), new URL(api.db.ownerUrl).pathname.slice(1)) };
  execFile(process.execPath, [program, ...words], { env }, (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }));
  return promise;
}
const inNorth = ['--organization', 'North Hospital'];

test('a system is paused and resumed, in one direction or both, and the list says so', async () => {
  expect(await medscan('integration', 'pause', 'PACS', '--receive', ...inNorth)).toMatchObject({ code: 0, out: expect.stringContaining('receiving paused') as string });
  expect((await medscan('integration', 'list', ...inNorth)).out).toMatch(/PACS.*yes +receive +/);
  expect(await medscan('integration', 'resume', 'PACS', ...inNorth)).toMatchObject({ code: 0, out: expect.stringContaining('receiving and delivering resumed') as string });
  expect(await api.db.asOwner("SELECT receive_paused_at, deliver_paused_at FROM external_integrations WHERE integration_id = $1", [api.north.ids['integration_id']])).toEqual([{ receive_paused_at: null, deliver_paused_at: null }]);
  expect(await api.db.asOwner("SELECT actor_kind FROM audit_logs WHERE object_id = $1 AND detail ? 'receive_paused'", [api.north.ids['integration_id']])).toEqual([{ actor_kind: 'system' }, { actor_kind: 'system' }]);
  expect((await medscan('integration', 'pause', 'FAX', ...inNorth)).err).toContain('There is no integration "FAX"');
  expect((await medscan('integration', 'pause', 'PACS')).err).toContain('Name one organization');
});

test('dead letters are listed, sent again and given up', async () => {
  const listed = await medscan('dead-letter', 'list');
  for (const text of ['North Hospital', 'South Clinic', 'HTTP 422', 'job report', api.north.ids['delivery_id']!, 'order status (received) of', api.north.ids['notice_id']!]) expect(listed.out).toContain(text);
  expect((await medscan('doctor')).out).toMatch(/decisions\s+4 parked reports or order status messages; 2 dead jobs/);
  expect((await medscan('dead-letter', 'resend', ...inNorth)).err).toContain('Say which');
  expect((await medscan('dead-letter', 'resend', api.south.ids['delivery_id']!, ...inNorth)).err, 'another organization\'s').toContain('There is no parked report');
  expect(await medscan('dead-letter', 'resend', '--all', ...inNorth)).toMatchObject({ code: 0, out: '2 sent again.\n' });
  expect(await api.db.asOwner('SELECT status FROM order_notices ORDER BY notice_id')).toEqual([{ status: 'queued' }, { status: 'refused' }]);
  expect(await medscan('dead-letter', 'discard', api.north.ids['notice_id']!, '--reason', 'told by telephone', ...inNorth)).toMatchObject({ code: 0 });
  await api.db.asOwner("UPDATE order_notices SET status = 'refused'");
  expect((await medscan('dead-letter', 'discard', '--reason', 'it takes none', ...inNorth)).err).toContain('Say which');
  expect(await medscan('dead-letter', 'discard', '--integration', 'PACS', '--reason', 'it takes none', ...inNorth)).toMatchObject({ code: 0, out: '1 order status message given up; the reason is in the audit log.\n' });
  expect(await api.db.asOwner('SELECT status FROM order_notices ORDER BY notice_id')).toEqual([{ status: 'skipped' }, { status: 'refused' }]);
  expect(await api.db.asOwner('SELECT status FROM deliveries ORDER BY delivery_id')).toEqual([{ status: 'queued' }, { status: 'refused' }]);
  expect(await api.db.asOwner("SELECT count(*)::int AS jobs FROM pgboss.job WHERE name = 'deliver' AND singleton_key = $1 AND state = 'created'", [api.north.ids['integration_id']])).toEqual([{ jobs: 1 }]);
  expect((await medscan('dead-letter', 'discard', api.north.ids['dead_job_id']!, ...inNorth)).err).toContain('--reason');
  expect(await medscan('dead-letter', 'discard', api.north.ids['dead_job_id']!, '--reason', 'not needed', ...inNorth)).toMatchObject({ code: 0 });
  expect((await medscan('dead-letter', 'discard', api.north.ids['dead_job_id']!, '--reason', 'again', ...inNorth)).err).toContain('discarded already');
});

test('refused messages are counted, and nothing happens without --yes', async () => {
  const counted = await medscan('exchange', 'replay', '--integration', 'PACS', '--error', 'pid-3', ...inNorth);
  expect(counted).toMatchObject({ code: 0, out: expect.stringContaining('1 refused message') as string });
  expect(counted.out).toContain('Nothing was done. Add --yes');
  expect(await api.db.asOwner("SELECT count(*)::int AS replays FROM message_replays WHERE requested_kind = 'system'")).toEqual([{ replays: 0 }]);
  expect((await medscan('exchange', 'replay', '--error', 'no such reason', ...inNorth)).out).toContain('No refused message');
  expect((await medscan('exchange', 'replay', 'x', ...inNorth)).err).toContain('is not the id of an exchange');
  expect((await medscan('exchange', 'replay', '--from', 'yesterday', ...inNorth)).err).toContain('is no date');
});

test('the doctor sees a system that is down also with a database role that row level security holds for', async () => {
  const role = `medscan_doctor_${process.pid}`, database = new URL(api.db.ownerUrl).pathname.slice(1);
  await api.db.asOwner(`CREATE ROLE ${role} LOGIN PASSWORD 'doctor' NOSUPERUSER NOBYPASSRLS`);
  try {
    for (const schema of ['public', 'pgboss']) await api.db.asOwner(`GRANT USAGE ON SCHEMA ${schema} TO ${role}`).then(() => api.db.asOwner(`GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO ${role}`));
    await api.db.asOwner("UPDATE external_integrations SET health_status = 'down', last_error = 'nobody answers' WHERE integration_id = $1", [api.north.ids['integration_id']]);
    const url = new URL(databaseUrl(inject('serverUrl'), database));
    url.username = role;
    url.password = 'doctor';
    expect((await checkDatabase(url.href, false)).find(({ name }) => name === 'integrations')).toMatchObject({ status: 'warning', detail: 'PACS: nobody answers' });
  } finally {
    await api.db.asOwner(`DROP OWNED BY ${role}`);
    await onServer(inject('serverUrl'), `DROP ROLE ${role}`);
  }
});
