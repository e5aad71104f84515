/**
 * What a person does with messages that wait or failed: pause and resume a system, send a parked report again or give it up, try a dead job again
 * or give it up, have refused messages received again. Each is one transaction with its audit row; a job that follows from it is sent in it.
 */
import type { PgBoss } from 'pg-boss';
import { auditEvents, eventTypes, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { resolveAlert } from '../db/alerts.ts';
import { decideDeadJob, holdDeadJob, type HeldDeadJob } from '../db/dead-jobs.ts';
import { pauseIntegration } from '../db/integrations.ts';
import { countReplayable, endReplay, insertReplay, mostReplayed, type ReplayFilter } from '../db/message-replays.ts';
import { hurryNotices } from '../db/order-notices.ts';
import { holdDelivery, newerVersionThere, parkedDeliveries, requeueDelivery, skipDelivery, withdrawnBy } from '../db/parked-deliveries.ts';
import { bossDb, type Database, type Transaction } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import { QUEUES, type DeliverJob, type ReplayMessagesJob } from '../queue/queues.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { forceComplete } from './complete.ts';
import { giveUpNotice, resendNotice, resendParkedNotices, type ResentNotices } from './order-notice-commands.ts';

export interface CommandDependencies { readonly database: Database; readonly boss: PgBoss; readonly quietSeconds: number; now(): Date }

/** refused: the state does not allow it; `reason` is for people. */
export type Decision = { readonly kind: 'done' } | { readonly kind: 'not-found' } | { readonly kind: 'refused'; readonly reason: string };
export interface Pause { readonly receive?: boolean | undefined; readonly deliver?: boolean | undefined }
export interface ResendMany { readonly resent: readonly string[]; readonly leftOut: readonly { readonly deliveryId: string; readonly reason: string }[] }
export type BegunReplay = { readonly kind: 'begun'; readonly replayId: string; readonly messages: number } | { readonly kind: 'refused'; readonly reason: string };

/** How many parked deliveries one request may send again. */
export const mostResent = 1_000;

export interface OperatorCommands {
  /** What is left out stays as it is. While receiving is paused senders hear "not now"; while delivering is paused results wait in order. */
  pauseIntegration(organizationId: string, integrationId: string, pause: Pause, actor: AuditActor): Promise<Decision>;
  /** Sends a parked or waiting delivery now, at its place in the order, under the same control id. */
  resendDelivery(organizationId: string, deliveryId: string, actor: AuditActor): Promise<Decision>;
  /** Sends every parked delivery again, of one destination or of all, oldest first. */
  resendParked(organizationId: string, integrationId: string | undefined, actor: AuditActor): Promise<ResendMany>;
  discardDelivery(organizationId: string, deliveryId: string, reason: string, actor: AuditActor): Promise<Decision>;
  /** As with deliveries, for a message that tells how an order stands. One that would take back what the system was told since is refused. */
  resendNotice(organizationId: string, noticeId: string, actor: AuditActor): Promise<Decision>;
  resendParkedNotices(organizationId: string, integrationId: string | undefined, actor: AuditActor): Promise<ResentNotices>;
  discardNotice(organizationId: string, noticeId: string, reason: string, actor: AuditActor): Promise<Decision>;
  retryDeadJob(organizationId: string, deadJobId: string, actor: AuditActor): Promise<Decision>;
  discardDeadJob(organizationId: string, deadJobId: string, reason: string, actor: AuditActor): Promise<Decision>;
  /** Has the messages of the filter received again by a job; refused when they are not `expected` any more, none, or too many. */
  beginReplay(organizationId: string, filter: ReplayFilter, expected: number, actor: AuditActor): Promise<BegunReplay>;
  cancelReplay(organizationId: string, replayId: string, actor: AuditActor): Promise<Decision>;
}

export function operatorCommands(dependencies: CommandDependencies): OperatorCommands {
  const { database, boss } = dependencies;
  const within = <T>(organizationId: string, work: (tx: Transaction) => Promise<T>): Promise<T> => inOrganization(database, organizationId, work);
  return {
    pauseIntegration: (organizationId, integrationId, pause, actor) => within(organizationId, async (tx): Promise<Decision> => {
      const changed = await pauseIntegration(tx, integrationId, pause, actor.id);
      if (!changed) return { kind: 'not-found' };
      if (pause.deliver === false) await wakeDestination(boss, tx, { organizationId, integrationId });
      await recordAudit(tx, {
        ...auditEvents.securityAlert, action: 'U', outcome: 'success', actor, object: { type: 'integration', id: integrationId },
        detail: { event_type: eventTypes.softwareConfiguration, receive_paused: changed.receive_paused_at !== null, deliver_paused: changed.deliver_paused_at !== null, version: changed.version },
      });
      return { kind: 'done' };
    }),
    resendDelivery: (organizationId, deliveryId, actor) => within(organizationId, (tx) => resend(boss, tx, organizationId, deliveryId, actor)),
    resendParked: (organizationId, integrationId, actor) => within(organizationId, async (tx) => {
      const resent: string[] = [], leftOut: { deliveryId: string; reason: string }[] = [];
      for (const deliveryId of await parkedDeliveries(tx, integrationId, mostResent)) {
        const decision = await resend(boss, tx, organizationId, deliveryId, actor);
        if (decision.kind === 'done') resent.push(deliveryId);
        else leftOut.push({ deliveryId, reason: decision.kind === 'refused' ? decision.reason : 'it is gone' });
      }
      return { resent, leftOut };
    }),
    discardDelivery: (organizationId, deliveryId, reason, actor) => within(organizationId, async (tx): Promise<Decision> => {
      const delivery = await holdDelivery(tx, deliveryId);
      if (!delivery) return { kind: 'not-found' };
      if (delivery.status === 'sending') return { kind: 'refused', reason: 'It is being sent at this moment. Wait for the answer, then decide.' };
      if (delivery.status !== 'refused' && delivery.status !== 'queued') return { kind: 'refused', reason: `It was ${delivery.status === 'skipped' ? 'discarded' : delivery.status} already.` };
      await skipDelivery(tx, deliveryId, reason);
      await resolveAlert(tx, 'delivery_refused', `delivery ${deliveryId}`);
      await wakeDestination(boss, tx, { organizationId, integrationId: delivery.integration_id });
      await recordAudit(tx, {
        ...auditEvents.dataExport, action: 'D', outcome: 'success', actor, object: { type: 'delivery', id: deliveryId }, patientId: delivery.patient_id,
        detail: { report_id: delivery.report_id, integration_id: delivery.integration_id, was: delivery.status, reason },
      });
      return { kind: 'done' };
    }),
    resendNotice: (organizationId, noticeId, actor) => within(organizationId, (tx) => resendNotice(boss, tx, organizationId, noticeId, actor)),
    resendParkedNotices: (organizationId, integrationId, actor) => within(organizationId, (tx) => resendParkedNotices(boss, tx, organizationId, integrationId, actor)),
    discardNotice: (organizationId, noticeId, reason, actor) => within(organizationId, (tx) => giveUpNotice(boss, tx, organizationId, noticeId, reason, actor)),
    retryDeadJob: (organizationId, deadJobId, actor) => retryDeadJob(dependencies, organizationId, deadJobId, actor),
    discardDeadJob: (organizationId, deadJobId, reason, actor) => within(organizationId, async (tx): Promise<Decision> => {
      const job = await holdDeadJob(tx, deadJobId);
      if (!job) return { kind: 'not-found' };
      if (job.status !== 'open') return { kind: 'refused', reason: `It was ${job.status} already.` };
      await decide(tx, job, 'discarded', reason, actor);
      return { kind: 'done' };
    }),
    beginReplay: (organizationId, filter, expected, actor) => within(organizationId, async (tx): Promise<BegunReplay> => {
      const { messages } = await countReplayable(tx, filter);
      if (messages === 0) return { kind: 'refused', reason: 'No refused message on record matches.' };
      if (messages > mostReplayed) return { kind: 'refused', reason: `More than ${mostReplayed.toLocaleString('en')} messages match; narrow the filter, for example by time.` };
      if (messages !== expected) return { kind: 'refused', reason: `${messages} messages match now, not ${expected}. Look again, then confirm that number.` };
      const replayId = uuidV7();
      const taken = await insertReplay(tx, replayId, filter, actor);
      const job: ReplayMessagesJob = { organizationId, replayId };
      await boss.send(QUEUES.replayMessages.name, job, { singletonKey: replayId, db: bossDb(tx) as never });
      await recordAudit(tx, { ...auditEvents.dataImport, action: 'E', outcome: 'success', actor, object: { type: 'message_replay', id: replayId }, detail: { messages: taken, filter: Object.keys(filter).toSorted() } });
      return { kind: 'begun', replayId, messages: taken };
    }),
    cancelReplay: (organizationId, replayId, actor) => within(organizationId, async (tx): Promise<Decision> => {
      if (!await endReplay(tx, replayId, 'cancelled')) return { kind: 'not-found' };
      await recordAudit(tx, { ...auditEvents.dataImport, action: 'U', outcome: 'success', actor, object: { type: 'message_replay', id: replayId }, detail: { cancelled: true } });
      return { kind: 'done' };
    }),
  };
}

/**
 * A destination's outbox is looked at now. The one job that may wait for it (queue policy 'stately') may be held back until the next attempt of
 * something else: it is pulled forward rather than joined by a second one, which the queue would not take.
 */
export async function wakeDestination(boss: PgBoss, tx: Transaction, job: DeliverJob): Promise<void> {
  const db = bossDb(tx) as never, singletonKey = job.integrationId;
  const { updated } = await boss.update(QUEUES.deliver.name, job, { singletonKey, startAfter: new Date(0), match: 'all', db });
  if (updated === 0) await boss.send(QUEUES.deliver.name, job, { singletonKey, db });
}

async function resend(boss: PgBoss, tx: Transaction, organizationId: string, deliveryId: string, actor: AuditActor): Promise<Decision> {
  const delivery = await holdDelivery(tx, deliveryId);
  if (!delivery) return { kind: 'not-found' };
  if (delivery.status === 'delivered') return { kind: 'refused', reason: 'It was delivered already.' };
  if (delivery.status === 'sending') return { kind: 'refused', reason: 'It is being sent at this moment.' };
  const newer = await newerVersionThere(tx, delivery);
  if (newer !== undefined) return { kind: 'refused', reason: `The destination has version ${newer} of this report; version ${delivery.version} would replace it. Discard this one.` };
  const withdrawn = await withdrawnBy(tx, delivery);
  if (withdrawn !== undefined) return { kind: 'refused', reason: `The report was withdrawn by version ${withdrawn}; version ${delivery.version} is not sent any more. Discard this one.` };
  await requeueDelivery(tx, deliveryId);
  await hurryNotices(tx, delivery.integration_id); // it may stand behind one
  await resolveAlert(tx, 'delivery_refused', `delivery ${deliveryId}`);
  await wakeDestination(boss, tx, { organizationId, integrationId: delivery.integration_id });
  await recordAudit(tx, {
    ...auditEvents.dataExport, action: 'E', outcome: 'success', actor, object: { type: 'delivery', id: deliveryId }, patientId: delivery.patient_id,
    detail: { report_id: delivery.report_id, integration_id: delivery.integration_id, was: delivery.status, resend: true },
  });
  return { kind: 'done' };
}

/** A scan's analysis is tried again by completing the scan again; any other job is sent again as it was. */
async function retryDeadJob(dependencies: CommandDependencies, organizationId: string, deadJobId: string, actor: AuditActor): Promise<Decision> {
  const look = await inOrganization(dependencies.database, organizationId, (tx) => holdDeadJob(tx, deadJobId));
  if (!look) return { kind: 'not-found' };
  if (look.status !== 'open') return { kind: 'refused', reason: `It was ${look.status} already.` };
  if (look.queue_name === QUEUES.analyze.name) {
    const completed = look.scan_id === null ? { kind: 'not-found' as const } : await forceComplete(dependencies, organizationId, look.scan_id, actor);
    if (completed.kind === 'not-found') return { kind: 'refused', reason: 'The scan of this analysis is not known. Discard the job.' };
    if (completed.kind === 'refused') return { kind: 'refused', reason: `The scan cannot be completed again: ${completed.reason}.` };
  }
  const destination = look.queue_name === FORMER_ORDER_STATUS_QUEUE ? look.integration_id : null;
  if (destination === null && !isWorkedOn(look.queue_name)) return { kind: 'refused', reason: `This version has no queue ${look.queue_name}: nobody would take the job. What it was to do is done by others, or lost; discard it.` };
  return inOrganization(dependencies.database, organizationId, async (tx): Promise<Decision> => {
    const job = await holdDeadJob(tx, deadJobId);
    if (job?.status !== 'open') return { kind: 'refused', reason: 'Somebody decided about it at this moment.' };
    if (destination !== null) await wakeDestination(dependencies.boss, tx, { organizationId, integrationId: destination });
    else if (job.queue_name !== QUEUES.analyze.name) await sendAgain(dependencies.boss, tx, job);
    await decide(tx, job, 'retried', null, actor);
    return { kind: 'done' };
  });
}

/** Until order status messages left in one line with the results (migration 0039). What such a job was to tell waits in that line. */
const FORMER_ORDER_STATUS_QUEUE = 'tell-order-status';
const isWorkedOn = (queueName: string): boolean => queueName !== QUEUES.dead.name && Object.values(QUEUES).some(({ name }) => name === queueName);

async function sendAgain(boss: PgBoss, tx: Transaction, job: HeldDeadJob): Promise<void> {
  // Of jobs without a key one waits at a time, and the others are dropped. One that names nothing (maintenance) has the dead job's.
  const key = ['integrationId', 'scanId', 'commitmentId', 'replayId', 'subscriptionId', 'requestId', 'retrievalId', 'exportId'].map((name) => job.job_data[name]).find((id) => typeof id === 'string') ?? job.dead_job_id;
  await boss.send(job.queue_name, job.job_data, { singletonKey: String(key), db: bossDb(tx) as never });
}

async function decide(tx: Transaction, job: HeldDeadJob, status: 'retried' | 'discarded', reason: string | null, actor: AuditActor): Promise<void> {
  await decideDeadJob(tx, job.dead_job_id, { status, by: actor.id, reason });
  await resolveAlert(tx, 'job_dead', deadJobSubject(job.queue_name, job.scan_id ?? job.integration_id ?? job.dead_job_id));
  await recordAudit(tx, {
    ...auditEvents.applicationActivity, action: status === 'retried' ? 'E' : 'D', outcome: 'success', actor, object: { type: 'dead_job', id: job.dead_job_id },
    detail: { queue: job.queue_name, scan_id: job.scan_id, integration_id: job.integration_id, ...(reason === null ? {} : { reason }) },
  });
}

/** What the alert about a dead job is called by. */
export const deadJobSubject = (queueName: string, id: string): string => `${queueName} ${id}`;
