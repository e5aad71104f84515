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
  }, 120_000);
});
