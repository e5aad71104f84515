/**
 * Who placed an order hears what becomes of it. In: rows of order_notices, written by the database when a scan gets its first image, is complete or is
 * reported (migrations/0021), for integrations whose setting order_status_messages names that. Out: one message each, in order per destination.
 *
 *   head of the notices -> [adapter.notify] -> delivered | refused: a person is told | unreachable, unconfirmed: again under the same control id
 *
 * As deliver.ts, but lighter: a notice says how things stand, so that one which is said twice or late does no harm.
 */
import { createHash } from 'node:crypto';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { filesInUse } from '../db/analyses.ts';
import { insertExchanges, insertPayloads, updateOutcome } from '../db/exchanges.ts';
import { beginNotice, finishNotice, noticeHead, type NoticeHead } from '../db/order-notices.ts';
import { lockReportSource } from '../db/reports.ts';
import { inOrganization } from '../db/transaction.ts';
import type { TellOrderStatusJob } from '../queue/queues.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { DeliveryOutcome, OrderNotice } from '#gateway/adapter.ts';
import type { DeliverDependencies, Destination } from './deliver.ts';
import { reportPatient, reportScan } from './report-document.ts';

const LAST_RETRY_MILLISECONDS = 600_000;
const ERROR_CLASS = { refused: 'permanent', unreachable: 'transient', unconfirmed: 'ambiguous' } as const;

export async function tellOrderStatus(dependencies: Pick<DeliverDependencies, 'database' | 'log' | 'now' | 'retrySeconds' | 'destination'>, job: TellOrderStatusJob, signal: AbortSignal): Promise<number> {
  const { database, now } = dependencies;
  for (let told = 0; ; told++) {
    const destination = dependencies.destination(job.organizationId, job.integrationId);
    if (!destination?.adapter.outbound?.notify || signal.aborted) return told;
    const begun = await inOrganization(database, job.organizationId, async (tx) => {
      const head = await noticeHead(tx, job.integrationId);
      if (!head || head.next_attempt_at > now() || !await beginNotice(tx, head.notice_id, head.attempts + 1)) return undefined;
      const source = await lockReportSource(tx, head.scan_id);
      if (!source) return undefined;
      const exchange = { syncId: uuidV7(), startedAt: now() };
      await insertExchanges(tx, [{
        sync_id: exchange.syncId, integration_id: job.integrationId, adapter: destination.adapter.name, direction: 'outbound', interaction: 'order status', control_id: head.notice_id, message_status: 'sending',
        attempt: head.attempts + 1, started_at: exchange.startedAt.toISOString(), patient_id: source.patient_id, scan_id: head.scan_id,
      }]);
      const notice: OrderNotice = {
        organizationId: job.organizationId, controlId: head.notice_id, attempt: head.attempts + 1, event: head.event, at: head.created_at.toISOString(), run: head.run,
        patient: reportPatient(source), scan: reportScan(source, await filesInUse(tx, head.scan_id)),
      };
      return { head, exchange, notice, patientId: source.patient_id };
    });
    if (!begun) return told; // nothing is due: the sweep looks again
    const outcome = await send(dependencies, destination, begun.notice);
    if (!await writeOutcome(dependencies, job, destination, begun, outcome)) return told;
  }
}

async function send({ log }: Pick<DeliverDependencies, 'log'>, { adapter, integration, context }: Destination, notice: OrderNotice): Promise<DeliveryOutcome> {
  try {
    return await adapter.outbound!.notify!(notice, integration.config, context);
  } catch (error) {
    log.error({ err: error, noticeId: notice.controlId, adapter: adapter.name }, 'an order status message stopped on an unexpected error');
    return { kind: 'unconfirmed', text: 'the gateway stopped on an error of its own; tried again', interaction: 'order status', peer: '' };
  }
}

interface Begun { readonly head: NoticeHead; readonly exchange: { readonly syncId: string; readonly startedAt: Date }; readonly patientId: string }

/** True: go on with the next. */
async function writeOutcome({ database, now: clock, retrySeconds }: Pick<DeliverDependencies, 'database' | 'now' | 'retrySeconds'>, job: TellOrderStatusJob, { integration }: Destination, { head, exchange, patientId }: Begun, outcome: DeliveryOutcome): Promise<boolean> {
  const now = clock();
  const isOpen = outcome.kind === 'unreachable' || outcome.kind === 'unconfirmed';
  const text = 'text' in outcome ? outcome.text.replaceAll('\0', '\uFFFD').toWellFormed().slice(0, 2_000) : null;
  const answerCode = 'answerCode' in outcome ? outcome.answerCode : undefined;
  const backoff = Math.min(LAST_RETRY_MILLISECONDS, retrySeconds * 1000 * 2 ** Math.min(head.attempts, 12));
  const asked = outcome.kind === 'unreachable' ? outcome.retryAfterMilliseconds ?? 0 : 0;
  await inOrganization(database, job.organizationId, async (tx) => {
    await finishNotice(tx, head.notice_id, { status: isOpen ? 'queued' : outcome.kind === 'delivered' ? 'delivered' : 'refused', text, nextAttemptAt: new Date(now.getTime() + Math.max(backoff, asked)) });
    await updateOutcome(tx, exchange.syncId, exchange.startedAt, {
      message_status: outcome.kind, answer_status: answerCode === undefined ? 'unanswered' : 'answered', answer_code: answerCode, interaction: outcome.interaction, peer_address: outcome.peer, finished_at: now,
      duration_ms: now.getTime() - exchange.startedAt.getTime(), byte_size: outcome.sent?.length, sha256: outcome.sent && createHash('sha256').update(outcome.sent).digest('hex'), payload_location: outcome.sent ? 'database' : undefined,
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
    if (outcome.kind === 'refused') await raiseAlert(tx, { kind: 'delivery_refused', severity: 'warning', subject: `order status for ${integration.name}`, message: `${integration.name} refuses order status messages: ${text ?? ''}. The exchanges say which.` });
    else if (outcome.kind === 'delivered') await resolveAlert(tx, 'delivery_refused', `order status for ${integration.name}`);
  });
  return !isOpen;
}
