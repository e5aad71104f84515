/** What waits for a person: reports and order status messages that a destination refused, and jobs that failed for good. */
import { html } from 'hono/html';
import type { z } from '@hono/zod-openapi';
import type { DeadJob } from '../api/queries/dead-jobs.ts';
import type { OutboxDelivery } from '../api/queries/deliveries.ts';
import type { OrderNotice } from '../api/queries/order-notices.ts';
import type { Html } from './layout.ts';
import { ago, choice, clock, hidden, nextPage, notice, section, state, type Choices } from './parts.ts';

type Delivery = z.output<typeof OutboxDelivery>;
type Notice = z.output<typeof OrderNotice>;
type Job = z.output<typeof DeadJob>;
interface Rows<Row> { readonly items: readonly Row[]; readonly next_cursor: string | null }
/** `integration_id` is the one system that the page is about; the others are where each of its lists goes on. */
export interface DeadLetterFilter { readonly integration_id?: string | undefined; readonly parked?: string | undefined; readonly notices?: string | undefined; readonly jobs?: string | undefined; readonly waiting?: string | undefined }
export interface DeadLetters {
  readonly filter: DeadLetterFilter; readonly choices: Choices; readonly parked: Rows<Delivery>; readonly waiting: Rows<Delivery>; readonly notices: Rows<Notice>; readonly jobs: Rows<Job>;
  readonly mayDecide: boolean; readonly done: string | undefined; readonly problem: string | undefined; readonly now: Date;
}

export function deadLettersPage({ filter, choices, parked, waiting, notices, jobs, mayDecide, done, problem, now }: DeadLetters): Html {
  const { integration_id: integrationId } = filter, system = choices.integrations.find((one) => one.integration_id === integrationId)?.name;
  const of = system === undefined ? '' : ` of ${system}`, decision = mayDecide ? ['Decide'] : [];
  const older = (name: keyof DeadLetterFilter, cursor: string | null): Html | string => nextPage('/dead-letters', { integration_id: integrationId }, cursor, 'Older ones', name);
  const deciding = (path: string, again: string, what: string): Html | string => (mayDecide ? html`<td>${decide(`/dead-letters/${path}`, again, what, integrationId)}</td>` : '');
  const all = (path: string, rows: Rows<unknown>): Html | string => (mayDecide && rows.items.length > 1 ? html`<form class="more" method="post" action="${path}">${hidden({ integration_id: integrationId })}<button>Send all${rows.next_cursor === null ? ` ${rows.items.length}` : ''}${of} again</button></form>` : '');
  return html`<h1>Dead letters</h1>${notice(done)}${notice(problem, 'problem')}
<form class="filter" method="get" action="/dead-letters">${choice('System', 'integration_id', choices.integrations.map(({ integration_id: id, name }) => [id, name] as const), integrationId, 'all')}<div class="buttons"><button class="go">Show</button></div></form>
${section(`Parked reports${of}`, ['Report', 'System', 'Refused', 'Why', ...decision], parked.items.map((delivery) => html`<tr>${reportOf(delivery)}<td>${delivery.integration_name}</td>
<td>${ago(delivery.updated_at, now)}<div class="sub">${tries(delivery.attempts)}</div></td><td>${delivery.last_text ?? ''}<div class="sub"><a href="/messages?delivery_id=${delivery.delivery_id}">what was sent</a></div></td>${deciding(`deliveries/${delivery.delivery_id}`, 'Send again', `the report of ${delivery.scan_number} for ${delivery.integration_name}`)}</tr>`),
  'No report is parked: what was refused has been sent again or given up.', html`${all('/dead-letters/resend', parked)}${older('parked', parked.next_cursor)}`)}
${section(`Parked order status messages${of}`, ['Order', 'System', 'Refused', 'Why', ...decision], notices.items.map((one) => html`<tr><td class="nowrap"><a href="/scans/${one.scan_id}">${one.scan_number}</a><div class="sub">${one.event}</div></td><td>${one.integration_name}</td>
<td>${ago(one.updated_at, now)}<div class="sub">${tries(one.attempts)}</div></td><td>${one.last_text ?? ''}</td>${deciding(`notices/${one.notice_id}`, 'Send again', `the status (${one.event}) of ${one.scan_number} for ${one.integration_name}`)}</tr>`),
  'No order status message is parked.', html`${all('/dead-letters/notices/resend', notices)}${older('notices', notices.next_cursor)}`)}
${integrationId === undefined ? section('Jobs that failed for good', ['Job', 'About', 'Failed', 'Error', ...decision], jobs.items.map((job) => html`<tr><td>${job.queue_name}</td><td>${job.scan_id ? html`<a href="/scans/${job.scan_id}">the scan</a>` : job.integration_name ?? ''}</td><td>${ago(job.died_at, now)}</td><td>${job.error_text ?? 'the worker stopped'}</td>
${deciding(`jobs/${job.dead_job_id}`, 'Try again', `the job ${job.queue_name} of ${job.died_at.slice(0, 16).replace('T', ' ')}`)}</tr>`), 'No job has been given up.', older('jobs', jobs.next_cursor)) : ''}
${section(`Waiting reports${of}`, ['Report', 'System', 'State', 'Next try', 'Last outcome', ...decision], waiting.items.map((delivery) => html`<tr>${reportOf(delivery)}<td>${delivery.integration_name}</td><td>${state(delivery.status)}</td>
<td>${new Date(delivery.next_attempt_at) > now ? clock(delivery.next_attempt_at) : 'now, in its order'}<div class="sub">${tries(delivery.attempts)} so far</div></td>
<td>${delivery.last_outcome ?? ''}<div class="sub">${delivery.last_text ?? ''}</div></td>${deciding(`deliveries/${delivery.delivery_id}`, 'Send now', `the report of ${delivery.scan_number} for ${delivery.integration_name}`)}</tr>`), 'No report waits.', older('waiting', waiting.next_cursor))}`;
}

const tries = (attempts: number): string => `${attempts} ${attempts === 1 ? 'try' : 'tries'}`;

function reportOf(delivery: Delivery): Html {
  return html`<td class="nowrap"><a href="/scans/${delivery.scan_id}">${delivery.scan_number}</a><div class="sub"><a href="/reports/${delivery.report_id}">version ${delivery.report_version}</a></div></td>`;
}

function decide(action: string, again: string, what: string, integrationId: string | undefined): Html {
  const back = hidden({ integration_id: integrationId });
  return html`<div class="decide"><form method="post" action="${action}/again">${back}<button aria-label="${again}: ${what}">${again}</button></form>
<details><summary aria-label="Give up ${what}">Give up</summary><form method="post" action="${action}/discard">${back}<label>Reason, for the audit log<input name="reason" required minlength="3" maxlength="500"></label><button>Give up for good</button></form></details></div>`;
}
