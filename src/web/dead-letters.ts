/** What waits for a person: reports and order status messages that a destination refused, and jobs that failed for good. */
import { html } from 'hono/html';
import type { z } from '@hono/zod-openapi';
import type { DeadJob } from '../api/queries/dead-jobs.ts';
import type { OutboxDelivery } from '../api/queries/deliveries.ts';
import type { OrderNotice } from '../api/queries/order-notices.ts';
import type { Html } from './layout.ts';
import { ago, notice, section, state } from './parts.ts';

type Delivery = z.output<typeof OutboxDelivery>;
export interface DeadLetters { readonly parked: readonly Delivery[]; readonly waiting: readonly Delivery[]; readonly notices: readonly z.output<typeof OrderNotice>[]; readonly jobs: readonly z.output<typeof DeadJob>[]; readonly mayDecide: boolean; readonly done: string | undefined; readonly problem: string | undefined; readonly now: Date }

export function deadLettersPage({ parked, waiting, notices, jobs, mayDecide, done, problem, now }: DeadLetters): Html {
  return html`<h1>Dead letters</h1>${notice(done)}${notice(problem, 'problem')}
${section('Parked reports', ['Report', 'System', 'Refused', 'Why', ...(mayDecide ? ['Decide'] : [])], parked.map((delivery) => html`<tr><td class="nowrap">${delivery.scan_number}<div class="sub">version ${delivery.report_version}</div></td><td>${delivery.integration_name}</td>
<td>${ago(delivery.updated_at, now)}<div class="sub">${delivery.attempts} ${delivery.attempts === 1 ? 'try' : 'tries'}</div></td><td>${delivery.last_text ?? ''}</td>${mayDecide ? html`<td>${decide(`/dead-letters/deliveries/${delivery.delivery_id}`, 'Send again', `the report of ${delivery.scan_number} for ${delivery.integration_name}`)}</td>` : ''}</tr>`),
  'No report is parked: what was refused has been sent again or given up.', mayDecide && parked.length > 1 ? html`<form class="more" method="post" action="/dead-letters/resend"><button>Send all ${parked.length === 200 ? '' : parked.length} again</button></form>` : '')}
${section('Parked order status messages', ['Order', 'System', 'Refused', 'Why', ...(mayDecide ? ['Decide'] : [])], notices.map((one) => html`<tr><td class="nowrap">${one.scan_number}<div class="sub">${one.event}</div></td><td>${one.integration_name}</td>
<td>${ago(one.updated_at, now)}<div class="sub">${one.attempts} ${one.attempts === 1 ? 'try' : 'tries'}</div></td><td>${one.last_text ?? ''}</td>${mayDecide ? html`<td>${decide(`/dead-letters/notices/${one.notice_id}`, 'Send again', `the status (${one.event}) of ${one.scan_number} for ${one.integration_name}`)}</td>` : ''}</tr>`),
  'No order status message is parked.', mayDecide && notices.length > 1 ? html`<form class="more" method="post" action="/dead-letters/notices/resend"><button>Send all ${notices.length === 200 ? '' : notices.length} again</button></form>` : '')}
${section('Jobs that failed for good', ['Job', 'About', 'Failed', 'Error', ...(mayDecide ? ['Decide'] : [])], jobs.map((job) => html`<tr><td>${job.queue_name}</td><td class="id">${job.integration_name ?? job.scan_id ?? ''}</td><td>${ago(job.died_at, now)}</td><td>${job.error_text ?? 'the worker stopped'}</td>
${mayDecide ? html`<td>${decide(`/dead-letters/jobs/${job.dead_job_id}`, 'Try again', `the job ${job.queue_name}`)}</td>` : ''}</tr>`), 'No job has been given up.')}
${section('Waiting reports', ['Report', 'System', 'State', 'Next try', 'Last outcome', ...(mayDecide ? ['Decide'] : [])], waiting.map((delivery) => html`<tr><td class="nowrap">${delivery.scan_number}<div class="sub">version ${delivery.report_version}</div></td><td>${delivery.integration_name}</td><td>${state(delivery.status)}</td>
<td>${new Date(delivery.next_attempt_at) > now ? html`<time datetime="${delivery.next_attempt_at}">${delivery.next_attempt_at.slice(11, 19)} UTC</time>` : 'now, in its order'}<div class="sub">${delivery.attempts} ${delivery.attempts === 1 ? 'try' : 'tries'} so far</div></td>
<td>${delivery.last_outcome ?? ''}<div class="sub">${delivery.last_text ?? ''}</div></td>${mayDecide ? html`<td>${decide(`/dead-letters/deliveries/${delivery.delivery_id}`, 'Send now', `the report of ${delivery.scan_number} for ${delivery.integration_name}`)}</td>` : ''}</tr>`), 'No report waits.')}`;
}

function decide(action: string, again: string, what: string): Html {
  return html`<div class="decide"><form method="post" action="${action}/again"><button aria-label="${again}: ${what}">${again}</button></form>
<details><summary aria-label="Give up ${what}">Give up</summary><form method="post" action="${action}/discard"><label>Reason, for the audit log<input name="reason" required minlength="3" maxlength="500"></label><button>Give up for good</button></form></details></div>`;
}
