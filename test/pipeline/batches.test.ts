/**
 * A batch of messages leaves exactly the rows that the same messages leave one by one, and the decisions made in memory (patient-batch.ts) are those
 * made by statements (identify.ts). Random sequences of ADT and merges over few patients, each in an organization of its own; ids made by the
 * database are replaced by what they stand for.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KnownPatients } from '../../src/pipeline/known-patients.ts';
import { persistMessages } from '../../src/pipeline/persist-messages.ts';
import type { PersistDependencies, PersistItem } from '../../src/pipeline/persist.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { HistoryRow, Normalized, PatientIdentifier, PatientMerge, PatientRow } from '#gateway/normalized.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { insertIntegration } from '../support/pipeline.ts';

let db: TestDatabase;
beforeAll(async () => { db = await testDatabase(); });
afterAll(() => db.drop());

interface Sent { readonly exchangeId: string; readonly controlId: string; readonly content: string; readonly normalized: Normalized }
type Said = Pick<Normalized, 'authority'> & Partial<Pick<Normalized, 'patient' | 'merges' | 'history'>>;

const identifier: fc.Arbitrary<PatientIdentifier> = fc.record({ value: fc.constantFrom('1', '2', '3'), assigning_authority: fc.constantFrom('', 'NORTH', 'SOUTH') });
const identifiers = (minLength: number): fc.Arbitrary<PatientIdentifier[]> => fc.uniqueArray(identifier, { minLength, maxLength: 2, selector: (one) => `${one.value}|${one.assigning_authority}` });
const patient: fc.Arbitrary<PatientRow> = fc.record({
  identifiers: fc.oneof({ weight: 9, arbitrary: identifiers(1) }, { weight: 1, arbitrary: fc.constant([]) }),
  family_name: fc.constantFrom('Doe', 'Roe', null), given_name: fc.constantFrom('Ann', 'Bob'), birth_date: fc.constantFrom('1980', '1980-05-17', '1991', null), sex: fc.constantFrom('female' as const, 'unknown' as const),
  address: fc.constantFrom([{ line: '1 Long Street', city: 'X', use: 'home' }], [{ city: 'Y' }], [], null), deceased: fc.boolean(), active: fc.boolean(),
}, { requiredKeys: ['identifiers'] });
const history: fc.Arbitrary<HistoryRow[]> = fc.array(fc.record({
  kind: fc.constantFrom('condition' as const, 'allergy' as const), code: fc.constantFrom('I10', 'J45', null), display: fc.constantFrom('I10', 'Asthma'), status: fc.constantFrom('active', 'resolved'),
}, { requiredKeys: ['kind', 'display'] }), { maxLength: 3 });
const merge: fc.Arbitrary<PatientMerge> = fc.record({ survivor: identifiers(1), prior: identifiers(1) });
const said: fc.Arbitrary<Said> = fc.record({
  authority: fc.constantFrom('registration' as const, 'registration' as const, 'order' as const), patient, history, merges: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(merge, { minLength: 1, maxLength: 2 }) }),
}, { requiredKeys: ['authority', 'patient'] });
const sequence: fc.Arbitrary<Sent[]> = fc.array(fc.tuple(said, fc.constantFrom('M1', 'M2', 'M3', 'M4', 'M5', 'M6', 'M7', 'M8'), fc.constantFrom('a', 'b')), { minLength: 2, maxLength: 12 })
  .map((messages) => messages.map(([normalized, controlId, content]) => ({ exchangeId: uuidV7(), controlId, content, normalized: { warnings: [], trace: () => [], mapping: 'test@1.0.0', ...normalized } })));

let organizations = 0;
const at = new Date('2026-01-05T10:00:00Z');

/** The batches go to the processes in turn, each of which remembers its patients for the next batch; without one nothing is remembered. */
async function persistIn(batches: readonly (readonly Sent[])[], ...processes: readonly KnownPatients[]): Promise<string> {
  const integration = await insertIntegration(db, `Batch Hospital ${++organizations}`, 'RIS', 'fake');
  const itemOf = ({ exchangeId, controlId, content, normalized }: Sent): PersistItem => ({
    exchangeId, adapter: 'fake', integration, normalized,
    message: { integration, interaction: 'ADT^A08', controlId, head: Buffer.from(content), byteSize: 1, sha256: content, receivedAt: at, peer: { address: '127.0.0.1', port: 1, application: 'RIS' }, facts: {} },
  });
  const dependencies = { database: db.database, now: () => at } as unknown as PersistDependencies;
  for (const [index, batch] of batches.entries()) await persistMessages(dependencies, integration.organizationId, batch.map(itemOf), processes[index % processes.length]);
  return integration.organizationId;
}

const select = (organizationId: string, text: string): Promise<Record<string, unknown>[]> => db.asOwner(text, [organizationId]);

/** Patients with what belongs to them and merges, without ids; and a patient by its id. */
async function patientsOf(organizationId: string): Promise<{ rows: string[]; nameOf: (patientId: unknown) => string }> {
  const rows = await select(organizationId, `
    SELECT p.patient_id, p.merged_into_patient_id, to_jsonb(p) - '{organization_id,patient_id,merged_into_patient_id,created_at,updated_at}'::text[] AS own,
      ARRAY(SELECT i.value || '|' || i.assigning_authority || '|' || i.is_current FROM patient_identifiers i WHERE i.organization_id = p.organization_id AND i.patient_id = p.patient_id ORDER BY 1) AS identifiers,
      ARRAY(SELECT (to_jsonb(h) - '{organization_id,history_id,patient_id,created_at,updated_at}'::text[])::text FROM patient_medical_history h WHERE h.organization_id = p.organization_id AND h.patient_id = p.patient_id ORDER BY 1) AS history,
      ARRAY(SELECT m.source_sync_id || ' ' || jsonb_array_length(m.moved->'identifiers') || ' ' || jsonb_array_length(m.moved->'history') FROM patient_merges m WHERE m.organization_id = p.organization_id AND m.prior_patient_id = p.patient_id ORDER BY 1) AS merges
    FROM patients p WHERE p.organization_id = $1`);
  const names = new Map(rows.map(({ patient_id: id, own, identifiers: numbers, history: statements, merges }) => [id, JSON.stringify({ own, numbers, statements, merges })]));
  const nameOf = (patientId: unknown): string => names.get(patientId) ?? 'nobody';
  return { rows: rows.map((row) => `${nameOf(row['patient_id'])} -> ${nameOf(row['merged_into_patient_id'])}`).toSorted(), nameOf };
}

/** Everything a message leaves beside its patient. */
async function recordsOf(organizationId: string, nameOf: (patientId: unknown) => string): Promise<unknown> {
  const exchanges = await select(organizationId, `SELECT l.sync_id, l.message_status, l.patient_id, l.warnings, i.sha256, i.links->>'patients' AS linked, a.patient_id AS audited, a.detail, convert_from(p.content, 'UTF8') AS content
    FROM sync_logs l LEFT JOIN message_identities i ON i.organization_id = l.organization_id AND i.sync_id = l.sync_id JOIN audit_logs a ON a.organization_id = l.organization_id AND a.sync_id = l.sync_id
      JOIN exchange_payloads p ON p.organization_id = l.organization_id AND p.sync_id = l.sync_id WHERE l.organization_id = $1 ORDER BY a.sequence`);
  const alerts = await select(organizationId, 'SELECT kind, severity, subject, message, occurrences FROM system_alerts WHERE organization_id = $1');
  return {
    exchanges: exchanges.map((row) => ({ ...row, patient_id: nameOf(row['patient_id']), linked: nameOf(row['linked']), audited: nameOf(row['audited']) })),
    alerts: alerts.map((row) => JSON.stringify({ ...row, subject: nameOf(String(row['subject']).replace('patient ', '')) })).toSorted(),
  };
}

const chunksOf = (messages: readonly Sent[], size: number): Sent[][] => Array.from({ length: Math.ceil(messages.length / size) }, (_, index) => messages.slice(index * size, (index + 1) * size));

test('property: a batch of ADT and merge messages leaves the same rows as the messages one by one', async () => {
  await fc.assert(fc.asyncProperty(sequence, fc.integer({ min: 2, max: 12 }), async (messages, size) => {
    const [together, apart] = [await persistIn(chunksOf(messages, size)), await persistIn(chunksOf(messages, 1))];
    const [left, right] = [await patientsOf(together), await patientsOf(apart)];
    expect(left.rows).toEqual(right.rows);
    expect(await recordsOf(together, left.nameOf)).toEqual(await recordsOf(apart, right.nameOf));
  }), { numRuns: 50, seed: 20260105 });
}, 180_000);

test('property: messages about patients that are remembered leave the same rows as messages whose patients are read', async () => {
  await fc.assert(fc.asyncProperty(sequence, fc.integer({ min: 1, max: 3 }), async (messages, size) => {
    const [remembered, read] = [await persistIn(chunksOf(messages, size), new KnownPatients()), await persistIn(chunksOf(messages, size))];
    const [left, right] = [await patientsOf(remembered), await patientsOf(read)];
    expect(left.rows).toEqual(right.rows);
    expect(await recordsOf(remembered, left.nameOf)).toEqual(await recordsOf(read, right.nameOf));
  }), { numRuns: 80, seed: 20260107 });
}, 180_000);

test('property: two processes that remember the same patients leave the same rows as one that reads them', async () => {
  await fc.assert(fc.asyncProperty(sequence, async (messages) => {
    const processes = [new KnownPatients(), new KnownPatients()];
    const [remembered, read] = [await persistIn(chunksOf(messages, 1), ...processes), await persistIn(chunksOf(messages, 1))];
    const [left, right] = [await patientsOf(remembered), await patientsOf(read)];
    expect(left.rows).toEqual(right.rows);
    expect(await recordsOf(remembered, left.nameOf)).toEqual(await recordsOf(read, right.nameOf));
  }), { numRuns: 80, seed: 20260108 });
}, 180_000);

test('property: what is decided in memory is what is decided by statements', async () => {
  /** A merge of a patient with itself has no effect, and takes the message through identify.ts. */
  const byStatements = (sent: Sent): Sent => {
    const first = sent.normalized.patient!.identifiers.slice(0, 1);
    return { ...sent, normalized: { ...sent.normalized, ...(first.length > 0 ? { merges: [{ survivor: first, prior: first }, ...sent.normalized.merges ?? []] } : {}) } };
  };
  await fc.assert(fc.asyncProperty(sequence, async (messages) => {
    const [inMemory, inDatabase] = [await persistIn([messages]), await persistIn(messages.map((message) => [byStatements(message)]))];
    expect((await patientsOf(inMemory)).rows).toEqual((await patientsOf(inDatabase)).rows);
  }), { numRuns: 50, seed: 20260106 });
}, 180_000);

const messageOf = (controlId: string, normalized: Said): Sent => ({ exchangeId: uuidV7(), controlId, content: 'a', normalized: { warnings: [], trace: () => [], mapping: 'test@1.0.0', ...normalized } });

test('a statement that changes and changes back within a batch is that of the message that said it last', async () => {
  const says = (controlId: string, status: string): Sent =>
    messageOf(controlId, { authority: 'registration', patient: { identifiers: [{ value: '1', assigning_authority: '' }] }, history: [{ kind: 'condition', display: 'Asthma', status }] });
  const [first, ...later] = [says('M1', 'active'), says('M2', 'resolved'), says('M3', 'active')];
  const organizationId = await persistIn([[first!], later]);
  expect(await select(organizationId, 'SELECT status, source_sync_id FROM patient_medical_history WHERE organization_id = $1')).toEqual([{ status: 'active', source_sync_id: later[1]!.exchangeId }]);
});

test('a message with identifiers of two patients is a warning and an alert, which counts each time within a batch', async () => {
  const names = (controlId: string, ...values: string[]): Sent => messageOf(controlId, { authority: 'registration', patient: { identifiers: values.map((value) => ({ value, assigning_authority: 'NORTH' })) } });
  const organizationId = await persistIn([[names('M1', '1'), names('M2', '2'), names('M3', '1', '2'), names('M4', '1', '2')]]);
  expect(await select(organizationId, 'SELECT kind, occurrences FROM system_alerts WHERE organization_id = $1')).toEqual([{ kind: 'identity_conflict', occurrences: 2 }]);
  expect(await select(organizationId, 'SELECT control_id FROM sync_logs WHERE organization_id = $1 AND warnings IS NOT NULL ORDER BY control_id')).toEqual([{ control_id: 'M3' }, { control_id: 'M4' }]);
});

test('a patient that changes between the reading and the writing of a batch is read again', async () => {
  const says = (controlId: string, given: string): Sent => messageOf(controlId, { authority: 'registration', patient: { identifiers: [{ value: '1', assigning_authority: '' }], given_name: given } });
  const organizationId = await persistIn([[says('M1', 'Ann')]]);
  const integration = (await select(organizationId, 'SELECT integration_id FROM external_integrations WHERE organization_id = $1'))[0]!['integration_id'];
  // The clock is asked after the patient was read and before it is written.
  let changed: Promise<unknown> | undefined;
  const query = db.database.pool.query.bind(db.database.pool);
  const pool = { ...db.database.pool, query: async (statement: never) => { await changed; return query(statement); } };
  const now = (): Date => { changed ??= select(organizationId, "UPDATE patients SET family_name = 'Doe' WHERE organization_id = $1"); return at; };
  const { exchangeId, controlId, normalized } = says('M2', 'Bob');
  const where = { integrationId: String(integration), organizationId, name: 'RIS', config: {} };
  await persistMessages({ database: { ...db.database, pool }, now } as unknown as PersistDependencies, organizationId, [{
    exchangeId, adapter: 'fake', integration: where, normalized,
    message: { integration: where, interaction: 'ADT^A08', controlId, head: Buffer.from('a'), byteSize: 1, sha256: 'a', receivedAt: at, peer: { address: '127.0.0.1', port: 1, application: 'RIS' }, facts: {} },
  }]);
  expect(await select(organizationId, 'SELECT family_name, given_name FROM patients WHERE organization_id = $1')).toEqual([{ family_name: 'Doe', given_name: 'Bob' }]);
});
