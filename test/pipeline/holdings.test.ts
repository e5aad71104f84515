import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { createHoldings } from '../../src/pipeline/index.ts';
import { matchOf, matchKeys, type Holdings, type HoldingsRequest, type OpenHoldings } from '#gateway/holdings.ts';
import type { InstanceRow, PatientRow } from '#gateway/normalized.ts';
import { insertIntegration, instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
let open: OpenHoldings;
let otherOrganizationId: string;
const studyOfDoe = '1.2.826.0.1.1', studyOfYamada = '1.2.826.0.1.2';

const request = (more: Partial<HoldingsRequest> = {}): HoldingsRequest => ({
  organizationId: pipeline.integration.organizationId, integrationId: pipeline.integration.integrationId, purpose: 'query', interaction: 'C-FIND STUDY', controlId: '1.2.3',
  actor: { kind: 'application', id: 'CT1', address: '127.0.0.1' }, facts: {}, ...more,
});
const all = async <T>(rows: AsyncIterable<T>): Promise<T[]> => Array.fromAsync(rows);
const studies = async (match: Record<string, string>, more: Partial<HoldingsRequest> = {}): Promise<string[]> => {
  const holdings = await open(request(more));
  const parsed = Object.fromEntries(Object.entries(match).map(([key, text]) => [key, matchOf(key, matchKeys.study[key as keyof typeof matchKeys.study], text)]));
  return (await all(holdings.findStudies({ match: parsed }))).map((study) => study.studyInstanceUid);
};

async function store(who: PatientRow, row: InstanceRow, bytes = row.file.sop_instance_uid): Promise<void> {
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: row.file.sop_instance_uid, bytes, normalized: { patient: who, instance: row } });
  expect(receipt.kind).toBe('accepted');
}

beforeAll(async () => {
  pipeline = await testPipeline();
  open = createHoldings({ database: pipeline.db.database, store: pipeline.store, log: createLog({ logLevel: 'silent' }), now: () => new Date() }, 'dicom-dimse');
  otherOrganizationId = (await insertIntegration(pipeline.db, 'Other Hospital', 'PACS', 'fake')).organizationId;
  const doe = patient('P1', { family_name: 'Doe', given_name: 'John_100%', birth_date: '1980-05-17', sex: 'male' });
  const yamada = patient('P2', { family_name: 'Yamada', given_name: 'Tarou', ideographic_name: '山田^太郎', birth_date: '1970', sex: 'female' });
  const first = instance(studyOfDoe, `${studyOfDoe}.1.1`, { accession: 'ACC1' });
  const dated = { ...first, study: { ...first.study, study_at: '2026-03-01T23:30:00Z', study_description: 'CHEST' } };
  await store(doe, dated);
  await store(doe, instance(studyOfDoe, `${studyOfDoe}.1.2`));
  await store(doe, instance(studyOfDoe, `${studyOfDoe}.2.1`, { series: `${studyOfDoe}.2` }));
  await store(yamada, instance(studyOfYamada, `${studyOfYamada}.1.1`));
});
afterAll(() => pipeline.close());

test.each<[string, Record<string, string>, string[]]>([
  ['everything, newest first, when nothing is asked for', {}, [studyOfYamada, studyOfDoe]],
  ['a Patient ID', { patientId: 'P1' }, [studyOfDoe]],
  ['a Patient ID under its issuer only', { patientId: 'P1', issuerOfPatientId: 'ELSEWHERE' }, []],
  ['names without regard to case', { patientName: 'dOE*' }, [studyOfDoe]],
  ['a whole name, trailing delimiters left away', { patientName: 'YAMADA^TAROU^^' }, [studyOfYamada]],
  ['the ideographic group', { patientName: '山田*' }, [studyOfYamada]],
  ['one character for each question mark', { patientName: 'D?E^*' }, [studyOfDoe]],
  ['what LIKE takes for special as itself', { patientName: '*_100%' }, [studyOfDoe]],
  ['nothing by a percent sign', { patientName: 'Y%' }, []],
  ['a list of UIDs', { studyInstanceUid: `${studyOfDoe}\\${studyOfYamada}\\1.9.9` }, [studyOfYamada, studyOfDoe]],
  ['a day', { studyDate: '20260301' }, [studyOfDoe]],
  ['a range open to one side', { studyDate: '20260302-' }, []],
  ['a range that ends in a month', { studyDate: '-202603' }, [studyOfDoe]],
  ['a range of times', { studyDate: '20260301', studyTime: '2300-2330' }, [studyOfDoe]],
  ['a birth date range', { patientBirthDate: '19800101-19801231' }, [studyOfDoe]],
  ['a sex', { patientSex: 'F' }, [studyOfYamada]],
  ['a modality among several', { modalitiesInStudy: 'MR\\CT', accessionNumber: 'ACC?' }, [studyOfDoe]],
])('finds %s', async (_what, match, expected) => {
  expect(await studies(match)).toEqual(expected);
});

test('matches and tells days as the hospital\'s clock shows them', async () => {
  expect(await studies({ studyDate: '20260302' }, { timeZone: 'Europe/Berlin' })).toEqual([studyOfDoe]);
  const holdings = await open(request({ timeZone: 'Europe/Berlin' }));
  expect((await all(holdings.findStudies({ match: { patientId: { kind: 'exact', value: 'P1' } } })))[0]).toMatchObject({
    studyDate: '20260302', studyTime: '003000', timezoneOffsetFromUtc: '+0100', patientName: 'Doe^John_100%', patientId: 'P1', issuerOfPatientId: 'HOSP', patientBirthDate: '19800517', patientSex: 'M',
    accessionNumber: 'ACC1', studyDescription: 'CHEST', modalitiesInStudy: ['CT'], numberOfStudyRelatedSeries: 2, numberOfStudyRelatedInstances: 3,
  });
});

test('goes down to series and instances, and pages through them', async () => {
  const holdings = await open(request());
  const match = { studyInstanceUid: { kind: 'exact', value: studyOfDoe } } as const;
  expect((await all(holdings.findSeries({ match }))).map((row) => [row.seriesInstanceUid, row.numberOfSeriesRelatedInstances])).toEqual([[`${studyOfDoe}.1`, 2], [`${studyOfDoe}.2`, 1]]);
  expect((await all(holdings.findInstances({ match, limit: 1, offset: 1 }))).map((row) => row.sopInstanceUid)).toEqual([`${studyOfDoe}.1.2`]);
  expect((await all(holdings.findPatients({ match: {} }))).map((row) => row.patientId)).toEqual(['P2', 'P1']);
});

describe('a version that is not in use', () => {
  test('is neither found nor counted', async () => {
    await store(patient('P2'), instance(studyOfYamada, `${studyOfYamada}.1.1`), 'other bytes under the same UID');
    await store(patient('P1', { family_name: 'Doe' }), instance(studyOfYamada, `${studyOfYamada}.3.1`, { series: `${studyOfYamada}.3` }));
    const holdings = await open(request());
    const match = { studyInstanceUid: { kind: 'exact', value: studyOfYamada } } as const;
    expect(await all(holdings.findStudies({ match }))).toMatchObject([{ numberOfStudyRelatedSeries: 1, numberOfStudyRelatedInstances: 1 }]);
    const [only, ...more] = await all(holdings.findInstances({ match }));
    expect(more).toEqual([]);
    expect((await buffer(holdings.openDataset(only!))).toString()).toBe(`${studyOfYamada}.1.1`);
  });
});

test('a file that is retrieved begins with preamble and group 0002 and ends with the bytes as they came', async () => {
  const holdings = await open(request({ purpose: 'retrieve', interaction: 'C-GET' }));
  const [stored] = await all(holdings.instancesOf({ sopInstanceUid: { kind: 'exact', value: `${studyOfDoe}.1.2` } }));
  const file = await buffer(holdings.openFile(stored!));
  expect(file.toString('latin1', 128, 132)).toBe('DICM');
  expect(file.subarray(-stored!.byteSize).toString()).toBe(`${studyOfDoe}.1.2`);
  expect(await all(holdings.instancesOf({ seriesInstanceUid: { kind: 'exact', value: `${studyOfDoe}.2` } }))).toHaveLength(1);
  expect(await all(holdings.instancesOf({ patientId: { kind: 'exact', value: 'P1' } }))).toHaveLength(3);
});

test('another organization sees nothing, whatever it asks for', async () => {
  const holdings: Holdings = await open(request({ organizationId: otherOrganizationId, integrationId: undefined }));
  const match = { studyInstanceUid: { kind: 'exact', value: studyOfDoe } } as const;
  expect(await all(holdings.findPatients({ match: {} }))).toEqual([]);
  expect(await all(holdings.findStudies({ match }))).toEqual([]);
  expect(await all(holdings.findInstances({ match }))).toEqual([]);
  expect(await all(holdings.instancesOf(match))).toEqual([]);
});

test('a retrieve is on record before anything leaves, and its end is told with counts', async () => {
  const holdings = await open(request({ purpose: 'retrieve', interaction: 'C-MOVE', facts: { destination: 'PACS2' }, message: { content: Buffer.from('identifier'), type: 'application/dicom' } }));
  const rowOf = async () => (await pipeline.db.asOwner<Record<string, unknown>>('SELECT * FROM sync_logs WHERE sync_id = $1', [holdings.exchangeId]))[0];
  const auditsOf = async () => (await pipeline.db.asOwner<{ event_code: string; outcome: string }>('SELECT event_code, outcome FROM audit_logs WHERE sync_id = $1 ORDER BY sequence', [holdings.exchangeId])).map((row) => `${row.event_code} ${row.outcome}`);
  expect(await rowOf()).toMatchObject({ message_status: 'accepted', answer_status: 'unanswered', interaction: 'C-MOVE', peer_application: 'CT1' });
  expect(await auditsOf()).toEqual(['110102 success']);
  await holdings.finish({ answerCode: 'B000', heard: true, count: 2, failed: 1, byteSize: 99 });
  await holdings.finish({ answerCode: '0000', heard: true, count: 9 });
  expect(await rowOf()).toMatchObject({ answer_status: 'answered', answer_code: 'B000', facts: { destination: 'PACS2', count: 2, failed: 1, byteSize: 99 } });
  expect(await auditsOf()).toEqual(['110102 success', '110104 minor_failure']);
});

test.each([
  ['studyInstanceUid', 'uid', '1.2.*'], ['studyDate', 'date', '20261301'], ['studyDate', 'date', '2026-01-01'], ['studyTime', 'time', '2500'], ['patientName', 'name', '*a*b*c*d*e*f*g*h*i*'],
  ['seriesNumber', 'number', '1 OR 1=1'], ['studyInstanceUid', 'uid', Array.from({ length: 1001 }, () => '1.2').join('\\')],
] as const)('cannot match %s (%s) with %s, and says so without the value', (key, kind, text) => {
  expect(() => matchOf(key, kind, text)).toThrow(expect.objectContaining({ name: 'InvalidMatchError', message: expect.not.stringContaining(text) }));
});
