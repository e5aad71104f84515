/**
 * Results leave. In: a deliver job that names a destination. Out: its outbox sent in order, one sync_logs row per attempt.
 *
 *   head of the outbox -> T: sending, exchange row -> [adapter.deliver, no transaction open] -> T: outcome on both rows, audit
 *     delivered                 next
 *     refused                   parked for a person, alert, next
 *     unreachable, unconfirmed  stays head; tried again under the same control id after 2 s, 4 s ... 10 min with jitter
 *
 * One destination is drained by one worker at a time (queue policy 'stately' by integration id); different ones run side by side.
 */
import type { PgBoss } from 'pg-boss';
import { createHash } from 'node:crypto';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { beginAttempt, closeAbandonedAttempts, finishAttempt, outboxHead, type OutboxHead } from '../db/deliveries.ts';
import { recordHealth } from '../db/integrations.ts';
import { filesOfScan } from '../db/holdings.ts';
import { insertExchanges, insertPayloads, updateOutcome, type ExchangeRow } from '../db/exchanges.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import { failpoint } from '../failpoint.ts';
import type { Log } from '../log.ts';
import { exchangeBytesTotal, exchangesTotal, exchangeSeconds } from '../metrics.ts';
import { QUEUES, type DeliverJob } from '../queue/queues.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { awaitCommitment } from './confirmations.ts';
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
  let sent = 0;
  for (;;) {
    const destination = dependencies.destination(job.organizationId, job.integrationId);
    if (!destination?.adapter.outbound || signal.aborted) return sent;
    const head = await inOrganization(dependencies.database, job.organizationId, (tx) => outboxHead(tx, job.integrationId));
    if (!head) return sent;
    if (head.next_attempt_at > dependencies.now()) {
      await wake(dependencies, job, head.next_attempt_at);
      return sent;
    }
    const outcome = await attempt(dependencies, job, destination, head);
    if (outcome === 'taken over') return sent;
    if (outcome === 'delivered') sent += 1;
  }
}

/** The next look at this destination; one such job may wait while ours is active. */
async function wake(dependencies: DeliverDependencies, job: DeliverJob, at: Date): Promise<void> {
  await dependencies.boss.send(QUEUES.deliver.name, job, { singletonKey: job.integrationId, startAfter: at });
}

async function attempt(dependencies: DeliverDependencies, job: DeliverJob, destination: Destination, head: OutboxHead): Promise<DeliveryOutcome['kind'] | 'taken over'> {
  const exchange = { syncId: uuidV7(), startedAt: dependencies.now(), number: head.attempts + 1 };
  const begun = await inOrganization(dependencies.database, job.organizationId, async (tx) => {
    if (!await beginAttempt(tx, head.delivery_id, exchange.number)) return false;
    if (head.status === 'sending') await closeAbandonedAttempts(tx, head.delivery_id);
    await insertExchanges(tx, [sendingExchange(job, destination, head, exchange)]);
    return true;
  });
  if (!begun) return 'taken over';
  failpoint('deliver.begun');
  const outcome = recordable(await send(dependencies, job, destination, head, exchange.number));
  failpoint('deliver.sent');
  const labels = { adapter: destination.adapter.name, direction: 'outbound' };
  exchangesTotal.inc({ ...labels, interaction: outcome.interaction, status: outcome.kind });
  exchangeBytesTotal.inc(labels, outcome.sent?.length ?? 0);
  exchangeSeconds.observe(labels, (dependencies.now().getTime() - exchange.startedAt.getTime()) / 1000);
  await writeOutcome(dependencies, job, destination, head, exchange, outcome);
  return outcome.kind;
}

interface Attempt { readonly syncId: string; readonly startedAt: Date; readonly number: number }

function sendingExchange(job: DeliverJob, destination: Destination, head: OutboxHead, exchange: Attempt): ExchangeRow {
  return {
    sync_id: exchange.syncId, integration_id: job.integrationId, adapter: destination.adapter.name, direction: 'outbound',
    interaction: destination.adapter.outbound!.interactions[0] ?? 'deliver', control_id: head.delivery_id, message_status: 'sending', attempt: exchange.number,
    started_at: exchange.startedAt.toISOString(), patient_id: head.patient_id, scan_id: head.scan_id, report_id: head.report_id, delivery_id: head.delivery_id,
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
      sha256: outcome.sent && createHash('sha256').update(outcome.sent).digest('hex'), payload_location: outcome.sent ? 'database' : undefined, facts: outcome.facts,
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
    await raiseAlert(tx, { kind: 'integration_down', severity: 'warning', subject: name, message: `${name} does not take results: ${outcome.text}. They wait in order.` });
  }
}

function retryDelay(retrySeconds: number, attemptNumber: number, outcome: DeliveryOutcome): number {
  const asked = outcome.kind === 'unreachable' ? outcome.retryAfterMilliseconds ?? 0 : 0;
  const backoff = Math.min(LAST_RETRY_MILLISECONDS, retrySeconds * 1000 * 2 ** Math.min(attemptNumber - 1, 12));
  return Math.max(asked, backoff * (0.8 + Math.random() * 0.4));
}
