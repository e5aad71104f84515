/**
 * Orthanc is the one that asks: it sends a study, finds it again, has it moved to itself, and asks the gateway to commit to it. Skipped where it is not
 * installed.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { missing, startOrthanc } from '../../adapters/dicom-dimse/testing/archives.ts';
import { writeStudy } from '../../src/simulator/synthetic-study.ts';
import { eventually } from '../support/gateway.ts';
import { changeSettings, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

describe.skipIf(missing('Orthanc', 'storescu'))('Orthanc', () => {
  const patient = somebody({ familyName: 'Wörthmüller' });
  const study = smallStudy({ patient, accessionNumber: 'ORTHANC-1' });
  let journey: Journey, orthanc: Awaited<ReturnType<typeof startOrthanc>>, directory: string;
  const call = async (method: string, place: string, body?: unknown): Promise<any> => {
    const response = await fetch(`${orthanc.http}${place}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    if (!response.ok) throw new Error(`${method} ${place}: ${response.status}`);
    return response.json();
  };
  const instances = async (): Promise<string[]> => call('GET', '/instances') as Promise<string[]>;

  beforeAll(async () => {
    journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '300' });
    orthanc = await startOrthanc({ aeTitle: 'MEDSCAN', port: journey.gateway.ports.dicom! });
    directory = mkdtempSync(path.join(tmpdir(), 'orthanc-asks-'));
    await orthanc.store(...await writeStudy(study, directory));
    await changeSettings(journey.gateway, 'PACS', { calling_ae_titles: [orthanc.aeTitle], allow_query: true, allow_retrieve: true, destination: { host: '127.0.0.1', port: orthanc.port, called_ae_title: orthanc.aeTitle, calling_ae_title: 'MEDSCAN' } });
  }, 60_000);
  afterAll(async () => {
    await orthanc?.stop();
    await journey?.stop();
    if (directory) rmSync(directory, { recursive: true, force: true });
  });

  test('echoes and sends a study', async () => {
    await call('POST', '/modalities/gateway/echo', {});
    expect(await call('POST', '/modalities/gateway/store', await instances())).toMatchObject({ InstancesCount: 8, FailedInstancesCount: 0 });
    expect((await scanOf(journey.gateway, study.studyInstanceUid)).instance_count).toBe(8);
  });

  test('is told that all but what was never here is kept', async () => {
    const asked = study.objects.map(({ sopClassUid, sopInstanceUid }) => ({ SOPClassUID: sopClassUid, SOPInstanceUID: sopInstanceUid }));
    const never = { SOPClassUID: asked[0]!.SOPClassUID, SOPInstanceUID: '1.2.3.4.5' };
    const { Path } = await call('POST', '/modalities/gateway/storage-commitment', { DicomInstances: [...asked, never] }) as { Path: string };
    const told = await eventually(async () => { const report = await call('GET', Path); return report.Status !== 'Pending' && report; });
    expect(told).toMatchObject({ Status: 'Failure', RemoteAET: 'MEDSCAN', Failures: [{ ...never, FailureReason: 0x0112 }] });
    expect(told.Success).toHaveLength(8);
  });

  test('finds the study by a name with letters beyond ASCII, and has it moved to itself after losing it', async () => {
    for (const id of await instances()) await fetch(`${orthanc.http}/instances/${id}`, { method: 'DELETE' });
    expect(await instances()).toEqual([]);
    const { ID: query } = await call('POST', '/modalities/gateway/query', { Level: 'Study', Query: { PatientName: 'wörth*', StudyDate: '20000101-', NumberOfStudyRelatedInstances: '' } }) as { ID: string };
    expect(await call('GET', `/queries/${query}/answers/0/content?simplify`)).toMatchObject({ StudyInstanceUID: study.studyInstanceUid, PatientID: patient.patientId, NumberOfStudyRelatedInstances: '8' });
    await call('POST', `/queries/${query}/retrieve`, { TargetAet: orthanc.aeTitle, Synchronous: true });
    expect(await instances()).toHaveLength(8);
    const rows = await exchanges(journey.gateway, "direction = 'inbound' AND interaction LIKE 'C-%' AND interaction NOT IN ('C-STORE', 'C-ECHO')");
    expect(rows.map((row) => [row.interaction.slice(0, 6), row.message_status])).toEqual([['C-FIND', 'accepted'], ['C-MOVE', 'accepted']]);
    await expectAudited(journey.gateway, rows);
  });
});
