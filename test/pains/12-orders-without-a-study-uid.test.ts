/**
 * "StudyInstanceUID missing in HL7 order." Orders rarely carry it. Here the accession number links order, images and the report that comes back; where a
 * site wants it stricter the order is rejected with its place, and where the modality takes its numbers from the worklist a UID is generated.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anOrder, changeSettings, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { MllpSender } from '../support/mllp-sender.ts';

let journey: Journey;
beforeAll(async () => { journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '60' }); });
afterAll(() => journey?.stop());

test('by accession number: the order without a UID, the images that have one, and the report without one are one study', async () => {
  const { gateway, hospital: { ris, pacs } } = journey;
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  expect(order.studyInstanceUid).toBeUndefined();
  expect((await ris.order(patient, order)).code).toBe('AA');
  await pacs.store(study.objects);
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ accession_number: order.accessionNumber, placer_order_number: order.placerOrderNumber, order_status: 'ordered' });
  const sender = await MllpSender.connect(gateway.ports.hl7!);
  const report = [`MSH|^~\\&|RIS|NORTH|||20260105||ORU^R01|REP1|P|2.5.1`, `PID|1||${patient.patientId}^^^NORTH^MR`, `OBR|1||OTHER-1|X^CT^L||||||||||||||${order.accessionNumber}|||||||F`, 'OBX|1|TX|IMP||No nodule.||||||F', ''].join('\r');
  expect(await sender.send(report)).toContain('MSA|AA|REP1');
  sender.close();
  expect(await gateway.db.asOwner("SELECT FROM reports r JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = $1 AND r.author_kind = 'external'", [study.studyInstanceUid])).toHaveLength(1);
  expect(await gateway.db.asOwner('SELECT FROM scans WHERE accession_number = $1', [order.accessionNumber])).toHaveLength(1);
});

test('rejected: AE with the place, and no scan', async () => {
  const { gateway, hospital: { ris } } = journey;
  await changeSettings(gateway, 'RIS', { missing_study_instance_uid: 'reject' });
  const order = anOrder();
  const answer = await ris.order(somebody(), order);
  expect(answer.text).toMatch(/MSA\|AE\|.*\rERR\|\|IPC\^1\^3\|101\^/s);
  expect(await gateway.db.asOwner('SELECT FROM scans WHERE accession_number = $1', [order.accessionNumber])).toEqual([]);
  expect((await ris.order(somebody(), anOrder({ studyInstanceUid: '1.2.3.4' }))).code).toBe('AA');
});

test('generated: the modality that takes it from the order sends images of that study, and both are one', async () => {
  const { gateway, hospital: { ris, pacs } } = journey;
  await changeSettings(gateway, 'RIS', { missing_study_instance_uid: 'generate' });
  const patient = somebody(), order = anOrder();
  for (const control of ['NW', 'NW', 'XO'] as const) expect((await ris.order(patient, order, control)).code).toBe('AA');
  const [{ study_instance_uid: generated }] = await gateway.db.asOwner<{ study_instance_uid: string }>('SELECT study_instance_uid FROM scans WHERE accession_number = $1', [order.accessionNumber]) as [{ study_instance_uid: string }];
  expect(generated).toMatch(/^2\.25\.\d{10,39}$/);
  const study = smallStudy({ patient, accessionNumber: order.accessionNumber, studyInstanceUid: generated });
  await pacs.store(study.objects);
  expect(await scanOf(gateway, generated)).toMatchObject({ placer_order_number: order.placerOrderNumber, instance_count: study.objects.length });
});
