/** An error as a page: for whoever asked for one, also when nothing can be read from the database, neither the session nor what stands around a page. */
import { html } from 'hono/html';
import type { ApiContext } from '../api/context.ts';
import type { Problem } from '../api/problem.ts';
import { page, type Html } from './layout.ts';
import { notice } from './parts.ts';

/** A person's browser asks for pages, a program does not. */
export const wantsPage = (c: ApiContext): boolean => !c.req.path.startsWith('/api/') && /\btext\/html\b/.test(c.req.header('accept') ?? '');

export const problemTitle = ({ status }: Problem): string => (status === 404 ? 'Not found' : status >= 500 ? 'This did not work' : 'This cannot be done');

export function problemBody(problem: Problem, requestId: string): Html {
  const next = problem.status >= 500 ? html`Try again. If it stays so, the gateway's log says why at the request id <span class="id">${requestId}</span>; what was sent before is not lost.` : html`<a href="/">Status</a> has the way to everything else.`;
  return html`<h1>${problemTitle(problem)}</h1>${notice(problem.message, 'problem')}<p class="aside">${next}</p>`;
}

/** The page alone, without the bar, which is read from the database. */
export function problemPage(c: ApiContext, problem: Problem): Response | Promise<Response> {
  return c.html(page({ title: `${problemTitle(problem)} · MedScan Gateway`, body: html`<main id="main">${problemBody(problem, c.get('requestId'))}</main>` }), problem.status, { ...problem.headers });
}
