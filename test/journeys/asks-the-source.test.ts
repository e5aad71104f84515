/**
 * The gateway asks the PACS: how many images a study has before it counts as complete, and for earlier studies of the patient. Peer: DCMTK's dcmqrscp as the
 * archive; skipped where it is not installed.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { missing, startDcmqrscp, type Archive } from '../../adapters/dicom-dimse/testing/archives.ts';
import { writeStudy, type SyntheticStudy } from '../../src/simulator/synthetic-study.ts';
import { eventually } from '../support/gateway.ts';
import { anOrder, apiClient, changeSettings, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

const isMissing = missing('dcmqrscp', 'storescu');
let journey: Journey, archive: Archive, directory: string;
let folders = 0;

async function archiveHas(study: SyntheticStudy, from = 0, to = study.objects.length): Promise<void> {
  const folder = path.join(directory, String(folders++));
  await archive.store(...await writeStudy({ ...study, objects: study.objects.slice(from, to) }, folder));
}
const completed = (study: SyntheticStudy) => eventually(async () => { const scan = await scanOf(journey.gateway, study.studyInstanceUid); return scan.images_complete_at !== null && scan; });
const analyses = async (study: SyntheticStudy): Promise<number> =>
  (await journey.gateway.db.asOwner<{ n: number }>('SELECT count(*)::int AS n FROM ai_analyses a JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = $1', [study.studyInstanceUid]))[0]!.n;
const counted = async (study: SyntheticStudy) =>
  (await journey.gateway.db.asOwner<Record<string, unknown>>('SELECT c.* FROM source_counts c JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = $1', [study.studyInstanceUid]))[0];

beforeAll(async () => {
  if (isMissing) return;
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '1' });
  archive = await startDcmqrscp({ aeTitle: 'MEDSCAN', port: journey.gateway.ports.dicom! });
  directory = mkdtempSync(path.join(tmpdir(), 'medscan-archive-'));
});
afterAll(async () => {
  await archive?.stop();
  await journey?.stop();
  if (directory) rmSync(directory, { recursive: true, force: true });
});
/** Settings merge: what an earlier test asked for is taken out first. */
async function asks(settings: object): Promise<void> {
  await changeSettings(journey.gateway, 'PACS', { completeness: undefined, priors: undefined, retrieve_by: 'C-MOVE' });
  await changeSettings(journey.gateway, 'PACS', { destination: { host: '127.0.0.1', port: archive.port, called_ae_title: archive.aeTitle, calling_ae_title: 'MEDSCAN' }, calling_ae_titles: [], ...settings });
}

describe.skipIf(isMissing)('completeness', () => {
  test('is proven when the source has no more images than are here, and it is on record who said how many', async () => {
    await asks({ completeness: {}, priors: undefined });
    const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-CS-1' });
    await archiveHas(study);
    await journey.hospital.pacs.store(study.objects);
    expect(await completed(study)).toMatchObject({ completeness_proof: 'instance_count', expected_instances: 8 });
    expect(await counted(study)).toMatchObject({ status: 'proven', instances_there: 8, instances_here: 8, last_text: 'PACS has 8 images; all are here' });
    const asked = await exchanges(journey.gateway, "interaction = 'C-FIND STUDY' AND control_id LIKE 'count %'");
    expect(asked.at(-1)).toMatchObject({ direction: 'outbound', message_status: 'delivered', answer_code: '0000', answer_status: 'answered' });
    await expectAudited(journey.gateway, asked);
  });

  test('waits with the number in words while images are missing, and ends when they have come', async () => {
    await asks({ completeness: { look_again_seconds: 5 } });
    const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-CS-2' });
    await archiveHas(study);
    await journey.hospital.pacs.store(study.objects.slice(0, 5));
    await eventually(async () => (await scanOf(journey.gateway, study.studyInstanceUid)).why_waiting === '3 of 8 images that PACS has are not here; asked again.');
    expect(await analyses(study)).toBe(0);
    await journey.hospital.pacs.store(study.objects.slice(5));
    expect(await completed(study)).toMatchObject({ completeness_proof: 'instance_count', completion_run: 1 });
  });

  test('fetches what is missing, and nothing else, where the settings want it; when it has come the scan is complete, however long the time to the next look', async () => {
    await asks({ completeness: { when_missing: 'fetch', look_again_seconds: 600 } });
    const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-CS-3' });
    await archiveHas(study);
    await journey.hospital.pacs.store(study.objects.slice(0, 6));
    expect(await completed(study)).toMatchObject({ completeness_proof: 'instance_count', instance_count: 8, completion_run: 1 });
    expect((await exchanges(journey.gateway, "interaction = 'C-STORE' AND direction = 'inbound' AND scan_id = $1", [(await scanOf(journey.gateway, study.studyInstanceUid)).scan_id])).length).toBe(8);
    const [moved] = await exchanges(journey.gateway, "interaction = 'C-MOVE' AND scan_id = $1", [(await scanOf(journey.gateway, study.studyInstanceUid)).scan_id]);
    expect(moved).toMatchObject({ message_status: 'delivered', answer_code: '0000' });
  });

  test('does not count what the gateway stored there itself: its report is neither waited for nor fetched', async () => {
    await asks({ completeness: { when_missing: 'fetch', look_again_seconds: 5 } });
    const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-CS-6' });
    await archiveHas(study, 0, 7);
    await journey.hospital.pacs.store(study.objects.slice(0, 7));
    expect(await completed(study)).toMatchObject({ completeness_proof: 'instance_count', expected_instances: 7 });
    const { scan_id: scanId } = await scanOf(journey.gateway, study.studyInstanceUid);
    await eventually(async () => (await exchanges(journey.gateway, "scan_id = $1 AND interaction = 'C-STORE' AND direction = 'outbound' AND message_status = 'delivered'", [scanId])).length === 1);
    await archiveHas(study, 7);
    await journey.hospital.pacs.store(study.objects.slice(7));
    const again = await eventually(async () => { const scan = await scanOf(journey.gateway, study.studyInstanceUid); return scan.completion_run === 2 && scan; });
    expect(again).toMatchObject({ completeness_proof: 'instance_count', expected_instances: 8, instance_count: 8 });
    expect(await exchanges(journey.gateway, "scan_id = $1 AND interaction = 'C-MOVE'", [scanId])).toEqual([]);
  });

  test('of a study that is not at the source is waited for, then given up: analysed with an alert, or held for a person', async () => {
    await asks({ completeness: { look_again_seconds: 5, without_proof: 'hold' } });
    const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-CS-4' });
    await journey.hospital.pacs.store(study.objects);
    await eventually(async () => (await scanOf(journey.gateway, study.studyInstanceUid)).why_waiting === 'PACS does not know this study yet; asked again.');
    await journey.gateway.db.asOwner("UPDATE source_counts SET first_asked_at = first_asked_at - interval '2 hours' WHERE status = 'unknown_study'");
    await eventually(async () => (await scanOf(journey.gateway, study.studyInstanceUid)).queue_status === 'paused');
    const { scan_id: scanId } = await scanOf(journey.gateway, study.studyInstanceUid);
    expect(await journey.gateway.db.asOwner("SELECT severity FROM system_alerts WHERE kind = 'images_missing' AND subject = $1", [`scan ${scanId}`])).toEqual([{ severity: 'warning' }]);
    expect(await analyses(study)).toBe(0);
  });

  test('is left to time when the source does not answer', async () => {
    await asks({ completeness: { look_again_seconds: 5 }, destination: { host: '127.0.0.1', port: 1, called_ae_title: 'NOBODY', calling_ae_title: 'MEDSCAN', connect_timeout_milliseconds: 500 } });
    const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-CS-5' });
    await journey.hospital.pacs.store(study.objects);
    await eventually(async () => (await counted(study))?.['status'] === 'no_answer');
    await journey.gateway.db.asOwner("UPDATE source_counts SET first_asked_at = first_asked_at - interval '2 hours' WHERE status = 'no_answer'");
    expect(await completed(study)).toMatchObject({ completeness_proof: 'quiet_time' });
  });
});

describe.skipIf(isMissing)('earlier studies', () => {
  test.each(['C-MOVE', 'C-GET'] as const)('of the patient are fetched by %s when a scan is complete: the newest N, once, and not analysed', async (retrieve_by) => {
    const patient = somebody();
    const year = (number: number) => new Date(`${number}-06-01T09:00:00Z`);
    const current = smallStudy({ patient, accessionNumber: `ACC-P-${retrieve_by}`, studyAt: year(2026) });
    const priors = [2025, 2024, 2023].map((number) => smallStudy({ patient, accessionNumber: `ACC-P-${number}`, studyAt: year(number) }));
    const other = smallStudy({ patient: somebody(), accessionNumber: 'ACC-P-OTHER', studyAt: year(2025) });
    for (const study of [...priors, other]) await archiveHas(study);
    await asks({ completeness: undefined, retrieve_by, priors: { most_studies: 2 } });
    await journey.hospital.pacs.store(current.objects);
    const here = () => journey.gateway.db.asOwner<{ study_instance_uid: string; instance_count: number }>("SELECT s.study_instance_uid, s.instance_count FROM scans s JOIN patients p USING (organization_id, patient_id) WHERE p.patient_number = $1 AND s.status = 'completed' AND s.instance_count = 8", [patient.patientId]);
    await eventually(async () => (await here()).length === 3);
    expect(new Set((await here()).map((scan) => scan.study_instance_uid))).toEqual(new Set([current, priors[0]!, priors[1]!].map((study) => study.studyInstanceUid)));
    await eventually(async () => await analyses(current) > 0);
    expect([await analyses(priors[0]!), await analyses(priors[1]!)]).toEqual([0, 0]);
    const { scan_id: scanId } = await scanOf(journey.gateway, current.studyInstanceUid);
    expect(await journey.gateway.db.asOwner('SELECT status, studies_found, studies_chosen FROM prior_searches WHERE scan_id = $1', [scanId])).toEqual([{ status: 'done', studies_found: 3, studies_chosen: 2 }]);
    await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM study_retrievals WHERE for_scan_id = $1 AND status = 'retrieved' AND retrieved_instances = 8", [scanId])).length === 2);
    const asked = await exchanges(journey.gateway, "scan_id = $1 AND interaction IN ('C-FIND STUDY', $2)", [scanId, retrieve_by]);
    expect(asked.map((row) => row.message_status)).toEqual(['delivered', 'delivered', 'delivered']);
    await expectAudited(journey.gateway, asked);
    // An earlier study asks for no earlier study of its own, and a second completion asks for nothing again.
    expect((await journey.gateway.db.asOwner('SELECT FROM prior_searches p JOIN scans s USING (organization_id, scan_id) JOIN patients t USING (organization_id, patient_id) WHERE t.patient_number = $1', [patient.patientId])).length).toBe(1);
    const { scan_id: priorId } = await scanOf(journey.gateway, priors[0]!.studyInstanceUid);
    const came = await journey.gateway.db.asOwner<{ facts: object }>("SELECT facts FROM sync_logs WHERE interaction = 'C-STORE' AND direction = 'inbound' AND scan_id = $1", [priorId]);
    expect(came).toHaveLength(8);
    for (const { facts } of came) expect(facts).toMatchObject(retrieve_by === 'C-GET' ? { retrieved: 'C-GET' } : { retrieved: 'C-MOVE', moveOriginatorAeTitle: 'MEDSCAN', moveOriginatorMessageId: expect.any(Number) as number });
    // Then the modality sends the study itself: nothing is new in it, and it is there to be analysed.
    if (retrieve_by === 'C-GET') return;
    await journey.hospital.pacs.store(priors[0]!.objects.slice(0, 1));
    await eventually(async () => await analyses(priors[0]!) === 1);
  });

  test('of the same day are analysed, for they may be on their way here for that', async () => {
    const patient = somebody();
    const [current, sameDay] = [9, 8].map((hour) => smallStudy({ patient, accessionNumber: `ACC-P-DAY-${hour}`, studyAt: new Date(`2026-06-02T0${hour}:00:00Z`) })) as [SyntheticStudy, SyntheticStudy];
    await archiveHas(sameDay);
    await asks({ priors: { most_studies: 1 } });
    await journey.hospital.pacs.store(current.objects);
    await eventually(async () => await analyses(sameDay) === 1);
  });

  test('are fetched as soon as a scan is ordered, where the rule says so; the scan that the order was for is analysed as ever', async () => {
    const patient = somebody(), order = anOrder();
    const prior = smallStudy({ patient, accessionNumber: 'ACC-P-20', studyAt: new Date('2025-06-01T09:00:00Z') });
    await archiveHas(prior);
    await asks({ priors: { when: 'ordered', most_studies: 1, body_part: 'any', modality: 'any' } });
    await journey.hospital.ris.register(patient);
    await journey.hospital.ris.order(patient, order);
    await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM study_retrievals WHERE study_instance_uid = $1 AND status = 'retrieved'", [prior.studyInstanceUid])).length === 1);
    const current = smallStudy({ patient, accessionNumber: order.accessionNumber });
    await journey.hospital.pacs.store(current.objects);
    await eventually(async () => await analyses(current) === 1);
    expect(await analyses(prior)).toBe(0);
  });

  test('are fetched when a person asks for them, of any scan', async () => {
    const patient = somebody();
    const current = smallStudy({ patient, accessionNumber: 'ACC-P-30', studyAt: new Date('2026-06-01T09:00:00Z') });
    const prior = smallStudy({ patient, accessionNumber: 'ACC-P-31', studyAt: new Date('2025-06-01T09:00:00Z') });
    await archiveHas(prior);
    await asks({});
    await journey.hospital.pacs.store(current.objects);
    const { scan_id: scanId } = await completed(current);
    const api = await apiClient(journey.gateway, 'Sample Hospital', 'technician');
    expect(await api('POST', `/api/v1/scans/${scanId}/fetch-priors`)).toMatchObject({ status: 409 });
    await asks({ priors: { for_scan_types: ['mri'] } });
    expect(await api('POST', `/api/v1/scans/${scanId}/fetch-priors`)).toMatchObject({ status: 202, body: { asked: ['PACS'] } });
    const sources = await eventually(async () => { const { body } = await api('GET', `/api/v1/scans/${scanId}/sources`); return body.retrievals[0]?.status === 'retrieved' && body; });
    expect(sources).toMatchObject({ count: null, prior_searches: [{ integration_name: 'PACS', status: 'done', studies_found: 1, studies_chosen: 1 }], retrievals: [{ study_instance_uid: prior.studyInstanceUid, purpose: 'prior', expected_instances: 8, retrieved_instances: 8, is_analyzed: false }] });
  });

  test('are asked for again while the source is away, and fetched when it is back', async () => {
    const patient = somebody();
    const current = smallStudy({ patient, accessionNumber: 'ACC-P-10', studyAt: new Date('2026-06-01T09:00:00Z') });
    const prior = smallStudy({ patient, accessionNumber: 'ACC-P-11', studyAt: new Date('2025-06-01T09:00:00Z') });
    await archiveHas(prior);
    await asks({ priors: { most_studies: 1 }, destination: { host: '127.0.0.1', port: 1, called_ae_title: 'NOBODY', calling_ae_title: 'MEDSCAN' } });
    await journey.hospital.pacs.store(current.objects);
    await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM prior_searches p JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = $1 AND p.status = 'queued' AND p.attempts > 0 AND p.last_text LIKE '%Nothing listens there%'", [current.studyInstanceUid])).length === 1);
    await asks({ priors: { most_studies: 1 } });
    await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM study_retrievals WHERE study_instance_uid = $1 AND status = 'retrieved'", [prior.studyInstanceUid])).length === 1);
  });
});
