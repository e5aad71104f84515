/**
 * Storage commitment. A yes means that every file was read again and its bytes hash to what was received; nothing else is a yes.
 *
 *   request   T: sync_logs, its message, storage_commitments, audit, job (held back while the asker may still listen)
 *   check     no transaction open while files are read; then T: the result per instance
 *   job       check, adapter.commitments.report(), T: outbound sync_logs, status; again with backoff until heard, at most for a week
 */
import { createHash } from 'node:crypto';
import type { PgBoss } from 'pg-boss';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert } from '../db/alerts.ts';
import { filesInUseOf, findCommitment, saveChecked, saveCommitment, saveTold, type CommitmentItemRow, type CommitmentRow, type CommittedFile } from '../db/commitments.ts';
import { insertExchanges, insertPayloads } from '../db/exchanges.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import { QUEUES, type CommitStorageJob } from '../queue/queues.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { DeliveryOutcome } from '#gateway/adapter.ts';
import type { CommitmentRequest, CommitmentResult, Commitments } from '#gateway/commitments.ts';
import type { AnswerRecorder } from './answers.ts';
import type { Destination } from './deliver.ts';
import { isIntact } from './missing-files.ts';

export interface CommitmentDependencies { readonly database: Database; readonly boss: PgBoss; readonly store: ObjectStore; readonly log: Log; now(): Date }
export interface CommitStorageDependencies extends CommitmentDependencies {
  readonly retrySeconds: number;
  destination(organizationId: string, integrationId: string): Destination | undefined;
}

/** While the asker may still have its association open, it is told there; then it is called. */
const CALL_BACK_AFTER_MILLISECONDS = 20_000;
const LAST_RETRY_MILLISECONDS = 600_000;
const GIVE_UP_AFTER_MILLISECONDS = 7 * 86_400_000;

export function createCommitments(dependencies: CommitmentDependencies & { answers: AnswerRecorder }, adapter: string): Commitments {
  const { database, boss } = dependencies;
  return {
    request: (request) => keep(dependencies, adapter, request),
    check: (organizationId, commitmentId) => check(dependencies, organizationId, commitmentId),
    told: (organizationId, commitmentId, outcome) => told(dependencies, adapter, organizationId, commitmentId, outcome),
    async callBack(organizationId, commitmentId) { await boss.send(QUEUES.commitStorage.name, { organizationId, commitmentId }, { singletonKey: `${commitmentId} now` }); },
  };
  async function keep(_: CommitmentDependencies, adapterName: string, request: CommitmentRequest) {
    const { integration, peer, transactionUid, items } = request;
    const { organizationId, integrationId } = integration;
    const exchangeId = uuidV7();
    const startedAt = dependencies.now();
    const commitmentId = await inOrganization(database, organizationId, async (tx) => {
      await insertExchanges(tx, [{
        sync_id: exchangeId, integration_id: integrationId, adapter: adapterName, direction: 'inbound', interaction: 'N-ACTION Storage Commitment', control_id: transactionUid, message_status: 'accepted',
        started_at: startedAt.toISOString(), finished_at: dependencies.now().toISOString(), byte_size: request.message.length, sha256: createHash('sha256').update(request.message).digest('hex'), payload_location: 'database',
        peer_address: peer.address, peer_application: peer.application, facts: { ...request.facts, instances: items.length },
      }]);
      await insertPayloads(tx, [{ sync_id: exchangeId, part: 'message', media_type: 'application/dicom', content: request.message }]);
      const id = await saveCommitment(tx, { integrationId, transactionUid, requestor: peer.application ?? '', items: items.map((item) => ({ sop_class_uid: item.sopClassUid, sop_instance_uid: item.sopInstanceUid })), syncId: exchangeId });
      await boss.send(QUEUES.commitStorage.name, { organizationId, commitmentId: id }, { singletonKey: id, startAfter: new Date(startedAt.getTime() + CALL_BACK_AFTER_MILLISECONDS), db: bossDb(tx) as never });
      await recordAudit(tx, {
        ...auditEvents.query, action: 'E', outcome: 'success', actor: { kind: 'application', id: peer.application ?? 'unknown', address: peer.address }, object: { type: 'storage_commitment', id }, syncId: exchangeId,
        detail: { interaction: 'N-ACTION Storage Commitment', instances: items.length },
      });
      return id;
    });
    return {
      commitmentId,
      answered(code: string, heard: boolean) {
        dependencies.answers.record(organizationId, { sync_id: exchangeId, started_at: startedAt.toISOString(), answer_status: heard ? 'answered' : 'unanswered', answer_code: code });
      },
    };
  }
}

async function check(dependencies: CommitmentDependencies, organizationId: string, commitmentId: string): Promise<CommitmentResult | undefined> {
  const { database } = dependencies;
  const commitment = await inOrganization(database, organizationId, (tx) => findCommitment(tx, commitmentId));
  if (!commitment || commitment.status === 'delivered' || commitment.status === 'given_up') return undefined;
  if (commitment.status === 'checked') return resultOf(commitment);
  const files = new Map((await inOrganization(database, organizationId, (tx) => filesInUseOf(tx, commitment.items.map((item) => item.sop_instance_uid)))).map((file) => [file.sop_instance_uid, file]));
  const items: CommitmentItemRow[] = [];
  const damaged: CommittedFile[] = [];
  for (const { sop_class_uid, sop_instance_uid } of commitment.items) {
    const file = files.get(sop_instance_uid);
    const failure = !file ? 'no such object instance' : file.sop_class_uid !== sop_class_uid ? 'class/instance conflict' : await isIntact(dependencies.store, file) ? undefined : 'processing failure';
    if (file && failure === 'processing failure') damaged.push(file);
    items.push({ sop_class_uid, sop_instance_uid, ...(failure ? { failure_reason: failure } : {}) });
  }
  await inOrganization(database, organizationId, async (tx) => {
    await saveChecked(tx, commitmentId, items);
    for (const file of damaged) {
      await raiseAlert(tx, { kind: 'files_missing', severity: 'critical', subject: `scan ${file.scan_id}`, about: [file.scan_file_id], message: 'A stored object is missing or its bytes are not those that were received. Storage commitment was refused for it; restore it from a backup, or have it sent again.' });
    }
  });
  return resultOf({ ...commitment, items });
}

function resultOf({ commitment_id, transaction_uid, items }: CommitmentRow): CommitmentResult {
  const named = items.map((item) => ({ sopClassUid: item.sop_class_uid, sopInstanceUid: item.sop_instance_uid, reason: item.failure_reason }));
  return {
    commitmentId: commitment_id, transactionUid: transaction_uid,
    committed: named.filter(({ reason }) => reason === undefined).map(({ sopClassUid, sopInstanceUid }) => ({ sopClassUid, sopInstanceUid })),
    failed: named.flatMap(({ sopClassUid, sopInstanceUid, reason }) => (reason === undefined ? [] : [{ sopClassUid, sopInstanceUid, reason }])),
  };
}

const ERROR_CLASS = { refused: 'permanent', unreachable: 'transient', unconfirmed: 'ambiguous' } as const;

async function told(dependencies: CommitmentDependencies, adapter: string, organizationId: string, commitmentId: string, outcome: DeliveryOutcome): Promise<void> {
  await inOrganization(dependencies.database, organizationId, async (tx) => {
    const commitment = await findCommitment(tx, commitmentId);
    if (!commitment || commitment.status === 'delivered') return;
    const now = dependencies.now();
    const text = 'text' in outcome ? outcome.text : null;
    const isTooOld = now.getTime() - commitment.created_at.getTime() > GIVE_UP_AFTER_MILLISECONDS;
    await saveTold(tx, commitmentId, { status: outcome.kind === 'delivered' ? 'delivered' : isTooOld ? 'given_up' : 'checked', text });
    await recordTold(tx, adapter, commitment, outcome, now);
    if (outcome.kind !== 'delivered' && isTooOld) {
      await raiseAlert(tx, { kind: 'delivery_refused', severity: 'warning', subject: `storage commitment ${commitmentId}`, message: 'The result of a storage commitment could not be told for a week; it is not tried any more. The sender may still keep its images.' });
    }
  });
}

async function recordTold(tx: Transaction, adapter: string, commitment: CommitmentRow, outcome: DeliveryOutcome, now: Date): Promise<void> {
  const syncId = uuidV7();
  const answerCode = 'answerCode' in outcome ? outcome.answerCode : undefined;
  await insertExchanges(tx, [{
    sync_id: syncId, integration_id: commitment.integration_id, adapter, direction: 'outbound', interaction: outcome.interaction, control_id: commitment.transaction_uid, message_status: outcome.kind, attempt: commitment.attempts + 1,
    started_at: now.toISOString(), finished_at: now.toISOString(), byte_size: outcome.sent?.length, payload_location: outcome.sent ? 'database' : undefined, peer_address: outcome.peer,
    ...(outcome.kind === 'delivered' ? {} : { error_class: ERROR_CLASS[outcome.kind], error_text: outcome.text }),
    facts: { ...(answerCode === undefined ? {} : { answerCode }), instances: commitment.items.length, failed: commitment.items.filter((item) => item.failure_reason !== undefined).length },
  }]);
  if (outcome.sent) await insertPayloads(tx, [{ sync_id: syncId, part: 'message', media_type: outcome.sentType ?? 'application/dicom', content: outcome.sent }]);
  await recordAudit(tx, {
    ...auditEvents.dataExport, action: 'R', outcome: outcome.kind === 'delivered' ? 'success' : 'minor_failure', actor: { kind: 'system', id: 'commit-storage', address: outcome.peer },
    object: { type: 'storage_commitment', id: commitment.commitment_id }, syncId, detail: { interaction: outcome.interaction, outcome: outcome.kind, attempt: commitment.attempts + 1 },
  });
}

/** Handles one commit-storage job. */
export async function commitStorage(dependencies: CommitStorageDependencies, job: CommitStorageJob, signal: AbortSignal): Promise<void> {
  const { organizationId, commitmentId } = job;
  const result = await check(dependencies, organizationId, commitmentId);
  if (!result) return;
  const commitment = await inOrganization(dependencies.database, organizationId, (tx) => findCommitment(tx, commitmentId));
  const destination = commitment && dependencies.destination(organizationId, commitment.integration_id);
  if (commitment && destination?.adapter.commitments) {
    const outcome = await destination.adapter.commitments.report(result, destination.integration.config, signal);
    await told(dependencies, destination.adapter.name, organizationId, commitmentId, outcome);
    if (outcome.kind === 'delivered') return;
  }
  if (commitment && dependencies.now().getTime() - commitment.created_at.getTime() > GIVE_UP_AFTER_MILLISECONDS) return;
  const attempts = destination ? (commitment?.attempts ?? 0) + 1 : 12; // an integration that is switched off is looked at seldom
  const delay = Math.min(LAST_RETRY_MILLISECONDS, dependencies.retrySeconds * 1000 * 2 ** Math.min(attempts, 12)) * (0.8 + Math.random() * 0.4);
  // One repeat waits at a time, whichever job asked for it.
  await dependencies.boss.send(QUEUES.commitStorage.name, job, { singletonKey: `${commitmentId} again`, startAfter: new Date(dependencies.now().getTime() + delay) });
}
