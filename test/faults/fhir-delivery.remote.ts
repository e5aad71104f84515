/**
 * kill -9 at each step of a delivery to a FHIR server that nobody here wrote (MEDSCAN_TEST_FHIR_URL): the report arrives, once, in each of its versions.
 * The queue's job of the dead worker is removed by hand, because waiting for its missing heartbeat takes half a minute each time.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { insertReport, insertDeliveries } from '../../src/db/reports.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { startGatewayProcess } from '../support/gateway-process.ts';
import { credentialsPlace } from '../../src/gateway/integrations.ts';
import { createFhirClient } from '../../adapters/fhir-rest/fhir-client.ts';
import { ownIdentifier } from '../../adapters/fhir-rest/identifiers.ts';
import { resourcesOf } from '../../adapters/fhir-rest/lookup.ts';
import { sampleConfig, sampleReport } from '../../adapters/fhir-rest/testcases/sample-report.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/gateway.ts';
import { insertIntegration } from '../support/pipeline.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import { uuidV7 } from '#domain/uuid.ts';

const url = process.env['MEDSCAN_TEST_FHIR_URL'];
const POINTS = ['deliver.begun', 'deliver.sent', 'deliver.beforeCommit'];

describe.skipIf(url === undefined)(`a gateway that is killed while it delivers (${url ?? 'set MEDSCAN_TEST_FHIR_URL to run this'})`, () => {
  const lineageId = uuidV7(), uid = `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;
  const settings = { assigning_authority: 'HOSP', base_url: url, ...JSON.parse(process.env['MEDSCAN_TEST_FHIR_SETTINGS'] ?? '{}') as object };
  let db: TestDatabase, home: string, organizationId: string, scanId: string;
  beforeAll(async () => {
    db = await testDatabase();
    home = await mkdtemp(path.join(tmpdir(), 'medscan-fhir-crash-'));
    const integration = await insertIntegration(db, 'North', 'EMR', 'fhir-rest');
    organizationId = integration.organizationId;
    await db.asOwner("UPDATE external_integrations SET kind = 'emr', credentials_sealed = $2 WHERE integration_id = $1", [integration.integrationId, db.keys.seal(credentialsPlace(integration.integrationId), JSON.stringify(settings))]);
    const [patient] = await db.asOwner<{ patient_id: string }>("INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'P1') RETURNING patient_id", [organizationId]);
    const [scan] = await db.asOwner<{ scan_id: string }>("INSERT INTO scans (organization_id, patient_id, scan_number, scan_type, study_instance_uid) VALUES ($1, $2, 'S1', 'ct', $3) RETURNING scan_id", [organizationId, patient?.patient_id, uid]);
    scanId = scan?.scan_id ?? '';
  });
  afterAll(async () => {
    await db?.drop();
    if (home) await rm(home, { recursive: true, force: true });
  });

  const document: ReportDocument = {
    ...sampleReport, reportId: lineageId, patient: { ...sampleReport.patient, identifiers: [{ value: lineageId, assigningAuthority: 'urn:medscan:interop' }] }, scan: { ...sampleReport.scan, studyInstanceUid: uid },
    findings: sampleReport.findings.map((finding, index) => ({ ...finding, trackingUid: `${uid.slice(0, 60)}.${index + 1}` })),
  };
  const enqueue = (change: Partial<ReportDocument>): Promise<unknown> => inOrganization(db.database, organizationId, async (tx) => {
    const reportId = uuidV7();
    await insertReport(tx, { reportId, lineageId, version: 1, supersedes: undefined, scanId, analysisId: undefined, templateId: undefined, authorName: 'CXR-AI 2.3.1', document: { ...document, ...change }, ...change });
    return insertDeliveries(tx, reportId, []);
  });
  const start = (environment: Readonly<Record<string, string>>) => startGatewayProcess({
    DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'worker', MEDSCAN_RETRY_SECONDS: '0.2', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'), ...environment,
  });
  const killedAt = async (point: string): Promise<void> => {
    const how = await start({ MEDSCAN_FAILPOINTS: point }).then((worker) => worker.ended, (error: Error) => error.message.includes('ended (SIGKILL)') ? 'SIGKILL' : Promise.reject(error));
    expect(how, point).toBe('SIGKILL');
    await db.asOwner("DELETE FROM pgboss.job WHERE name = 'deliver'");
  };
  const delivered = (count: number) => eventually(async () => (await db.asOwner("SELECT FROM deliveries WHERE status = 'delivered'")).length === count, 60_000);

  test.each([['made', { version: 1, status: 'preliminary' }], ['amended', { version: 2, status: 'amended', findings: document.findings.slice(0, 1) }], ['retracted', { version: 3, status: 'entered-in-error', findings: document.findings.slice(0, 1) }]] as const)('killed at every step while a report is %s, the next start completes it', async (_, change) => {
    await enqueue(change);
    for (const point of POINTS) await killedAt(point);
    const last = await start({});
    await delivered(change.version).finally(() => last.stop());
    const client = createFhirClient(sampleConfig(settings)), config = sampleConfig(settings);
    const found = async (type: string, kind: 'report' | 'finding', value: string): Promise<unknown[]> => {
      const exchanged = await client.search(type, { identifier: `${ownIdentifier(config, kind, value).system}|${value}` }, AbortSignal.timeout(20_000));
      return 'failure' in exchanged ? [exchanged.failure] : resourcesOf(exchanged.answer.body).map((resource) => (resource as { status?: unknown }).status);
    };
    expect(await found('DiagnosticReport', 'report', lineageId)).toEqual([change.status]);
    expect(await found('Observation', 'finding', document.findings[0]?.trackingUid ?? '')).toEqual([change.status]);
    expect(await found('Observation', 'finding', document.findings[1]?.trackingUid ?? '')).toEqual([change.version === 1 ? 'preliminary' : 'entered-in-error']);
    await client.close();
    const [outbound] = await db.asOwner<{ sending: number; delivered: number }>("SELECT count(*) FILTER (WHERE message_status = 'sending')::int AS sending, count(*) FILTER (WHERE message_status = 'delivered')::int AS delivered FROM sync_logs WHERE direction = 'outbound'");
    expect(outbound).toEqual({ sending: 0, delivered: change.version });
  }, 180_000);
});
