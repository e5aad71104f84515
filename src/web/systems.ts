/** The connected systems: how they are, pause and resume, and a message tried without being sent. */
import { html } from 'hono/html';
import type { Integration } from '../api/queries/integrations.ts';
import type { DryRunMessage } from '../gateway/message-commands.ts';
import type { Html } from './layout.ts';
import { mapping } from './messages.ts';
import { ago, notice, section, state } from './parts.ts';

export function systemsPage({ systems, dryRuns, mayPause, mayTry, unclaimed, done, problem, now }: { readonly systems: readonly Integration[]; readonly unclaimed: Html | string; readonly dryRuns: ReadonlySet<string>; readonly mayPause: boolean; readonly mayTry: boolean; readonly done: string | undefined; readonly problem: string | undefined; readonly now: Date }): Html {
  return html`<h1>Systems</h1>${notice(done)}${notice(problem, 'problem')}
${section('Connected systems', ['System', 'State', 'Receives from it', 'Delivers to it', 'Last success', 'Last problem', ...(mayTry ? ['Try'] : [])], systems.map((system) => html`<tr><td><a href="/systems/${system.integration_id}">${system.name}</a><div class="sub nowrap">${system.adapter}</div></td>
<td>${system.is_enabled ? state(system.health_status) : state('switched off')}</td>
<td>${system.direction === 'outbound' ? html`<span class="sub">no</span>` : flow(system, 'receive', system.receive_paused_at, mayPause, now)}</td><td>${system.direction === 'inbound' ? html`<span class="sub">no</span>` : flow(system, 'deliver', system.deliver_paused_at, mayPause, now)}</td>
<td>${ago(system.last_ok_at, now)}</td><td>${ago(system.last_error_at, now)}<div class="sub">${system.last_error ?? ''}</div></td>${mayTry ? html`<td class="nowrap">${!dryRuns.has(system.adapter) ? '' : html`<a href="/systems/${system.integration_id}/try" aria-label="Try a message of ${system.name}">a message</a>`}</td>` : ''}</tr>`), 'No system is connected yet.', mayPause ? html`<p class="more"><a href="/systems/new">Connect a system</a></p>` : '')}
<p class="hint">While receiving is paused, the system hears "not now, try again" (A700, AE or CE, 503) and its own queue keeps what it sends. While delivering is paused, its reports and order status messages wait here in order. Queries are answered all the same.</p>
${unclaimed}`;
}

/** `back`: the page that the answer comes on. */
export function flow(system: Integration, part: 'receive' | 'deliver', pausedAt: string | null, mayPause: boolean, now: Date, back?: string): Html {
  const form = mayPause ? html`<form method="post" action="/systems/${system.integration_id}/pause"><input type="hidden" name="${part}" value="${pausedAt ? 'off' : 'on'}">${back === undefined ? '' : html`<input type="hidden" name="back" value="one">`}<button aria-label="${pausedAt ? 'Resume' : 'Pause'}: ${part} ${system.name}">${pausedAt ? 'Resume' : 'Pause'}</button></form>` : '';
  return html`<div class="decide">${pausedAt ? html`<span>${state('paused')}<div class="sub">${ago(pausedAt, now)}</div></span>` : html`<span>yes</span>`}${form}</div>`;
}

export function tryPage({ system, text, messages, problem }: { readonly system: Integration; readonly text: string; readonly messages: readonly DryRunMessage[] | undefined; readonly problem: string | undefined }): Html {
  return html`<p class="back"><a href="/systems/${system.integration_id}">${system.name}</a></p><h1>Try a message of ${system.name}</h1>${notice(problem, 'problem')}
<section><h2>Message</h2><form method="post" action="/systems/${system.integration_id}/try#result" class="try"><label>As the system would send it, a line per segment. Nothing is received or written.
<textarea name="message" rows="10" spellcheck="false" required>${text}</textarea></label><div class="buttons"><button class="go">Try</button></div></form></section>
${messages ? html`<div id="result" class="stack">${messages.map((judged) => mapping(judged, null))}</div>` : ''}`;
}
