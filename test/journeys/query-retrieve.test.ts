/** Other systems ask the gateway for what it holds, with DCMTK as the one that asks. Skipped where its tools are not installed. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { samplePatients } from '../../src/simulator/sample-patients.ts';
import { seedReference } from '../../src/db/seed.ts';
import { ensureOrganization } from '../../src/db/organizations.ts';
import { loadAdapters } from '../../src/gateway/registry.ts';
import { saveIntegration } from '../../src/gateway/save-integration.ts';
import { takeApart } from '../../src/simulator/part10-file.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import { eventually } from '../support/gateway.ts';
import { anOrder, changeSettings, exchanges, expectAudited, smallStudy, startJourney, type Journey } from '../support/journey.ts';

const run = promisify(execFile);
const isInstalled = (() => { try { execFileSync('findscu', ['--version'], { stdio: 'ignore' }); return true; } catch { return false; } })();
if (!isInstalled) console.log('skipped: DCMTK (findscu, movescu, getscu) is not installed');

const patient = samplePatients.japanese;
const order = anOrder();
const study = smallStudy({ patient, accessionNumber: 'ACC-QR-1' });
let journey: Journey;
const cleanups: (() => void)[] = [];
afterEach(() => { for (const cleanup of cleanups.splice(0)) cleanup(); });

const port = (): string => String(journey.gateway.ports.dicom);
const folder = (): string => {
  const directory = mkdtempSync(path.join(tmpdir(), 'medscan-dcmtk-'));
  cleanups.push(() => { rmSync(directory, { recursive: true, force: true }); });
  return directory;
};

/** What findscu was answered with: one reader per match, and its words. */
async function findscu(model: '-S' | '-P' | '-W', keys: readonly string[], more: readonly string[] = []): Promise<{ matches: ReturnType<typeof dicomReader>[]; log: string }> {
  const directory = folder();
  const { stdout, stderr } = await run('findscu', ['-v', '-aec', 'MEDSCAN', '-aet', 'READER', model, '-X', '-od', directory, ...more, ...keys.flatMap((key) => ['-k', key]), '127.0.0.1', port()]);
  return { matches: readdirSync(directory).toSorted().map((name) => dicomReader(readFileSync(path.join(directory, name)))), log: stdout + stderr };
}
const lastOf = async (interaction: string) => eventually(async () => {
  const row = (await exchanges(journey.gateway, 'interaction LIKE $1', [`${interaction}%`])).at(-1);
  return row?.answer_code !== null && row;
}, 5_000);

beforeAll(async () => {
  if (!isInstalled) return;
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '300' });
  const { hospital, gateway } = journey;
  await changeSettings(gateway, 'PACS', { allow_query: true, allow_retrieve: true, allow_worklist: true, most_matches: 20, time_zone: 'Europe/Berlin' });
  expect((await hospital.ris.register(patient)).code).toBe('AA');
  expect((await hospital.ris.order(patient, order)).code).toBe('AA');
  expect((await hospital.pacs.store(study.objects)).every((answer) => answer.status === 0)).toBe(true);
});
afterAll(() => journey?.stop());

describe.skipIf(!isInstalled)('C-FIND', () => {
  test('answers a study query with the keys that were asked for, names in all their writings', async () => {
    const { matches } = await findscu('-S', ['QueryRetrieveLevel=STUDY', 'PatientName=YAMADA*', 'PatientID', 'StudyInstanceUID', 'AccessionNumber', 'ModalitiesInStudy', 'NumberOfStudyRelatedInstances', 'PatientComments', 'StudyDate']);
    expect(matches).toHaveLength(1);
    const [match] = matches;
    expect(match!.first('(0010,0010)')).toBe('Yamada^Tarou=山田^太郎=やまだ^たろう');
    expect(match!.first('(0010,0020)')).toBe(patient.patientId);
    expect(match!.first('(0020,000d)')).toBe(study.studyInstanceUid);
    expect(match!.first('(0008,0050)')).toBe('ACC-QR-1');
    expect(match!.first('(0008,0061)')).toBe('CT');
    expect(match!.first('(0020,1208)')).toBe('8');
    expect(match!.first('(0010,4000)')).toBe('');
    expect(match!.first('(0008,0052)')).toBe('STUDY');
    expect(match!.first('(0020,0010)'), 'Study ID was not asked for').toBeUndefined();
  });

  test('answers in the character set that the question names, in the one of the setting, and in UTF-8 where a name would lose a letter', async () => {
    const keys = ['QueryRetrieveLevel=STUDY', `StudyInstanceUID=${study.studyInstanceUid}`, 'PatientName'];
    const answered = async (more: readonly string[]): Promise<unknown[]> => {
      const [match] = (await findscu('-S', [...keys, ...more])).matches;
      return [match!.all('(0008,0005)').join('\\'), match!.first('(0010,0010)')];
    };
    const name = 'Yamada^Tarou=山田^太郎=やまだ^たろう';
    expect(await answered(['SpecificCharacterSet=\\ISO 2022 IR 87'])).toEqual(['\\ISO 2022 IR 87', name]);
    expect(await answered(['SpecificCharacterSet=ISO_IR 100']), 'Latin-1 has no kanji').toEqual(['ISO_IR 192', name]);
    await changeSettings(journey.gateway, 'PACS', { character_set: 'ISO 2022 IR 87' });
    expect(await answered([])).toEqual(['\\ISO 2022 IR 87', name]);
    await changeSettings(journey.gateway, 'PACS', { character_set: undefined });
    expect(await answered([])).toEqual(['ISO_IR 192', name]);
  });

  test('goes down to series and images by the unique keys above', async () => {
    const above = ['QueryRetrieveLevel=SERIES', `StudyInstanceUID=${study.studyInstanceUid}`, 'SeriesInstanceUID', 'Modality', 'NumberOfSeriesRelatedInstances'];
    const series = (await findscu('-S', above)).matches;
    expect(series.map((match) => [match.first('(0020,000e)'), match.first('(0008,0060)'), match.first('(0020,1209)')])).toEqual([[study.seriesInstanceUid, 'CT', '8']]);
    const images = (await findscu('-S', ['QueryRetrieveLevel=IMAGE', `StudyInstanceUID=${study.studyInstanceUid}`, `SeriesInstanceUID=${study.seriesInstanceUid}`, 'SOPInstanceUID', 'InstanceNumber', 'Rows'])).matches;
    expect(new Set(images.map((match) => match.first('(0008,0018)')))).toEqual(new Set(study.objects.map((object) => object.sopInstanceUid)));
    expect(images[0]!.first('(0028,0010)')).toBe('80');
    const patients = (await findscu('-P', ['QueryRetrieveLevel=PATIENT', `PatientID=${patient.patientId}`, 'PatientBirthDate', 'PatientSex'])).matches;
    expect(patients.map((match) => [match.first('(0010,0030)'), match.first('(0010,0040)')])).toEqual([['19710705', 'M']]);
  });

  test.each([
    ['a level that Study Root does not have', ['QueryRetrieveLevel=PATIENT', 'PatientID'], 'DataSetDoesNotMatchSOPClass'],
    ['a missing unique key', ['QueryRetrieveLevel=IMAGE', 'SOPInstanceUID'], 'DataSetDoesNotMatchSOPClass'],
    ['a pattern made to be slow', ['QueryRetrieveLevel=STUDY', `PatientName=${'*a'.repeat(20)}`], 'DataSetDoesNotMatchSOPClass'],
    ['a range of no dates', ['QueryRetrieveLevel=STUDY', 'StudyDate=2026-01-01'], 'DataSetDoesNotMatchSOPClass'],
  ])('refuses %s, and says so', async (_what, keys, status) => {
    const { matches, log } = await findscu('-S', keys);
    expect(matches).toEqual([]);
    expect(log).toContain(status);
  });

  test('ends with A700 when there are more matches than allowed', async () => {
    await changeSettings(journey.gateway, 'PACS', { most_matches: 3 });
    const keys = ['QueryRetrieveLevel=IMAGE', `StudyInstanceUID=${study.studyInstanceUid}`, `SeriesInstanceUID=${study.seriesInstanceUid}`, 'SOPInstanceUID'];
    const limited = await findscu('-S', keys);
    expect(limited.matches).toHaveLength(3);
    expect(limited.log).toContain('OutOfResources');
    await changeSettings(journey.gateway, 'PACS', { most_matches: 20 });
  });

  test('is on record: who, which keys, how many, never the values; and audited as a query', async () => {
    await findscu('-S', ['QueryRetrieveLevel=STUDY', 'PatientName=YAMADA*']);
    const row = await lastOf('C-FIND STUDY');
    expect(row).toMatchObject({ message_status: 'accepted', answer_status: 'answered', answer_code: '0000', peer_application: 'READER', facts: expect.objectContaining({ keys: ['patientName'], count: 1 }) });
    expect(JSON.stringify(row)).not.toContain('YAMADA');
    await expectAudited(journey.gateway, [row]);
  });
});

describe.skipIf(!isInstalled)('a worklist query', () => {
  test('lists the order with patient, accession and one scheduled step for the station that asks', async () => {
    const { matches } = await findscu('-W', [
      'PatientName', 'PatientID', 'AccessionNumber', 'StudyInstanceUID', 'RequestedProcedureID', 'RequestedProcedureDescription',
      '(0040,0100)[0].Modality=CT', '(0040,0100)[0].ScheduledStationAETitle', '(0040,0100)[0].ScheduledProcedureStepStartDate', '(0040,0100)[0].ScheduledProcedureStepID',
    ]);
    expect(matches).toHaveLength(1);
    const [item] = matches;
    expect(item!.first('(0010,0010)')).toBe('Yamada^Tarou=山田^太郎=やまだ^たろう');
    expect(item!.first('(0008,0050)')).toBe(order.accessionNumber);
    expect(item!.first('(0032,1060)')).toBe('CT Chest');
    expect(item!.first('(0020,000d)')).toMatch(/^[0-9.]+$/);
    expect(item!.first('(0040,0100)>(0008,0060)')).toBe('CT');
    expect(item!.first('(0040,0100)>(0040,0001)')).toBe('READER');
    expect(item!.first('(0040,0100)>(0040,0009)')).toBe(order.fillerOrderNumber);
  });

  test.each([
    ['another modality', ['(0040,0100)[0].Modality=MR']], ['another accession number', ['AccessionNumber=NOBODYS']], ['a step that is done', ['(0040,0100)[0].ScheduledProcedureStepStatus=COMPLETED']],
    ['a day long ago', ['(0040,0100)[0].ScheduledProcedureStepStartDate=20010101-20010131']],
  ])('finds nothing for %s', async (_what, keys) => {
    expect((await findscu('-W', ['PatientName', ...keys])).matches).toEqual([]);
  });
});

describe.skipIf(!isInstalled)('C-MOVE', () => {
  const movescu = (destination: string, ...keys: string[]) => run('movescu', ['-v', '-S', '-aec', 'MEDSCAN', '-aet', 'READER', '-aem', destination, ...keys.flatMap((key) => ['-k', key]), '127.0.0.1', port()])
    .then(({ stdout, stderr }) => stdout + stderr, (error: { stdout: string; stderr: string }) => error.stdout + error.stderr);

  test('sends the stored bytes to the destination of an integration', async () => {
    const before = journey.hospital.pacs.received.items.length;
    const log = await movescu('NORTHPACS', 'QueryRetrieveLevel=STUDY', `StudyInstanceUID=${study.studyInstanceUid}`);
    expect(log).toMatch(/Success/i);
    const received = journey.hospital.pacs.received.items.slice(before);
    expect(received).toHaveLength(8);
    const row = await lastOf('C-MOVE');
    expect(row).toMatchObject({ answer_code: '0000', facts: expect.objectContaining({ destination: 'NORTHPACS', count: 8 }) });
    const audits = await journey.gateway.db.asOwner<{ event_code: string }>('SELECT event_code FROM audit_logs WHERE sync_id = $1 ORDER BY sequence', [row.sync_id]);
    expect(audits.map((audit) => audit.event_code)).toEqual(['110102', '110104']);
  });

  test('does not know a destination that nobody configured: A801', async () => {
    expect((await movescu('ELSEWHERE', 'QueryRetrieveLevel=STUDY', `StudyInstanceUID=${study.studyInstanceUid}`)).toLowerCase()).toContain('destination');
    expect(await lastOf('C-MOVE')).toMatchObject({ answer_code: 'A801' });
  });

  test('says that it could not send when the destination is away: A702', async () => {
    await journey.hospital.pacs.stop();
    await movescu('NORTHPACS', 'QueryRetrieveLevel=STUDY', `StudyInstanceUID=${study.studyInstanceUid}`);
    expect(await lastOf('C-MOVE')).toMatchObject({ answer_code: 'A702', facts: expect.objectContaining({ failed: 8, count: 0 }) });
  });
});

describe.skipIf(!isInstalled)('C-GET', () => {
  test('returns the datasets on the same association, byte for byte', async () => {
    const directory = folder();
    await run('getscu', ['-S', '-aec', 'MEDSCAN', '-aet', 'READER', '-od', directory, '+B', '-k', 'QueryRetrieveLevel=SERIES', '-k', `StudyInstanceUID=${study.studyInstanceUid}`, '-k', `SeriesInstanceUID=${study.seriesInstanceUid}`, '127.0.0.1', port()]);
    const got = readdirSync(directory).map((name) => takeApart(readFileSync(path.join(directory, name)))!);
    expect(got).toHaveLength(8);
    for (const object of got) expect(object.dataset.equals(study.objects.find(({ sopInstanceUid }) => sopInstanceUid === object.sopInstanceUid)!.dataset)).toBe(true);
    expect(await lastOf('C-GET')).toMatchObject({ answer_code: '0000', facts: expect.objectContaining({ count: 8 }) });
  });
});

describe.skipIf(!isInstalled)('who may ask', () => {
  test('another organization finds nothing of this one, and a system without the setting is not even let in', async () => {
    const { gateway } = journey;
    const { organizationId } = await ensureOrganization(gateway.db.database, { name: 'Elsewhere' });
    await seedReference(gateway.db.database, organizationId);
    const saved = await saveIntegration({ database: gateway.db.database, keys: gateway.db.keys, adapters: await loadAdapters() }, organizationId, undefined,
      { name: 'PACS', kind: 'pacs', adapter: 'dicom-dimse', direction: 'both', settings: { called_ae_title: 'ELSEWHERE', allow_query: true }, isEnabled: true }, { kind: 'system', id: 'test' });
    expect(saved.kind).toBe('saved');
    await gateway.integrations.reload();
    const ask = (model: string) => run('findscu', ['-v', '-aec', 'ELSEWHERE', '-aet', 'READER', model, '-k', 'QueryRetrieveLevel=STUDY', '-k', 'StudyInstanceUID', '127.0.0.1', port()]);
    const { stdout, stderr } = await ask('-S');
    expect(stdout + stderr).not.toContain(study.studyInstanceUid);
    await expect(ask('-W')).rejects.toMatchObject({ stderr: expect.stringMatching(/No Acceptable Presentation Contexts/i) });
  });
});
