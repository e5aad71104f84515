/** The result of a storage commitment that we asked for, told on an association of the other side (PS3.4 J.3.3): N-EVENT-REPORT-RQ in, answered after the commit. */
import type { Operation } from '../operation.ts';
import { storageCommitmentInstance } from '../services.ts';
import { Status } from '../status.ts';
import { readEvent } from './commitment-scu.ts';

export async function receiveCommitmentResult(operation: Operation, bytes: Buffer): Promise<void> {
  const { adapter, association, command, context } = operation;
  const event = readEvent(bytes, context.transferSyntax);
  if (command.affectedSopInstanceUid !== storageCommitmentInstance || !event) {
    await operation.respond({ status: event ? Status.noSuchInstance : Status.invalidArgumentValue, errorComment: event ? 'not the Storage Commitment Push instance' : 'no Transaction UID' });
    return;
  }
  let known: 'accepted' | 'unknown';
  try {
    if (!adapter.confirmations) throw new Error('no commitment is asked for here');
    known = await adapter.confirmations.told({ integration: association.integration, peer: association.peer, ...event, message: bytes, facts: { messageId: command.messageId, eventTypeId: command.eventTypeId, transferSyntaxUid: context.transferSyntax } });
  } catch (error) {
    adapter.log.error({ error: error instanceof Error ? error.message : String(error) }, 'the result of a storage commitment could not be recorded');
    await operation.respond({ status: Status.processingFailure, errorComment: 'not recorded, please tell again' });
    return;
  }
  await operation.respond(known === 'accepted' ? { status: Status.success } : { status: Status.invalidArgumentValue, errorComment: 'nobody asked under this Transaction UID' });
}
