/** Bulk Data Access: everything of an organization in files, through a running gateway. */
import { appendFile, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inOrganization } from '../src/db/transaction.ts';
import { insertReport } from '../src/db/reports.ts';
import { createApiToken } from '../src/db/user-sessions.ts';
import { exportRecords, tidyExports } from '../src/pipeline/exports.ts';
import { validateResource } from '../src/standards/fhir/validate.ts';
import adapter from '../adapters/fhir-rest/adapter.ts';
import { sampleConfig, sampleReport } from '../adapters/fhir-rest/testcases/sample-report.ts';
import { eventually, testGateway, type TestGateway } from './support/gateway.ts';
import { insertIntegration } from './support/pipeline.ts';
import { uuidV7 } from '#domain/uuid.ts';

interface Answer { readonly status: number; readonly headers: Headers; readonly text: string; readonly body: any }
const PATIENTS = 450;
let gateway: TestGateway, token: string, other: string, organizationId: string, integrationId: string;

beforeAll(async () => {
  gateway = await testGateway();
  ({ organizationId, integrationId } = await insertIntegration(gateway.db, 'North', 'EMR', 'fhir-rest'));
  const south = await insertIntegration(gateway.db, 'South', 'EMR', 'fhir-rest');
  await gateway.integrations.reload();
  const tokenOf = async (organizationName: string): Promise<string> => (await createApiToken(gateway.db.database, { organizationName, role: 'service', name: 'EMR', scopes: undefined })).token;
  [token, other] = [await tokenOf('North'), await tokenOf('South')];
  await gateway.db.asOwner("INSERT INTO patients (organization_id, patient_number, family_name) SELECT $1, 'P' || n, 'Line' || chr(10) || 'break' FROM generate_series(1, $2::int) n", [organizationId, PATIENTS]);
  await gateway.db.asOwner("INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'S1')", [south.organizationId]);
  const [scan] = await gateway.db.asOwner<{ scan_id: string }>("INSERT INTO scans (organization_id, patient_id, scan_number, scan_type, study_instance_uid) SELECT $1, patient_id, 'S1', 'ct', '1.2.3' FROM patients WHERE organization_id = $1 LIMIT 1 RETURNING scan_id", [organizationId]);
  const reportId = uuidV7();
  await inOrganization(gateway.db.database, organizationId, (tx) => insertReport(tx, { reportId, lineageId: reportId, version: 1, supersedes: undefined, scanId: scan!.scan_id, analysisId: undefined, templateId: undefined, authorName: 'M', document: { ...sampleReport, reportId } }));
});
afterAll(() => gateway?.stop());

async function ask(method: string, url: string, headers: Record<string, string> = {}, as = token, body?: object): Promise<Answer> {
  const response = await fetch(url.startsWith('http') ? url : `http://127.0.0.1:${gateway.ports.http}/fhir/r4/${url}`, {
    method, headers: { authorization: `Bearer ${as}`, ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }), ...headers }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, get body() { return JSON.parse(text); } };
}
const kickOff = (query = '', as = token): Promise<Answer> => ask('GET', `$export${query}`, { prefer: 'respond-async' }, as);
const done = (address: string, as = token): Promise<Answer> => eventually(async () => { const answer = await ask('GET', address, {}, as); return answer.status === 202 ? undefined : answer; });
const location = (answer: Answer): string => answer.headers.get('content-location') ?? '';

test('all that is there comes in one file a type, each line a valid resource, for the one who asked alone', async () => {
  const started = await kickOff();
  expect([started.status, location(started)]).toEqual([202, expect.stringMatching(/\/fhir\/r4\/\$export-status\/[0-9a-f-]{36}$/) as string]);
  const manifest = await done(location(started));
  expect([manifest.status, manifest.headers.get('content-type'), Date.parse(manifest.headers.get('expires') ?? '') > Date.now()]).toEqual([200, 'application/json', true]);
  const { output, ...rest } = manifest.body as { output: { type: string; url: string; count: number }[] };
  expect(rest).toMatchObject({ requiresAccessToken: true, deleted: [], error: [], request: `http://127.0.0.1:${gateway.ports.http}/fhir/r4/$export`, transactionTime: expect.any(String) });
  expect(Object.fromEntries(output.map(({ type, count }) => [type, count]))).toMatchObject({ Patient: PATIENTS, ImagingStudy: 1, DiagnosticReport: 1 });
  for (const { type, url, count } of output) {
    const file = await ask('GET', url);
    expect([file.status, file.headers.get('content-type'), file.text.endsWith('\n')]).toEqual([200, 'application/fhir+ndjson', true]);
    const resources = file.text.trimEnd().split('\n').map((line) => JSON.parse(line));
    expect(resources).toHaveLength(count);
    expect(new Set(resources.map((resource) => resource.id)).size).toBe(count);
    expect(resources.flatMap((resource): unknown[] => resource.resourceType === type ? [...validateResource(resource)] : ['another type'])).toEqual([]);
    for (const [as, status] of [[other, 404], ['none', 401]] as const) expect((await ask('GET', url, {}, as)).status).toBe(status);
  }
  for (const method of ['GET', 'DELETE']) expect((await ask(method, location(started), {}, other)).status).toBe(404);
  expect((await ask('GET', `${output[0]!.url}/../../x`)).status).toBe(404);
  expect((await gateway.db.asOwner("SELECT FROM audit_logs WHERE object_type = 'record_export' AND action IN ('E', 'R')")).length).toBeGreaterThan(output.length);
  const files = path.join(gateway.home, 'exports');
  expect(await readdir(files)).toHaveLength(1);
  expect((await ask('DELETE', location(started))).status).toBe(202);
  expect([(await ask('GET', location(started))).status, (await ask('GET', output[0]!.url)).status, await readdir(files)]).toEqual([404, 404, []]);
});

test('_type and _since choose, by URL and by Parameters; what expired is removed', async () => {
  const [{ at }] = await gateway.db.asOwner<{ at: Date }>('SELECT clock_timestamp() AS at') as [{ at: Date }];
  await gateway.db.asOwner("UPDATE patients SET family_name = 'Changed' WHERE organization_id = $1 AND patient_number IN ('P1', 'P2')", [organizationId]);
  const changed = await done(location(await kickOff(`?_type=Patient,Device&_since=${encodeURIComponent(at.toISOString())}`)));
  expect(changed.body.output).toMatchObject([{ type: 'Patient', count: 2 }]);
  const posted = await done(location(await ask('POST', 'Patient/$export', { prefer: 'respond-async' }, token, { resourceType: 'Parameters', parameter: [{ name: '_type', valueString: 'DiagnosticReport' }] })));
  expect(posted.body.output).toMatchObject([{ type: 'DiagnosticReport', count: 1 }]);
  const nothing = await done(location(await kickOff('', other)), other);
  expect(nothing.body.output).toMatchObject([{ type: 'Patient', count: 1 }]);
  await gateway.db.asOwner("UPDATE record_exports SET expires_at = now() - interval '1 s'");
  await tidyExports({ database: gateway.db.database, exportDirectory: path.join(gateway.home, 'exports') });
  expect(await readdir(path.join(gateway.home, 'exports'))).toEqual([]);
});

test.each([['without Prefer: respond-async', '$export', {}, 400], ['of a type that is not here', '$export?_type=Claim', { prefer: 'respond-async' }, 400], ['as Parquet', '$export?_outputFormat=application/parquet', { prefer: 'respond-async' }, 400],
  ['since yesterday', '$export?_since=yesterday', { prefer: 'respond-async' }, 400], ['with a filter of its own', '$export?_typeFilter=Patient%3Fx', { prefer: 'respond-async' }, 400], ['that is unknown', '$export-status/x', {}, 404],
])('an export %s is refused', async (_, url, headers, status) => {
  const answer = await ask('GET', url, headers as Record<string, string>);
  expect([answer.status, answer.body.resourceType]).toEqual([status, 'OperationOutcome']);
});

test('a token gets the types that its scopes name, and no other by asking', async () => {
  const narrow = (await createApiToken(gateway.db.database, { organizationName: 'North', role: 'service', name: 'N', scopes: ['system/DiagnosticReport.rs'] })).token;
  expect((await kickOff('?_type=Patient', narrow)).status).toBe(403);
  const made = location(await kickOff('', narrow));
  expect((await done(made, narrow)).body.output.map(({ type }: { type: string }) => type)).toEqual(['DiagnosticReport']);
});

test('one that is ended while it runs stops and leaves no file', async () => {
  const { database } = gateway.db, exportDirectory = path.join(gateway.home, 'exports');
  const [{ id }] = await gateway.db.asOwner<{ id: string }>("INSERT INTO record_exports (organization_id, integration_id, user_id, request_url, types, expires_at) VALUES ($1, $2, $3, 'x', ARRAY['Patient'], now() + interval '1 h') RETURNING export_id AS id", [organizationId, integrationId, uuidV7()]) as [{ id: string }];
  let transactions = 0;
  // Ended after the first page was read and before it is noted.
  const transaction = async (...work: Parameters<typeof database.pool.transaction>): Promise<unknown> => {
    transactions += 1;
    if (transactions === 3) await gateway.db.asOwner("UPDATE record_exports SET status = 'cancelled' WHERE export_id = $1", [id]);
    return database.pool.transaction(...work);
  };
  const integration = () => ({ adapter, integration: { integrationId, organizationId, name: 'EMR', config: sampleConfig() } });
  const watched = { ...database, pool: Object.create(database.pool, { transaction: { value: transaction } }) as typeof database.pool };
  await exportRecords({ database: watched, boss: gateway.boss, keys: gateway.db.keys, exportDirectory, integration }, { organizationId, exportId: id, role: 'service', address: '' }, { signal: new AbortController().signal, isLastTry: true });
  expect(transactions).toBe(4);
  expect(await readdir(exportDirectory)).not.toContain(id);
});

test('a worker that goes on after another died writes no page twice, and drops what was written and not noted', async () => {
  const { database } = gateway.db, exportDirectory = path.join(gateway.home, 'exports');
  const [{ id }] = await gateway.db.asOwner<{ id: string }>("INSERT INTO record_exports (organization_id, integration_id, user_id, request_url, types, expires_at) VALUES ($1, $2, $3, 'x', ARRAY['Device', 'Patient', 'ImagingStudy'], now() + interval '1 h') RETURNING export_id AS id", [organizationId, integrationId, uuidV7()]) as [{ id: string }];
  const integration = () => ({ adapter, integration: { integrationId, organizationId, name: 'EMR', config: sampleConfig() } });
  const file = (type: string): string => path.join(exportDirectory, id, `${type}.1.ndjson`), lines = async (type: string): Promise<string[]> => (await readFile(file(type), 'utf8')).trimEnd().split('\n');
  /** Stops before the nth transaction from here; returns how many there were. */
  const run = async (stopBefore = Infinity): Promise<number> => {
    let transactions = 0;
    const transaction = async (...work: Parameters<typeof database.pool.transaction>): Promise<unknown> => {
      if (transactions + 1 >= stopBefore) throw new Error('the worker is gone');
      transactions += 1;
      return database.pool.transaction(...work);
    };
    const watched = { ...database, pool: Object.create(database.pool, { transaction: { value: transaction } }) as typeof database.pool };
    await exportRecords({ database: watched, boss: gateway.boss, keys: gateway.db.keys, exportDirectory, integration }, { organizationId, exportId: id, role: 'service', address: '' }, { signal: new AbortController().signal, isLastTry: false }).catch((error: unknown) => { if (String(error) !== 'Error: the worker is gone') throw error; });
    return transactions;
  };
  const [{ progress: before }] = await gateway.db.asOwner<{ progress: unknown }>('SELECT progress FROM record_exports WHERE export_id = $1', [id]) as [{ progress: unknown }];
  // Found, page of Device, noted, Device ended, first page of Patient, noted; the second page is written and not noted.
  const whole = 8;
  await run(whole);
  const [{ progress, status }] = await gateway.db.asOwner<{ progress: { type: string; count: number; byte_length: number }; status: string }>('SELECT progress, status FROM record_exports WHERE export_id = $1', [id]) as [{ progress: { type: string; count: number; byte_length: number }; status: string }];
  expect([before, status, progress.type, progress.count]).toEqual([null, 'running', 'Patient', 200]);
  expect([(await lines('Patient')).length, (await stat(file('Patient'))).size > progress.byte_length]).toEqual([400, true]);
  const firstPage = (await lines('Patient')).slice(0, 200);
  // What is past the noted page is not trusted, whatever it is.
  await appendFile(file('Patient'), '{"half a li');
  expect(await run()).toBeLessThan(12);
  const served = await ask('GET', `$export-file/${id}/Patient.ndjson`), patients = served.text.trimEnd().split('\n');
  expect([patients.length, new Set(patients.map((line) => JSON.parse(line).id)).size]).toEqual([PATIENTS, PATIENTS]);
  expect(patients.slice(0, 200)).toEqual(firstPage);
  const [{ outputs, ...made }] = await gateway.db.asOwner<{ status: string; record_count: number; outputs: { type: string; count: number; byte_length: number }[] }>('SELECT status, record_count, outputs FROM record_exports WHERE export_id = $1', [id]) as [{ status: string; record_count: number; outputs: { type: string; count: number; byte_length: number }[] }];
  expect([made.status, made.record_count, outputs.find(({ type }) => type === 'Patient')]).toEqual(['completed', outputs.reduce((sum, { count }) => sum + count, 0), { type: 'Patient', count: PATIENTS, byte_length: Buffer.byteLength(served.text), parts: [{ attempt: 1, byte_length: progress.byte_length }, { attempt: 2, byte_length: Buffer.byteLength(served.text) - progress.byte_length }] }]);
  expect(Number(served.headers.get('content-length'))).toBe(Buffer.byteLength(served.text));
});

test.each([['before it wrote anything', 3], ['between a page and its note', 6], ['before it said that all is there', 9]])('a worker that stalled %s, and wakes when another one has done its work, changes nothing of it', async (_, stallBefore) => {
  const { database } = gateway.db, exportDirectory = path.join(gateway.home, 'exports');
  const [{ id }] = await gateway.db.asOwner<{ id: string }>("INSERT INTO record_exports (organization_id, integration_id, user_id, request_url, types, expires_at) VALUES ($1, $2, $3, 'x', ARRAY['Patient', 'ImagingStudy'], now() + interval '1 h') RETURNING export_id AS id", [organizationId, integrationId, uuidV7()]) as [{ id: string }];
  const integration = () => ({ adapter, integration: { integrationId, organizationId, name: 'EMR', config: sampleConfig() } });
  const run = (through: typeof database) => exportRecords({ database: through, boss: gateway.boss, keys: gateway.db.keys, exportDirectory, integration }, { organizationId, exportId: id, role: 'service', address: '' }, { signal: new AbortController().signal, isLastTry: true });
  const made = async () => ({ rows: await gateway.db.asOwner('SELECT status, record_count, outputs, attempt FROM record_exports WHERE export_id = $1', [id]), files: (await readdir(path.join(exportDirectory, id))).sort(), patients: (await ask('GET', `$export-file/${id}/Patient.ndjson`)).text });
  const stalled = Promise.withResolvers<void>(), wakes = Promise.withResolvers<void>();
  let transactions = 0;
  const transaction = async (...work: Parameters<typeof database.pool.transaction>): Promise<unknown> => {
    transactions += 1;
    if (transactions === stallBefore) { stalled.resolve(); await wakes.promise; }
    return database.pool.transaction(...work);
  };
  const first = run({ ...database, pool: Object.create(database.pool, { transaction: { value: transaction } }) as typeof database.pool });
  await stalled.promise;
  await run(database);
  const before = await made();
  expect(before.rows).toMatchObject([{ status: 'completed', attempt: 2, outputs: [{ type: 'Patient', count: PATIENTS }, { type: 'ImagingStudy', count: 1 }] }]);
  expect(new Set(before.patients.trimEnd().split('\n').map((line) => JSON.parse(line).id)).size).toBe(PATIENTS);
  wakes.resolve();
  await first;
  const { files, ...after } = await made();
  expect(after).toEqual({ rows: before.rows, patients: before.patients });
  expect(files.filter((file) => !before.files.includes(file)).every((file) => file.endsWith('.1.ndjson')), 'only files of its own').toBe(true);
});

test('a worker whose files are gone or short begins again', async () => {
  const exportDirectory = path.join(gateway.home, 'exports');
  const progress = { outputs: [{ type: 'Patient', count: 3, byte_length: 999 }], type: 'ImagingStudy', count: 0, byte_length: 0, next: null };
  const [{ id }] = await gateway.db.asOwner<{ id: string }>("INSERT INTO record_exports (organization_id, integration_id, user_id, request_url, types, status, progress, expires_at) VALUES ($1, $2, $3, 'x', ARRAY['Patient', 'ImagingStudy'], 'running', $4, now() + interval '1 h') RETURNING export_id AS id", [organizationId, integrationId, uuidV7(), JSON.stringify(progress)]) as [{ id: string }];
  const integration = () => ({ adapter, integration: { integrationId, organizationId, name: 'EMR', config: sampleConfig() } });
  await exportRecords({ database: gateway.db.database, boss: gateway.boss, keys: gateway.db.keys, exportDirectory, integration }, { organizationId, exportId: id, role: 'service', address: '' }, { signal: new AbortController().signal, isLastTry: true });
  expect(await gateway.db.asOwner('SELECT status, outputs FROM record_exports WHERE export_id = $1', [id])).toMatchObject([{ status: 'completed', outputs: [{ type: 'Patient', count: PATIENTS }, { type: 'ImagingStudy', count: 1 }] }]);
});

test('what changes between the asking and the writing is in the export', async () => {
  const exportDirectory = path.join(gateway.home, 'exports');
  const [{ id }] = await gateway.db.asOwner<{ id: string }>("INSERT INTO record_exports (organization_id, integration_id, user_id, request_url, types, transaction_at, expires_at) VALUES ($1, $2, $3, 'x', ARRAY['Patient'], now() - interval '1 h', now() + interval '1 h') RETURNING export_id AS id", [organizationId, integrationId, uuidV7()]) as [{ id: string }];
  const integration = () => ({ adapter, integration: { integrationId, organizationId, name: 'EMR', config: sampleConfig() } });
  await exportRecords({ database: gateway.db.database, boss: gateway.boss, keys: gateway.db.keys, exportDirectory, integration }, { organizationId, exportId: id, role: 'service', address: '' }, { signal: new AbortController().signal, isLastTry: true });
  expect(await gateway.db.asOwner('SELECT status, record_count FROM record_exports WHERE export_id = $1', [id])).toEqual([{ status: 'completed', record_count: PATIENTS }]);
});
