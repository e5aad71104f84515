import { setTimeout as pause } from 'node:timers/promises';
import { countReplayable, type ReplayFilter } from '../db/message-replays.ts';
import { readReplay } from '../db/operator-reads.ts';
import { inOrganization } from '../db/transaction.ts';
import { CommandError } from './explain.ts';
import { asOperator, integrationNamed, type Operator } from './operator.ts';
import { table } from './print.ts';

export interface ReplayOptions { readonly organization?: string; readonly integration?: string; readonly interaction?: string; readonly error?: string; readonly from?: string; readonly before?: string; readonly yes?: true }

/** Counts first; only --yes begins. The running gateway does the work, this command watches it. */
export async function replayCommand(id: string | undefined, options: ReplayOptions): Promise<void> {
  await asOperator(options.organization, async (operator) => {
    const filter = await filterOf(operator, id, options);
    const { messages, oldest, newest } = await inOrganization(operator.installation.database, operator.organizationId, (tx) => countReplayable(tx, filter));
    if (messages === 0) return console.log('No refused message on record matches.');
    console.log(`${messages} refused ${messages === 1 ? 'message' : 'messages'}, received between ${oldest?.toISOString()} and ${newest?.toISOString()}.`);
    if (!options.yes) return console.log('Nothing was done. Add --yes to receive them again.');
    const begun = await operator.commands.beginReplay(operator.organizationId, filter, messages, operator.actor);
    if (begun.kind === 'refused') throw new CommandError(begun.reason);
    await watch(operator, begun.replayId);
  });
}

async function filterOf(operator: Operator, id: string | undefined, options: ReplayOptions): Promise<ReplayFilter> {
  if (id !== undefined && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) throw new CommandError(`"${id}" is not the id of an exchange; see: medscan exchange list`);
  return {
    ...(id === undefined ? {} : { syncIds: [id] }), ...(options.integration === undefined ? {} : { integrationId: await integrationNamed(operator, options.integration) }),
    ...(options.interaction === undefined ? {} : { interaction: options.interaction }), ...(options.error === undefined ? {} : { errorText: options.error }),
    ...(options.from === undefined ? {} : { startedFrom: instant(options.from) }), ...(options.before === undefined ? {} : { startedBefore: instant(options.before) }),
  };
}

function instant(text: string): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new CommandError(`"${text}" is no date; write 2026-11-22 or 2026-11-22T10:00:00Z.`);
  return date.toISOString();
}

const PATIENCE_MILLISECONDS = 30_000;

async function watch({ installation: { database }, organizationId }: Operator, replayId: string): Promise<void> {
  const began = Date.now();
  for (;;) {
    const replay = await inOrganization(database, organizationId, (tx) => readReplay(tx, replayId));
    if (replay && replay.status !== 'queued' && replay.status !== 'running') {
      const { accepted, duplicate, rejected, failed, left_out: leftOut } = replay;
      console.log(table(['ACCEPTED', 'DUPLICATE', 'REFUSED AGAIN', 'FAILED', 'LEFT OUT'], [[accepted, duplicate, rejected, failed, leftOut]]));
      return;
    }
    if (replay?.status === 'queued' && Date.now() - began > PATIENCE_MILLISECONDS) return console.log(`It is queued (${replayId}) and begins when a gateway with the role worker runs.`);
    await pause(300);
  }
}
