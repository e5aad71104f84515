import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { generateKeyPair, exportPKCS8, jwtVerify } from 'jose';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort } from '../../test/support/free-port.ts';
import type { AdapterContext, Delivery, DeliveryOutcome } from '#gateway/adapter.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import { outcome } from '#standards/fhir/operation-outcome.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import adapter from './adapter.ts';
import type { Config } from './config.ts';
import { createFhirClient } from './fhir-client.ts';
import { reportBundle } from './report-bundle.ts';
import { sampleConfig, sampleReport } from './testcases/sample-report.ts';
import { send, startTestingFhirServer, statementOf } from './testing-fhir-server.ts';
import type { TestingFhirServer } from './testing-fhir-server.ts';

let server: TestingFhirServer;
beforeEach(async () => { server = await startTestingFhirServer(); });
afterEach(() => server.close());

const log = { debug() {}, info() {}, warn() {}, error() {} };
const context: AdapterContext = {
  log, signal: new AbortController().signal, now: () => new Date('2026-01-05T10:01:00Z'),
  store: () => Promise.reject(new Error('not used')), authenticate: () => Promise.resolve(undefined),
};
const signal = context.signal;
const settings = (more: Partial<Config> = {}): Config => sampleConfig({ base_url: server.baseUrl, connect_timeout_milliseconds: 1000, request_timeout_milliseconds: 2000, ...more });
function deliver(document: ReportDocument = sampleReport, more: Partial<Config> = {}): Promise<DeliveryOutcome> {
  const delivery: Delivery = { deliveryId: 'd1', organizationId: 'o1', controlId: 'c1', attempt: 1, document };
  const { outbound } = adapter;
  if (outbound === undefined) throw new Error('no outbound');
  return outbound.deliver(delivery, settings(more), context);
}

test('the Bundle of the sample report is the one reviewed by eye', () => {
  const file = new URL('./testcases/sample-report.bundle.json', import.meta.url);
  expect(reportBundle(sampleReport, sampleConfig())).toEqual(JSON.parse(readFileSync(file, 'utf8')));
});

test('a study of thousands of images makes no Bundle of megabytes', () => {
  const instances = Array.from({ length: 5000 }, (_, index) => ({ sopInstanceUid: `1.2.3.${index + 1}`, sopClassUid: '1.2.840.10008.5.1.4.1.1.2', instanceNumber: index + 1 }));
  const bundle = reportBundle({ ...sampleReport, scan: { ...sampleReport.scan, series: [{ seriesInstanceUid: '1.2.3', modality: 'CT', instances }] } }, sampleConfig());
  expect(JSON.stringify(bundle).length).toBeLessThan(50_000);
  expect(bundle.entry?.map(({ resource }) => resource).find((resource) => resource?.resourceType === 'ImagingStudy')).toMatchObject({ numberOfInstances: 5000, series: [{ numberOfInstances: 5000 }] });
});

test('every report becomes a valid Bundle, whatever its texts and codes are', () => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.constantFrom('<b>&', '', ' ', 'a\nb'));
  const visible = text.map((value) => `x${value}`);
  const finding = fc.record({ trackingUid: fc.bigInt({ min: 1n, max: 10n ** 30n }).map((n) => `2.25.${n}`), display: visible, description: text, laterality: fc.option(fc.constantFrom('left', 'right', 'bilateral')) });
  fc.assert(fc.property(fc.uniqueArray(finding, { selector: (item) => item.trackingUid, maxLength: 3 }), visible, text, fc.constantFrom('conditional-create', 'conditional-update', 'reference'), (findings, name, section, patient) => {
    const document: ReportDocument = {
      ...sampleReport, patient: { ...sampleReport.patient, familyName: name, identifiers: [{ value: name.trim(), assigningAuthority: name }] }, sections: { findings: section, impression: section },
      findings: findings.map(({ trackingUid, display, description, laterality }) => ({
        findingId: trackingUid, analysisId: 'analysis-1', trackingUid, type: { system: name, code: 'c', display }, severity: 'medium', confidencePercentage: 50, description, measurements: [], ...(laterality === null ? {} : { laterality }),
      })),
    };
    expect(validateResource(reportBundle(document, sampleConfig({ patient: patient as Config['patient'] })))).toEqual([]);
  }), { numRuns: 100 });
});

test('a finding without code is sent as text, or as the concept that its name is known by; an empty Study Instance UID as our own id', () => {
  const [finding] = sampleReport.findings;
  const named = (display: string): ReportDocument['findings'] => finding === undefined ? [] : [{ ...finding, type: { system: '', code: '', display } }];
  const codeOf = (display: string): unknown => reportBundle({ ...sampleReport, findings: named(display) }, sampleConfig()).entry?.map(({ resource }) => resource).find((resource) => resource?.resourceType === 'Observation')?.code;
  expect(codeOf('Odd shadow')).toEqual({ text: 'Odd shadow' });
  expect(codeOf('Pleural effusion')).toMatchObject({ coding: [{ system: 'http://snomed.info/sct', code: '60046008' }, { system: 'http://radlex.org', code: 'RID34539' }] });
  const bare = reportBundle({ ...sampleReport, scan: { ...sampleReport.scan, studyInstanceUid: '', procedureCode: { system: '', code: 'CT1', display: '' } } }, sampleConfig());
  expect(validateResource(bare)).toEqual([]);
  expect(bare.entry?.find(({ resource }) => resource?.resourceType === 'ImagingStudy')?.request?.ifNoneExist).toBe('identifier=urn%3Amedscan%3Agateway%3Astudy|0199a000-0000-7000-8000-000000000003');
});

test('a delivered report is stored once, with all its links, however often it is sent', async () => {
  expect(await deliver()).toMatchObject({ kind: 'delivered', answerCode: '200', interaction: 'transaction DiagnosticReport', sentType: 'application/fhir+json' });
  const keys = [...server.resources.keys()];
  expect(keys.map((key) => key.split('/')[0] ?? '').toSorted()).toEqual(['Device', 'DiagnosticReport', 'ImagingStudy', 'Observation', 'Observation', 'Observation', 'Observation', 'Patient', 'Provenance']);
  const [report] = server.ofType('DiagnosticReport') as unknown as [{ subject: { reference: string }; result: { reference: string }[]; status: string }];
  expect(server.resources.has(report.subject.reference)).toBe(true);
  expect(report.result.every(({ reference }) => server.resources.has(reference))).toBe(true);
  expect(report.status).toBe('preliminary');
  expect((await deliver()).kind).toBe('delivered');
  expect([...server.resources.keys()]).toEqual(keys);
  const posts = server.requests.filter(({ method }) => method === 'POST');
  expect(posts).toHaveLength(2);
  expect(posts[0]?.body).toBe(posts[1]?.body);
});

test('version 2 updates the report and findings of version 1 and adds only its Provenance', async () => {
  await deliver();
  const before = server.resources.size;
  await deliver({ ...sampleReport, version: 2, status: 'final', sections: { ...sampleReport.sections, impression: 'Pneumothorax confirmed.' } });
  expect(server.ofType('DiagnosticReport')).toMatchObject([{ status: 'final', conclusion: 'Pneumothorax confirmed.', meta: { versionId: '2' } }]);
  expect(server.ofType('Provenance')).toHaveLength(2);
  expect(server.resources.size).toBe(before + 1);
});

test("the receiver's own Patient and ImagingStudy are used and not changed", async () => {
  server.resources.set('Patient/own', { resourceType: 'Patient', id: 'own', identifier: [{ system: 'urn:oid:1.2.3.4', value: 'PID_1' }], name: [{ family: 'Theirs' }] });
  server.resources.set('ImagingStudy/own', { resourceType: 'ImagingStudy', id: 'own', status: 'available', subject: { reference: 'Patient/own' }, identifier: [{ system: 'urn:dicom:uid', value: `urn:oid:${sampleReport.scan.studyInstanceUid}` }] });
  await deliver();
  expect(server.ofType('Patient')).toMatchObject([{ id: 'own', name: [{ family: 'Theirs' }] }]);
  expect(server.ofType('DiagnosticReport')).toMatchObject([{ subject: { reference: 'Patient/own' }, imagingStudy: [{ reference: 'ImagingStudy/own' }] }]);
  expect(server.ofType('ImagingStudy')).toHaveLength(1);
});

test('with patient: reference no Patient is sent and the subject is named by identifier', async () => {
  await deliver(sampleReport, { patient: 'reference' });
  expect(server.ofType('Patient')).toEqual([]);
  expect(server.ofType('DiagnosticReport')).toMatchObject([{ subject: { type: 'Patient', identifier: { system: 'urn:oid:1.2.3.4', value: 'PID_1' } } }]);
});

test('a server that runs the transaction as a batch and refuses one entry is noticed although it answers 200', async () => {
  Object.assign(server, { runsAsBatch: true, refuses: 'ImagingStudy' });
  const result = await deliver();
  expect(result).toMatchObject({ kind: 'refused', answerCode: '400' });
  expect(result.answer?.toString()).toContain('ImagingStudy is not taken here');
  expect(result).toHaveProperty('text', expect.stringMatching(/^POST ImagingStudy: HTTP 400: error not-supported; stored before it: Patient\/1, Device\/2/));
});

test.each([
  ['a transaction refused as a whole', 422, { ...outcome('error', 'invalid', 'no such code'), id: 'x' }, {}, { kind: 'refused', answerCode: '422', text: 'HTTP 422: error invalid' }],
  ['a wrong login, which says nothing about the report', 401, '', {}, { kind: 'unreachable', text: expect.stringContaining('does not accept our login') }],
  ['a Bundle that is too large', 413, '<h1>too large</h1>', {}, { kind: 'refused', answerCode: '413' }],
  ['a busy server', 429, outcome('error', 'throttled', 'slow down'), { 'retry-after': '7' }, { kind: 'unreachable', retryAfterMilliseconds: 7000 }],
  ['a server in maintenance with a date', 503, 'down', { 'retry-after': 'Mon, 05 Jan 2026 10:02:00 GMT' }, { kind: 'unreachable', retryAfterMilliseconds: 60_000 }],
  ['a proxy without its server', 502, '<h1>Bad Gateway</h1>', {}, { kind: 'unreachable' }],
  ['a server without transactions', 501, outcome('error', 'not-supported', 'no transactions'), {}, { kind: 'refused', answerCode: '501' }],
  ['a redirect', 302, '', { location: 'http://127.0.0.1:9/' }, { kind: 'refused', answerCode: '302' }],
  ['a 200 that is a web page', 200, '<h1>Welcome</h1>', { 'content-type': 'text/html' }, { kind: 'refused', answerCode: '200' }],
  ['a 200 without body', 200, '', {}, { kind: 'refused', answerCode: '200' }],
  ['a 200 that is null', 200, 'null', {}, { kind: 'refused' }],
  ['a 200 with errors', 200, outcome('error', 'exception', 'sorry'), {}, { kind: 'refused', answerCode: '200' }],
  ['a 200 that leaves entries out', 200, { resourceType: 'Bundle', type: 'transaction-response', entry: [] }, {}, { kind: 'refused', answerCode: 'entries' }],
  ['entries that are all busy', 200, { resourceType: 'Bundle', type: 'batch-response', entry: Array.from({ length: 9 }, () => ({ response: { status: '503' } })) }, {}, { kind: 'unreachable' }],
])('%s', async (_title, status, body, headers, expected) => {
  server.intercept = (_request, response) => { send(response, status, body, headers); return true; };
  expect(await deliver()).toMatchObject(expected);
});

const words = 'Patient Zaphod Beeblebrox born 1942-03-11 is unknown';
const telling = (code: string) => ({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code, diagnostics: words, details: { text: words, coding: [{ display: words }] }, expression: [words, 'Patient.name[0]'], location: ['Patient.name[0]'] }] });
test.each([
  ['refuses', 422, telling('invalid'), 'HTTP 422: error invalid at Patient.name[0]'],
  ['puts words where a code belongs', 422, telling(words), 'HTTP 422: error at Patient.name[0]'],
  ['asks to wait', 503, telling('transient'), 'HTTP 503: error transient at Patient.name[0]'],
  ['answers 200 with an error', 200, telling('invalid'), 'HTTP 200, but: error invalid at Patient.name[0]'],
  ['answers in plain text', 400, words, 'HTTP 400'],
  ['refuses each entry', 200, { resourceType: 'Bundle', type: 'batch-response', entry: Array.from({ length: 9 }, () => ({ response: { status: '422', outcome: telling('invalid') } })) }, 'entry 1 (Patient) 422: error invalid at Patient.name[0]'],
])('what a receiver that %s says of a patient is in its answer alone', async (_title, status, body, text) => {
  server.intercept = (_request, response) => { send(response, status, body); return true; };
  for (const deliver_by of ['transaction', 'batch', 'single'] as const) {
    if (text.startsWith('entry') && deliver_by === 'single') continue; // a single request is answered without entries
    const outcome = await deliver(sampleReport, { deliver_by });
    expect(JSON.stringify({ ...outcome, sent: undefined, answer: undefined })).not.toContain('Beeblebrox');
    expect(outcome.answer?.toString()).toContain(words);
    if (deliver_by === 'transaction') expect(outcome).toHaveProperty('text', expect.stringContaining(text));
  }
});

test('no listener: unreachable; no answer in time, or a connection cut: unconfirmed', async () => {
  const port = await freePort();
  expect(await deliver(sampleReport, { base_url: `http://127.0.0.1:${port}/fhir` })).toMatchObject({ kind: 'unreachable' });
  server.intercept = () => true;
  expect(await deliver(sampleReport, { request_timeout_milliseconds: 200 })).toMatchObject({ kind: 'unconfirmed' });
  server.intercept = (request) => { request.socket.destroy(); return true; };
  expect(await deliver()).toMatchObject({ kind: 'unconfirmed' });
  server.intercept = (request, response) => { response.writeHead(200, { 'content-length': '100' }); response.write('{'); setImmediate(() => request.socket.destroy()); return true; };
  expect(await deliver()).toMatchObject({ kind: 'unconfirmed' });
});

test('an answer without end, and one that unpacks to a flood, are cut off', async () => {
  server.intercept = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/fhir+json' });
    const flood = (): void => { while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20))); };
    response.on('drain', flood);
    flood();
    return true;
  };
  expect(await deliver(sampleReport, { maximum_answer_bytes: 100_000 })).toMatchObject({ kind: 'refused', answerCode: 'UND_ERR_RES_EXCEEDED_MAX_SIZE' });
  server.intercept = (_request, response) => { response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(5_000_000, 0x20))); return true; };
  expect(await deliver()).toMatchObject({ kind: 'refused', text: expect.stringContaining('compressed') });
});

test('our login goes to nobody but the configured server', async () => {
  const stranger = await startTestingFhirServer();
  const client = createFhirClient(settings({ authentication: 'bearer', bearer_token: 'secret-token' }));
  try {
    server.intercept = (_request, response) => { send(response, 307, '', { location: `${stranger.baseUrl}/steal` }); return true; };
    expect(await client.transaction('{}', signal)).toMatchObject({ answer: { status: 307 } });
    const port = new URL(server.baseUrl).port;
    for (const url of [`${stranger.baseUrl}/Patient?page=2`, `http://127.0.0.1:${port}.evil.example/fhir/x`, `http://127.0.0.1:${port}/fhirevil/x`, `http://127.0.0.1:${port}/fhir/../admin`, `http://127.0.0.1:${port}/fhir/%2e%2e/admin`, `http://u:p@127.0.0.1:${port}/fhir/x`, `//127.0.0.1:${new URL(stranger.baseUrl).port}/fhir/x`]) {
      expect(await client.nextPage({ link: [{ relation: 'next', url }] }, signal)).toMatchObject({ failure: { kind: 'refused' } });
    }
    for (const id of ['../../admin/users?x=', '..', 'a/b', 'a?b', '', 'é', '%2e%2e', 'a'.repeat(65)]) expect(await client.read('Patient', id, signal)).toMatchObject({ failure: { kind: 'refused' } });
    expect(await client.read('../admin', '1', signal)).toMatchObject({ failure: { kind: 'refused' } });
    expect(stranger.requests).toEqual([]);
    expect(server.requests.map(({ url }) => url)).toEqual(['/fhir']);
    server.intercept = undefined;
    expect(await client.nextPage({ link: [{ relation: 'next', url: `${server.baseUrl}/Patient/404?page=2` }] }, signal)).toMatchObject({ answer: { status: 404 } });
    expect(server.requests.at(-1)?.headers.authorization).toBe('Bearer secret-token');
  } finally {
    await client.close();
    await stranger.close();
  }
});

test('of the library nothing is used but its request: neither resolve(), which makes a regular expression of what a server says, nor its paging, reads and searches', () => {
  const files = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  const text = (name: string): string => readFileSync(path.join(import.meta.dirname, name), 'utf8');
  expect(files.filter((name) => /from 'fhir-kit-client/.test(text(name)))).toEqual(['fhir-client.ts']);
  expect([...text('fhir-client.ts').matchAll(/\b[Cc]lient\.(\w+)\(/g)].map(([, called]) => called)).toEqual(['request', 'httpFor']);
});

test('an order whose references are built to be slow to match is read over (find_order)', async () => {
  const slow = `Encounter/${'(a+)+'.repeat(5)}${'a'.repeat(60)}!`;
  server.intercept = (request, response) => {
    if (!request.url?.includes('/ServiceRequest?')) return false;
    send(response, 200, JSON.stringify({ resourceType: 'Bundle', type: 'searchset', entry: [{ resource: { resourceType: 'ServiceRequest', id: 'sr-1', status: 'active', intent: 'order', subject: { reference: slow }, encounter: { reference: slow }, requester: { reference: slow }, identifier: [{ value: 'ACC12345' }] } }] }));
    return true;
  };
  expect(await deliver(sampleReport, { find_order: true })).toMatchObject({ kind: 'delivered' });
  expect(JSON.stringify(server.requests.map(({ url }) => url))).not.toContain('a+');
});

test('SMART Backend Services: one token for many deliveries, a new one after a 401, none of it for a wrong key', async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES384', { extractable: true });
  const tokens: string[] = [];
  server.intercept = (request, response, body) => {
    if (request.url === '/token') {
      const form = new URLSearchParams(body);
      jwtVerify(form.get('client_assertion') ?? '', publicKey, { audience: `${new URL(server.baseUrl).origin}/token`, issuer: 'gateway', subject: 'gateway', maxTokenAge: '5m' }).then(({ payload, protectedHeader }) => {
        tokens.push(`token-${tokens.length + 1}`);
        expect([payload.jti, protectedHeader.kid, form.get('grant_type'), form.get('scope')]).toEqual([expect.any(String), 'k1', 'client_credentials', 'system/*.cruds']);
        send(response, 200, { access_token: tokens.at(-1), token_type: 'bearer', expires_in: 300 });
      }).catch(() => send(response, 401, { error: 'invalid_client', error_description: 'signature' }));
      return true;
    }
    if (request.headers.authorization === `Bearer ${tokens.at(-1)}`) return false;
    send(response, 401, outcome('error', 'login', 'token is not valid'));
    return true;
  };
  const login: Partial<Config> = { authentication: 'private-key-jwt', token_url: `${new URL(server.baseUrl).origin}/token`, client_id: 'gateway', key_id: 'k1', signing_algorithm: 'ES384', private_key: await exportPKCS8(privateKey) };
  expect(await Promise.all([deliver(sampleReport, login), deliver(sampleReport, login)])).toMatchObject([{ kind: 'delivered' }, { kind: 'delivered' }]);
  expect(tokens).toHaveLength(1);
  tokens.push('revoked elsewhere');
  expect(await deliver(sampleReport, login)).toMatchObject({ kind: 'delivered' });
  expect(tokens).toHaveLength(3);
  const other = await exportPKCS8((await generateKeyPair('ES384', { extractable: true })).privateKey);
  expect(await deliver(sampleReport, { ...login, private_key: other })).toMatchObject({ kind: 'unreachable', text: 'token endpoint: HTTP 401: invalid_client', answer: Buffer.from(JSON.stringify({ error: 'invalid_client', error_description: 'signature' })) });
  expect(await deliver(sampleReport, { ...login, private_key: 'not a key' })).toMatchObject({ kind: 'refused', text: expect.stringContaining('PKCS #8') });
});

test('client credentials with a secret, and HTTP Basic', async () => {
  const seen: (string | undefined)[] = [];
  server.intercept = (request, response) => {
    seen.push(request.headers.authorization);
    if (request.url === '/token') send(response, 200, { access_token: 'abc', expires_in: 60 });
    return request.url === '/token';
  };
  await deliver(sampleReport, { authentication: 'client-secret', token_url: `${new URL(server.baseUrl).origin}/token`, client_id: 'me:x', client_secret: 'p w' });
  await deliver(sampleReport, { authentication: 'basic', username: 'u', password: 'p' });
  expect(seen).toEqual([`Basic ${Buffer.from('me%3Ax:p%20w').toString('base64')}`, 'Bearer abc', `Basic ${Buffer.from('u:p').toString('base64')}`]);
});

test('the connection test tells each step, changes nothing and never throws', async () => {
  expect(await adapter.testConnection(settings(), context)).toMatchObject({ ok: true, steps: [{ step: 'connect', ok: true }, { step: 'login', ok: true }, { step: 'metadata', ok: true, detail: 'FHIR 4.0.1, testing server; results go as DiagnosticReport by one transaction' }] });
  expect(server.requests.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET /fhir/metadata']);
  server.statement = statementOf(['batch'], { Patient: { can: 'search', searches: 'identifier' }, DocumentReference: { can: 'create', searches: '' } });
  expect((await adapter.testConnection(settings(), context)).steps.at(-1)).toMatchObject({ ok: true, detail: expect.stringContaining('DocumentReference by batches'), advice: expect.stringMatching(/Left out.*Device, ImagingStudy, Observation, Provenance.*corrections and retractions must be made there by hand.*a person must look/) });
  server.statement = statementOf(['batch'], { DiagnosticReport: { can: 'search' } });
  expect((await adapter.testConnection(settings(), context)).steps.at(-1)).toMatchObject({ ok: false, advice: expect.stringContaining('ORU^R01') });
  server.interceptsMetadata = true;
  server.intercept = (_request, response) => { send(response, 200, { resourceType: 'CapabilityStatement', fhirVersion: '5.0.0' }); return true; };
  expect(await adapter.testConnection(settings(), context)).toMatchObject({ ok: false });
  expect(await adapter.testConnection(settings({ base_url: `http://127.0.0.1:${await freePort()}/fhir` }), context)).toMatchObject({ ok: false, steps: [{ step: 'connect', ok: false, advice: expect.any(String) }] });
  expect(await adapter.testConnection(settings({ tls_ca: 'no pem', base_url: server.baseUrl.replace('http:', 'https:') }), context)).toMatchObject({ ok: false });
  expect(await adapter.testConnection(sampleConfig({ base_url: undefined }), context)).toMatchObject({ ok: true, steps: [{ step: 'settings' }] });
});

test('the connection test says in words which scopes the token lacks, and what to ask for', async () => {
  const scopes = async (scope: string | undefined, more: Partial<Config> = {}): Promise<unknown> => {
    server.intercept = (request, response) => {
      if (request.url === '/token') send(response, 200, { access_token: 'abc', expires_in: 60, ...(scope === undefined ? {} : { scope }) });
      return request.url === '/token';
    };
    const { ok, steps } = await adapter.testConnection(settings({ authentication: 'client-secret', token_url: `${new URL(server.baseUrl).origin}/token`, client_id: 'me', client_secret: 'p', ...more }), context);
    return [ok, steps.find(({ step }) => step === 'scopes')];
  };
  expect(await scopes('system/*.cruds')).toEqual([true, expect.objectContaining({ ok: true, detail: 'The token allows all that a delivery does' })]);
  expect(await scopes('system/*.read system/*.write')).toEqual([true, expect.objectContaining({ ok: true })]);
  expect(await scopes('system/*.rs system/Patient.c system/Device.cu system/ImagingStudy.c system/ImagingStudy.u system/Observation.c system/DiagnosticReport.cu system/Provenance.cu')).toEqual([false, expect.objectContaining({
    detail: 'The token does not allow update of Observation', advice: 'Have these scopes granted to the client at the server, and ask for them in scope: system/Observation.u',
  })]);
  expect(await scopes('system/*.cruds', { pull_types: ['Patient'] })).toEqual([true, expect.anything()]);
  expect(await scopes('openid')).toEqual([true, expect.objectContaining({ detail: expect.stringContaining('no system scopes') as string })]);
  expect(await scopes(undefined)).toEqual([true, undefined]);
});
