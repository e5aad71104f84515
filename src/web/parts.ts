/** Pieces that every page is made of: the bar with the way to the other pages, sections with tables, states, times, figures. */
import { html } from 'hono/html';
import { isAllowed, type Permission } from '../api/permissions.ts';
import type { Caller } from '../db/user-sessions.ts';
import { page, type Html } from './layout.ts';

/** Green, amber, red or grey; the word beside it says the same, so colour is never the only sign. */
const tones: Readonly<Record<string, 'ok' | 'warn' | 'bad' | ''>> = {
  ok: 'ok', degraded: 'warn', down: 'bad',
  accepted: 'ok', delivered: 'ok', duplicate: 'ok', rejected: 'bad', failed: 'bad', refused: 'bad', unreachable: 'warn', unconfirmed: 'warn',
  paused: 'warn', info: 'ok', warning: 'warn', critical: 'bad', mapped: 'ok', default: 'ok', unmapped: 'warn', finished: 'ok', running: 'warn', 'left out': 'warn',
  completed: 'ok', timeout: 'bad', 'to decide': 'warn', 'waits for a person': 'warn', 'in use': 'ok', 'set aside': '', cancelled: '', high: 'bad', medium: 'warn', low: 'ok', 'entered-in-error': 'bad', 'identity unknown': 'warn',
  confirmed: 'ok', proven: 'ok', missing: 'bad', 'given up': 'bad', done: 'ok', retrieved: 'ok', 'no answer': 'warn', 'unknown study': 'warn',
  released: 'ok', 'aborted by peer': 'warn', 'aborted by gateway': 'bad', 'connection lost': 'warn', unreadable: 'bad',
  'refused by a setting (1)': 'warn', 'refused (2)': 'warn', 'service not supported (3)': 'warn', 'transfer syntaxes not supported (4)': 'warn', taken: 'ok',
};

const places: readonly { readonly path: string; readonly title: string; readonly permission: Permission }[] = [
  { path: '/', title: 'Status', permission: 'queue:read' },
  { path: '/scans', title: 'Scans', permission: 'scans:read' },
  { path: '/messages', title: 'Messages', permission: 'exchanges:read' },
  { path: '/dead-letters', title: 'Dead letters', permission: 'exchanges:read' },
  { path: '/replays', title: 'Replays', permission: 'exchanges:replay' },
  { path: '/systems', title: 'Systems', permission: 'integrations:read' },
  { path: '/associations', title: 'Associations', permission: 'exchanges:read' },
  { path: '/alerts', title: 'Alerts', permission: 'alerts:read' },
];

export interface ConsolePage { readonly title: string; readonly caller: Caller; readonly organizationName: string; readonly at: string; readonly body: Html; readonly refresh?: { readonly seconds: number; readonly url: string } | undefined }

/** A page of the console: bar, navigation by what the caller may see, and the body in main. */
export function consolePage({ title, caller, organizationName, at, body, refresh }: ConsolePage): Html {
  const seen = places.filter(({ permission }) => isAllowed(caller.role, caller.scopes, permission));
  return page({ title: `${title} · MedScan Gateway`, ...(refresh && { refresh }), body: html`
<a class="skip" href="#main">To the content</a>
<header class="bar"><div class="name">MedScan Gateway <span>· ${organizationName}</span></div><div class="who">${caller.name}</div>
<form method="post" action="/logout"><button>Sign out</button></form></header>
<nav class="places" aria-label="Pages">${seen.map((place) => html`<a href="${place.path}"${place.path === at ? html` aria-current="page"` : ''}>${place.title}</a>`)}</nav>
<main id="main">${body}</main>` });
}

export function section(title: string, columns: readonly string[], rows: readonly Html[], none: Html | string, after: Html | string = ''): Html {
  const table = html`<div class="scroll" tabindex="0" role="region" aria-label="${title}"><table><thead><tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`;
  return html`<section><h2>${title}</h2>${rows.length === 0 ? html`<p class="none">${none}</p>` : table}${after}</section>`;
}

export function state(word: string): Html {
  const shown = word.replaceAll('_', ' ');
  return html`<span class="state ${tones[shown] ?? tones[word] ?? ''}">${shown}</span>`;
}

export function ago(at: Date | string | null, now: Date): Html {
  if (!at) return html`<span class="sub">never</span>`;
  const date = new Date(at);
  return html`<time datetime="${date.toISOString()}" title="${date.toISOString().replace('T', ' ').slice(0, 19)} UTC">${span(now.getTime() - date.getTime())} ago</time>`;
}

export function clock(at: Date | string | null): Html | string {
  if (!at) return '';
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}">${iso.replace('T', ' ').slice(0, 19)} UTC</time>`;
}

export function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

export function bytes(size: number | null): string {
  if (size === null) return '';
  if (size < 1024) return `${size} B`;
  return size < 1024 * 1024 ? `${(size / 1024).toFixed(1)} KiB` : `${(size / 1024 / 1024).toFixed(1)} MiB`;
}

/** Names and values; a pair without a value is left out. */
export function facts(pairs: readonly (readonly [name: string, value: Html | string | null | undefined])[]): Html {
  return html`<dl>${pairs.filter(([, value]) => value !== null && value !== undefined && value !== '').map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

export interface Choices { readonly integrations: readonly { readonly integration_id: string; readonly name: string }[]; readonly adapters: readonly string[] }

/** The way to what is older, with the same filter; nothing on the last page. `name`: of the cursor, where a page has several lists. */
export function nextPage(path: string, filter: Readonly<Record<string, string | undefined>> | object, cursor: string | null, words: string, name = 'cursor'): Html | string {
  if (cursor === null) return '';
  const query = new URLSearchParams([...Object.entries(filter as Record<string, string | undefined>).filter((entry): entry is [string, string] => Boolean(entry[1])), [name, cursor]]);
  return html`<p class="more"><a href="${path}?${query.toString()}">${words}</a></p>`;
}

/** A choice of a form; '' means any. */
export function choice(label: string, name: string, values: readonly (string | readonly [string, string])[], chosen: string | undefined, any = 'any'): Html {
  return html`<label>${label}<select name="${name}"><option value="">${any}</option>${values.map((value) => {
    const [key, words] = typeof value === 'string' ? [value, value] : value;
    return html`<option value="${key}"${key === chosen ? html` selected` : ''}>${words}</option>`;
  })}</select></label>`;
}

export function field(label: string, name: string, value: string | undefined, more: { readonly type?: string; readonly placeholder?: string } = {}): Html {
  return html`<label>${label}<input name="${name}" type="${more.type ?? 'text'}" value="${value ?? ''}" maxlength="250"${more.placeholder ? html` placeholder="${more.placeholder}"` : ''}></label>`;
}

/** One word of what happened after a form, above everything else. */
export function notice(text: string | undefined, kind: 'done' | 'problem' = 'done'): Html | string {
  return text === undefined ? '' : html`<p class="notice ${kind}" role="${kind === 'done' ? 'status' : 'alert'}">${text}</p>`;
}

/** Values that a form carries along. */
export function hidden(values: Readonly<Record<string, string | undefined>>): Html[] {
  return Object.entries(values).flatMap(([name, value]) => (value === undefined || value === '' ? [] : [html`<input type="hidden" name="${name}" value="${value}">`]));
}
