/** What a person does with order status messages that were refused or wait: send again, give up. As with reports, one transaction each with its audit row. */
import type { PgBoss } from 'pg-boss';
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { discardNotice, holdNotice, parkedNotices, requeueNotice, type HeldNotice, type Obsolete } from '../db/order-notices.ts';
import type { Transaction } from '../db/pool.ts';
import { mostResent, wakeDestination, type Decision } from './commands.ts';
import { endRefusedAlert } from './order-status.ts';

const WHY_NOT: Readonly<Record<Obsolete, string>> = {
  overtaken: 'The system was told more of this order since; the message would take it back. Discard this one.', cancelled: 'The order was cancelled. Discard this one.',
  withdrawn: 'The report that it announces was withdrawn. Discard this one.',
};

/** At its old place in the line, under the same control id. */
export async function resendNotice(boss: PgBoss, tx: Transaction, organizationId: string, noticeId: string, actor: AuditActor): Promise<Decision> {
  const notice = await holdNotice(tx, noticeId);
  if (!notice) return { kind: 'not-found' };
  if (notice.status === 'delivered') return { kind: 'refused', reason: 'It was delivered already.' };
  if (notice.obsolete) return { kind: 'refused', reason: WHY_NOT[notice.obsolete] };
  await requeueNotice(tx, noticeId);
  await decided(tx, notice, 'E', { resend: true }, actor);
  await wakeDestination(boss, tx, { organizationId, integrationId: notice.integration_id });
  return { kind: 'done' };
}

export interface ResentNotices { readonly resent: readonly string[]; readonly leftOut: readonly { readonly noticeId: string; readonly reason: string }[] }

export async function resendParkedNotices(boss: PgBoss, tx: Transaction, organizationId: string, integrationId: string | undefined, actor: AuditActor): Promise<ResentNotices> {
  const resent: string[] = [], leftOut: { noticeId: string; reason: string }[] = [];
  for (const noticeId of await parkedNotices(tx, integrationId, mostResent)) {
    const decision = await resendNotice(boss, tx, organizationId, noticeId, actor);
    if (decision.kind === 'done') resent.push(noticeId);
    else leftOut.push({ noticeId, reason: decision.kind === 'refused' ? decision.reason : 'it is gone' });
  }
  return { resent, leftOut };
}

export async function giveUpNotice(boss: PgBoss, tx: Transaction, organizationId: string, noticeId: string, reason: string, actor: AuditActor): Promise<Decision> {
  const notice = await holdNotice(tx, noticeId);
  if (!notice) return { kind: 'not-found' };
  if (notice.status !== 'refused' && notice.status !== 'queued') return { kind: 'refused', reason: notice.status === 'skipped' ? 'It is not sent any more.' : 'It was delivered already.' };
  await discardNotice(tx, noticeId, reason);
  await decided(tx, notice, 'D', { reason }, actor);
  await wakeDestination(boss, tx, { organizationId, integrationId: notice.integration_id });
  return { kind: 'done' };
}

async function decided(tx: Transaction, notice: HeldNotice, action: 'E' | 'D', detail: object, actor: AuditActor): Promise<void> {
  await endRefusedAlert(tx, notice.integration_id, notice.integration_name);
  await recordAudit(tx, {
    ...auditEvents.dataExport, action, outcome: 'success', actor, object: { type: 'order_notice', id: notice.notice_id }, patientId: notice.patient_id,
    detail: { scan_id: notice.scan_id, integration_id: notice.integration_id, event: notice.event, was: notice.status, ...detail },
  });
}
