/**
 * Two gateways on one database take the same studies, patients, orders and merges at once: each image that was answered with success has one row in
 * use or is kept as a version, counts are those of the rows, and no image is at a patient who does not own its number.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import type { PgBoss } from 'pg-boss';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPersist, type PersistItem, type Persisted } from '../../src/pipeline/persist.ts';
import { undoMerge } from '../../src/pipeline/index.ts';
import { KnownStudies } from '../../src/pipeline/known-studies.ts';
import { openingOf } from '../../src/pipeline/opening.ts';
import { persistInstances, persistQuickly } from '../../src/pipeline/persist-instances.ts';
import { createDatabase, sql, type Database } from '../../src/db/pool.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { createLog } from '../../src/log.ts';
import { startQueue } from '../../src/queue/boss.ts';
import { openObjectStore, type ObjectStore } from '../../src/storage/object-store.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { Integration } from '#gateway/adapter.ts';
import type { Normalized } from '#gateway/normalized.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/gateway.ts';
import { insertIntegration } from '../support/pipeline.ts';

const at = new Date('2026-01-05T10:00:00Z');
let db: TestDatabase, other: Database, boss: PgBoss, store: ObjectStore, directory: string, gateways: readonly ((item: PersistItem) => Promise<Persisted>)[];
beforeAll(async () => {
  db = await testDatabase();
  directory = await mkdtemp(path.join(tmpdir(), 'medscan-opening-'));
  store = await openObjectStore(directory);
  const log = createLog({ logLevel: 'silent' });
  boss = await startQueue(db.appUrl, log, { supervise: false });
  other = await createDatabase(db.appUrl, log, { maxPoolSize: 10 });
  gateways = [db.database, other].map((database) => createPersist({ database, boss, store, quietSeconds: 30, now: () => at }));
});
afterAll(async () => {
  await boss.stop({ graceful: false, close: true });
  await other.close();
  await db.drop();
  await rm(directory, { recursive: true, force: true });
});

type Said = Pick<Normalized, 'authority' | 'patient' | 'order' | 'instance' | 'merges'>;
interface Sent { readonly said: Said; readonly content: string; readonly gateway: 0 | 1 }

async function itemOf({ said, content }: Sent, integration: Integration): Promise<PersistItem> {
  const bytes = Buffer.from(content);
  const writer = said.instance && await store.begin('.dcm');
  await writer?.write(bytes);
  const object = await writer?.finish();
  return {
    exchangeId: uuidV7(), adapter: 'fake', integration, normalized: { warnings: [], trace: () => [], mapping: 'test@1.0.0', ...said },
    message: {
      integration, interaction: said.instance ? 'C-STORE' : 'ORM^O01', controlId: said.instance?.file.sop_instance_uid ?? uuidV7(), head: bytes, byteSize: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex'), receivedAt: at,
      peer: { address: '127.0.0.1', port: 1, application: 'TEST' }, facts: {}, ...(object ? { object } : {}),
    },
  };
}

const who = fc.constantFrom('P', 'Q', 'R').map((value) => ({ identifiers: [{ value, assigning_authority: 'HOSP' }], family_name: 'Doe' }));
const named = (value: string): { value: string; assigning_authority: string }[] => [{ value, assigning_authority: 'HOSP' }];
const imageOf = (patient: string, study: string, sop = '1'): Sent => ({ content: study, gateway: 0, said: {
  authority: 'image', patient: { identifiers: named(patient) }, instance: {
    study: { study_instance_uid: study, scan_type: 'ct' }, series: { series_instance_uid: `${study}.1`, modality: 'CT' },
    file: { sop_instance_uid: `${study}.1.${sop}`, sop_class_uid: '1.2.840.10008.5.1.4.1.1.2', transfer_syntax_uid: '1.2.840.10008.1.2.1', dataset_offset: 0 },
  },
} });
const image = fc.tuple(who, fc.constantFrom('1.1', '1.2', '1.3', '1.4'), fc.constantFrom('1', '2', '3'), fc.constantFrom('A', 'B', undefined)).map(([patient, study, sop, accession]): Said => ({
  authority: 'image', patient, instance: {
    study: { study_instance_uid: study, scan_type: 'ct', ...(accession ? { accession_number: accession } : {}) }, series: { series_instance_uid: `${study}.1`, modality: 'CT' },
    file: { sop_instance_uid: `${study}.${sop}`, sop_class_uid: '1.2.840.10008.5.1.4.1.1.2', transfer_syntax_uid: '1.2.840.10008.1.2.1', dataset_offset: 0 },
  },
}));
const order = fc.tuple(who, fc.constantFrom('A', 'B')).map(([patient, accession]): Said => ({ authority: 'order', patient, order: { control: 'new', accession_number: accession } }));
const merge = fc.tuple(fc.constantFrom('P', 'Q', 'R'), fc.constantFrom('P', 'Q', 'R')).filter(([a, b]) => a !== b).map(([survivor, prior]): Said => {
  return { authority: 'registration', patient: { identifiers: named(survivor) }, merges: [{ survivor: named(survivor), prior: named(prior), location: 'MRG-1' }] };
});
const sent: fc.Arbitrary<Sent> = fc.record({
  said: fc.oneof({ weight: 8, arbitrary: image }, { weight: 2, arbitrary: order }, { weight: 1, arbitrary: merge }), content: fc.constantFrom('a', 'a', 'a', 'b'), gateway: fc.constantFrom(0 as const, 1 as const),
});

let organizations = 0;
test('property: two gateways that take the same at once leave one truth', { timeout: 300_000 }, async () => {
  await fc.assert(fc.asyncProperty(fc.array(sent, { minLength: 6, maxLength: 30 }), async (messages) => {
    const integration = await insertIntegration(db, `Two Gateways Hospital ${++organizations}`, 'PACS', 'fake');
    const items = await Promise.all(messages.map((message) => itemOf(message, integration)));
    const results = await Promise.allSettled(items.map((item, index) => gateways[messages[index]!.gateway]!(item)));
    expect(results.filter((result) => result.status === 'rejected').map((result) => String((result as PromiseRejectedResult).reason))).toEqual([]);
    const o = [integration.organizationId];
    const files = await db.asOwner<{ scan_file_id: string; sop_instance_uid: string; sha256: string; storage_location: string }>('SELECT scan_file_id, sop_instance_uid, sha256, storage_location FROM scan_files WHERE organization_id = $1', o);
    const of = (uid: string, sha256: string): string => `${uid} ${sha256.slice(0, 4)}`;
    const want = [...new Set(items.filter((item) => item.normalized.instance).map((item) => of(item.normalized.instance!.file.sop_instance_uid, item.message.sha256)))].toSorted();
    expect(files.map((file) => of(file.sop_instance_uid, file.sha256)).toSorted()).toEqual(want);
    for (const file of files) expect(await store.holds(file.storage_location, 1)).toBe(true);
    expect(await db.asOwner(`SELECT s.study_instance_uid, s.status, s.instance_count, s.series_count, s.total_bytes, c.* FROM scans s LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE conflict_of IS NULL) AS n, count(*) AS every, sum(byte_size) AS bytes FROM scan_files f WHERE f.organization_id = s.organization_id AND f.scan_id = s.scan_id) c ON true
      WHERE s.organization_id = $1 AND (s.instance_count <> c.n OR coalesce(c.bytes, 0) <> s.total_bytes OR (c.every > 0 AND s.status <> 'in_progress') OR (c.every = 0 AND s.status <> 'scheduled')
        OR NOT EXISTS (SELECT FROM scan_queue q WHERE q.organization_id = s.organization_id AND q.scan_id = s.scan_id)
        OR (c.every > 0 AND NOT EXISTS (SELECT FROM pgboss.job j WHERE j.name = 'complete-scan' AND j.singleton_key = s.scan_id::text)))`, o)).toEqual([]);
    expect(await db.asOwner('SELECT p.patient_id FROM patients p JOIN scans s USING (organization_id, patient_id) WHERE p.organization_id = $1 AND p.merged_into_patient_id IS NOT NULL', o)).toEqual([]);
    const owners = new Map((await db.asOwner<{ value: string; patient_id: string }>('SELECT value, patient_id FROM patient_identifiers WHERE organization_id = $1', o)).map((row) => [row.value, row.patient_id]));
    const inUse = await db.asOwner<{ source_sync_id: string; patient_id: string }>(`SELECT f.source_sync_id, s.patient_id FROM scan_files f JOIN scans s USING (organization_id, scan_id) WHERE f.organization_id = $1 AND f.status = 'stored'`, o);
    for (const file of inUse) {
      const item = items.find((one) => one.exchangeId === file.source_sync_id)!;
      expect(owners.get(item.normalized.patient!.identifiers[0]!.value), 'the owner of the number of an image in use').toBe(file.patient_id);
    }
    const logs = await db.asOwner<{ n: string }>("SELECT count(*) AS n FROM sync_logs WHERE organization_id = $1 AND message_status IN ('accepted', 'duplicate')", o);
    expect(Number(logs[0]!.n)).toBe(items.length);
  }), { numRuns: Number(process.env['OPENING_RUNS'] ?? 6) });
});

test.each(['short', 'long'] as const)('a scan that is opened after a merge is later than it, however early its transaction began: the %s way', async (way) => {
  const integration = await insertIntegration(db, `Later Scans Hospital ${way}`, 'PACS', 'fake'), { organizationId } = integration;
  const say = async (said: Said, content = uuidV7()): Promise<unknown> => gateways[1]!(await itemOf({ said, content, gateway: 1 }, integration));
  for (const value of ['X', 'P', 'Q']) await say({ authority: 'registration', patient: { identifiers: named(value) } });
  await say(imageOf('X', '2.1', '0').said);
  const held = Promise.withResolvers<void>(), go = Promise.withResolvers<void>();
  const holding = inOrganization(db.database, organizationId, async (tx) => {
    await tx.query(way === 'long' ? sql.unsafe`SELECT FROM patients WHERE organization_id = ${organizationId} AND patient_number = 'X' FOR UPDATE`
      : sql.unsafe`SELECT FROM scans WHERE organization_id = ${organizationId} AND study_instance_uid = '2.1' FOR UPDATE`);
    held.resolve();
    await go.promise;
  });
  await held.promise;
  // Both in one transaction: the first waits for its patient or study, and the second's patient is merged meanwhile.
  const items = await Promise.all([imageOf('X', '2.1'), imageOf('P', '2.2')].map((one) => itemOf(one, integration)));
  const dependencies = { database: other, boss, store, quietSeconds: 30, now: () => at, known: new KnownStudies() };
  const opening = way === 'long' ? persistInstances(dependencies, organizationId, items) : persistQuickly(dependencies, organizationId, items.map((item) => ({ ...item, opening: openingOf(item, at)! })));
  await eventually(async () => (await db.asOwner("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).length > 0);
  await say({ authority: 'registration', patient: { identifiers: named('Q') }, merges: [{ survivor: named('Q'), prior: named('P'), location: 'MRG-1' }] });
  go.resolve();
  await holding;
  expect((await opening).map((one) => one?.kind)).toEqual(['accepted', 'accepted']);
  const [merge] = await db.asOwner<{ merge_id: string }>('SELECT merge_id FROM patient_merges WHERE organization_id = $1', [organizationId]);
  const [scan] = await db.asOwner<{ scan_id: string }>("SELECT scan_id FROM scans WHERE organization_id = $1 AND study_instance_uid = '2.2'", [organizationId]);
  expect(await inOrganization(db.database, organizationId, (tx) => undoMerge(tx, merge!.merge_id, undefined, { kind: 'user', id: 'someone' }))).toMatchObject({ kind: 'undecided', scans: [{ scanId: scan!.scan_id }] });
});
