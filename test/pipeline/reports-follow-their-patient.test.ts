/** A merge, or its undoing, changes whose scans they are: what systems are told of the reports that were made meanwhile, or are on their way. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sampleReport } from '../../adapters/hl7v2-mllp/testing/sample-report.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { undoMerge, type Unmerged } from '../../src/pipeline/index.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import { insertIntegration, instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline, organizationId: string;
const systems: Record<string, string> = {};
beforeAll(async () => {
  pipeline = await testPipeline();
  ({ organizationId } = pipeline.integration);
  for (const name of ['RIS', 'EMR']) systems[name] = (await insertIntegration(pipeline.db, 'Test Hospital', name, 'fake')).integrationId;
});
afterAll(() => pipeline?.close());

let messages = 0;
const rows = <Row extends object = Record<string, any>>(text: string, values?: unknown[]): Promise<Row[]> => pipeline.db.asOwner<Row>(text, values);
const say = (normalized: Parameters<TestPipeline['receive']>[0]['normalized'], interaction = 'ADT^A40') => pipeline.receive({ interaction, controlId: `RF${++messages}`, normalized });
const merge = (survivor: string, prior: string) => say({ authority: 'registration', patient: patient(survivor), merges: [{ survivor: patient(survivor).identifiers, prior: patient(prior).identifiers }] });
const admit = (number: string) => say({ authority: 'registration', patient: patient(number, { family_name: `Family ${number}` }) }, 'ADT^A04');
const image = (study: string, number: string) => pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.9`, normalized: { patient: patient(number), instance: instance(study, `${study}.9`) } });
async function undo(prior: string): Promise<Unmerged> {
  const [row] = await rows("SELECT merge_id FROM patient_merges WHERE prior_identifiers @> jsonb_build_array(jsonb_build_object('value', $1::text)) ORDER BY merge_id DESC LIMIT 1", [prior]);
  return inOrganization(pipeline.db.database, organizationId, (tx) => undoMerge(tx, row!['merge_id'], [], { kind: 'user', id: 'someone' }));
}

/** A report of the study as the gateway made it for whom the scan is of now, with a finding, and how far it came at each system: status and attempts. */
async function reported(study: string, sent: Record<string, [string, number]>): Promise<string> {
  const [scan] = await rows('SELECT s.scan_id, p.patient_id, p.patient_number, p.family_name FROM scans s JOIN patients p USING (organization_id, patient_id) WHERE s.study_instance_uid = $1', [study]);
  const [finding] = await rows(`
    WITH m AS (INSERT INTO ai_models (organization_id, model_name, model_version, runtime, manufacturer) VALUES ($1, $2, '1', 'onnx', 'Someone') RETURNING *),
      a AS (INSERT INTO ai_analyses (organization_id, scan_id, model_id, status, input_digest) SELECT $1, $3, model_id, 'completed', '' FROM m RETURNING *)
    INSERT INTO findings (organization_id, analysis_id, tracking_uid, finding_type, severity, confidence_percentage, description) SELECT $1, analysis_id, $4, 'Nodule', 'low', 50, '' FROM a RETURNING finding_id`, [organizationId, `m ${study}`, scan!['scan_id'], `${study}.77`]);
  const document: ReportDocument = {
    ...sampleReport, version: 1, status: 'preliminary', findings: [{ ...sampleReport.findings[0]!, findingId: finding!['finding_id'], trackingUid: `${study}.77` }],
    patient: { patientId: scan!['patient_id'], patientNumber: scan!['patient_number'], familyName: scan!['family_name'], identifiers: [{ value: scan!['patient_number'], assigningAuthority: 'HOSP' }] },
  };
  const [report] = await rows(`INSERT INTO reports (organization_id, lineage_id, scan_id, status, findings_text, impression, author_kind, author_name, document)
    SELECT organization_id, medscan_uuid_v7(), scan_id, 'preliminary', '', '', 'device', 'm', $2 FROM scans WHERE study_instance_uid = $1 RETURNING report_id`, [study, JSON.stringify(document)]);
  for (const [name, [status, attempts]] of Object.entries(sent)) await rows('INSERT INTO deliveries (organization_id, integration_id, report_id, status, attempts) VALUES ($1, $2, $3, $4, $5)', [organizationId, systems[name], report!['report_id'], status, attempts]);
  return report!['report_id'];
}
/** Each version, oldest first: status, whom it names, its first words, and its deliveries. */
async function versionsOf(study: string) {
  const found = await rows(`
    SELECT r.version, r.lineage_id, r.status, r.document, (SELECT coalesce(jsonb_agg(i.name || ' ' || d.status ORDER BY i.name), '[]') FROM deliveries d JOIN external_integrations i USING (organization_id, integration_id) WHERE d.report_id = r.report_id) AS deliveries
    FROM reports r JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = $1 ORDER BY r.version`, [study]);
  return found.map((row) => ({
    version: row['version'] as number, status: row['status'] as string, names: (row['document'] as ReportDocument).patient.identifiers.map(({ value }) => value).join(), deliveries: row['deliveries'] as string[],
    lineage: row['lineage_id'] as string, document: row['document'] as ReportDocument,
  }));
}

test('undone: a report that named the other patient is withdrawn there and told anew, as another report, of the right one', async () => {
  await admit('AA'); await admit('AB');
  await image('2.1', 'AA');
  await merge('AB', 'AA');
  const reportId = await reported('2.1', { RIS: ['delivered', 1], EMR: ['refused', 1] });
  const undone = await undo('AA');
  expect(undone).toMatchObject({ kind: 'undone', reportIds: [reportId], corrected: [{ reportId }] });
  const [first, withdrawal, anew] = await versionsOf('2.1');
  expect(withdrawal).toMatchObject({ version: 2, status: 'entered-in-error', names: 'AB', deliveries: ['EMR queued', 'RIS queued'], lineage: first!.lineage });
  expect(anew).toMatchObject({ version: 3, status: 'preliminary', names: 'AA', deliveries: ['EMR queued', 'RIS queued'] });
  expect(anew!.lineage).not.toBe(first!.lineage);
  expect(anew!.document).toMatchObject({ reportId: anew!.lineage, version: 3, patient: { familyName: 'Family AA' }, sections: { impression: expect.stringMatching(/^CORRECTED: this result was told of another patient/) as string } });
  expect(withdrawal!.document.sections.impression).toMatch(/^WITHDRAWN: this result belongs to another patient/);
  expect(JSON.stringify(anew!.document)).not.toContain('AB');
  expect(await rows("SELECT f.tracking_uid FROM findings f JOIN ai_analyses a USING (organization_id, analysis_id) JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = '2.1'")).toEqual([{ tracking_uid: anew!.document.findings[0]!.trackingUid }]);
  expect(anew!.document.findings[0]!.trackingUid).toMatch(/^2\.25\.\d+$/);
  expect(await rows("SELECT message FROM system_alerts WHERE kind = 'identity_conflict' AND severity = 'critical' AND message LIKE 'A merge was undone%'")).toMatchObject([{ message: expect.stringContaining('withdrawn there and told anew') as string }]);
  expect(await rows("SELECT detail->>'wrong_patient' AS wrong FROM audit_logs WHERE object_id = $1", [reportId])).toEqual([{ wrong: 'true' }]);
  // The order in which systems hear of it: withdrawn first.
  expect((await rows('SELECT r.version FROM deliveries d JOIN reports r USING (organization_id, report_id) JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = \'2.1\' AND d.integration_id = $1 ORDER BY d.position', [systems['RIS']])).map((row) => row['version'])).toEqual([1, 2, 3]);
});

test('undone: reports of before the merge, of the one who remained, withdrawn ones and those of other systems stay as they are', async () => {
  for (const number of ['BA', 'BB']) await admit(number);
  await image('2.2', 'BA'); await image('2.3', 'BB'); await image('2.4', 'BA'); await image('2.5', 'BA');
  await reported('2.2', { RIS: ['delivered', 1] });
  await merge('BB', 'BA');
  await reported('2.3', { RIS: ['delivered', 1] });
  const withdrawn = await reported('2.4', { RIS: ['delivered', 1] }), external = await reported('2.5', {});
  await rows("UPDATE reports SET status = 'entered-in-error' WHERE report_id = $1", [withdrawn]);
  await rows("UPDATE reports SET author_kind = 'external' WHERE report_id = $1", [external]);
  const undone = await undo('BA');
  expect(undone).toMatchObject({ kind: 'undone', corrected: [] });
  expect(undone.kind === 'undone' && undone.reportIds.toSorted((a, b) => a.localeCompare(b))).toEqual([withdrawn, external].toSorted((a, b) => a.localeCompare(b)));
  for (const study of ['2.2', '2.3', '2.4', '2.5']) expect(await versionsOf(study), study).toHaveLength(1);
});

test('merged: what a system does not have yet leaves under the number that remains; what it has is not sent again', async () => {
  await admit('CA'); await admit('CB');
  await image('2.6', 'CA');
  await reported('2.6', { RIS: ['queued', 0], EMR: ['delivered', 1] });
  await merge('CB', 'CA');
  expect(await versionsOf('2.6')).toMatchObject([{ version: 1, names: 'CA', deliveries: ['EMR delivered', 'RIS skipped'] }, { version: 2, names: 'CB', status: 'preliminary', deliveries: ['RIS queued'] }]);
  const [first, next] = await versionsOf('2.6');
  expect(next!.lineage).toBe(first!.lineage);
  await merge('CB', 'CA'); // said again
  expect(await versionsOf('2.6')).toHaveLength(2);
});

test('merged: one that was refused under the old number leaves under the new one, and one that may have been heard is followed by it', async () => {
  await admit('DA'); await admit('DB');
  await image('2.7', 'DA');
  const reportId = await reported('2.7', { RIS: ['refused', 1], EMR: ['sending', 1] });
  await rows("INSERT INTO system_alerts (organization_id, kind, severity, subject, message) SELECT organization_id, 'delivery_refused', 'critical', 'delivery ' || delivery_id, 'no' FROM deliveries WHERE report_id = $1", [reportId]);
  await merge('DB', 'DA');
  expect(await rows("SELECT status FROM deliveries d JOIN system_alerts a ON a.subject = 'delivery ' || d.delivery_id WHERE d.report_id = $1 AND a.resolved_at IS NULL", [reportId]), 'what is decided needs nobody').toEqual([{ status: 'sending' }]);
  expect(await versionsOf('2.7')).toMatchObject([{ names: 'DA', deliveries: ['EMR sending', 'RIS skipped'] }, { names: 'DB', deliveries: ['EMR queued', 'RIS queued'] }]);
});

test('merged the other way round: what waits names the number that is in use again', async () => {
  await admit('EA'); await admit('EB');
  await image('2.8', 'EA');
  await merge('EB', 'EA');
  await reported('2.8', { RIS: ['queued', 0] });
  await merge('EA', 'EB');
  expect(await versionsOf('2.8')).toMatchObject([{ names: 'EB', deliveries: ['RIS skipped'] }, { names: 'EA', deliveries: ['RIS queued'] }]);
});

test('merged after an undoing: the withdrawal still goes to the record that the report was told of, and what was told anew stays the newest', async () => {
  for (const number of ['FA', 'FB', 'FC']) await admit(number);
  await image('2.9', 'FA');
  await merge('FB', 'FA');
  await reported('2.9', { RIS: ['delivered', 1], EMR: ['delivered', 1] });
  await undo('FA');
  await merge('FA', 'FC');
  await merge('FA', 'FB');
  expect(await versionsOf('2.9')).toMatchObject([
    { version: 1, names: 'FB' }, { version: 2, status: 'entered-in-error', names: 'FB', deliveries: ['EMR queued', 'RIS queued'] }, { version: 3, status: 'preliminary', names: 'FA', deliveries: ['EMR queued', 'RIS queued'] },
  ]);
});

test('merged: who has the report already is not told that another version follows', async () => {
  await admit('GA'); await admit('GB');
  await image('2.10', 'GA');
  await rows("UPDATE scans SET order_status = 'ordered' WHERE study_instance_uid = '2.10'");
  await reported('2.10', { RIS: ['queued', 0], EMR: ['delivered', 1] });
  await rows("UPDATE external_integrations SET settings = '{\"order_status_messages\": [\"analysed\"]}' WHERE integration_id = ANY($1)", [Object.values(systems)]);
  await merge('GB', 'GA');
  expect(await rows("SELECT i.name, n.run, n.status FROM order_notices n JOIN external_integrations i USING (organization_id, integration_id) ORDER BY i.name")).toEqual([{ name: 'EMR', run: 2, status: 'skipped' }, { name: 'RIS', run: 2, status: 'queued' }]);
});
