/** A scan is not complete by its quiet time while an association that brings its images is open, has just broken off, or could not go on because the gateway was away. */
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createLog } from '../../src/log.ts';
import { limitSeconds, lookSeconds } from '../../src/pipeline/arrivals.ts';
import { completeWhenQuiet, forceComplete } from '../../src/pipeline/complete.ts';
import { createArrivals } from '../../src/pipeline/index.ts';
import type { Arrival } from '#gateway/arrivals.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

const quietSeconds = 60;
let pipeline: TestPipeline, organizationId: string, keeper: ReturnType<typeof createArrivals>;
beforeAll(async () => {
  pipeline = await testPipeline();
  ({ organizationId } = pipeline.integration);
  keeper = keep();
});
afterAll(async () => {
  await keeper.stop();
  await pipeline.close();
});
afterEach(() => { vi.restoreAllMocks(); });

const keep = () => createArrivals({ database: pipeline.db.database, log: createLog({ logLevel: 'silent' }), quietSeconds });
/** The last image is older than the quiet time, which is none here; of the arrivals it is a minute. */
const complete = (scanId: string) => completeWhenQuiet({ database: pipeline.db.database, boss: pipeline.boss, quietSeconds: 0, now: () => new Date() }, { organizationId, scanId });
let images = 0;
async function brings(study: string, arrival?: Arrival): Promise<string> {
  const name = `${study}.${++images}`;
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: name, normalized: { patient: patient(study), instance: instance(study, name) } });
  if (receipt.kind !== 'accepted') throw new Error(receipt.kind);
  arrival?.brought(receipt);
  await keeper.flush();
  return receipt.links['scans']!;
}
const rows = (scanId: string) => pipeline.db.asOwner<{ state: string; peer: string | null; seconds: number }>('SELECT state, peer, round(extract(epoch FROM holds_until - now()))::int AS seconds FROM scan_arrivals WHERE scan_id = $1 ORDER BY state DESC', [scanId]);
const why = async (scanId: string) => (await pipeline.db.asOwner<{ why_waiting: string }>('SELECT why_waiting FROM scan_queue WHERE scan_id = $1', [scanId]))[0]!.why_waiting;

test('it waits while the association is open, says so, and is complete once, after the release', async () => {
  const arrival = keeper.begin(pipeline.integration, 'CT1'), scanId = await brings('60.1', arrival);
  expect(await complete(scanId)).toBe('waiting');
  expect(await why(scanId)).toBe('CT1 is still connected and may send more images; the scan is complete when it ends, at the latest after 10 minutes without an image.');
  expect(await pipeline.db.asOwner("SELECT FROM pgboss.job WHERE name = 'complete-scan' AND singleton_key = $1 AND state = 'created'", [`${scanId} arriving`]), 'it is looked at again').toHaveLength(1);
  expect(await complete(scanId), 'as often as it is looked at').toBe('waiting');
  await brings('60.1', arrival);
  arrival.ended('released');
  await keeper.flush();
  expect(await rows(scanId)).toEqual([]);
  expect(await complete(scanId)).toBe('completed');
  expect(await pipeline.db.asOwner('SELECT completion_run, instance_count, completeness_proof FROM scans WHERE scan_id = $1', [scanId])).toEqual([{ completion_run: 1, instance_count: 2, completeness_proof: 'quiet_time' }]);
});

test('an association that went on to another study is waited for by that one alone', async () => {
  const arrival = keeper.begin(pipeline.integration, 'CT1');
  const first = await brings('60.2', arrival), second = await brings('60.3', arrival);
  expect(await complete(first)).toBe('completed');
  expect(await complete(second)).toBe('waiting');
  arrival.ended('released');
});

test('of two associations the scan waits for both', async () => {
  const [one, other] = [keeper.begin(pipeline.integration, 'CT1'), keeper.begin(pipeline.integration, 'CT2')];
  const scanId = await brings('60.4', one);
  await brings('60.4', other);
  one.ended('released');
  await keeper.flush();
  expect(await rows(scanId)).toMatchObject([{ state: 'open', peer: 'CT2' }]);
  expect(await complete(scanId)).toBe('waiting');
  other.ended('released');
  await keeper.flush();
  expect(await complete(scanId)).toBe('completed');
});

test('who sends again what is here may have more of it: a repeat counts, a refusal does not', async () => {
  const scanId = await brings('60.5');
  const refused = keeper.begin(pipeline.integration, 'CT1'), repeats = keeper.begin(pipeline.integration, 'CT2');
  refused.brought({ kind: 'rejected', reason: 'invalid', text: '' });
  repeats.brought({ kind: 'duplicate', answerCode: undefined, links: { scans: scanId } });
  await keeper.flush();
  expect(await rows(scanId)).toMatchObject([{ peer: 'CT2' }]);
  for (const one of [refused, repeats]) one.ended('released');
});

test('an association that broke off leaves its sender a quiet time to come again', async () => {
  const arrival = keeper.begin(pipeline.integration, 'CT1'), scanId = await brings('60.6', arrival);
  arrival.ended('broken');
  await keeper.flush();
  expect(await rows(scanId)).toMatchObject([{ state: 'broken' }]);
  expect(await complete(scanId)).toBe('waiting');
  expect(await why(scanId)).toBe('The connection of CT1 broke off while it sent images; it gets the quiet time to come again.');
  const { now } = performance;
  vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + quietSeconds * 1000);
  await keeper.flush();
  expect(await rows(scanId)).toEqual([]);
  expect(await complete(scanId)).toBe('completed');
});

test('an object that is committed after its association broke off counts; after a release nothing does', async () => {
  const [broken, released] = [keeper.begin(pipeline.integration, 'CT1'), keeper.begin(pipeline.integration, 'CT2')];
  broken.ended('broken');
  released.ended('released');
  const scanId = await brings('60.7', broken);
  await brings('60.7', released);
  expect(await rows(scanId)).toMatchObject([{ state: 'broken', peer: 'CT1' }]);
});

test('a sender that never ends and brings nothing more is waited for to a limit', async () => {
  expect([limitSeconds(30), limitSeconds(3600), lookSeconds(1), lookSeconds(30)]).toEqual([600, 14_400, 0.25, 5]);
  const arrival = keeper.begin(pipeline.integration, 'CT1'), scanId = await brings('60.8', arrival);
  const { now } = performance;
  vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + 599_000);
  await keeper.flush();
  expect((await rows(scanId))[0]!.seconds, 'the lease ends with the limit').toBeLessThanOrEqual(1);
  vi.restoreAllMocks();
  vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + 600_000);
  await keeper.flush();
  expect(await complete(scanId)).toBe('completed');
  vi.restoreAllMocks();
  arrival.ended('released');
});

test('a person who says that it is complete is not kept waiting', async () => {
  const arrival = keeper.begin(pipeline.integration, 'CT1'), scanId = await brings('60.9', arrival);
  expect(await forceComplete({ database: pipeline.db.database, boss: pipeline.boss, quietSeconds: 0, now: () => new Date() }, organizationId, scanId, { kind: 'user', id: 'somebody' })).toMatchObject({ kind: 'completed' });
  arrival.ended('released');
});

test('an association dies with its process: nothing renews its row, which ends by itself', async () => {
  const arrival = keeper.begin(pipeline.integration, 'CT1'), scanId = await brings('60.10', arrival);
  expect((await rows(scanId))[0]!.seconds).toBeLessThanOrEqual(15);
  arrival.ended('released');
  await pipeline.db.asOwner("INSERT INTO scan_arrivals (organization_id, arrival_id, scan_id, gateway_id, state, peer, holds_until) VALUES ($1, gen_random_uuid(), $2, gen_random_uuid(), 'open', 'CT9', now() + interval '1 hour')", [organizationId, scanId]);
  await keeper.flush();
  expect(await rows(scanId), 'it is another process\'s').toMatchObject([{ peer: 'CT9' }]);
  expect(await complete(scanId)).toBe('waiting');
  await pipeline.db.asOwner("UPDATE scan_arrivals SET holds_until = now() WHERE scan_id = $1", [scanId]);
  expect(await complete(scanId)).toBe('completed');
});

test('after a start of the gateway the scans that were arriving wait for a quiet time, others do not', async () => {
  const done = await brings('60.11');
  await complete(done);
  const arriving = await brings('60.12');
  const started = keep();
  await started.start();
  expect([await rows(done), await rows(arriving)]).toMatchObject([[], [{ state: 'restarted', peer: null }]]);
  expect((await rows(arriving))[0]!.seconds).toBeGreaterThan(quietSeconds - 20);
  expect(await complete(arriving)).toBe('waiting');
  expect(await why(arriving)).toBe('The gateway was started again while images were arriving; their sender gets the quiet time to go on.');
  await started.flush();
  expect(await rows(arriving), 'the start holds by itself').toHaveLength(1);
  await started.stop();
});

test('a gateway that stops leaves the open ones as broken off', async () => {
  const stops = keep(), scanId = await brings('60.13');
  stops.begin(pipeline.integration, 'CT1').brought({ kind: 'accepted', links: { scans: scanId } });
  await stops.stop();
  expect(await rows(scanId)).toMatchObject([{ state: 'broken', peer: 'CT1' }]);
});
