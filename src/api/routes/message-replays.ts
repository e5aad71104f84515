/** Many refused messages received again: count by a filter, confirm the number, watch the job. */
import { auditEvents } from '../../audit/event.ts';
import { countReplayable } from '../../db/message-replays.ts';
import type { ApiDependencies } from '../context.ts';
import { pathId } from '../fields.ts';
import { listOf, pageQuery, toPage } from '../pagination.ts';
import { decided, notFound, Problem } from '../problem.ts';
import { listReplayedMessages, listReplays, MessageReplay, readReplay, ReplayCount, replayedMessageQuery, ReplayedMessage, replayFilter, ReplayInput, ReplaySelection } from '../queries/message-replays.ts';
import type { ApiRouter } from '../router.ts';

const one = { tag: 'message replays', params: pathId('replay_id') } as const;

export function messageReplayRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('POST /message-replays/count', { tag: 'message replays', summary: 'How many messages a filter means', body: ReplaySelection, returns: ReplayCount }, ({ transact, body }) => transact(async (tx, audit) => {
    const count = await countReplayable(tx, replayFilter(body));
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'message_replay', id: '*' }, detail: { messages: count.messages } });
    return count;
  }));

  router.route('POST /message-replays', {
    tag: 'message replays', summary: 'Receive refused messages again', body: ReplayInput, returns: MessageReplay, status: 202,
    description: 'A job takes them one by one, in the order in which they came. Each becomes a new exchange whose correlation_id is the old one; senders hear nothing. One that was brought in by an earlier replay is not taken again.',
  }, async ({ body, caller, actor, transact, auditedElsewhere }) => {
    const begun = await commands.beginReplay(caller.organizationId, replayFilter(body.filter), body.expected, actor);
    if (begun.kind === 'refused') throw new Problem(409, begun.reason);
    auditedElsewhere();
    const replay = await transact((tx) => readReplay(tx, begun.replayId));
    if (!replay) throw notFound('replay');
    return replay;
  });

  router.route('GET /message-replays', { tag: 'message replays', summary: 'Replays, newest first', query: pageQuery, returns: listOf(MessageReplay), unaudited: 'counts and filters, no patients' }, ({ transact, query }) =>
    transact(async (tx) => toPage(await listReplays(tx, query), query, (replay) => replay.replay_id)));

  router.route('GET /message-replays/{replay_id}', { ...one, summary: 'One replay and how far it is', returns: MessageReplay, unaudited: 'counts and filters, no patients' }, async ({ transact, params }) => {
    const replay = await transact((tx) => readReplay(tx, params.replay_id));
    if (!replay) throw notFound('replay');
    return replay;
  });

  router.route('GET /message-replays/{replay_id}/messages', { ...one, summary: 'Its messages with what became of each', query: replayedMessageQuery, returns: listOf(ReplayedMessage) }, ({ transact, params, query, caller }) => transact(async (tx, audit) => {
    if (!await readReplay(tx, params.replay_id)) throw notFound('replay');
    const page = toPage(await listReplayedMessages(tx, params.replay_id, query, caller), query, (message) => message.sync_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'message_replay', id: params.replay_id }, detail: { results: page.items.length } });
    return page;
  }));

  router.route('POST /message-replays/{replay_id}/cancel', { ...one, summary: 'Stop a replay', returns: MessageReplay, description: 'What was received again stays received.' }, async ({ params, caller, actor, transact, auditedElsewhere }) => {
    const found = await transact((tx) => readReplay(tx, params.replay_id));
    if (!found) throw notFound('replay');
    const decision = await commands.cancelReplay(caller.organizationId, params.replay_id, actor);
    decided(decision.kind === 'not-found' ? { kind: 'refused', reason: `It is ${found.status} already.` } : decision, 'replay');
    auditedElsewhere();
    return await transact((tx) => readReplay(tx, params.replay_id)) ?? found;
  });
}
