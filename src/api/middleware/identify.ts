/** Who asks: the API token of an Authorization header, else the session of the cookie (then the request must come from our own pages). */
import { getCookie } from 'hono/cookie';
import { callerOfSession, callerOfToken, type Caller } from '../../db/user-sessions.ts';
import type { ApiContext, ApiDependencies } from '../context.ts';
import { Problem } from '../problem.ts';

export const sessionCookie = 'medscan_session';
const challenge = { headers: { 'www-authenticate': 'Bearer realm="medscan"' } };

export async function identify(c: ApiContext, dependencies: Pick<ApiDependencies, 'database'>, options?: { readonly keepAlive: boolean }): Promise<Caller> {
  const authorization = c.req.header('authorization');
  if (authorization !== undefined) {
    const token = /^Bearer ([\w-]{20,200})$/i.exec(authorization)?.[1];
    const caller = token === undefined ? undefined : await callerOfToken(dependencies.database, token);
    if (!caller) throw new Problem(401, 'The token is unknown, expired or revoked.', challenge);
    return caller;
  }
  const cookie = getCookie(c, sessionCookie);
  if (cookie === undefined) throw new Problem(401, 'Sign in, or send an API token as "Authorization: Bearer msk_...".', challenge);
  requireOwnOrigin(c);
  const caller = await callerOfSession(dependencies.database, cookie, options);
  if (!caller) throw new Problem(401, 'The session has ended. Sign in again.', challenge);
  return caller;
}

/** A browser sends the cookie by itself, so a change must also prove that one of our pages asked for it (SameSite=Strict is the first wall). */
export function requireOwnOrigin(c: ApiContext): void {
  if (['GET', 'HEAD', 'OPTIONS'].includes(c.req.method)) return;
  const origin = c.req.header('origin');
  const host = c.req.header('host') ?? new URL(c.req.url).host;
  if (origin !== undefined && URL.canParse(origin) && new URL(origin).host === host) return;
  throw new Problem(403, 'A request with a session cookie must carry this server\'s own Origin. Programs use an API token instead.');
}
