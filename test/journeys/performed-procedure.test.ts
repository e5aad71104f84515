/** A modality works through its list: worklist, MPPS N-CREATE, images, N-SET. dcmjs-dimse is the modality. */
import dimse from 'dcmjs-dimse';
import { afterAll, beforeAll, expect, test } from 'vitest';
import '../../src/simulator/silence-dicom-library.ts';
import { eventually } from '../support/gateway.ts';
import { anOrder, changeSettings, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

const mpps = '1.2.840.10008.3.1.2.3.3';
let journey: Journey;
beforeAll(async () => {
  // Only the modality's word can complete a scan within this test.
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '300' });
  await changeSettings(journey.gateway, 'PACS', { allow_worklist: true });
});
afterAll(() => journey?.stop());

function send(request: any, elements?: Record<string, unknown>): Promise<any[]> {
  if (elements) request.setDataset(new dimse.Dataset(elements as never));
  return new Promise((resolve, reject) => {
    const client = new dimse.Client();
    const responses: any[] = [];
    request.on('response', (response: any) => { responses.push(response); });
    client.on('networkError', reject);
    client.on('closed', () => { resolve(responses); });
    client.addRequest(request);
    client.send('127.0.0.1', journey.gateway.ports.dicom!, 'CT1', 'MEDSCAN', {});
  });
}
const worklist = async (accessionNumber: string): Promise<any[]> => (await send(dimse.requests.CFindRequest.createWorklistFindRequest({
  AccessionNumber: accessionNumber, PatientName: '', StudyInstanceUID: '', RequestedProcedureID: '', ScheduledProcedureStepSequence: [{ Modality: 'CT', ScheduledStationAETitle: '', ScheduledProcedureStepID: '' }],
} as never))).filter((response) => response.hasDataset()).map((response) => response.getDataset().getElements());
const begin = async (uid: string, scheduled: { studyInstanceUid: string; accessionNumber: string; patientId?: string }): Promise<number> => (await send(new dimse.requests.NCreateRequest(mpps, uid), {
  PerformedProcedureStepStatus: 'IN PROGRESS', PerformedStationAETitle: 'CT1', PatientID: scheduled.patientId ?? '', Modality: 'CT', ScheduledStepAttributesSequence: [{ StudyInstanceUID: scheduled.studyInstanceUid, AccessionNumber: scheduled.accessionNumber }],
}))[0].getStatus();
const finish = async (uid: string, status: string, instances: readonly { sopClassUid: string; sopInstanceUid: string }[] = []): Promise<number> => (await send(new dimse.requests.NSetRequest(mpps, uid), {
  PerformedProcedureStepStatus: status,
  PerformedSeriesSequence: [{ SeriesInstanceUID: '1.2.3', ReferencedImageSequence: instances.map((one) => ({ ReferencedSOPClassUID: one.sopClassUid, ReferencedSOPInstanceUID: one.sopInstanceUid })) }],
}))[0].getStatus();
const scanByAccession = async (accession: string) => (await journey.gateway.db.asOwner<Record<string, unknown>>('SELECT s.*, q.why_waiting FROM scans s JOIN scan_queue q USING (organization_id, scan_id) WHERE accession_number = $1', [accession]))[0]!;

test('in progress takes the item off the worklist; completed completes the scan when all that was listed is here, and not before', async () => {
  const { hospital, gateway } = journey;
  const patient = somebody(), order = anOrder();
  expect((await hospital.ris.order(patient, order)).code).toBe('AA');
  const [item] = await worklist(order.accessionNumber);
  expect(item).toMatchObject({ AccessionNumber: order.accessionNumber });
  const study = smallStudy({ patient, accessionNumber: order.accessionNumber });

  expect(await begin('1.2.3.201', { studyInstanceUid: study.studyInstanceUid, accessionNumber: order.accessionNumber, patientId: patient.patientId })).toBe(0);
  expect(await scanByAccession(order.accessionNumber)).toMatchObject({ status: 'in_progress', study_instance_uid: study.studyInstanceUid, why_waiting: expect.stringContaining('has begun') });
  expect(await worklist(order.accessionNumber)).toEqual([]);

  expect((await hospital.pacs.store(study.objects.slice(0, 5))).every((answer) => answer.status === 0)).toBe(true);
  expect(await finish('1.2.3.201', 'COMPLETED', study.objects)).toBe(0);
  await eventually(async () => (await scanByAccession(order.accessionNumber))['expected_instances'] === 8);
  await eventually(async () => String((await scanByAccession(order.accessionNumber))['why_waiting']).includes('3 of 8'));
  expect((await scanOf(gateway, study.studyInstanceUid)).images_complete_at).toBeNull();

  expect((await hospital.pacs.store(study.objects.slice(5))).every((answer) => answer.status === 0)).toBe(true);
  const scan = await eventually(async () => { const row = await scanOf(gateway, study.studyInstanceUid); return row.images_complete_at !== null && row; });
  expect(scan).toMatchObject({ status: 'completed', completeness_proof: 'mpps', completion_run: 1, instance_count: 8, accession_number: order.accessionNumber });

  const rows = await eventually(async () => {
    const found = await exchanges(gateway, "control_id = '1.2.3.201'");
    return found.length === 2 && found.every((row) => row.answer_code === '0000') && found;
  });
  expect(rows.map((row) => row.interaction)).toEqual(['N-CREATE MPPS', 'N-SET MPPS']);
  await expectAudited(gateway, rows);
});

test('images that came before the modality said it was done complete the scan at once, also without an order', async () => {
  const { hospital, gateway } = journey;
  const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-MPPS-2' });
  expect(await begin('1.2.3.202', { studyInstanceUid: study.studyInstanceUid, accessionNumber: '' })).toBe(0);
  expect((await hospital.pacs.store(study.objects)).every((answer) => answer.status === 0)).toBe(true);
  expect(await finish('1.2.3.202', 'COMPLETED', study.objects)).toBe(0);
  await eventually(async () => (await scanOf(gateway, study.studyInstanceUid)).completeness_proof === 'mpps');
});

test('an examination that was stopped before it made an image is on the worklist again', async () => {
  const order = anOrder();
  expect((await journey.hospital.ris.order(somebody(), order)).code).toBe('AA');
  const [item] = await worklist(order.accessionNumber);
  expect(await begin('1.2.3.203', { studyInstanceUid: item.StudyInstanceUID, accessionNumber: order.accessionNumber })).toBe(0);
  expect(await worklist(order.accessionNumber)).toEqual([]);
  expect(await finish('1.2.3.203', 'DISCONTINUED')).toBe(0);
  expect(await worklist(order.accessionNumber)).toMatchObject([{ StudyInstanceUID: item.StudyInstanceUID }]);
});

test('a study that a worklist item named keeps what its images say of it', async () => {
  const { hospital, gateway } = journey;
  const patient = somebody(), order = anOrder();
  expect((await hospital.ris.order(patient, order)).code).toBe('AA');
  const study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  expect(await begin('1.2.3.204', { studyInstanceUid: study.studyInstanceUid, accessionNumber: order.accessionNumber })).toBe(0);
  expect((await hospital.pacs.store(study.objects)).every((answer) => answer.status === 0)).toBe(true);
  const [scan] = await gateway.db.asOwner<{ study_at: Date | null; study_description: string | null }>('SELECT study_at, study_description FROM scans WHERE study_instance_uid = $1', [study.studyInstanceUid]);
  expect(scan).toMatchObject({ study_at: expect.any(Date), study_description: expect.any(String) });
});

test('a step that names another patient does not touch the order, whatever accession number it gives', async () => {
  const order = anOrder();
  expect((await journey.hospital.ris.order(somebody(), order)).code).toBe('AA');
  expect(await begin('1.2.3.206', { studyInstanceUid: '1.2.3.77', accessionNumber: order.accessionNumber, patientId: 'SOMEBODY-ELSE' })).toBe(0);
  expect(await scanByAccession(order.accessionNumber)).toMatchObject({ status: 'scheduled', study_instance_uid: null });
});

test('a step can be created once, changed only by who created it and only until it is final', async () => {
  expect(await begin('1.2.3.205', { studyInstanceUid: '1.2.3.4', accessionNumber: '' })).toBe(0);
  expect(await begin('1.2.3.205', { studyInstanceUid: '1.2.3.4', accessionNumber: '' })).toBe(0x0111);
  expect(await finish('1.2.3.299', 'COMPLETED')).toBe(0x0112);
  expect(await finish('1.2.3.205', 'FINISHED')).toBe(0x0106);
  expect(await finish('1.2.3.205', 'DISCONTINUED')).toBe(0);
  expect(await finish('1.2.3.205', 'COMPLETED')).toBe(0x0110);
});
