import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { startMaintenance, watchStorage } from '../../src/pipeline/index.ts';
import { StorageFullError, type FileWriter, type ObjectStore } from '../../src/storage/object-store.ts';
import { eventually } from '../support/gateway.ts';
import { testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline.close());
beforeEach(() => pipeline.db.asOwner('DELETE FROM system_alerts'));

const log = createLog({ logLevel: 'silent' });
const diskError = (code: string): Error => Object.assign(new Error(`${code}: write`), { code });
/** Alerts of the installation, each told once a minute by one gateway: a fresh name for the database is a fresh gateway. */
const watched = (store: Partial<ObjectStore>): ObjectStore => watchStorage({ ...pipeline.store, ...store }, { database: { ...pipeline.db.database }, log });
const alerts = () => pipeline.db.asOwner<{ subject: string; severity: string; message: string; occurrences: number; resolved_at: Date | null; organization: string }>(
  "SELECT a.*, o.name AS organization FROM system_alerts a JOIN organizations o USING (organization_id) WHERE kind = 'disk_low' ORDER BY subject");
const raised = () => eventually(async () => { const rows = await alerts(); return rows.length > 0 && rows; }, 5_000);

/** A writer whose given step meets the error. */
const failing = (step: 'begin' | 'write' | 'finish', error: Error): Partial<ObjectStore> => ({
  async begin() {
    if (step === 'begin') throw error;
    const writer: FileWriter = {
      byteSize: 0, abort: async () => undefined,
      write: () => { if (step === 'write') throw error; },
      finish: () => Promise.reject(error),
    };
    return writer;
  },
});
async function store(into: ObjectStore): Promise<void> {
  const writer = await into.begin('.dcm');
  await writer.write(Buffer.from('x'));
  await writer.finish();
}

test.each([
  ['begin', new StorageFullError(5 << 20, 512 << 20), 'object store', /5 MiB free and keeps 512 MiB/],
  ['write', diskError('ENOSPC'), 'object store', /full \(ENOSPC\)/],
  ['finish', diskError('ENOSPC'), 'object store', /full \(ENOSPC\)/],
  ['finish', diskError('EIO'), 'object store device', /input\/output errors/],
] as const)('a %s that the disk refuses is the sender\'s error and one alert of the installation', async (step, error, subject, message) => {
  const full = watched(failing(step, error));
  for (let attempt = 0; attempt < 5; attempt += 1) await expect(store(full)).rejects.toBe(error);
  expect(await raised()).toMatchObject([{ organization: 'Unassigned', severity: 'critical', subject, message: expect.stringMatching(message), occurrences: 1, resolved_at: null }]);
});

test('what is no trouble of the disk raises nothing, and objects pass through unchanged', async () => {
  await expect(store(watched(failing('finish', new Error('the object was given up'))))).rejects.toThrow('given up');
  const writer = await watched({}).begin('.dcm');
  await writer.write(Buffer.from('whole'));
  expect(writer.byteSize).toBe(5);
  const { location } = await writer.finish();
  expect((await pipeline.store.readHead(location, 5)).toString()).toBe('whole');
  expect(await alerts()).toEqual([]);
});

test('the free space is judged with each sample: below the reserve an alert, and its end once there is space and nothing failed for a while', async () => {
  await sampled(100);
  expect(await raised()).toMatchObject([{ subject: 'object store', resolved_at: null }]);
  await sampled(1000);
  expect(await alerts(), 'something failed a moment ago').toMatchObject([{ resolved_at: null }]);
  await pipeline.db.asOwner("UPDATE system_alerts SET last_seen_at = now() - interval '3 minutes'");
  await sampled(1000);
  expect(await alerts()).toMatchObject([{ resolved_at: expect.any(Date) }]);
});

test('an input/output error stays for a person to look at until a day passed without another', async () => {
  await expect(store(watched(failing('finish', diskError('EIO'))))).rejects.toThrow('EIO');
  await raised();
  await pipeline.db.asOwner("UPDATE system_alerts SET last_seen_at = now() - interval '23 hours'");
  await sampled(1000);
  expect(await alerts()).toMatchObject([{ subject: 'object store device', resolved_at: null }]);
  await pipeline.db.asOwner("UPDATE system_alerts SET last_seen_at = now() - interval '25 hours'");
  await sampled(1000);
  expect(await alerts()).toMatchObject([{ resolved_at: expect.any(Date) }]);
});

/** One round of the maintenance with so much free of a reserve of 500 bytes. */
async function sampled(freeBytes: number): Promise<void> {
  const maintenance = startMaintenance({ database: pipeline.db.database, boss: pipeline.boss, store: { ...pipeline.store, reserveBytes: 500, freeBytes: async () => freeBytes }, log, quietSeconds: 1, queueLimit: 100, now: () => new Date() });
  await maintenance.stop();
}
