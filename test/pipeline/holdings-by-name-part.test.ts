/** Studies by a part of a name, in an organization that holds more than is looked through from the newest on. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { findInstances, findSeries, findStudies, limitStatements, type Page } from '../../src/db/holdings.ts';
import { sql } from '../../src/db/pool.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import type { Match } from '#gateway/holdings.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { insertIntegration } from '../support/pipeline.ts';

let db: TestDatabase;
let organizationId: string;

/** After the oldest, which is of Seldom^A39: study n is of Crowd^A(n % 39), one an hour from 2026 on. */
const studies = 3_200;

beforeAll(async () => {
  db = await testDatabase();
  ({ organizationId } = await insertIntegration(db, 'Old Hospital', 'PACS', 'fake'));
  await db.asOwner(`INSERT INTO patients (organization_id, patient_number, family_name, given_name) SELECT $1, 'P' || n, CASE WHEN n < 39 THEN 'Crowd' WHEN n = 39 THEN 'Seldom' ELSE 'Without Images' END, 'A' || n FROM generate_series(0, 1000) n`, [organizationId]);
  await db.asOwner(`
    INSERT INTO scans (organization_id, scan_id, scan_number, patient_id, scan_type, study_instance_uid, accession_number, instance_count, series_count, study_at)
    SELECT $1, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'N' || n, p.patient_id, 'ct', '1.2.' || n, 'A' || n, 1, 1, '2026-01-01'::timestamptz + make_interval(hours => n)
    FROM generate_series(0, $2::int) n JOIN patients p ON p.organization_id = $1 AND p.patient_number = 'P' || CASE WHEN n = 0 THEN 39 ELSE n % 39 END`, [organizationId, studies]);
  await db.asOwner(`
    INSERT INTO scan_files (organization_id, scan_id, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, byte_size, dataset_offset, sha256, storage_location, received_at)
    SELECT $1, scan_id, study_instance_uid || '.1', study_instance_uid || '.1.1', '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', 1, 0, repeat('0', 64), 'x/' || study_instance_uid, study_at FROM scans WHERE organization_id = $1`, [organizationId]);
  await db.asOwner('ANALYZE patients, scans, scan_files');
});
afterAll(() => db.drop());

const part = (pattern: string): Match => ({ kind: 'wildcard', pattern });
const page = (matches: Page['matches'], more: Partial<Page> = {}): Page => ({ matches, zone: 'UTC', limit: 25, offset: 0, ...more });
const found = (asked: Page): Promise<string[]> => inOrganization(db.database, organizationId, async (tx) => (await findStudies(tx, asked)).map((row) => row.study_instance_uid));
const numbered = (from: number, count: number): string[] => Array.from({ length: count }, (_, index) => `1.2.${from - index}`);

test('a part that many names have fills its pages with the newest, one after the other', async () => {
  expect(await found(page({ patientName: part('*row*') }))).toEqual(numbered(studies, 25));
  expect(await found(page({ patientName: part('*row*') }, { limit: 500, offset: 2_600 }))).toEqual(numbered(studies - 2_600, 500));
  expect(await found(page({ patientName: part('*row*') }, { limit: 500, offset: 3_100 }))).toEqual(numbered(studies - 3_100, 100));
});

test('a part that few names have is found however old the study is', async () => {
  expect(await found(page({ patientName: part('*eldom*') }))).toEqual(['1.2.0']);
  expect(await found(page({ patientName: part('?eldom^A39') }))).toEqual(['1.2.0']);
  expect(await found(page({ patientName: part('*nobody*') }))).toEqual([]);
});

test('with days only studies of these are found, newest first', async () => {
  expect(await found(page({ patientName: part('*row*'), studyDate: { kind: 'exact', value: '20260103' } }))).toEqual(numbered(71, 24));
  expect(await found(page({ patientName: part('*eldom*'), studyDate: { kind: 'range', from: '20260101', to: '20260102' } }))).toEqual(['1.2.0']);
  expect(await found(page({ patientName: part('*eldom*'), studyDate: { kind: 'range', from: '20260102' } }))).toEqual([]);
});

test('with a number, or further keys, both have to hold', async () => {
  expect(await found(page({ patientName: part('*row*'), accessionNumber: { kind: 'exact', value: 'A7' } }))).toEqual(['1.2.7']);
  expect(await found(page({ patientName: part('*eldom*'), accessionNumber: { kind: 'exact', value: 'A7' } }))).toEqual([]);
  expect(await found(page({ patientName: part('*row*'), accessionNumber: part('A31?') }))).toEqual(numbered(319, 10));
});

test('series and instances of such studies come in the same order', async () => {
  const [series, instances] = await inOrganization(db.database, organizationId, async (tx) => [await findSeries(tx, page({ patientName: part('*^A38') }, { limit: 2, offset: 1 })), await findInstances(tx, page({ patientName: part('*eldom*') }))] as const);
  const ofA38 = Array.from({ length: studies }, (_, index) => studies - index).filter((n) => n % 39 === 38).slice(1, 3);
  expect(series.map((row) => row.series_instance_uid)).toEqual(ofA38.map((n) => `1.2.${n}.1`));
  expect(instances.map((row) => row.sop_instance_uid)).toEqual(['1.2.0.1.1']);
});

/** Entries of the index of names that PostgreSQL reads while a page is looked for, counted by PostgreSQL itself. */
const namesReadFor = (asked: Page): Promise<number> => inOrganization(db.database, organizationId, async (tx) => {
  const read = (): Promise<number> => tx.oneFirst(sql.type(z.object({ entries: z.number() }))`SELECT pg_stat_get_xact_tuples_returned('patients_name_key'::regclass)::int8 AS entries`);
  await limitStatements(tx, 5_000);
  const before = await read();
  await findStudies(tx, asked);
  return await read() - before;
});

test('all names are looked through only where the newest studies do not settle the page', async () => {
  expect(await namesReadFor(page({ patientName: part('*row*') }))).toBe(0);
  expect(await namesReadFor(page({ patientName: part('*eldom*'), studyDate: { kind: 'exact', value: '20260103' } }))).toBe(0);
  expect(await namesReadFor(page({ patientName: part('*row*'), accessionNumber: { kind: 'exact', value: 'A7' } }))).toBe(0);
  expect(await namesReadFor(page({ patientName: part('*eldom*') }))).toBeGreaterThan(0);
});
