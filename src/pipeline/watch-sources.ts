/**
 * What nobody calls for: worklists that are due, earlier studies of scans that were ordered, questions whose job was lost. Runs on every worker; what it
 * sends exists once per key, and a worklist is claimed by one node.
 */
import type { PgBoss } from 'pg-boss';
import type { Database } from '../db/pool.ts';
import { dueAskedCommitments } from '../db/asked-commitments.ts';
import { claimPoll, dueQuestions, scansWithoutSearch } from '../db/source-questions.ts';
import { inOrganization } from '../db/transaction.ts';
import { bossDb } from '../db/pool.ts';
import type { Log } from '../log.ts';
import { QUEUES } from '../queue/queues.ts';
import { queueSearch } from './priors.ts';
import type { Sources } from './sources.ts';

const WATCH_MILLISECONDS = 5_000;
const SWEEP_EVERY = 6;
/** A job that is this late was lost. */
const LOST_AFTER_MILLISECONDS = 120_000;

export interface WatchDependencies { readonly database: Database; readonly boss: PgBoss; readonly sources: Sources; readonly log: Log; now(): Date }

export function watchSources(dependencies: WatchDependencies): { stop(): Promise<void> } {
  let round = 0, running: Promise<void> | undefined;
  const run = (): void => {
    running ??= watch(dependencies, round++ % SWEEP_EVERY === 0).catch((error: unknown) => { dependencies.log.warn({ err: error }, 'a look at the sources failed; the next one tries again'); }).finally(() => { running = undefined; });
  };
  run();
  const timer = setInterval(run, WATCH_MILLISECONDS);
  return { async stop() { clearInterval(timer); await running; } };
}

/** One look; `isSweep` also looks for what was missed or lost. */
export async function watch(dependencies: WatchDependencies, isSweep: boolean): Promise<void> {
  for (const organizationId of dependencies.sources.organizations()) {
    for (const source of dependencies.sources.of(organizationId)) {
      const { integrationId } = source.integration;
      const { worklist, priors } = source.wanted;
      if (worklist) {
        await inOrganization(dependencies.database, organizationId, async (tx) => {
          if (await claimPoll(tx, integrationId, worklist.everySeconds)) await dependencies.boss.send(QUEUES.importWorklist.name, { organizationId, integrationId }, { singletonKey: integrationId, db: bossDb(tx) as never });
        });
      }
      if (priors && (isSweep || priors.when === 'ordered')) {
        await inOrganization(dependencies.database, organizationId, async (tx) => {
          for (const scanId of await scansWithoutSearch(tx, integrationId, priors.when, priors.forScanTypes)) await queueSearch(dependencies.boss, tx, { organizationId, scanId, integrationId });
        });
      }
    }
    if (isSweep) await findLost(dependencies, organizationId);
  }
}

async function findLost({ database, boss, now }: WatchDependencies, organizationId: string): Promise<void> {
  const due = await inOrganization(database, organizationId, async (tx) => {
    const before = new Date(now().getTime() - LOST_AFTER_MILLISECONDS);
    return { ...await dueQuestions(tx, before), commitments: await dueAskedCommitments(tx, before) };
  });
  for (const { scan_id: scanId, integration_id: integrationId } of due.searches) await boss.send(QUEUES.searchPriors.name, { organizationId, scanId, integrationId }, { singletonKey: `${scanId} ${integrationId}` });
  for (const requestId of due.commitments) await boss.send(QUEUES.askCommitment.name, { organizationId, requestId }, { singletonKey: requestId });
  for (const retrievalId of due.retrievals) await boss.send(QUEUES.retrieveStudy.name, { organizationId, retrievalId }, { singletonKey: retrievalId });
}
