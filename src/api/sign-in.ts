/** Signing in and out, for the API and for the login page: one set of rules, one audit trail, one cookie. */
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { auditEvents, eventTypes } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { TooManyLoginsError } from '../db/passwords.ts';
import { inOrganization } from '../db/transaction.ts';
import { callerOfSession, revokeSession, startSession, type Caller } from '../db/user-sessions.ts';
import { checkPassword, noteLogin, type Account, type PasswordCheck } from '../db/users.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';
import { actorOf, isHttps, peerAddress, type ApiContext, type ApiDependencies } from './context.ts';
import { sessionCookie } from './middleware/identify.ts';
import { Problem } from './problem.ts';

export interface Credentials { readonly email: string; readonly password: string; readonly organization?: string | undefined }

/** Checks the password, starts a fresh session (an earlier one of this browser ends) and sets its cookie. Throws Problem 401, 423 or 429. */
export async function signIn(c: ApiContext, dependencies: ApiDependencies, credentials: Credentials): Promise<Account> {
  const check = await checkPassword(dependencies.database, credentials.email, credentials.password, credentials.organization).catch((error: unknown) => {
    if (error instanceof TooManyLoginsError) throw new Problem(429, 'Too many sign-ins at once. Try again in a few seconds.', { headers: { 'retry-after': '5' } });
    throw error;
  });
  if (check.kind !== 'correct') throw await refuse(c, dependencies, check);
  const { account } = check;
  await endSessionOfCookie(c, dependencies);
  const { token, sessionId } = await inOrganization(dependencies.database, account.organization_id, async (tx) => {
    await noteLogin(tx, account.user_id);
    const session = await startSession(tx, account.user_id, { address: peerAddress(c), userAgent: c.req.header('user-agent') });
    await recordAudit(tx, {
      ...auditEvents.userAuthentication, action: 'E', outcome: 'success', requestId: c.get('requestId'),
      actor: { kind: 'user', id: account.user_id, role: account.role, address: peerAddress(c) }, detail: { event_type: eventTypes.login, session_id: session.sessionId },
    });
    return session;
  });
  dependencies.log.info({ requestId: c.get('requestId'), userId: account.user_id, sessionId }, 'signed in');
  setCookie(c, sessionCookie, token, { httpOnly: true, sameSite: 'Strict', secure: isHttps(c), path: '/' });
  return account;
}

/** Revokes the session and tells the browser to forget what it holds of this site. */
export async function signOut(c: ApiContext, dependencies: ApiDependencies, caller: Caller): Promise<void> {
  await inOrganization(dependencies.database, caller.organizationId, async (tx) => {
    await revokeSession(tx, caller.sessionId);
    await recordAudit(tx, {
      ...auditEvents.userAuthentication, action: 'E', outcome: 'success', requestId: c.get('requestId'), actor: actorOf(c, caller),
      detail: { event_type: eventTypes.logout, session_id: caller.sessionId },
    });
  });
  deleteCookie(c, sessionCookie, { path: '/', secure: isHttps(c) });
  c.header('clear-site-data', '"cache", "cookies", "storage"');
}

async function endSessionOfCookie(c: ApiContext, dependencies: ApiDependencies): Promise<void> {
  const token = getCookie(c, sessionCookie);
  const caller = token === undefined ? undefined : await callerOfSession(dependencies.database, token);
  if (caller) await inOrganization(dependencies.database, caller.organizationId, (tx) => revokeSession(tx, caller.sessionId));
}

/** The address that was typed is not kept: people type passwords there. */
async function refuse(c: ApiContext, dependencies: ApiDependencies, check: Exclude<PasswordCheck, { kind: 'correct' }>): Promise<Problem> {
  const account = check.kind === 'unknown' ? undefined : check.account;
  const lockedNow = check.kind === 'wrong' && check.lockedNow;
  await inOrganization(dependencies.database, account?.organization_id ?? UNASSIGNED_ORGANIZATION_ID, (tx) => recordAudit(tx, {
    ...auditEvents.userAuthentication, action: 'E', outcome: lockedNow ? 'serious_failure' : 'minor_failure', requestId: c.get('requestId'),
    actor: { kind: 'user', id: account?.user_id ?? 'unknown', role: account?.role, address: peerAddress(c) },
    detail: { event_type: eventTypes.login, reason: lockedNow ? 'locked now' : check.kind },
  }));
  // Whether an address is known, and whether it is locked, is told to nobody who lacks the password.
  return new Problem(401, 'The address or the password is wrong, or the account is locked for a while after too many attempts. An address that several organizations use also needs the organization\'s name.');
}
