/**
 * The way out against a real FHIR R4 server that nobody here wrote: MEDSCAN_TEST_FHIR_URL=https://... and further settings of the adapter
 * as JSON in MEDSCAN_TEST_FHIR_SETTINGS. It stores a made-up patient and report there, under identifiers of its own for each run.
 */
import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { AdapterContext } from '#gateway/adapter.ts';
import adapter from './adapter.ts';
import type { Config } from './config.ts';
import { createFhirClient } from './fhir-client.ts';
import { ownIdentifier } from './identifiers.ts';
import { sampleConfig, sampleReport } from './testcases/sample-report.ts';

const url = process.env['MEDSCAN_TEST_FHIR_URL'];
const log = { debug() {}, info() {}, warn() {}, error() {} };
const context: AdapterContext = {
  log, signal: new AbortController().signal, now: () => new Date(), store: () => Promise.reject(new Error('not used')), authenticate: () => Promise.resolve(undefined),
};

describe.skipIf(url === undefined)(`a FHIR server (${url ?? 'set MEDSCAN_TEST_FHIR_URL to run this'})`, () => {
  const run = randomUUID();
  const config = sampleConfig({ ...JSON.parse(process.env['MEDSCAN_TEST_FHIR_SETTINGS'] ?? '{}') as Partial<Config>, base_url: url });
  const uid = `2.25.${BigInt(`0x${run.replaceAll('-', '')}`)}`;
  const document = {
    ...sampleReport, reportId: run, patient: { ...sampleReport.patient, identifiers: [{ value: run, assigningAuthority: 'urn:medscan:interop' }] },
    scan: { ...sampleReport.scan, studyInstanceUid: uid }, findings: sampleReport.findings.map((finding, index) => ({ ...finding, trackingUid: `${uid.slice(0, 60)}.${index + 1}` })),
  };
  const deliver = async (more: object = {}): Promise<unknown> => adapter.outbound?.deliver({ deliveryId: run, organizationId: 'o', controlId: run, attempt: 1, document: { ...document, ...more } }, config, context);

  test('the connection test passes', async () => {
    expect(await adapter.testConnection(config, context)).toMatchObject({ ok: true });
  });

  test('a report sent twice, then as version 2, is one DiagnosticReport with the content of version 2', async () => {
    expect(await deliver()).toMatchObject({ kind: 'delivered' });
    expect(await deliver()).toMatchObject({ kind: 'delivered' });
    expect(await deliver({ version: 2, status: 'final' })).toMatchObject({ kind: 'delivered' });
    const client = createFhirClient(config);
    const { system, value } = ownIdentifier(config, 'report', run);
    const found = await client.search('DiagnosticReport', { identifier: `${system}|${value}` }, context.signal);
    await client.close();
    expect(found).toMatchObject({ answer: { body: { entry: [{ resource: { status: 'final' } }] } } });
    expect((found as { answer: { body: { entry: unknown[] } } }).answer.body.entry).toHaveLength(1);
  }, 120_000);

  test('a finding that version 3 no longer has, and then the whole report, become entered-in-error', async () => {
    const [kept, vanished] = document.findings;
    const observation = async (uid: string | undefined): Promise<unknown> => {
      const client = createFhirClient(config);
      const { system } = ownIdentifier(config, 'finding', '');
      return client.search('Observation', { identifier: `${system}|${uid}` }, context.signal).finally(() => client.close());
    };
    expect(await deliver({ version: 3, status: 'amended', findings: [kept] })).toMatchObject({ kind: 'delivered' });
    expect(await observation(kept?.trackingUid)).toMatchObject({ answer: { body: { entry: [{ resource: { status: 'amended' } }] } } });
    expect(await observation(vanished?.trackingUid)).toMatchObject({ answer: { body: { entry: [{ resource: { status: 'entered-in-error' } }] } } });
    expect(await deliver({ version: 4, status: 'entered-in-error', findings: [kept] })).toMatchObject({ kind: 'delivered' });
    expect(await observation(kept?.trackingUid)).toMatchObject({ answer: { body: { entry: [{ resource: { status: 'entered-in-error' } }] } } });
  }, 120_000);

  test('the same report in single requests is found and not made again', async () => {
    const outcome = await adapter.outbound?.deliver({ deliveryId: run, organizationId: 'o', controlId: run, attempt: 2, document: { ...document, version: 5, status: 'corrected' } }, { ...config, deliver_by: 'single' }, context);
    expect(outcome).toMatchObject({ kind: 'delivered' });
    const client = createFhirClient(config);
    const { system, value } = ownIdentifier(config, 'report', run);
    const found = await client.search('DiagnosticReport', { identifier: `${system}|${value}` }, context.signal).finally(() => client.close()) as { answer: { body: { entry: { resource: { status: string } }[] } } };
    expect(found.answer.body.entry.map(({ resource }) => resource.status)).toEqual(['corrected']);
  }, 120_000);
});
