import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NormalizeError } from '#gateway/adapter.ts';
import { eventually } from '../support/gateway.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline.close());

const rows = <T extends object>(text: string, values: unknown[] = []): Promise<T[]> => pipeline.db.asOwner(text, values) as Promise<T[]>;
const store = (study: string, sop: string, who: ReturnType<typeof patient>, more: { accession?: string; bytes?: string; series?: string } = {}) =>
  pipeline.receive({ interaction: 'C-STORE', controlId: sop, ...(more.bytes ? { bytes: more.bytes } : {}), normalized: { patient: who, instance: instance(study, sop, more) } });

test('an accepted instance has its file, patient, scan, exchange, audit row and completion job, all there when it is answered', async () => {
  const receipt = await store('1.1', '1.1.1', patient('P1', { family_name: 'Doe' }));
  expect(receipt.kind).toBe('accepted');
  const [row] = await rows<Record<string, string | number>>(`
    SELECT s.status, s.instance_count, s.series_count, p.family_name, q.why_waiting, l.message_status, f.storage_location,
      (SELECT count(*)::int FROM audit_logs a WHERE a.sync_id = l.sync_id) AS audits,
      (SELECT count(*)::int FROM pgboss.job j WHERE j.name = 'complete-scan' AND j.singleton_key = s.scan_id::text) AS jobs
    FROM scans s JOIN patients p USING (organization_id, patient_id) JOIN scan_queue q USING (organization_id, scan_id) JOIN scan_files f USING (organization_id, scan_id)
      JOIN sync_logs l ON l.sync_id = f.source_sync_id WHERE s.study_instance_uid = '1.1'`);
  expect(row).toMatchObject({ status: 'in_progress', instance_count: 1, series_count: 1, family_name: 'Doe', message_status: 'accepted', audits: 1, jobs: 1 });
  expect((await pipeline.store.readHead(String(row!['storage_location']), 10)).toString()).toBe('1.1.1');
});

test('the same instance with the same bytes is answered as a repeat, has no second row, and leaves no second file', async () => {
  await store('1.2', '1.2.1', patient('P2'));
  const again = await Promise.all([1, 2, 3].map(() => store('1.2', '1.2.1', patient('P2'))));
  expect(again.map((receipt) => receipt.kind)).toEqual(['duplicate', 'duplicate', 'duplicate']);
  expect(await rows('SELECT instance_count FROM scans WHERE study_instance_uid = $1', ['1.2'])).toEqual([{ instance_count: 1 }]);
  expect(await rows("SELECT message_status FROM sync_logs WHERE control_id = '1.2.1' ORDER BY started_at")).toHaveLength(4);
});

test('the same instance four times at once is stored once', async () => {
  const receipts = await Promise.all([1, 2, 3, 4].map(() => store('1.3', '1.3.1', patient('P3'))));
  expect(receipts.map((receipt) => receipt.kind).toSorted()).toEqual(['accepted', 'duplicate', 'duplicate', 'duplicate']);
  expect(await rows("SELECT scan_file_id FROM scan_files WHERE sop_instance_uid = '1.3.1'")).toHaveLength(1);
});

test('the same SOP Instance UID with other bytes is kept as a conflict and never replaces the first', async () => {
  await store('1.4', '1.4.1', patient('P4'), { bytes: 'first' });
  const second = await store('1.4', '1.4.1', patient('P4'), { bytes: 'second' });
  expect(second.kind).toBe('accepted');
  const files = await rows<{ status: string; conflict_of: string | null }>("SELECT status, conflict_of FROM scan_files WHERE sop_instance_uid = '1.4.1' ORDER BY received_at");
  expect(files.map((file) => [file.status, file.conflict_of !== null])).toEqual([['stored', false], ['quarantined', true]]);
  expect(await rows("SELECT 1 FROM system_alerts WHERE kind = 'instance_conflict' AND subject = 'study 1.4'")).toHaveLength(1);
});

test('images find the order that came before them, by accession number and patient', async () => {
  await pipeline.receive({ interaction: 'ORM^O01', controlId: 'M1', normalized: { authority: 'order', patient: patient('P5'), order: { control: 'new', accession_number: 'A5', priority: 'stat', reason: 'cough' } } });
  await store('1.5', '1.5.1', patient('P5'), { accession: 'A5' });
  expect(await rows('SELECT study_instance_uid, priority, reason, status FROM scans WHERE accession_number = $1', ['A5'])).toEqual([{ study_instance_uid: '1.5', priority: 'stat', reason: 'cough', status: 'in_progress' }]);
});

test('an order that later names the study of another scan keeps its numbers, and a person is told', async () => {
  const order = (controlId: string, more: object) => pipeline.receive({ interaction: 'ORM^O01', controlId, normalized: { authority: 'order', patient: patient('P51'), order: { control: 'new', accession_number: 'A51', ...more } } });
  await order('M51-1', {});
  await store('1.51', '1.51.1', patient('P51'));
  expect((await order('M51-2', { study_instance_uid: '1.51', reason: 'cough' })).kind).toBe('accepted');
  expect(await rows("SELECT study_instance_uid, reason FROM scans WHERE accession_number = 'A51'")).toEqual([{ study_instance_uid: null, reason: 'cough' }]);
  expect(await rows("SELECT 1 FROM system_alerts a JOIN scans s ON a.subject = 'scan ' || s.scan_id WHERE s.study_instance_uid = '1.51'")).toHaveLength(1);
});

test('an order that comes after the images joins their scan', async () => {
  await store('1.6', '1.6.1', patient('P6'), { accession: 'A6' });
  await pipeline.receive({ interaction: 'ORM^O01', controlId: 'M2', normalized: { authority: 'order', patient: patient('P6'), order: { control: 'new', accession_number: 'A6', placer_order_number: 'PL6', priority: 'urgent' } } });
  expect(await rows("SELECT instance_count, priority, placer_order_number FROM scans WHERE accession_number = 'A6'")).toEqual([{ instance_count: 1, priority: 'urgent', placer_order_number: 'PL6' }]);
  expect(await rows("SELECT q.priority_score FROM scan_queue q JOIN scans s USING (organization_id, scan_id) WHERE s.accession_number = 'A6'")).toEqual([{ priority_score: 60 }]);
});

test('an accession number of another patient links nothing and is reported', async () => {
  await pipeline.receive({ interaction: 'ORM^O01', controlId: 'M3', normalized: { authority: 'order', patient: patient('P7'), order: { control: 'new', accession_number: 'A7' } } });
  await store('1.7', '1.7.1', patient('OTHER'), { accession: 'A7' });
  expect(await rows("SELECT 1 FROM scans WHERE accession_number = 'A7'")).toHaveLength(2);
});

test('images without a Patient ID are stored for a quarantined patient, and the order by its accession number heals the link', async () => {
  const receipt = await store('1.8', '1.8.1', { identifiers: [], family_name: 'Unknown' }, { accession: 'A8' });
  expect(receipt.kind).toBe('accepted');
  await pipeline.receive({ interaction: 'ORM^O01', controlId: 'M4', normalized: { authority: 'order', patient: patient('P8'), order: { control: 'new', accession_number: 'A8' } } });
  expect(await rows("SELECT p.patient_number, p.identity_status FROM scans s JOIN patients p USING (organization_id, patient_id) WHERE s.study_instance_uid = '1.8'")).toEqual([{ patient_number: 'P8', identity_status: 'established' }]);
});

test('registration corrects an image header, an image header never corrects registration', async () => {
  await store('1.9', '1.9.1', patient('P9', { family_name: 'DOE', sex: 'unknown' }));
  await pipeline.receive({ interaction: 'ADT^A08', controlId: 'M5', normalized: { authority: 'registration', patient: patient('P9', { family_name: 'Doe-Smith', sex: 'female', birth_date: '1980-05' }) } });
  await store('1.10', '1.10.1', patient('P9', { family_name: 'WRONG', given_name: 'Ann' }));
  expect(await rows("SELECT family_name, given_name, sex, birth_date, birth_date_precision FROM patients WHERE patient_number = 'P9'"))
    .toEqual([{ family_name: 'Doe-Smith', given_name: 'Ann', sex: 'female', birth_date: '1980-05', birth_date_precision: 'month' }]);
});

test('an explicit null clears, an absent field leaves', async () => {
  await pipeline.receive({ interaction: 'ADT^A08', controlId: 'M6', normalized: { authority: 'registration', patient: patient('P10', { family_name: 'Gone', given_name: 'Stays' }) } });
  await pipeline.receive({ interaction: 'ADT^A08', controlId: 'M7', normalized: { authority: 'registration', patient: patient('P10', { family_name: null }) } });
  expect(await rows("SELECT family_name, given_name FROM patients WHERE patient_number = 'P10'")).toEqual([{ family_name: null, given_name: 'Stays' }]);
});

test('a merge moves scans and identifiers, and late images of the old number arrive at the survivor; done twice it changes nothing', async () => {
  await store('1.11', '1.11.1', patient('OLD'));
  const merge = { survivor: patient('NEW').identifiers, prior: patient('OLD').identifiers };
  await pipeline.receive({ interaction: 'ADT^A40', controlId: 'M8', normalized: { authority: 'registration', patient: patient('NEW', { family_name: 'Survivor' }), merges: [merge] } });
  await pipeline.receive({ interaction: 'ADT^A40', controlId: 'M9', normalized: { authority: 'registration', patient: patient('NEW'), merges: [merge] } });
  await store('1.12', '1.12.1', patient('OLD'));
  const scans = await rows<{ patient_number: string }>("SELECT p.patient_number FROM scans s JOIN patients p USING (organization_id, patient_id) WHERE s.study_instance_uid IN ('1.11', '1.12')");
  expect(scans).toEqual([{ patient_number: 'NEW' }, { patient_number: 'NEW' }]);
  expect(await rows("SELECT 1 FROM patient_merges m JOIN patients p ON p.patient_id = m.survivor_patient_id WHERE p.patient_number = 'NEW'")).toHaveLength(1);
});

test('an instance that names another patient than its study is kept, and left out', async () => {
  await store('1.13', '1.13.1', patient('P13'));
  await store('1.13', '1.13.2', patient('INTRUDER'));
  expect(await rows("SELECT sop_instance_uid, status FROM scan_files WHERE sop_instance_uid LIKE '1.13.%' ORDER BY 1")).toEqual([{ sop_instance_uid: '1.13.1', status: 'stored' }, { sop_instance_uid: '1.13.2', status: 'quarantined' }]);
});

test('the same message twice is answered as before; the same control id with other content is another message', async () => {
  const send = (bytes: string, family: string) => pipeline.receive({ interaction: 'ADT^A08', controlId: 'SAME', bytes, normalized: { authority: 'registration', patient: patient('P14', { family_name: family }) } });
  const first = await send('a', 'One');
  first.answered('AA', true);
  await pipeline.flushAnswers();
  const again = await send('a', 'Ignored');
  const other = await send('b', 'Two');
  expect([first.kind, again, other.kind]).toMatchObject(['accepted', { kind: 'duplicate', answerCode: 'AA' }, 'accepted']);
  expect(await rows("SELECT family_name FROM patients WHERE patient_number = 'P14'")).toEqual([{ family_name: 'Two' }]);
  expect(await rows("SELECT answer_status, answer_code FROM sync_logs WHERE sync_id = $1", [first.exchangeId])).toEqual([{ answer_status: 'answered', answer_code: 'AA' }]);
});

test('a cancelled order stops what is queued and says so', async () => {
  await pipeline.receive({ interaction: 'ORM^O01', controlId: 'M10', normalized: { authority: 'order', patient: patient('P15'), order: { control: 'new', accession_number: 'A15' } } });
  await pipeline.receive({ interaction: 'ORM^O01', controlId: 'M11', normalized: { authority: 'order', patient: patient('P15'), order: { control: 'cancel', accession_number: 'A15' } } });
  expect(await rows("SELECT s.status, q.status AS queue, q.why_waiting FROM scans s JOIN scan_queue q USING (organization_id, scan_id) WHERE s.accession_number = 'A15'"))
    .toEqual([{ status: 'cancelled', queue: 'cancelled', why_waiting: 'The order was cancelled.' }]);
});

test('what cannot be normalized is rejected with its reason and its bytes are kept', async () => {
  const receipt = await pipeline.receive({ interaction: 'ADT^A08', controlId: 'BAD', bytes: 'raw bytes', normalized: () => { throw new NormalizeError('invalid', 'PID-3 is empty', 'PID-3'); } });
  expect(receipt).toMatchObject({ kind: 'rejected', reason: 'invalid', text: 'PID-3 is empty', location: 'PID-3' });
  expect(await rows("SELECT l.message_status, l.error_text, convert_from(p.content, 'UTF8') AS content FROM sync_logs l JOIN exchange_payloads p USING (organization_id, sync_id) WHERE l.control_id = 'BAD'"))
    .toEqual([{ message_status: 'rejected', error_text: 'PID-3 is empty', content: 'raw bytes' }]);
});

test('a value that no column takes rejects its message and not its neighbours', async () => {
  const receipts = await Promise.all([
    pipeline.receive({ interaction: 'ADT^A08', controlId: 'OK1', normalized: { authority: 'registration', patient: patient('P16') } }),
    pipeline.receive({ interaction: 'ADT^A08', controlId: 'NUL', normalized: { authority: 'registration', patient: patient('P17', { family_name: 'a\u0000b' }) } }),
    pipeline.receive({ interaction: 'ADT^A08', controlId: 'OK2', normalized: { authority: 'registration', patient: patient('P18') } }),
  ]);
  expect(receipts.map((receipt) => receipt.kind)).toEqual(['accepted', 'rejected', 'accepted']);
});

test('a patient that another message makes at the same moment is one patient, who has the images', async () => {
  const other = new pg.Client({ connectionString: pipeline.db.ownerUrl });
  await other.connect();
  try {
    await other.query('BEGIN');
    const { rows: [made] } = await other.query<{ patient_id: string }>("INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'MEANWHILE') RETURNING patient_id", [pipeline.integration.organizationId]);
    await other.query("INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index) VALUES ($1, $2, 'HOSP', 'MEANWHILE', 'MEANWHILE')", [pipeline.integration.organizationId, made!.patient_id]);
    const stored = store('1.99', '1.99.1', patient('MEANWHILE'));
    await eventually(async () => (await rows("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%medscan_store_instances%'")).length > 0);
    await other.query('COMMIT');
    expect((await stored).kind).toBe('accepted');
    expect(await rows("SELECT patient_id FROM scans WHERE study_instance_uid = '1.99'")).toEqual([{ patient_id: made!.patient_id }]);
    expect(await rows("SELECT patient_id FROM patients WHERE patient_number = 'MEANWHILE'")).toEqual([{ patient_id: made!.patient_id }]);
  } finally {
    await other.end();
  }
});
