/** A person decides, an order is cancelled, a model is missing, images cannot be read: the gateway says what it does not do, and why. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { answered, anOrder, apiClient, delivered, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type ApiAnswer, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';

let journey: Journey;
let technician: (method: string, path: string, body?: unknown) => Promise<ApiAnswer>;
beforeAll(async () => {
  // No quiet time ends by itself here: every scan is completed by a person.
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '600' });
  technician = await apiClient(journey.gateway, 'Sample Hospital', 'technician');
});
afterAll(() => journey?.stop());

const forceComplete = async (scanId: string): Promise<ApiAnswer> => technician('POST', `/api/v1/scans/${scanId}/force-complete`);
const alerts = (kind: string, subject: string) => journey.gateway.db.asOwner<{ message: string; subject: string }>('SELECT message, subject FROM system_alerts WHERE kind = $1 AND subject LIKE $2 AND resolved_at IS NULL', [kind, subject]);
const analysesOf = (scanId: string) => journey.gateway.db.asOwner<{ analysis_id: string; status: string; error_class: string | null; error_text: string | null; attempt: number }>('SELECT * FROM ai_analyses WHERE scan_id = $1', [scanId]);
const reportsOf = (scanId: string) => journey.gateway.db.asOwner('SELECT FROM reports WHERE scan_id = $1', [scanId]);

test('force-complete by a technician\'s token starts the analysis at once; a physician\'s token may not', async () => {
  const { gateway, hospital: { pacs } } = journey;
  const study = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber });
  await pacs.store(study.objects);
  const scan = await scanOf(gateway, study.studyInstanceUid);
  const physician = await apiClient(gateway, 'Sample Hospital', 'physician');
  expect((await physician('POST', `/api/v1/scans/${scan.scan_id}/force-complete`)).status).toBe(403);
  expect((await forceComplete(scan.scan_id)).status).toBe(202);
  await delivered(gateway, study.studyInstanceUid);
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ completeness_proof: 'forced', status: 'completed' });
  expect((await forceComplete(scan.scan_id)).status, 'complete already').toBe(409);
  const [audit] = await gateway.db.asOwner<{ actor_kind: string; actor_role: string; detail: object }>("SELECT actor_kind, actor_role, detail FROM audit_logs WHERE object_type = 'scan' AND object_id = $1 AND detail->>'completeness_proof' = 'forced'", [scan.scan_id]);
  expect(audit).toMatchObject({ actor_kind: 'application', actor_role: 'technician' });
  await expectRecord(scan.scan_id, study.objects.length, 3);
});

test('images of an order that was cancelled are kept, and nothing is analysed', async () => {
  const { gateway, hospital: { pacs, ris } } = journey;
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await ris.register(patient);
  await ris.order(patient, order);
  expect((await ris.order(patient, order, 'CA')).code).toBe('AA');
  await pacs.store(study.objects);
  const { scan_id: scanId } = await scanOf(gateway, study.studyInstanceUid);
  expect((await forceComplete(scanId)).status).toBe(202);
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ status: 'cancelled', order_status: 'cancelled', queue_status: 'cancelled', instance_count: study.objects.length, why_waiting: expect.stringContaining('cancelled') });
  expect([await analysesOf(scanId), await reportsOf(scanId)]).toEqual([[], []]);
  await expectRecord(scanId, study.objects.length + 2, 0);
});

test('images that cannot be read make a failed analysis with the reason in words, an alert, and no report', async () => {
  const { gateway, hospital: { pacs } } = journey;
  const study = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber });
  // The header promises 80 x 80 values of 16 bits; the element holds less than half of them.
  const objects = study.objects.map((object) => ({ ...object, dataset: withShortPixelData(object.dataset) }));
  expect((await pacs.store(objects)).map((answer) => answer.status)).toEqual(objects.map(() => 0));
  const { scan_id: scanId } = await scanOf(gateway, study.studyInstanceUid);
  await forceComplete(scanId);
  const [analysis] = await eventually(async () => { const rows = await analysesOf(scanId); return rows[0]?.status === 'failed' && rows; });
  expect(analysis).toMatchObject({ error_class: 'input', attempt: 1, error_text: expect.stringMatching(/\w+ \w+ \w+/) });
  expect(analysis!.error_text).not.toContain('Whitfield');
  expect(await alerts('analysis_failed', `analysis ${analysis!.analysis_id}`)).toMatchObject([{ message: analysis!.error_text }]);
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ queue_status: 'paused', why_waiting: `The analysis failed: ${analysis!.error_text}` });
  await eventually(async () => (await gateway.db.asOwner("SELECT FROM pgboss.job WHERE name = 'report' AND data->>'scanId' = $1 AND state = 'completed'", [scanId])).length === 1);
  expect(await reportsOf(scanId)).toEqual([]);
  expect(await gateway.db.asOwner("SELECT FROM audit_logs WHERE object_type = 'ai_analysis' AND object_id = $1 AND outcome = 'serious_failure'", [analysis!.analysis_id])).toHaveLength(1);
  await expectRecord(scanId, objects.length, 0);
});

test('a rule that names a model which is not installed raises an alert, and the queue says what is missing', async () => {
  const { gateway, hospital: { pacs } } = journey;
  await gateway.db.asOwner("UPDATE ai_models SET status = 'retired'");
  try {
    const study = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber });
    await pacs.store(study.objects);
    const { scan_id: scanId } = await scanOf(gateway, study.studyInstanceUid);
    expect((await forceComplete(scanId)).status).toBe(202);
    expect(await analysesOf(scanId)).toEqual([]);
    expect(await alerts('analysis_failed', 'model medscan-blob-detector')).toHaveLength(1);
    expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ queue_status: 'paused', why_waiting: expect.stringContaining('medscan-blob-detector') });
    await expectRecord(scanId, study.objects.length, 0);
  } finally {
    await gateway.db.asOwner("UPDATE ai_models SET status = 'active'");
  }
});

/** (7FE0,0010) OW is the last element: its length (4 bytes before the value) and the value are cut. */
function withShortPixelData(dataset: Buffer): Buffer {
  const at = dataset.indexOf(Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x57, 0, 0]));
  const header = Buffer.from(dataset.subarray(0, at + 12));
  header.writeUInt32LE(6_000, at + 8);
  return Buffer.concat([header, dataset.subarray(at + 12, at + 12 + 6_000)]);
}

async function expectRecord(scanId: string, inbound: number, outbound: number): Promise<void> {
  const rows = await answered(journey.gateway, "scan_id = $1 AND direction = 'inbound'", [scanId]);
  expect(rows.map((row) => row.message_status)).toEqual(Array(inbound).fill('accepted'));
  const sent = await exchanges(journey.gateway, "scan_id = $1 AND direction = 'outbound'", [scanId]);
  expect(sent).toHaveLength(outbound);
  await expectAudited(journey.gateway, [...rows, ...sent]);
}
