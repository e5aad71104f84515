/**
 * What is done each week and each quarter for every organization. A round of maintain.ts asks what is due and sends a job for it; so what fell in a time
 * when nothing ran is made up for. A job that is done is a row of maintenance_runs, with an audit row in the same commit.
 *
 *   weekly-review     Monday to Monday, UTC: exchanges, studies, analyses, deliveries, alerts, queues
 *   model-baselines   quarter of the calendar: what each model did, into ai_models.baseline_metrics beside what it came with
 *   audit-archive     what was added to the audit log since the last one, into a file (setting audit_archive; nothing is taken out of the log)
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { PgBoss } from 'pg-boss';
import { archiveRange, writeArchive } from '../audit/archive.ts';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { dueTasks, findRun, lastRunBefore, maintenanceTasks, saveRun, type MaintenanceRun, type MaintenanceTask, type Period } from '../db/maintenance-runs.ts';
import { measureModels, setBaseline } from '../db/model-baselines.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { alertsOfWeek, deadJobsOfWeek, deliveriesOfWeek, exchangesOfDay, metricsOfWeek, studiesOfWeek, type Exchanges } from '../db/weekly-review.ts';
import { QUEUES, type MaintenanceJob } from '../queue/queues.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';

export interface MaintenanceRunDependencies { readonly database: Database; /** Of all organizations; shared by the nodes as the object store is. */ readonly archiveDirectory: string }

const DAY_MILLISECONDS = 86_400_000;

/** The last week or quarter that has ended at this time. */
export function lastPeriod(task: MaintenanceTask, now: Date): Period {
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
  if (task === 'model-baselines') return { start: new Date(Date.UTC(year, month - month % 3 - 3, 1)), end: new Date(Date.UTC(year, month - month % 3, 1)) };
  const monday = Date.UTC(year, month, day - (now.getUTCDay() + 6) % 7);
  return { start: new Date(monday - 7 * DAY_MILLISECONDS), end: new Date(monday) };
}

/** Sends a job for what is due, one a day: what fails for good would else be a dead job and an alert of every round. */
export async function queueDueTasks({ database, boss, now }: { readonly database: Database; readonly boss: PgBoss; now(): Date }, organizationId: string): Promise<void> {
  const periods = Object.fromEntries(maintenanceTasks.map((task) => [task, lastPeriod(task, now())])) as Record<MaintenanceTask, Period>;
  for (const task of await inOrganization(database, organizationId, (tx) => dueTasks(tx, periods))) {
    const job: MaintenanceJob = { organizationId, task, periodStart: periods[task].start.toISOString() };
    await boss.send(QUEUES.maintenance.name, job, { singletonKey: [organizationId, task, job.periodStart].join('/'), singletonSeconds: DAY_MILLISECONDS / 1000 });
  }
}

/** Handles one maintenance job. What was done already is left as it is. */
export async function runDueTask(dependencies: MaintenanceRunDependencies, { organizationId, task, periodStart }: MaintenanceJob): Promise<void> {
  const period = lastPeriod(task, new Date(Date.parse(periodStart) + (task === 'model-baselines' ? 93 : 7) * DAY_MILLISECONDS));
  if (await inOrganization(dependencies.database, organizationId, (tx) => findRun(tx, task, period.start))) return;
  await runTask(dependencies, organizationId, task, period, 'maintenance');
}

/** Does it, again when it was done before. `by` is who has it done, for the audit log. */
export async function runTask(dependencies: MaintenanceRunDependencies, organizationId: string, task: MaintenanceTask, period: Period, by: string): Promise<MaintenanceRun> {
  const { database } = dependencies;
  const result = await work[task](dependencies, organizationId, period);
  return inOrganization(database, organizationId, async (tx) => {
    if (task === 'model-baselines') await setBaselines(tx, period, result as unknown as Baselines);
    const runId = await saveRun(tx, task, period, result);
    await recordAudit(tx, {
      ...(task === 'audit-archive' ? auditEvents.dataExport : auditEvents.applicationActivity), action: 'E', outcome: 'success', actor: { kind: 'system', id: by }, object: { type: 'maintenance_run', id: runId },
      detail: { task, period_start: period.start.toISOString(), period_end: period.end.toISOString(), ...(task === 'audit-archive' ? result : {}) },
    });
    return (await findRun(tx, task, period.start))!;
  });
}

type Work = (dependencies: MaintenanceRunDependencies, organizationId: string, period: Period) => Promise<Record<string, unknown>>;

const work: Readonly<Record<MaintenanceTask, Work>> = { 'weekly-review': review, 'model-baselines': baselines, 'audit-archive': archive };

async function review({ database }: MaintenanceRunDependencies, organizationId: string, period: Period): Promise<Record<string, unknown>> {
  const exchanges = new Map<string, Exchanges>();
  for (let day = period.start.getTime(); day < period.end.getTime(); day += DAY_MILLISECONDS) {
    const rows = await inOrganization(database, organizationId, (tx) => exchangesOfDay(tx, { start: new Date(day), end: new Date(day + DAY_MILLISECONDS) }));
    for (const row of rows) add(exchanges, row);
  }
  const [studies, models, deliveries, alerts, deadJobs] = await inOrganization(database, organizationId, async (tx) => [
    await studiesOfWeek(tx, period), await measureModels(tx, period), await deliveriesOfWeek(tx, period), await alertsOfWeek(tx, period), await deadJobsOfWeek(tx, period),
  ] as const);
  const installation = await inOrganization(database, UNASSIGNED_ORGANIZATION_ID, (tx) => metricsOfWeek(tx, period));
  return { studies, exchanges: [...exchanges.values()], models, deliveries, alerts, dead_jobs: deadJobs, installation };
}

function add(sums: Map<string, Exchanges>, row: Exchanges): void {
  const key = [row.adapter, row.direction, row.status].join('/'), before = sums.get(key);
  sums.set(key, before ? { ...row, count: before.count + row.count, p95_ms: Math.max(before.p95_ms ?? 0, row.p95_ms ?? 0) } : row);
}

interface Baselines { readonly models: Awaited<ReturnType<typeof measureModels>> }

async function baselines({ database }: MaintenanceRunDependencies, organizationId: string, period: Period): Promise<Record<string, unknown>> {
  return { models: await inOrganization(database, organizationId, (tx) => measureModels(tx, period)) };
}

async function setBaselines(tx: Transaction, { start, end }: Period, { models }: Baselines): Promise<void> {
  for (const { model_id: modelId, model: _, ...figures } of models) await setBaseline(tx, modelId, { from: start.toISOString(), until: end.toISOString(), ...figures });
}

async function archive({ database, archiveDirectory }: MaintenanceRunDependencies, organizationId: string, period: Period): Promise<Record<string, unknown>> {
  const read = <T>(how: (tx: Transaction) => Promise<T>): Promise<T> => inOrganization(database, organizationId, how);
  const range = await read(async (tx) => archiveRange(tx, await nextPosition(tx, period)));
  if (!range) return { rows: 0, note: 'nothing was added to the audit log and signed since' };
  const name = `audit-${String(range.first).padStart(12, '0')}-${String(range.last).padStart(12, '0')}.ndjson.gz`, directory = path.join(archiveDirectory, 'audit', organizationId), file = path.join(directory, name);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeArchive(file, organizationId, range, read);
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return { file: name, first_position: range.first, last_position: range.last, rows: range.last - range.first + 1, byte_size: (await stat(file)).size, sha256: hash.digest('hex') };
}

/** After what the archive before this one ended with, which may have had nothing to add. */
async function nextPosition(tx: Transaction, period: Period): Promise<number> {
  for (let before = period.start; ;) {
    const run = await lastRunBefore(tx, 'audit-archive', before);
    if (!run) return 1;
    if (typeof run.result['last_position'] === 'number') return run.result['last_position'] + 1;
    before = run.period_start;
  }
}
