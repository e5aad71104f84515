/**
 * Who placed an order hears what becomes of it. In: rows of order_notices, written by the database when a scan gets its first image, is complete or is
 * reported (migrations/0021), for integrations whose setting order_status_messages names that. Out: one message each, in one line with the results for
 * the same destination: what was there first leaves first, by the one worker that drains the outbox (deliver.ts).
 *
 *   older than the next result -> [adapter.notify] -> delivered | refused: parked for a person
 *                                                     unreachable: stays first, and the results wait as they would for themselves
 *                                                     put off, unconfirmed: tried again, but results pass it: none waits for a status
 *   said no more                  the system was told more since, the order was cancelled, or the report that it announces was withdrawn
 *
 * So a receiver never hears a status after what followed from it.
 */
import { createHash } from 'node:crypto';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { filesInUse } from '../db/analyses.ts';
import { closeAbandonedQuestions, insertExchanges, insertPayloads, updateOutcome } from '../db/exchanges.ts';
import { beginNotice, finishNotice, headOfLine, parkedNotices, type NoticeHead, type Obsolete } from '../db/order-notices.ts';
import { recordHealth } from '../db/integrations.ts';
import { lockReportSource } from '../db/reports.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import type { DeliverJob } from '../queue/queues.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { DeliveryOutcome, OrderNotice } from '#gateway/adapter.ts';
import type { DeliverDependencies, Destination } from './deliver.ts';
import { reportPatient, reportScan } from './report-document.ts';

const LAST_RETRY_MILLISECONDS = 600_000;
const ERROR_CLASS = { refused: 'permanent', unreachable: 'transient', unconfirmed: 'ambiguous' } as const;

type Dependencies = Pick<DeliverDependencies, 'database' | 'log' | 'now' | 'retrySeconds'>;
export type NextInLine = { readonly kind: 'result' } | { readonly kind: 'nothing' } | { readonly kind: 'later'; readonly at: Date };

/** Whether this destination is told of orders: the setting by which the database writes the notices. */
export const isToldOfOrders = ({ adapter, integration }: Destination): boolean =>
  adapter.outbound?.notify !== undefined && ((integration.config as { order_status_messages?: readonly unknown[] }).order_status_messages?.length ?? 0) > 0;

/** Tells what comes before the next result of this destination, and says what is next. What was delivered before is written down by then. */
export async function tellBeforeResults(dependencies: Dependencies, job: DeliverJob, destination: Destination, signal: AbortSignal): Promise<NextInLine> {
  for (;;) {
    const line = await inOrganization(dependencies.database, job.organizationId, (tx) => lookOrBegin(dependencies, tx, job, destination));
    if (line.kind === 'skipped') continue;
    if (line.kind !== 'begun') return line;
    await writeOutcome(dependencies, job, destination, line, await send(dependencies, destination, line.notice));
    if (signal.aborted) return { kind: 'nothing' };
  }
}

const SAID_NO_MORE: Readonly<Record<Obsolete, string>> = {
  overtaken: 'The system was told more of this order since.', cancelled: 'The order was cancelled.', withdrawn: 'The report that it announces was withdrawn.',
};

interface Begun { readonly kind: 'begun'; readonly head: NoticeHead; readonly exchange: { readonly syncId: string; readonly startedAt: Date }; readonly notice: OrderNotice; readonly patientId: string }

async function lookOrBegin({ now }: Dependencies, tx: Transaction, job: DeliverJob, { adapter }: Destination): Promise<NextInLine | { readonly kind: 'skipped' } | Begun> {
  const { notice: head, resultSince } = await headOfLine(tx, job.integrationId);
  const otherwise: NextInLine = { kind: resultSince ? 'result' : 'nothing' };
  if (!head || !adapter.outbound?.notify) return otherwise;
  if (head.obsolete) {
    await finishNotice(tx, head.notice_id, { status: 'skipped', outcome: 'overtaken', text: SAID_NO_MORE[head.obsolete] });
    return { kind: 'skipped' };
  }
  if (resultSince && resultSince < head.created_at) return otherwise;
  if (head.next_attempt_at > now()) return resultSince && (head.last_outcome === 'put off' || head.last_outcome === 'unconfirmed') ? otherwise : { kind: 'later', at: head.next_attempt_at };
  if (!await beginNotice(tx, head.notice_id, head.attempts + 1)) return otherwise;
  const source = await lockReportSource(tx, head.scan_id);
  if (!source) return otherwise;
  if (head.attempts > 0) await closeAbandonedQuestions(tx, job.integrationId, head.notice_id); // the gateway may have ended in the middle
  const exchange = { syncId: uuidV7(), startedAt: now() };
  await insertExchanges(tx, [{
    sync_id: exchange.syncId, integration_id: job.integrationId, adapter: adapter.name, direction: 'outbound', interaction: 'order status', control_id: head.notice_id, message_status: 'sending',
    attempt: head.attempts + 1, started_at: exchange.startedAt.toISOString(), patient_id: source.patient_id, scan_id: head.scan_id,
  }]);
  const notice: OrderNotice = {
    organizationId: job.organizationId, controlId: head.notice_id, attempt: head.attempts + 1, event: head.event, at: head.created_at.toISOString(), run: head.run,
    patient: reportPatient(source), scan: reportScan(source, await filesInUse(tx, head.scan_id)),
  };
  return { kind: 'begun', head, exchange, notice, patientId: source.patient_id };
}

async function send({ log }: Pick<DeliverDependencies, 'log'>, { adapter, integration, context }: Destination, notice: OrderNotice): Promise<DeliveryOutcome> {
  try {
    return await adapter.outbound!.notify!(notice, integration.config, context);
  } catch (error) {
    log.error({ err: error, noticeId: notice.controlId, adapter: adapter.name }, 'an order status message stopped on an unexpected error');
    return { kind: 'unconfirmed', text: 'the gateway stopped on an error of its own; tried again', interaction: 'order status', peer: '' };
  }
}

async function writeOutcome({ database, now: clock, retrySeconds }: Dependencies, job: DeliverJob, { integration }: Destination, { head, exchange, patientId }: Begun, outcome: DeliveryOutcome): Promise<void> {
  const now = clock();
  const isOpen = outcome.kind === 'unreachable' || outcome.kind === 'unconfirmed';
  const text = 'text' in outcome ? outcome.text.replaceAll('\0', '\uFFFD').toWellFormed().slice(0, 2_000) : null;
  const answerCode = 'answerCode' in outcome ? outcome.answerCode : undefined;
  const backoff = Math.min(LAST_RETRY_MILLISECONDS, retrySeconds * 1000 * 2 ** Math.min(head.attempts, 12));
  const asked = outcome.kind === 'unreachable' ? outcome.retryAfterMilliseconds ?? 0 : 0;
  await inOrganization(database, job.organizationId, async (tx) => {
    const change = { status: isOpen ? 'queued' as const : outcome.kind === 'delivered' ? 'delivered' as const : 'refused' as const, outcome: nameOf(outcome), text, ...(isOpen ? { nextAttemptAt: new Date(now.getTime() + Math.max(backoff, asked)) } : {}) };
    await finishNotice(tx, head.notice_id, change);
    await updateOutcome(tx, exchange.syncId, exchange.startedAt, {
      message_status: outcome.kind, answer_status: answerCode === undefined ? 'unanswered' : 'answered', answer_code: answerCode, interaction: outcome.interaction, peer_address: outcome.peer, finished_at: now,
      duration_ms: now.getTime() - exchange.startedAt.getTime(), byte_size: outcome.sent?.length, sha256: outcome.sent && createHash('sha256').update(outcome.sent).digest('hex'), payload_location: outcome.sent ? 'database' : undefined, facts: outcome.facts,
      ...(outcome.kind === 'delivered' ? {} : { error_class: ERROR_CLASS[outcome.kind], error_text: text ?? undefined }),
    });
    await insertPayloads(tx, [
      ...(outcome.sent ? [{ sync_id: exchange.syncId, part: 'message' as const, media_type: outcome.sentType ?? 'application/octet-stream', content: outcome.sent }] : []),
      ...(outcome.answer ? [{ sync_id: exchange.syncId, part: 'answer' as const, media_type: outcome.answerType ?? outcome.sentType ?? 'application/octet-stream', content: outcome.answer }] : []),
    ]);
    await recordAudit(tx, {
      ...auditEvents.orderRecord, action: 'R', outcome: outcome.kind === 'delivered' ? 'success' : isOpen ? 'minor_failure' : 'serious_failure', actor: { kind: 'system', id: 'tell-order-status', address: outcome.peer },
      object: { type: 'scan', id: head.scan_id }, patientId, syncId: exchange.syncId, detail: { integration: integration.name, event: head.event, attempt: head.attempts + 1, outcome: outcome.kind },
    });
    await tellPeople(tx, job, integration.name, outcome);
  });
}

/** One that answered "later" was reached: results may be taken. */
const nameOf = (outcome: DeliveryOutcome): string => (outcome.kind === 'unreachable' && outcome.answer ? 'put off' : outcome.kind);

async function tellPeople(tx: Transaction, { integrationId }: DeliverJob, name: string, outcome: DeliveryOutcome): Promise<void> {
  const subject = orderStatusSubject(name);
  if (outcome.kind === 'delivered') {
    await recordHealth(tx, integrationId, { status: 'ok' });
    for (const about of [name, subject]) await resolveAlert(tx, 'integration_down', about);
  } else if (outcome.kind === 'refused') {
    await raiseAlert(tx, { kind: 'delivery_refused', severity: 'warning', subject, message: `${name} refuses order status messages: ${outcome.text}. They are parked.` });
  } else if (nameOf(outcome) === 'unreachable') {
    await recordHealth(tx, integrationId, { status: 'down', error: outcome.text });
    await raiseAlert(tx, { kind: 'integration_down', severity: 'warning', subject: name, message: `${name} does not take order status messages: ${outcome.text.replace(/\.$/, '')}. They wait in order, and results behind them.` });
  } else {
    await raiseAlert(tx, { kind: 'integration_down', severity: 'warning', subject, message: `${name} does not take order status messages: ${outcome.text.replace(/\.$/, '')}. They are tried again; results do not wait for them.` });
  }
}

/** What the alert about order status messages for this system is called by. */
export const orderStatusSubject = (name: string): string => `order status for ${name}`;

/** Once nothing is parked for it any more. */
export async function endRefusedAlert(tx: Transaction, integrationId: string, name: string): Promise<void> {
  if ((await parkedNotices(tx, integrationId, 1)).length === 0) await resolveAlert(tx, 'delivery_refused', orderStatusSubject(name));
}
