/**
 * Storage commitment that the gateway asks for: "delivered" means that a C-STORE was answered; "committed" that the archive keeps the object for good.
 *
 *   delivery done   T: asked_commitments, deliveries.commitment = awaited, job
 *   job             N-ACTION; the result on the same association, or later on one of the other side's (told)
 *   result          all kept: committed. Any not: sent again as the same objects, at most MOST_TIMES; then refused, and a person is told
 *   no result       asked again after a while under a new transaction UID; after longer an alert says so
 */
import { createHash, randomUUID } from 'node:crypto';
import type { PgBoss } from 'pg-boss';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { countFailedCommitments, deliverAgain, insertAskedCommitment, lockAskedCommitment, renewTransaction, saveAskedCommitment, setCommitment, takeAskedCommitment, type AskedCommitmentRow } from '../db/asked-commitments.ts';
import { insertExchanges, insertPayloads } from '../db/exchanges.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { QUEUES, type AskCommitmentJob, type DeliverJob } from '../queue/queues.ts';
import { uidOfUuid } from '#standards/dicom/uids.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { CommitmentItem } from '#gateway/commitments.ts';
import type { CommitmentAnswer, CommitmentTold, Confirmations } from '#gateway/queries.ts';
import { askOnRecord, backoffMilliseconds, textOf, type AskDependencies, type Sources } from './sources.ts';

export interface ConfirmationDependencies { readonly database: Database; readonly boss: PgBoss; now(): Date }

/** How often a delivery that was not committed to is sent again. */
const MOST_TIMES = 5;
/** A worker that dies in the middle keeps others off for so long. */
const LEASE_MILLISECONDS = 900_000;
/** Where the settings are gone meanwhile. */
const ASK_AGAIN_MINUTES = 60, ALERT_AFTER_MINUTES = 240;
const newTransaction = (): string => uidOfUuid(randomUUID());

/** What a delivery stored is to be committed to. Within the transaction that records the delivery. */
export async function awaitCommitment(dependencies: { readonly boss: PgBoss }, tx: Transaction, delivery: { organizationId: string; integrationId: string; deliveryId: string }, items: readonly CommitmentItem[]): Promise<void> {
  const requestId = uuidV7();
  await insertAskedCommitment(tx, { requestId, integrationId: delivery.integrationId, deliveryId: delivery.deliveryId, transactionUid: newTransaction(), items: items.map((item) => ({ sop_class_uid: item.sopClassUid, sop_instance_uid: item.sopInstanceUid })) });
  await send(dependencies, tx, { organizationId: delivery.organizationId, requestId });
}

async function send({ boss }: { readonly boss: PgBoss }, tx: Transaction, job: AskCommitmentJob, at?: Date): Promise<void> {
  await boss.send(QUEUES.askCommitment.name, job, { singletonKey: job.requestId, ...(at ? { startAfter: at } : {}), db: bossDb(tx) as never });
}

/** Handles one ask-commitment job. */
export async function askCommitment(dependencies: ConfirmationDependencies & AskDependencies & { readonly sources: Sources; readonly retrySeconds: number }, job: AskCommitmentJob): Promise<'committed' | 'failed' | 'asked' | 'again' | 'nothing to do'> {
  const { organizationId, requestId } = job;
  const now = dependencies.now();
  const begun = await inOrganization(dependencies.database, organizationId, async (tx) => {
    const row = await takeAskedCommitment(tx, requestId, now, new Date(now.getTime() + LEASE_MILLISECONDS));
    if (row?.status !== 'asked') return row;
    // Nobody told under the last transaction: another one, so that two answers are never taken for one.
    const transactionUid = newTransaction();
    await renewTransaction(tx, requestId, transactionUid);
    return { ...row, transaction_uid: transactionUid };
  });
  if (!begun) return 'nothing to do';
  const source = dependencies.sources.find(organizationId, begun.integration_id);
  const asker = source?.adapter.commitmentAsker;
  if (!source || !asker) return inOrganization(dependencies.database, organizationId, (tx) => later(dependencies, tx, job, begun, { text: 'the integration is switched off', minutes: ALERT_AFTER_MINUTES, name: 'The destination' }));
  const items = begun.items.map((item) => ({ sopClassUid: item.sop_class_uid, sopInstanceUid: item.sop_instance_uid }));
  const { outcome } = await askOnRecord(dependencies, source, { controlId: begun.transaction_uid, interaction: 'N-ACTION Storage Commitment', attempt: begun.attempts + 1, scanId: begun.scan_id, patientId: begun.patient_id, facts: { instances: items.length } },
    () => asker.ask(begun.transaction_uid, items, source.integration, source.context));
  const { askAgainMinutes = ASK_AGAIN_MINUTES, alertAfterMinutes = ALERT_AFTER_MINUTES } = source.wanted.commitment ?? {};
  return inOrganization(dependencies.database, organizationId, async (tx) => {
    // The result may have come by the other way while we waited for it here, or for the answer.
    const row = await lockAskedCommitment(tx, begun.transaction_uid);
    if (!row || row.status === 'committed' || row.status === 'failed') return 'nothing to do';
    if (outcome.kind !== 'answered') return later(dependencies, tx, job, begun, { text: textOf(outcome) ?? 'no answer', minutes: alertAfterMinutes, name: source.integration.name });
    await saveAskedCommitment(tx, requestId, { status: 'asked', text: null, askedAt: now, nextAt: new Date(now.getTime() + askAgainMinutes * 60_000), isAttempt: true });
    if (outcome.value) return settle(dependencies, tx, organizationId, row, outcome.value);
    await alertWhenLate(dependencies, tx, row, alertAfterMinutes, source.integration.name, 'no result was told');
    await send(dependencies, tx, job, new Date(now.getTime() + askAgainMinutes * 60_000));
    return 'asked';
  });
}

async function later(dependencies: ConfirmationDependencies & { readonly retrySeconds: number }, tx: Transaction, job: AskCommitmentJob, row: AskedCommitmentRow, { text, minutes, name }: { text: string; minutes: number; name: string }): Promise<'again'> {
  const nextAt = new Date(dependencies.now().getTime() + backoffMilliseconds(dependencies.retrySeconds, row.attempts));
  await saveAskedCommitment(tx, row.request_id, { status: 'queued', text, nextAt, isAttempt: true });
  await alertWhenLate(dependencies, tx, row, minutes, name, text);
  await send(dependencies, tx, job, nextAt);
  return 'again';
}

const subjectOf = (row: Pick<AskedCommitmentRow, 'delivery_id'>): string => `delivery ${row.delivery_id}`;

async function alertWhenLate({ now }: ConfirmationDependencies, tx: Transaction, row: AskedCommitmentRow, minutes: number, name: string, text: string): Promise<void> {
  if (now().getTime() - row.created_at.getTime() < minutes * 60_000) return;
  await raiseAlert(tx, { kind: 'commitment_missing', severity: 'warning', subject: subjectOf(row), message: `${name} took a report ${minutes} minutes ago or longer and has not committed to keep it: ${text}. It is asked again.` });
}

/** What the archive said of each object; an object it does not speak of is not kept. */
async function settle(dependencies: ConfirmationDependencies, tx: Transaction, organizationId: string, row: AskedCommitmentRow, answer: CommitmentAnswer): Promise<'committed' | 'failed'> {
  const kept = new Set(answer.committed.map(({ sopInstanceUid }) => sopInstanceUid));
  const reasons = new Map(answer.failed.map(({ sopInstanceUid, reason }) => [sopInstanceUid, reason]));
  const lost = row.items.filter(({ sop_instance_uid: uid }) => !kept.has(uid) || reasons.has(uid));
  const answeredAt = dependencies.now();
  if (lost.length === 0) {
    await saveAskedCommitment(tx, row.request_id, { status: 'committed', text: null, answeredAt });
    await setCommitment(tx, row.delivery_id, 'committed');
    await resolveAlert(tx, 'commitment_missing', subjectOf(row));
    return 'committed';
  }
  const text = `not kept: ${[...new Set(lost.map(({ sop_instance_uid: uid }) => reasons.get(uid) ?? 'not spoken of'))].join(', ')}`;
  await saveAskedCommitment(tx, row.request_id, { status: 'failed', text, answeredAt });
  const times = await countFailedCommitments(tx, row.delivery_id);
  await setCommitment(tx, row.delivery_id, 'refused');
  if (times <= MOST_TIMES) {
    await deliverAgain(tx, row.delivery_id);
    await dependencies.boss.send(QUEUES.deliver.name, { organizationId, integrationId: row.integration_id } satisfies DeliverJob, { singletonKey: row.integration_id, db: bossDb(tx) as never });
  } else {
    await raiseAlert(tx, { kind: 'commitment_missing', severity: 'critical', subject: subjectOf(row), message: `A report was sent ${times} times, and each time the archive answered that it does not keep it (${text}). It is not sent again; ask the archive's administrator.` });
  }
  return 'failed';
}

/** Takes results in that come on an association of the other side. */
export function createConfirmations(dependencies: ConfirmationDependencies, adapter: string): Confirmations {
  return {
    told: (told) => inOrganization(dependencies.database, told.integration.organizationId, async (tx) => {
      const row = await lockAskedCommitment(tx, told.transactionUid);
      await recordTold(dependencies, tx, adapter, told, row);
      if (!row) return 'unknown' as const;
      if (row.status === 'queued' || row.status === 'asked') await settle(dependencies, tx, told.integration.organizationId, row, told);
      return 'accepted' as const;
    }),
  };
}

async function recordTold({ now }: ConfirmationDependencies, tx: Transaction, adapter: string, told: CommitmentTold, row: AskedCommitmentRow | undefined): Promise<void> {
  const syncId = uuidV7(), at = now().toISOString();
  const { integration, peer } = told;
  await insertExchanges(tx, [{
    sync_id: syncId, integration_id: integration.integrationId, adapter, direction: 'inbound', interaction: 'N-EVENT-REPORT Storage Commitment', control_id: told.transactionUid, message_status: row ? 'accepted' : 'rejected',
    started_at: at, finished_at: at, byte_size: told.message.length, sha256: createHash('sha256').update(told.message).digest('hex'), payload_location: 'database', peer_address: peer.address, peer_application: peer.application,
    scan_id: row?.scan_id, patient_id: row?.patient_id, report_id: row?.report_id, delivery_id: row?.delivery_id, facts: { ...told.facts, committed: told.committed.length, failed: told.failed.length },
    ...(row ? {} : { error_class: 'permanent' as const, error_text: 'nobody asked under this transaction UID' }),
  }]);
  await insertPayloads(tx, [{ sync_id: syncId, part: 'message', media_type: 'application/dicom', content: told.message }]);
  await recordAudit(tx, {
    ...auditEvents.query, action: 'E', outcome: row ? 'success' : 'minor_failure', actor: { kind: 'application', id: peer.application ?? 'unknown', address: peer.address },
    object: row ? { type: 'report', id: row.report_id } : { type: 'sync_log', id: syncId }, patientId: row?.patient_id, syncId, detail: { interaction: 'N-EVENT-REPORT Storage Commitment', committed: told.committed.length, failed: told.failed.length },
  });
}
