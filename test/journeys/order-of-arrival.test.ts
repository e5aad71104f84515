/** Order before images, images before order, a corrected name, a merge: in whatever order things arrive, one patient has one scan with one order. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { answered, anOrder, delivered, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';
import { syntheticStudy } from '../../src/simulator/synthetic-study.ts';
import { generatePhantom } from '../../src/ai/phantom.ts';

let journey: Journey;
beforeAll(async () => { journey = await startJourney(); });
afterAll(() => journey?.stop());

test('images after the order join it: the scan that waited for them is the scan that is reported', async () => {
  const { gateway, hospital: { ris, pacs } } = journey;
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await ris.register(patient);
  await ris.order(patient, order);
  const [waiting] = await gateway.db.asOwner<{ scan_id: string; status: string; queue: string }>('SELECT s.scan_id, s.status, q.status AS queue FROM scans s JOIN scan_queue q USING (organization_id, scan_id) WHERE accession_number = $1', [order.accessionNumber]);
  expect(waiting).toMatchObject({ status: 'scheduled', queue: 'pending' });
  await pacs.store(study.objects);
  await delivered(gateway, study.studyInstanceUid);
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ scan_id: waiting!.scan_id, placer_order_number: order.placerOrderNumber, priority: 'stat', order_status: 'ordered' });
  await expectRecord(study.studyInstanceUid, ['ADT^A04', 'ORM^O01', ...study.objects.map(() => 'C-STORE')]);
});

test('an order after the images fills in what the images could not say, and makes no second scan', async () => {
  const { gateway, hospital: { ris, pacs } } = journey;
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await pacs.store(study.objects);
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ order_status: null, placer_order_number: null, priority: 'routine', accession_number: order.accessionNumber });
  await ris.order(patient, order);
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ order_status: 'ordered', placer_order_number: order.placerOrderNumber, priority: 'stat', instance_count: study.objects.length });
  await delivered(gateway, study.studyInstanceUid);
  expect(await gateway.db.asOwner('SELECT FROM scans WHERE accession_number = $1', [order.accessionNumber])).toHaveLength(1);
  const result = journey.hospital.ris.received.items.findLast((received) => received.text.includes(study.studyInstanceUid))!;
  expect(result.text).toContain(order.placerOrderNumber);
  await expectRecord(study.studyInstanceUid, ['ORM^O01', ...study.objects.map(() => 'C-STORE')]);
});

test('ADT^A08 after the images corrects the patient, and the next version of the report carries the corrected name to all three', async () => {
  const { gateway, hospital: { ris, pacs, emr } } = journey;
  const patient = somebody({ familyName: 'Mispelt' }), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await ris.register(patient);
  await ris.order(patient, order);
  await pacs.store(study.objects);
  const first = await delivered(gateway, study.studyInstanceUid);
  const corrected = { ...patient, familyName: 'Misspelt', birthDate: '19580411' };
  expect((await ris.register(corrected, 'A08')).code).toBe('AA');
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ family_name: 'Misspelt' });

  const late = lateImages(patient, order.accessionNumber, study);
  await pacs.store(late);
  const second = await delivered(gateway, study.studyInstanceUid, 2);
  expect(second.lineage_id).toBe(first.lineage_id);
  // The late images still say the old name: registration outranks an image.
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ family_name: 'Misspelt' });
  const result = ris.received.items.findLast((received) => received.text.includes(study.studyInstanceUid))!;
  expect(result.text).toContain('Misspelt^');
  expect(result.text).toContain('19580411');
  expect(pacs.received.items.at(-1)!.dataset.toString('latin1')).toContain('Misspelt^');
  const reports = emr.list('DiagnosticReport').filter((report) => JSON.stringify(report).includes(order.accessionNumber));
  expect(reports).toHaveLength(1);
  expect(reports[0]!['meta']).toMatchObject({ versionId: '2' });
  await expectRecord(study.studyInstanceUid, ['ADT^A04', 'ADT^A08', 'ORM^O01', ...study.objects.map(() => 'C-STORE'), ...late.map(() => 'C-STORE')], 6);
});

test('ADT^A40 moves scan, order and history to the survivor; late images under the old number still arrive there', async () => {
  const { gateway, hospital: { ris, pacs } } = journey;
  const prior = somebody(), survivor = somebody({ familyName: 'Survivor' }), order = anOrder(), study = smallStudy({ patient: prior, accessionNumber: order.accessionNumber });
  await ris.register(prior);
  await ris.register(survivor);
  await ris.order(prior, order);
  await pacs.store(study.objects);
  await delivered(gateway, study.studyInstanceUid);
  expect((await ris.merge(survivor, prior.patientId)).code).toBe('AA');
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ patient_number: survivor.patientId, family_name: 'Survivor' });
  const late = lateImages(prior, order.accessionNumber, study);
  await pacs.store(late);
  await delivered(gateway, study.studyInstanceUid, 2);
  const scan = await scanOf(gateway, study.studyInstanceUid);
  expect(scan).toMatchObject({ patient_number: survivor.patientId, instance_count: study.objects.length + late.length });
  expect(await gateway.db.asOwner("SELECT FROM scan_files WHERE scan_id = $1 AND status <> 'stored'", [scan.scan_id])).toEqual([]);
  expect(await gateway.db.asOwner('SELECT FROM patients WHERE merged_into_patient_id = $1', [scan.patient_id])).toHaveLength(1);
  const result = ris.received.items.findLast((received) => received.text.includes(study.studyInstanceUid))!;
  expect(result.text).toContain(`${survivor.patientId}^^^NORTH^MR`);
  // The merge again, under another control id: nothing moves a second time.
  expect((await ris.merge(survivor, prior.patientId)).code).toBe('AA');
  expect(await gateway.db.asOwner('SELECT FROM patient_merges WHERE survivor_patient_id = $1', [scan.patient_id])).toHaveLength(1);
  await expectRecord(study.studyInstanceUid, ['ADT^A04', 'ADT^A04', 'ADT^A40', 'ADT^A40', 'ORM^O01', ...study.objects.map(() => 'C-STORE'), ...late.map(() => 'C-STORE')], 6);
});

/** Two more images of the same series, above the others. */
function lateImages(patient: Parameters<typeof smallStudy>[0]['patient'], accessionNumber: string, study: ReturnType<typeof smallStudy>) {
  const phantom = generatePhantom({ seed: 24, slices: 10, rows: 80, columns: 80, sliceSpacingMillimetres: 5, vesselTreesPerLung: 0, lesions: [{ diameterMillimetres: 20, contrastHounsfield: 880, centre: [-90, 0, 17.5] }] });
  return syntheticStudy({ patient, accessionNumber, studyInstanceUid: study.studyInstanceUid, seriesInstanceUid: study.seriesInstanceUid, phantom }).objects.slice(8);
}

/** What came in about this study's patient or scan, all accepted and answered; what went out, delivered; every row audited. */
async function expectRecord(studyInstanceUid: string, inbound: readonly string[], deliveries = 3): Promise<void> {
  const { gateway } = journey;
  const scan = await scanOf(gateway, studyInstanceUid);
  const about = `(scan_id = $1 OR patient_id = $2 OR patient_id IN (SELECT patient_id FROM patients WHERE merged_into_patient_id = $2))`;
  const values = [scan.scan_id, scan.patient_id];
  const rows = await answered(gateway, `direction = 'inbound' AND ${about}`, values);
  expect(rows.map((row) => row.interaction).toSorted()).toEqual(inbound.toSorted());
  expect(new Set(rows.map((row) => `${row.message_status} ${row.answer_code}`))).toEqual(new Set(inbound.some((name) => name !== 'C-STORE') ? ['accepted AA', 'accepted 0000'] : ['accepted 0000']));
  const sent = await eventually(async () => {
    const found = await exchanges(gateway, `direction = 'outbound' AND ${about}`, values);
    return found.length === deliveries && found;
  }, 3_000);
  expect(sent.map((row) => `${row.message_status} ${row.answer_status}`)).toEqual(sent.map(() => 'delivered answered'));
  await expectAudited(gateway, [...rows, ...sent]);
}
