/**
 * Fetching from systems that do not send. Every few seconds the integrations that want it get a wake-up; the job looks what is due:
 *
 *   job pull {integration}   for each type that is due: adapter.pulls.pull(since) -> receive(), one message after the other -> T: read_until, next run
 *
 * One integration is read by one worker at a time (queue policy 'stately'). What was committed before a crash is received again and changes nothing.
 */
import type { PgBoss } from 'pg-boss';
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { holdPulls, notePulled, notePullFailed, pullsOf } from '../db/exports.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import { QUEUES, type PullJob } from '../queue/queues.ts';
import type { Adapter, AdapterContext, Integration, Receive } from '#gateway/adapter.ts';

/** An integration with its adapter, as far as it takes messages. */
export interface PullSource { readonly adapter: Adapter; readonly integration: Integration; readonly context: AdapterContext; readonly receive: Receive }
export interface PullDependencies { readonly database: Database; readonly boss: PgBoss; readonly log: Log; now(): Date; pullSource(organizationId: string, integrationId: string): PullSource | undefined }

const LOOK_MILLISECONDS = 2_000;
const LAST_RETRY_MILLISECONDS = 3_600_000;
const ALERT_FROM = 3;

export function startPulls({ boss, log }: Pick<PullDependencies, 'boss' | 'log'>, pulling: () => readonly PullSource[]): { stop(): void } {
  const woken = new Map<string, number>();
  const look = async (): Promise<void> => {
    for (const { adapter, integration: { organizationId, integrationId, config } } of pulling()) {
      const plan = adapter.pulls?.plan(config);
      if (plan === undefined || Date.now() - (woken.get(integrationId) ?? 0) < plan.everySeconds * 500) continue;
      woken.set(integrationId, Date.now());
      await boss.send(QUEUES.pull.name, { organizationId, integrationId } satisfies PullJob, { singletonKey: integrationId });
    }
  };
  const timer = setInterval(() => { look().catch((error: unknown) => log.warn({ err: error }, 'nothing was fetched this time; the next look tries again')); }, LOOK_MILLISECONDS);
  return { stop: () => clearInterval(timer) };
}

/** Handles one pull job. */
export async function pull(dependencies: PullDependencies, job: PullJob, signal: AbortSignal): Promise<void> {
  const { database, now } = dependencies, { organizationId, integrationId } = job;
  const source = dependencies.pullSource(organizationId, integrationId), puller = source?.adapter.pulls, plan = source && puller?.plan(source.integration.config);
  if (!source || !puller || !plan) return;
  let heldUntil = new Date(0);
  for (const { resource_type: type, read_until: readUntil, next_run_at: nextRunAt, failure_count: failures } of await inOrganization(database, organizationId, (tx) => pullsOf(tx, integrationId, plan.types))) {
    if (nextRunAt > now() || heldUntil > now() || signal.aborted) continue;
    const pulled = await puller.pull(source.integration, type, readUntil?.toISOString(), source.receive, source.context);
    const { name } = source.integration;
    await inOrganization(database, organizationId, async (tx) => {
      if (pulled.kind === 'read') {
        await notePulled(tx, integrationId, type, { until: pulled.until, read: pulled.read, nextRunAt: new Date(now().getTime() + plan.everySeconds * 1000) });
        if (failures > 0) await resolveAlert(tx, 'pull_failing', `${name}: ${type}`);
        return;
      }
      // A long reading that breaks off and goes on is not kept waiting for it.
      const isFurther = pulled.until !== undefined && (readUntil === null || Date.parse(pulled.until) > readUntil.getTime());
      const wait = Math.max(pulled.retryAfterMilliseconds ?? 0, isFurther ? plan.everySeconds * 1000 : Math.min(LAST_RETRY_MILLISECONDS, plan.everySeconds * 1000 * 2 ** Math.min(failures, 10)));
      const nextAt = new Date(now().getTime() + wait);
      await notePullFailed(tx, integrationId, type, { text: pulled.text, until: pulled.until, nextRunAt: nextAt });
      // "Later" is said for the server, not for one type.
      if (pulled.retryAfterMilliseconds) {
        heldUntil = new Date(now().getTime() + pulled.retryAfterMilliseconds);
        await holdPulls(tx, integrationId, heldUntil);
      }
      const isLong = wait > LAST_RETRY_MILLISECONDS;
      if (failures + 1 >= ALERT_FROM || isLong) await raiseAlert(tx, { kind: 'pull_failing', severity: 'warning', subject: `${name}: ${type}`, message: `${type} cannot be fetched from ${name}: ${pulled.text}. It goes on where it stopped${isLong ? `, not before ${nextAt.toISOString()}: the server asked for that` : ''}.` });
    });
    if (pulled.kind === 'read' && pulled.refused > 0) dependencies.log.warn({ integrationId, type, refused: pulled.refused }, 'some of what was fetched was refused; the exchanges say why');
  }
}
