/**
 * The way out against a real FHIR R4 server that nobody here wrote: MEDSCAN_TEST_FHIR_URL=https://... and further settings of the adapter
 * as JSON in MEDSCAN_TEST_FHIR_SETTINGS. It stores a made-up patient and reports there, under identifiers of its own for each run.
 *
 *   a report's life           made, sent again, signed, a finding withdrawn, retracted; after each step the server is asked what it has
 *   answers that get lost     a relay passes each request on and loses its answer, one after the other; then nothing is missing or doubled
 *   fetching                  what changed there, by _lastUpdated
 *   conditions                what the server makes of If-None-Exist, conditional update and a stale If-Match, as far as it claims them
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AdapterContext, DeliveryOutcome, Receive } from '#gateway/adapter.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import type { CapabilityStatement, DiagnosticReport, Resource } from '#standards/fhir/types.ts';
import adapter from './adapter.ts';
import type { Config } from './config.ts';
import { createFhirClient } from './fhir-client.ts';
import type { ClientRequest, FhirClient } from './fhir-client.ts';
import { ownIdentifier } from './identifiers.ts';
import { resourcesOf } from './lookup.ts';
import { planFor, planWords } from './plan.ts';
import { pulls } from './pull.ts';
import { offerOf } from './server-offer.ts';
import type { ServerOffer } from './server-offer.ts';
import { sampleConfig, sampleReport } from './testcases/sample-report.ts';

const url = process.env['MEDSCAN_TEST_FHIR_URL'];
const more = JSON.parse(process.env['MEDSCAN_TEST_FHIR_SETTINGS'] ?? '{}') as Partial<Config>;
const told: string[] = [];
const say = (text: string): void => { process.stdout.write(`${text}\n`); };
const log = { debug() {}, info() {}, warn(_: object, text: string) { told.push(text); }, error() {} };
const context: AdapterContext = { log, signal: AbortSignal.timeout(600_000), now: () => new Date(), store: () => Promise.reject(new Error('not used')), authenticate: () => Promise.resolve(undefined) };
const config = sampleConfig({ ...more, base_url: url ?? 'http://127.0.0.1:1' });

/** A report of its own: nobody else's patient, study, findings. */
function aReport(): ReportDocument {
  const run = randomUUID(), uid = `2.25.${BigInt(`0x${run.replaceAll('-', '')}`)}`;
  return {
    ...sampleReport, reportId: run, patient: { ...sampleReport.patient, identifiers: [{ value: run, assigningAuthority: 'urn:medscan:interop' }] }, models: sampleReport.models.map((model) => ({ ...model, modelId: `interop-${run}` })),
    scan: { ...sampleReport.scan, studyInstanceUid: uid }, findings: sampleReport.findings.map((finding, index) => ({ ...finding, trackingUid: `${uid.slice(0, 60)}.${index + 1}` })),
  };
}

async function deliver(document: ReportDocument, settings: Partial<Config> = {}): Promise<DeliveryOutcome> {
  const outcome = await adapter.outbound?.deliver({ deliveryId: document.reportId, organizationId: 'o', controlId: document.reportId, attempt: 1, document }, { ...config, ...settings }, context);
  if (outcome === undefined) throw new Error('no outbound');
  return outcome;
}

describe.skipIf(url === undefined)(`a FHIR server (${url ?? 'set MEDSCAN_TEST_FHIR_URL to run this'})`, () => {
  let client: FhirClient, offer: ServerOffer;
  beforeAll(async () => {
    client = createFhirClient(config);
    const exchanged = await client.capabilities(context.signal);
    const statement = ('answer' in exchanged ? exchanged.answer.body : undefined) as CapabilityStatement;
    offer = offerOf(statement);
    say(`${statement.software?.name ?? 'unnamed'} ${statement.software?.version ?? ''}, FHIR ${statement.fhirVersion}: ${planWords(planFor(offer, config), config).detail}`);
  });
  afterAll(() => client.close());

  const found = async (type: string, system: string, value: string, parameter = 'identifier'): Promise<Resource[]> => {
    const exchanged = await client.search(type, { [parameter]: `${system}|${value}` }, context.signal);
    if ('failure' in exchanged) throw new Error(exchanged.failure.text);
    return resourcesOf(exchanged.answer.body).filter((resource) => resource.resourceType === type);
  };
  const own = (type: string, kind: Parameters<typeof ownIdentifier>[1], value: string): Promise<Resource[]> => { const { system } = ownIdentifier(config, kind, value); return found(type, system, value); };
  const statusOf = (resources: readonly Resource[]): unknown[] => resources.map((resource) => (resource as { status?: unknown }).status);
  const carrier = (): string => { const plan = planFor(offer, config); return 'refused' in plan ? 'DiagnosticReport' : plan.carrier; };

  /** Everything that one report leaves at the server, in numbers. */
  async function counted(document: ReportDocument, versions: number): Promise<Record<string, number>> {
    const plan = planFor(offer, config);
    const sends = (type: string): boolean => 'sends' in plan && plan.sends.has(type as never);
    const findings = (await Promise.all(document.findings.map(({ trackingUid }) => own('Observation', 'finding', trackingUid)))).map(({ length }) => length);
    const provenance = (await Promise.all(Array.from({ length: versions }, (_, index) => { const { system, value } = ownIdentifier(config, 'delivery', `${document.reportId}@${index + 1}`); return found('Provenance', system, value, '_tag'); }))).map(({ length }) => length);
    return {
      patients: (await found('Patient', 'urn:medscan:interop', document.patient.identifiers[0]?.value ?? '')).length, reports: (await own(carrier(), 'report', document.reportId)).length,
      ...(sends('Observation') ? { findings: findings.reduce((sum, each) => sum + each, 0) } : {}),
      ...(sends('ImagingStudy') ? { studies: (await found('ImagingStudy', 'urn:dicom:uid', `urn:oid:${document.scan.studyInstanceUid}`)).length } : {}),
      ...(sends('Device') ? { models: (await own('Device', 'model', `${document.models[0]?.modelId}@${document.models[0]?.version}`)).length } : {}),
      ...(sends('Provenance') && offer.searches('Provenance', '_tag') ? { provenances: provenance.reduce((sum, each) => sum + each, 0) } : {}),
    };
  }
  const once = async (document: ReportDocument, versions: number): Promise<void> => {
    const numbers = await counted(document, versions);
    const expected = { patients: 1, reports: 1, findings: document.findings.length, studies: 1, models: 1, provenances: versions };
    expect(numbers).toEqual(Object.fromEntries(Object.keys(numbers).map((name) => [name, expected[name as keyof typeof expected]])));
  };

  test('the connection test passes', async () => {
    expect(await adapter.testConnection(config, context)).toMatchObject({ ok: true });
  });

  test.each(['auto', 'batch', 'single'] as const)('a report is made, sent again, signed, amended without a finding, and retracted (%s); it is there once', async (deliver_by) => {
    const document = aReport(), [kept, vanished] = document.findings;
    if (deliver_by === 'batch' && !offer.batch) return;
    const step = async (change: Partial<ReportDocument>): Promise<void> => { expect(await deliver({ ...document, ...change }, { deliver_by })).toMatchObject({ kind: 'delivered' }); };
    const observed = async (uid: string | undefined): Promise<unknown[]> => statusOf(await own('Observation', 'finding', uid ?? ''));
    await step({});
    await step({});
    expect(statusOf(await own('DiagnosticReport', 'report', document.reportId))).toEqual(['preliminary']);
    await step({ version: 2, status: 'final' });
    expect([await observed(kept?.trackingUid), await observed(vanished?.trackingUid)]).toEqual([['final'], ['final']]);
    await step({ version: 3, status: 'amended', findings: kept === undefined ? [] : [kept] });
    expect([await observed(kept?.trackingUid), await observed(vanished?.trackingUid)]).toEqual([['amended'], ['entered-in-error']]);
    await step({ version: 4, status: 'entered-in-error', findings: kept === undefined ? [] : [kept] });
    expect([await observed(kept?.trackingUid), statusOf(await own('DiagnosticReport', 'report', document.reportId))]).toEqual([['entered-in-error'], ['entered-in-error']]);
    await once(document, 4);
  }, 120_000);

  test('what goes along by settings is made once, and withdrawn with the report', async () => {
    const document = aReport(), settings = { critical_findings: 'flag', order_update: 'task', find_order: true, wado_rs_url: 'https://pacs.example.org/dicom-web' } as const;
    const plan = planFor(offer, { ...config, ...settings });
    for (let attempt = 0; attempt < 2; attempt += 1) expect(await deliver(document, settings)).toMatchObject({ kind: 'delivered' });
    const standing = async (): Promise<unknown[]> => [statusOf(await own('Flag', 'critical', document.reportId)), statusOf(await own('Task', 'order-task', document.reportId))];
    const both = !('refused' in plan) && plan.sends.has('Flag') && plan.sends.has('Task');
    if (both) expect(await standing()).toEqual([['active'], ['completed']]);
    expect(await deliver({ ...document, version: 2, status: 'entered-in-error' }, settings)).toMatchObject({ kind: 'delivered' });
    if (both) expect(await standing()).toEqual([['entered-in-error'], ['entered-in-error']]);
    const [report] = await own('DiagnosticReport', 'report', document.reportId) as DiagnosticReport[];
    expect(report?.presentedForm?.map(({ contentType }) => contentType)).toEqual(['text/html; charset=utf-8', 'application/pdf']);
  }, 60_000);

  test.each(['auto', 'single'] as const)('when the answer to any one request is lost, the next attempt completes the report and doubles nothing (%s)', async (deliver_by) => {
    const document = aReport();
    const relay = await startLosingRelay(url ?? '');
    let lost = 0;
    for (let position = 1; ; position += 1) {
      relay.loseAnswerTo(position);
      const outcome = await deliver(document, { deliver_by, base_url: relay.url, request_timeout_milliseconds: 20_000 });
      if (!relay.hasLost()) { expect(outcome).toMatchObject({ kind: 'delivered' }); break; }
      lost += 1;
      expect(outcome.kind === 'delivered' || outcome.kind === 'unconfirmed' || outcome.kind === 'unreachable', JSON.stringify({ ...outcome, sent: undefined, answer: undefined })).toBe(true);
    }
    await relay.close();
    say(`${deliver_by}: ${lost} answers lost, one after the other`);
    expect(lost).toBeGreaterThan(0);
    await once(document, 1);
  }, 300_000);

  test('conditions hold: one that is there is not made again, and a stale version is refused', async (about) => {
    const identifier = { system: 'urn:medscan:interop', value: `${randomUUID()}-condition` }, query = `identifier=${identifier.system}|${identifier.value}`;
    const send = async (request: Omit<ClientRequest, 'json'>, resource: object): Promise<{ status: number; headers: Headers | undefined }> => {
      const exchanged = await client.send({ ...request, json: JSON.stringify(resource) }, context.signal);
      if ('failure' in exchanged) throw new Error(exchanged.failure.text);
      return exchanged.answer;
    };
    if (!offer.offers('Patient', 'conditional create') || !offer.offers('Patient', 'conditional update')) about.skip('the server claims no conditional requests');
    const patient = { resourceType: 'Patient', identifier: [identifier], name: [{ family: 'Condition' }] };
    const statuses = [(await send({ method: 'POST', url: 'Patient', ifNoneExist: query }, patient)).status, (await send({ method: 'POST', url: 'Patient', ifNoneExist: query }, patient)).status, (await send({ method: 'PUT', url: `Patient?${query}` }, { ...patient, gender: 'female' })).status];
    expect(statuses).toEqual([201, 200, 200]);
    const [there] = await found('Patient', identifier.system, identifier.value);
    expect((await send({ method: 'PUT', url: `Patient/${there?.id}`, ifMatch: 'W/"not-this-version"' }, { ...patient, id: there?.id })).status).toBe(412);
    expect(await found('Patient', identifier.system, identifier.value)).toMatchObject([{ gender: 'female' }]);
  }, 60_000);

  test('what changed is fetched by _lastUpdated, once, and not again', async (about) => {
    if (!offer.searches('Patient', '_lastUpdated')) about.skip('the server does not search by _lastUpdated');
    const value = randomUUID(), names: string[] = [], since = new Date(Date.now() - 1000).toISOString();
    const stored = await client.send({ method: 'POST', url: 'Patient', json: JSON.stringify({ resourceType: 'Patient', identifier: [{ system: 'urn:medscan:interop', value }] }) }, context.signal);
    expect(stored).toMatchObject({ answer: { status: 201 } });
    const receive: Receive = async ({ controlId }) => { names.push(controlId); return { kind: 'accepted', links: {}, exchangeId: undefined, answered: () => undefined }; };
    const pulled = await pulls.pull({ integrationId: 'i', organizationId: 'o', name: 'EMR', config }, 'Patient', since, receive, context);
    expect(pulled).toMatchObject({ kind: 'read', refused: 0 });
    expect(names.filter((name) => name.includes(value))).toHaveLength(1);
    const again = pulled.kind === 'read' ? await pulls.pull({ integrationId: 'i', organizationId: 'o', name: 'EMR', config }, 'Patient', pulled.until, receive, context) : pulled;
    // Read again within the overlap, it has the same name: a repeat.
    expect(again.kind).toBe('read');
    expect(new Set(names.filter((name) => name.includes(value))).size).toBe(1);
  }, 60_000);

  test('a transaction with one bad entry is refused as a whole, or told entry by entry; it is never taken for delivered', async () => {
    const document = aReport();
    const outcome = await deliver({ ...document, findings: document.findings.map((finding) => ({ ...finding, trackingUid: '' })), scan: { ...document.scan, studyAt: 'yesterday' } });
    const { reports = 0 } = await counted(document, 1);
    say(`a transaction with a bad entry: ${outcome.kind}${'answerCode' in outcome ? ` ${outcome.answerCode}` : ''}, ${reports} reports stored${told.some((text) => text.includes('entry by entry')) ? '; the server runs transactions entry by entry' : ''}`);
    expect(outcome.kind).toBe('refused');
    expect(reports).toBe(0);
  }, 60_000);
});

/** Passes requests on to the server; the answer to the n-th of an attempt is thrown away with its connection, as when the gateway or the line dies. */
async function startLosingRelay(target: string): Promise<{ url: string; loseAnswerTo(position: number): void; hasLost(): boolean; close(): Promise<void> }> {
  let position = 0, seen = 0, lost = false;
  const base = target.replace(/\/+$/, ''), root = new URL(base).origin;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      seen += 1;
      const isLost = seen === position;
      if (isLost) lost = true;
      const { host: _, connection: __, 'content-length': ___, 'transfer-encoding': ____, ...headers } = request.headers;
      const body = chunks.length === 0 ? {} : { body: Buffer.concat(chunks) };
      void fetch(root + (request.url ?? ''), { method: request.method ?? 'GET', headers: headers as Record<string, string>, redirect: 'manual', ...body }).then(async (answer) => {
        const bytes = Buffer.from(await answer.arrayBuffer());
        if (isLost) return response.destroy();
        const kept = Object.fromEntries([...answer.headers].filter(([name]) => !['content-encoding', 'content-length', 'transfer-encoding', 'connection', 'keep-alive'].includes(name)));
        return response.writeHead(answer.status, kept).end(bytes);
      }).catch(() => response.destroy());
    });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${new URL(base).pathname}`,
    loseAnswerTo(next) { position = next; seen = 0; lost = false; },
    hasLost: () => lost,
    close: () => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); }),
  };
}
