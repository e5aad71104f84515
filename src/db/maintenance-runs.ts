/** maintenance_runs: what maintenance did for an organization, one row per task and period. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

export const maintenanceTasks = ['weekly-review', 'model-baselines', 'audit-archive'] as const;
export type MaintenanceTask = (typeof maintenanceTasks)[number];
export interface Period { readonly start: Date; readonly end: Date }

const Run = z.object({ run_id: z.string(), task: z.enum(maintenanceTasks), period_start: z.date(), period_end: z.date(), result: z.record(z.string(), z.unknown()), updated_at: z.date() });
export type MaintenanceRun = z.infer<typeof Run>;
const columns = sql.fragment`run_id, task, period_start, period_end, result, updated_at`;

/** A period that was done before is done anew: its result is replaced. Returns the run's id. */
export function saveRun(tx: CommonQueryMethods, task: MaintenanceTask, period: Period, result: object): Promise<string> {
  return tx.oneFirst(sql.type(z.object({ run_id: z.string() }))`
    INSERT INTO maintenance_runs (organization_id, task, period_start, period_end, result)
    VALUES (${ORGANIZATION}, ${task}, ${period.start.toISOString()}, ${period.end.toISOString()}, ${jsonText(result)}::jsonb)
    ON CONFLICT (organization_id, task, period_start) DO UPDATE SET period_end = excluded.period_end, result = excluded.result RETURNING run_id`);
}

export async function findRun(tx: CommonQueryMethods, task: MaintenanceTask, periodStart: Date): Promise<MaintenanceRun | undefined> {
  return await tx.maybeOne(sql.type(Run)`SELECT ${columns} FROM maintenance_runs WHERE organization_id = ${ORGANIZATION} AND task = ${task} AND period_start = ${periodStart.toISOString()}`) ?? undefined;
}

export function listRuns(tx: CommonQueryMethods, limit: number): Promise<readonly MaintenanceRun[]> {
  return tx.any(sql.type(Run)`SELECT ${columns} FROM maintenance_runs WHERE organization_id = ${ORGANIZATION} ORDER BY period_end DESC, task LIMIT ${limit}`);
}

/** The newest run of a task whose period begins before this. */
export async function lastRunBefore(tx: CommonQueryMethods, task: MaintenanceTask, before: Date): Promise<MaintenanceRun | undefined> {
  return await tx.maybeOne(sql.type(Run)`
    SELECT ${columns} FROM maintenance_runs WHERE organization_id = ${ORGANIZATION} AND task = ${task} AND period_start < ${before.toISOString()} ORDER BY period_start DESC LIMIT 1`) ?? undefined;
}

/** What is to be done by itself: the organization was there during the period, has no run of it, and wants it. */
export function dueTasks(tx: CommonQueryMethods, periods: Readonly<Record<MaintenanceTask, Period>>): Promise<readonly MaintenanceTask[]> {
  const rows = jsonText(maintenanceTasks.map((task) => ({ task, period_start: periods[task].start.toISOString(), period_end: periods[task].end.toISOString() })));
  return tx.anyFirst(sql.type(z.object({ task: z.enum(maintenanceTasks) }))`
    SELECT d.task FROM jsonb_to_recordset(${rows}::jsonb) AS d(task text, period_start timestamptz, period_end timestamptz)
    WHERE (SELECT o.created_at FROM organizations o WHERE o.organization_id = ${ORGANIZATION}) < d.period_end
      AND NOT EXISTS (SELECT 1 FROM maintenance_runs r WHERE r.organization_id = ${ORGANIZATION} AND r.task = d.task AND r.period_start = d.period_start)
      AND (d.task <> 'audit-archive' OR EXISTS (SELECT 1 FROM (SELECT value FROM system_settings WHERE organization_id = ${ORGANIZATION} AND setting_key = 'audit_archive' ORDER BY version DESC LIMIT 1) s WHERE s.value = '1'::jsonb))
    ORDER BY d.task DESC`);
}
