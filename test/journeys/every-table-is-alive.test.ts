/**
 * Each of the 21 tables of the seed holds rows that a flow of the product wrote: not a migration, not a seed file, not this test. The table below
 * names the flow; the condition tells its rows from reference data, where both are in one table.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureOrganization } from '../../src/db/organizations.ts';
import { exchanges, expectAudited, request, scanOf, smallStudy, somebody, startJourney, anOrder, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';

const FLOWS: Readonly<Record<string, { flow: string; where?: string }>> = {
  organizations: { flow: 'a new organization at the command line or the first start', where: "name = 'Made by a person'" },
  users: { flow: 'POST /users', where: "email = 'new@sample-hospital.example'" },
  user_sessions: { flow: 'POST /auth/login', where: "kind = 'browser'" },
  user_preferences: { flow: 'PUT /auth/me/preferences/{preference_key}' },
  patients: { flow: 'ADT^A04' },
  patient_medical_history: { flow: 'AL1 and DG1 of ADT^A04' },
  scans: { flow: 'ORM^O01, C-STORE' },
  scan_files: { flow: 'C-STORE' },
  scan_queue: { flow: 'ORM^O01, C-STORE, workers' },
  ai_models: { flow: 'reference data of a new organization', where: "status = 'active'" },
  ai_analyses: { flow: 'completion of a scan' },
  findings: { flow: 'the model' },
  reports: { flow: 'the last analysis of a scan' },
  report_templates: { flow: 'reference data of a new organization', where: 'template_id IN (SELECT template_id FROM reports)' },
  system_metrics: { flow: 'the sampler' },
  audit_logs: { flow: 'every exchange and API call' },
  system_alerts: { flow: 'a report that a destination refused' },
  system_settings: { flow: 'PUT /system-settings/{setting_key}', where: "setting_key = 'session_idle_minutes'" },
  workflow_rules: { flow: 'reference data of a new organization', where: 'is_enabled' },
  external_integrations: { flow: 'PATCH /integrations/{integration_id}', where: 'version > 1' },
  sync_logs: { flow: 'every exchange, both directions' },
};

let journey: Journey;
beforeAll(async () => {
  journey = await startJourney();
  const { gateway, seeded, hospital: { ris, pacs, emr } } = journey;
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await ris.register(patient);
  await ris.order(patient, order);
  await emr.behaviour.set('422', 1);
  await pacs.store(study.objects);
  const { scan_id: scanId } = await scanOf(gateway, study.studyInstanceUid);
  await eventually(async () => (await gateway.db.asOwner("SELECT FROM deliveries WHERE status IN ('delivered', 'refused')")).length === 3);

  const login = await fetch(`http://127.0.0.1:${gateway.ports.http}/api/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ email: seeded.adminEmail, password: seeded.adminPassword }) });
  expect(login.status).toBe(200);
  const headers = { cookie: login.headers.get('set-cookie')!.split(';')[0]!, origin: `http://127.0.0.1:${gateway.ports.http}` };
  const api = async (method: string, path: string, body?: unknown): Promise<any> => {
    const answer = await request(gateway, method, `/api/v1${path}`, headers, body);
    expect(answer.status, `${method} ${path}: ${answer.text}`).toBeLessThan(300);
    return answer.body;
  };
  await api('POST', '/users', { email: 'new@sample-hospital.example', display_name: 'New Colleague', role: 'nurse', password: 'a long enough password' });
  await api('PUT', '/auth/me/preferences/scans.table', { value: { columns: ['scan_number', 'status'] } });
  await api('PUT', '/system-settings/session_idle_minutes', { value: 20 });
  await api('PATCH', `/integrations/${seeded.integrations['PACS']}`, { is_enabled: false });
  const alert = (await api('GET', '/system-alerts')).items.find(({ kind }: { kind: string }) => kind === 'delivery_refused');
  expect(alert).toBeDefined();
  await api('POST', `/system-alerts/${alert.alert_id}/acknowledge`);
  const findings = (await api('GET', '/findings')).items;
  await api('PATCH', `/findings/${findings[0].finding_id}`, { is_confirmed: true });
  expect((await api('GET', `/scans/${scanId}`)).scan_id).toBe(scanId);
  await ensureOrganization(gateway.db.database, { name: 'Made by a person' });
  await eventually(async () => (await gateway.db.asOwner('SELECT FROM system_metrics')).length > 0, 20_000);
});
afterAll(() => journey?.stop());

test('there are 21', () => { expect(Object.keys(FLOWS)).toHaveLength(21); });

test.each(Object.entries(FLOWS).map(([table, { flow, where }]) => ({ table, flow, where: where ?? 'true' })))('$table: written by $flow', async ({ table, where }) => {
  expect((await journey.gateway.db.asOwner<{ n: number }>(`SELECT count(*)::int AS n FROM ${table} WHERE ${where}`))[0]!.n).toBeGreaterThan(0);
});

test('so do the tables that the product added, and each exchange is audited', async () => {
  const { gateway } = journey;
  for (const table of ['deliveries', 'patient_identifiers', 'exchange_payloads', 'message_identities', 'configuration_versions', 'audit_seals', 'association_logs']) {
    await eventually(async () => (await gateway.db.asOwner(`SELECT FROM ${table} LIMIT 1`)).length > 0, 15_000).catch(() => { throw new Error(`${table} is empty`); });
  }
  await expectAudited(gateway, await exchanges(gateway, 'true'));
});
