/** The message browser: the list with its filter, and one message with everything that is known of it. */
import { html } from 'hono/html';
import type { z } from '@hono/zod-openapi';
import type { OutboxDelivery } from '../api/queries/deliveries.ts';
import { messageStatuses, type SyncLog, type TouchedRow } from '../api/queries/sync-logs.ts';
import type { DryRunMessage, MessageView } from '../gateway/message-commands.ts';
import type { Html } from './layout.ts';
import { ago, bytes, choice, clock, facts, field, hidden, notice, section, state, type Choices } from './parts.ts';

type Exchange = z.output<typeof SyncLog>;
export interface Filter {
  readonly text?: string | undefined; readonly direction?: string | undefined; readonly message_status?: string | undefined; readonly integration_id?: string | undefined; readonly adapter?: string | undefined;
  readonly interaction?: string | undefined; readonly control_id?: string | undefined; readonly started_from?: string | undefined; readonly started_before?: string | undefined;
  /** Of the pages that lead here; not in the form. */
  readonly scan_id?: string | undefined; readonly delivery_id?: string | undefined;
}

export interface MessageList { readonly filter: Filter; readonly choices: Choices; readonly items: readonly Exchange[]; readonly nextCursor: string | null; readonly mayRead: boolean; readonly mayReplay: boolean; readonly problem: string | undefined; readonly now: Date }

export function messageList({ filter, choices, items, nextCursor, mayRead, mayReplay, problem, now }: MessageList): Html {
  const isFiltered = Object.values(filter).some(Boolean);
  const next = nextCursor === null ? '' : html`<form class="more" method="post" action="/messages">${hidden({ ...filter, cursor: nextCursor })}<button>Older messages</button></form>`;
  return html`<h1>Messages</h1>${notice(problem, 'problem')}
<form class="filter" method="post" action="/messages">
${mayRead ? field('Number or text', 'text', filter.text, { placeholder: 'control id, patient, accession …' }) : ''}
${choice('System', 'integration_id', choices.integrations.map(({ integration_id: id, name }) => [id, name] as const), filter.integration_id)}
${choice('Protocol', 'adapter', choices.adapters, filter.adapter)}
${choice('Direction', 'direction', [['inbound', 'received'], ['outbound', 'sent']], filter.direction)}
${choice('Outcome', 'message_status', messageStatuses, filter.message_status)}
${field('Type', 'interaction', filter.interaction, { placeholder: 'ADT^A08' })}
${field('Control id', 'control_id', filter.control_id)}
${field('From (UTC)', 'started_from', filter.started_from, { type: 'date' })}${field('Before (UTC)', 'started_before', filter.started_before, { type: 'date' })}${hidden({ scan_id: filter.scan_id, delivery_id: filter.delivery_id })}
<div class="buttons"><button class="go">Search</button>${isFiltered ? html`<a href="/messages">Show all</a>` : ''}</div>
</form>
${filter.scan_id ? html`<p class="aside">Only those about <a href="/scans/${filter.scan_id}">one scan</a>.</p>` : ''}${filter.delivery_id ? html`<p class="aside">Only those of one delivery.</p>` : ''}
${section(isFiltered ? 'Messages that match, newest first' : 'All messages, newest first', messageColumns, items.map((item) => messageRow(item, now)),
  isFiltered ? 'No message matches. Widen the filter, or look for a part of a control id or of an error; a part is looked for among the newest 100,000 messages before the date given.' : html`No message has been exchanged yet. Are the systems connected? See <a href="/systems">Systems</a>, which also shows callers that belong to none.`, next)}
${mayReplay && filter.message_status === 'rejected' && !filter.scan_id && !filter.delivery_id && items.length > 0 ? html`<form method="post" action="/replays/count" class="aside">${hidden({ ...filter, text: undefined, direction: undefined, control_id: undefined })}<button>Receive these again …</button> <span>after the mapping or setting that refused them was put right</span></form>` : ''}`;
}

export const messageColumns = ['When', 'System', 'Message', 'Control id', 'Outcome', 'Answer', 'Size'];
export function messageRow(exchange: Exchange, now: Date): Html {
  return html`<tr><td>${ago(exchange.started_at, now)}</td><td>${exchange.integration_name ?? 'unknown sender'}<div class="sub nowrap">${exchange.adapter}</div></td>
<td class="nowrap">${exchange.direction === 'inbound' ? '←' : '→'} <a href="/messages/${exchange.sync_id}">${exchange.interaction}</a></td><td class="id">${exchange.control_id}</td>
<td>${state(exchange.message_status)}<div class="sub">${exchange.error_location ? `${exchange.error_location}: ` : ''}${exchange.error_text ?? ''}</div></td>
<td>${exchange.answer_code ?? ''}${exchange.answer_status === 'unanswered' && exchange.direction === 'inbound' ? html`<div class="sub">not heard</div>` : ''}</td><td class="nowrap number">${bytes(exchange.byte_size)}</td></tr>`;
}

export interface OneMessage {
  readonly exchange: Exchange; readonly view: MessageView | undefined; readonly answer: MessageView | undefined; readonly rows: readonly z.output<typeof TouchedRow>[]; readonly deliveries: readonly z.output<typeof OutboxDelivery>[];
  readonly related: readonly Exchange[]; readonly mayRead: boolean; readonly mayReplay: boolean; readonly done: string | undefined; readonly problem: string | undefined; readonly now: Date;
}

export function messagePage(message: OneMessage): Html {
  const { exchange, view, answer, rows, deliveries, related, mayRead, mayReplay, done, problem, now } = message;
  const replayable = mayReplay && exchange.direction === 'inbound' && (exchange.message_status === 'rejected' || exchange.message_status === 'failed') && exchange.integration_id !== null;
  return html`<p class="back"><a href="/messages">Messages</a></p><h1>${exchange.interaction} <span class="id">${exchange.control_id}</span></h1>${notice(done)}${notice(problem, 'problem')}
<section><h2>Exchange</h2>${exchangeFacts(exchange)}
${replayable ? html`<div class="actions"><form method="post" action="/messages/${exchange.sync_id}/replay"><button class="go">Receive it again</button></form><span>after what refused it was put right; a message that came in meanwhile is a duplicate and changes nothing</span></div>` : ''}</section>
${mayRead ? content('Message', exchange, view, 'message') : html`<section><h2>Message</h2><p class="none">Your role may not see the content of messages.</p></section>`}
${mayRead && view?.mapping ? view.mapping.map((judged) => mapping(judged, exchange.mapping_version)) : ''}
${mayRead ? section('Rows it made or changed', ['Table', 'Row', 'Id'], rows.map((touched) => html`<tr><td>${touched.table}</td><td>${touched.table === 'scans' || touched.table === 'reports' ? html`<a href="/${touched.table}/${touched.id}">${touched.label ?? ''}</a>` : touched.label ?? ''}</td><td class="id">${touched.id}</td></tr>`), 'None.') : ''}
${mayRead && answer ? content('Answer', exchange, answer, 'answer') : ''}
${deliveries.length > 0 ? section('Reports of its scan', ['System', 'Version', 'State', 'Tries', 'Last outcome'], deliveries.map((delivery) => html`<tr><td>${delivery.integration_name}</td><td>${delivery.report_version}</td><td>${state(delivery.status)}${delivery.commitment === 'awaited' ? html`<div class="sub">not committed yet</div>` : delivery.commitment === 'refused' ? html`<div class="sub">not kept there</div>` : ''}</td>
<td class="number">${delivery.attempts}</td><td>${delivery.last_outcome ?? ''}<div class="sub">${delivery.last_text ?? ''}</div></td></tr>`), '') : ''}
${related.length > 0 ? section('Related exchanges', messageColumns, related.map((other) => messageRow(other, now)), '') : ''}`;
}

function exchangeFacts(exchange: Exchange): Html {
  return facts([
    ['Outcome', state(exchange.message_status)], ['Why', exchange.error_text === null ? null : html`${exchange.error_location ? html`<strong>${exchange.error_location}</strong>: ` : ''}${exchange.error_text}`],
    ['System', exchange.integration_id ? html`<a href="/systems/${exchange.integration_id}">${exchange.integration_name}</a>` : 'unknown sender'], ['Scan', exchange.scan_id ? html`<a href="/scans/${exchange.scan_id}">the scan it is about</a>` : null], ['Direction', exchange.direction === 'inbound' ? 'received' : `sent, try ${exchange.attempt}`],
    ['Peer', [exchange.peer_application, exchange.peer_address].filter(Boolean).join(' at ') || null], ['Began', clock(exchange.started_at)], ['Took', exchange.duration_ms === null ? null : `${exchange.duration_ms.toFixed(1)} ms`],
    ['Answer', exchange.answer_code === null ? exchange.answer_status : `${exchange.answer_code}${exchange.answer_status === 'answered' ? '' : ' (not heard)'}`], ['Answer said', exchange.answer_text],
    ['Size', bytes(exchange.byte_size)], ['SHA-256', exchange.sha256], ['Mapped by', exchange.mapping_version],
    ['Warnings', exchange.warnings?.length ? html`<ul>${exchange.warnings.map((warning) => html`<li>${String(warning['location'] ?? '')}: ${String(warning['text'] ?? '')}</li>`)}</ul>` : null],
  ]);
}

function content(title: string, exchange: Exchange, view: MessageView | undefined, part: string): Html {
  if (!view) return html`<section><h2>${title}</h2><p class="none">Nothing of it is kept.</p></section>`;
  return html`<section><h2>${title} <small>${view.format}, ${bytes(view.byteSize)}</small></h2>
${view.isCut ? html`<p class="none">It is long: only its beginning is shown.</p>` : ''}
${view.lines.length === 0 ? '' : html`<details${part === 'message' ? html` open` : ''}><summary>Pieces (${view.lines.length})</summary><div class="scroll tall" tabindex="0" role="region" aria-label="Pieces of the ${part}"><table class="tree"><thead><tr><th scope="col">Place</th><th scope="col">Name</th><th scope="col">Value</th></tr></thead><tbody>
${view.lines.map((line) => html`<tr class="depth${Math.min(line.depth, 6)}${line.depth === 0 && line.value === null ? ' head' : ''}"><td class="id">${line.location}</td><td>${line.name ?? ''}</td><td class="value">${line.value ?? ''}</td></tr>`)}</tbody></table></div></details>`}
${view.text === null ? '' : html`<details${view.lines.length === 0 ? html` open` : ''}><summary>As text</summary><pre tabindex="0">${view.text}</pre></details>`}
<p class="download"><a href="/api/v1/sync-logs/${exchange.sync_id}/payload?part=${part}">Download the bytes</a> (on record in the audit log)</p></section>`;
}

/** '12 mapped, 3 empty, 1 failed': what went wrong is seen before it is looked for. */
function counted({ trace }: DryRunMessage): string {
  const counts = new Map<string, number>();
  for (const { outcome } of trace) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  return [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', ');
}

/** What a mapping made, rule by rule; also shown by the dry run. */
export function mapping(judged: DryRunMessage, madeBy: string | null): Html {
  const title = `What the mapping makes of it today: ${judged.interaction}`;
  if (judged.refusal) return html`<section><h2>${title}</h2><p class="none">${state('refused')} ${judged.refusal.location ? html`<strong>${judged.refusal.location}</strong>: ` : ''}${judged.refusal.text}</p></section>`;
  const rows = judged.trace.map((entry) => html`<tr><td class="id">${entry.source}</td><td class="value">${entry.input ?? ''}</td><td>${entry.rule}</td><td>${state(entry.outcome)}<div class="sub">${entry.text ?? ''}</div></td><td class="id nowrap">${entry.target}</td>
<td class="value">${entry.value === undefined ? '' : typeof entry.value === 'string' ? entry.value : JSON.stringify(entry.value)}</td></tr>`);
  const table = html`<div class="scroll tall" tabindex="0" role="region" aria-label="${title}"><table><thead><tr>${['Place', 'Found', 'Rule', 'Outcome', 'Column', 'Value'].map((column) => html`<th scope="col">${column}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`;
  return html`<section><h2>${title} <small>${judged.mapping ?? ''}${madeBy && madeBy !== judged.mapping ? `; its rows were made by ${madeBy}` : ''}</small></h2>
${judged.warnings.length > 0 ? html`<ul class="warnings">${judged.warnings.map((warning) => html`<li>${warning.location}: ${warning.text}</li>`)}</ul>` : ''}
${rows.length === 0 ? html`<p class="none">No rule touched it.</p>` : html`<details open><summary>Field by field (${counted(judged)})</summary>${table}</details>`}
<details><summary>Rows</summary><pre tabindex="0">${JSON.stringify(judged.rows, null, 2)}</pre></details></section>`;
}
