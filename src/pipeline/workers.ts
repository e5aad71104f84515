/** The workers: which queue is served by which stage, and how many at a time. */
import type { Job, JobWithMetadata, PgBoss } from 'pg-boss';
import type { Log } from '../log.ts';
import { QUEUES, type AnalyzeJob, type AskCommitmentJob, type CheckProcedureJob, type CommitStorageJob, type CheckSourceJob, type CompleteScanJob, type DeliverJob, type ExportRecordsJob, type ImportWorklistJob, type MaintenanceJob, type RetrieveStudyJob, type SearchPriorsJob, type NotifyJob, type PullJob, type ReplayMessagesJob, type ReportJob } from '../queue/queues.ts';
import { commitStorage, type CommitStorageDependencies } from './commitments.ts';
import { analyze, type AnalyzeDependencies } from './analyze.ts';
import { completeWhenQuiet, type CompleteDependencies } from './complete.ts';
import { buryJob } from './dead-jobs.ts';
import { drainOutbox, type DeliverDependencies } from './deliver.ts';
import { completeByProcedure } from './procedures.ts';
import { replayMessages, type ReplayMessagesDependencies } from './replay-messages.ts';
import { checkSource } from './completeness-at-source.ts';
import { askCommitment } from './confirmations.ts';
import { searchPriors } from './priors.ts';
import { runDueTask, type MaintenanceRunDependencies } from './maintenance-runs.ts';
import { pull, type PullDependencies } from './pulls.ts';
import { report } from './report.ts';
import { retrieveStudy } from './retrieve-study.ts';
import { endingWith } from './sources.ts';
import { importWorklist } from './worklist-import.ts';
import { exportRecords, type ExportJobDependencies } from './exports.ts';
import { notifySubscriber, type NotifyDependencies } from './subscriptions.ts';

const OFTEN = { pollingIntervalSeconds: 1, notifyPollingIntervalSeconds: 1 };

export interface Workers { stop(): Promise<void> }

export async function startWorkers(boss: PgBoss, dependencies: AnalyzeDependencies & CompleteDependencies & DeliverDependencies & CommitStorageDependencies & ReplayMessagesDependencies & NotifyDependencies & ExportJobDependencies & PullDependencies & MaintenanceRunDependencies, log: Log, concurrency: { analyses: number }): Promise<Workers> {
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
  await boss.work<NotifyJob>(QUEUES.notify.name, { ...OFTEN, localConcurrency: 4 }, logged(log, async ([job]) => {
    await notifySubscriber(dependencies, job!.data, signalOf(job!));
  }));
  await boss.work<ExportRecordsJob>(QUEUES.exportRecords.name, { ...OFTEN, localConcurrency: 1, includeMetadata: true }, logged(log, async (jobs) => {
    const job = jobs[0] as JobWithMetadata<ExportRecordsJob>;
    await exportRecords(dependencies, job.data, { signal: signalOf(job), isLastTry: job.retryCount >= job.retryLimit });
  }));
  await boss.work<PullJob>(QUEUES.pull.name, { ...OFTEN, localConcurrency: 2 }, logged(log, async ([job]) => {
    await pull(dependencies, job!.data, signalOf(job!));
  }));
  await boss.work<MaintenanceJob>(QUEUES.maintenance.name, { ...OFTEN, localConcurrency: 1 }, logged(log, async ([job]) => {
    await runDueTask(dependencies, job!.data);
  }));
  await boss.work<CommitStorageJob>(QUEUES.commitStorage.name, { ...OFTEN, localConcurrency: 2 }, logged(log, async ([job]) => {
    await commitStorage(dependencies, job!.data, signalOf(job!));
  }));
  await boss.work<ReplayMessagesJob>(QUEUES.replayMessages.name, { ...OFTEN, localConcurrency: 1 }, logged(log, async ([job]) => {
    await replayMessages(dependencies, job!.data, signalOf(job!));
  }));
  const { sources } = dependencies;
  if (sources) {
    const asking = { ...dependencies, sources: endingWith(sources, stopping.signal) };
    await boss.work<CheckSourceJob>(QUEUES.checkSource.name, { ...OFTEN, localConcurrency: 2 }, logged(log, async ([job]) => {
      await checkSource(asking, job!.data);
    }));
    await boss.work<SearchPriorsJob>(QUEUES.searchPriors.name, { ...OFTEN, localConcurrency: 2 }, logged(log, async ([job]) => {
      await searchPriors(asking, job!.data);
    }));
    await boss.work<RetrieveStudyJob>(QUEUES.retrieveStudy.name, { ...OFTEN, localConcurrency: 2 }, logged(log, async ([job]) => {
      await retrieveStudy(asking, job!.data);
    }));
    await boss.work<AskCommitmentJob>(QUEUES.askCommitment.name, { ...OFTEN, localConcurrency: 2 }, logged(log, async ([job]) => {
      await askCommitment(asking, job!.data);
    }));
    await boss.work<ImportWorklistJob>(QUEUES.importWorklist.name, { ...OFTEN, localConcurrency: 1 }, logged(log, async ([job]) => {
      await importWorklist(asking, job!.data);
    }));
  }
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
