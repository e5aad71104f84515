/**
 * Jobs that failed for good. In: what pg-boss gave up, with its ids. Out: rows that say so, and an alert, so that nothing waits for ever
 * and nobody knows. A worker that dies each time (out of memory on one image) never reaches its own error handling: this does it for it.
 */
import type { JobWithMetadata, PgBoss } from 'pg-boss';
import { z } from 'zod';
import { raiseAlert } from '../db/alerts.ts';
import { failUnfinishedAnalysis } from '../db/analyses.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { moveInQueue } from '../db/scan-queue.ts';
import { inOrganization } from '../db/transaction.ts';
import { QUEUES, type ReportJob } from '../queue/queues.ts';

const Ids = z.looseObject({ organizationId: z.uuid(), analysisId: z.uuid().optional(), scanId: z.uuid().optional(), integrationId: z.uuid().optional() });
const GIVEN_UP = 'The worker stopped each time this was tried; it was given up. Look at the images and the model, then complete the scan again.';

export async function buryJob(dependencies: { database: Database; boss: PgBoss; now(): Date }, job: Pick<JobWithMetadata<object>, 'id' | 'data'> & { readonly sourceName?: string | null }): Promise<void> {
  const ids = Ids.safeParse(job.data);
  if (!ids.success) return;
  const { organizationId, analysisId, scanId, integrationId } = ids.data;
  await inOrganization(dependencies.database, organizationId, async (tx) => {
    const failedScanId = analysisId === undefined ? undefined : await failUnfinishedAnalysis(tx, analysisId, GIVEN_UP, dependencies.now());
    if (failedScanId !== undefined) {
      await moveInQueue(tx, failedScanId, { status: 'paused', whyWaiting: `The analysis failed: ${GIVEN_UP}` }, dependencies.now());
      await raiseAlert(tx, { kind: 'analysis_failed', severity: 'critical', subject: `analysis ${analysisId}`, message: GIVEN_UP });
      // The other models' results still make a report.
      const data: ReportJob = { organizationId, scanId: failedScanId };
      await dependencies.boss.send(QUEUES.report.name, data, { db: bossDb(tx) as never });
    }
    if (analysisId !== undefined) return;
    const subject = `${job.sourceName ?? 'job'} ${scanId ?? integrationId ?? job.id}`;
    await raiseAlert(tx, { kind: 'job_dead', severity: 'critical', subject, message: 'A job failed for good after many tries. What it should have done is tried again by the maintenance round; if this alert comes back, look at the log of that time.' });
  });
}
