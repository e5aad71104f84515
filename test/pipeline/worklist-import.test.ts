/** A worklist item that is never twice the same is followed for a while, and then a person is told. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importWorklist } from '../../src/pipeline/worklist-import.ts';
import type { InboundMessage } from '#gateway/adapter.ts';
import { testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline?.close());

test('after a hundred changes an item is not taken in any more, an alert says so, and it ends when the item is as it was', async () => {
  const { db, integration } = pipeline, { organizationId, integrationId } = integration;
  const item = (text: string): InboundMessage => ({
    integration, interaction: 'C-FIND worklist item', controlId: 'STEP-1', peer: { address: '127.0.0.1', port: 1 }, receivedAt: new Date(), facts: {}, head: Buffer.from(text), byteSize: text.length, sha256: createHash('sha256').update(text).digest('hex'),
  });
  const taken: string[] = [];
  let listed = item('version 100');
  const source = {
    adapter: { name: 'fake' }, integration, context: {}, wanted: { worklist: {} },
    queries: { findScheduled: () => Promise.resolve({ kind: 'answered', value: [listed], interaction: 'C-FIND worklist', peer: 'test', answerCode: '0000' }) },
    receive: (message: InboundMessage) => { taken.push(message.controlId); return Promise.resolve({ kind: 'accepted', links: {}, exchangeId: undefined, answered: () => undefined }); },
  };
  const read = () => importWorklist({ database: db.database, now: () => new Date(), sources: { of: () => [], organizations: () => [], find: () => source as never } }, { organizationId, integrationId });
  const alerts = async (): Promise<string[]> => (await db.asOwner<{ message: string }>("SELECT message FROM system_alerts WHERE subject LIKE '% worklist items' AND resolved_at IS NULL")).map(({ message }) => message);
  const onRecord = (versions: number[]) => db.asOwner(`
    INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, sha256, started_at)
    SELECT $1, medscan_uuid_v7(), $2, 'fake', 'inbound', 'C-FIND worklist item', CASE n WHEN 1 THEN 'STEP-1' ELSE 'STEP-1 #' || n END, 'accepted', encode(sha256(convert_to('version ' || n, 'UTF8')), 'hex'), now() - interval '1 hour' + n * interval '1 second'
    FROM unnest($3::int[]) AS n`, [organizationId, integrationId, versions]);
  await onRecord(Array.from({ length: 99 }, (_, index) => index + 1));

  expect(await read()).toEqual({ seen: 1, changed: 1, refused: 0 });
  expect([taken, await alerts()]).toEqual([['STEP-1 #100'], []]);
  await onRecord([100]);
  expect(await read()).toEqual({ seen: 1, changed: 0, refused: 0 });
  listed = item('version 101');
  expect(await read()).toEqual({ seen: 1, changed: 0, refused: 0 });
  expect([taken, await alerts()]).toEqual([['STEP-1 #100'], [expect.stringContaining('changed 100 times') as string]]);
  listed = item('version 100');
  await read();
  expect(await alerts()).toEqual([]);
});
