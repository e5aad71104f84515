import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Emr } from './emr.ts';
import type { EmrOptions } from './emr.ts';
import { structuralProblems } from './fhir-structure.ts';

const corpus = join(process.env.MEDSCAN_CORPUS ?? join(import.meta.dirname, '../../../shared/corpus'), 'fhir');
if (!existsSync(corpus)) process.stderr.write(`simulator: no corpus at ${corpus} (MEDSCAN_CORPUS); the EMR is not tried on it\n`);
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => { for (const cleanup of cleanups.splice(0)) await cleanup(); });

interface Reply { status: number; headers: Headers; body: Record<string, any> }
async function startEmr(options: EmrOptions = {}): Promise<{ emr: Emr; call: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Reply> }> {
  const emr = await Emr.start(options);
  cleanups.push(() => emr.stop());
  return {
    emr,
    call: async (method, path, body, headers = {}) => {
      const response = await fetch(`${emr.baseUrl}${path}`, { method, headers: { 'content-type': 'application/fhir+json', ...headers }, signal: AbortSignal.timeout(1_000), ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      const text = await response.text();
      return { status: response.status, headers: response.headers, body: text.startsWith('{') ? JSON.parse(text) as Record<string, any> : {} };
    },
  };
}
const patient = (value: string): Record<string, unknown> => ({ resourceType: 'Patient', identifier: [{ system: 'urn:oid:1.2', value }], name: [{ family: 'Ünal' }] });
const report = (subject: string, more: object = {}): Record<string, unknown> => ({
  resourceType: 'DiagnosticReport', identifier: [{ system: 'urn:r', value: '1' }], status: 'preliminary', code: { coding: [{ system: 'http://loinc.org', code: '24627-2' }] },
  subject: { reference: subject }, issued: '2026-01-05T10:00:00Z', ...more,
});
const entry = (fullUrl: string, resource: Record<string, unknown>, url: string, method = 'PUT'): object => ({ fullUrl, resource, request: { method, url } });
const bundle = (...entries: object[]): object => ({ resourceType: 'Bundle', type: 'transaction', entry: entries });
const both = (more: object = {}): object => bundle(
  entry('urn:uuid:2', report('urn:uuid:1', more), 'DiagnosticReport?identifier=urn:r|1'), entry('urn:uuid:1', patient('A'), 'Patient?identifier=urn:oid:1.2|A'));

test('a transaction resolves urn:uuid references, and the same again changes nothing', async () => {
  const { emr, call } = await startEmr();
  const first = await call('POST', '/', both());
  expect([first.status, first.body.type, first.body.entry.map((each: any) => each.response.status)]).toEqual([200, 'transaction-response', ['201 Created', '201 Created']]);
  const [stored] = emr.list('DiagnosticReport');
  expect(stored?.['subject']).toEqual({ reference: `Patient/${emr.list('Patient')[0]?.id}` });
  const again = await call('POST', '/', both());
  expect(again.body.entry.map((each: any) => each.response.status)).toEqual(['200 OK', '200 OK']);
  expect([emr.list('DiagnosticReport').length, emr.list('Patient').length, emr.reports.items.length]).toEqual([1, 1, 1]);
  await call('POST', '/', both({ status: 'final' }));
  expect(emr.reports.items.map((each) => each['status'])).toEqual(['preliminary', 'final']);
  const history = await call('GET', `/DiagnosticReport/${stored?.id}/_history`);
  expect(history.body.entry.map((each: any) => each.resource.meta.versionId)).toEqual(['2', '1']);
});

test('a transaction with one bad entry leaves nothing behind and names the entry', async () => {
  const { emr, call } = await startEmr();
  const answer = await call('POST', '/', both({ status: 'done' }));
  expect([answer.status, answer.body.issue[0].expression]).toEqual([422, ['Bundle.entry[0]: DiagnosticReport.status']]);
  expect(emr.list('Patient')).toEqual([]);
});

test('a reference that leads nowhere or to the wrong type is refused', async () => {
  const { emr, call } = await startEmr();
  expect((await call('POST', '/DiagnosticReport', report('Patient/nobody'))).body.issue[0].expression).toEqual(['DiagnosticReport.subject.reference']);
  const { body } = await call('POST', '/Patient', patient('A'));
  expect((await call('POST', '/DiagnosticReport', report(`Patient/${body.id}`, { imagingStudy: [{ reference: `Patient/${body.id}` }] }))).status).toBe(422);
  expect((await call('POST', '/', bundle(entry('urn:uuid:2', report('urn:uuid:9'), 'DiagnosticReport', 'POST')))).status).toBe(422);
  expect(emr.list('DiagnosticReport')).toEqual([]);
});

test('conditional create and update find by identifier; several matches are 412', async () => {
  const { emr, call } = await startEmr();
  const created = await call('POST', '/Patient', patient('A'), { 'if-none-exist': 'identifier=urn:oid:1.2|A' });
  expect([created.status, created.headers.get('location')]).toEqual([201, `${emr.baseUrl}/Patient/${created.body.id}/_history/1`]);
  expect((await call('POST', '/Patient', patient('A'), { 'if-none-exist': 'identifier=urn:oid:1.2|A' })).status).toBe(200);
  expect((await call('PUT', '/Patient?identifier=urn:oid:1.2|A', { ...patient('A'), gender: 'female' })).body.id).toBe(created.body.id);
  expect((await call('PUT', '/Patient?identifier=urn:oid:1.2|B', patient('B'))).status).toBe(201);
  await call('POST', '/Patient', patient('A'));
  expect((await call('PUT', '/Patient?identifier=urn:oid:1.2|A', patient('A'))).status).toBe(412);
  expect((await call('GET', '/Patient?identifier=A')).body.total).toBe(2);
  expect((await call('GET', '/Patient?shoe-size=44')).status).toBe(400);
  const tagged = { ...patient('C'), meta: { tag: [{ system: 'urn:t', code: '1' }] } };
  expect((await call('POST', '/Patient', tagged, { 'if-none-exist': '_tag=urn:t|1' })).status).toBe(201);
  expect((await call('POST', '/Patient', tagged, { 'if-none-exist': '_tag=urn:t|1' })).status).toBe(200);
  expect((await call('PUT', `/Patient/${created.body.id}`, patient('A'), { 'if-match': 'W/"1"' })).status).toBe(412);
});

test('without the bearer token there is only metadata', async () => {
  const { call } = await startEmr({ bearerToken: 'secret' });
  expect((await call('GET', '/Patient')).status).toBe(401);
  expect((await call('GET', '/Patient', undefined, { authorization: 'Bearer secret' })).status).toBe(200);
  expect((await call('GET', '/metadata')).body.rest[0].interaction).toEqual([{ code: 'batch' }, { code: 'transaction' }]);
});

test('each misbehaviour is what it says and ends after its count', async () => {
  const { emr, call } = await startEmr({ retryAfterSeconds: 7 });
  const during = async (mode: Parameters<typeof emr.behaviour.set>[0]): Promise<Reply> => { await emr.behaviour.set(mode, 1); return call('POST', '/', both()); };
  expect((await during('503')).status).toBe(503);
  expect((await during('429')).headers.get('retry-after')).toBe('7');
  expect((await during('422')).body.resourceType).toBe('OperationOutcome');
  expect((await during('html-502')).headers.get('content-type')).toBe('text/html');
  expect((await during('transaction-unsupported')).status).toBe(400);
  await expect(during('hang')).rejects.toThrow('timeout');
  expect(emr.list('DiagnosticReport')).toEqual([]);
  await expect(during('hang-after-commit')).rejects.toThrow('timeout');
  expect(emr.list('DiagnosticReport').length).toBe(1);
  await expect(during('down')).rejects.toThrow('fetch failed');
  await emr.behaviour.set('accept');
  expect((await call('POST', '/', both())).body.entry.length).toBe(2);
});

test('a transaction that is run as a batch keeps the good entries and says which were not', async () => {
  const { emr, call } = await startEmr();
  await emr.behaviour.set('batch', 1);
  const answer = await call('POST', '/', both({ status: 'done' }));
  expect([answer.status, answer.body.type, answer.body.entry.map((each: any) => each.response.status)]).toEqual([200, 'batch-response', ['422', '201 Created']]);
  expect([emr.list('Patient').length, emr.list('DiagnosticReport').length]).toEqual([1, 0]);
});

test.skipIf(!existsSync(corpus))('the proven result Bundle is accepted whole, twice, with one copy of everything conditional', async () => {
  const { emr, call } = await startEmr();
  const content: unknown = JSON.parse(readFileSync(join(corpus, 'example/ai-bundle.json'), 'utf8'));
  expect((await call('POST', '/', content)).body.issue).toBeUndefined();
  expect((await call('POST', '/', content)).body.entry.map((each: any) => each.response.status.slice(0, 3)).slice(0, -1)).toEqual(Array.from({ length: 8 }, () => '200'));
  expect([emr.list('DiagnosticReport').length, emr.list('Observation').length, emr.list('ImagingStudy').length]).toEqual([1, 2, 1]);
});

test.skipIf(!existsSync(corpus))('a good part of the invalid corpus resources is refused', () => {
  const files = globSync(join(corpus, 'invalid/*.json')).filter((file) => !file.endsWith('labels.json'));
  const refused = files.filter((file) => {
    const problems = structuralProblems(JSON.parse(readFileSync(file, 'utf8')));
    return problems.length > 0;
  });
  expect(refused.length / files.length).toBeGreaterThan(0.3);
});
