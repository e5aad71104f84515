/**
 * The first image of a study on the short way (migrations/0041) leaves the rows that the long way leaves, whose decisions are made by
 * identify.ts. Random sequences of orders and images over few patients, studies and accession numbers, each in two organizations.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import type { PgBoss } from 'pg-boss';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPersist, type PersistDependencies, type PersistItem, type Persisted } from '../../src/pipeline/persist.ts';
import { persistInstances } from '../../src/pipeline/persist-instances.ts';
import { persistMessages } from '../../src/pipeline/persist-messages.ts';
import { KnownStudies } from '../../src/pipeline/known-studies.ts';
import { createLog } from '../../src/log.ts';
import { startQueue } from '../../src/queue/boss.ts';
import { openObjectStore, type ObjectStore } from '../../src/storage/object-store.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { Integration } from '#gateway/adapter.ts';
import type { InstanceRow, Normalized, OrderRow, PatientIdentifier, PatientRow } from '#gateway/normalized.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { insertIntegration } from '../support/pipeline.ts';

let db: TestDatabase, boss: PgBoss, store: ObjectStore, directory: string;
beforeAll(async () => {
  db = await testDatabase();
  directory = await mkdtemp(path.join(tmpdir(), 'medscan-opening-'));
  store = await openObjectStore(directory);
  boss = await startQueue(db.appUrl, createLog({ logLevel: 'silent' }), { supervise: false });
});
afterAll(async () => {
  await boss.stop({ graceful: false, close: true });
  await db.drop();
  await rm(directory, { recursive: true, force: true });
});

type Said = Pick<Normalized, 'authority' | 'patient' | 'order' | 'instance'>;
type Persist = (item: PersistItem) => Promise<Persisted>;
const at = new Date('2026-01-05T10:00:00Z');
let organizations = 0;

const dependencies = (): PersistDependencies => ({ database: db.database, boss, store, quietSeconds: 30, now: () => at });
const nextIntegration = (): Promise<Integration> => insertIntegration(db, `Opening Hospital ${++organizations}`, 'PACS', 'fake');

async function itemOf(said: Said, integration: Integration, controlId: string): Promise<PersistItem> {
  const content = Buffer.from(controlId);
  const writer = said.instance && await store.begin('.dcm');
  await writer?.write(content);
  const object = await writer?.finish();
  return {
    exchangeId: uuidV7(), adapter: 'fake', integration, normalized: { warnings: [], trace: () => [], mapping: 'test@1.0.0', ...said },
    message: {
      integration, interaction: said.instance ? 'C-STORE' : 'ORM^O01', controlId: said.instance?.file.sop_instance_uid ?? controlId, head: content, byteSize: content.length, sha256: createHash('sha256').update(content).digest('hex'), receivedAt: at,
      peer: { address: '127.0.0.1', port: 1, application: 'TEST' }, facts: {}, ...(object ? { object } : {}),
    },
  };
}

const image = (study: string, sop: string, who: PatientRow, more: Partial<InstanceRow['study']> = {}): Said => ({
  authority: 'image', patient: who, instance: {
    study: { study_instance_uid: study, scan_type: 'ct', ...more }, series: { series_instance_uid: `${study}.1`, modality: 'CT' },
    file: { sop_instance_uid: sop, sop_class_uid: '1.2.840.10008.5.1.4.1.1.2', transfer_syntax_uid: '1.2.840.10008.1.2.1', dataset_offset: 0 },
  },
});
const order = (who: PatientRow, said: Partial<OrderRow>): Said => ({ authority: 'order', patient: who, order: { control: 'new', ...said } });
const patient = (value: string, more: Partial<PatientRow> = {}): PatientRow => ({ identifiers: [{ value, assigning_authority: 'HOSP' }], ...more });

async function run(sequence: readonly Said[], persistImage: (integration: Integration) => Persist): Promise<string> {
  const integration = await nextIntegration();
  const persist = persistImage(integration);
  for (const [index, said] of sequence.entries()) {
    const item = await itemOf(said, integration, index % 3 === 0 ? 'sent before' : `${index}`);
    if (said.instance) await persist(item);
    else await persistMessages(dependencies(), integration.organizationId, [item]);
  }
  return JSON.stringify(await rowsOf(integration.organizationId), null, 1).replaceAll(integration.organizationId, 'organization').replaceAll(integration.integrationId, 'integration');
}

/** Every row of the organization, ids that the database or a process made replaced by the order of their first mention. */
async function rowsOf(organizationId: string): Promise<unknown> {
  const select = (text: string): Promise<{ row: object }[]> => db.asOwner(text, [organizationId]) as Promise<{ row: object }[]>;
  const tables = await Promise.all([
    select('SELECT to_jsonb(p) AS row FROM patients p WHERE organization_id = $1 ORDER BY created_at'),
    select('SELECT to_jsonb(i) AS row FROM patient_identifiers i WHERE organization_id = $1 ORDER BY value, assigning_authority'),
    select('SELECT to_jsonb(s) AS row FROM scans s WHERE organization_id = $1 ORDER BY created_at'),
    select('SELECT to_jsonb(f) AS row FROM scan_files f WHERE organization_id = $1 ORDER BY created_at'),
    select('SELECT to_jsonb(q) AS row FROM scan_queue q WHERE organization_id = $1 ORDER BY created_at'),
    select("SELECT to_jsonb(l) AS row FROM sync_logs l WHERE organization_id = $1 ORDER BY created_at"),
    select("SELECT to_jsonb(a) - '{sequence,hash,previous_hash,recorded_at}'::text[] AS row FROM audit_logs a WHERE organization_id = $1 ORDER BY sequence"),
    select("SELECT to_jsonb(a) - '{first_seen_at,last_seen_at,raised_at}'::text[] AS row FROM system_alerts a WHERE organization_id = $1 ORDER BY kind, subject"),
    select("SELECT jsonb_build_object('key', singleton_key, 'data', data, 'start_after', start_after) AS row FROM pgboss.job WHERE data->>'organizationId' = $1 ORDER BY singleton_key"),
  ]);
  const ids = new Map<string, string>();
  const named = (value: string): string => value.replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|UNKNOWN-[0-9a-f]{12}/g, (id) => {
    if (!ids.has(id)) ids.set(id, `id ${ids.size}`);
    return ids.get(id)!;
  });
  const changing = new Set(['occurred_at', 'opened_at', 'last_occurred_at', 'created_at', 'updated_at', 'scan_number', 'storage_location', 'payload_location']);
  return tables.map((table) => table.map(({ row }) => Object.fromEntries(Object.entries(row).filter(([key]) => !changing.has(key)).map(([key, value]) => [key, typeof value === 'string' ? named(value) : JSON.parse(named(JSON.stringify(value))) as unknown]))));
}

/** A process that remembers nothing, so that each image is looked at as the first one is. */
const longWay = ({ organizationId }: Integration): Persist => async (item) => (await persistInstances({ ...dependencies(), known: new KnownStudies() }, organizationId, [item]))[0]!;
const shortWay = (): Persist => (item) => createPersist(dependencies())(item);

const identifier: fc.Arbitrary<PatientIdentifier> = fc.record({ value: fc.constantFrom('1', '2'), assigning_authority: fc.constantFrom('', 'NORTH', 'NORTH') });
const someone: fc.Arbitrary<PatientRow> = fc.record({
  identifiers: fc.oneof({ weight: 9, arbitrary: fc.uniqueArray(identifier, { minLength: 1, maxLength: 2, selector: (one) => `${one.value}|${one.assigning_authority}` }) }, { weight: 1, arbitrary: fc.constant([]) }),
  family_name: fc.constantFrom('Doe', 'Doe', 'Roe', null), birth_date: fc.constantFrom('1980', '1980-05-17', null), sex: fc.constantFrom('female' as const, 'unknown' as const),
}, { requiredKeys: ['identifiers'] });
const anImage = fc.tuple(someone, fc.constantFrom('1.1', '1.2', '1.3'), fc.constantFrom('1', '2', '3', '4'), fc.record({ accession_number: fc.constantFrom('A', 'B'), study_description: fc.constant('Chest') }, { requiredKeys: [] }))
  .map(([who, study, sop, more]) => image(study, `${study}.${sop}`, who, more));
const anOrder = fc.tuple(someone, fc.record({
  control: fc.constantFrom('new' as const, 'new' as const, 'cancel' as const), accession_number: fc.constantFrom('A', 'B'), study_instance_uid: fc.constantFrom('1.1', '1.3'), priority: fc.constantFrom('routine' as const, 'stat' as const),
}, { requiredKeys: ['accession_number'] })).map(([who, said]) => order(who, said));
const sequence = fc.array(fc.oneof({ weight: 3, arbitrary: anImage }, { weight: 1, arbitrary: anOrder }), { minLength: 2, maxLength: 8 });

test('property: images on the short way leave the rows of the long way', { timeout: 120_000 }, async () => {
  await fc.assert(fc.asyncProperty(sequence, async (said) => {
    const short = await run(said, shortWay);
    expect(short).toBe(await run(said, longWay));
  }), { numRuns: Number(process.env['OPENING_RUNS'] ?? 40) });
});

/** Whatever is not the one statement would need the pool. */
const withoutPool = (): Persist => createPersist({ ...dependencies(), database: new Proxy(db.database, { get(database, name) { if (name === 'pool') throw new Error('the long way was taken'); return Reflect.get(database, name) as unknown; } }) });

test.each<{ title: string; before?: readonly Said[] }>([
  { title: 'of a patient that nobody knows' },
  { title: 'of a patient of whom it says nothing new', before: [image('9.1', '9.1.1', patient('P', { family_name: 'Doe' }))] },
  { title: 'of a patient whom a registration named otherwise', before: [{ authority: 'registration', patient: patient('P', { family_name: 'Dow' }) }] },
  { title: 'that was ordered', before: [order(patient('P', { family_name: 'Doe' }), { accession_number: 'A', priority: 'stat' })] },
  { title: 'that was ordered under its own UID', before: [order(patient('P', { family_name: 'Doe' }), { accession_number: 'A', study_instance_uid: '9.2' })] },
])('the first image of a study $title takes one statement', async ({ before = [] }) => {
  const integration = await nextIntegration();
  for (const [index, said] of before.entries()) {
    const item = await itemOf(said, integration, `before ${index}`);
    if (said.instance) await longWay(integration)(item);
    else await persistMessages(dependencies(), integration.organizationId, [item]);
  }
  const persist = withoutPool();
  const who = patient('P', { family_name: 'Doe' });
  const [first, second] = await Promise.all([persist(await itemOf(image('9.2', '9.2.1', who, { accession_number: 'A' }), integration, 'first')), persist(await itemOf(image('9.2', '9.2.2', who, { accession_number: 'A' }), integration, 'second'))]);
  expect([first.kind, second.kind]).toEqual(['accepted', 'accepted']);
  const scans = await db.asOwner("SELECT s.scan_id, s.status, s.instance_count FROM scans s JOIN scan_queue q USING (organization_id, scan_id) WHERE s.organization_id = $1 AND s.study_instance_uid = '9.2' AND s.accession_number = 'A'", [integration.organizationId]);
  expect(scans).toEqual([{ scan_id: first.links['scans'], status: 'in_progress', instance_count: 2 }]);
  expect(await db.asOwner("SELECT FROM pgboss.job WHERE name = 'complete-scan' AND singleton_key = $1", [first.links['scans']])).toHaveLength(1);
});
