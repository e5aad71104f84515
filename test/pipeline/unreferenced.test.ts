import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { watchUnreferenced } from '../../src/pipeline/index.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline.close());

test('an object whose transaction failed is removed, one whose commit succeeded unheard is kept', async () => {
  const committed = await pipeline.receive({ interaction: 'C-STORE', controlId: '9.1', normalized: { patient: patient('U1'), instance: instance('9', '9.1') } });
  const [{ storage_location: kept }] = await pipeline.db.asOwner<{ storage_location: string }>("SELECT storage_location FROM scan_files WHERE sop_instance_uid = '9.1'") as [{ storage_location: string }];
  const writer = await pipeline.store.begin('.dcm');
  await writer.write(Buffer.from('lost'));
  const { location: lost } = await writer.finish();

  const unreferenced = watchUnreferenced(pipeline.db.database, pipeline.store, createLog({ logLevel: 'silent' }));
  unreferenced.add(pipeline.integration.organizationId, committed.exchangeId!, kept);
  unreferenced.add(pipeline.integration.organizationId, '01900000-0000-7000-8000-000000000000', lost);
  expect(await unreferenced.sweep(), 'a commit may still be on its way').toBe(0);
  expect(await unreferenced.sweep(0)).toBe(1);
  unreferenced.stop();
  expect((await pipeline.store.readHead(kept, 3)).toString()).toBe('9.1');
  await expect(pipeline.store.readHead(lost, 4)).rejects.toThrow('ENOENT');
});
