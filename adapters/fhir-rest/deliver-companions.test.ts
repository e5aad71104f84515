import { createHash } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AdapterContext, DeliveryOutcome } from '#gateway/adapter.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import type { Attachment, DiagnosticReport, DocumentReference, Resource, Task } from '#standards/fhir/types.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import adapter from './adapter.ts';
import type { Config } from './config.ts';
import { sampleConfig, sampleReport } from './testcases/sample-report.ts';
import { everything, send, startTestingFhirServer, statementOf } from './testing-fhir-server.ts';
import type { TestingFhirServer } from './testing-fhir-server.ts';

let server: TestingFhirServer;
beforeEach(async () => { server = await startTestingFhirServer(); });
afterEach(() => server.close());

const log = { debug() {}, info() {}, warn() {}, error() {} };
const context: AdapterContext = { log, signal: new AbortController().signal, now: () => new Date('2026-01-05T10:01:00Z'), store: () => Promise.reject(new Error('not used')), authenticate: () => Promise.resolve(undefined) };
async function deliver(settings: Partial<Config>, document: Partial<ReportDocument> = {}): Promise<DeliveryOutcome> {
  const outcome = await adapter.outbound?.deliver({ deliveryId: 'd1', organizationId: 'o1', controlId: 'c1', attempt: 1, document: { ...sampleReport, ...document } }, sampleConfig({ base_url: server.baseUrl, request_timeout_milliseconds: 4000, ...settings }), context);
  if (outcome === undefined) throw new Error('no outbound');
  return outcome;
}
const one = <T extends Resource>(type: string): T => { const found = server.ofType(type); expect(found, type).toHaveLength(1); return found[0] as unknown as T; };
const put = (resource: Readonly<Record<string, unknown>> & { resourceType: string; id: string }): void => { server.resources.set(`${resource.resourceType}/${resource.id}`, { ...resource, meta: { versionId: '1' } } as never); };
const order = { resourceType: 'ServiceRequest', id: 'sr1', status: 'active', intent: 'order', identifier: [{ system: 'urn:oid:1.2.276.0.7230010.9.1', value: 'ACC12345' }], subject: { reference: 'Patient/p1' }, encounter: { reference: 'Encounter/e1' } };
const ways = ['transaction', 'batch', 'single'] as const;

test.each(['DiagnosticReport', 'DocumentReference'] as const)('the report goes along as HTML and as PDF in %s, each with its size and hash, and the same bytes at each attempt', async (carrier) => {
  const settings = { report_as: carrier === 'DiagnosticReport' ? 'diagnostic-report' : 'document-reference' } as const;
  expect(await deliver(settings)).toMatchObject({ kind: 'delivered' });
  const formsOf = (): Attachment[] => carrier === 'DiagnosticReport' ? one<DiagnosticReport>(carrier).presentedForm ?? [] : one<DocumentReference>(carrier).content?.map(({ attachment }) => attachment) ?? [];
  const forms = formsOf();
  expect(forms.map(({ contentType }) => contentType)).toEqual(['text/html; charset=utf-8', 'application/pdf']);
  for (const { data = '', size, hash } of forms) {
    const bytes = Buffer.from(data, 'base64');
    expect([bytes.byteLength, createHash('sha1').update(bytes).digest('base64')]).toEqual([size, hash]);
  }
  expect(Buffer.from(forms[1]?.data ?? '', 'base64').subarray(0, 5).toString()).toBe('%PDF-');
  await deliver(settings);
  expect(formsOf()).toEqual(forms);
  await deliver({ ...settings, presented_form: ['pdf'] });
  expect(formsOf()).toMatchObject([{ contentType: 'application/pdf' }]);
});

test.each(ways)('the study names where its images are, and the model its UDI (%s)', async (deliver_by) => {
  const models = sampleReport.models.map((model) => ({ ...model, udi: '04012345678901' }));
  for (let attempt = 0; attempt < 2; attempt += 1) expect(await deliver({ deliver_by, wado_rs_url: 'https://pacs.example.org/dicom-web' }, { models })).toMatchObject({ kind: 'delivered' });
  const endpoint = one<Resource>('Endpoint');
  expect(endpoint).toMatchObject({ status: 'active', address: 'https://pacs.example.org/dicom-web', connectionType: { code: 'dicom-wado-rs' } });
  expect(one<Resource>('ImagingStudy')).toMatchObject({ endpoint: [{ reference: `Endpoint/${endpoint.id}` }] });
  expect(one<Resource>('Device')).toMatchObject({ udiCarrier: [{ deviceIdentifier: '04012345678901' }] });
});

test.each(ways)('the order that the server has is referred to by id, with its encounter, and a Task says that it is done (%s)', async (deliver_by) => {
  put(order);
  for (let attempt = 0; attempt < 2; attempt += 1) expect(await deliver({ deliver_by, find_order: true, order_update: 'task' })).toMatchObject({ kind: 'delivered' });
  const report = one<DiagnosticReport>('DiagnosticReport');
  expect(report).toMatchObject({ basedOn: [{ reference: 'ServiceRequest/sr1' }], encounter: { reference: 'Encounter/e1' } });
  expect(one<Task>('Task')).toMatchObject({ status: 'completed', businessStatus: { text: 'preliminary' }, focus: { reference: 'ServiceRequest/sr1' }, encounter: { reference: 'Encounter/e1' }, output: [{ valueReference: { reference: `DiagnosticReport/${report.id}` } }] });
  expect(await deliver({ deliver_by, find_order: true, order_update: 'task' }, { version: 2, status: 'entered-in-error' })).toMatchObject({ kind: 'delivered' });
  expect(one<Task>('Task').status).toBe('entered-in-error');
});

test.each(ways)('an order becomes completed when a person signed, and not on the word of a model (%s)', async (deliver_by) => {
  put(order);
  await deliver({ deliver_by, order_update: 'service-request' });
  expect(one<Resource>('ServiceRequest')).toMatchObject({ status: 'active' });
  expect(await deliver({ deliver_by, order_update: 'service-request' }, { version: 2, status: 'final' })).toMatchObject({ kind: 'delivered' });
  expect(one<Resource>('ServiceRequest')).toMatchObject({ id: 'sr1', status: 'completed', encounter: { reference: 'Encounter/e1' }, meta: { versionId: '2' } });
});

test('two orders with one number, an encounter elsewhere, and a server without ServiceRequest: the order is named by its number', async () => {
  put(order);
  put({ ...order, id: 'sr2' });
  await deliver({ find_order: true });
  expect(one<DiagnosticReport>('DiagnosticReport')).toMatchObject({ basedOn: [{ identifier: { value: 'ACC12345' } }] });
  server.resources.clear();
  put({ ...order, encounter: { reference: 'https://elsewhere.example.org/Encounter/1' } });
  await deliver({ find_order: true });
  expect(one<DiagnosticReport>('DiagnosticReport').encounter).toBeUndefined();
  server.resources.clear();
  server.statement = statementOf(['transaction'], Object.fromEntries(['Patient', 'Device', 'ImagingStudy', 'Observation', 'DiagnosticReport', 'Provenance'].map((type) => [type, { can: 'create update search conditional', searches: 'identifier _tag' }])));
  expect(await deliver({ find_order: true, order_update: 'service-request', statement_minutes: 0 })).toMatchObject({ kind: 'delivered' });
});

test.each([['flag', 'Flag', 'active'], ['communication', 'Communication', 'completed']] as const)('critical findings make one %s, withdrawn when the findings are', async (critical_findings, type, status) => {
  for (const deliver_by of ways) {
    server.resources.clear();
    for (let attempt = 0; attempt < 2; attempt += 1) expect(await deliver({ deliver_by, critical_findings })).toMatchObject({ kind: 'delivered' });
    const alert = one<Resource>(type);
    expect(validateResource(alert)).toEqual([]);
    expect(alert).toMatchObject({ status, subject: { reference: expect.stringMatching(/^Patient\//) as string } });
    expect(JSON.stringify(alert)).toContain('Critical AI finding: Pneumothorax');
    await deliver({ deliver_by, critical_findings }, { version: 2, status: 'amended', findings: sampleReport.findings.filter(({ severity }) => severity !== 'critical') });
    expect(one<Resource>(type)).toMatchObject({ id: alert.id, status: 'entered-in-error' });
  }
});

test('without critical findings nothing is made, in no version', async () => {
  const findings = sampleReport.findings.filter(({ severity }) => severity !== 'critical');
  await deliver({ critical_findings: 'flag' }, { findings });
  await deliver({ critical_findings: 'flag' }, { findings, version: 2, status: 'final' });
  expect(server.ofType('Flag')).toEqual([]);
});

const matching = (entries: object[]): void => {
  server.intercept = (request, response) => {
    if (request.url !== '/fhir/Patient/$match') return false;
    send(response, 200, { resourceType: 'Bundle', type: 'searchset', entry: entries });
    return true;
  };
};
const grade = (code: string): object => ({ mode: 'match', extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/match-grade', valueCode: code }] });

test.each(ways)('a patient that no identifier finds is found by $match, when there is one certain match (%s)', async (deliver_by) => {
  server.statement = everything();
  put({ resourceType: 'Patient', id: 'p7', identifier: [{ system: 'urn:other', value: '7' }] });
  matching([{ resource: { resourceType: 'Patient', id: 'p8' }, search: grade('probable') }, { resource: { resourceType: 'Patient', id: 'p7' }, search: grade('certain') }]);
  expect(await deliver({ deliver_by, patient: 'match' })).toMatchObject({ kind: 'delivered' });
  expect(one<DiagnosticReport>('DiagnosticReport').subject).toEqual({ reference: 'Patient/p7' });
  const asked = server.requests.find(({ url }) => url.endsWith('/$match'));
  expect(JSON.parse(asked?.body ?? '{}')).toMatchObject({ parameter: [{ resource: { resourceType: 'Patient' } }, { name: 'onlyCertainMatches', valueBoolean: true }, {}] });
});

test.each(ways)('no match, two, or only probable ones: nothing is sent and a person is told (%s)', async (deliver_by) => {
  for (const entries of [[], ['p1', 'p2'].map((id) => ({ resource: { resourceType: 'Patient', id }, search: grade('certain') })), [{ resource: { resourceType: 'Patient', id: 'p1' }, search: grade('possible') }]]) {
    matching(entries);
    expect(await deliver({ deliver_by, patient: 'match' })).toMatchObject({ kind: 'refused', answerCode: 'patient' });
  }
  expect(server.ofType('DiagnosticReport')).toEqual([]);
});

const withBinary = (updateCreate: boolean) => { const statement = everything(); const [rest] = statement.rest ?? []; return { ...statement, rest: [{ ...rest, mode: 'server' as const, resource: [...rest?.resource ?? [], { type: 'Binary' as const, interaction: [{ code: 'update' as const }], updateCreate }] }] }; };

test.each(ways)('pages can be a Binary each, replaced by a correction and named by the report (%s)', async (deliver_by) => {
  server.statement = withBinary(true);
  const settings = { deliver_by, page_content: 'binary', report_as: 'document-reference' } as const;
  for (let attempt = 0; attempt < 2; attempt += 1) expect(await deliver(settings)).toMatchObject({ kind: 'delivered' });
  const urls = (): unknown[] => one<DocumentReference>('DocumentReference').content?.map(({ attachment }) => [attachment.contentType, attachment.url, attachment.data, attachment.size]) ?? [];
  const binaries = server.ofType('Binary') as unknown as { id: string; contentType: string; data: string }[];
  expect(binaries.map(({ contentType }) => contentType).toSorted()).toEqual(['application/pdf', 'text/html']);
  expect(urls()).toEqual(['text/html', 'application/pdf'].map((type) => { const binary = binaries.find(({ contentType }) => contentType === type); return [expect.stringContaining(type), `Binary/${binary?.id}`, undefined, Buffer.from(binary?.data ?? '', 'base64').byteLength]; }));
  const before = urls();
  expect(await deliver(settings, { version: 2, status: 'entered-in-error' })).toMatchObject({ kind: 'delivered' });
  expect(server.ofType('Binary')).toHaveLength(2);
  expect((server.ofType('Binary') as unknown as { data: string }[]).map(({ data }) => data)).not.toEqual(binaries.map(({ data }) => data));
  expect(urls()).not.toEqual(before);
});

test('where a server takes no id of ours the pages stay inline', async () => {
  server.statement = withBinary(false);
  expect(await deliver({ page_content: 'binary' })).toMatchObject({ kind: 'delivered' });
  expect(server.ofType('Binary')).toEqual([]);
  expect(one<DiagnosticReport>('DiagnosticReport').presentedForm?.every(({ data, url }) => data !== undefined && url === undefined)).toBe(true);
});

test.each(ways)('who asked for the order hears of critical findings, and the organization is referred to as the server knows it (%s)', async (deliver_by) => {
  put({ ...order, requester: { reference: `${server.baseUrl}/Practitioner/d7` } });
  put({ resourceType: 'Organization', id: 'o9', identifier: [{ system: 'urn:org', value: 'RAD' }] });
  const settings = { deliver_by, find_order: true, critical_findings: 'communication', order_update: 'task', organization_identifier: 'urn:org|RAD' } as const;
  expect(await deliver(settings)).toMatchObject({ kind: 'delivered' });
  expect(one<Resource>('Communication')).toMatchObject({ recipient: [{ reference: 'Practitioner/d7' }], sender: { reference: 'Organization/o9' } });
  expect(one<Resource>('Task')).toMatchObject({ requester: { reference: 'Practitioner/d7' }, owner: { reference: 'Organization/o9' } });
  expect(one<DiagnosticReport>('DiagnosticReport').performer).toEqual([{ reference: 'Organization/o9', display: sampleReport.organization.name }]);
  put({ resourceType: 'Organization', id: 'o10', identifier: [{ system: 'urn:org', value: 'RAD' }] });
  put({ ...order, requester: { reference: 'https://elsewhere.example.org/Practitioner/1' } });
  expect(await deliver(settings)).toMatchObject({ kind: 'delivered' });
  expect(one<DiagnosticReport>('DiagnosticReport').performer).toMatchObject([{ identifier: { value: sampleReport.organization.organizationId } }]);
  expect(one<Task & Resource>('Task').requester).toBeUndefined();
});

test.each(ways)('an order with the same number that is of somebody else is neither referred to nor completed (%s)', async (deliver_by) => {
  put({ ...order, subject: { reference: 'Patient/other' } });
  put({ resourceType: 'Patient', id: 'other', birthDate: '1901-01-01', name: [{ family: 'Somebody' }] });
  expect(await deliver({ deliver_by, find_order: true, order_update: 'service-request' }, { status: 'final' })).toMatchObject({ kind: 'delivered' });
  expect(one<DiagnosticReport>('DiagnosticReport')).toMatchObject({ basedOn: [{ identifier: { value: 'ACC12345' } }] });
  expect(JSON.stringify(one<DiagnosticReport>('DiagnosticReport'))).not.toMatch(/ServiceRequest\/sr1|Encounter\/e1/);
  expect(one<Resource>('ServiceRequest')).toMatchObject({ status: 'active' });
});
