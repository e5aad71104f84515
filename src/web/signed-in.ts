/** Who looks at a page: the person of the session, or nobody, who is sent to the sign-in and comes back to the page afterwards. */
import type { ApiContext, ApiDependencies } from '../api/context.ts';
import { identify } from '../api/middleware/identify.ts';
import { Problem } from '../api/problem.ts';
import type { Caller } from '../db/user-sessions.ts';

export async function signedIn(c: ApiContext, dependencies: ApiDependencies, options?: { readonly keepAlive: boolean }): Promise<Caller | undefined> {
  return identify(c, dependencies, options).catch((error: unknown) => {
    if (error instanceof Problem && error.status === 401) return undefined;
    throw error;
  });
}

/** To the sign-in. What was asked for is kept where it can be asked for again; a form that was sent is not. */
export function signInFirst(c: ApiContext): Response {
  const { pathname, search } = new URL(c.req.url);
  return c.redirect(c.req.method === 'GET' && pathname !== '/' ? `/login?next=${encodeURIComponent(pathname + search)}` : '/login', 303);
}

/** A page of ours to go on to; anything else, also what a browser would read as another site, is the status page. */
export function ownPage(next: string | undefined): string {
  if (next === undefined || !/^\/(?![/\\])[\w\-./?=&%:+,]*$/.test(next) || next.length > 1_000) return '/';
  return /^\/(api|login|logout|assets)\b/.test(next) ? '/' : next;
}
