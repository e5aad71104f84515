/** Where "accepted means committed" met files that were lost, images that wait for each other, and orders that come back. */
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import pg from 'pg';
import { forceComplete } from '../../src/pipeline/index.ts';
import { eventually } from '../support/gateway.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline.close());

const rows = <T extends object>(text: string, values: unknown[] = []): Promise<T[]> => pipeline.db.asOwner(text, values) as Promise<T[]>;
const store = (study: string, sop: string, who: ReturnType<typeof patient>, more: { accession?: string; bytes?: string } = {}) =>
  pipeline.receive({ interaction: 'C-STORE', controlId: sop, ...(more.bytes ? { bytes: more.bytes } : {}), normalized: { patient: who, instance: instance(study, sop, more) } });

test('an instance sent again after its file was lost is answered with success only when its bytes are in the store', async () => {
  await store('3.1', '3.1.1', patient('R1'));
  const location = async (): Promise<string> => (await rows<{ storage_location: string }>("SELECT storage_location FROM scan_files WHERE sop_instance_uid = '3.1.1'"))[0]!.storage_location;
  await pipeline.store.remove(await location());
  expect((await store('3.1', '3.1.1', patient('R1'))).kind).toMatch(/accepted|duplicate/);
  expect((await pipeline.store.readHead(await location(), 5)).toString()).toBe('3.1.1');
});

test('an instance sent again after its file was damaged is answered with success when good bytes are in the store', async () => {
  await store('3.11', '3.11.1', patient('R11'));
  const location = async (): Promise<string> => (await rows<{ storage_location: string }>("SELECT storage_location FROM scan_files WHERE sop_instance_uid = '3.11.1'"))[0]!.storage_location;
  await writeFile(pipeline.store.resolve(await location()), '3.11.2'); // as long as before
  expect((await store('3.11', '3.11.1', patient('R11'))).kind).toBe('duplicate');
  expect((await pipeline.store.readHead(await location(), 6)).toString()).toBe('3.11.1');
});

test('of several repeats that come at once after damage one takes its place, and the others go', async () => {
  await store('3.12', '3.12.1', patient('R12'));
  const location = async (): Promise<string> => (await rows<{ storage_location: string }>("SELECT storage_location FROM scan_files WHERE sop_instance_uid = '3.12.1'"))[0]!.storage_location;
  await writeFile(pipeline.store.resolve(await location()), '3.12.2');
  const taken = vi.spyOn(pipeline.store, 'remove');
  await Promise.all(Array.from({ length: 4 }, () => store('3.12', '3.12.1', patient('R12'))));
  expect((await pipeline.store.readHead(await location(), 6)).toString()).toBe('3.12.1');
  expect([taken.mock.calls.length, taken.mock.calls.flat().includes(await location())]).toEqual([3, false]);
  taken.mockRestore();
});

test.each([['arriving', ''], ['complete', "UPDATE scans SET images_complete_at = now(), status = 'completed' WHERE study_instance_uid = '3.13.complete'"]])('no image waits while the kept copy of a repeat is read: its study %s', async (state, change) => {
  const study = `3.13.${state}`;
  await store(study, `${study}.1`, patient('R13'));
  if (change) await rows(change);
  const read = Promise.withResolvers<boolean>(), looks = vi.spyOn(pipeline.store, 'holds').mockReturnValueOnce(read.promise);
  const repeat = store(study, `${study}.1`, patient('R13'));
  await eventually(() => Promise.resolve(looks.mock.calls.length > 0));
  expect([(await store(study, `${study}.2`, patient('R13'))).kind, (await store(`${study}.9`, `${study}.9.1`, patient('R13'))).kind]).toEqual(['accepted', 'accepted']);
  read.resolve(true);
  expect((await repeat).kind).toBe('duplicate');
  looks.mockRestore();
});

test('images that wait behind a late one are stored, not refused as out of resources', async () => {
  await store('3.2', '3.2.0', patient('R2'));
  const release = await holdScan('3.2', "UPDATE scans SET images_complete_at = now(), status = 'completed' WHERE study_instance_uid = '3.2'");
  const first = store('3.2', '3.2.1', patient('R2'));
  await waitingForLocks(1);
  const others = [store('3.2', '3.2.2', patient('R2')), store('3.2', '3.2.3', patient('R2'))];
  await new Promise((resolve) => { setTimeout(resolve, 300); }); // nothing tells that they are queued in memory
  await release();
  expect((await Promise.all([first, ...others])).map((receipt) => receipt.kind)).toEqual(['accepted', 'accepted', 'accepted']);
});

test('the first image of a patient who is held by somebody keeps no other image waiting', async () => {
  await store('3.14', '3.14.0', patient('R14'));
  await store('3.15', '3.15.0', patient('R15'));
  const release = await holdScan('3.14', "SELECT FROM patients WHERE patient_number = 'R14' FOR UPDATE");
  const first = store('3.14.5', '3.14.5.1', patient('R14'));
  await waitingForLocks(1);
  const others = await Promise.all([store('3.15', '3.15.1', patient('R15')), store('3.15.5', '3.15.5.1', patient('R15'))].map((receipt) => Promise.race([receipt, first.then(() => undefined)])));
  await release();
  expect([others.map((receipt) => receipt?.kind), (await first).kind]).toEqual([['accepted', 'accepted'], 'accepted']);
});

test('two versions of one instance that arrive together: one is in use, the other a conflict', async () => {
  await store('3.3', '3.3.0', patient('R3'));
  const release = await holdScan('3.3', "SELECT FROM scans WHERE study_instance_uid = '3.3' FOR UPDATE");
  const known = store('3.3', '3.3.1', patient('R3'), { bytes: 'first' });
  await waitingForLocks(1);
  // The same patient, whose number is said twice and without an assigning authority: compared on the long way, beside the short one.
  const number = { value: 'R3', assigning_authority: '' };
  const compared = store('3.3', '3.3.1', { identifiers: [number, number] }, { bytes: 'second' });
  await waitingForLocks(2);
  await release();
  expect((await Promise.all([known, compared])).map((receipt) => receipt.kind)).toEqual(['accepted', 'accepted']);
  expect(await rows("SELECT status FROM scan_files WHERE sop_instance_uid = '3.3.1' AND conflict_of IS NULL AND status = 'stored'")).toHaveLength(1);
});

test('an order that was cancelled and placed again takes up the images that came in between', async () => {
  const order = (controlId: string, control: 'new' | 'cancel') =>
    pipeline.receive({ interaction: 'ORM^O01', controlId, normalized: { authority: 'order', patient: patient('R4'), order: { control, accession_number: 'A34', placer_order_number: 'PL34' } } });
  await order('R4-1', 'new');
  await order('R4-2', 'cancel');
  await store('3.4', '3.4.1', patient('R4'), { accession: 'A34' });
  const [scan] = await rows<{ scan_id: string; organization_id: string }>("SELECT scan_id, organization_id FROM scans WHERE study_instance_uid = '3.4'");
  await forceComplete({ database: pipeline.db.database, boss: pipeline.boss, quietSeconds: 1, now: () => new Date() }, scan!.organization_id, scan!.scan_id, { kind: 'system', id: 'test' });
  await order('R4-3', 'new');
  const [after] = await rows<{ status: string; why_waiting: string | null }>('SELECT status, why_waiting FROM scan_queue WHERE scan_id = $1', [scan!.scan_id]);
  expect(after!.status, after!.why_waiting ?? '').not.toBe('cancelled');
});

/** Holds a scan's row, as a completion does, until the returned function commits. */
async function holdScan(study: string, statement: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: pipeline.db.ownerUrl });
  await client.connect();
  await client.query('BEGIN');
  expect((await client.query(statement)).rowCount, study).toBe(1);
  return async () => { await client.query('COMMIT'); await client.end(); };
}

const waitingForLocks = (count: number): Promise<unknown> =>
  eventually(async () => (await rows("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")).length >= count, 5_000);
