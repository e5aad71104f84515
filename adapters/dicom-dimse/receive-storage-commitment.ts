/**
 * Storage Commitment Push as SCP (PS3.4 annex J). In: N-ACTION with a transaction UID and instances. Out: N-ACTION-RSP once the request is on record,
 * then N-EVENT-REPORT: on the same association while it is open and the look at the files is quick, else on one of our own to the integration's
 * destination, where we negotiate to be the SCP. Each attempt is on record; the pipeline repeats it until it is heard.
 */
import { isUsableUid } from '#domain/usable-uid.ts';
import type { DeliveryOutcome } from '#gateway/adapter.ts';
import type { CommitmentItem, CommitmentResult, FailureReason } from '#gateway/commitments.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { explicitVrLittleEndian, implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { explain } from './advice.ts';
import type { Config } from './config.ts';
import { receiverOf } from './config.ts';
import { readIdentifier } from './identifier.ts';
import type { Operation } from './operation.ts';
import { storageCommitmentInstance, storageCommitmentPush } from './services.ts';
import { Status, statusCode, statusPhrase } from './status.ts';
import { encodeEventReport } from './upper-layer/command-set.ts';
import type { ResponseFields } from './upper-layer/command-set.ts';
import type { Invoker } from './upper-layer/invoker.ts';
import type { NegotiatedContext } from './upper-layer/pdu.ts';
import { associate } from './upper-layer/requestor.ts';

const requestCommitment = 1;
const EventType = { allCommitted: 1, failuresExist: 2 } as const;
/** Longer than this, and the asker is called instead: it may have stopped listening. */
const tellHereMilliseconds = 15_000, eventResponseMilliseconds = 10_000;

export async function receiveStorageCommitment(operation: Operation, bytes: Buffer): Promise<void> {
  const { association, command, context, adapter } = operation;
  const refused = refusalOf(operation);
  const asked = refused ? undefined : readAction(bytes, context.transferSyntax);
  if (refused || !asked) {
    await operation.respond(refused ?? { status: Status.invalidArgumentValue, errorComment: 'no Transaction UID, or no list of SOP instances' });
    return;
  }
  let kept;
  try {
    if (!adapter.commitments) throw new Error('storage commitment is not served here');
    kept = await adapter.commitments.request({ integration: association.integration, peer: association.peer, ...asked, message: bytes, facts: { messageId: command.messageId, transferSyntaxUid: context.transferSyntax } });
  } catch (error) {
    adapter.log.error({ error: error instanceof Error ? error.message : String(error) }, 'a storage commitment request could not be recorded');
    await operation.respond({ status: Status.processingFailure, errorComment: 'not recorded, please ask again' });
    return;
  }
  const heard = await operation.respond({ status: Status.success });
  kept.answered(statusCode(Status.success), heard);
  void tellHere(operation, kept.commitmentId).catch((error: unknown) => {
    adapter.log.warn({ error: error instanceof Error ? error.message : String(error), commitmentId: kept.commitmentId }, 'a storage commitment could not be told at once; it is tried again');
  });
}

function refusalOf({ command }: Operation): ResponseFields | undefined {
  if (command.requestedSopInstanceUid !== storageCommitmentInstance) return { status: Status.noSuchInstance, errorComment: 'not the Storage Commitment Push instance' };
  return command.actionTypeId === requestCommitment ? undefined : { status: Status.noSuchAction, errorComment: 'Action Type ID 1 is the only one' };
}

function readAction(bytes: Buffer, transferSyntaxUid: string): { transactionUid: string; items: readonly CommitmentItem[] } | undefined {
  const action = readIdentifier(bytes, transferSyntaxUid);
  const transactionUid = action?.text(0x00081195) ?? '';
  const items = (action?.items(0x00081199) ?? []).map((item) => ({ sopClassUid: item.text(0x00081150), sopInstanceUid: item.text(0x00081155) }));
  return isUsableUid(transactionUid) && items.length > 0 && items.every((item) => isUsableUid(item.sopClassUid) && isUsableUid(item.sopInstanceUid)) ? { transactionUid, items } : undefined;
}

async function tellHere({ association, context, adapter }: Operation, commitmentId: string): Promise<void> {
  const { acceptor, invoker, integration, peer, request } = association;
  const commitments = adapter.commitments!;
  const since = performance.now();
  const result = await commitments.check(integration.organizationId, commitmentId);
  if (!result) return;
  if (!acceptor.over.aborted && performance.now() - since < tellHereMilliseconds) {
    const outcome = await tell(invoker, context, result, request.calledAeTitle, `${peer.application ?? ''}@${peer.address}`);
    await commitments.told(integration.organizationId, commitmentId, outcome);
    if (outcome.kind === 'delivered') return;
  }
  await commitments.callBack(integration.organizationId, commitmentId);
}

/** N-EVENT-REPORT on an association of ours: the role of SCP is negotiated, for we are the requestor (PS3.4 J.3.3). */
export async function report(result: CommitmentResult, config: Config, signal: AbortSignal): Promise<DeliveryOutcome> {
  const receiver = receiverOf(config);
  const interaction = 'N-EVENT-REPORT Storage Commitment';
  if (!receiver) return { kind: 'unreachable', interaction, peer: '', text: 'the integration has no destination to call; add one, or let the sender keep its association open' };
  const peer = `${receiver.called_ae_title}@${receiver.host}:${receiver.port}`;
  const associated = await associate(receiver, {
    contexts: [{ id: 1, abstractSyntax: storageCommitmentPush, transferSyntaxes: [explicitVrLittleEndian, implicitVrLittleEndian] }], roles: new Map([[storageCommitmentPush, { scu: false, scp: true }]]),
  }, signal);
  if (associated.kind !== 'associated') return { kind: 'unreachable', interaction, peer, text: explain(associated).text };
  const { association } = associated;
  const context = association.context(storageCommitmentPush);
  const outcome: DeliveryOutcome = context ? await tell(association.invoker, context, result, receiver.calling_ae_title, peer)
    : { kind: 'unreachable', interaction, peer, text: explain({ kind: 'context refused', result: association.refusal(storageCommitmentPush) ?? 2 }).text };
  await association.release();
  return outcome;
}

async function tell(invoker: Invoker, context: NegotiatedContext, result: CommitmentResult, retrieveAeTitle: string, peer: string): Promise<DeliveryOutcome> {
  const sent = eventInformation(result, retrieveAeTitle, context.transferSyntax);
  const eventTypeId = result.failed.length > 0 ? EventType.failuresExist : EventType.allCommitted;
  const about = { interaction: 'N-EVENT-REPORT Storage Commitment', peer, sent, sentType: 'application/dicom' };
  const response = await invoker.ask(context.id, (messageId) => encodeEventReport(storageCommitmentPush, storageCommitmentInstance, messageId, eventTypeId), sent, eventResponseMilliseconds);
  if (response?.status === undefined) return { kind: 'unconfirmed', text: 'no answer to the N-EVENT-REPORT', ...about };
  const answerCode = statusCode(response.status);
  return response.status === Status.success ? { kind: 'delivered', answerCode, ...about } : { kind: 'refused', answerCode, text: `${answerCode} ${statusPhrase(response.status)}`, ...about };
}

/** Failure Reason (0008,1197), PS3.3 C.14.1.1. */
const reasons: Readonly<Record<FailureReason, number>> = { 'processing failure': 0x0110, 'no such object instance': 0x0112, 'class/instance conflict': 0x0119 };

function eventInformation({ transactionUid, committed, failed }: CommitmentResult, retrieveAeTitle: string, transferSyntaxUid: string): Buffer {
  const referenced = ({ sopClassUid, sopInstanceUid }: CommitmentItem) => ({ '(0008,1150)': sopClassUid, '(0008,1155)': sopInstanceUid });
  return encodeDataset({
    '(0008,1195)': transactionUid, '(0008,0054)': retrieveAeTitle,
    ...(committed.length > 0 ? { '(0008,1199)': committed.map(referenced) as never } : {}),
    ...(failed.length > 0 ? { '(0008,1198)': failed.map((item) => ({ ...referenced(item), '(0008,1197)': reasons[item.reason] })) as never } : {}),
  }, { explicitVr: transferSyntaxUid !== implicitVrLittleEndian });
}
