/** Weekly and quarterly work: what is due, the figures it finds, and what it leaves alone. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkpointKey, writeCheckpoint } from '../../src/audit/checkpoint.ts';
import { sealOrganization } from '../../src/audit/seal.ts';
import { ensurePartitions, KEEP_METRICS_MONTHS } from '../../src/db/partitions.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { lastPeriod, runTask, startMaintenance } from '../../src/pipeline/index.ts';
import { queueDueTasks, runDueTask } from '../../src/pipeline/maintenance-runs.ts';
import { QUEUES, type MaintenanceJob } from '../../src/queue/queues.ts';
import { lowestUuidAt, uuidV7 } from '#domain/uuid.ts';
import { eventually, testGateway } from '../support/gateway.ts';
import { insertIntegration, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline, organizationId: string, integrationId: string;
const home = mkdtempSync(path.join(tmpdir(), 'medscan-maintenance-'));
const archiveDirectory = path.join(home, 'archive');
/** A Wednesday: the week of 2 to 9 March 2026 is over, and so is the last quarter of 2025. */
const now = new Date('2026-03-11T10:00:00Z');
const week = lastPeriod('weekly-review', now), quarter = lastPeriod('model-baselines', now);

beforeAll(async () => {
  pipeline = await testPipeline();
  ({ organizationId, integrationId } = pipeline.integration);
});
afterAll(async () => {
  await pipeline.close();
  rmSync(home, { recursive: true, force: true });
});

const own = (text: string, values: unknown[] = []) => pipeline.db.asOwner<Record<string, unknown>>(text, values);
const dependencies = () => ({ database: pipeline.db.database, boss: pipeline.boss, archiveDirectory, now: () => now });
const run = (task: MaintenanceJob['task']) => runTask(dependencies(), organizationId, task, lastPeriod(task, now), 'test');

test.each([
  ['weekly-review', '2026-03-11T10:00:00Z', '2026-03-02', '2026-03-09'], ['weekly-review', '2026-03-09T00:00:00Z', '2026-03-02', '2026-03-09'], ['weekly-review', '2026-03-08T23:59:59Z', '2026-02-23', '2026-03-02'],
  ['audit-archive', '2027-01-01T00:00:00Z', '2026-12-21', '2026-12-28'], ['model-baselines', '2026-03-11T10:00:00Z', '2025-10-01', '2026-01-01'], ['model-baselines', '2026-04-01T00:00:00Z', '2026-01-01', '2026-04-01'],
] as const)('the last whole period of %s at %s begins on %s', (task, at, start, end) => {
  expect(lastPeriod(task, new Date(at))).toEqual({ start: new Date(start), end: new Date(end) });
});

/** Exchanges of one outcome at these times. */
async function exchanges(status: string, milliseconds: number, times: readonly string[]): Promise<void> {
  for (const time of times) {
    await own(`INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, answer_status, started_at, duration_ms)
      VALUES ($1, $2, $3, 'hl7v2-mllp', 'inbound', 'ADT^A08', $2::uuid::text, $4, 'answered', $5, $6)`, [organizationId, uuidV7(Date.parse(time)), integrationId, status, time, milliseconds]);
  }
}

test('the review of a week counts what was in it, and nothing of the days around it', async () => {
  await exchanges('accepted', 5, ['2026-03-02T00:00:00Z', '2026-03-04T12:00:00Z', '2026-03-08T23:59:59.999Z', '2026-03-01T23:59:59.999Z', '2026-03-09T00:00:00Z']);
  await exchanges('accepted', 90, ['2026-03-05T12:00:00Z']);
  await exchanges('rejected', 2, ['2026-03-03T12:00:00Z']);
  await own("INSERT INTO system_alerts (organization_id, kind, severity, subject, message, opened_at) VALUES ($1, 'job_dead', 'critical', 'a', 'x', '2026-03-04'), ($1, 'sla_breach', 'warning', 'b', 'x', '2026-01-01')", [organizationId]);
  await own("INSERT INTO system_metrics (organization_id, metric_name, labels, value, node, measured_at) SELECT '00000000-0000-0000-0000-000000000000', 'queue_waiting_jobs', '{\"queue\": \"analyze\"}', v, 'n', '2026-03-04' FROM unnest(ARRAY[3, 250]) v");
  const patientId = (await own("INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'P1') RETURNING patient_id", [organizationId]))[0]!['patient_id'];
  for (const [n, at] of [['1', '2026-03-03'], ['2', '2026-03-10']]) await own("INSERT INTO scans (organization_id, scan_number, patient_id, scan_type, study_instance_uid, instance_count, total_bytes, first_instance_at, images_complete_at) VALUES ($1, $2, $3, 'ct', $2::text, 10, 5000, $4, $4)", [organizationId, n, patientId, at]);
  const { result } = await run('weekly-review');
  expect(result).toMatchObject({
    studies: { received: 1, images: 10, bytes: 5000, completed: 1, late: 0 },
    exchanges: [{ adapter: 'hl7v2-mllp', direction: 'inbound', status: 'accepted', count: 4, p95_ms: 90 }, { status: 'rejected', count: 1, p95_ms: 2 }],
    alerts: [{ kind: 'job_dead', opened: 1, open: 1 }, { kind: 'sla_breach', opened: 0, open: 1 }], models: [], dead_jobs: [], deliveries: [],
    installation: [{ metric: 'queue_waiting_jobs', queue: 'analyze', lowest: 3, highest: 250 }],
  });
  expect(lowestUuidAt(week.start.getTime()) < uuidV7(week.start.getTime())).toBe(true);
});

test('a quarter\'s figures stand beside what a model came with, and say what people thought of its findings', async () => {
  const [model] = await own("INSERT INTO ai_models (organization_id, model_name, model_version, runtime, status, baseline_metrics) VALUES ($1, 'lung', '2', 'onnx', 'active', '{\"sensitivity\": 0.95}') RETURNING model_id", [organizationId]);
  const scan = (await own('SELECT scan_id FROM scans WHERE organization_id = $1 LIMIT 1', [organizationId]))[0]!['scan_id'];
  const analysis = async (status: string, seconds: number | null, ended: string): Promise<unknown> => (await own(`INSERT INTO ai_analyses (organization_id, scan_id, model_id, input_digest, status, processing_duration_seconds, processing_end_time) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING analysis_id`,
    [organizationId, scan, model!['model_id'], uuidV7(), status, seconds, ended]))[0]!['analysis_id'];
  const first = await analysis('completed', 2, '2025-10-01T00:00:00Z');
  await analysis('completed', 4, '2025-12-31T23:59:59Z');
  await analysis('timeout', null, '2025-11-11T00:00:00Z');
  await analysis('completed', 99, '2026-01-01T00:00:00Z');
  for (const isConfirmed of [true, false, null]) await own("INSERT INTO findings (organization_id, analysis_id, tracking_uid, finding_type, severity, confidence_percentage, description, is_confirmed) VALUES ($1, $2, $3, 'Nodule', 'low', 80, 'x', $4)", [organizationId, first, uuidV7(), isConfirmed]);
  const done = await run('model-baselines');
  expect(done).toMatchObject({ period_start: quarter.start, period_end: quarter.end });
  expect((await own('SELECT baseline_metrics FROM ai_models WHERE model_id = $1', [model!['model_id']]))[0]!['baseline_metrics']).toEqual({
    sensitivity: 0.95, measured: { from: '2025-10-01T00:00:00.000Z', until: '2026-01-01T00:00:00.000Z', analyses: 3, failed: 1, p50_seconds: 2, p95_seconds: 4, with_findings: 1, findings: 3, mean_confidence_percentage: 80, confirmed: 1, rejected: 1 },
  });
  await analysis('completed', 7, '2025-08-01T00:00:00Z');
  expect((await runTask(dependencies(), organizationId, 'model-baselines', lastPeriod('model-baselines', new Date('2025-10-02')), 'test')).result).toMatchObject({ models: [{ analyses: 1 }] });
  expect((await own("SELECT baseline_metrics->'measured'->>'until' AS until FROM ai_models WHERE model_id = $1", [model!['model_id']]))[0], 'an earlier quarter, done afterwards').toEqual({ until: '2026-01-01T00:00:00.000Z' });
  expect(await own("SELECT action, object_type, detail->>'task' AS task FROM audit_logs WHERE object_id = $1", [done.run_id])).toEqual([{ action: 'E', object_type: 'maintenance_run', task: 'model-baselines' }]);
});

async function dueJobs(): Promise<MaintenanceJob[]> {
  await queueDueTasks(dependencies(), organizationId);
  const jobs = await pipeline.boss.fetch<MaintenanceJob>(QUEUES.maintenance.name, { batchSize: 10 });
  for (const job of jobs) await pipeline.boss.complete(QUEUES.maintenance.name, job.id);
  return jobs.map(({ data }) => data).toSorted((a, b) => a.task.localeCompare(b.task));
}

test('what is due gets one job until it is done; an organization that was not there yet gets none, and an archive only where it is wanted', async () => {
  await own('DELETE FROM maintenance_runs');
  expect(await dueJobs(), 'the organization is of today, the period is not').toEqual([]);
  await own("UPDATE organizations SET created_at = '2025-01-01' WHERE organization_id = $1", [organizationId]);
  await queueDueTasks(dependencies(), organizationId);
  const jobs = await dueJobs();
  expect(jobs.map(({ task }) => task)).toEqual(['model-baselines', 'weekly-review']);
  for (const job of jobs) await runDueTask(dependencies(), job);
  const saved = (await own('SELECT run_id, result FROM maintenance_runs ORDER BY task')).map((row) => row['run_id']);
  expect(saved).toHaveLength(2);
  expect(await dueJobs(), 'done').toEqual([]);
  for (const job of jobs) await runDueTask(dependencies(), job);
  expect((await own("SELECT count(*)::int AS audits FROM audit_logs WHERE object_id = ANY($1)", [saved]))[0], 'a second job of one period does nothing').toEqual({ audits: 2 });
  await own("INSERT INTO system_settings (organization_id, setting_key, version, value, changed_by) VALUES ($1, 'audit_archive', 1, '1', 'somebody')", [organizationId]);
  expect((await dueJobs()).map(({ task }) => task)).toEqual(['audit-archive']);
  await own("INSERT INTO system_settings (organization_id, setting_key, version, value, changed_by) VALUES ($1, 'audit_archive', 2, '0', 'somebody')", [organizationId]);
  expect(await dueJobs()).toEqual([]);
});

test('a maintenance round has a worker of the running gateway do what is due', async () => {
  const gateway = await testGateway({ MEDSCAN_ROLES: 'worker', MEDSCAN_DICOM_PORT: 'off', MEDSCAN_HL7_PORT: 'off', MEDSCAN_HTTP_PORT: 'off' });
  try {
    const { organizationId: theirs } = await insertIntegration(gateway.db, 'Old Hospital', 'PACS', 'fake');
    await gateway.db.asOwner("UPDATE organizations SET created_at = '2025-01-01' WHERE organization_id = $1", [theirs]);
    await gateway.db.asOwner("INSERT INTO system_settings (organization_id, setting_key, version, value, changed_by) VALUES ($1, 'audit_archive', 1, '1', 'somebody')", [theirs]);
    const { config, log, database } = gateway.installation;
    const maintenance = startMaintenance({ database, boss: gateway.boss, store: gateway.store, log, quietSeconds: config.quietSeconds, queueLimit: config.queueLimit, now: () => new Date() });
    try {
      const done = await eventually(async () => {
        const rows = await gateway.db.asOwner<{ task: string }>('SELECT task FROM maintenance_runs WHERE organization_id = $1 ORDER BY task', [theirs]);
        return rows.length === 3 && rows.map(({ task }) => task);
      });
      expect(done).toEqual(['audit-archive', 'model-baselines', 'weekly-review']);
    } finally {
      await maintenance.stop();
    }
  } finally {
    await gateway.stop();
  }
});

interface Result { readonly code: number; readonly out: string; readonly err: string }
function medscan(...words: string[]): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>();
  const env = { PATH: process.env['PATH'], MEDSCAN_HOME: home, DATABASE_URL: pipeline.db.ownerUrl, MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') };
  execFile(process.execPath, [path.join(import.meta.dirname, '../../bin/medscan.mjs'), 'maintenance', ...words], { env }, (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }));
  return promise;
}

test('archives take the audit log over in turn, each once, and the log keeps what it has', async () => {
  const seal = async (): Promise<void> => {
    await sealOrganization(pipeline.db.database, organizationId, { sweep: 'all' });
    await inOrganization(pipeline.db.database, organizationId, (tx) => writeCheckpoint(tx, organizationId, checkpointKey(pipeline.db.keys)));
  };
  const rows = async (): Promise<unknown> => (await own('SELECT count(*)::int AS n FROM audit_logs WHERE organization_id = $1', [organizationId]))[0]!['n'];
  await seal();
  const before = await rows();
  const first = await run('audit-archive');
  expect(first.result).toMatchObject({ first_position: 1, last_position: before, rows: before });
  await seal();
  const next = await runTask(dependencies(), organizationId, 'audit-archive', lastPeriod('audit-archive', new Date('2026-03-18')), 'test');
  expect(next.result).toMatchObject({ first_position: Number(before) + 1, rows: 1 });
  expect(await rows()).toBe(Number(before) + 2);
  const directory = path.join(archiveDirectory, 'audit', organizationId), files = readdirSync(directory).sort().map((name) => path.join(directory, name));
  expect(files.map((file) => path.basename(file))).toEqual([first.result['file'], next.result['file']]);
  expect(await medscan('verify-archive', ...files)).toMatchObject({ code: 0, out: expect.stringMatching(/good, seals 1 to \d+, \d+ rows\n.*good, seals/) as string });
  await seal();
  const last = await runTask(dependencies(), organizationId, 'audit-archive', lastPeriod('audit-archive', new Date('2026-03-25')), 'test');
  const lastFile = path.join(directory, last.result['file'] as string);
  expect(await medscan('verify-archive', files[1]!, lastFile), 'of the first nothing is known').toMatchObject({ code: 0, out: expect.stringContaining('is seen with the files before it') as string });
  expect(await medscan('verify-archive', files[0]!, lastFile), 'one between is missing').toMatchObject({ code: 1, out: expect.stringContaining('no file that was given ends where it begins') as string });
});

test('at the command line a week is reviewed, listed and shown beside the week before', async () => {
  const done = await medscan('run', 'weekly-review', '--before', '2026-03-16');
  expect(done).toMatchObject({ code: 0, err: '' });
  expect(done.out).toMatch(/weekly-review, 2026-03-09 until 2026-03-16; BEFORE: from 2026-03-02\n/);
  expect(done.out, 'the exchange of 9 March, and those of the week before').toMatch(/exchanges \/ hl7v2-mllp \/ inbound \/ accepted \/ count +1 +4\n/);
  expect((await medscan('show', 'weekly-review', '--before', '2026-03-16')).out).toBe(done.out);
  expect((await medscan('list')).out).toMatch(/weekly-review +2026-03-09 +2026-03-16 .*1 exchanges, 1 studies, 2 alerts open/);
  expect(await medscan('run', 'yearly')).toMatchObject({ code: 1, err: expect.stringContaining('There are: weekly-review, model-baselines, audit-archive') as string });
});

test('old metrics end by the month; exchanges and audit rows of that month stay', async () => {
  const month = (back: number): Date => new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() - back, 1));
  const name = (table: string, back: number): string => `${table}_${month(back).toISOString().slice(0, 7).replace('-', '_')}`;
  for (const table of ['system_metrics', 'sync_logs', 'audit_logs']) for (const back of [KEEP_METRICS_MONTHS + 1, KEEP_METRICS_MONTHS]) {
    await own(`CREATE TABLE ${name(table, back)} PARTITION OF ${table} FOR VALUES FROM ('${month(back).toISOString()}') TO ('${month(back - 1).toISOString()}')`);
  }
  await ensurePartitions(pipeline.db.ownerUrl);
  const left = (await own("SELECT relname::text AS name FROM pg_class WHERE relname = ANY($1) ORDER BY 1", [['system_metrics', 'sync_logs', 'audit_logs'].flatMap((table) => [name(table, KEEP_METRICS_MONTHS + 1), name(table, KEEP_METRICS_MONTHS)])])).map((row) => row['name']);
  expect(left).toEqual([name('audit_logs', KEEP_METRICS_MONTHS + 1), name('audit_logs', KEEP_METRICS_MONTHS), name('sync_logs', KEEP_METRICS_MONTHS + 1), name('sync_logs', KEEP_METRICS_MONTHS), name('system_metrics', KEEP_METRICS_MONTHS)].sort());
  await expect(own('SELECT medscan_drop_old_metrics(0)')).rejects.toThrow('at least one month');
  expect(existsSync(archiveDirectory)).toBe(true);
});

test('a backup that reads the old metrics holds up no start, and two nodes that begin at once both begin', async () => {
  const month = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() - KEEP_METRICS_MONTHS - 2, 1)), name = `system_metrics_${month.toISOString().slice(0, 7).replace('-', '_')}`;
  await own(`CREATE TABLE ${name} PARTITION OF system_metrics FOR VALUES FROM ('${month.toISOString()}') TO ('${new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth() + 1, 1)).toISOString()}')`);
  const isThere = async (): Promise<unknown> => (await own('SELECT to_regclass($1) IS NOT NULL AS there', [name]))[0]!['there'];
  const backup = new pg.Client({ connectionString: pipeline.db.ownerUrl });
  await backup.connect();
  try {
    await backup.query(`BEGIN; LOCK TABLE ${name} IN ACCESS SHARE MODE`);
    await ensurePartitions(pipeline.db.ownerUrl);
    expect(await isThere()).toBe(true);
  } finally {
    await backup.end();
  }
  await Promise.all([ensurePartitions(pipeline.db.ownerUrl), ensurePartitions(pipeline.db.ownerUrl)]);
  await ensurePartitions(pipeline.db.ownerUrl);
  expect(await isThere()).toBe(false);
});

test('a task that fails each time is tried again on another day, not by every round', async () => {
  await own('DELETE FROM maintenance_runs');
  await own("UPDATE organizations SET created_at = '2025-01-01' WHERE organization_id = $1", [organizationId]);
  await own('DELETE FROM pgboss.job WHERE name = $1', [QUEUES.maintenance.name]);
  const states = async (): Promise<unknown[]> => (await own('SELECT state::text FROM pgboss.job WHERE name = $1 ORDER BY 1', [QUEUES.maintenance.name])).map((row) => row['state']);
  for (const state of ['retry', 'active', 'failed']) {
    await queueDueTasks(dependencies(), organizationId);
    await own('UPDATE pgboss.job SET state = $2 WHERE name = $1', [QUEUES.maintenance.name, state]);
  }
  await queueDueTasks(dependencies(), organizationId);
  expect(await states()).toEqual(['failed', 'failed']);
  await own("UPDATE pgboss.job SET singleton_on = singleton_on - interval '1 day' WHERE name = $1", [QUEUES.maintenance.name]);
  await queueDueTasks(dependencies(), organizationId);
  expect(await states()).toEqual(['created', 'created', 'failed', 'failed']);
  await own('DELETE FROM pgboss.job WHERE name = $1', [QUEUES.maintenance.name]);
});
