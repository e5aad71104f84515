/**
 * Results leave. In: a deliver job that names a destination. Out: its outbox sent in order, one sync_logs row per attempt.
 *
 *   head of the outbox -> T: sending, exchange row -> [adapter.deliver, no transaction open] -> T: outcome on both rows, audit
 *     delivered                 next; its outcome and the beginning of the next are one transaction
 *     refused                   parked for a person, alert, next
 *     unreachable, unconfirmed  stays head; tried again under the same control id after 2 s, 4 s ... 10 min with jitter
 *
 * One destination is drained by one worker at a time (queue policy 'stately' by integration id); different ones run side by side.
 */
import type { PgBoss } from 'pg-boss';
import { hash } from 'node:crypto';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { deliverNext, finishAttempt, type DeliveredAttempt, type NextAttempt, type OutboxHead } from '../db/deliveries.ts';
import { recordHealth } from '../db/integrations.ts';
import { filesOfScan } from '../db/holdings.ts';
import { insertPayloads, updateOutcome } from '../db/exchanges.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import { failpoint } from '../failpoint.ts';
import type { Log } from '../log.ts';
import { exchangeBytesTotal, exchangesTotal, exchangeSeconds } from '../metrics.ts';
import { QUEUES, type DeliverJob } from '../queue/queues.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { awaitCommitment } from './confirmations.ts';
import { isToldOfOrders, tellBeforeResults } from './order-status.ts';
import type { Adapter, AdapterContext, Delivery, DeliveryOutcome, Integration } from '#gateway/adapter.ts';

export interface Destination { readonly adapter: Adapter; readonly integration: Integration; readonly context: AdapterContext }
export interface DeliverDependencies {
  readonly database: Database; readonly boss: PgBoss; readonly log: Log; now(): Date;
  /** Until the first repeat of a failed delivery; doubled with every failure. */
  readonly retrySeconds: number;
  /** The enabled destination, or undefined when it was switched off: its outbox waits. */
  destination(organizationId: string, integrationId: string): Destination | undefined;
}

const LAST_RETRY_MILLISECONDS = 600_000;
const EXCHANGE_STATUS = { delivered: 'delivered', refused: 'refused', unreachable: 'unreachable', unconfirmed: 'unconfirmed' } as const;
const ERROR_CLASS = { refused: 'permanent', unreachable: 'transient', unconfirmed: 'ambiguous' } as const;

export async function drainOutbox(dependencies: DeliverDependencies, job: DeliverJob, signal: AbortSignal): Promise<number> {
  const { database, now } = dependencies;
  let sent = 0;
  for (let finished: DeliveredAttempt | undefined; ;) {
    const destination = dependencies.destination(job.organizationId, job.integrationId);
    const isOpen = destination?.adapter.outbound !== undefined && !signal.aborted;
    if (!isOpen && !finished) return sent;
    // Once a drain for all, so that what was left over by another setting leaves too; between results only where the system is told of orders.
    if (isOpen && (sent === 0 && !finished && destination.adapter.outbound?.notify || isToldOfOrders(destination))) {
      if (finished) await deliverNext(database, job.organizationId, job.integrationId, finished, undefined);
      finished = undefined;
      const line = await tellBeforeResults(dependencies, job, destination, signal);
      if (line.kind !== 'result') {
        if (line.kind === 'later') await wake(dependencies, job, line.at);
        return sent;
      }
    }
    const begin = { syncId: uuidV7(), startedAt: now() };
    const next = await deliverNext(database, job.organizationId, job.integrationId, finished, isOpen ? nextAttempt(destination, begin) : undefined);
    if (next.state === 'later') await wake(dependencies, job, next.head.next_attempt_at);
    if (next.state !== 'begun' || !destination) return sent;
    failpoint('deliver.begun');
    const exchange = { ...begin, number: next.head.attempts + 1 };
    const outcome = await attempt(dependencies, job, destination, next.head, exchange);
    if (outcome.kind === 'delivered') sent += 1;
    finished = outcome.kind === 'delivered' && !outcome.uncommitted?.length ? deliveredAttempt(destination, next.head, exchange, outcome, now()) : undefined;
    if (finished) failpoint('deliver.beforeCommit');
    else await writeOutcome(dependencies, job, destination, next.head, exchange, outcome);
  }
}

/** The next look at this destination; one such job may wait while ours is active. */
async function wake(dependencies: DeliverDependencies, job: DeliverJob, at: Date): Promise<void> {
  await dependencies.boss.send(QUEUES.deliver.name, job, { singletonKey: job.integrationId, startAfter: at });
}

interface Attempt { readonly syncId: string; readonly startedAt: Date; readonly number: number }

function nextAttempt({ adapter }: Destination, { syncId, startedAt }: Omit<Attempt, 'number'>): NextAttempt {
  return { sync_id: syncId, started_at: startedAt.toISOString(), adapter: adapter.name, interaction: adapter.outbound!.interactions[0] ?? 'deliver' };
}

async function attempt(dependencies: DeliverDependencies, job: DeliverJob, destination: Destination, head: OutboxHead, exchange: Attempt): Promise<DeliveryOutcome> {
  const outcome = recordable(await send(dependencies, job, destination, head, exchange.number));
  failpoint('deliver.sent');
  const labels = { adapter: destination.adapter.name, direction: 'outbound' };
  exchangesTotal.inc({ ...labels, interaction: outcome.interaction, status: outcome.kind });
  exchangeBytesTotal.inc(labels, outcome.sent?.length ?? 0);
  exchangeSeconds.observe(labels, (dependencies.now().getTime() - exchange.startedAt.getTime()) / 1000);
  return outcome;
}

function deliveredAttempt({ integration }: Destination, head: OutboxHead, exchange: Attempt, outcome: DeliveryOutcome & { readonly kind: 'delivered' }, now: Date): DeliveredAttempt {
  const { sent, answer, sentType = 'application/octet-stream' } = outcome;
  return {
    delivery_id: head.delivery_id, attempt: exchange.number, sync_id: exchange.syncId, started_at: exchange.startedAt.toISOString(), finished_at: now.toISOString(),
    duration_ms: now.getTime() - exchange.startedAt.getTime(), interaction: outcome.interaction, peer_address: outcome.peer, answer_code: outcome.answerCode, facts: outcome.facts,
    byte_size: sent?.length, sha256: sent && hash('sha256', sent), sent, sent_type: sentType, answer, answer_type: outcome.answerType ?? sentType,
    report_id: head.report_id, patient_id: head.patient_id, destination: integration.name, event_code: auditEvents.dataExport.eventCode, event_name: auditEvents.dataExport.eventName,
    detail: { integration: integration.name, attempt: exchange.number, outcome: outcome.kind },
  };
}

async function send(dependencies: DeliverDependencies, job: DeliverJob, destination: Destination, head: OutboxHead, attemptNumber: number): Promise<DeliveryOutcome> {
  const delivery: Delivery = {
    deliveryId: head.delivery_id, organizationId: job.organizationId, controlId: head.delivery_id, attempt: attemptNumber, document: head.document,
    image: (sopInstanceUid: string) => inOrganization(dependencies.database, job.organizationId, async (tx) => (await filesOfScan(tx, head.scan_id, { sopInstanceUid: { kind: 'exact', value: sopInstanceUid } }))[0]),
  };
  try {
    return await destination.adapter.outbound!.deliver(delivery, destination.integration.config, destination.context);
  } catch (error) {
    // An adapter must not throw for what a peer does; a fault of ours is no proof that nothing was sent.
    dependencies.log.error({ err: error, deliveryId: head.delivery_id, adapter: destination.adapter.name }, 'a delivery stopped on an unexpected error');
    return { kind: 'unconfirmed', text: 'the gateway stopped on an error of its own; tried again', interaction: 'deliver', peer: '' };
  }
}

const MOST_TEXT_LENGTH = 2_000;

/** A receiver's words as the database takes them: no NUL, no lone surrogate, no end of them. An outcome that cannot be written would be sent again for ever. */
function recordable(outcome: DeliveryOutcome): DeliveryOutcome {
  const words = (text: string): string => text.replaceAll('\0', '\uFFFD').toWellFormed().slice(0, MOST_TEXT_LENGTH);
  return {
    ...outcome, interaction: words(outcome.interaction), peer: words(outcome.peer),
    ...('text' in outcome ? { text: words(outcome.text) } : {}), ...('answerCode' in outcome ? { answerCode: words(outcome.answerCode) } : {}),
  };
}

async function writeOutcome(dependencies: DeliverDependencies, job: DeliverJob, destination: Destination, head: OutboxHead, exchange: Attempt, outcome: DeliveryOutcome): Promise<void> {
  const now = dependencies.now();
  const text = 'text' in outcome ? outcome.text : null;
  const isOpen = outcome.kind === 'unreachable' || outcome.kind === 'unconfirmed';
  const nextAttemptAt = new Date(now.getTime() + retryDelay(dependencies.retrySeconds, exchange.number, outcome));
  await inOrganization(dependencies.database, job.organizationId, async (tx) => {
    const isOurs = await finishAttempt(tx, head.delivery_id, exchange.number, { status: isOpen ? 'queued' : outcome.kind as 'delivered' | 'refused', outcome: outcome.kind, text, ...(isOpen ? { nextAttemptAt } : {}) });
    if (!isOurs) return;
    const answerCode = 'answerCode' in outcome ? outcome.answerCode : undefined;
    await updateOutcome(tx, exchange.syncId, exchange.startedAt, {
      message_status: EXCHANGE_STATUS[outcome.kind], answer_status: answerCode === undefined ? 'unanswered' : 'answered', answer_code: answerCode, interaction: outcome.interaction,
      peer_address: outcome.peer, finished_at: now, duration_ms: now.getTime() - exchange.startedAt.getTime(), byte_size: outcome.sent?.length,
      sha256: outcome.sent && hash('sha256', outcome.sent), payload_location: outcome.sent ? 'database' : undefined, facts: outcome.facts,
      ...(outcome.kind === 'delivered' ? {} : { error_class: ERROR_CLASS[outcome.kind], error_text: text ?? undefined }),
    });
    await insertPayloads(tx, [
      ...(outcome.sent ? [{ sync_id: exchange.syncId, part: 'message' as const, media_type: outcome.sentType ?? 'application/octet-stream', content: outcome.sent }] : []),
      ...(outcome.answer ? [{ sync_id: exchange.syncId, part: 'answer' as const, media_type: outcome.answerType ?? outcome.sentType ?? 'application/octet-stream', content: outcome.answer }] : []),
    ]);
    await recordAudit(tx, {
      ...auditEvents.dataExport, action: 'R', outcome: outcome.kind === 'delivered' ? 'success' : isOpen ? 'minor_failure' : 'serious_failure',
      actor: { kind: 'system', id: 'deliver', address: outcome.peer }, object: { type: 'report', id: head.report_id }, patientId: head.patient_id, syncId: exchange.syncId,
      detail: { integration: destination.integration.name, attempt: exchange.number, outcome: outcome.kind },
    });
    if (outcome.kind === 'delivered' && outcome.uncommitted?.length) await awaitCommitment(dependencies, tx, { ...job, deliveryId: head.delivery_id }, outcome.uncommitted);
    await writeHealth(tx, job, destination, head, outcome);
    if (isOpen) await dependencies.boss.send(QUEUES.deliver.name, job, { singletonKey: job.integrationId, startAfter: nextAttemptAt, db: bossDb(tx) as never });
    failpoint('deliver.beforeCommit');
  });
}

async function writeHealth(tx: Parameters<typeof recordHealth>[0], job: DeliverJob, destination: Destination, head: OutboxHead, outcome: DeliveryOutcome): Promise<void> {
  const { name } = destination.integration;
  if (outcome.kind === 'delivered') {
    await recordHealth(tx, job.integrationId, { status: 'ok' });
    await resolveAlert(tx, 'integration_down', name);
  } else if (outcome.kind === 'refused') {
    await recordHealth(tx, job.integrationId, { status: 'degraded', error: outcome.text });
    await raiseAlert(tx, { kind: 'delivery_refused', severity: 'critical', subject: `delivery ${head.delivery_id}`, message: `${name} refused a report: ${outcome.text}` });
  } else {
    await recordHealth(tx, job.integrationId, { status: 'down', error: outcome.text });
    await raiseAlert(tx, { kind: 'integration_down', severity: 'warning', subject: name, message: `${name} does not take results: ${outcome.text.replace(/\.$/, '')}. They wait in order.` });
  }
}

function retryDelay(retrySeconds: number, attemptNumber: number, outcome: DeliveryOutcome): number {
  const asked = outcome.kind === 'unreachable' ? outcome.retryAfterMilliseconds ?? 0 : 0;
  const backoff = Math.min(LAST_RETRY_MILLISECONDS, retrySeconds * 1000 * 2 ** Math.min(attemptNumber - 1, 12));
  return Math.max(asked, backoff * (0.8 + Math.random() * 0.4));
}
