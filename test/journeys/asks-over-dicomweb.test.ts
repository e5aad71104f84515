/**
 * An archive that speaks nothing but DICOMweb: it sends by STOW-RS, is asked by QIDO-RS how many images a study has and which earlier studies a patient has,
 * hands them out by WADO-RS, and gets the results by STOW-RS. Peer: Orthanc with its DICOMweb plugin; skipped where it is not installed.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isOrthancMissing, login, startOrthancWeb, type WebArchive } from '../../adapters/dicomweb/testing/orthanc.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { loadAdapters } from '../../src/gateway/registry.ts';
import { saveIntegration } from '../../src/gateway/save-integration.ts';
import { part10File, type SyntheticStudy } from '../../src/simulator/synthetic-study.ts';
import { eventually } from '../support/gateway.ts';
import { answered, apiClient, changeSettings, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

const isMissing = isOrthancMissing();
let journey: Journey, archive: WebArchive, integrationId: string, breaking: Awaited<ReturnType<typeof breakingLine>>;

const archiveHas = (study: SyntheticStudy): Promise<void> => archive.store(...study.objects.map(part10File));
/** As the archive that has them would: Orthanc is the client of STOW-RS here. */
async function sends({ objects }: SyntheticStudy, from = 0, to = objects.length): Promise<void> {
  expect(await archive.send(objects.slice(from, to).map(({ sopInstanceUid }) => sopInstanceUid))).toBe(200);
}
const completed = (study: SyntheticStudy) => eventually(async () => { const scan = await scanOf(journey.gateway, study.studyInstanceUid); return scan.images_complete_at !== null && scan; });
const analyses = async ({ studyInstanceUid }: SyntheticStudy): Promise<number> =>
  (await journey.gateway.db.asOwner<{ n: number }>('SELECT count(*)::int AS n FROM ai_analyses a JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = $1', [studyInstanceUid]))[0]!.n;
const retrieved = ({ studyInstanceUid }: SyntheticStudy) => eventually(async () =>
  (await journey.gateway.db.asOwner<{ retrieved_instances: number }>("SELECT retrieved_instances FROM study_retrievals WHERE study_instance_uid = $1 AND status = 'retrieved'", [studyInstanceUid]))[0]);
/** Settings merge: what an earlier test asked for is taken out first. */
async function asks(settings: Readonly<Record<string, unknown>>): Promise<void> {
  await changeSettings(journey.gateway, 'Archive', { completeness: undefined, priors: undefined, base_url: archive.baseUrl });
  await changeSettings(journey.gateway, 'Archive', settings);
}

beforeAll(async () => {
  if (isMissing) return;
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '1' });
  const { gateway: { db, ports, integrations }, seeded: { organizationId, organizationName } } = journey;
  const { token } = await createApiToken(db.database, { organizationName, role: 'service', name: 'archive' });
  archive = await startOrthancWeb({ url: `http://127.0.0.1:${ports.http}/dicom-web/`, token });
  breaking = await breakingLine();
  const saved = await saveIntegration({ database: db.database, keys: db.keys, adapters: await loadAdapters() }, organizationId, undefined, {
    name: 'Archive', kind: 'pacs', adapter: 'dicomweb', direction: 'both', isEnabled: true,
    settings: { base_url: archive.baseUrl, authentication: 'basic', ...login, assigning_authority: 'NORTH' },
  }, { kind: 'system', id: 'test' });
  if (saved.kind !== 'saved') throw new Error(JSON.stringify(saved));
  await integrations.reload();
  [{ integration_id: integrationId }] = await db.asOwner<{ integration_id: string }>("SELECT integration_id FROM external_integrations WHERE name = 'Archive'") as [{ integration_id: string }];
}, 60_000);
afterAll(async () => {
  breaking?.close();
  await archive?.stop();
  await journey?.stop();
});

describe.skipIf(isMissing)('an archive that speaks DICOMweb only', () => {
  beforeEach(() => asks({}));

  test('is tried by the connection test, with an object there and back, and may ask us as well', async () => {
    await asks({ priors: {}, allow_query: true, allow_retrieve: true });
    const api = await apiClient(journey.gateway, 'Sample Hospital');
    const { body } = await api('POST', `/api/v1/integrations/${integrationId}/test?store=true`);
    expect(body).toMatchObject({ ok: true, steps: [{ step: 'TCP' }, { step: 'login', detail: 'the server lets us in; logged in as gateway (HTTP Basic)' }, { step: 'QIDO-RS' }, { step: 'WADO-RS' }, { step: 'STOW-RS', detail: expect.stringContaining('HTTP 200') },
      { step: 'WADO-RS', detail: 'offered as multipart/related; type="application/dicom", its part as application/dicom, in Explicit VR Little Endian; it came back as it was sent' }] });
    const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-W-0' });
    await journey.hospital.pacs.store(study.objects);
    expect(await archive.fetch(study.studyInstanceUid)).toBe(8);
  });

  test('proves that a study is complete, and it is on record who said how many', async () => {
    await asks({ completeness: {} });
    const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-W-1' });
    await archiveHas(study);
    await sends(study);
    expect(await completed(study)).toMatchObject({ completeness_proof: 'instance_count', expected_instances: 8 });
    const asked = await exchanges(journey.gateway, "interaction = 'QIDO-RS studies' AND control_id LIKE 'count %'");
    expect(asked.at(-1)).toMatchObject({ direction: 'outbound', message_status: 'delivered', answer_code: '200', answer_status: 'answered', integration_id: integrationId });
    await expectAudited(journey.gateway, asked);
  });

  test('gives what is missing, and nothing else', async () => {
    await asks({ completeness: { when_missing: 'fetch', look_again_seconds: 5 } });
    const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-W-2' });
    await archiveHas(study);
    await sends(study, 0, 6);
    expect(await completed(study)).toMatchObject({ completeness_proof: 'instance_count', instance_count: 8, completion_run: 1 });
    const { scan_id: scanId } = await scanOf(journey.gateway, study.studyInstanceUid);
    const fetched = await answered(journey.gateway, "interaction = 'WADO-RS instance' AND direction = 'inbound' AND scan_id = $1", [scanId]);
    expect(new Set(fetched.map((row) => row.control_id))).toEqual(new Set(study.objects.slice(6).map(({ sopInstanceUid }) => sopInstanceUid)));
    expect(fetched[0]).toMatchObject({ message_status: 'accepted', answer_code: 'read', integration_id: integrationId });
    const [asked] = await exchanges(journey.gateway, "interaction = 'WADO-RS instances' AND scan_id = $1", [scanId]);
    expect(asked).toMatchObject({ direction: 'outbound', message_status: 'delivered', answer_code: '200' });
    await expectAudited(journey.gateway, [...fetched, asked!]);
  });

  test('gives earlier studies of the patient by rule, once, and they are not analysed; the result goes back to it', async () => {
    await asks({ priors: { most_studies: 2 } });
    const patient = somebody();
    const year = (number: number) => new Date(`${number}-06-01T09:00:00Z`);
    const current = smallStudy({ patient, accessionNumber: 'ACC-W-3', studyAt: year(2026) });
    const priors = [2025, 2024, 2023].map((number) => smallStudy({ patient, accessionNumber: `ACC-W-${number}`, studyAt: year(number) })) as [SyntheticStudy, SyntheticStudy, SyntheticStudy];
    for (const study of [...priors, current, smallStudy({ patient: somebody(), accessionNumber: 'ACC-W-OTHER', studyAt: year(2025) })]) await archiveHas(study);
    await sends(current);
    for (const study of priors.slice(0, 2)) expect(await retrieved(study)).toEqual({ retrieved_instances: 8 });
    const { scan_id: scanId } = await scanOf(journey.gateway, current.studyInstanceUid);
    expect(await journey.gateway.db.asOwner('SELECT status, studies_found, studies_chosen FROM prior_searches WHERE scan_id = $1', [scanId])).toEqual([{ status: 'done', studies_found: 4, studies_chosen: 2 }]);
    for (const study of priors.slice(0, 2)) await completed(study);
    await eventually(async () => await analyses(current) > 0);
    expect([await analyses(priors[0]), await analyses(priors[1])]).toEqual([0, 0]);
    expect(await journey.gateway.db.asOwner('SELECT FROM scans WHERE study_instance_uid = $1', [priors[2].studyInstanceUid])).toEqual([]);
    const asked = await exchanges(journey.gateway, "scan_id = $1 AND direction = 'outbound' AND interaction IN ('QIDO-RS studies', 'WADO-RS study')", [scanId]);
    expect(asked.map((row) => row.message_status)).toEqual(['delivered', 'delivered', 'delivered']);
    await expectAudited(journey.gateway, asked);
    await eventually(async () => (await exchanges(journey.gateway, "scan_id = $1 AND interaction = 'STOW-RS' AND direction = 'outbound' AND message_status = 'delivered'", [scanId])).length === 1);
    const studies = await Promise.all((await archive.ask('/studies') as string[]).map((id) => archive.ask(`/studies/${id}`)));
    const there = studies.find((study) => study.MainDicomTags.StudyInstanceUID === current.studyInstanceUid);
    const series = await Promise.all((there.Series as string[]).map((id) => archive.ask(`/series/${id}`)));
    expect(new Set(series.map((one) => one.MainDicomTags.Modality))).toEqual(new Set(['CT', 'SR']));
  });

  test('is asked when a person wants earlier studies, and again by name for the rest when the connection breaks in the middle', async () => {
    const patient = somebody();
    const current = smallStudy({ patient, accessionNumber: 'ACC-W-30', studyAt: new Date('2026-06-01T09:00:00Z') });
    const prior = smallStudy({ patient, accessionNumber: 'ACC-W-31', studyAt: new Date('2025-06-01T09:00:00Z') });
    for (const study of [current, prior]) await archiveHas(study);
    await sends(current);
    const { scan_id: scanId } = await completed(current);
    await asks({ priors: { for_scan_types: ['mri'] }, base_url: breaking.url });
    const api = await apiClient(journey.gateway, 'Sample Hospital', 'technician');
    expect(await api('POST', `/api/v1/scans/${scanId}/fetch-priors`)).toMatchObject({ status: 202, body: { asked: ['Archive'] } });
    expect(await retrieved(prior)).toEqual({ retrieved_instances: 8 });
    const { body } = await api('GET', `/api/v1/scans/${scanId}/sources`);
    expect(body).toMatchObject({ prior_searches: [{ integration_name: 'Archive', status: 'done', studies_found: 2, studies_chosen: 1 }], retrievals: [{ study_instance_uid: prior.studyInstanceUid, purpose: 'prior', expected_instances: 8, is_analyzed: false, attempts: 2 }] });
    const attempts = await exchanges(journey.gateway, "scan_id = $1 AND direction = 'outbound' AND interaction LIKE 'WADO-RS %'", [scanId]);
    expect(attempts.map((row) => [row.interaction, row.message_status])).toEqual([['WADO-RS study', 'unconfirmed'], ['WADO-RS instances', 'delivered']]);
    // Three came whole before the cut, and none of them again.
    expect(breaking.instances).toHaveLength(5);
    const { scan_id: priorId } = await scanOf(journey.gateway, prior.studyInstanceUid);
    expect((await exchanges(journey.gateway, "scan_id = $1 AND interaction = 'WADO-RS instance'", [priorId])).map((row) => row.message_status)).toEqual(Array.from({ length: 8 }, () => 'accepted'));
  });
});

/** The archive behind a line that breaks once: in the middle of the first study that is fetched over it, after three objects. */
async function breakingLine(): Promise<{ url: string; instances: string[]; close(): void }> {
  const instances: string[] = [];
  let isBroken = false;
  const server = createServer((request, response) => {
    void (async () => {
      const answer = await fetch(archive.baseUrl.replace('/dicom-web', request.url!), { headers: { authorization: request.headers.authorization!, accept: request.headers.accept! } });
      const body = Buffer.from(await answer.arrayBuffer()), [, instance] = /\/instances\/([\d.]+)$/.exec(request.url!) ?? [];
      if (instance) instances.push(instance);
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
      if (isBroken || !/\/studies\/[\d.]+$/.test(request.url!)) return response.end(body);
      isBroken = true;
      return response.write(body.subarray(0, Math.round(body.length * 3.5 / 8)), () => { response.destroy(); });
    })();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => { server.once('listening', resolve); });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dicom-web`, instances, close: () => { server.closeAllConnections(); server.close(); } };
}
