/** Reports that come back from a RIS, and appointments: what they change, and what they leave alone. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InboundReportRow, ScheduleRow } from '#gateway/normalized.ts';
import { completeWhenQuiet } from '../../src/pipeline/complete.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline.close());

const rows = <T extends object>(text: string, values: unknown[] = []): Promise<T[]> => pipeline.db.asOwner(text, values) as Promise<T[]>;
let sent = 0;
const send = (interaction: string, normalized: object) => pipeline.receive({ interaction, controlId: `R${++sent}`, normalized: { authority: 'order', ...normalized } });
const order = (who: string, accession: string, control: 'new' | 'hold' = 'new') => send('ORM^O01', { patient: patient(who), order: { control, accession_number: accession, filler_order_number: `F-${accession}`, priority: 'stat' } });
const report = (who: string, more: Partial<InboundReportRow>) => send('ORU^R01', {
  patient: patient(who), reports: [{ report_identifier: 'REP', status: 'final', findings_text: 'A nodule in the right lobe.', impression: 'Nodule.', author_name: 'Robin Reader', signed_at: '2026-01-05T10:00:00Z', ...more }],
});
const schedule = (who: string, row: ScheduleRow) => send('SIU^S12', { patient: patient(who), schedule: row });
const reportsOf = (accession: string) => rows<Record<string, unknown>>(`SELECT r.version, r.status, r.author_kind, r.author_name, r.impression, r.supersedes_report_id IS NOT NULL AS supersedes, r.document->'external'->'agreement' AS agreement
  FROM reports r JOIN scans s USING (organization_id, scan_id) WHERE s.accession_number = $1 ORDER BY r.created_at, r.version`, [accession]);
const queueOf = async (accession: string) => (await rows<Record<string, unknown>>(`SELECT q.status, q.why_waiting, q.completed_at IS NOT NULL AS done, s.scheduled_at, s.status AS scan
  FROM scan_queue q JOIN scans s USING (organization_id, scan_id) WHERE s.accession_number = $1`, [accession]))[0];

test('a final report is kept with its study, its exchange names the scan, and the queue waits no longer', async () => {
  await order('R1', 'A1');
  const receipt = await report('R1', { accession_number: 'A1' });
  expect(receipt.kind === 'accepted' && Object.keys(receipt.links)).toEqual(['patients', 'scans']);
  expect(await reportsOf('A1')).toEqual([{ version: 1, status: 'final', author_kind: 'external', author_name: 'Robin Reader', impression: 'Nodule.', supersedes: false, agreement: null }]);
  expect(await queueOf('A1')).toMatchObject({ status: 'completed', done: true, why_waiting: null });
  expect(await rows("SELECT 1 FROM deliveries d JOIN reports r USING (organization_id, report_id) WHERE r.author_kind = 'external'"), 'nothing is sent back').toEqual([]);
  expect(await rows("SELECT a.action, a.detail->>'status' AS status FROM audit_logs a WHERE a.object_type = 'report' AND a.sync_id = $1", [receipt.exchangeId])).toEqual([{ action: 'C', status: 'final' }]);
});

test('preliminary, final and corrected are versions of one report; said again it is no version', async () => {
  await order('R2', 'A2');
  await report('R2', { accession_number: 'A2', status: 'preliminary' });
  expect(await queueOf('A2'), 'a preliminary report stops no clock').toMatchObject({ status: 'pending', done: false });
  await report('R2', { accession_number: 'A2' });
  await report('R2', { accession_number: 'A2' });
  await report('R2', { filler_order_number: 'F-A2', status: 'corrected', impression: 'No nodule.' });
  await report('R2', { accession_number: 'A2', report_identifier: 'ADDENDUM', impression: 'Seen in consultation.' });
  expect((await reportsOf('A2')).map(({ version, status, supersedes }) => [version, status, supersedes]))
    .toEqual([[1, 'preliminary', false], [2, 'final', true], [3, 'corrected', true], [1, 'final', false]]);
});

test('an accession number in the place of the filler\'s number is found too, and so is a study by its UID', async () => {
  await order('R3', 'A3');
  await report('R3', { filler_order_number: 'A3' });
  await pipeline.receive({ interaction: 'C-STORE', controlId: '9.3.1', normalized: { patient: patient('R3'), instance: instance('9.3', '9.3.1') } });
  await report('R3', { study_instance_uid: '9.3', report_identifier: 'BY-UID' });
  expect(await reportsOf('A3')).toHaveLength(1);
  expect(await rows("SELECT 1 FROM reports r JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = '9.3'")).toHaveLength(1);
});

test('a report of a study that is not here is kept without effect, one of another patient\'s study too, and that is told', async () => {
  const unknown = await report('R4', { accession_number: 'NOWHERE' });
  expect(unknown.kind).toBe('accepted');
  await order('R4', 'A4');
  await report('STRANGER', { accession_number: 'A4' });
  expect(await reportsOf('A4')).toEqual([]);
  expect(await rows("SELECT warnings->0->>'text' AS text FROM sync_logs WHERE sync_id = $1", [unknown.exchangeId])).toEqual([{ text: 'no scan here has the numbers of this message; kept without effect' }]);
  expect(await rows("SELECT severity FROM system_alerts a JOIN scans s ON a.subject = 'scan ' || s.scan_id WHERE s.accession_number = 'A4'")).toEqual([{ severity: 'critical' }]);
});

test('a final report is compared with the AI result, and the exchange says how many findings it names', async () => {
  await order('R5', 'A5');
  await rows(`INSERT INTO reports (organization_id, lineage_id, scan_id, status, findings_text, impression, author_kind, author_name, document)
    SELECT organization_id, gen_random_uuid(), scan_id, 'preliminary', '', '', 'device', 'M 1', $1 FROM scans WHERE accession_number = 'A5'`,
  [JSON.stringify({ findings: [{ findingId: 'f1', type: { display: 'Lobe nodule' } }, { findingId: 'f2', type: { display: 'Pleural effusion' } }] })]);
  const { exchangeId } = await report('R5', { accession_number: 'A5' });
  expect((await reportsOf('A5')).at(-1)).toMatchObject({ author_kind: 'external', agreement: { named: ['f1'], notNamed: ['f2'] } });
  expect(await rows("SELECT warnings->0->>'text' AS text FROM sync_logs WHERE sync_id = $1", [exchangeId])).toEqual([{ text: expect.stringMatching(/^1 of 2 AI findings are named/) as string }]);
});

test('a study that is reported stays done while the AI works on it, until images come after the report', async () => {
  await order('R8', 'A8');
  await rows("INSERT INTO workflow_rules (organization_id, name, actions) VALUES ($1, 'none', '[{\"action\": \"run_model\", \"model_name\": \"not installed\"}]')", [pipeline.integration.organizationId]);
  const image = (sop: string) => pipeline.receive({ interaction: 'C-STORE', controlId: sop, normalized: { patient: patient('R8'), instance: instance('9.8', sop, { accession: 'A8' }) } });
  const complete = async () => {
    const [scan] = await rows<{ scan_id: string }>("SELECT scan_id FROM scans WHERE accession_number = 'A8'");
    const now = (): Date => new Date(Date.now() + 60_000);
    await completeWhenQuiet({ database: pipeline.db.database, boss: pipeline.boss, quietSeconds: 30, now }, { organizationId: pipeline.integration.organizationId, scanId: scan!.scan_id });
  };
  await image('9.8.1');
  await report('R8', { accession_number: 'A8' });
  await complete();
  expect(await queueOf('A8')).toMatchObject({ status: 'completed', done: true, why_waiting: null });
  await image('9.8.2');
  await complete();
  expect(await queueOf('A8')).toMatchObject({ status: 'paused', done: false, why_waiting: expect.stringContaining('not installed') as string });
});

test('an appointment moves the study\'s time, its end leaves the order, and images settle it', async () => {
  await order('R6', 'A6');
  await schedule('R6', { control: 'change', accession_number: 'A6', scheduled_at: '2026-02-03T08:30:00Z' });
  expect(await queueOf('A6')).toMatchObject({ status: 'pending', scan: 'scheduled', scheduled_at: new Date('2026-02-03T08:30:00Z') });
  await schedule('R6', { control: 'cancel', accession_number: 'A6' });
  expect(await queueOf('A6')).toMatchObject({ status: 'paused', scan: 'scheduled', scheduled_at: null, why_waiting: 'The appointment was cancelled; the order stands.' });
  await schedule('R6', { control: 'change', accession_number: 'A6', scheduled_at: '2026-02-04T08:30:00Z' });
  expect(await queueOf('A6')).toMatchObject({ status: 'pending', scheduled_at: new Date('2026-02-04T08:30:00Z') });
  await pipeline.receive({ interaction: 'C-STORE', controlId: '9.6.1', normalized: { patient: patient('R6'), instance: instance('9.6', '9.6.1', { accession: 'A6' }) } });
  await schedule('R6', { control: 'cancel', accession_number: 'A6' });
  expect(await queueOf('A6')).toMatchObject({ scan: 'in_progress', scheduled_at: new Date('2026-02-04T08:30:00Z') });
});

test('an appointment does not release an order that is on hold, and orders nothing by itself', async () => {
  await order('R7', 'A7', 'hold');
  await schedule('R7', { control: 'change', accession_number: 'A7', scheduled_at: '2026-02-03T08:30:00Z' });
  expect(await queueOf('A7')).toMatchObject({ status: 'paused', why_waiting: 'The order is on hold.', scheduled_at: new Date('2026-02-03T08:30:00Z') });
  await schedule('R7', { control: 'change', accession_number: 'NOBODY-ORDERED', scheduled_at: '2026-02-03T08:30:00Z' });
  expect(await queueOf('NOBODY-ORDERED')).toBeUndefined();
});
