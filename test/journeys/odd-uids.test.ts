/**
 * UIDs that PS3.5 9.1 does not allow (letters, other characters, leading zeros) go the whole line exactly as they came: stored with a warning, analysed, reported in
 * SR, ORU^R01 and FHIR, found and retrieved by DICOMweb and DIMSE. What a search or a path would take for something else is refused in words.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadAdapters } from '../../src/gateway/registry.ts';
import { saveIntegration } from '../../src/gateway/save-integration.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import type { SyntheticStudy } from '../../src/simulator/synthetic-study.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import { apiClient, changeSettings, delivered, exchanges, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

const run = promisify(execFile);
const isInstalled = (() => { try { execFileSync('getscu', ['--version'], { stdio: 'ignore' }); return true; } catch { return false; } })();
if (!isInstalled) console.log('skipped: DCMTK (findscu, getscu) is not installed');

let journey: Journey, api: Awaited<ReturnType<typeof apiClient>>;
beforeAll(async () => {
  journey = await startJourney();
  const { gateway: { db, integrations }, seeded: { organizationId, organizationName } } = journey;
  await changeSettings(journey.gateway, 'PACS', { allow_query: true, allow_retrieve: true });
  const saved = await saveIntegration({ database: db.database, keys: db.keys, adapters: await loadAdapters() }, organizationId, undefined, {
    name: 'Web', kind: 'pacs', adapter: 'dicomweb', direction: 'inbound', isEnabled: true, settings: { assigning_authority: 'NORTH', allow_query: true, allow_retrieve: true },
  }, { kind: 'system', id: 'test' });
  if (saved.kind !== 'saved') throw new Error(JSON.stringify(saved));
  await integrations.reload();
  api = await apiClient(journey.gateway, organizationName);
});
afterAll(() => journey?.stop());

/** Study, series and objects called `name`, with a number behind. */
function oddStudy(name: string, accessionNumber: string): SyntheticStudy {
  const study = smallStudy({ patient: somebody(), accessionNumber, studyInstanceUid: name, seriesInstanceUid: `${name}.1` });
  const objects = study.objects.map((object, index) => {
    const called = `${name}.${index}`.padEnd(object.sopInstanceUid.length, '0');
    return { ...object, sopInstanceUid: called, dataset: Buffer.from(object.dataset.toString('latin1').replaceAll(object.sopInstanceUid, called), 'latin1') };
  });
  return { ...study, objects };
}

async function web(address: string): Promise<{ status: number; body: any }> {
  const { token } = await createApiToken(journey.gateway.db.database, { organizationName: journey.seeded.organizationName, role: 'service', name: address.slice(0, 60) });
  const response = await fetch(new URL(address, `http://127.0.0.1:${journey.gateway.ports.http}/dicom-web/`), { headers: { authorization: `Bearer ${token}`, accept: /rendered/.test(address) ? '*/*' : 'application/dicom+json' } });
  const text = await response.text();
  return { status: response.status, body: /json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : text };
}

test.each([['1.2.840.ABC_x-7', 'ODD-1'], ['1.2.{A}:(b)=@+[c]', 'ODD-2'], ['1.2.826.0.01.007', 'ODD-3']])('%s', async (name, accessionNumber) => {
  const study = oddStudy(name, accessionNumber), { gateway, hospital } = journey;
  expect((await hospital.pacs.store(study.objects)).map((answer) => answer.status)).toEqual(study.objects.map(() => 0));
  await delivered(gateway, name);
  const { scan_id: scanId } = await scanOf(gateway, name);
  const [stored] = await exchanges(gateway, "interaction = 'C-STORE' AND direction = 'inbound' AND scan_id = $1", [scanId]);
  expect(stored).toMatchObject({ message_status: 'accepted', warnings: expect.arrayContaining([{ location: '(0020,000d)', text: 'Study Instance UID is not a valid UID by PS3.5 9.1; taken as it is' }]) as unknown });

  const report = hospital.pacs.received.items.map(({ dataset }) => dicomReader(dataset)).find((reader) => reader.first('(0020,000d)') === name);
  expect(report?.first('(0008,0060)'), 'the SR is in the study').toBe('SR');
  const imaging = hospital.emr.list('ImagingStudy').find((resource) => JSON.stringify(resource).includes(name));
  expect(imaging).toMatchObject({ identifier: expect.arrayContaining([{ system: 'urn:dicom:uid', value: name }]) as unknown, numberOfInstances: 8 });
  expect(JSON.stringify(imaging)).not.toContain(`urn:oid:${name}`);

  const found = await web(`studies?StudyInstanceUID=${encodeURIComponent(name)}`);
  expect([found.status, found.body.map((one: any) => one['0020000D'].Value[0])]).toEqual([200, [name]]);
  const metadata = await web(`${found.body[0]['00081190'].Value[0]}/metadata`);
  expect([metadata.status, metadata.body.map((one: any) => one['00080018'].Value[0]).toSorted()]).toEqual([200, study.objects.map((object) => object.sopInstanceUid).toSorted()]);
  const [instance] = (await web(`studies/${encodeURIComponent(name)}/instances`)).body;
  expect((await web(`${instance['00081190'].Value[0]}/rendered`)).status).toBe(200);
  expect((await api('GET', `/api/v1/scans?study_instance_uid=${encodeURIComponent(name)}`)).body.items).toMatchObject([{ scan_id: scanId }]);
});

test.skipIf(!isInstalled)('is found and retrieved by DCMTK', async () => {
  const name = '1.2.840.GET_x-7', study = oddStudy(name, 'ODD-4');
  await journey.hospital.pacs.store(study.objects);
  const directory = mkdtempSync(path.join(tmpdir(), 'medscan-odd-'));
  try {
    const common = ['-v', '-aec', 'MEDSCAN', '-aet', 'NORTHPACS', '-S', '-od', directory, '-k', 'QueryRetrieveLevel=STUDY', '-k', `StudyInstanceUID=${name}`, '127.0.0.1', String(journey.gateway.ports.dicom)];
    await run('findscu', ['-X', ...common]);
    expect(readdirSync(directory).map((file) => dicomReader(readFileSync(path.join(directory, file))).first('(0020,000d)'))).toEqual([name]);
    await run('getscu', common);
    expect(readdirSync(directory).filter((file) => !file.startsWith('rsp'))).toHaveLength(8);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test.each(['1.2.*', '1.2/3', '1.2.ä', '...'])('%s is refused, and the sender hears why', async (name) => {
  const [object] = smallStudy({ patient: somebody(), accessionNumber: 'ODD-5', studyInstanceUid: name, seriesInstanceUid: '1.2.3' }).objects;
  const [answer] = await journey.hospital.pacs.store([object!]);
  expect(answer!.status).toBe(0xc000);
  const [refused] = (await exchanges(journey.gateway, "interaction = 'C-STORE' AND control_id = $1", [object!.sopInstanceUid]));
  expect(refused).toMatchObject({ message_status: 'rejected', error_text: 'Study Instance UID (0020,000d) is not a UID (letters, digits and . _ - + : = @ ( ) [ ] { }, at most 64)', error_location: '(0020,000d)' });
});
