/**
 * Two hospitals on one gateway with the same patient number, the same accession number, the same Study Instance UID and the same MSH-10: called AE
 * title, sending facility and token tell them apart, and nothing of one is seen in the other's rows, results, API or FHIR.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureOrganization } from '../../src/db/organizations.ts';
import { seedReference } from '../../src/db/seed.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { loadAdapters } from '../../src/gateway/registry.ts';
import { saveIntegration } from '../../src/gateway/save-integration.ts';
import { startHospital, type Hospital } from '../../src/simulator/hospital.ts';
import { orderMessage, registrationMessage } from '../../src/simulator/hl7-messages.ts';
import { anOrder, answered, apiClient, exchanges, expectAudited, passQuietTime, request, smallStudy, somebody, type ApiAnswer } from '../support/journey.ts';
import { eventually, testGateway, type TestGateway } from '../support/gateway.ts';

const SIDES = ['NORTH', 'SOUTH'] as const;
type Side = (typeof SIDES)[number];
interface Tenant { readonly organizationId: string; readonly hospital: Hospital; readonly family: string; readonly api: (method: string, path: string, body?: unknown) => Promise<ApiAnswer>; readonly fhirToken: string }

let gateway: TestGateway;
const tenants = {} as Record<Side, Tenant>;
const order = anOrder();
const shared = somebody({ patientId: 'P-1', assigningAuthority: 'HOSPITAL' });
const study = smallStudy({ patient: shared, accessionNumber: order.accessionNumber });

beforeAll(async () => {
  gateway = await testGateway({ MEDSCAN_QUIET_SECONDS: '3600' });
  const adapters = await loadAdapters();
  for (const side of SIDES) {
    const { organizationId } = await ensureOrganization(gateway.db.database, { name: `${side} Hospital` });
    await seedReference(gateway.db.database, organizationId);
    const hospital = await startHospital({ gateway: { host: '127.0.0.1', dicomPort: gateway.ports.dicom!, hl7Port: gateway.ports.hl7!, aeTitle: `MS_${side}` }, sendingFacility: side, pacsAeTitle: 'SAMEPACS' });
    const save = async (name: string, kind: 'pacs' | 'ris' | 'emr', adapter: string, settings: Record<string, unknown>): Promise<void> => {
      const saved = await saveIntegration({ database: gateway.db.database, keys: gateway.db.keys, adapters }, organizationId, undefined, { name, kind, adapter, direction: 'both', settings, isEnabled: true }, { kind: 'system', id: 'test' });
      expect(saved.kind).toBe('saved');
    };
    await save('PACS', 'pacs', 'dicom-dimse', { called_ae_title: `MS_${side}`, destination: { host: '127.0.0.1', port: hospital.pacs.port, called_ae_title: 'SAMEPACS' } });
    await save('RIS', 'ris', 'hl7v2-mllp', { sending_facility: [side], host: '127.0.0.1', port: hospital.ris.port });
    await save('EMR', 'emr', 'fhir-rest', { base_url: hospital.emr.baseUrl });
    const { token: fhirToken } = await createApiToken(gateway.db.database, { organizationName: `${side} Hospital`, role: 'service', name: 'EMR' });
    tenants[side] = { organizationId, hospital, family: `Only${side}`, fhirToken, api: await apiClient(gateway, `${side} Hospital`) };
  }
  await gateway.integrations.reload();

  const envelope = (side: Side, controlId: string) => ({ controlId, sendingApplication: 'RIS', sendingFacility: side, at: new Date() });
  await Promise.all(SIDES.map(async (side) => {
    const { hospital, family } = tenants[side];
    const patient = { ...shared, familyName: family };
    expect((await hospital.ris.send(registrationMessage('A04', patient, envelope(side, 'SAME-1')))).code).toBe('AA');
    expect((await hospital.ris.send(orderMessage('NW', patient, order, envelope(side, 'SAME-2')))).code).toBe('AA');
    expect((await hospital.pacs.store(study.objects)).map((answer) => answer.status)).toEqual(study.objects.map(() => 0));
  }));
  await passQuietTime(gateway);
  await eventually(async () => (await gateway.db.asOwner("SELECT FROM deliveries WHERE status = 'delivered'")).length === 6, 30_000);
});
afterAll(async () => {
  await gateway?.stop();
  for (const side of SIDES) await tenants[side]?.hospital.stop();
});

const other = (side: Side): Tenant => tenants[side === 'NORTH' ? 'SOUTH' : 'NORTH'];

test.each(SIDES)('%s has its own patient, scan, files, analysis and report, of the same numbers', async (side) => {
  const own = tenants[side];
  const rows = await gateway.db.asOwner('SELECT s.study_instance_uid, s.accession_number, s.instance_count, p.patient_number, p.family_name FROM scans s JOIN patients p USING (organization_id, patient_id) WHERE s.organization_id = $1', [own.organizationId]);
  expect(rows).toEqual([{ study_instance_uid: study.studyInstanceUid, accession_number: order.accessionNumber, instance_count: study.objects.length, patient_number: 'P-1', family_name: own.family }]);
  for (const table of ['ai_analyses', 'reports']) expect(await gateway.db.asOwner(`SELECT FROM ${table} WHERE organization_id = $1`, [own.organizationId]), table).toHaveLength(1);
});

test.each(SIDES)('the systems of %s get the result of their own patient, and only that', (side) => {
  const { hospital: { emr, ris, pacs }, family } = tenants[side];
  const seen = [JSON.stringify(emr.exchanges.items), ...ris.received.items.map((received) => received.text), ...pacs.received.items.map((object) => object.dataset.toString('latin1'))];
  expect(seen).toHaveLength(3);
  for (const text of seen) {
    expect(text).toContain(family);
    expect(text).not.toContain(other(side).family);
  }
});

test.each(SIDES)('the API shows %s its own, by list and by search, and answers 404 for ids of the other', async (side) => {
  const { api, family, organizationId } = tenants[side];
  const found = await api('POST', '/api/v1/patients/search', { identifier: { value: 'P-1' } });
  expect(found.status, found.text).toBe(200);
  expect(found.body.items.map((patient: { family_name: string }) => patient.family_name)).toEqual([family]);
  for (const list of ['scans', 'analyses', 'findings', 'reports', 'sync-logs', 'scan-queue', 'integrations', 'users', 'audit-logs', 'organizations']) {
    const answer = await api('GET', `/api/v1/${list}`);
    expect(answer.status, list).toBe(200);
    expect(answer.body.items.length, list).toBeGreaterThan(0);
    expect(answer.text.includes(other(side).organizationId), list).toBe(false);
    expect(answer.text.includes(other(side).family), list).toBe(false);
  }
  const foreign = await gateway.db.asOwner<{ path: string }>(`
    SELECT 'scans/' || scan_id AS path FROM scans WHERE organization_id <> $1 UNION ALL SELECT 'patients/' || patient_id FROM patients WHERE organization_id <> $1
    UNION ALL SELECT 'reports/' || report_id FROM reports WHERE organization_id <> $1 UNION ALL SELECT 'sync-logs/' || sync_id || '/payload' FROM sync_logs WHERE organization_id <> $1
    UNION ALL (SELECT 'scan-files/' || scan_file_id || '/content' FROM scan_files WHERE organization_id <> $1 LIMIT 1)`, [organizationId]);
  expect(foreign.length).toBeGreaterThan(4);
  for (const { path } of foreign) expect((await api('GET', `/api/v1/${path}`)).status, path).toBe(404);
});

test('a FHIR client writes into the organization of its token, whatever the resource says, and reads nothing of the other', async () => {
  for (const side of SIDES) {
    const answer = await fetch(`http://127.0.0.1:${gateway.ports.http}/fhir/r4/Patient`, {
      method: 'POST', headers: { authorization: `Bearer ${tenants[side].fhirToken}`, 'content-type': 'application/fhir+json' },
      body: JSON.stringify({ resourceType: 'Patient', identifier: [{ system: 'urn:oid:1.2.3', value: 'FHIR-1' }], name: [{ family: `Fhir${side}` }], managingOrganization: { reference: `Organization/${other(side).organizationId}` } }),
    });
    expect(answer.status, await answer.text()).toBe(201);
  }
  expect(await gateway.db.asOwner("SELECT o.name, p.family_name FROM patients p JOIN organizations o USING (organization_id) WHERE patient_number = 'FHIR-1' ORDER BY 1"))
    .toEqual(SIDES.map((side) => ({ name: `${side} Hospital`, family_name: `Fhir${side}` })));
  const [foreign] = await gateway.db.asOwner<{ patient_id: string }>('SELECT patient_id FROM patients WHERE organization_id = $1 LIMIT 1', [tenants.SOUTH.organizationId]);
  const read = await request(gateway, 'GET', `/fhir/r4/Patient/${foreign!.patient_id}`, { authorization: `Bearer ${tenants.NORTH.fhirToken}` });
  expect(read.status).toBeGreaterThanOrEqual(400);
  expect(read.text).not.toContain('SOUTH');
  const nobody = await request(gateway, 'POST', '/fhir/r4/Patient', { authorization: 'Bearer msk_nobody' }, { resourceType: 'Patient' });
  expect(nobody.status).toBe(401);
});

test('the record of each is its own: same control ids in both, none marked as a repeat, all audited there', async () => {
  for (const side of SIDES) {
    const { organizationId } = tenants[side];
    const rows = await answered(gateway, "organization_id = $1 AND direction = 'inbound'", [organizationId]);
    expect(rows.filter((row) => row.control_id === 'SAME-1' || row.control_id === 'SAME-2').map((row) => row.message_status)).toEqual(['accepted', 'accepted']);
    expect(rows.map((row) => row.message_status)).toEqual(rows.map(() => 'accepted'));
    expect(rows).toHaveLength(2 + study.objects.length + 1);
    const outbound = await exchanges(gateway, "organization_id = $1 AND direction = 'outbound'", [organizationId]);
    expect(outbound).toHaveLength(3);
    await expectAudited(gateway, [...rows, ...outbound]);
    const foreignAudit = await gateway.db.asOwner('SELECT FROM audit_logs a JOIN sync_logs l ON l.sync_id = a.sync_id WHERE a.organization_id = $1 AND l.organization_id <> $1', [organizationId]);
    expect(foreignAudit).toEqual([]);
  }
});
