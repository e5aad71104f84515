/** A person decides about images that are kept out of use: which of two versions, and whether an image of another patient belongs to the study. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { completeWhenQuiet } from '../../src/pipeline/complete.ts';
import { decideVersion } from '../../src/pipeline/index.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline, organizationId: string;
beforeAll(async () => {
  pipeline = await testPipeline();
  ({ organizationId } = pipeline.integration);
  await pipeline.db.asOwner(`WITH m AS (INSERT INTO ai_models (organization_id, model_name, model_version, runtime, status) VALUES ($1, 'model', '1', 'onnx', 'active'))
    INSERT INTO workflow_rules (organization_id, name, actions) VALUES ($1, 'all', '[{"action": "run_model", "model_name": "model"}]')`, [organizationId]);
});
afterAll(() => pipeline.close());

const dependencies = () => ({ database: pipeline.db.database, boss: pipeline.boss, quietSeconds: 0, now: () => new Date() });
const somebody = { kind: 'user', id: 'somebody' } as const;
const decide = (file: string, decision: 'use' | 'set aside') => decideVersion(dependencies(), organizationId, file, decision, 'compared at the console', somebody);
async function sends(study: string, bytes: string, who = study): Promise<{ scanId: string; file: string }> {
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.1`, bytes, normalized: { patient: patient(who), instance: instance(study, `${study}.${who === study ? 1 : 2}`) } });
  if (receipt.kind !== 'accepted') throw new Error(receipt.kind);
  return { scanId: receipt.links['scans']!, file: receipt.links['scan_files']! };
}
const complete = (scanId: string) => completeWhenQuiet(dependencies(), { organizationId, scanId });
const files = async (scanId: string) => Object.fromEntries((await pipeline.db.asOwner<{ id: string; status: string; conflict_of: string | null }>('SELECT scan_file_id AS id, status, conflict_of FROM scan_files WHERE scan_id = $1', [scanId])).map(({ id, status, conflict_of: of }) => [id, [status, of]]));
const analyses = (scanId: string) => pipeline.db.asOwner('SELECT FROM ai_analyses WHERE scan_id = $1', [scanId]);
const openAlerts = (subject: string) => pipeline.db.asOwner("SELECT FROM system_alerts WHERE resolved_at IS NULL AND subject = $1", [subject]);

test('of two versions the later is put in use: the first is set aside, the scan is completed and analysed again, and the alert ends', async () => {
  const first = await sends('30.1', 'first');
  await complete(first.scanId);
  const second = await sends('30.1', 'second'), third = await sends('30.1', 'third');
  await complete(first.scanId);
  expect(await analyses(first.scanId), 'a conflict changes nothing').toHaveLength(1);
  expect(await openAlerts('study 30.1')).toHaveLength(1);

  expect(await decide(second.file, 'use')).toEqual({ kind: 'done' });
  expect(await files(first.scanId)).toEqual({ [first.file]: ['archived', second.file], [second.file]: ['stored', null], [third.file]: ['quarantined', second.file] });
  expect(await openAlerts('study 30.1'), 'the third waits').toHaveLength(1);
  expect(await pipeline.db.asOwner("SELECT FROM pgboss.job WHERE name = 'complete-scan' AND singleton_key = $1 AND state = 'created'", [first.scanId])).toHaveLength(1);
  expect(await complete(first.scanId)).toBe('completed');
  expect(await analyses(first.scanId)).toHaveLength(2);

  expect(await decide(third.file, 'set aside')).toEqual({ kind: 'done' });
  expect(await openAlerts('study 30.1')).toEqual([]);
  expect(await complete(first.scanId)).toBe('nothing to do');
  expect(await decide(third.file, 'set aside')).toMatchObject({ kind: 'refused' });
  expect(await decide(second.file, 'set aside')).toMatchObject({ kind: 'refused', reason: expect.stringContaining('in use') as string });
  expect(await decide(second.file, 'use')).toMatchObject({ kind: 'refused' });
  expect(await decide(first.file, 'use'), 'and back again').toEqual({ kind: 'done' });
  expect(await files(first.scanId)).toEqual({ [first.file]: ['stored', null], [second.file]: ['archived', first.file], [third.file]: ['archived', first.file] });
  expect(await complete(first.scanId)).toBe('completed');
  expect(await analyses(first.scanId), 'what was analysed once is not analysed again').toHaveLength(2);
  expect(await pipeline.db.asOwner("SELECT detail->>'decision' AS decision, detail->>'reason' AS reason FROM audit_logs WHERE detail ? 'decision' ORDER BY audit_id")).toEqual(['use', 'set aside', 'use'].map((decision) => ({ decision, reason: 'compared at the console' })));
  expect(await pipeline.receive({ interaction: 'C-STORE', controlId: '30.1.1', bytes: 'third', normalized: { patient: patient('30.1'), instance: instance('30.1', '30.1.1') } }), 'sent again, it is known').toMatchObject({ kind: 'duplicate' });
});

test('an image that names another patient becomes part of the study, or is set aside; what was sent by another person stays open meanwhile', async () => {
  const own = await sends('30.2', 'own');
  await complete(own.scanId);
  const foreign = await sends('30.2', 'foreign', 'STRANGER');
  expect(await files(own.scanId)).toMatchObject({ [foreign.file]: ['quarantined', null] });
  expect(await openAlerts(`scan ${own.scanId}`)).toHaveLength(1);
  await complete(own.scanId);
  expect(await analyses(own.scanId)).toHaveLength(1);
  expect(await decide(foreign.file, 'use')).toEqual({ kind: 'done' });
  expect(await openAlerts(`scan ${own.scanId}`)).toEqual([]);
  await complete(own.scanId);
  expect(await analyses(own.scanId)).toHaveLength(2);
});

test('a file of another organization is not found', async () => {
  const { file } = await sends('30.3', 'x');
  const [other] = await pipeline.db.asOwner<{ id: string }>('SELECT organization_id AS id FROM organizations WHERE organization_id <> $1 LIMIT 1', [organizationId]);
  expect(await decideVersion(dependencies(), other!.id, file, 'use', 'x', somebody)).toEqual({ kind: 'not-found' });
});
