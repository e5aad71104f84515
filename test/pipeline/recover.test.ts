import { utimes } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { recoverObjects } from '../../src/pipeline/index.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline.close());

async function orphan(): Promise<string> {
  const writer = await pipeline.store.begin('.dcm');
  await writer.write(Buffer.from('nobody refers to this'));
  const { location } = await writer.finish();
  await utimes(pipeline.store.resolve(location), new Date(0), new Date(0));
  return location;
}

test('an object that another process discards while objects and rows are compared is passed over, the next one is set aside', async () => {
  const [discarded] = [await orphan(), await orphan()].toSorted();
  const store: ObjectStore = {
    ...pipeline.store,
    async newestHours(count) {
      const listed = await pipeline.store.newestHours(count);
      await pipeline.store.remove(discarded!);
      return listed;
    },
  };
  const recovered = await recoverObjects({ database: pipeline.db.database, store, log: createLog({ logLevel: 'silent' }) });
  expect(recovered).toEqual({ setAside: 1, missing: 0 });
});
