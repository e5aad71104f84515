/**
 * Modality Performed Procedure Step as SCP (PS3.4 annex F.7). In: N-CREATE (the examination has begun), N-SET (it goes on, is completed or
 * discontinued, with the instances it made). Out: the answer, once step, scan and job are committed.
 */
import { randomUUID } from 'node:crypto';
import { isUsableUid } from '#domain/usable-uid.ts';
import type { ProcedureAnswer, ProcedureChanged } from '#gateway/procedures.ts';
import { uidOfUuid } from '#standards/dicom/uids.ts';
import { readIdentifier } from './identifier.ts';
import type { Identifier } from './identifier.ts';
import type { Operation } from './operation.ts';
import { Status, statusCode } from './status.ts';
import type { ResponseFields } from './upper-layer/command-set.ts';

const statusTag = 0x00400252, scheduledStepTag = 0x00400270, performedSeriesTag = 0x00400340, referencedImagesTag = 0x00081140, referencedOthersTag = 0x00400220;
const statuses: Readonly<Record<string, ProcedureChanged['status']>> = { 'IN PROGRESS': 'in_progress', COMPLETED: 'completed', DISCONTINUED: 'discontinued' };

export async function receiveProcedureBegin(operation: Operation, bytes: Buffer): Promise<void> {
  const step = readIdentifier(bytes, operation.context.transferSyntax);
  if (!step) return refuse(operation, Status.processingFailure, 'the attribute list cannot be read');
  if (statuses[step.text(statusTag)] !== 'in_progress') return refuse(operation, Status.invalidAttributeValue, 'Performed Procedure Step Status is not IN PROGRESS', '(0040,0252)');
  const given = operation.command.affectedSopInstanceUid;
  if (given !== '' && !isUsableUid(given)) return refuse(operation, Status.invalidAttributeValue, 'Affected SOP Instance UID is not a UID');
  const sopInstanceUid = given || uidOfUuid(randomUUID());
  const scheduledAs = step.items(scheduledStepTag).map((item) => ({ studyInstanceUid: item.text(0x0020000d), accessionNumber: item.text(0x00080050), requestedProcedureId: item.text(0x00401001) }));
  await answer(operation, sopInstanceUid, ({ procedures, about }) => procedures.begin({ ...about, interaction: 'N-CREATE MPPS', sopInstanceUid, scheduledAs, patientId: step.text(0x00100020), message: bytes }));
}

export async function receiveProcedureChange(operation: Operation, bytes: Buffer): Promise<void> {
  const step = readIdentifier(bytes, operation.context.transferSyntax);
  if (!step) return refuse(operation, Status.processingFailure, 'the modification list cannot be read');
  const text = step.text(statusTag);
  const status = text === '' ? 'in_progress' : statuses[text];
  if (!status) return refuse(operation, Status.invalidAttributeValue, 'Performed Procedure Step Status is not known', '(0040,0252)');
  const sopInstanceUid = operation.command.requestedSopInstanceUid;
  await answer(operation, undefined, ({ procedures, about }) => procedures.change({ ...about, interaction: 'N-SET MPPS', sopInstanceUid, status, referencedInstances: referencedIn(step), message: bytes }));
}

/** Images and other objects of all performed series. */
function referencedIn(step: Identifier): readonly string[] {
  const uids = step.items(performedSeriesTag).flatMap((series) => [referencedImagesTag, referencedOthersTag].flatMap((tag) => series.items(tag).map((item) => item.text(0x00081155))));
  return [...new Set(uids.filter(isUsableUid))];
}

const statusOf: Readonly<Record<ProcedureAnswer['kind'], ResponseFields>> = {
  accepted: { status: Status.success }, duplicate: { status: Status.duplicateInstance, errorComment: 'this performed procedure step exists' },
  unknown: { status: Status.noSuchInstance, errorComment: 'this performed procedure step was not created here' },
  final: { status: Status.processingFailure, errorComment: 'Performed Procedure Step Object may no longer be updated' }, // PS3.4 F.7.2.2.2: with Error ID A710
};

type Kept = { procedures: NonNullable<Operation['adapter']['procedures']>; about: Pick<ProcedureChanged, 'integration' | 'peer' | 'facts'> };

async function answer(operation: Operation, created: string | undefined, keep: (kept: Kept) => Promise<ProcedureAnswer>): Promise<void> {
  const { adapter, association, context, command } = operation;
  let kept: ProcedureAnswer;
  try {
    if (!adapter.procedures) throw new Error('performed procedure steps are not served here');
    kept = await keep({ procedures: adapter.procedures, about: { integration: association.integration, peer: association.peer, facts: { messageId: command.messageId, transferSyntaxUid: context.transferSyntax } } });
  } catch (error) {
    adapter.log.error({ error: error instanceof Error ? error.message : String(error) }, 'a performed procedure step could not be recorded');
    await refuse(operation, Status.processingFailure, 'not recorded, please send again');
    return;
  }
  const fields = statusOf[kept.kind];
  const heard = await operation.respond({ ...fields, ...(created ? { affectedSopInstanceUid: created } : {}) });
  kept.answered(statusCode(fields.status), heard);
}

async function refuse(operation: Operation, status: number, errorComment: string, offendingElement?: string): Promise<void> {
  await operation.respond({ status, errorComment, ...(offendingElement ? { offendingElement } : {}) });
}
