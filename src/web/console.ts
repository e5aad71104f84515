/**
 * The pages about messages: messages, dead letters, replays. In: a signed-in person's request. Out: a page of rows that the API
 * would show too, by the same queries, permissions and audit events; what changes something is a form that goes to the same commands.
 */
import type { Hono } from 'hono';
import { z } from '@hono/zod-openapi';
import { auditEvents } from '../audit/event.ts';
import { actorOf, type ApiDependencies, type ApiEnv } from '../api/context.ts';
import { pageQuery, toPage } from '../api/pagination.ts';
import { notFound, Problem } from '../api/problem.ts';
import { deadJobQuery, listDeadJobs } from '../api/queries/dead-jobs.ts';
import { deliveryQuery, listDeliveries } from '../api/queries/deliveries.ts';
import { listNotices, noticeQuery } from '../api/queries/order-notices.ts';
import { listReplayedMessages, listReplays, readReplay, replayedMessageQuery, replayFilter, ReplaySelection } from '../api/queries/message-replays.ts';
import { listSyncLogs, readSyncLog, searchSyncLogs, syncLogQuery, SyncLogSearch, touchedRows } from '../api/queries/sync-logs.ts';
import { countReplayable } from '../db/message-replays.ts';
import { deadLettersPage } from './dead-letters.ts';
import { choicesOf } from './choices.ts';
import { messageList, messagePage } from './messages.ts';
import { replayList, replayPage } from './replays.ts';
import { form, uuid, visitor, withoutEmpty, wordsOf, type Visit } from './visit.ts';

export function consolePages(app: Hono<ApiEnv>, dependencies: ApiDependencies): void {
  const { commands } = dependencies;
  const visit = visitor(dependencies);

  // ---- messages

  const browse = async (v: Visit, given: Record<string, string>): Promise<Response> => {
    const { cursor, ...filter } = given;
    const text = v.may('exchanges:payload') ? filter['text'] : undefined;
    const parsed = text === undefined ? syncLogQuery.safeParse({ ...filter, cursor }) : SyncLogSearch.safeParse({ ...withoutEmpty(filter), cursor });
    const { choices, items, nextCursor } = await v.read(async (tx, audit) => {
      const rows = !parsed.success ? [] : text === undefined ? await listSyncLogs(tx, parsed.data as z.output<typeof syncLogQuery>, v.caller) : await searchSyncLogs(tx, parsed.data as z.output<typeof SyncLogSearch>, v.caller);
      const page = toPage(rows, { limit: 50 }, (exchange) => exchange.sync_id);
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'sync_log', id: '*' }, detail: { ...(text === undefined ? {} : { by: 'text' }), results: page.items.length, newest: page.items[0]?.sync_id, oldest: page.items.at(-1)?.sync_id } });
      return { choices: await choicesOf(tx), items: page.items, nextCursor: page.next_cursor };
    });
    return v.page('/messages', 'Messages', messageList({
      filter, choices, items, nextCursor, mayRead: v.may('exchanges:payload'), mayReplay: v.may('exchanges:replay'), now: v.now,
      problem: parsed.success ? undefined : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
    }));
  };
  app.get('/messages', visit('exchanges:read', (v) => browse(v, withoutEmpty(v.c.req.query()))));
  // What a person looks for may be a patient's number, and so may a control id be (FHIR: type and identifier): it goes in the body, and never into an address that is kept.
  app.post('/messages', form, visit('exchanges:read', async (v) => {
    const fields = await v.fields();
    return ['text', 'control_id', 'cursor'].every((name) => fields[name] === undefined) ? v.c.redirect(`/messages?${new URLSearchParams(fields)}`, 303) : browse(v, fields);
  }));

  app.get(`/messages/:id{${uuid}}`, visit('exchanges:read', async (v) => {
    const syncId = v.c.req.param('id')!, mayRead = v.may('exchanges:payload');
    const [view, answer] = mayRead ? await Promise.all([commands.view(v.caller.organizationId, syncId, 'message'), commands.view(v.caller.organizationId, syncId, 'answer')]) : [];
    const shown = await v.read(async (tx, audit) => {
      const exchange = await readSyncLog(tx, syncId, mayRead ? undefined : v.caller);
      if (!exchange) throw notFound('message');
      await audit({ ...(mayRead ? auditEvents.dataExport : auditEvents.query), action: 'R', object: { type: 'sync_log', id: syncId }, patientId: exchange.patient_id ?? undefined, syncId, detail: { view: mayRead } });
      const deliveries = exchange.scan_id === null ? [] : await listDeliveries(tx, deliveryQuery.parse({ scan_id: exchange.scan_id, limit: 20 }));
      const related = exchange.correlation_id !== null ? [await readSyncLog(tx, exchange.correlation_id, v.caller)] : exchange.delivery_id !== null && exchange.scan_id !== null ? await listSyncLogs(tx, syncLogQuery.parse({ scan_id: exchange.scan_id, delivery_id: exchange.delivery_id, limit: 20 }), v.caller) : [];
      return { exchange, rows: mayRead ? await touchedRows(tx, exchange) : [], deliveries, related: related.filter((other) => other !== null && other.sync_id !== syncId).filter((other) => other !== null) };
    });
    return v.page('/messages', shown.exchange.interaction, messagePage({ ...shown, view, answer, mayRead, mayReplay: v.may('exchanges:replay'), done: v.done, problem: v.problem, now: v.now }));
  }));

  app.post(`/messages/:id{${uuid}}/replay`, form, visit('exchanges:replay', async (v) => {
    const syncId = v.c.req.param('id')!;
    const replay = await commands.replay(v.caller.organizationId, syncId, actorOf(v.c, v.caller));
    if (replay.kind === 'not-found') throw notFound('message');
    if (replay.kind === 'refused') return v.back(`/messages/${syncId}`, { problem: replay.reason });
    const refused = replay.messages.find(({ outcome }) => outcome === 'rejected' || outcome === 'failed');
    if (refused) return v.back(`/messages/${refused.syncId ?? syncId}`, { problem: `It was refused again: ${refused.location ? `${refused.location}: ` : ''}${refused.text ?? ''}` });
    return v.back(`/messages/${replay.messages[0]?.syncId ?? syncId}`, { done: replay.messages[0]?.outcome === 'duplicate' ? 'It had come in already; nothing changed.' : 'It was received again and accepted.' });
  }));

  // ---- replays

  const replays = async (v: Visit, given: Record<string, string> | undefined): Promise<Response> => {
    const parsed = given && ReplaySelection.safeParse(given);
    const { choices, items, count } = await v.read(async (tx, audit) => {
      const counted = parsed?.success ? await countReplayable(tx, replayFilter(parsed.data)) : undefined;
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'message_replay', id: '*' }, detail: counted ? { messages: counted.messages } : {} });
      return { choices: await choicesOf(tx), items: await listReplays(tx, { limit: 50 }), count: counted };
    });
    return v.page('/replays', 'Replays', replayList({
      filter: given ?? {}, choices, replays: items.slice(0, 50), now: v.now, problem: parsed && !parsed.success ? wordsOf(parsed.error) : v.problem,
      count: count && { messages: count.messages, oldest: count.oldest?.toISOString() ?? null, newest: count.newest?.toISOString() ?? null },
    }));
  };
  app.get('/replays', visit('exchanges:replay', (v) => replays(v, undefined)));
  app.post('/replays/count', form, visit('exchanges:replay', async (v) => replays(v, await v.fields())));
  app.post('/replays', form, visit('exchanges:replay', async (v) => {
    const { expected, ...filter } = await v.fields();
    const parsed = ReplaySelection.safeParse(filter);
    if (!parsed.success) return v.back('/replays', { problem: wordsOf(parsed.error) });
    const begun = await commands.beginReplay(v.caller.organizationId, replayFilter(parsed.data), Number(expected), actorOf(v.c, v.caller));
    return begun.kind === 'begun' ? v.back(`/replays/${begun.replayId}`, {}) : v.back('/replays', { problem: begun.reason });
  }));
  app.get(`/replays/:id{${uuid}}`, visit('exchanges:replay', async (v) => {
    const replayId = v.c.req.param('id')!;
    const query = replayedMessageQuery.safeParse({ cursor: v.c.req.query('cursor') });
    const { replay, page } = await v.read(async (tx, audit) => {
      const found = await readReplay(tx, replayId);
      if (!found) throw notFound('replay');
      const asked = query.success ? query.data : replayedMessageQuery.parse({});
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'message_replay', id: replayId } });
      return { replay: found, page: toPage(await listReplayedMessages(tx, replayId, asked, v.caller), asked, (message) => message.sync_id) };
    });
    const isOpen = replay.status === 'queued' || replay.status === 'running';
    return v.page('/replays', 'Replay', replayPage({ replay, messages: page.items, nextCursor: page.next_cursor, problem: v.problem, now: v.now }), isOpen ? { seconds: 2, url: `/replays/${replayId}` } : undefined);
  }));
  app.post(`/replays/:id{${uuid}}/cancel`, form, visit('exchanges:replay', async (v) => {
    const replayId = v.c.req.param('id')!;
    const decision = await commands.cancelReplay(v.caller.organizationId, replayId, actorOf(v.c, v.caller));
    return v.back(`/replays/${replayId}`, decision.kind === 'done' ? {} : { problem: 'It had ended already.' });
  }));

  // ---- dead letters

  app.get('/dead-letters', visit('exchanges:read', async (v) => {
    const given = withoutEmpty(v.c.req.query()), limit = 50;
    if (!letterCursors.safeParse(given).success) throw new Problem(422, 'The address names a page that no list led to.');
    const ofSystem = deliveryQuery.pick({ integration_id: true }).safeParse(given).data?.integration_id;
    const rows = await v.read(async (tx, audit) => {
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'delivery', id: '*' } });
      const deliveries = async (status: 'refused' | 'queued', cursor: string | undefined) => {
        const query = deliveryQuery.parse({ status, integration_id: ofSystem, limit, cursor });
        return toPage(await listDeliveries(tx, query), query, (delivery) => delivery.delivery_id);
      };
      const ofNotices = noticeQuery.parse({ status: 'refused', integration_id: ofSystem, limit, cursor: given['notices'] }), ofJobs = deadJobQuery.parse({ limit, cursor: given['jobs'] });
      return {
        choices: await choicesOf(tx), parked: await deliveries('refused', given['parked']), waiting: await deliveries('queued', given['waiting']),
        notices: toPage(await listNotices(tx, ofNotices), ofNotices, (one) => one.notice_id), jobs: toPage(await listDeadJobs(tx, ofJobs), ofJobs, (job) => job.dead_job_id),
      };
    });
    return v.page('/dead-letters', 'Dead letters', deadLettersPage({ ...rows, filter: { ...given, integration_id: ofSystem }, mayDecide: v.may('deliveries:decide'), done: v.done, problem: v.problem, now: v.now }));
  }));
  /** The page is left as it was: about one system, or all. */
  const backToLetters = async (v: Visit, word: { done?: string; problem?: string }): Promise<Response> => {
    const ofSystem = (await v.fields())['integration_id'];
    return v.back(ofSystem === undefined ? '/dead-letters' : `/dead-letters?integration_id=${encodeURIComponent(ofSystem)}`, word);
  };
  /** A system that is named wrong is not all of them. */
  const systemOf = async (v: Visit): Promise<string | undefined> => {
    const named = deliveryQuery.pick({ integration_id: true }).safeParse(await v.fields());
    if (!named.success) throw new Problem(422, 'This is no system of the gateway; nothing was sent.');
    return named.data.integration_id;
  };
  app.post('/dead-letters/resend', form, visit('deliveries:decide', async (v) => {
    const { resent, leftOut } = await commands.resendParked(v.caller.organizationId, await systemOf(v), actorOf(v.c, v.caller));
    return backToLetters(v, { done: `${resent.length} sent again${leftOutOf(leftOut)}` });
  }));
  app.post('/dead-letters/notices/resend', form, visit('deliveries:decide', async (v) => {
    const { resent, leftOut } = await commands.resendParkedNotices(v.caller.organizationId, await systemOf(v), actorOf(v.c, v.caller));
    return backToLetters(v, { done: `${resent.length} sent again${leftOutOf(leftOut)}` });
  }));
  app.post(`/dead-letters/:what{deliveries|notices|jobs}/:id{${uuid}}/:how{again|discard}`, form, visit('deliveries:decide', async (v) => {
    const { what, id, how } = v.c.req.param() as { what: string; id: string; how: string };
    const organizationId = v.caller.organizationId, actor = actorOf(v.c, v.caller), reason = (await v.fields())['reason'] ?? '';
    if (how === 'discard' && (reason.length < 3 || reason.length > 500)) return backToLetters(v, { problem: 'Giving up needs a reason of 3 to 500 characters.' });
    const decision = what === 'deliveries' ? how === 'again' ? await commands.resendDelivery(organizationId, id, actor) : await commands.discardDelivery(organizationId, id, reason, actor)
      : what === 'notices' ? how === 'again' ? await commands.resendNotice(organizationId, id, actor) : await commands.discardNotice(organizationId, id, reason, actor)
      : how === 'again' ? await commands.retryDeadJob(organizationId, id, actor) : await commands.discardDeadJob(organizationId, id, reason, actor);
    if (decision.kind === 'not-found') throw notFound(what === 'deliveries' ? 'delivery' : what === 'notices' ? 'order status message' : 'job');
    return backToLetters(v, decision.kind === 'refused' ? { problem: decision.reason } : { done: how === 'discard' ? 'Given up; the reason is in the audit log.' : 'It is on its way.' });
  }));
}

const letterCursors = z.object({ parked: pageQuery.shape.cursor, waiting: pageQuery.shape.cursor, notices: pageQuery.shape.cursor, jobs: pageQuery.shape.cursor });
const leftOutOf = (leftOut: readonly { readonly reason: string }[]): string => leftOut.length > 0 ? `; ${leftOut.length} left out: ${leftOut[0]!.reason}` : '.';
