/**
 * Browser sessions and API tokens. Both are 256 random bits that only the holder has; the table keeps their SHA-256. Every request
 * looks its token up, so that revoking a session or disabling a user holds from the next request on.
 */
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Principal } from '#gateway/adapter.ts';
import { auditEvents, eventTypes, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { ORGANIZATION } from './current-organization.ts';
import { findOrganization } from './organizations.ts';
import { sql, type Database } from './pool.ts';
import { asSystem, inOrganization, type Transaction } from './transaction.ts';
import { insertUser } from './users.ts';

/** Limits of browser sessions while the organization has not set its own (system_settings). */
export const idleMinutes = 15;
export const absoluteHours = 12;
const limit = (key: 'session_idle_minutes' | 'session_hours', fallback: number) => sql.fragment`coalesce((SELECT value::text::integer FROM system_settings
  WHERE organization_id = ${ORGANIZATION} AND setting_key = ${key} ORDER BY version DESC LIMIT 1), ${fallback})`;
const tokenPrefix = 'msk_';

/** Who stands behind a session or token. */
export interface Caller {
  /** A person, or the service account behind an API token. */
  readonly kind: 'user' | 'application';
  readonly organizationId: string;
  readonly userId: string;
  readonly sessionId: string;
  readonly role: string;
  readonly name: string;
  /** A token's own list of permissions; empty: all of its role. */
  readonly scopes: readonly string[];
  readonly via: 'session' | 'token';
}

export interface SessionOrigin { readonly address: string; readonly userAgent: string | undefined }

/** Starts a browser session in the caller's transaction; the returned token goes into the cookie and is stored nowhere. */
export async function startSession(tx: Transaction, userId: string, origin: SessionOrigin): Promise<{ token: string; sessionId: string }> {
  const token = randomBytes(32).toString('base64url');
  const sessionId = await tx.oneFirst(sql.type(z.object({ session_id: z.string() }))`
    INSERT INTO user_sessions (organization_id, user_id, kind, token_hash, ip_address, user_agent, idle_expires_at, expires_at)
    VALUES (${ORGANIZATION}, ${userId}, 'browser', ${hashToken(token)}, ${origin.address}, ${origin.userAgent?.slice(0, 300) ?? null},
      now() + make_interval(mins => ${limit('session_idle_minutes', idleMinutes)}), now() + make_interval(hours => ${limit('session_hours', absoluteHours)}))
    RETURNING session_id`);
  return { token, sessionId };
}

export async function revokeSession(tx: Transaction, sessionId: string): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE user_sessions SET revoked_at = now() WHERE organization_id = ${ORGANIZATION} AND session_id = ${sessionId} AND revoked_at IS NULL`);
}

/** Ends a user's sessions and tokens; returns how many were alive. */
export async function revokeSessionsOf(tx: Transaction, userId: string): Promise<number> {
  const { rowCount } = await tx.query(sql.typeAlias('void')`
    UPDATE user_sessions SET revoked_at = now() WHERE organization_id = ${ORGANIZATION} AND user_id = ${userId} AND revoked_at IS NULL`);
  return rowCount;
}

/** The caller behind a session cookie; undefined when it is unknown, revoked, idle for too long (15 minutes), too old (12 hours), or its user is disabled. A page that reloads itself is no activity: it passes keepAlive false. */
export async function callerOfSession(database: Database, token: string, options: { readonly keepAlive: boolean } = { keepAlive: true }): Promise<Caller | undefined> {
  const session = await find(database, 'browser', token);
  if (!session) return undefined;
  // Every 20 s is exact enough for minutes, and spares a write per request.
  if (options.keepAlive && session.seconds_unseen >= 20) await inOrganization(database, session.organization_id, (tx) => touch(tx, session.session_id, true));
  return toCaller(session, 'session');
}

export async function callerOfToken(database: Database, token: string): Promise<Caller | undefined> {
  if (!token.startsWith(tokenPrefix)) return undefined;
  const session = await find(database, 'api_token', token);
  if (!session) return undefined;
  if (session.seconds_unseen >= 60) await inOrganization(database, session.organization_id, (tx) => touch(tx, session.session_id, false));
  return toCaller(session, 'token');
}

/** What an adapter's context.authenticate answers from: API tokens only, never a browser's session. */
export async function resolveToken(database: Database, token: string): Promise<Principal | undefined> {
  const caller = await callerOfToken(database, token);
  return caller && { organizationId: caller.organizationId, userId: caller.userId, role: caller.role, name: caller.name };
}

export interface NewApiToken {
  /** Absent: the only organization there is. */
  readonly organizationName?: string | undefined;
  readonly role: string;
  /** Shows in the audit log as the caller's name. */
  readonly name: string;
  readonly scopes?: readonly string[] | undefined;
  /** Absent: never. */
  readonly expiresAt?: Date | undefined;
}

/** Makes a service account with the role and a token for it. The token is returned once and cannot be read again. */
export async function createApiToken(database: Database, wanted: NewApiToken, actor: AuditActor = { kind: 'system', id: 'medscan token create' }): Promise<{ token: string; organizationId: string; userId: string; sessionId: string }> {
  const { organization_id: organizationId } = await findOrganization(database, wanted.organizationName);
  const token = `${tokenPrefix}${randomBytes(32).toString('base64url')}`;
  return inOrganization(database, organizationId, async (tx) => {
    const userId = await insertUser(tx, { email: `token-${randomBytes(6).toString('hex')}@service.invalid`, displayName: wanted.name, role: wanted.role }, null);
    const sessionId = await tx.oneFirst(sql.type(z.object({ session_id: z.string() }))`
      INSERT INTO user_sessions (organization_id, user_id, kind, token_name, token_hash, scopes, expires_at)
      VALUES (${ORGANIZATION}, ${userId}, 'api_token', ${wanted.name}, ${hashToken(token)}, ${sql.array([...wanted.scopes ?? []], 'text')}, ${wanted.expiresAt?.toISOString() ?? null}::timestamptz)
      RETURNING session_id`);
    await recordAudit(tx, {
      ...auditEvents.securityAlert, action: 'C', outcome: 'success', actor, object: { type: 'api_token', id: sessionId },
      detail: { event_type: eventTypes.userSecurityAttributesChanged, role: wanted.role, token_name: wanted.name, scopes: wanted.scopes ?? [] },
    });
    return { token, organizationId, userId, sessionId };
  });
}

const Found = z.object({
  organization_id: z.string(), session_id: z.string(), user_id: z.string(), role: z.string(), name: z.string(), scopes: z.array(z.string()), seconds_unseen: z.number(),
});
type Found = z.infer<typeof Found>;

async function find(database: Database, kind: 'browser' | 'api_token', token: string): Promise<Found | undefined> {
  const found = await asSystem(database, 'session', (tx) => tx.maybeOne(sql.type(Found)`
    SELECT s.organization_id, s.session_id, s.user_id, u.role, coalesce(s.token_name, u.display_name) AS name, s.scopes,
      extract(epoch FROM now() - s.last_seen_at)::float8 AS seconds_unseen
    FROM user_sessions s JOIN users u USING (organization_id, user_id) JOIN organizations o USING (organization_id)
    WHERE s.token_hash = ${hashToken(token)} AND s.kind = ${kind} AND s.revoked_at IS NULL AND u.is_active AND o.is_active
      AND coalesce(s.idle_expires_at > now(), true) AND coalesce(s.expires_at > now(), true)`));
  return found ?? undefined;
}

async function touch(tx: Transaction, sessionId: string, idles: boolean): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE user_sessions SET last_seen_at = now(), idle_expires_at = CASE WHEN ${idles} THEN now() + make_interval(mins => ${limit('session_idle_minutes', idleMinutes)}) END
    WHERE organization_id = ${ORGANIZATION} AND session_id = ${sessionId}`);
}

function toCaller(found: Found, via: 'session' | 'token'): Caller {
  return {
    kind: via === 'token' ? 'application' : 'user', organizationId: found.organization_id, userId: found.user_id, sessionId: found.session_id,
    role: found.role, name: found.name, scopes: found.scopes, via,
  };
}

function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
