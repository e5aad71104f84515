/** Missing images are fetched from their source: when all have come it is asked again at once, and what it brings on our own association is told as any sender's. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openCount, saveCount, wantStudy } from '../../src/db/source-questions.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { retrieveStudy } from '../../src/pipeline/retrieve-study.ts';
import type { Source, Sources } from '../../src/pipeline/sources.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline, organizationId: string;
beforeAll(async () => {
  pipeline = await testPipeline();
  ({ organizationId } = pipeline.integration);
});
afterAll(() => pipeline.close());

const image = (study: string, number: number) => ({ interaction: 'C-STORE', controlId: `${study}.${number}`, normalized: { patient: patient(study), instance: instance(study, `${study}.${number}`) } });
const within = <T>(work: Parameters<typeof inOrganization<T>>[2]) => inOrganization(pipeline.db.database, organizationId, work);

/** A scan with image 1 of two, whose source was asked and is asked again in an hour; the second is wanted. */
async function waits(study: string): Promise<{ scanId: string; retrievalId: string }> {
  const receipt = await pipeline.receive(image(study, 1));
  if (receipt.kind !== 'accepted') throw new Error(receipt.kind);
  const scanId = receipt.links['scans']!, { integrationId } = pipeline.integration, askedAt = new Date();
  const retrievalId = await within(async (tx) => {
    await openCount(tx, scanId, integrationId, askedAt);
    await saveCount(tx, scanId, { status: 'missing', there: 2, here: 1, text: '1 of 2', nextAt: new Date(askedAt.getTime() + 3_600_000), askedAt, syncId: undefined });
    return wantStudy(tx, { integrationId, studyInstanceUid: study, purpose: 'missing', forScanId: scanId, analyze: true, expected: 2 });
  });
  await pipeline.boss.send('check-source', { organizationId, scanId }, { singletonKey: scanId, startAfter: 3600 });
  return { scanId, retrievalId: retrievalId! };
}

/** A source that has so many images, sends the second, and answers; or breaks off after it. */
function sourcesOf(study: string, kind: 'answered' | 'unconfirmed', images = 2): { sources: Sources; told: string[] } {
  const told: string[] = [], answer = { interaction: 'C-GET', peer: 'source', answerCode: '0000' };
  const source = {
    adapter: { name: 'fake' }, integration: pipeline.integration, wanted: { assigningAuthority: '' }, receive: () => pipeline.receive(image(study, 2)),
    context: { arrivals: { begin: () => ({ brought: ({ kind: what }: { kind: string }) => { told.push(what); }, ended: (how: string) => { told.push(how); } }) } },
    queries: {
      interactions: { retrieve: 'C-GET', listInstances: 'C-FIND IMAGE' },
      countInstances: () => Promise.resolve({ ...answer, kind: 'answered', value: { instances: Array.from({ length: images }, (_, index) => index + 1).map((number) => ({ sopInstanceUid: `${study}.${number}` })) } }),
      retrieve: async (_selection: unknown, _integration: unknown, receive: Source['receive']) => {
        await receive({} as never);
        return { ...answer, kind, text: 'broke off', value: { completed: 1, failed: 0, warning: 0, byReceive: true } };
      },
    },
  } as unknown as Source;
  return { sources: { of: () => [source], find: () => source, organizations: () => [organizationId] }, told };
}
const retrieve = (sources: Sources, retrievalId: string) => retrieveStudy({ database: pipeline.db.database, boss: pipeline.boss, sources, retrySeconds: 60, now: () => new Date() }, { organizationId, retrievalId });
const dueJobs = (scanId: string) => pipeline.db.asOwner("SELECT FROM pgboss.job WHERE name = 'check-source' AND data->>'scanId' = $1 AND state = 'created' AND start_after <= now()", [scanId]);
const isDue = async (scanId: string) => (await pipeline.db.asOwner<{ due: boolean }>('SELECT next_at <= now() AS due FROM source_counts WHERE scan_id = $1', [scanId]))[0]!.due;

test('when everything has come the source is asked again at once, although the next look is an hour away', async () => {
  const { scanId, retrievalId } = await waits('70.1'), { sources, told } = sourcesOf('70.1', 'answered');
  expect([await isDue(scanId), (await dueJobs(scanId)).length]).toEqual([false, 0]);
  expect(await retrieve(sources, retrievalId)).toBe('retrieved');
  expect([await isDue(scanId), (await dueJobs(scanId)).length]).toEqual([true, 1]);
  expect(told).toEqual(['accepted', 'released']);
});

test('a retrieve that broke off is taken up again later, and its images count as of a sender that may come again', async () => {
  const { scanId, retrievalId } = await waits('70.2'), { sources, told } = sourcesOf('70.2', 'unconfirmed', 3);
  expect(await retrieve(sources, retrievalId)).toBe('again');
  expect([await isDue(scanId), (await dueJobs(scanId)).length]).toEqual([false, 0]);
  expect(told).toEqual(['accepted', 'broken']);
});

test('one that broke off after the last image that was missing is done: they were asked for by name, and all are here', async () => {
  const { scanId, retrievalId } = await waits('70.3'), { sources } = sourcesOf('70.3', 'unconfirmed');
  expect(await retrieve(sources, retrievalId)).toBe('retrieved');
  expect(await isDue(scanId)).toBe(true);
});
