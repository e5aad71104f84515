/** The workers: which queue is served by which stage, and how many at a time. */
import type { Job, JobWithMetadata, PgBoss } from 'pg-boss';
import type { Log } from '../log.ts';
import { QUEUES, type AnalyzeJob, type CheckProcedureJob, type CommitStorageJob, type CompleteScanJob, type DeliverJob, type ReportJob } from '../queue/queues.ts';
import { commitStorage, type CommitStorageDependencies } from './commitments.ts';
import { analyze, type AnalyzeDependencies } from './analyze.ts';
import { completeWhenQuiet, type CompleteDependencies } from './complete.ts';
import { buryJob } from './dead-jobs.ts';
import { drainOutbox, type DeliverDependencies } from './deliver.ts';
import { completeByProcedure } from './procedures.ts';
import { report } from './report.ts';

const OFTEN = { pollingIntervalSeconds: 1, notifyPollingIntervalSeconds: 1 };

export interface Workers { stop(): Promise<void> }

export async function startWorkers(boss: PgBoss, dependencies: AnalyzeDependencies & CompleteDependencies & DeliverDependencies & CommitStorageDependencies, log: Log, concurrency: { analyses: number }): Promise<Workers> {
  const stopping = new AbortController();
  const signalOf = (job: Job<unknown>): AbortSignal => AbortSignal.any([job.signal, stopping.signal]);
  await boss.work<CompleteScanJob>(QUEUES.completeScan.name, { ...OFTEN, localConcurrency: 2 }, logged(log, async ([job]) => {
    await completeWhenQuiet(dependencies, job!.data);
  }));
  await boss.work<AnalyzeJob>(QUEUES.analyze.name, { ...OFTEN, localConcurrency: concurrency.analyses, includeMetadata: true }, logged(log, async (jobs) => {
    const job = jobs[0] as JobWithMetadata<AnalyzeJob>;
    await analyze(dependencies, job.data, { signal: signalOf(job), isLastTry: job.retryCount >= job.retryLimit, jobId: job.id });
  }));
  await boss.work<ReportJob>(QUEUES.report.name, { ...OFTEN, localConcurrency: 2 }, logged(log, async ([job]) => {
    await report(dependencies, job!.data);
  }));
  await boss.work<DeliverJob>(QUEUES.deliver.name, { ...OFTEN, localConcurrency: 8 }, logged(log, async ([job]) => {
    await drainOutbox(dependencies, job!.data, signalOf(job!));
  }));
  await boss.work<CheckProcedureJob>(QUEUES.checkProcedure.name, { ...OFTEN, localConcurrency: 1 }, logged(log, async ([job]) => {
    await completeByProcedure(dependencies, job!.data);
  }));
  await boss.work<CommitStorageJob>(QUEUES.commitStorage.name, { ...OFTEN, localConcurrency: 2 }, logged(log, async ([job]) => {
    await commitStorage(dependencies, job!.data, signalOf(job!));
  }));
  await boss.work<object>(QUEUES.dead.name, { ...OFTEN, localConcurrency: 1, includeMetadata: true }, logged(log, async ([job]) => {
    await buryJob(dependencies, job as JobWithMetadata<object>);
  }));
  return {
    async stop() {
      stopping.abort();
      await Promise.all(Object.values(QUEUES).map((queue) => boss.offWork(queue.name, { wait: true }).catch(() => {})));
    },
  };
}

/** pg-boss keeps a failed job's error; the log gets its kind, and the ids are in the job. */
function logged<T>(log: Log, handle: (jobs: Job<T>[]) => Promise<void>): (jobs: Job<T>[]) => Promise<void> {
  return async (jobs) => {
    try {
      await handle(jobs);
    } catch (error) {
      log.warn({ err: error, jobId: jobs[0]?.id, queue: jobs[0]?.name }, 'a job failed; it is tried again');
      throw error;
    }
  };
}
