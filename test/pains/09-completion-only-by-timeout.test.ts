/**
 * "Clients can't signal that a series is complete, so we end up having to apply a timeout": here the timeout is the last resort. A modality's MPPS and a
 * person's word complete a study at once, although the quiet time is an hour.
 */
import dimse from 'dcmjs-dimse';
import { afterAll, beforeAll, expect, test } from 'vitest';
import '../../src/simulator/silence-dicom-library.ts';
import { eventually } from '../support/gateway.ts';
import { apiClient, changeSettings, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

let journey: Journey;
beforeAll(async () => {
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '3600' });
  await changeSettings(journey.gateway, 'PACS', { allow_worklist: true });
});
afterAll(() => journey?.stop());

const procedureStep = '1.2.840.10008.3.1.2.3.3';
function ask(request: dimse.requests.NCreateRequest | dimse.requests.NSetRequest, elements: Record<string, unknown>): Promise<number> {
  request.setDataset(new dimse.Dataset(elements as never));
  return new Promise((resolve, reject) => {
    const client = new dimse.Client();
    (request as unknown as { on(event: string, listener: (response: { getStatus(): number }) => void): void }).on('response', (response) => { resolve(response.getStatus()); });
    client.on('networkError', reject);
    client.addRequest(request);
    client.send('127.0.0.1', journey.gateway.ports.dicom!, 'CT1', 'MEDSCAN', {});
  });
}

test('the modality says by MPPS that it is done: the study is complete with its last image, in seconds', async () => {
  const study = smallStudy({ patient: somebody(), accessionNumber: 'PAIN-9-1' }), step = '1.2.826.0.1.3680043.10.99.91';
  const started = performance.now();
  expect(await ask(new dimse.requests.NCreateRequest(procedureStep, step), { PerformedProcedureStepStatus: 'IN PROGRESS', Modality: 'CT', ScheduledStepAttributesSequence: [{ StudyInstanceUID: study.studyInstanceUid, AccessionNumber: '' }] })).toBe(0);
  await journey.hospital.pacs.store(study.objects.slice(0, -1));
  expect(await ask(new dimse.requests.NSetRequest(procedureStep, step), {
    PerformedProcedureStepStatus: 'COMPLETED',
    PerformedSeriesSequence: [{ SeriesInstanceUID: study.seriesInstanceUid, ReferencedImageSequence: study.objects.map((one) => ({ ReferencedSOPClassUID: one.sopClassUid, ReferencedSOPInstanceUID: one.sopInstanceUid })) }],
  })).toBe(0);
  await eventually(async () => String((await scanOf(journey.gateway, study.studyInstanceUid)).why_waiting).includes('1 of 8'));
  expect((await scanOf(journey.gateway, study.studyInstanceUid)).images_complete_at, 'one image is missing').toBeNull();
  await journey.hospital.pacs.store(study.objects.slice(-1));
  await eventually(async () => (await scanOf(journey.gateway, study.studyInstanceUid)).completeness_proof === 'mpps');
  expect(performance.now() - started).toBeLessThan(60_000);
});

test('a person says that it is complete: it is', async () => {
  const study = smallStudy({ patient: somebody(), accessionNumber: 'PAIN-9-2' });
  await journey.hospital.pacs.store(study.objects);
  const { scan_id: scanId, images_complete_at: complete } = await scanOf(journey.gateway, study.studyInstanceUid);
  expect(complete).toBeNull();
  const [{ name }] = await journey.gateway.db.asOwner<{ name: string }>('SELECT o.name FROM organizations o JOIN scans s USING (organization_id) WHERE s.scan_id = $1', [scanId]) as [{ name: string }];
  const api = await apiClient(journey.gateway, name);
  expect((await api('POST', `/api/v1/scans/${scanId}/force-complete`)).status).toBe(202);
  await eventually(async () => (await scanOf(journey.gateway, study.studyInstanceUid)).images_complete_at !== null);
});
