/**
 * One model on one scan. In: an analyze job (ids). Out: ai_analyses with its times, findings, and a report job, in one transaction (T3).
 * No transaction is open while the model runs. A worker that was frozen and wakes up after another took over may not write: the attempt
 * number is part of the last UPDATE's condition.
 */
import { hostname } from 'node:os';
import type { PgBoss } from 'pg-boss';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { AiError } from '../ai/ai-error.ts';
import type { AiFinding, AiRuntime, AnalyzeResult, OutboundImages } from '../ai/analysis.ts';
import { aiModelConfigSchema } from '../ai/model.ts';
import { raiseAlert } from '../db/alerts.ts';
import { filesInUse, finishAnalysis, insertFindings, startAnalysis, type AnalyzableFile, type NewFinding, type StartedAnalysis } from '../db/analyses.ts';
import { bossDb, type Database } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import { moveInQueue } from '../db/scan-queue.ts';
import { inOrganization } from '../db/transaction.ts';
import { failpoint } from '../failpoint.ts';
import type { Log } from '../log.ts';
import { analysesTotal, analysisSeconds } from '../metrics.ts';
import { QUEUES, type AnalyzeJob, type ReportJob } from '../queue/queues.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { uidOfUuid } from '#standards/dicom/uids.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { outboundImages } from './outbound-images.ts';

export interface AnalyzeDependencies { readonly database: Database; readonly boss: PgBoss; readonly store: ObjectStore; readonly ai: AiRuntime; readonly keys: Keys; readonly log: Log; now(): Date }

export async function analyze(dependencies: AnalyzeDependencies, job: AnalyzeJob, run: { signal: AbortSignal; isLastTry: boolean; jobId: string }): Promise<void> {
  const { database } = dependencies;
  const started = await inOrganization(database, job.organizationId, async (tx) => {
    const analysis = await startAnalysis(tx, job.analysisId, `${hostname()}-${process.pid}`, dependencies.now());
    if (!analysis) return undefined;
    await moveInQueue(tx, analysis.scan_id, { status: 'in_progress', whyWaiting: `${analysis.model_name} is analysing the images.`, jobId: run.jobId }, dependencies.now());
    return { analysis, files: await filesInUse(tx, analysis.scan_id) };
  });
  if (!started) return;
  failpoint('analyze.started');
  try {
    const result = await dependencies.ai.analyze({ ...toInput(dependencies.store, started.analysis, started.files, run.signal), outbound: outboundFor(dependencies, job, started.analysis) });
    failpoint('analyze.finished');
    await writeResult(dependencies, job, started.analysis, result);
  } catch (error) {
    await writeFailure(dependencies, job, started.analysis, error, run);
  }
}

function toInput(store: ObjectStore, analysis: StartedAnalysis, files: readonly AnalyzableFile[], signal: AbortSignal): Parameters<AiRuntime['analyze']>[0] {
  return {
    signal, studyInstanceUid: analysis.study_instance_uid ?? '',
    model: {
      modelId: analysis.model_id, name: analysis.model_name, version: analysis.model_version, runtime: analysis.runtime,
      config: parseConfig(analysis), ...(analysis.checksum ? { checksum: analysis.checksum } : {}),
    },
    instances: files.map((file) => ({
      path: store.resolve(file.storage_location), datasetOffset: file.dataset_offset, sopInstanceUid: file.sop_instance_uid, sopClassUid: file.sop_class_uid,
      seriesInstanceUid: file.series_instance_uid, transferSyntaxUid: file.transfer_syntax_uid,
      ...(file.instance_number === null ? {} : { instanceNumber: file.instance_number }), ...(file.modality === null ? {} : { modality: file.modality }),
      ...(file.number_of_frames === null ? {} : { numberOfFrames: file.number_of_frames }),
    })),
  };
}

function outboundFor({ database, keys }: AnalyzeDependencies, { organizationId, analysisId }: AnalyzeJob, analysis: StartedAnalysis): OutboundImages {
  const endpoint = analysis.config['endpoint'] as { readonly url?: unknown } | undefined;
  return outboundImages({ database, keys }, { organizationId, analysisId, scanId: analysis.scan_id, model: `${analysis.model_name} ${analysis.model_version}`, destination: typeof endpoint?.url === 'string' ? endpoint.url : '' });
}

function parseConfig(analysis: StartedAnalysis): ReturnType<typeof aiModelConfigSchema.parse> {
  const parsed = aiModelConfigSchema.safeParse(analysis.config);
  if (parsed.success) return parsed.data;
  throw new AiError('model', `The settings of model ${analysis.model_name} ${analysis.model_version} are not valid: ${parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')}`);
}

async function writeResult(dependencies: AnalyzeDependencies, job: AnalyzeJob, analysis: StartedAnalysis, result: AnalyzeResult): Promise<void> {
  await inOrganization(dependencies.database, job.organizationId, async (tx) => {
    const { findings, confidenceScore, ...measured } = result;
    const isOurs = await finishAnalysis(tx, job.analysisId, analysis.attempt, { status: 'completed', confidence: confidenceScore, result: { ...measured, finding_count: findings.length } }, dependencies.now());
    if (!isOurs) return;
    analysesTotal.inc({ model: analysis.model_name, status: 'completed' });
    analysisSeconds.observe({ model: analysis.model_name }, (result.modelMilliseconds + result.decodeMilliseconds) / 1000);
    await insertFindings(tx, job.analysisId, findings.map((finding) => toRow(finding)));
    await recordAudit(tx, {
      ...auditEvents.procedureRecord, action: 'C', outcome: 'success', actor: { kind: 'system', id: `${analysis.model_name} ${analysis.model_version}` },
      object: { type: 'ai_analysis', id: job.analysisId }, detail: { scan_id: analysis.scan_id, finding_count: findings.length },
    });
    const data: ReportJob = { organizationId: job.organizationId, scanId: analysis.scan_id };
    await dependencies.boss.send(QUEUES.report.name, data, { db: bossDb(tx) as never });
    failpoint('analyze.beforeCommit');
  });
}

function toRow(finding: AiFinding): NewFinding {
  const findingId = uuidV7();
  return {
    finding_id: findingId, tracking_uid: uidOfUuid(findingId), finding_type: finding.type.display, finding_code: finding.type.code, finding_code_system: finding.type.system,
    severity: finding.severity, confidence_percentage: finding.confidencePercentage, description: finding.description, body_site: finding.bodySite ?? null,
    laterality: finding.laterality, location: finding.location ?? null, measurements: finding.measurements,
  };
}

/**
 * Retryable and tries left: queued again and thrown, so that pg-boss waits and repeats. Otherwise failed for good, and a person is told.
 * An abort (the gateway stops) says nothing about the analysis: on the last try a new job takes over, because this one would count as dead.
 */
async function writeFailure(dependencies: AnalyzeDependencies, job: AnalyzeJob, analysis: StartedAnalysis, error: unknown, run: { isLastTry: boolean; jobId: string }): Promise<void> {
  const failure = error instanceof AiError ? error : new AiError('unavailable', 'The analysis stopped on an unexpected error.', { cause: error });
  if (!(error instanceof AiError)) dependencies.log.error({ err: error, analysisId: job.analysisId }, 'an analysis stopped on an unexpected error');
  const isHandedOver = failure.class === 'aborted' && run.isLastTry;
  const repeats = failure.class === 'aborted' || (failure.retryable && !run.isLastTry);
  const priority = isHandedOver ? (await dependencies.boss.getJobById(QUEUES.analyze.name, run.jobId))?.priority : undefined;
  await inOrganization(dependencies.database, job.organizationId, async (tx) => {
    const status = repeats ? 'queued' : failure.class === 'timeout' ? 'timeout' : 'failed';
    const isOurs = await finishAnalysis(tx, job.analysisId, analysis.attempt, { status, errorClass: failure.class, errorText: failure.message }, dependencies.now());
    if (!isOurs) return;
    const whyWaiting = repeats ? `The analysis will be tried again: ${failure.message}` : `The analysis failed: ${failure.message}`;
    await moveInQueue(tx, analysis.scan_id, { status: repeats ? 'pending' : 'paused', whyWaiting }, dependencies.now());
    if (isHandedOver) await dependencies.boss.send(QUEUES.analyze.name, job, { priority: priority ?? 0, db: bossDb(tx) as never });
    if (repeats) return;
    analysesTotal.inc({ model: analysis.model_name, status });
    await raiseAlert(tx, { kind: 'analysis_failed', severity: 'warning', subject: `analysis ${job.analysisId}`, message: failure.message });
    await recordAudit(tx, {
      ...auditEvents.procedureRecord, action: 'C', outcome: 'serious_failure', actor: { kind: 'system', id: `${analysis.model_name} ${analysis.model_version}` },
      object: { type: 'ai_analysis', id: job.analysisId }, detail: { scan_id: analysis.scan_id, error_class: failure.class },
    });
    // The other models' results still make a report.
    const data: ReportJob = { organizationId: job.organizationId, scanId: analysis.scan_id };
    await dependencies.boss.send(QUEUES.report.name, data, { db: bossDb(tx) as never });
  });
  if (repeats && !isHandedOver) throw failure;
}
