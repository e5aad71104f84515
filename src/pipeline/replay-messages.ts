/**
 * Refused messages are received again. In: a replay-messages job. Out: each message of the replay judged anew, in the order in which it first came,
 * with its outcome on record one by one: a worker that dies goes on where it was, and a message that was taken twice is a duplicate.
 */
import { beginReplay, endReplay, finishReplayItem, nextReplayItem, type ReplayOutcome } from '../db/message-replays.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import type { ReplayMessagesJob } from '../queue/queues.ts';
import type { AuditActor } from '../audit/event.ts';
import type { MessageCommands, Replay } from '../gateway/message-commands.ts';

export interface ReplayMessagesDependencies { readonly database: Database; readonly messages: Pick<MessageCommands, 'replay'> }

export async function replayMessages({ database, messages }: ReplayMessagesDependencies, { organizationId, replayId }: ReplayMessagesJob, signal: AbortSignal): Promise<void> {
  const begun = await inOrganization(database, organizationId, (tx) => beginReplay(tx, replayId));
  if (!begun) return;
  const actor: AuditActor = { kind: begun.requested_kind, id: begun.requested_by, ...(begun.requested_role === null ? {} : { role: begun.requested_role }) };
  while (!signal.aborted) {
    const syncId = await inOrganization(database, organizationId, (tx) => nextReplayItem(tx, replayId));
    if (syncId === undefined) break;
    const outcome = outcomeOf(await messages.replay(organizationId, syncId, actor));
    await inOrganization(database, organizationId, (tx) => finishReplayItem(tx, replayId, syncId, outcome));
  }
  // A stop is no end: the job counts as failed and another worker takes it up.
  if (signal.aborted) throw new Error('the gateway stops; the replay goes on later');
  await inOrganization(database, organizationId, (tx) => endReplay(tx, replayId, 'finished'));
}

const rank = ['accepted', 'duplicate', 'rejected', 'failed'] as const;

/** Of a message that is several (the orders of one ORM) the worst outcome is told. */
function outcomeOf(replay: Replay): ReplayOutcome {
  if (replay.kind !== 'replayed') return { outcome: 'left_out', replayedAs: [], text: replay.kind === 'refused' ? replay.reason : 'It is not on record any more.', location: null };
  const worst = replay.messages.toSorted((a, b) => rank.indexOf(b.outcome) - rank.indexOf(a.outcome))[0];
  if (!worst) return { outcome: 'left_out', replayedAs: [], text: 'There is no message in its bytes.', location: null };
  return { outcome: worst.outcome, replayedAs: replay.messages.flatMap(({ syncId }) => syncId ?? []), text: worst.text, location: worst.location };
}
