/**
 * Jobs that failed for good. In: what pg-boss gave up, with its ids. Out: a row of dead_jobs for a person to decide about, and an alert, so that nothing waits for ever
 * and nobody knows. A worker that dies each time (out of memory on one image) never reaches its own error handling: this does it for it.
 */
import type { JobWithMetadata, PgBoss } from 'pg-boss';
import { z } from 'zod';
import { raiseAlert } from '../db/alerts.ts';
import { failUnfinishedAnalysis } from '../db/analyses.ts';
import { insertDeadJob } from '../db/dead-jobs.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { moveInQueue } from '../db/scan-queue.ts';
import { inOrganization } from '../db/transaction.ts';
import { QUEUES, type ReportJob } from '../queue/queues.ts';
import { deadJobSubject } from './commands.ts';

const Ids = z.looseObject({ organizationId: z.uuid(), analysisId: z.uuid().optional(), scanId: z.uuid().optional(), integrationId: z.uuid().optional() });
const GIVEN_UP = 'The worker stopped each time this was tried; it was given up. Look at the images and the model, then complete the scan again.';

export async function buryJob(dependencies: { database: Database; boss: PgBoss; now(): Date }, job: Pick<JobWithMetadata<object>, 'id' | 'data'> & { readonly sourceName?: string | null; readonly sourceOutput?: object | null }): Promise<void> {
  const ids = Ids.safeParse(job.data);
  if (!ids.success) return;
  const { organizationId, analysisId, scanId, integrationId } = ids.data;
  await inOrganization(dependencies.database, organizationId, async (tx) => {
    const failedScanId = analysisId === undefined ? undefined : await failUnfinishedAnalysis(tx, analysisId, GIVEN_UP, dependencies.now());
    if (analysisId === undefined || failedScanId !== undefined) {
      await insertDeadJob(tx, { deadJobId: job.id, queueName: job.sourceName ?? 'unknown', data: job.data, scanId: scanId ?? failedScanId, integrationId, errorText: kindOfError(job.sourceOutput) });
    }
    if (failedScanId !== undefined) {
      await moveInQueue(tx, failedScanId, { status: 'paused', whyWaiting: `The analysis failed: ${GIVEN_UP}` }, dependencies.now());
      await raiseAlert(tx, { kind: 'analysis_failed', severity: 'critical', subject: `analysis ${analysisId}`, message: GIVEN_UP });
      // The other models' results still make a report.
      const data: ReportJob = { organizationId, scanId: failedScanId };
      await dependencies.boss.send(QUEUES.report.name, data, { db: bossDb(tx) as never });
    }
    if (analysisId !== undefined) return;
    const subject = deadJobSubject(job.sourceName ?? 'unknown', scanId ?? integrationId ?? job.id);
    await raiseAlert(tx, { kind: 'job_dead', severity: 'critical', subject, message: 'A job failed for good after many tries. Look at the log of that time, then have it tried again or discard it; most work is taken up by the maintenance round as well.' });
  });
}

/** The name only: the texts of other people's errors may quote values. */
function kindOfError(output: object | null | undefined): string | undefined {
  const name = (output as { name?: unknown } | null | undefined)?.name;
  return typeof name === 'string' && /^\w{1,60}$/.test(name) ? name : undefined;
}
