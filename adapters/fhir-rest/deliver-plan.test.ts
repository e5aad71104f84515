/** Deliveries as the server's CapabilityStatement allows them: what is stored there afterwards, over resends, corrections, retractions and faults. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AdapterContext, DeliveryOutcome } from '#gateway/adapter.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import type { Bundle, CapabilityStatement, DiagnosticReport, DocumentReference, Observation } from '#standards/fhir/types.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import adapter from './adapter.ts';
import type { Config } from './config.ts';
import { planFor, planWords } from './plan.ts';
import { offerOf } from './server-offer.ts';
import { sampleConfig, sampleReport } from './testcases/sample-report.ts';
import { everything, send, startTestingFhirServer, statementOf } from './testing-fhir-server.ts';
import type { TestingFhirServer, TypeOffer } from './testing-fhir-server.ts';

let server: TestingFhirServer, now: Date;
beforeEach(async () => { server = await startTestingFhirServer(); now = new Date('2026-01-05T10:01:00Z'); });
afterEach(() => server.close());

const log = { debug() {}, info() {}, warn() {}, error() {} };
const context: AdapterContext = { log, signal: new AbortController().signal, now: () => now, store: () => Promise.reject(new Error('not used')), authenticate: () => Promise.resolve(undefined) };
function deliver(more: Partial<ReportDocument> = {}, settings: Partial<Config> = {}): Promise<DeliveryOutcome> {
  const config = sampleConfig({ base_url: server.baseUrl, connect_timeout_milliseconds: 1000, request_timeout_milliseconds: 2000, ...settings });
  return adapter.outbound!.deliver({ deliveryId: 'd1', organizationId: 'o1', controlId: 'c1', attempt: 1, document: { ...sampleReport, ...more } }, config, context);
}
const one = <T>(type: string): T => { const found = server.ofType(type); expect(found, type).toHaveLength(1); return found[0] as T; };
const counts = (): Record<string, number> => Object.fromEntries(Object.entries(Object.groupBy(server.resources.values(), ({ resourceType }) => resourceType)).map(([type, found]) => [type, found?.length ?? 0]));
const whole = { Patient: 1, Device: 1, ImagingStudy: 1, Observation: 4, DiagnosticReport: 1, Provenance: 1 };
const writes = (): string[] => server.requests.filter(({ method }) => method !== 'GET').map(({ method, url }) => `${method} ${url.replace('/fhir', '').split('?')[0]}`);
const all = (offer: TypeOffer): Record<string, TypeOffer> => Object.fromEntries(['Patient', 'Device', 'ImagingStudy', 'Observation', 'DiagnosticReport', 'Provenance'].map((type) => [type, offer]));
const plain: TypeOffer = { can: 'create update search', searches: 'identifier _tag' };

function expectLinked(): void {
  for (const resource of server.resources.values()) {
    expect(validateResource(resource)).toEqual([]);
    for (const [, reference] of JSON.stringify(resource).matchAll(/"reference":"([^"]+)"/g)) expect(server.resources.has(reference ?? ''), `${resource.resourceType} -> ${reference}`).toBe(true);
  }
}

test.each([
  ['single requests with conditions', [], { can: 'create update search conditional', searches: 'identifier _tag' }, 'create DiagnosticReport'],
  ['single requests after searches', [], plain, 'create DiagnosticReport'],
  ['batches with conditions', ['batch'], { can: 'create update search conditional', searches: 'identifier _tag' }, 'batch DiagnosticReport'],
  ['batches after searches', ['batch'], plain, 'batch DiagnosticReport'],
  ['a transaction after searches', ['transaction'], plain, 'transaction DiagnosticReport'],
] as const)('%s: stored whole and linked, twice the same, corrected in place, retracted everywhere', async (_title, system, offer, interaction) => {
  server.statement = statementOf(system, all(offer));
  expect(await deliver()).toMatchObject({ kind: 'delivered', interaction });
  expect(counts()).toEqual(whole);
  expectLinked();
  expect(await deliver()).toMatchObject({ kind: 'delivered' });
  expect(counts()).toEqual(whole);
  expect(await deliver({ version: 2, status: 'corrected', findings: sampleReport.findings.slice(0, 1) })).toMatchObject({ kind: 'delivered' });
  expect(counts()).toEqual({ ...whole, Provenance: 2 });
  expect(one<DiagnosticReport>('DiagnosticReport')).toMatchObject({ status: 'corrected', result: { length: 3 } });
  const status = (value: string): string | undefined => (server.ofType('Observation') as Observation[]).find(({ identifier }) => identifier?.[0]?.value === value)?.status;
  expect([status(sampleReport.findings[0]!.trackingUid), status(sampleReport.findings[1]!.trackingUid)]).toEqual(['corrected', 'entered-in-error']);
  expect(await deliver({ version: 3, status: 'entered-in-error', findings: sampleReport.findings.slice(0, 1) })).toMatchObject({ kind: 'delivered' });
  expect([...server.ofType('Observation'), one('DiagnosticReport')].map((resource) => (resource as Observation).status)).toEqual(Array(5).fill('entered-in-error'));
  expectLinked();
});

test.each(['DiagnosticReport', 'Observation', 'Provenance'])('an attempt that breaks off at %s is completed by the next, and nothing is there twice', async (type) => {
  server.statement = statementOf([], all(plain));
  server.intercept = (request, response) => { if (request.method !== 'POST' || request.url !== `/fhir/${type}`) return false; send(response, 503, '', { 'retry-after': '9' }); return true; };
  expect(await deliver()).toMatchObject({ kind: 'unreachable', retryAfterMilliseconds: 9000, text: expect.stringMatching(new RegExp(`^POST ${type}: HTTP 503; stored before it: Patient/1 \\(new\\), Device/2 \\(new\\).*The next attempt completes it$`)) });
  expect(server.ofType('Provenance')).toHaveLength(0);
  server.intercept = undefined;
  expect(await deliver()).toMatchObject({ kind: 'delivered' });
  expect(counts()).toEqual(whole);
  expectLinked();
});

test('an answer that is lost after the server stored the resource leads to no second one', async () => {
  server.statement = statementOf([], all(plain));
  let lost = 0;
  server.intercept = (request) => {
    if (request.method !== 'POST' || request.url !== '/fhir/DiagnosticReport' || lost++ > 0) return false;
    server.resources.set('DiagnosticReport/lost', { ...JSON.parse(server.requests.at(-1)!.body) as DiagnosticReport, id: 'lost' });
    request.socket.destroy();
    return true;
  };
  expect(await deliver()).toMatchObject({ kind: 'unconfirmed', text: expect.stringContaining('stored before it') });
  expect(await deliver()).toMatchObject({ kind: 'delivered' });
  expect(counts()).toEqual(whole);
});

test('a refused report says what is stored, and that the rest was not sent', async () => {
  server.statement = statementOf(['batch'], all(plain));
  server.refuses = 'DiagnosticReport';
  expect(await deliver()).toMatchObject({ kind: 'refused', answerCode: '400', text: expect.stringMatching(/^POST DiagnosticReport: HTTP 400: error not-supported; stored before it: Patient\/1 .*ImagingStudy\/3 .*Observation\/7.*Sent again, it continues there/) });
  expect(counts()).toEqual({ Patient: 1, Device: 1, ImagingStudy: 1, Observation: 4 });
});

test('a server that runs a transaction as a batch is noticed by its entries, and the report is completed without doubles', async () => {
  server.runsAsBatch = true;
  let refusals = 0;
  server.intercept = (_request, response, body) => {
    if (!body.includes('"type":"transaction"') || refusals++ > 0) return false;
    // Keeps all but the DiagnosticReport, whose references it cannot resolve.
    const entry = (JSON.parse(body) as { entry: { resource: { resourceType: string; id?: string } }[] }).entry.map(({ resource }, index) => {
      if (resource.resourceType === 'DiagnosticReport') return { response: { status: '422 Unprocessable', outcome: { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'not-found' }] } } };
      server.resources.set(`${resource.resourceType}/b${index}`, { ...resource, id: `b${index}` } as never);
      return { response: { status: '201 Created', location: `${resource.resourceType}/b${index}` } };
    });
    send(response, 200, { resourceType: 'Bundle', type: 'transaction-response', entry });
    return true;
  };
  expect(await deliver()).toMatchObject({ kind: 'delivered', interaction: 'batch DiagnosticReport' });
  expect(counts()).toEqual(whole);
  for (const observation of server.ofType('Observation') as Observation[]) expect(observation.subject?.reference).toBe('Patient/b0');
  const before = server.requests.length;
  expect(await deliver()).toMatchObject({ kind: 'delivered' });
  expect(server.requests.slice(before).some(({ body }) => body.includes('"type":"transaction"'))).toBe(false);
  expect(counts()).toEqual(whole);
});

test('entries that are all told "later" leave the report to the next attempt', async () => {
  server.intercept = (_request, response, body) => {
    if (!body.includes('"type":"transaction"')) return false;
    send(response, 200, { resourceType: 'Bundle', type: 'batch-response', entry: (JSON.parse(body) as { entry: unknown[] }).entry.map(() => ({ response: { status: '503' } })) });
    return true;
  };
  expect(await deliver()).toMatchObject({ kind: 'unreachable' });
  expect(await deliver()).toMatchObject({ kind: 'delivered', interaction: 'batch DiagnosticReport' });
  expect(counts()).toEqual(whole);
});

test('what the server does not take is left out, and what refers to it names it by identifier', async () => {
  server.statement = statementOf([], { Patient: { can: 'search', searches: 'identifier' }, Observation: plain, DiagnosticReport: plain });
  server.resources.set('Patient/own', { resourceType: 'Patient', id: 'own', identifier: [{ system: 'urn:oid:1.2.3.4', value: 'PID_1' }] } as never);
  expect(await deliver()).toMatchObject({ kind: 'delivered' });
  expect(counts()).toEqual({ Patient: 1, Observation: 4, DiagnosticReport: 1 });
  expect(one<DiagnosticReport>('DiagnosticReport')).toMatchObject({ subject: { reference: 'Patient/own' }, imagingStudy: [{ type: 'ImagingStudy', identifier: { value: `urn:oid:${sampleReport.scan.studyInstanceUid}` } }] });
  expect((server.ofType('Observation') as Observation[])[0]).toMatchObject({ device: { type: 'Device', identifier: { value: 'cxr-ai@2.3.1' } } });
  expectLinked();
});

test('a patient that the server does not know and does not take is a matter for a person', async () => {
  server.statement = statementOf([], { Patient: { can: 'search', searches: 'identifier' }, Observation: plain, DiagnosticReport: plain });
  expect(await deliver()).toMatchObject({ kind: 'refused', answerCode: 'patient', text: expect.stringContaining('register the patient there first') });
  expect(writes()).toEqual([]);
  expect(await deliver({}, { patient: 'reference' })).toMatchObject({ kind: 'delivered' });
  expect(one<DiagnosticReport>('DiagnosticReport').subject).toMatchObject({ type: 'Patient', identifier: { value: 'PID_1' } });
});

test('without DiagnosticReport the report is a DocumentReference, corrected and retracted in place', async () => {
  server.statement = statementOf([], { Patient: plain, Observation: plain, DocumentReference: plain });
  expect(await deliver()).toMatchObject({ kind: 'delivered', interaction: 'create DocumentReference' });
  const document = one<DocumentReference>('DocumentReference');
  expect(document).toMatchObject({ status: 'current', docStatus: 'preliminary', content: [{ attachment: { contentType: 'text/html; charset=utf-8' } }, { attachment: { contentType: 'application/pdf' } }] });
  expect(document.context?.related?.filter(({ reference }) => reference?.startsWith('Observation/'))).toHaveLength(4);
  expectLinked();
  expect(await deliver({ version: 2, status: 'amended', findings: [] })).toMatchObject({ kind: 'delivered' });
  expect(one<DocumentReference>('DocumentReference')).toMatchObject({ docStatus: 'amended' });
  expect((server.ofType('Observation') as Observation[]).map(({ status }) => status).toSorted()).toEqual(['amended', 'amended', 'entered-in-error', 'entered-in-error']);
  expect(await deliver({ version: 3, status: 'cancelled', findings: [] })).toMatchObject({ kind: 'delivered' });
  expect(one<DocumentReference>('DocumentReference')).toMatchObject({ status: 'entered-in-error', docStatus: 'entered-in-error' });
});

test('with neither, nothing is sent and the advice is ORU^R01', async () => {
  server.statement = statementOf(['transaction'], { Patient: plain, Observation: plain, DiagnosticReport: { can: 'search', searches: 'patient' } });
  expect(await deliver()).toMatchObject({ kind: 'refused', answerCode: 'capability', text: expect.stringContaining('ORU^R01') });
  expect(writes()).toEqual([]);
});

test('a report that can be created but not corrected is sent once; its next version is refused with the place where it stands', async () => {
  server.statement = statementOf([], { Patient: plain, DiagnosticReport: { can: 'create search', searches: 'patient' } });
  expect(await deliver()).toMatchObject({ kind: 'delivered' });
  expect(await deliver()).toMatchObject({ kind: 'delivered' });
  expect(counts()).toEqual({ Patient: 1, DiagnosticReport: 1 });
  expect(await deliver({ version: 2, status: 'entered-in-error' })).toMatchObject({ kind: 'refused', text: expect.stringMatching(/DiagnosticReport\/\d+ there is of an earlier version.*by hand/) });
});

test('where nothing can be searched, a lost answer is left to a person', async () => {
  server.statement = statementOf([], { DiagnosticReport: { can: 'create' } });
  server.intercept = (request) => { if (request.method === 'POST') request.socket.destroy(); return request.method === 'POST'; };
  expect(await deliver({}, { patient: 'reference' })).toMatchObject({ kind: 'refused', text: expect.stringContaining('a person must look') });
});

test('somebody who changes a resource between our reading and our writing is not overwritten', async () => {
  server.statement = statementOf([], all(plain));
  await deliver();
  server.intercept = (request) => {
    if (request.method === 'PUT' && request.url?.startsWith('/fhir/DiagnosticReport/') === true) {
      const [key, report] = [...server.resources].find(([, { resourceType }]) => resourceType === 'DiagnosticReport')!;
      server.resources.set(key, { ...report, meta: { versionId: '77' } });
    }
    return false;
  };
  expect(await deliver({ version: 2, status: 'final' })).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('somebody changed it meanwhile') });
  server.intercept = undefined;
  expect(await deliver({ version: 2, status: 'final' })).toMatchObject({ kind: 'delivered' });
  expect(one<DiagnosticReport>('DiagnosticReport').status).toBe('final');
});

test('the statement is read once, and again when it is older than statement_minutes', async () => {
  const reads = (): number => server.requests.filter(({ url }) => url === '/fhir/metadata').length;
  await deliver();
  await deliver();
  expect(reads()).toBe(1);
  now = new Date(now.getTime() + 61 * 60_000);
  server.statement = statementOf(['batch'], all(plain));
  expect(await deliver()).toMatchObject({ interaction: 'batch DiagnosticReport' });
  expect(reads()).toBe(2);
});

test('a server that is away while its statement is read is tried again; one without a statement is sent a transaction', async () => {
  server.interceptsMetadata = true;
  server.intercept = (_request, response) => { send(response, 503, ''); return true; };
  expect(await deliver()).toMatchObject({ kind: 'unreachable' });
  server.intercept = (request, response) => { if (request.method !== 'GET') return false; send(response, 404, ''); return true; };
  expect(await deliver()).toMatchObject({ kind: 'delivered', interaction: 'transaction DiagnosticReport' });
});

const captured = (name: string): string => path.resolve(process.env['MEDSCAN_CORPUS'] ?? '../shared/corpus', 'fhir/capability', name);

test.skipIf(!existsSync(captured('cerner-capability-statement-r4-secure.json')))('Oracle Health, by its captured statement: a DocumentReference with its Observations and Provenance, by batches, corrected in place', async () => {
  server.statement = JSON.parse(readFileSync(captured('cerner-capability-statement-r4-secure.json'), 'utf8')) as CapabilityStatement;
  const plan = planFor(offerOf(server.statement), sampleConfig());
  expect(plan).toMatchObject({ way: 'batch', carrier: 'DocumentReference', sends: new Set(['Observation', 'Provenance']) });
  expect(planWords(plan, sampleConfig()).advice).toContain('Device, ImagingStudy');
  server.resources.set('Patient/12724066', { resourceType: 'Patient', id: '12724066', identifier: [{ system: 'urn:oid:1.2.3.4', value: 'PID_1' }] } as never);
  for (let attempt = 0; attempt < 2; attempt += 1) expect(await deliver()).toMatchObject({ kind: 'delivered', interaction: 'batch DocumentReference' });
  expect(counts()).toEqual({ Patient: 1, Observation: 4, DocumentReference: 1, Provenance: 1 });
  expectLinked();
  expect(await deliver({ version: 2, status: 'entered-in-error', findings: [] })).toMatchObject({ kind: 'delivered' });
  expect(one<DocumentReference>('DocumentReference').status).toBe('entered-in-error');
  expect((server.ofType('Observation') as Observation[]).every(({ status }) => status === 'entered-in-error')).toBe(true);
});

test.skipIf(!existsSync(captured('cerner-capability-statement-r4-open.json')))('Oracle Health without login lets nobody write: nothing is sent', async () => {
  server.statement = JSON.parse(readFileSync(captured('cerner-capability-statement-r4-open.json'), 'utf8')) as CapabilityStatement;
  expect(await deliver()).toMatchObject({ kind: 'refused', answerCode: 'capability' });
});

test('settings choose the way and the carrier', async () => {
  server.statement = everything();
  expect(await deliver({}, { deliver_by: 'single' })).toMatchObject({ kind: 'delivered', interaction: 'create DiagnosticReport' });
  expect(await deliver({}, { report_as: 'document-reference' })).toMatchObject({ kind: 'delivered', interaction: 'transaction DocumentReference' });
});

test.each([[413, 'too-long', ''], [400, 'invalid', 'Transaction requires strict isolation but has too many entries'], [422, 'too-costly', '']] as const)('a transaction that is refused for its size (%i %s %s) goes in stages; one that is refused for its content does not', async (status, code, text) => {
  server.statement = everything();
  server.intercept = (request, response, body) => {
    if (request.url !== '/fhir' || (JSON.parse(body) as Bundle).type !== 'transaction') return false;
    send(response, status, { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code, details: { text } }] });
    return true;
  };
  for (let attempt = 0; attempt < 2; attempt += 1) expect(await deliver()).toMatchObject({ kind: 'delivered', interaction: 'batch DiagnosticReport' });
  expect(server.ofType('DiagnosticReport')).toHaveLength(1);
  expect(await deliver({}, { deliver_by: 'transaction' })).toMatchObject({ kind: 'refused' });
  server.intercept = (_, response) => { send(response, 422, { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'invalid', details: { text: 'birthDate is no date' } }] }); return true; };
  const posts = server.requests.length;
  expect(await deliver()).toMatchObject({ kind: 'refused', answerCode: '422' });
  expect(server.requests.length - posts).toBeLessThanOrEqual(2);
});
