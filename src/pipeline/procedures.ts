/**
 * Performed procedure steps move scans. In progress: off the worklist. Completed, or discontinued with images: the instances it lists are what the
 * scan must have, and when they are all here the scan is complete ('mpps'), however long the quiet time is. Discontinued without images: back on
 * the worklist. The quiet time stays the net below: a modality that lists what it never sends holds nothing up for ever.
 */
import { createHash } from 'node:crypto';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { insertExchanges, insertPayloads } from '../db/exchanges.ts';
import { beginScan, findScheduledScan, insertProcedure, lockProcedure, procedureProof, scheduleAgain, updateProcedure } from '../db/performed-procedures.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { lockScan } from '../db/scan-completion.ts';
import { moveInQueue } from '../db/scan-queue.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { QUEUES, type CheckProcedureJob } from '../queue/queues.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { ProcedureAnswer, ProcedureBegun, ProcedureChanged, ProcedureMessage, Procedures } from '#gateway/procedures.ts';
import type { AnswerRecorder } from './answers.ts';
import { complete, type CompleteDependencies } from './complete.ts';
import { scanIdsOf } from './holding-rows.ts';

export interface ProcedureDependencies extends CompleteDependencies { readonly database: Database; readonly answers: AnswerRecorder }

/** How long, and how often, a completed step's images are waited for. */
const LOOK_MILLISECONDS = 1_000;
const WAIT_MILLISECONDS = 3_600_000;

export function createProcedures(dependencies: ProcedureDependencies, adapter: string): Procedures {
  return {
    begin: (step) => onRecord(dependencies, adapter, step, (tx, syncId) => begin(dependencies, tx, step, syncId)),
    change: (step) => onRecord(dependencies, adapter, step, (tx) => change(dependencies, tx, step)),
  };
}

interface Effect { readonly kind: ProcedureAnswer['kind']; readonly scanId?: string | undefined; readonly text?: string }

async function onRecord(dependencies: ProcedureDependencies, adapter: string, step: ProcedureMessage, work: (tx: Transaction, syncId: string) => Promise<Effect>): Promise<ProcedureAnswer> {
  const { organizationId, integrationId } = step.integration;
  const exchangeId = uuidV7();
  const startedAt = dependencies.now();
  const effect = await inOrganization(dependencies.database, organizationId, async (tx) => {
    const done = await work(tx, exchangeId);
    await insertExchanges(tx, [{
      sync_id: exchangeId, integration_id: integrationId, adapter, direction: 'inbound', interaction: step.interaction, control_id: step.sopInstanceUid,
      message_status: done.kind === 'accepted' ? 'accepted' : done.kind === 'duplicate' ? 'duplicate' : 'rejected', started_at: startedAt.toISOString(), finished_at: dependencies.now().toISOString(),
      byte_size: step.message.length, sha256: createHash('sha256').update(step.message).digest('hex'), payload_location: 'database', peer_address: step.peer.address, peer_application: step.peer.application,
      scan_id: done.scanId, facts: step.facts, ...(done.text ? { error_class: 'permanent' as const, error_text: done.text } : {}),
    }]);
    await insertPayloads(tx, [{ sync_id: exchangeId, part: 'message', media_type: 'application/dicom', content: step.message }]);
    await recordAudit(tx, {
      ...auditEvents.procedureRecord, action: step.interaction === 'N-CREATE MPPS' ? 'C' : 'U', outcome: done.kind === 'accepted' ? 'success' : 'minor_failure', syncId: exchangeId,
      actor: { kind: 'application', id: step.peer.application ?? 'unknown', address: step.peer.address }, object: done.scanId ? { type: 'scan', id: done.scanId } : { type: 'sync_log', id: exchangeId },
      detail: { interaction: step.interaction, ...step.facts },
    });
    return done;
  });
  return {
    kind: effect.kind,
    answered: (code, heard) => dependencies.answers.record(organizationId, { sync_id: exchangeId, started_at: startedAt.toISOString(), answer_status: heard ? 'answered' : 'unanswered', answer_code: code }),
  };
}

async function begin(dependencies: ProcedureDependencies, tx: Transaction, step: ProcedureBegun, syncId: string): Promise<Effect> {
  let scanId: string | undefined;
  for (const scheduled of step.scheduledAs) {
    scanId ??= await findScheduledScan(tx, { ...scheduled, patientId: step.patientId, scanId: scanIdsOf({ kind: 'exact', value: scheduled.studyInstanceUid })[0] });
  }
  const studyInstanceUid = step.scheduledAs.find((scheduled) => scheduled.studyInstanceUid !== '')?.studyInstanceUid;
  const inserted = await insertProcedure(tx, { integrationId: step.integration.integrationId, sopInstanceUid: step.sopInstanceUid, scanId, studyInstanceUid, syncId });
  if (!inserted) return { kind: 'duplicate', text: 'a performed procedure step of this UID exists' };
  if (scanId) {
    await beginScan(tx, scanId, studyInstanceUid);
    await moveInQueue(tx, scanId, { status: 'pending', whyWaiting: 'The examination has begun; waiting for images.' }, dependencies.now());
  }
  return { kind: 'accepted', scanId };
}

async function change(dependencies: ProcedureDependencies, tx: Transaction, step: ProcedureChanged): Promise<Effect> {
  const { organizationId, integrationId } = step.integration;
  const procedure = await lockProcedure(tx, step.sopInstanceUid, integrationId);
  if (!procedure) return { kind: 'unknown', text: 'no performed procedure step of this UID was created by this system' };
  if (procedure.status !== 'in_progress') return { kind: 'final', scanId: procedure.scan_id ?? undefined, text: `the performed procedure step is ${procedure.status} already` };
  // Its images may have come first, or its order only now.
  const scanId = procedure.scan_id ?? await findScheduledScan(tx, { studyInstanceUid: procedure.study_instance_uid ?? '', accessionNumber: '', patientId: '', scanId: undefined }) ?? null;
  await updateProcedure(tx, procedure.performed_procedure_id, { status: step.status, scanId, referencedInstances: step.referencedInstances });
  if (step.status === 'in_progress' || !scanId) return { kind: 'accepted', scanId: scanId ?? undefined };
  if (step.status === 'discontinued' && await scheduleAgain(tx, scanId)) {
    await moveInQueue(tx, scanId, { status: 'pending', whyWaiting: 'The modality stopped the examination; it is scheduled again.' }, dependencies.now());
  } else {
    await dependencies.boss.send(QUEUES.checkProcedure.name, { organizationId, scanId }, { singletonKey: scanId, db: bossDb(tx) as never });
  }
  return { kind: 'accepted', scanId };
}

/** Handles one check-procedure job: completes the scan when all that was listed is here, else looks again in a while. */
export async function completeByProcedure(dependencies: CompleteDependencies, job: CheckProcedureJob): Promise<'completed' | 'waiting' | 'nothing to do'> {
  return inOrganization(dependencies.database, job.organizationId, async (tx) => {
    const scan = await lockScan(tx, job.scanId);
    if (!scan || scan.images_complete_at) return 'nothing to do';
    const proof = await procedureProof(tx, job.scanId);
    if (proof.open > 0 || proof.expected === 0 || !proof.newest) return 'nothing to do';
    const now = dependencies.now();
    if (proof.missing === 0 && scan.last_instance_at) {
      await complete(dependencies, tx, job.organizationId, scan, 'mpps', { kind: 'system', id: 'check-procedure' });
      return 'completed';
    }
    if (now.getTime() - proof.newest.getTime() > WAIT_MILLISECONDS) return 'nothing to do';
    await moveInQueue(tx, job.scanId, { status: 'pending', whyWaiting: `Waiting for ${proof.missing} of ${proof.expected} images that the modality said it made.` }, now);
    await dependencies.boss.send(QUEUES.checkProcedure.name, job, { singletonKey: job.scanId, startAfter: new Date(now.getTime() + LOOK_MILLISECONDS), db: bossDb(tx) as never });
    return 'waiting';
  });
}
