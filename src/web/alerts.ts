/** What is wrong and open, what was, and who has taken note of it. */
import { html } from 'hono/html';
import type { z } from '@hono/zod-openapi';
import { alertSeverities, type Alert } from '../api/queries/system-alerts.ts';
import type { Html } from './layout.ts';
import { ago, choice, clock, nextPage, notice, section, state } from './parts.ts';

type Row = z.output<typeof Alert>;
export interface AlertFilter { readonly state?: string | undefined; readonly severity?: string | undefined }

export function alertList({ filter, items, nextCursor, mayAcknowledge, done, problem, now }: { readonly filter: AlertFilter; readonly items: readonly Row[]; readonly nextCursor: string | null; readonly mayAcknowledge: boolean; readonly done: string | undefined; readonly problem: string | undefined; readonly now: Date }): Html {
  return html`<h1>Alerts</h1>${notice(done)}${notice(problem, 'problem')}
<form class="filter" method="get" action="/alerts" role="search">${choice('State', 'state', [['resolved', 'ended'], ['all', 'open and ended']], filter.state, 'open')}${choice('Severity', 'severity', alertSeverities, filter.severity)}
<div class="buttons"><button class="go">Search</button></div></form>
${section(filter.state === 'resolved' ? 'Ended alerts, newest first' : filter.state === 'all' ? 'Alerts, newest first' : 'Open alerts, newest first', ['Severity', 'What', 'Began', 'Last seen', ...(mayAcknowledge ? ['Take note'] : [])], items.map((alert) => html`<tr><td>${state(alert.severity)}</td>
<td>${alert.message}<div class="sub">${aboutWhat(alert.subject)}${alert.occurrences > 1 ? `, ${alert.occurrences} times` : ''} <span class="id">${alert.kind}</span></div></td><td>${ago(alert.opened_at, now)}</td><td>${ago(alert.last_seen_at, now)}${alert.resolved_at ? html`<div class="sub">ended ${ago(alert.resolved_at, now)}</div>` : ''}</td>
${mayAcknowledge ? html`<td>${alert.acknowledged_at ? html`<span class="sub">noted ${clock(alert.acknowledged_at)}</span>` : alert.resolved_at ? '' : html`<form method="post" action="/alerts/${alert.alert_id}/acknowledge"><button aria-label="Take note of: ${alert.message} (${alert.subject})">I know</button></form>`}</td>` : ''}</tr>`),
  filter.state || filter.severity ? 'No alert matches.' : 'Nothing is wrong that the gateway knows of.', nextPage('/alerts', filter, nextCursor, 'Older alerts'))}
<p class="hint">An alert ends by itself when its cause is gone; taking note of it only moves it below those that nobody has seen.</p>`;
}

const id = '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})';
const ways: readonly (readonly [subject: RegExp, way: (key: string) => string, words?: string])[] = [
  [new RegExp(`^scan ${id}$`), (key) => `/scans/${key}`, 'the scan'], [/^scan (S[\d-]+)$/, (key) => `/scans/number/${key}`], [/^study (\S{1,64})$/, (key) => `/scans?study_instance_uid=${encodeURIComponent(key)}`],
  [new RegExp(`^analysis ${id}$`), (key) => `/scans/of-analysis/${key}`, 'the scan'], [new RegExp(`^delivery ${id}$`), () => '/dead-letters', 'dead letters'],
];

/** What an alert is about, with the way there where its subject names one. */
export function aboutWhat(subject: string): Html {
  for (const [pattern, way, words] of ways) {
    const key = pattern.exec(subject)?.[1];
    if (key !== undefined) return html`<a href="${way(key)}">${words ?? subject}</a>`;
  }
  return html`${subject}`;
}
