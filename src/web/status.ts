import { html } from 'hono/html';
import type { Caller } from '../db/user-sessions.ts';
import type { Html } from './layout.ts';
import { aboutWhat } from './alerts.ts';
import { ago, consolePage, section, span, state } from './parts.ts';
import { isAllowed, type Permission } from '../api/permissions.ts';
import type { StatusRows } from './status-rows.ts';

export interface StatusPageOptions { readonly rows: StatusRows; readonly ofInstallation: StatusRows['alerts']; readonly caller: Caller; readonly seesExchanges: boolean; readonly reloads: boolean; readonly now: Date }

export function statusPage({ rows, ofInstallation, caller, seesExchanges, reloads, now }: StatusPageOptions): Html {
  const { counts } = rows, sees = (permission: Permission): boolean => isAllowed(caller.role, caller.scopes, permission);
  return consolePage({ title: 'Status', caller, organizationName: rows.organizationName, at: '/', ...(reloads && { refresh: { seconds: 10, url: '/?auto=1' } }), body: html`
<h1 class="hidden">Status of ${rows.organizationName}</h1>
<div class="tiles">${tile(counts.waiting, 'scans waiting', sees('scans:read') ? '/scans' : undefined)}${tile(counts.in_progress, 'scans in progress', sees('scans:read') ? '/scans?status=in_progress' : undefined)}${tile(counts.undelivered, 'reports to deliver', seesExchanges ? '/dead-letters' : undefined)}${tile(counts.exchanges_today, 'exchanges in 24 hours', seesExchanges ? '/messages' : undefined)}${tile(counts.open_alerts + ofInstallation.length, 'open alerts', sees('alerts:read') ? '/alerts' : undefined)}</div>
${rows.alerts.length + ofInstallation.length === 0 ? '' : alerts([...ofInstallation, ...rows.alerts], counts.open_alerts - rows.alerts.length, now)}
${integrations(rows, now, sees('integrations:read'))}
${queue(rows, now)}
${seesExchanges ? exchanges(rows, now) : ''}
<footer><span>As of <time datetime="${now.toISOString()}">${now.toISOString().replace('T', ' ').slice(0, 19)} UTC</time>${reloads ? '; the page reloads every 10 seconds' : ''}.</span>
<form method="post" action="/reload"><input type="hidden" name="reload" value="${reloads ? 'off' : 'on'}"><button>${reloads ? 'Pause' : 'Reload every 10 seconds'}</button></form><a href="/api/docs">API reference</a></footer>` });
}

function tile(figure: number, label: string, way: string | undefined): Html {
  const content = html`<div class="figure">${figure.toLocaleString('en')}</div><div class="label">${label}</div>`;
  return way === undefined ? html`<div class="tile">${content}</div>` : html`<a class="tile" href="${way}">${content}</a>`;
}

function alerts(rows: StatusRows['alerts'], more: number, now: Date): Html {
  return section('Alerts', ['Severity', 'What', 'Last seen'], rows.map((alert) => html`<tr><td>${state(alert.severity)}</td>
<td>${alert.message}<div class="sub">${aboutWhat(alert.subject)}${alert.occurrences > 1 ? `, ${alert.occurrences} times` : ''}${alert.acknowledged_at && alert.acknowledged_at >= alert.last_seen_at ? ', acknowledged' : ''}</div></td><td>${ago(alert.last_seen_at, now)}</td></tr>`), '', more <= 0 ? '' : html`<p class="more"><a href="/alerts">and ${more.toLocaleString('en')} more</a></p>`);
}

function integrations({ integrations: rows }: StatusRows, now: Date, seesSystems: boolean): Html {
  return section('Connected systems', ['System', 'State', 'Last success', 'Last problem'], rows.map((integration) => html`<tr>
<td>${seesSystems ? html`<a href="/systems/${integration.integration_id}">${integration.name}</a>` : integration.name}<div class="sub">${integration.adapter}, ${integration.direction}</div></td><td>${integration.is_enabled ? state(integration.health_status) : state('switched off')}${integration.is_paused ? html` ${state('paused')}` : ''}</td>
<td>${ago(integration.last_ok_at, now)}</td><td>${ago(integration.last_error_at, now)}<div class="sub">${integration.last_error ?? ''}</div></td></tr>`),
  'No system is connected yet. Connect one on the page Systems, or with: medscan integration apply FILE.yaml');
}

function queue({ queue: rows }: StatusRows, now: Date): Html {
  return section('Scans in the queue', ['Scan', 'State', 'Priority', 'Waiting for', 'Since', 'Due'], rows.map((entry) => html`<tr>
<td class="nowrap"><a href="/scans/number/${entry.scan_number}">${entry.scan_number}</a><div class="sub">${entry.scan_type}</div></td><td>${state(entry.status)}</td><td>${entry.priority}</td><td>${entry.why_waiting ?? ''}</td>
<td>${ago(entry.queue_entered_at, now)}</td><td>${due(entry.sla_due_at, now)}</td></tr>`), 'Nothing waits.');
}

function exchanges({ exchanges: rows }: StatusRows, now: Date): Html {
  return section('Last exchanges', ['When', 'System', 'Message', 'Outcome', 'Answer', 'Took'], rows.map((exchange) => html`<tr>
<td>${ago(exchange.started_at, now)}</td><td>${exchange.integration ?? 'unknown sender'}</td><td class="nowrap">${exchange.direction === 'inbound' ? '←' : '→'} <a href="/messages/${exchange.sync_id}">${exchange.interaction}</a></td>
<td>${state(exchange.message_status)}<div class="sub">${exchange.error_text ?? ''}</div></td><td>${exchange.answer_code ?? ''}</td>
<td class="number nowrap">${exchange.duration_ms === null ? '' : `${exchange.duration_ms < 10 ? exchange.duration_ms.toFixed(1) : Math.round(exchange.duration_ms)} ms`}</td></tr>`), 'No message has been exchanged yet.');
}

function due(at: Date | null, now: Date): Html | string {
  if (!at) return '';
  const milliseconds = at.getTime() - now.getTime();
  const words = milliseconds < 0 ? html`<span class="state bad">${span(-milliseconds)} late</span>` : `in ${span(milliseconds)}`;
  return html`<time datetime="${at.toISOString()}">${words}</time>`;
}
