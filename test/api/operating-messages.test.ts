/** What a person does with messages, over the API, on a whole gateway with its hospital: look, pause, send again, give up, receive again. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { buryJob } from '../../src/pipeline/dead-jobs.ts';
import { eventually } from '../support/gateway.ts';
import { anOrder, apiClient, changeSettings, exchanges, request, scanOf, smallStudy, somebody, startJourney, type ApiAnswer, type Journey } from '../support/journey.ts';
import { MllpSender } from '../support/mllp-sender.ts';

let journey: Journey;
let api: (method: string, path: string, body?: unknown) => Promise<ApiAnswer>;
let ris: MllpSender;
const owner = <Row extends Record<string, unknown> = Record<string, any>>(text: string, values: unknown[] = []) => journey.gateway.db.asOwner<Row>(text, values);
const idOf = (name: string): string => journey.seeded.integrations[name as keyof typeof journey.seeded.integrations]!;

beforeAll(async () => {
  // Between a failure and its next try lies so long that only a person can be what starts it.
  journey = await startJourney({ MEDSCAN_RETRY_SECONDS: '300' });
  api = async (method, path, body) => client(method, `/api/v1${path}`, body);
  const client = await apiClient(journey.gateway, 'Sample Hospital', 'integrator');
  ris = await MllpSender.connect(journey.gateway.ports.hl7!);
});
afterAll(async () => { ris?.close(); await journey?.stop(); });

async function ok(method: string, path: string, body?: unknown): Promise<any> {
  const answer = await api(method, path, body);
  expect(answer.status, `${method} ${path}: ${answer.text}`).toBeLessThan(300);
  return answer.body;
}
const adt = (controlId: string, patientId: string, processingId = 'P'): string => `MSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260105100000||ADT^A08|${controlId}|${processingId}|2.5.1\rEVN||20260105100000\rPID|1||${patientId}^^^NORTH^MR~77${patientId}^^^SSA^SS||Again^Try^M||19800517|F\r`;
const send = async (text: string): Promise<string> => /MSA\|\w\w\|[^|\r]*/.exec(await ris.send(text))![0];
const recorded = async (controlId: string) => (await exchanges(journey.gateway, 'l.control_id = $1', [controlId]));

async function studyThatTheEmrRefuses(times = 1, mode: '422' | '503' = '422'): Promise<Record<string, any>> {
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await journey.hospital.ris.register(patient);
  await journey.hospital.emr.behaviour.set(mode, times);
  await journey.hospital.pacs.store(study.objects);
  const { scan_id: scanId } = await scanOf(journey.gateway, study.studyInstanceUid);
  return eventually(async () => (await owner("SELECT d.*, r.scan_id FROM deliveries d JOIN reports r USING (organization_id, report_id) WHERE r.scan_id = $1 AND d.integration_id = $2 AND d.last_outcome IS NOT NULL AND d.status IN ('refused', 'queued')", [scanId, idOf('EMR')]))[0]);
}

test('a message is shown with its pieces, what it made, and the mapping field by field', async () => {
  expect(await send(adt('SHOWN', 'V-1'))).toBe('MSA|AA|SHOWN');
  const [exchange] = await recorded('SHOWN');
  const view = await ok('GET', `/sync-logs/${exchange!.sync_id}/view`);
  expect(view).toMatchObject({ format: 'hl7v2', is_cut: false, text: expect.stringContaining('PID|1||V-1^^^NORTH^MR') });
  expect(view.lines).toContainEqual({ depth: 0, location: 'PID', name: 'Patient identification', value: null });
  expect(view.lines).toContainEqual({ depth: 2, location: 'PID-3[1].4', name: 'assigning authority', value: 'NORTH' });
  expect(view.lines).toContainEqual({ depth: 1, location: 'PID-7', name: 'Date/time of birth', value: '19800517' });
  expect(view.rows).toContainEqual({ table: 'patients', id: exchange!.patient_id, label: 'V-1' });
  expect(view.mapping[0].trace).toContainEqual(expect.objectContaining({ target: 'patients.family_name', outcome: 'mapped', value: 'Again' }));
  const answer = await eventually(async () => { const found = await api('GET', `/sync-logs/${exchange!.sync_id}`); return found.body.answer_status === 'answered' && found.body; });
  expect(answer.answer_code).toBe('AA');
  expect(await owner("SELECT actor_kind, patient_id FROM audit_logs WHERE sync_id = $1 AND detail @> '{\"view\": true}'", [exchange!.sync_id])).toEqual([{ actor_kind: 'application', patient_id: exchange!.patient_id }]);
});

test('an image is shown by its tags, without its pixels', async () => {
  const patient = somebody(), study = smallStudy({ patient, accessionNumber: 'VIEW-1' });
  await journey.hospital.pacs.store(study.objects.slice(0, 1));
  const [exchange] = await exchanges(journey.gateway, "l.interaction = 'C-STORE' AND l.direction = 'inbound' AND l.scan_id = (SELECT scan_id FROM scans WHERE study_instance_uid = $1)", [study.studyInstanceUid]);
  const view = await ok('GET', `/sync-logs/${exchange!.sync_id}/view`);
  expect(view).toMatchObject({ format: 'dicom', text: null });
  expect(view.lines).toContainEqual({ depth: 0, location: '(0010,0020)', name: 'Patient ID', value: patient.patientId });
  expect(view.lines.map((line: { location: string }) => line.location)).not.toContain('(7FE0,0010)');
  expect(view.mapping[0].trace).toContainEqual(expect.objectContaining({ target: 'scans.accession_number', value: 'VIEW-1' }));
  expect(view.rows.map((row: { table: string }) => row.table)).toEqual(expect.arrayContaining(['patients', 'scans', 'scan_files']));
});

test('a message is found by a patient number, a control id, or a part of what is on record', async () => {
  expect(await send(adt('FIND-ME', 'V-2'))).toBe('MSA|AA|FIND-ME');
  const [exchange] = await recorded('FIND-ME');
  for (const text of ['V-2', 'FIND-ME', 'find-m']) expect((await ok('POST', '/sync-logs/search', { text })).items.map((item: { sync_id: string }) => item.sync_id), text).toEqual([exchange!.sync_id]);
  expect((await ok('POST', '/sync-logs/search', { text: 'V-2', direction: 'outbound' })).items).toEqual([]);
  expect((await ok('GET', '/sync-logs?adapter=hl7v2-mllp&control_id=FIND-ME')).items).toHaveLength(1);
  expect((await ok('POST', '/sync-logs/search', { text: '100%_' })).items).toEqual([]);
});

test('while receiving is paused a sender hears "not now" and nothing is kept; resumed, it is taken', async () => {
  const paused = await ok('PUT', `/integrations/${idOf('RIS')}/pause`, { receive: true });
  expect(paused).toMatchObject({ receive_paused_at: expect.any(String), deliver_paused_at: null, is_enabled: true });
  expect(await send(adt('HELD', 'V-3'))).toBe('MSA|AE|HELD');
  expect(await recorded('HELD')).toEqual([]);
  expect(await owner("SELECT FROM patients WHERE patient_number = 'V-3'")).toEqual([]);
  expect((await ok('PUT', `/integrations/${idOf('RIS')}/pause`, { receive: true })).receive_paused_at, 'paused twice keeps its time').toBe(paused.receive_paused_at);
  expect((await ok('PUT', `/integrations/${idOf('RIS')}/pause`, { receive: false })).receive_paused_at).toBeNull();
  expect(await send(adt('HELD', 'V-3'))).toBe('MSA|AA|HELD');
  expect((await api('PUT', `/integrations/${idOf('RIS')}/pause`, {})).status).toBe(422);
  expect(await owner("SELECT detail->>'receive_paused' AS paused FROM audit_logs WHERE object_id = $1 AND detail ? 'receive_paused' ORDER BY sequence", [idOf('RIS')])).toEqual([{ paused: 'true' }, { paused: 'true' }, { paused: 'false' }]);
});

test('a FHIR client of a paused system hears 503', async () => {
  const { token } = await createApiToken(journey.gateway.db.database, { organizationName: 'Sample Hospital', role: 'service', name: 'EMR sender' });
  const create = () => request(journey.gateway, 'POST', '/fhir/r4/Patient', { authorization: `Bearer ${token}` }, { resourceType: 'Patient', identifier: [{ system: 'urn:oid:1.3.6.1.4.1.5962.99.1.1', value: 'V-9' }], name: [{ family: 'Held' }] });
  await ok('PUT', `/integrations/${idOf('EMR')}/pause`, { receive: true });
  const held = await create();
  expect([held.status, held.body.resourceType]).toEqual([503, 'OperationOutcome']);
  expect(held.text).toContain('paused');
  await ok('PUT', `/integrations/${idOf('EMR')}/pause`, { receive: false });
  expect((await create()).status).toBe(201);
});

test('an image of a paused system is not kept, and its file does not stay', async () => {
  await ok('PUT', `/integrations/${idOf('PACS')}/pause`, { receive: true });
  const study = smallStudy({ patient: somebody(), accessionNumber: 'PAUSED-1' });
  const results = await journey.hospital.pacs.store(study.objects.slice(0, 1)).catch((error: unknown) => String(error));
  expect(JSON.stringify(results)).toMatch(/a700|42752|A700/i);
  expect(await owner('SELECT FROM scans WHERE study_instance_uid = $1', [study.studyInstanceUid])).toEqual([]);
  await ok('PUT', `/integrations/${idOf('PACS')}/pause`, { receive: false });
});

test('while delivering is paused reports wait; resumed, they leave at once', async () => {
  await ok('PUT', `/integrations/${idOf('EMR')}/pause`, { deliver: true });
  const study = smallStudy({ patient: somebody(), accessionNumber: 'WAITS-1' });
  await journey.hospital.pacs.store(study.objects);
  const { scan_id: scanId } = await scanOf(journey.gateway, study.studyInstanceUid);
  const statusOf = async () => Object.fromEntries((await owner('SELECT i.name, d.status FROM deliveries d JOIN external_integrations i USING (organization_id, integration_id) JOIN reports r USING (organization_id, report_id) WHERE r.scan_id = $1', [scanId])).map(({ name, status }) => [name, status]));
  await eventually(async () => { const statuses = await statusOf(); return statuses['RIS'] === 'delivered' && statuses['PACS'] === 'delivered'; });
  expect(await statusOf()).toMatchObject({ EMR: 'queued' });
  expect((await ok('GET', `/deliveries?scan_id=${scanId}&status=queued`)).items).toMatchObject([{ integration_name: 'EMR', attempts: 0 }]);
  await ok('PUT', `/integrations/${idOf('EMR')}/pause`, { deliver: false });
  await eventually(async () => (await statusOf())['EMR'] === 'delivered', 4_000);
});

test('a parked report is sent again at once, although the destination waits for the next try of another', async () => {
  const parked = await studyThatTheEmrRefuses();
  expect(parked['status']).toBe('refused');
  expect((await ok('GET', '/deliveries?status=refused')).items.map((item: { delivery_id: string }) => item.delivery_id)).toEqual([parked['delivery_id']]);
  const waiting = await studyThatTheEmrRefuses(1, '503');
  expect(waiting).toMatchObject({ status: 'queued', last_outcome: 'unreachable' });
  await ok('POST', `/deliveries/${parked['delivery_id']}/resend`);
  await eventually(async () => (await owner('SELECT status FROM deliveries WHERE delivery_id = $1', [parked['delivery_id']]))[0]!['status'] === 'delivered', 5_000);
  expect((await owner("SELECT resolved_at IS NOT NULL AS ended FROM system_alerts WHERE kind = 'delivery_refused' AND subject = $1", [`delivery ${parked['delivery_id']}`]))).toEqual([{ ended: true }]);
  expect((await api('POST', `/deliveries/${parked['delivery_id']}/resend`)).body.detail).toContain('delivered already');
  expect((await owner('SELECT status FROM deliveries WHERE delivery_id = $1', [waiting['delivery_id']]))[0], 'the other still waits for its time').toEqual({ status: 'queued' });
  await ok('POST', `/deliveries/${waiting['delivery_id']}/resend`);
  await eventually(async () => (await owner('SELECT status FROM deliveries WHERE delivery_id = $1', [waiting['delivery_id']]))[0]!['status'] === 'delivered', 5_000);
});

test('a parked report is given up with a reason, which is in the audit log; all others are sent again together', async () => {
  const given = await studyThatTheEmrRefuses(), sent = await studyThatTheEmrRefuses();
  expect((await api('POST', `/deliveries/${given['delivery_id']}/discard`, { reason: '' })).status).toBe(422);
  expect(await ok('POST', `/deliveries/${given['delivery_id']}/discard`, { reason: 'handed over on paper' })).toMatchObject({ status: 'skipped', last_text: 'handed over on paper' });
  expect(await owner("SELECT action, detail->>'reason' AS reason FROM audit_logs WHERE object_type = 'delivery' AND object_id = $1 AND action = 'D'", [given['delivery_id']])).toEqual([{ action: 'D', reason: 'handed over on paper' }]);
  expect((await api('POST', `/deliveries/${given['delivery_id']}/discard`, { reason: 'once more' })).status).toBe(409);
  expect(await ok('POST', '/deliveries/resend', { integration_id: idOf('EMR') })).toEqual({ resent: [sent['delivery_id']], left_out: [] });
  await eventually(async () => (await owner('SELECT status FROM deliveries WHERE delivery_id = $1', [sent['delivery_id']]))[0]!['status'] === 'delivered', 5_000);
});

test('an old version is not sent over a newer one', async () => {
  const parked = await studyThatTheEmrRefuses();
  await owner(`WITH newer AS (INSERT INTO reports (organization_id, lineage_id, version, scan_id, status, findings_text, impression, author_kind, author_name, document)
    SELECT organization_id, lineage_id, version + 1, scan_id, 'amended', 'x', 'x', 'device', 'x', document FROM reports WHERE report_id = $1 RETURNING organization_id, report_id)
    INSERT INTO deliveries (organization_id, integration_id, report_id, status) SELECT organization_id, $2, report_id, 'delivered' FROM newer`, [parked['report_id'], idOf('EMR')]);
  expect((await api('POST', `/deliveries/${parked['delivery_id']}/resend`)).body.detail).toContain('has version 2 of this report');
  expect((await ok('POST', '/deliveries/resend', {})).left_out).toMatchObject([{ delivery_id: parked['delivery_id'] }]);
  await ok('POST', `/deliveries/${parked['delivery_id']}/discard`, { reason: 'version 2 is there' });
});

test('refused messages are counted, confirmed and received again in order, each with its outcome', async () => {
  await changeSettings(journey.gateway, 'RIS', { processing_ids: ['P'] });
  for (const controlId of ['MANY-1', 'MANY-2', 'MANY-3']) expect(await send(adt(controlId, `M-${controlId}`, 'T'))).toBe(`MSA|AR|${controlId}`);
  const filter = { message_status: 'rejected', integration_id: idOf('RIS'), error_text: 'processing id' };
  const count = await ok('POST', '/message-replays/count', filter);
  expect(count.messages).toBe(3);
  expect((await api('POST', '/message-replays', { filter, expected: 2 })).body.detail).toContain('3 messages match now, not 2');
  const tooEarly = await ok('POST', '/message-replays', { filter, expected: 3 });
  await eventually(async () => (await ok('GET', `/message-replays/${tooEarly.replay_id}`)).rejected === 3);
  expect((await ok('POST', '/message-replays/count', filter)).messages, 'a try that was too early does not make them more').toBe(3);
  await changeSettings(journey.gateway, 'RIS', { processing_ids: ['P', 'T'] });
  const begun = await ok('POST', '/message-replays', { filter, expected: 3 });
  const done = await eventually(async () => { const replay = await ok('GET', `/message-replays/${begun.replay_id}`); return replay.status === 'finished' && replay; });
  expect(done).toMatchObject({ message_count: 3, done: 3, accepted: 3, rejected: 0 });
  const { items } = await ok('GET', `/message-replays/${begun.replay_id}/messages`);
  expect(items.map((item: { control_id: string; outcome: string }) => [item.control_id, item.outcome])).toEqual([['MANY-3', 'accepted'], ['MANY-2', 'accepted'], ['MANY-1', 'accepted']]);
  expect((await ok('GET', `/sync-logs/${items[0].replayed_as[0]}`)).correlation_id).toBe(items[0].sync_id);
  expect((await ok('POST', '/message-replays/count', filter)).messages, 'what was brought in is not counted again').toBe(0);
  expect((await api('POST', '/message-replays', { filter, expected: 3 })).status).toBe(409);
  expect((await api('POST', `/message-replays/${begun.replay_id}/cancel`)).body.detail).toBe('It is finished already.');
  expect((await owner('SELECT finished_at FROM message_replay_items WHERE replay_id = $1 ORDER BY sync_id', [begun.replay_id])).map(({ finished_at: at }) => Number(at)), 'in the order of arrival').toEqual((await owner('SELECT finished_at FROM message_replay_items WHERE replay_id = $1 ORDER BY finished_at', [begun.replay_id])).map(({ finished_at: at }) => Number(at)));
});

test('an image that was refused is received again from its file', async () => {
  const study = smallStudy({ patient: somebody(), accessionNumber: 'IMAGE-1' });
  await journey.hospital.pacs.store(study.objects.slice(0, 1));
  const [exchange] = await exchanges(journey.gateway, "l.interaction = 'C-STORE' AND l.direction = 'inbound' AND l.scan_id = (SELECT scan_id FROM scans WHERE study_instance_uid = $1)", [study.studyInstanceUid]);
  await eventually(async () => (await owner('SELECT FROM scans WHERE scan_id = $1 AND images_complete_at IS NOT NULL', [exchange!.scan_id])).length === 1);
  // As if a mapping had refused it: its file is there, its rows are not.
  await owner("UPDATE sync_logs SET message_status = 'rejected', scan_id = NULL WHERE sync_id = $1", [exchange!.sync_id]);
  await owner('DELETE FROM scan_files WHERE scan_id = $1', [exchange!.scan_id]);
  const { replays } = await ok('POST', `/sync-logs/${exchange!.sync_id}/replay`);
  expect(replays).toMatchObject([{ outcome: 'accepted' }]);
  const [file] = await owner("SELECT 'store:' || storage_location AS location, sha256, source_sync_id FROM scan_files WHERE scan_id = $1", [exchange!.scan_id]);
  expect(file).toEqual({ location: exchange!.payload_location, sha256: (await owner('SELECT sha256 FROM sync_logs WHERE sync_id = $1', [exchange!.sync_id]))[0]!['sha256'], source_sync_id: replays[0].sync_id });
  expect((await ok('POST', `/sync-logs/${exchange!.sync_id}/replay`)).replays).toMatchObject([{ outcome: 'duplicate' }]);
});

test('a job that failed for good waits for a person, who has it tried again or gives it up', async () => {
  const { gateway, seeded } = journey;
  const bury = (id: string): Promise<void> => buryJob({ database: gateway.db.database, boss: gateway.boss, now: () => new Date() }, { id, data: { organizationId: seeded.organizationId, integrationId: idOf('EMR') }, sourceName: 'deliver', sourceOutput: { name: 'TypeError', message: 'a name of somebody' } });
  await bury('0199a000-0000-7000-8000-000000000001');
  await bury('0199a000-0000-7000-8000-000000000001');
  await bury('0199a000-0000-7000-8000-000000000002');
  const { items } = await ok('GET', '/dead-jobs');
  expect(items).toMatchObject([{ queue_name: 'deliver', error_text: 'TypeError', integration_name: 'EMR', status: 'open' }, { status: 'open' }]);
  expect(await ok('POST', `/dead-jobs/${items[1].dead_job_id}/retry`)).toMatchObject({ status: 'retried', decided_by: expect.any(String) });
  expect((await api('POST', `/dead-jobs/${items[1].dead_job_id}/retry`)).status).toBe(409);
  expect(await ok('POST', `/dead-jobs/${items[0].dead_job_id}/discard`, { reason: 'the maintenance round did it' })).toMatchObject({ status: 'discarded', reason: 'the maintenance round did it' });
  expect((await ok('GET', '/dead-jobs')).items).toEqual([]);
  expect(await owner("SELECT FROM system_alerts WHERE kind = 'job_dead' AND resolved_at IS NULL")).toEqual([]);
});

test('a job of a queue that earlier versions had is tried again by the queue that has its work now, or refused with the reason', async () => {
  const { gateway, seeded } = journey;
  const bury = (id: string, sourceName: string, more: object): Promise<void> => buryJob({ database: gateway.db.database, boss: gateway.boss, now: () => new Date() }, { id, data: { organizationId: seeded.organizationId, ...more }, sourceName });
  const [told, lost] = ['0199a000-0000-7000-8000-000000000003', '0199a000-0000-7000-8000-000000000004'] as const;
  await bury(told, 'tell-order-status', { integrationId: idOf('EMR') });
  await bury(lost, 'no-such-queue', {});
  expect(await ok('POST', `/dead-jobs/${told}/retry`)).toMatchObject({ status: 'retried' });
  expect(await owner('SELECT FROM pgboss.job WHERE name = $1', ['tell-order-status'])).toEqual([]);
  expect(await api('POST', `/dead-jobs/${lost}/retry`)).toMatchObject({ status: 409, body: { detail: expect.stringContaining('has no queue no-such-queue') as string } });
  expect(await ok('POST', `/dead-jobs/${lost}/discard`, { reason: 'of an earlier version' })).toMatchObject({ status: 'discarded' });
});

test('a job that names nothing but its work is tried again also while another one of its queue waits', async () => {
  const { gateway, seeded } = journey, deadJobId = '0199a000-0000-7000-8000-000000000005', periodStart = '2026-03-02T00:00:00.000Z';
  const job = { organizationId: seeded.organizationId, task: 'weekly-review', periodStart };
  await gateway.boss.send('maintenance', { ...job, periodStart: '2026-03-09T00:00:00.000Z' }, { startAfter: 3_600 });
  await buryJob({ database: gateway.db.database, boss: gateway.boss, now: () => new Date() }, { id: deadJobId, data: job, sourceName: 'maintenance' });
  expect(await ok('POST', `/dead-jobs/${deadJobId}/retry`)).toMatchObject({ status: 'retried' });
  await eventually(async () => (await owner('SELECT FROM maintenance_runs WHERE organization_id = $1 AND period_start = $2', [seeded.organizationId, periodStart])).length === 1);
});
