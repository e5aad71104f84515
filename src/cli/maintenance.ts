/** Weekly and quarterly work at the command line: what was done, doing it now, its figures, and checking archives of the audit log. */
import { userInfo } from 'node:os';
import path from 'node:path';
import { archivesApart, verifyArchive, type ArchiveVerification } from '../audit/archive.ts';
import { checkpointKey } from '../audit/checkpoint.ts';
import { loadConfig } from '../config.ts';
import { findRun, lastRunBefore, listRuns, maintenanceTasks, type MaintenanceRun, type MaintenanceTask } from '../db/maintenance-runs.ts';
import { findOrganization } from '../db/organizations.ts';
import { loadKeys } from '../db/secrets.ts';
import { inOrganization } from '../db/transaction.ts';
import { lastPeriod, runTask } from '../pipeline/index.ts';
import { CommandError } from './explain.ts';
import { table } from './print.ts';
import { withInstallation } from './with-installation.ts';

interface Options { readonly organization?: string; readonly before?: string }

const dayOf = (date: Date): string => date.toISOString().slice(0, 10);

function taskNamed(name: string): MaintenanceTask {
  const task = maintenanceTasks.find((candidate) => candidate === name);
  if (!task) throw new CommandError(`There is no task "${name}". There are: ${maintenanceTasks.join(', ')}.`);
  return task;
}

function dayNamed(before: string | undefined): Date {
  if (before === undefined) return new Date();
  const day = new Date(`${before}T00:00:00Z`);
  if (!/^\d{4}-\d{2}-\d{2}$/.test(before) || Number.isNaN(day.getTime())) throw new CommandError(`"${before}" is not a day like 2026-07-01.`);
  return day;
}

export async function listMaintenanceCommand(options: Options): Promise<void> {
  const runs = await withInstallation(async ({ database }) => {
    const { organization_id: organizationId } = await findOrganization(database, options.organization);
    return inOrganization(database, organizationId, (tx) => listRuns(tx, 30));
  });
  if (runs.length === 0) return console.log('Nothing was done yet: the first review comes when the organization has seen the end of a week.');
  console.log(table(['TASK', 'FROM', 'UNTIL', 'DONE', 'WHAT'], runs.map((run) => [run.task, dayOf(run.period_start), dayOf(run.period_end), run.updated_at.toISOString(), summary(run)])));
}

const numberOf = (value: unknown, key: string): number => Number((value as Record<string, unknown> | undefined)?.[key] ?? 0);
const listOf = (result: MaintenanceRun['result'], key: string): readonly Record<string, unknown>[] => (Array.isArray(result[key]) ? result[key] as Record<string, unknown>[] : []);

function summary({ task, result }: MaintenanceRun): string {
  if (task === 'audit-archive') return result['file'] === undefined ? 'nothing new' : `${String(result['file'])}, ${numberOf(result, 'rows')} rows`;
  const models = listOf(result, 'models');
  if (task === 'model-baselines') return models.map((model) => String(model['model'])).join(', ') || 'no model was used';
  return `${listOf(result, 'exchanges').reduce((sum, row) => sum + numberOf(row, 'count'), 0)} exchanges, ${numberOf(result['studies'], 'received')} studies, ${listOf(result, 'alerts').reduce((sum, row) => sum + numberOf(row, 'open'), 0)} alerts open`;
}

export async function runMaintenanceCommand(name: string, options: Options): Promise<void> {
  const task = taskNamed(name), period = lastPeriod(task, dayNamed(options.before));
  await withInstallation(async ({ database, config }) => {
    const { organization_id: organizationId } = await findOrganization(database, options.organization);
    const run = await runTask({ database, archiveDirectory: path.join(config.home, 'archive') }, organizationId, task, period, `medscan, account ${userInfo().username}`);
    print(run, await inOrganization(database, organizationId, (tx) => lastRunBefore(tx, task, run.period_start)));
  });
}

export async function showMaintenanceCommand(name: string, options: Options): Promise<void> {
  const task = taskNamed(name), until = dayNamed(options.before);
  await withInstallation(async ({ database }) => {
    const { organization_id: organizationId } = await findOrganization(database, options.organization);
    const [run, before] = await inOrganization(database, organizationId, async (tx) => {
      const found = options.before === undefined ? await lastRunBefore(tx, task, until) : await findRun(tx, task, lastPeriod(task, until).start);
      return [found, found && await lastRunBefore(tx, task, found.period_start)] as const;
    });
    if (!run) throw new CommandError(`There is no ${task} of that time; make it with: medscan maintenance run ${task}`);
    print(run, before);
  });
}

function print(run: MaintenanceRun, before: MaintenanceRun | undefined): void {
  console.log(`${run.task}, ${dayOf(run.period_start)} until ${dayOf(run.period_end)}${before ? `; BEFORE: from ${dayOf(before.period_start)}` : ''}`);
  const earlier = new Map(before ? flat(before.result) : []);
  console.log(table(['WHAT', 'FIGURE', 'BEFORE'], flat(run.result).map(([what, figure]) => [what, figure, earlier.get(what) ?? ''])));
}

/** Figures by their place: `exchanges / hl7v2-mllp / inbound / accepted / count`. Rows of a list are named by their words. */
function flat(value: unknown, place = ''): [string, string][] {
  const within = (key: string): string => (place === '' ? key : `${place} / ${key}`);
  if (value === null) return [];
  if (Array.isArray(value)) return value.flatMap((row: Record<string, unknown>) => flat(figuresOf(row), within(nameOf(row))));
  if (typeof value === 'object') return Object.entries(value).flatMap(([key, field]) => flat(field, within(key)));
  return [[place, typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(2) : String(value)]];
}
const nameOf = (row: Record<string, unknown>): string => Object.keys(row).filter((key) => typeof row[key] === 'string' && !key.endsWith('_id')).toSorted().map((key) => row[key]).join(' / ');
const figuresOf = (row: Record<string, unknown>): object => Object.fromEntries(Object.entries(row).filter(([, field]) => typeof field !== 'string'));

export async function verifyArchiveCommand(files: readonly string[], options: { readonly publicKey?: string }): Promise<void> {
  const publicKey = options.publicKey ?? checkpointKey(await loadKeys(loadConfig())).publicKey;
  const archives: (ArchiveVerification & { readonly name: string })[] = [];
  let isGood = true;
  for (const file of files) {
    const found = await verifyArchive(file, publicKey), name = path.basename(file), faults = found.defects.map(({ kind, text }) => `${kind}: ${text}`);
    console.log(`${name}: ${found.ok ? 'good' : 'NOT GOOD'}, seals ${found.first} to ${found.last}, ${found.rows} rows${faults.slice(0, 20).map((fault) => `\n  ${fault}`).join('')}${faults.length > 20 ? `\n  and ${faults.length - 20} more` : ''}`);
    isGood &&= found.ok;
    archives.push({ ...found, name });
  }
  for (const { archive: { name, first }, isFirst } of archivesApart(archives)) {
    console.log(isFirst ? `${name}: begins at seal ${first}; whether all before it is kept is seen with the files before it` : `${name}: NOT GOOD\n  cut: no file that was given ends where it begins, at seal ${first}: one is missing, or was shortened`);
    isGood &&= isFirst;
  }
  if (!isGood) throw new CommandError('Not every file is as it was written.');
}
