/** Searches over many rows: each finds what is asked for, by looking at few of them. What is counted is rows that PostgreSQL fetched, not time. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listSyncLogs, syncLogQuery } from '../../src/api/queries/sync-logs.ts';
import { PatientSearch, searchPatients } from '../../src/api/queries/patients.ts';
import { findPatients, limitStatements } from '../../src/db/holdings.ts';
import { sql, type Transaction } from '../../src/db/pool.ts';
import { findRecords, limitStatement } from '../../src/db/records.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { z } from '@hono/zod-openapi';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/gateway.ts';
import { insertIntegration } from '../support/pipeline.ts';
import type { DayComparison } from '#gateway/records.ts';

const PEOPLE = 20_000, EXCHANGES = 20_000;
let db: TestDatabase, organizationId: string, busy: string, quiet: string, silent: string;

beforeAll(async () => {
  db = await testDatabase();
  ({ organizationId, integrationId: busy } = await insertIntegration(db, 'North', 'Busy', 'fake'));
  [quiet, silent] = await Promise.all(['Quiet', 'Silent'].map(async (name) => (await insertIntegration(db, 'North', name, 'fake')).integrationId)) as [string, string];
  await db.asOwner(`INSERT INTO patients (organization_id, patient_number, family_name, birth_date) SELECT $1, 'P' || n, 'Family' || n % 1000, (1930 + n % 90) || '-' || lpad((1 + n % 12)::text, 2, '0') || '-' || lpad((1 + n % 28)::text, 2, '0') FROM generate_series(1, $2::int) n`, [organizationId, PEOPLE]);
  await db.asOwner(`INSERT INTO sync_logs (organization_id, integration_id, adapter, direction, interaction, control_id, message_status, answer_status, started_at)
    SELECT $1, CASE WHEN n = 500 THEN $4::uuid ELSE $3::uuid END, 'fake', 'inbound', 'C-STORE', 'M' || n, 'accepted', 'answered', now() FROM generate_series(1, $2::int) n`, [organizationId, EXCHANGES, busy, quiet]);
  await db.asOwner("SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'brin' AND c.relkind = 'i' AND c.relname LIKE 'sync_logs%'");
  // Not vacuumed, so that what an index alone would tell is fetched, and counted.
  await db.asOwner('ANALYZE patients, sync_logs');
});
afterAll(() => db.drop());

/** How many rows of the tables the work fetched, seen from inside its transaction. */
async function fetched(work: (tx: Transaction) => Promise<readonly object[]>): Promise<{ found: number; rows: number }> {
  return inOrganization(db.database, organizationId, async (tx) => {
    const touched = () => tx.oneFirst(sql.type(z.object({ rows: z.number() }))`SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int AS rows FROM pg_stat_xact_user_tables WHERE relname ~ '^(patients|sync_logs)'`);
    const before = await touched(), found = await work(tx);
    return { found: found.length, rows: await touched() - before };
  });
}

test.each([[() => silent, 0], [() => quiet, 1]])('a system that seldom speaks is found in the log without walking through it', async (integration, expected) => {
  if (Number((await db.asOwner<{ server_version_num: string }>('SHOW server_version_num'))[0]!.server_version_num) < 160_000) return; // its index is made from PostgreSQL 16 on (migrations/0035)
  const { found, rows } = await fetched((tx) => listSyncLogs(tx, syncLogQuery.parse({ integration_id: integration() }), { role: 'administrator', scopes: [] }));
  expect(found).toBe(expected);
  expect(rows).toBeLessThan(EXCHANGES / 10);
});

test('the newest exchanges of a busy system come from the end of the log', async () => {
  const { found, rows } = await fetched((tx) => listSyncLogs(tx, syncLogQuery.parse({ integration_id: busy, limit: 20 }), { role: 'administrator', scopes: [] }));
  expect([found, rows < EXCHANGES / 10]).toEqual([21, true]);
});

const born = '1975-10-06', alike = PEOPLE / 100;
test('a person is found by birth date, with a part of the name or without, by looking at those born that day', async () => {
  const [{ family_name: name }] = await db.asOwner<{ family_name: string }>('SELECT family_name FROM patients WHERE birth_date = $1 LIMIT 1', [born]) as [{ family_name: string }];
  const ways: ((tx: Transaction) => Promise<readonly object[]>)[] = [
    async (tx) => { await limitStatement(tx, 5000); return findRecords(tx, 'patient', { born: [{ is: '=', date: born }], texts: [{ columns: ['family_name', 'given_name'], match: 'begins', values: [name] }] }, { after: undefined, limit: 51 }); },
    async (tx) => { await limitStatement(tx, 5000); return findRecords(tx, 'patient', { born: [{ is: '=', date: born }] }, { after: undefined, limit: 51 }); },
    (tx) => searchPatients(tx, PatientSearch.parse({ name, birth_date: born })),
  ];
  for (const way of ways) {
    const { found, rows } = await fetched(way);
    expect([found > 0, rows < alike]).toEqual([true, true]);
  }
  const { rows } = await fetched(async (tx) => {
    await limitStatements(tx, 5000);
    return findPatients(tx, { matches: { patientName: { kind: 'wildcard', pattern: `*${name}*` }, patientBirthDate: { kind: 'exact', value: born.replaceAll('-', '') } }, zone: 'UTC', limit: 50, offset: 0 });
  });
  expect(rows).toBeLessThan(alike);
});

test('birth dates of any precision compare as far as they are asked for', async () => {
  const stored = ['1949', '1949-12', '1949-12-31', '1950', '1950-01', '1950-01-01', '1950-01-02', '1950-02', '1950-12-31', '1951', '1951-01-01'];
  const { organizationId: south } = await insertIntegration(db, 'South', 'Any', 'fake');
  await db.asOwner('INSERT INTO patients (organization_id, patient_number, birth_date) SELECT $1, d, d FROM unnest($2::text[]) d', [south, stored]);
  const holds: Record<DayComparison['is'], (a: string, b: string) => boolean> = { '=': (a, b) => a === b, '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b, '>=': (a, b) => a >= b };
  for (const is of Object.keys(holds) as DayComparison['is'][]) {
    for (const date of ['1950', '1950-01', '1950-01-01', '1950-12-31']) {
      const found = await inOrganization(db.database, south, (tx) => findRecords(tx, 'patient', { born: [{ is, date }] }, { after: undefined, limit: 50 }));
      expect([is, date, found.map((row) => row.birth_date ?? '').toSorted()]).toEqual([is, date, stored.filter((each) => holds[is](each.slice(0, date.length), date)).toSorted()]);
    }
  }
  const asked = { exact: { kind: 'exact', value: '19500101' }, year: { kind: 'exact', value: '1950' }, from: { kind: 'range', from: '19500101', to: undefined }, to: { kind: 'range', from: undefined, to: '195001' } } as const;
  await db.asOwner("INSERT INTO scans (organization_id, patient_id, scan_number, scan_type, study_instance_uid, instance_count) SELECT organization_id, patient_id, patient_number, 'ct', '1.2.' || row_number() OVER (), 1 FROM patients WHERE organization_id = $1", [south]);
  const expected = { exact: ['1950-01-01'], year: stored.filter((each) => each.startsWith('1950')), from: stored.filter((each) => each >= '1950-01-01'), to: stored.filter((each) => each.slice(0, 7) <= '1950-01') };
  for (const [name, match] of Object.entries(asked)) {
    const found = await inOrganization(db.database, south, (tx) => findPatients(tx, { matches: { patientBirthDate: match as never }, zone: 'UTC', limit: 50, offset: 0 }));
    expect([name, found.map((row) => row.birth_date ?? '').toSorted()]).toEqual([name, expected[name as keyof typeof expected].toSorted()]);
  }
});

test('a part of a name is looked for in its index, which fetches nothing where it finds nothing', async () => {
  // Until every page is known to be visible to all; another session's look at the table may keep one from it.
  await eventually(async () => {
    await db.asOwner('VACUUM patients');
    return (await db.asOwner("SELECT FROM pg_class WHERE relname = 'patients' AND relallvisible = relpages")).length > 0;
  });
  const ways: ((tx: Transaction) => Promise<readonly object[]>)[] = [
    (tx) => searchPatients(tx, PatientSearch.parse({ name: 'nobody' })),
    async (tx) => { await limitStatement(tx, 5000); return findRecords(tx, 'patient', { texts: [{ columns: ['family_name', 'given_name'], match: 'begins', values: ['nobody'] }] }, { after: undefined, limit: 51 }); },
    async (tx) => { await limitStatement(tx, 5000); return findRecords(tx, 'patient', { texts: [{ columns: ['family_name'], match: 'contains', values: ['nobody'] }] }, { after: undefined, limit: 51 }); },
    async (tx) => { await limitStatements(tx, 5000); return findPatients(tx, { matches: { patientName: { kind: 'wildcard', pattern: '*nobody*' } }, zone: 'UTC', limit: 50, offset: 0 }); },
  ];
  for (const way of ways) {
    const { found, rows } = await fetched(way);
    expect([found, rows < PEOPLE / 10]).toEqual([0, true]);
  }
});
