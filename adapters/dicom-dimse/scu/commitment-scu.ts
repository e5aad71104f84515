/**
 * Storage Commitment Push as SCU (PS3.4 annex J): "do you keep these, for good?" Out: N-ACTION with a transaction UID and the instances. In:
 * N-EVENT-REPORT with the result, on the same association while we keep it open, else on one of the other side's (receive-commitment-result.ts).
 */
import type { AdapterContext, Integration } from '#gateway/adapter.ts';
import type { CommitmentItem } from '#gateway/commitments.ts';
import type { CommitmentAnswer, QueryOutcome } from '#gateway/queries.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { collectDataset } from '../collect-dataset.ts';
import type { Config } from '../config.ts';
import { readIdentifier } from '../identifier.ts';
import type { Identifier } from '../identifier.ts';
import { storageCommitmentInstance, storageCommitmentPush } from '../services.ts';
import { Status, statusCode, statusPhrase } from '../status.ts';
import type { CommandSet } from '../upper-layer/command-set.ts';
import { CommandField, encodeAction, encodeResponse } from '../upper-layer/command-set.ts';
import type { NegotiatedContext } from '../upper-layer/pdu.ts';
import { encodeCommandPdu } from '../upper-layer/pdu.ts';
import type { RequestedAssociation } from '../upper-layer/requestor.ts';
import { identifierContext } from './query.ts';
import { failureOf, withAssociation } from './with-association.ts';
import type { Asked, Result } from './with-association.ts';

const requestCommitment = 1;

export function askForCommitment(transactionUid: string, items: readonly CommitmentItem[], { config }: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<CommitmentAnswer | undefined>> {
  const told = Promise.withResolvers<CommitmentAnswer | undefined>();
  let own: RequestedAssociation | undefined;
  const serve = (command: CommandSet, agreed: NegotiatedContext) => (command.commandField === CommandField.nEventReportRq && own ? collectDataset((bytes) => heard(own!, command, agreed, bytes)) : undefined);
  async function heard(association: RequestedAssociation, command: CommandSet, agreed: NegotiatedContext, bytes: Buffer): Promise<void> {
    const event = readEvent(bytes, agreed.transferSyntax);
    const isOurs = event?.transactionUid === transactionUid;
    await association.respond(encodeCommandPdu(agreed.id, encodeResponse(command, { status: isOurs ? Status.success : Status.invalidArgumentValue })));
    if (isOurs) told.resolve(event);
  }
  return withAssociation(config, 'N-ACTION Storage Commitment', { contexts: [identifierContext(1, storageCommitmentPush)], serve }, context.signal, async (association, receiver) => {
    own = association;
    const agreed = association.context(storageCommitmentPush);
    if (!agreed) return { result: failureOf({ kind: 'context refused', result: association.refusal(storageCommitmentPush) ?? 2 }) };
    const sent = actionInformation(transactionUid, items, agreed);
    const response = await association.invoker.ask(agreed.id, (messageId) => encodeAction(storageCommitmentPush, storageCommitmentInstance, messageId, requestCommitment), sent, receiver.response_timeout_milliseconds);
    const result = judge(response?.status);
    if (result.kind !== 'answered') return { result, sent, count: items.length };
    return { result: { ...result, value: await within(config, association, told.promise) }, sent, count: items.length } satisfies Asked<CommitmentAnswer | undefined>;
  });
}

function judge(status: number | undefined): Result<undefined> {
  if (status === undefined) return { kind: 'unconfirmed', text: 'no answer to the N-ACTION' };
  const answerCode = statusCode(status);
  if (status === Status.success) return { kind: 'answered', answerCode, value: undefined };
  const text = `${answerCode} ${statusPhrase(status)}`;
  return status === Status.processingFailure || status === 0x0213 ? { kind: 'unreachable', text } : { kind: 'refused', answerCode, text };
}

async function within(config: Config, association: RequestedAssociation, told: Promise<CommitmentAnswer | undefined>): Promise<CommitmentAnswer | undefined> {
  const milliseconds = (config.storage_commitment?.wait_seconds ?? 0) * 1000;
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => { resolve(undefined); }, milliseconds);
  const over = (): void => { resolve(undefined); };
  association.over.addEventListener('abort', over, { once: true });
  try {
    return await Promise.race([told, late]);
  } finally {
    clearTimeout(timer);
    association.over.removeEventListener('abort', over);
  }
}

const actionInformation = (transactionUid: string, items: readonly CommitmentItem[], { transferSyntax }: NegotiatedContext): Buffer => encodeDataset({
  '(0008,1195)': transactionUid, '(0008,1199)': items.map((item) => ({ '(0008,1150)': item.sopClassUid, '(0008,1155)': item.sopInstanceUid })) as never,
}, { explicitVr: transferSyntax !== implicitVrLittleEndian });

/** Failure Reason (0008,1197), PS3.3 C.14.1.1. */
const reasons: Readonly<Record<number, string>> = {
  0x0110: 'processing failure', 0x0112: 'no such object instance', 0x0119: 'class/instance conflict', 0x0122: 'SOP class not supported', 0x0131: 'duplicate transaction UID', 0x0213: 'resource limitation',
};

/** Event information of N-EVENT-REPORT (PS3.4 table J.3-2); undefined where it names no transaction. */
export function readEvent(bytes: Buffer, transferSyntaxUid: string): (CommitmentAnswer & { readonly transactionUid: string }) | undefined {
  const event = readIdentifier(bytes, transferSyntaxUid);
  const transactionUid = event?.text(0x00081195).trim() ?? '';
  if (!event || !/^[0-9.]{1,64}$/.test(transactionUid)) return undefined;
  const referenced = (item: Identifier): CommitmentItem => ({ sopClassUid: item.text(0x00081150).trim(), sopInstanceUid: item.text(0x00081155).trim() });
  return {
    transactionUid, committed: event.items(0x00081199).map(referenced),
    failed: event.items(0x00081198).map((item) => ({ ...referenced(item), reason: reasonOf(item.dataset.get(0x00081197)?.bytes) })),
  };
}
function reasonOf(bytes: Buffer | undefined): string {
  const code = bytes && bytes.length >= 2 ? bytes.readUInt16LE(0) : 0x0110;
  return reasons[code] ?? `reason ${statusCode(code)}`;
}
