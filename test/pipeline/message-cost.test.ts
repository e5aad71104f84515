/** What a message costs does not depend on how much its organization holds: rows that PostgreSQL reads for one message, counted by PostgreSQL itself. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { databaseWithin, inOrganization } from '../../src/db/transaction.ts';
import { sql } from '../../src/db/pool.ts';
import { KnownPatients } from '../../src/pipeline/known-patients.ts';
import { persistMessages } from '../../src/pipeline/persist-messages.ts';
import type { PersistDependencies, PersistItem } from '../../src/pipeline/persist.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { Integration } from '#gateway/adapter.ts';
import type { PatientRow } from '#gateway/normalized.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { insertIntegration } from '../support/pipeline.ts';

const held = 3000;
let db: TestDatabase;
let integration: Integration;
let messages = 0;

beforeAll(async () => {
  db = await testDatabase();
  integration = await insertIntegration(db, 'Old Hospital', 'RIS', 'fake');
});
afterAll(() => db.drop());

function item(patient: PatientRow): PersistItem {
  const controlId = `NEW-${++messages}`;
  return {
    exchangeId: uuidV7(), adapter: 'fake', integration, normalized: { authority: 'registration', warnings: [], trace: () => [], mapping: 'test@1.0.0', patient },
    message: { integration, interaction: 'ADT^A08', controlId, head: Buffer.from(controlId), byteSize: 1, sha256: controlId, receivedAt: new Date(), peer: { address: '127.0.0.1', port: 1, application: 'RIS|OLD' }, facts: {} },
  };
}

const Read = z.object({ rows: z.number() });

/** Rows read by a sequential or index scan of any table while these messages are stored. */
function rowsReadFor(items: readonly PersistItem[], known: KnownPatients): Promise<number> {
  return inOrganization(db.database, integration.organizationId, async (tx) => {
    const read = (): Promise<number> => tx.oneFirst(sql.type(Read)`SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int8 AS rows FROM pg_stat_xact_user_tables`);
    const before = await read();
    await persistMessages({ database: databaseWithin(tx), now: () => new Date() } as unknown as PersistDependencies, integration.organizationId, items, known);
    return await read() - before;
  });
}

const patients = Array.from({ length: 6 }, (_, index): PatientRow => ({ identifiers: [{ value: `P${index + 1}`, assigning_authority: 'OLD' }], family_name: 'Doe' }));

test('storing messages reads a handful of rows each, however many patients and messages there are', async () => {
  const known = new KnownPatients();
  // The connection plans its statements while the tables are empty, as after an installation.
  await rowsReadFor(patients.slice(0, 1).map(item), new KnownPatients());
  await rowsReadFor(patients.slice(0, 1).map(item), known);
  await rowsReadFor(patients.slice(0, 1).map(item), known);
  await db.asOwner(`
    WITH made AS (INSERT INTO patients (organization_id, patient_number, family_name) SELECT $1, 'H' || n, 'Roe' FROM generate_series(1, $3::int) n RETURNING patient_id, patient_number),
    numbered AS (INSERT INTO patient_identifiers (organization_id, patient_id, value, value_index, assigning_authority) SELECT $1, patient_id, patient_number, patient_number, 'OLD' FROM made)
    INSERT INTO message_identities (organization_id, integration_id, sender, control_id, sha256, interaction, sync_id) SELECT $1, $2, 'RIS|OLD', 'OLD-' || n, 'x', 'ADT^A08', medscan_uuid_v7() FROM generate_series(1, $3::int) n`,
  [integration.organizationId, integration.integrationId, held]);

  const unknown = await rowsReadFor(patients.map(item), known);
  const same = await rowsReadFor(patients.map(item), known);
  const changed = await rowsReadFor(patients.map((patient) => item({ ...patient, family_name: 'Poe' })), known);
  expect({ unknown: unknown / patients.length, same: same / patients.length, changed: changed / patients.length })
    .toEqual({ unknown: expect.toSatisfy(isFew), same: expect.toSatisfy(isFew), changed: expect.toSatisfy(isFew) });
});

const isFew = (rows: number): boolean => rows <= 20;
