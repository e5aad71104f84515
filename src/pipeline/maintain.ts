/**
 * What heals by itself. Every few seconds, per organization: destinations with something due get a wake-up, scans whose completion job was
 * lost get one, results that are late are marked. Every 15 s the sampler writes system_metrics, every minute alerts end whose cause is gone, every ten
 * minutes those about files that are there again, logs lose what is too old, and weekly or quarterly work that is due gets its job. All of it may run on every node: it only
 * sends jobs that exist once per key, and updates that change nothing the second time.
 */
import { hostname } from 'node:os';
import type { PgBoss } from 'pg-boss';
import { countUnsealed } from '../audit/seal.ts';
import { endSettledAlerts } from '../db/alert-causes.ts';
import { findUnreportedScans } from '../db/analyses.ts';
import { countOpenDeliveries, dueDestinations } from '../db/deliveries.ts';
import { openReplays } from '../db/message-replays.ts';
import { organizationIds, markSlaBreaches, writeMetrics, type Metric } from '../db/maintenance.ts';
import type { Database } from '../db/pool.ts';
import { dueNotices } from '../db/order-notices.ts';
import { findOverdueCompletions } from '../db/scan-completion.ts';
import { dueSubscriptions, tidySubscriptions } from '../db/subscriptions.ts';
import { asSystem, inOrganization } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import { auditUnsealed, openDeliveries, queueLength } from '../metrics.ts';
import { QUEUES } from '../queue/queues.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { wakeDestination } from './commands.ts';
import { tidyAssociations } from './associations.ts';
import { queueDueTasks } from './maintenance-runs.ts';
import { judgeQueues } from './congestion.ts';
import { endFoundFiles } from './missing-files.ts';
import { judgeFreeSpace } from './storage-alerts.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';

const SWEEP_MILLISECONDS = 5_000;
const SAMPLE_MILLISECONDS = 15_000;
const SETTLE_MILLISECONDS = 60_000;
const TIDY_MILLISECONDS = 600_000;
/** A completion job that is this late was lost. */
const LOST_AFTER_MILLISECONDS = 60_000;
/** Events that were heard can be asked for again for this long. */
const KEEP_EVENT_DAYS = 30;

export interface MaintainDependencies { readonly database: Database; readonly boss: PgBoss; readonly store: ObjectStore; readonly log: Log; readonly quietSeconds: number; readonly queueLimit: number; now(): Date }

export function startMaintenance(dependencies: MaintainDependencies): { stop(): Promise<void> } {
  const loops = [every(SWEEP_MILLISECONDS, dependencies.log, () => sweep(dependencies)), every(SAMPLE_MILLISECONDS, dependencies.log, () => sample(dependencies)), every(SETTLE_MILLISECONDS, dependencies.log, () => settle(dependencies)), every(TIDY_MILLISECONDS, dependencies.log, () => tidy(dependencies))];
  return { stop: async () => { await Promise.all(loops.map((loop) => loop.stop())); } };
}

async function sweep(dependencies: MaintainDependencies): Promise<void> {
  const { database, boss, quietSeconds, now } = dependencies;
  const before = new Date(now().getTime() - quietSeconds * 1000 - LOST_AFTER_MILLISECONDS);
  for (const organizationId of await asSystem(database, 'sweep', organizationIds)) {
    const { replays, scans, unreported, subscriptions } = await inOrganization(database, organizationId, async (tx) => {
      await markSlaBreaches(tx);
      for (const integrationId of new Set([...await dueDestinations(tx), ...await dueNotices(tx)])) await wakeDestination(boss, tx, { organizationId, integrationId });
      return { replays: await openReplays(tx), scans: await findOverdueCompletions(tx, before), unreported: await findUnreportedScans(tx, before), subscriptions: await dueSubscriptions(tx) };
    });
    for (const replayId of replays) await boss.send(QUEUES.replayMessages.name, { organizationId, replayId }, { singletonKey: replayId });
    for (const subscriptionId of subscriptions) await boss.send(QUEUES.notify.name, { organizationId, subscriptionId }, { singletonKey: subscriptionId });
    for (const scanId of unreported) await boss.send(QUEUES.report.name, { organizationId, scanId });
    for (const scanId of scans) await boss.send(QUEUES.completeScan.name, { organizationId, scanId }, { singletonKey: scanId });
  }
}

async function settle({ database }: MaintainDependencies): Promise<void> {
  for (const organizationId of await asSystem(database, 'settle', organizationIds)) await inOrganization(database, organizationId, endSettledAlerts);
}

async function tidy(dependencies: MaintainDependencies): Promise<void> {
  const { database, store } = dependencies;
  const organizations = await asSystem(database, 'tidy', organizationIds);
  for (const organizationId of organizations) await endFoundFiles({ database, store }, organizationId);
  for (const organizationId of organizations) await queueDueTasks(dependencies, organizationId);
  for (const organizationId of organizations) await inOrganization(database, organizationId, (tx) => tidySubscriptions(tx, KEEP_EVENT_DAYS));
  for (const organizationId of [UNASSIGNED_ORGANIZATION_ID, ...organizations]) await tidyAssociations(database, organizationId);
}

async function sample(dependencies: MaintainDependencies): Promise<void> {
  const freeBytes = await dependencies.store.freeBytes();
  await judgeFreeSpace(dependencies.database, dependencies.store, freeBytes);
  await judgeQueues(dependencies.database, dependencies.queueLimit);
  const { rss, heapUsed } = process.memoryUsage();
  const metrics: Metric[] = [
    { name: 'process_resident_bytes', value: rss }, { name: 'process_heap_used_bytes', value: heapUsed },
    { name: 'process_cpu_seconds', value: (process.cpuUsage().user + process.cpuUsage().system) / 1e6 },
    { name: 'store_free_bytes', value: freeBytes },
  ];
  for (const queue of Object.values(QUEUES)) {
    const [stats] = await dependencies.boss.getQueueStats(queue.name);
    if (!stats) continue;
    metrics.push({ name: 'queue_waiting_jobs', labels: { queue: queue.name }, value: stats.queuedCount });
    queueLength.set({ queue: queue.name, state: 'waiting' }, stats.queuedCount);
    queueLength.set({ queue: queue.name, state: 'active' }, stats.activeCount);
  }
  let waiting = 0, unsealed = 0;
  for (const organizationId of [UNASSIGNED_ORGANIZATION_ID, ...await asSystem(dependencies.database, 'sample', organizationIds)]) {
    const counts = await inOrganization(dependencies.database, organizationId, async (tx) => ({ open: await countOpenDeliveries(tx), unsealed: await countUnsealed(tx) }));
    waiting += counts.open;
    unsealed += counts.unsealed;
  }
  metrics.push({ name: 'audit_unsealed_rows', value: unsealed });
  auditUnsealed.set(unsealed);
  metrics.push({ name: 'deliveries_open', value: waiting });
  openDeliveries.set(waiting);
  await inOrganization(dependencies.database, UNASSIGNED_ORGANIZATION_ID, (tx) => writeMetrics(tx, hostname(), metrics));
}

function every(milliseconds: number, log: Log, work: () => Promise<void>): { stop(): Promise<void> } {
  let running: Promise<void> = Promise.resolve();
  let busy = false;
  const run = (): void => {
    if (busy) return;
    busy = true;
    running = work().catch((error: unknown) => log.warn({ err: error }, 'a maintenance round failed; the next one tries again')).finally(() => { busy = false; });
  };
  run();
  const timer = setInterval(run, milliseconds);
  return { stop: () => { clearInterval(timer); return running; } };
}
