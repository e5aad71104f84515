/**
 * Is the scan complete? In: a complete-scan job, or a person's force-complete. Out: images_complete_at with the proof that fired, and one
 * queued analysis per model that a workflow rule chose.
 *
 * C-STORE never says "that was all". The proof here is quiet time: no instance for MEDSCAN_QUIET_SECONDS, and no sender that is still at it (arrivals.ts); where the settings of the source say
 * so, it is asked for its own count first (completeness-at-source.ts). The job was queued with the first instance; when others came since, it queues itself again for the rest of the time. Late images open the scan again, and the
 * next completion makes exactly one superseding run: the analysis is keyed by the content of the study.
 */
import { createHash } from 'node:crypto';
import type { PgBoss } from 'pg-boss';
import { z } from 'zod';
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { arrivalOf, type HoldingArrival } from '../db/arrivals.ts';
import { activeRules, filesInUse, findActiveModel, insertAnalysis, type AnalyzableFile } from '../db/analyses.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { lockScan, markComplete, setScanPriority, type LockedScan } from '../db/scan-completion.ts';
import { assignScan, isPaused, moveInQueue, sayWhyWaiting, setPriority } from '../db/scan-queue.ts';
import { isPriorOnly } from '../db/source-questions.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { isLeftWithdrawn } from '../db/withdrawals.ts';
import { QUEUES, type AnalyzeJob, type CompleteScanJob, type ReportJob } from '../queue/queues.ts';
import { priorityScore } from '#domain/priority.ts';
import { limitSeconds, lookSeconds } from './arrivals.ts';
import { isLeftToSource } from './completeness-at-source.ts';
import { resultSeriesOf } from './own-results.ts';
import { queuePriorSearches } from './priors.ts';
import type { Sources } from './sources.ts';
import { actionSchema, holds, type Action, type RuleFacts } from './rules.ts';

export interface CompleteDependencies { readonly database: Database; readonly boss: PgBoss; readonly quietSeconds: number; /** Who may be asked; absent: nobody. */ readonly sources?: Sources; now(): Date }

/** Handles one complete-scan job. */
export async function completeWhenQuiet(dependencies: CompleteDependencies, job: CompleteScanJob): Promise<'completed' | 'waiting' | 'nothing to do'> {
  return inOrganization(dependencies.database, job.organizationId, async (tx) => {
    const scan = await lockScan(tx, job.scanId);
    if (!scan || scan.images_complete_at || !scan.last_instance_at) return 'nothing to do';
    const quietAt = scan.last_instance_at.getTime() + dependencies.quietSeconds * 1000;
    if (quietAt > dependencies.now().getTime()) {
      await dependencies.boss.send(QUEUES.completeScan.name, job, { singletonKey: job.scanId, startAfter: new Date(quietAt), db: bossDb(tx) as never });
      return 'waiting';
    }
    if (await isArriving(dependencies, tx, job)) return 'waiting';
    if (await isLeftToSource(dependencies, tx, job.organizationId, scan)) return 'waiting';
    await complete(dependencies, tx, job.organizationId, scan, 'quiet_time', { kind: 'system', id: 'complete-scan' });
    return 'completed';
  });
}

/** True: its sender is still at it, or may come again. Looked at again soon, under a key of its own: a job that waits for a quiet time has the scan's. */
async function isArriving(dependencies: CompleteDependencies, tx: Transaction, job: CompleteScanJob): Promise<boolean> {
  const arrival = await arrivalOf(tx, job.scanId);
  if (!arrival) return false;
  await sayWhyWaiting(tx, job.scanId, whyArriving(arrival, limitSeconds(dependencies.quietSeconds) / 60));
  const again = new Date(dependencies.now().getTime() + lookSeconds(dependencies.quietSeconds) * 1000);
  await dependencies.boss.send(QUEUES.completeScan.name, job, { singletonKey: `${job.scanId} arriving`, startAfter: again, db: bossDb(tx) as never });
  return true;
}

function whyArriving({ state, peer }: HoldingArrival, minutes: number): string {
  if (state === 'open') return `${peer} is still connected and may send more images; the scan is complete when it ends, at the latest after ${Math.round(minutes)} minutes without an image.`;
  return state === 'broken' ? `The connection of ${peer} broke off while it sent images; it gets the quiet time to come again.` : 'The gateway was started again while images were arriving; their sender gets the quiet time to go on.';
}

const NO_IMAGE_IN_USE = 'None of its images is in use, and nothing is analysed: a person decides about those that are kept out of use, and whether a report that was made of them is withdrawn.';

/** A person says that no more images will come, or that a complete scan whose analysis failed or had no model is to be tried again. */
export async function forceComplete(dependencies: CompleteDependencies, organizationId: string, scanId: string, actor: AuditActor): Promise<{ kind: 'completed'; completionRun: number } | { kind: 'not-found' } | { kind: 'refused'; reason: string }> {
  return inOrganization(dependencies.database, organizationId, async (tx) => {
    const scan = await lockScan(tx, scanId);
    if (!scan) return { kind: 'not-found' as const };
    if (!scan.last_instance_at) return { kind: 'refused' as const, reason: 'no image has arrived for this scan' };
    if (scan.images_complete_at && !await isPaused(tx, scanId)) return { kind: 'refused' as const, reason: 'the scan is complete already, and nothing of it waits for a person' };
    await complete(dependencies, tx, organizationId, scan, 'forced', actor);
    return { kind: 'completed' as const, completionRun: scan.completion_run + 1 };
  });
}

/** Writes the proof that fired and queues what the rules want. `scan` is locked, has images and is not complete. */
export async function complete(dependencies: CompleteDependencies, tx: Transaction, organizationId: string, scan: LockedScan, proof: 'quiet_time' | 'forced' | 'mpps' | 'instance_count', actor: AuditActor): Promise<void> {
  const now = dependencies.now();
  const run = scan.completion_run + 1;
  await markComplete(tx, scan.scan_id, proof, run, now);
  await recordAudit(tx, { ...auditEvents.procedureRecord, action: 'U', outcome: 'success', actor, object: { type: 'scan', id: scan.scan_id }, patientId: scan.patient_id, detail: { completeness_proof: proof, completion_run: run } });
  if (scan.order_status === 'cancelled') {
    await moveInQueue(tx, scan.scan_id, { status: 'cancelled', whyWaiting: 'The order was cancelled; images are kept, nothing is analysed.' }, now);
    return;
  }
  if (proof !== 'forced' && await isLeftWithdrawn(tx, scan.scan_id)) {
    await leaveToPerson(tx, scan.scan_id, now);
    return;
  }
  if (proof !== 'forced' && await isPriorOnly(tx, scan.scan_id)) {
    await moveInQueue(tx, scan.scan_id, { status: 'completed', whyWaiting: null }, now);
    return;
  }
  const files = await foreignFiles(tx, scan.scan_id);
  if (files.length === 0) {
    await moveInQueue(tx, scan.scan_id, { status: 'paused', whyWaiting: NO_IMAGE_IN_USE }, now);
    return;
  }
  await queuePriorSearches(dependencies, tx, organizationId, scan);
  const actions = await chosenActions(tx, scan);
  const priority = await applyRouting(tx, scan, actions);
  const { queued, missing } = await queueAnalyses(dependencies, tx, organizationId, { scanId: scan.scan_id, files, run }, actions, priorityScore(priority));
  if (proof === 'forced') await resolveAlert(tx, 'images_after_withdrawal', `scan ${scan.scan_id}`);
  // Analyses may have been made that no report was wanted of then.
  if (queued === 0 && proof === 'forced') await dependencies.boss.send(QUEUES.report.name, { organizationId, scanId: scan.scan_id } satisfies ReportJob, { db: bossDb(tx) as never });
  await moveInQueue(tx, scan.scan_id, waitingFor(queued, missing), now);
}

/** A report was withdrawn because something about the scan was wrong: what came since may be wrong in the same way. */
export async function leaveToPerson(tx: Transaction, scanId: string, now: Date): Promise<void> {
  await moveInQueue(tx, scanId, { status: 'paused', whyWaiting: 'The report of this scan was withdrawn, and images came afterwards: a person decides.' }, now);
  await raiseAlert(tx, {
    kind: 'images_after_withdrawal', severity: 'warning', subject: `scan ${scanId}`,
    message: 'Images came for a scan whose report was withdrawn. They are kept, and not analysed: look at them, then complete the scan by force to have a next version of the report made.',
  });
}

/** A scan that no rule wants analysed is done; one whose model is not installed waits for a person. */
function waitingFor(queued: number, missing: readonly string[]): { status: 'pending' | 'paused' | 'completed'; whyWaiting: string | null } {
  if (queued > 0) return { status: 'pending', whyWaiting: `Waiting for ${queued === 1 ? 'an analysis' : `${queued} analyses`}.` };
  if (missing.length > 0) return { status: 'paused', whyWaiting: `Not analysed: no active version of ${missing.join(', ')} is installed.` };
  return { status: 'completed', whyWaiting: null };
}

async function chosenActions(tx: Transaction, scan: LockedScan): Promise<readonly Action[]> {
  const facts: RuleFacts = scan;
  const actions: Action[] = [];
  for (const rule of await activeRules(tx)) {
    try {
      if (holds(rule.conditions, facts)) actions.push(...rule.actions.map((action) => actionSchema.parse(action)));
    } catch {
      await raiseAlert(tx, { kind: 'analysis_failed', severity: 'warning', subject: `workflow rule ${rule.name}`, message: 'This rule is not written as rules are; it was left out. Correct its conditions or actions.' });
    }
  }
  return actions;
}

async function applyRouting(tx: Transaction, scan: LockedScan, actions: readonly Action[]): Promise<LockedScan['priority']> {
  let priority = scan.priority;
  for (const action of actions) {
    if (action.action === 'assign') await assignScan(tx, scan.scan_id, action.user_email);
    if (action.action === 'set_priority') {
      priority = action.priority;
      await setScanPriority(tx, scan.scan_id, priority);
      await setPriority(tx, scan.scan_id, priority);
    }
  }
  return priority;
}

async function queueAnalyses(dependencies: CompleteDependencies, tx: Transaction, organizationId: string, { scanId, files, run }: { scanId: string; files: readonly AnalyzableFile[]; run: number }, actions: readonly Action[], priority: number): Promise<{ queued: number; missing: readonly string[] }> {
  const missing: string[] = [];
  let queued = 0;
  for (const action of actions) {
    if (action.action !== 'run_model') continue;
    const model = await findActiveModel(tx, action.model_name, action.model_version);
    if (!model) {
      await raiseAlert(tx, { kind: 'analysis_failed', severity: 'warning', subject: `model ${action.model_name}`, message: 'A workflow rule names this model, but no active version of it is installed.' });
      missing.push([action.model_name, action.model_version].filter(Boolean).join(' '));
      continue;
    }
    const analysisId = await insertAnalysis(tx, { scanId, modelId: model.model_id, inputDigest: contentDigest(files), completionRun: run });
    if (!analysisId) continue;
    const data: AnalyzeJob = { organizationId, analysisId };
    await dependencies.boss.send(QUEUES.analyze.name, data, { priority, db: bossDb(tx) as never });
    queued += 1;
  }
  return { queued, missing };
}

/** Without the results that we sent there ourselves: where an archive forwards all that it takes, each report would be the reason of the next. */
async function foreignFiles(tx: Transaction, scanId: string): Promise<readonly AnalyzableFile[]> {
  const own = await resultSeriesOf(tx, scanId);
  return (await filesInUse(tx, scanId)).filter((file) => !own.has(file.series_instance_uid));
}

/** What the study consists of, whatever the order of arrival. */
export function contentDigest(files: readonly Pick<AnalyzableFile, 'sop_instance_uid' | 'sha256'>[]): string {
  const hash = createHash('sha256');
  for (const line of files.map((file) => `${file.sop_instance_uid} ${file.sha256}\n`).toSorted()) hash.update(line);
  return hash.digest('hex');
}

export const completeScanJobSchema = z.object({ organizationId: z.uuid(), scanId: z.uuid() });
