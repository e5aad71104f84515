/** The findings of a model on their way to a foreign PACS: Orthanc takes the structured report, the PDF and the pictures, and shows them. Skipped where it is not installed. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { decode as decodePng } from 'fast-png';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generatePhantom } from '../../src/ai/phantom.ts';
import { syntheticStudy } from '../../src/simulator/synthetic-study.ts';
import { freePort } from '../support/free-port.ts';
import { eventually } from '../support/gateway.ts';
import { anOrder, changeSettings, somebody, startJourney, type Journey } from '../support/journey.ts';

const isInstalled = spawnSync('Orthanc', ['--version']).status === 0;
if (!isInstalled) console.log('skipped: Orthanc is not installed');

const phantom = generatePhantom({
  seed: 24, slices: 24, rows: 256, columns: 256, pixelSpacingMillimetres: 1.3, sliceSpacingMillimetres: 2.5, vesselTreesPerLung: 0, lesions: [{ diameterMillimetres: 26, contrastHounsfield: 880 }, { diameterMillimetres: 12, contrastHounsfield: 860 }],
});
const patient = somebody(), order = anOrder();
const study = syntheticStudy({ patient, accessionNumber: order.accessionNumber, phantom });
const directory = mkdtempSync(path.join(tmpdir(), 'medscan-orthanc-'));
let journey: Journey, orthanc: ChildProcess, base = '';

const json = async (resource: string): Promise<any> => (await fetch(base + resource)).json();
const bytes = async (resource: string, accept: string): Promise<Buffer> => {
  const answer = await fetch(base + resource, { headers: { accept } });
  expect(answer.status, resource).toBe(200);
  return Buffer.from(await answer.arrayBuffer());
};

beforeAll(async () => {
  if (!isInstalled) return;
  const [dicom, http] = [await freePort(), await freePort()];
  const settings = path.join(directory, 'orthanc.json');
  writeFileSync(settings, JSON.stringify({ Name: 'test', StorageDirectory: directory, IndexDirectory: directory, DicomPort: dicom, HttpPort: http, DicomAet: 'ORTHANC', DicomCheckCalledAet: false, AuthenticationEnabled: false, RemoteAccessAllowed: false, DicomAlwaysAllowStore: true, Plugins: [] }));
  orthanc = spawn('Orthanc', [settings], { stdio: 'ignore' });
  base = `http://127.0.0.1:${http}`;
  await eventually(() => fetch(`${base}/system`).then(({ ok }) => ok, () => false), 30_000);
  journey = await startJourney();
  await changeSettings(journey.gateway, 'PACS', { destination: { host: '127.0.0.1', port: dicom, called_ae_title: 'ORTHANC' }, results: ['structured-report', 'encapsulated-pdf', 'secondary-capture'] });
  expect((await journey.hospital.ris.register(patient)).code).toBe('AA');
  await journey.hospital.pacs.store(study.objects);
  await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM deliveries d JOIN external_integrations i USING (organization_id, integration_id) WHERE i.name = 'PACS' AND d.status = 'delivered'")).length === 1, 40_000);
}, 120_000);
afterAll(async () => {
  await journey?.stop();
  if (orthanc) {
    const ended = new Promise((resolve) => { orthanc.once('exit', resolve); });
    orthanc.kill();
    await ended;
  }
  rmSync(directory, { recursive: true, force: true });
});

describe.skipIf(!isInstalled)('Orthanc', () => {
  test('holds them as one study of the patient, one series for each form', async () => {
    const studies = await Promise.all((await json('/studies') as string[]).map((id) => json(`/studies/${id}`)));
    expect(studies.map((one) => [one.MainDicomTags.StudyInstanceUID, one.PatientMainDicomTags.PatientID])).toEqual([[study.studyInstanceUid, patient.patientId]]);
    const series = await Promise.all((await json('/series') as string[]).map((id) => json(`/series/${id}`)));
    expect([series.length, new Set(series.map((one) => one.MainDicomTags.Modality))]).toEqual([3, new Set(['SR', 'DOC', 'OT'])]);
  });

  test('is on record with each object that it was sent, and in which transfer syntax', async () => {
    const [row] = await journey.gateway.db.asOwner<{ facts: { objects: { kind: string }[] } }>("SELECT facts FROM sync_logs l JOIN external_integrations i USING (organization_id, integration_id) WHERE i.name = 'PACS' AND l.direction = 'outbound' AND l.message_status = 'delivered'");
    expect(row!.facts.objects.slice(0, 2)).toMatchObject([{ kind: 'structured-report', outcome: 'delivered', status: '0000', transfer_syntax_uid: '1.2.840.10008.1.2.1' }, { kind: 'encapsulated-pdf', outcome: 'delivered' }]);
    expect(row!.facts.objects.slice(2).every(({ kind }) => kind === 'secondary-capture')).toBe(true);
  });

  test('shows the pictures: boxes in colour on the image, and a caption', async () => {
    const [pictures] = (await Promise.all((await json('/series') as string[]).map((id) => json(`/series/${id}`)))).filter((one) => one.MainDicomTags.Modality === 'OT');
    expect(pictures.Instances.length).toBeGreaterThanOrEqual(1);
    const { width, height, data, channels } = decodePng(await bytes(`/instances/${pictures.Instances[0]}/preview`, 'image/png'));
    expect([width, channels]).toEqual([768, 3]);
    expect(height).toBeGreaterThan(768);
    const coloured = Array.from({ length: width * 768 }, (_, pixel) => data[pixel * 3] !== data[pixel * 3 + 2]).filter(Boolean).length;
    expect(coloured).toBeGreaterThan(100);
  });

  test('gives the PDF out as a document', async () => {
    const [documents] = (await Promise.all((await json('/series') as string[]).map((id) => json(`/series/${id}`)))).filter((one) => one.MainDicomTags.Modality === 'DOC');
    expect((await bytes(`/instances/${documents.Instances[0]}/pdf`, 'application/pdf')).subarray(0, 5).toString()).toBe('%PDF-');
  });
});
