/** A person decides about images that are kept out of use: which of two versions, and whether an image of another patient belongs to the study. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endSettledAlerts } from '../../src/db/alert-causes.ts';
import { filesInUseOf } from '../../src/db/commitments.ts';
import { reopenScan } from '../../src/db/scan-completion.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { completeWhenQuiet } from '../../src/pipeline/complete.ts';
import { decideVersion } from '../../src/pipeline/index.ts';
import type { Sources } from '../../src/pipeline/sources.ts';
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
const analysed = (scanId: string) => pipeline.db.asOwner("UPDATE ai_analyses SET status = 'completed' WHERE scan_id = $1", [scanId]);
const reopen = (scanId: string) => inOrganization(pipeline.db.database, organizationId, (tx) => reopenScan(tx, scanId));
const why = async (scanId: string) => (await pipeline.db.asOwner<{ why: string }>('SELECT why_waiting AS why FROM scan_queue WHERE scan_id = $1', [scanId]))[0]!.why;
const openAlerts = (subject: string) => pipeline.db.asOwner("SELECT FROM system_alerts WHERE resolved_at IS NULL AND subject = $1", [subject]);

test('of two versions the later is put in use: the first is set aside, the scan is completed and analysed again, and the alert ends', async () => {
  const first = await sends('30.1', 'first');
  await complete(first.scanId);
  await analysed(first.scanId);
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
  await analysed(first.scanId);

  expect(await decide(third.file, 'set aside')).toEqual({ kind: 'done' });
  expect(await openAlerts('study 30.1')).toEqual([]);
  expect(await complete(first.scanId)).toBe('nothing to do');
  expect(await decide(third.file, 'set aside')).toMatchObject({ kind: 'refused' });
  expect(await decide(second.file, 'set aside')).toMatchObject({ kind: 'refused', reason: expect.stringContaining('in use') as string });
  expect(await decide(second.file, 'use')).toMatchObject({ kind: 'refused' });
  expect(await decide(first.file, 'use'), 'and back again').toEqual({ kind: 'done' });
  expect(await files(first.scanId)).toEqual({ [first.file]: ['stored', null], [second.file]: ['archived', first.file], [third.file]: ['archived', first.file] });
  expect(await complete(first.scanId)).toBe('completed');
  expect(await analyses(first.scanId), 'the newest analysis is of what is in use, and reports are made of that one').toHaveLength(3);
  await analysed(first.scanId);
  await reopen(first.scanId);
  expect(await complete(first.scanId)).toBe('completed');
  expect(await analyses(first.scanId), 'once').toHaveLength(3);
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

test('an image of another patient that was put in use is set aside again: the decision is on record, and the scan is analysed as before', async () => {
  const own = await sends('30.10', 'own'), foreign = await sends('30.10', 'foreign', 'SOMEBODY');
  await decide(foreign.file, 'use');
  await complete(own.scanId);
  await analysed(own.scanId);
  expect(await decide(foreign.file, 'set aside')).toEqual({ kind: 'done' });
  expect(await files(own.scanId)).toEqual({ [own.file]: ['stored', null], [foreign.file]: ['archived', null] });
  expect(await why(own.scanId)).toBe('A person set one of its images aside; the scan is completed again without it.');
  expect(await complete(own.scanId)).toBe('completed');
  const digests = async () => (await pipeline.db.asOwner<{ input_digest: string }>('SELECT input_digest FROM ai_analyses WHERE scan_id = $1 ORDER BY analysis_id', [own.scanId])).map((row) => row.input_digest);
  expect(new Set(await digests()).size, 'with it, and without it').toBe(2);
  expect(await pipeline.db.asOwner("SELECT detail->>'decision' AS decision, detail->>'was' AS was FROM audit_logs WHERE object_id = $1 AND detail ? 'decision' ORDER BY audit_id", [foreign.file])).toEqual([{ decision: 'use', was: 'quarantined' }, { decision: 'set aside', was: 'stored' }]);
  await analysed(own.scanId);
  expect(await decide(foreign.file, 'use'), 'and back again').toEqual({ kind: 'done' });
  await complete(own.scanId);
  expect(await digests()).toHaveLength(3);
});

test('a scan none of whose images is in use waits for a person, and nothing is analysed', async () => {
  const only = await sends('30.11', 'only');
  await complete(only.scanId);
  expect(await decide(only.file, 'set aside')).toEqual({ kind: 'done' });
  expect(await complete(only.scanId)).toBe('completed');
  expect(await why(only.scanId)).toMatch(/^None of its images is in use/);
  expect(await pipeline.db.asOwner('SELECT status FROM ai_analyses WHERE scan_id = $1', [only.scanId])).toEqual([{ status: 'cancelled' }]);
});

test('an image that is set aside is kept: who asks whether it is stored hears yes', async () => {
  const own = await sends('30.9', 'own'), foreign = await sends('30.9', 'foreign', 'ANOTHER');
  expect(await decide(foreign.file, 'set aside')).toEqual({ kind: 'done' });
  expect(await files(own.scanId)).toMatchObject({ [foreign.file]: ['archived', null] });
  expect((await inOrganization(pipeline.db.database, organizationId, (tx) => filesInUseOf(tx, ['30.9.1', '30.9.2']))).map((file) => file.sop_instance_uid).toSorted()).toEqual(['30.9.1', '30.9.2']);
});

test('an analysis that was begun with the version before is dropped, and one that failed of these images long ago is made anew, as the newest', async () => {
  const { scanId } = await sends('30.4', 'first');
  await complete(scanId);
  await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'failed' WHERE scan_id = $1", [scanId]);
  const second = await sends('30.4', 'second');
  await decide(second.file, 'use');
  await complete(scanId);
  const statuses = async () => (await pipeline.db.asOwner<{ status: string }>('SELECT status FROM ai_analyses WHERE scan_id = $1 ORDER BY created_at', [scanId])).map(({ status }) => status);
  expect(await statuses()).toEqual(['failed', 'queued']);
  const [first] = await pipeline.db.asOwner<{ id: string }>("SELECT scan_file_id AS id FROM scan_files WHERE scan_id = $1 AND status = 'archived'", [scanId]);
  await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'processing' WHERE scan_id = $1 AND status = 'queued'", [scanId]);
  await decide(first!.id, 'use');
  expect(await statuses()).toEqual(['failed', 'cancelled']);
  await complete(scanId);
  expect(await statuses()).toEqual(['queued', 'cancelled']);
});

test('a version that comes from another study takes the image out of that one, which is completed again without it', async () => {
  const here = await sends('30.5', 'here');
  await complete(here.scanId);
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: '30.5.1', bytes: 'there', normalized: { patient: patient('30.6'), instance: instance('30.6', '30.5.1') } });
  if (receipt.kind !== 'accepted') throw new Error(receipt.kind);
  const there = { scanId: receipt.links['scans']!, file: receipt.links['scan_files']! };
  expect(await files(there.scanId)).toEqual({ [there.file]: ['quarantined', here.file] });
  await decide(there.file, 'use');
  const scans = (scanId: string) => pipeline.db.asOwner('SELECT status, instance_count, series_count FROM scans WHERE scan_id = $1', [scanId]);
  expect(await scans(here.scanId)).toEqual([{ status: 'in_progress', instance_count: 0, series_count: 0 }]);
  expect(await scans(there.scanId)).toEqual([{ status: 'in_progress', instance_count: 1, series_count: 1 }]);
  expect(await complete(here.scanId)).toBe('completed');
  expect(await analyses(here.scanId), 'there is nothing left to analyse').toHaveLength(1);
  expect(await why(here.scanId)).toMatch(/^None of its images is in use/);
});

test('the source of the images is asked again where it had been given up on', async () => {
  const { scanId } = await sends('30.7', 'first');
  const second = await sends('30.7', 'second');
  await complete(scanId);
  await pipeline.db.asOwner("INSERT INTO source_counts (organization_id, scan_id, integration_id, status, asked_at, next_at) VALUES ($1, $2, $3, 'given_up', now(), now())", [organizationId, scanId, pipeline.integration.integrationId]);
  await decide(second.file, 'use');
  const sources = { of: () => [{ integration: pipeline.integration, wanted: { assigningAuthority: '', completeness: { whenMissing: 'wait', lookAgainSeconds: 60, giveUpMinutes: 60, withoutProof: 'hold' } } }] } as unknown as Sources;
  expect(await completeWhenQuiet({ ...dependencies(), sources }, { organizationId, scanId })).toBe('waiting');
  expect(await pipeline.db.asOwner("SELECT FROM pgboss.job WHERE name = 'check-source' AND singleton_key = $1 AND state = 'created'", [scanId])).toHaveLength(1);
});

test('the alert about an image of another patient stays until it is decided, also where it is another version of an image that is here', async () => {
  const { scanId } = await sends('30.8', 'first');
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: '30.8.1', bytes: 'of a stranger', normalized: { patient: patient('STRANGER'), instance: instance('30.8', '30.8.1') } });
  if (receipt.kind !== 'accepted') throw new Error(receipt.kind);
  await inOrganization(pipeline.db.database, organizationId, endSettledAlerts);
  expect(await openAlerts(`scan ${scanId}`)).toHaveLength(1);
  expect(await openAlerts('study 30.8')).toHaveLength(1);
  await decide(receipt.links['scan_files']!, 'set aside');
  expect([await openAlerts(`scan ${scanId}`), await openAlerts('study 30.8')]).toEqual([[], []]);
});

test('a file of another organization is not found', async () => {
  const { file } = await sends('30.3', 'x');
  const [other] = await pipeline.db.asOwner<{ id: string }>('SELECT organization_id AS id FROM organizations WHERE organization_id <> $1 LIMIT 1', [organizationId]);
  expect(await decideVersion(dependencies(), other!.id, file, 'use', 'x', somebody)).toEqual({ kind: 'not-found' });
});
