/** Refused messages received again: which and how many, the confirmation, and how far each replay is. */
import { html } from 'hono/html';
import type { z } from '@hono/zod-openapi';
import type { MessageReplay, ReplayCount, ReplayedMessage } from '../api/queries/message-replays.ts';
import type { Html } from './layout.ts';
import type { Filter } from './messages.ts';
import { ago, choice, clock, field, hidden, notice, section, state, type Choices } from './parts.ts';

type Replay = z.output<typeof MessageReplay>;

export function replayList({ filter, choices, count, replays, problem, now }: { readonly filter: Filter & { readonly error_text?: string | undefined }; readonly choices: Choices; readonly count: z.output<typeof ReplayCount> | undefined; readonly replays: readonly Replay[]; readonly problem: string | undefined; readonly now: Date }): Html {
  return html`<h1>Receive refused messages again</h1>${notice(problem, 'problem')}
<form class="filter" method="post" action="/replays/count">
${choice('System', 'integration_id', choices.integrations.map(({ integration_id: id, name }) => [id, name] as const), filter.integration_id)}
${choice('Protocol', 'adapter', choices.adapters, filter.adapter)}
${choice('Outcome', 'message_status', ['rejected', 'failed'], filter.message_status, 'rejected or failed')}
${field('Type', 'interaction', filter.interaction, { placeholder: 'ADT^A08' })}${field('Refused for', 'error_text', filter.error_text, { placeholder: 'part of the reason' })}
${field('From (UTC)', 'started_from', filter.started_from, { type: 'date' })}${field('Before (UTC)', 'started_before', filter.started_before, { type: 'date' })}
<div class="buttons"><button class="go">Count</button></div></form>
${count === undefined ? '' : confirmation(count, filter)}
${section('Replays, newest first', ['Asked', 'State', 'Messages', 'Accepted', 'Duplicates', 'Refused again', 'Left out', 'Filter'], replays.map((replay) => html`<tr>
<td><a href="/replays/${replay.replay_id}">${ago(replay.created_at, now)}</a></td><td>${state(replay.status)}</td><td class="number">${replay.done} of ${replay.message_count}</td><td class="number">${replay.accepted}</td>
<td class="number">${replay.duplicate}</td><td class="number">${replay.rejected + replay.failed}</td><td class="number">${replay.left_out}</td><td class="sub">${filterWords(replay.filter, choices)}</td></tr>`), 'Nothing has been received again yet. Count the refused messages first; nothing happens before you confirm.')}`;
}

function confirmation(count: z.output<typeof ReplayCount>, filter: Filter & { readonly error_text?: string | undefined }): Html {
  if (count.messages === 0) return html`<section><p class="none">No refused message matches. Messages that an earlier replay brought in, and those of unknown senders, are not counted.</p></section>`;
  if (count.messages > 10_000) return html`<section><p class="none">More than 10,000 messages match. Narrow the filter, for example by time.</p></section>`;
  return html`<section class="confirm"><h2>${count.messages.toLocaleString('en')} ${count.messages === 1 ? 'message' : 'messages'}</h2><p>Received between ${clock(count.oldest)} and ${clock(count.newest)}. They are taken one by one in the order in which they came, by today's mapping and settings.
Their senders hear nothing of it.</p><div class="actions"><form method="post" action="/replays">${hidden({ ...filter, expected: String(count.messages) })}<button class="go">Receive ${count.messages === 1 ? 'it' : `these ${count.messages.toLocaleString('en')}`} again</button></form><a href="/replays">Do nothing</a></div></section>`;
}

function filterWords(filter: Readonly<Record<string, unknown>>, { integrations }: Choices): string {
  return Object.entries(filter).map(([name, value]) => name === 'integrationId' ? integrations.find((integration) => integration.integration_id === value)?.name ?? 'a system' : name === 'syncIds' ? 'chosen messages' : String(value)).join(', ') || 'all';
}

export function replayPage({ replay, messages, nextCursor, problem, now }: { readonly replay: Replay; readonly messages: readonly z.output<typeof ReplayedMessage>[]; readonly nextCursor: string | null; readonly problem: string | undefined; readonly now: Date }): Html {
  const isOpen = replay.status === 'queued' || replay.status === 'running';
  return html`<p class="back"><a href="/replays">Replays</a></p><h1>Replay asked ${ago(replay.created_at, now)}</h1>${notice(problem, 'problem')}
<section><h2>${state(replay.status)} ${replay.done} of ${replay.message_count}</h2><progress max="${Math.max(1, replay.message_count)}" value="${replay.done}" aria-label="Messages done">${replay.done} of ${replay.message_count}</progress>
<dl><dt>Accepted</dt><dd>${replay.accepted}</dd><dt>Duplicates</dt><dd>${replay.duplicate}</dd><dt>Refused again</dt><dd>${replay.rejected}</dd><dt>Failed</dt><dd>${replay.failed}</dd><dt>Left out</dt><dd>${replay.left_out}</dd></dl>
${isOpen ? html`<div class="actions"><form method="post" action="/replays/${replay.replay_id}/cancel"><button>Stop</button></form><span>what was received stays received; the page reloads by itself</span></div>` : ''}</section>
${section('Messages, newest first', ['Message', 'Control id', 'Outcome', 'Became'], messages.map((message) => html`<tr><td><a href="/messages/${message.sync_id}">${message.interaction ?? 'message'}</a></td><td class="id">${message.control_id ?? ''}</td>
<td>${message.outcome === null ? 'not yet' : state(message.outcome)}<div class="sub">${message.outcome_location ? `${message.outcome_location}: ` : ''}${message.outcome_text ?? ''}</div></td>
<td>${message.replayed_as.map((id, index) => html`<a href="/messages/${id}">exchange ${index + 1}</a> `)}</td></tr>`), 'It has no message.', nextCursor === null ? '' : html`<p class="more"><a href="/replays/${replay.replay_id}?cursor=${nextCursor}">Older messages</a></p>`)}`;
}
