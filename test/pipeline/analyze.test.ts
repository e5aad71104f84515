import { afterAll, beforeAll, expect, test } from 'vitest';
import { abortedError, AiError } from '../../src/ai/ai-error.ts';
import type { AiRuntime } from '../../src/ai/analysis.ts';
import { createLog } from '../../src/log.ts';
import { analyze } from '../../src/pipeline/analyze.ts';
import { completeWhenQuiet } from '../../src/pipeline/complete.ts';
import { QUEUES, type AnalyzeJob } from '../../src/queue/queues.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

const config = {
  input: { kind: 'image', tensor: 'in', modalities: ['CT'], range: { low: 0, high: 1 }, rows: 8, columns: 8 },
  output: { kind: 'classes', tensor: 'out', classes: [{ index: 0, finding: { code: 'c', system: 's', display: 'd' }, threshold: 0.5, severity: 'medium' }] },
};
let pipeline: TestPipeline;
beforeAll(async () => {
  pipeline = await testPipeline();
  await pipeline.db.asOwner(`WITH m AS (INSERT INTO ai_models (organization_id, model_name, model_version, runtime, status, config) VALUES ($1, 'model', '1', 'onnx', 'active', $2))
    INSERT INTO workflow_rules (organization_id, name, actions) VALUES ($1, 'all', '[{"action": "run_model", "model_name": "model"}]')`, [pipeline.integration.organizationId, JSON.stringify(config)]);
});
afterAll(() => pipeline.close());

/** The last try of an analysis, which ends with this error; `jobs` are those that may still run. */
async function lastTry(study: string, error: AiError) {
  const { db, boss, store, integration: { organizationId } } = pipeline;
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.1`, normalized: { patient: patient(study), instance: instance(study, `${study}.1`) } });
  if (receipt.kind !== 'accepted') throw new Error(receipt.kind);
  const scanId = receipt.links['scans']!;
  const now = (): Date => new Date();
  await completeWhenQuiet({ database: db.database, boss, quietSeconds: 0, now }, { organizationId, scanId });
  const [job] = await boss.fetch<AnalyzeJob>(QUEUES.analyze.name, { includeMetadata: true });
  const log = createLog({ logLevel: 'silent' });
  const ended = analyze({ database: db.database, keys: db.keys, boss, store, log, now, ai: { analyze: () => Promise.reject(error) } as unknown as AiRuntime }, job!.data, { signal: new AbortController().signal, isLastTry: true, jobId: job!.id });
  const thrown = await ended.then(() => undefined, (failure: unknown) => failure);
  const [analysis] = await db.asOwner<{ status: string; error_class: string }>('SELECT status, error_class FROM ai_analyses WHERE analysis_id = $1', [job!.data.analysisId]);
  const alerts = await db.asOwner("SELECT FROM system_alerts WHERE kind = 'analysis_failed' AND subject = $1", [`analysis ${job!.data.analysisId}`]);
  const jobs = await boss.fetch<AnalyzeJob>(QUEUES.analyze.name, { includeMetadata: true });
  return { thrown, status: analysis!.status, errorClass: analysis!.error_class, alerts: alerts.length, priority: job!.priority, analysisId: job!.data.analysisId, jobs: jobs.map(({ data, priority, retryCount }) => ({ analysisId: data.analysisId, priority, retryCount })) };
}

test('an analysis that is cut off by a stop on its last try stays queued, with a new job of the same priority', async () => {
  const { thrown, status, alerts, jobs, analysisId, priority } = await lastTry('31.1', abortedError());
  expect([thrown, status, alerts]).toEqual([undefined, 'queued', 0]);
  expect(priority).toBeGreaterThan(0);
  expect(jobs).toEqual([{ analysisId, priority, retryCount: 0 }]);
});

test('an analysis that fails on its last try has failed for good, and a person is told', async () => {
  expect(await lastTry('31.2', new AiError('unavailable', 'The endpoint does not answer.'))).toMatchObject({ status: 'failed', errorClass: 'unavailable', alerts: 1, jobs: [] });
});
