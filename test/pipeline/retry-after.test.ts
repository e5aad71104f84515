/** Systems that say "later" (429 or 503 with Retry-After) are left alone for as long as they say, within bounds. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import fhir from '../../adapters/fhir-rest/adapter.ts';
import { createLog } from '../../src/log.ts';
import { checkSource } from '../../src/pipeline/completeness-at-source.ts';
import { pull } from '../../src/pipeline/pulls.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline, emr: Server;
let answer: (response: ServerResponse) => void = () => {};
const asked: string[] = [];
beforeAll(async () => {
  pipeline = await testPipeline();
  emr = createServer((request, response) => { asked.push(request.url ?? ''); answer(response); }).listen(0, '127.0.0.1');
  await once(emr, 'listening');
});
afterAll(async () => {
  await pipeline?.close();
  emr?.closeAllConnections();
  emr?.close();
});

const minute = 60_000;
const at = new Date('2026-03-01T08:00:00Z');

test.each([
  ['429 with seconds', 429, '90', 90_000, 0], ['503 with a date', 503, 'Sun, 01 Mar 2026 08:10:00 GMT', 10 * minute, 0], ['a date that is past', 503, 'Sun, 01 Mar 2026 07:00:00 GMT', 5_000, 0],
  ['two weeks, which are a day at most', 503, '1209600', 1_440 * minute, 1], ['words, which are none of both', 429, 'soon', 5_000, 0], ['a negative number', 503, '-5', 5_000, 0],
])('a FHIR server that is fetched from and answers %s is not asked again before, for no type', async (_name, status, retryAfter, milliseconds, alerts) => {
  const { db, integration: { organizationId, integrationId } } = pipeline;
  await db.asOwner('DELETE FROM record_pulls');
  await db.asOwner('DELETE FROM system_alerts');
  const config = fhir.configSchema.parse({ base_url: `http://127.0.0.1:${(emr.address() as AddressInfo).port}/fhir`, pull_types: ['Patient', 'ServiceRequest'], pull_seconds: 5 });
  let now = at;
  const context = { log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }, signal: new AbortController().signal, now: () => now };
  const run = () => pull({ database: db.database, boss: pipeline.boss, log: createLog({ logLevel: 'silent' }), now: () => now, pullSource: () => ({ adapter: fhir, integration: { organizationId, integrationId, name: 'EMR', config }, context, receive: () => Promise.reject(new Error('nothing comes')) }) as never },
    { organizationId, integrationId }, new AbortController().signal);
  const types = (): string[] => asked.splice(0).map((url) => /\/fhir\/(\w+)/.exec(url)?.[1] ?? '');
  const isHeld = milliseconds > 5_000;
  types();
  answer = (response) => response.writeHead(status, { 'retry-after': retryAfter }).end();
  await db.asOwner("INSERT INTO record_pulls (organization_id, integration_id, resource_type, next_run_at) SELECT $1, $2, t, $3 FROM unnest(ARRAY['Patient', 'ServiceRequest']) t", [organizationId, integrationId, at]);
  await run();
  expect(types()).toEqual(isHeld ? ['Patient'] : ['Patient', 'ServiceRequest']);
  expect(await db.asOwner("SELECT FROM system_alerts WHERE kind = 'pull_failing'"), 'a person hears at once of a long wait').toHaveLength(alerts);
  answer = (response) => response.writeHead(200, { 'content-type': 'application/fhir+json' }).end('{"resourceType":"Bundle","type":"searchset"}');
  now = new Date(at.getTime() + milliseconds - 1);
  await run();
  expect(types()).toEqual([]);
  now = new Date(at.getTime() + milliseconds);
  await run();
  expect(types()).toEqual(['Patient', 'ServiceRequest']);
  expect(await db.asOwner('SELECT FROM system_alerts WHERE resolved_at IS NULL')).toEqual([]);
});

test.each([['less than the pause between looks', 5_000, 60_000], ['more', 7 * minute, 7 * minute], ['more than is left until it is given up', 600 * minute, 30 * minute]])('a source that is asked for the number of images and wants %s is asked then', async (name, wanted, milliseconds) => {
  const { db, boss, integration } = pipeline, { organizationId } = integration, study = `1.2.3.${wanted}`;
  await pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.9`, bytes: name, normalized: { authority: 'image', patient: patient('P-1'), instance: instance(study, `${study}.9`) } });
  const [scan] = await db.asOwner<{ scan_id: string }>('SELECT scan_id FROM scans WHERE study_instance_uid = $1', [study]);
  // After the image came, and whole milliseconds, as the database keeps them.
  const begun = Math.ceil((Date.now() + 1_000) / 1000) * 1000;
  let now = begun, questions = 0;
  const source = {
    adapter: { name: 'fake' }, integration, context: {}, wanted: { completeness: { whenMissing: 'wait', lookAgainSeconds: 60, giveUpMinutes: 30, withoutProof: 'hold' }, assigningAuthority: '' }, receive: () => Promise.reject(new Error('nothing comes')),
    queries: { interactions: { countInstances: 'QIDO-RS studies' }, countInstances: () => { questions++; return Promise.resolve({ kind: 'unreachable', text: 'HTTP 503', retryAfterMilliseconds: wanted, interaction: 'QIDO-RS studies', peer: 'archive' }); } },
  };
  const dependencies = { database: db.database, boss, log: createLog({ logLevel: 'silent' }), quietSeconds: 30, now: () => new Date(now), sources: { of: () => [source], find: () => source, organizations: () => [organizationId] } };
  const look = () => checkSource(dependencies as never, { organizationId, scanId: scan!.scan_id });
  expect(await look()).toBe('waiting');
  const [count] = await db.asOwner<{ next_at: Date }>('SELECT next_at FROM source_counts WHERE scan_id = $1', [scan!.scan_id]);
  expect(count!.next_at.getTime() - begun).toBe(milliseconds);
  // An image that comes meanwhile asks anew, and no sooner.
  await db.asOwner('UPDATE scans SET last_instance_at = $2 WHERE scan_id = $1', [scan!.scan_id, new Date(begun + 1)]);
  now = begun + milliseconds - 1;
  expect([await look(), questions]).toEqual(['nothing to do', 1]);
  now = begun + milliseconds;
  await look();
  expect(questions).toBe(2);
});
