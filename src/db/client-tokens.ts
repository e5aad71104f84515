/** Tokens of systems that log in by assertion: one service account per integration, an API token per login, and each assertion once. */
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { uuidV7 } from '#domain/uuid.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql, type Transaction } from './pool.ts';
import { insertUser } from './users.ts';

const SENDER = 'token endpoint';
/** Longer than any assertion is good for. */
const ASSERTION_HOURS = 1;

/** False when this integration used the assertion before. Held by the primary key, so that two nodes cannot both take it. */
export async function takeAssertion(tx: Transaction, integrationId: string, assertionId: string): Promise<boolean> {
  await tx.query(sql.typeAlias('void')`
    DELETE FROM message_identities WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND sender = ${SENDER} AND created_at < now() - make_interval(hours => ${ASSERTION_HOURS})`);
  const { rowCount } = await tx.query(sql.typeAlias('void')`
    INSERT INTO message_identities (organization_id, integration_id, sender, control_id, sha256, interaction, sync_id)
    VALUES (${ORGANIZATION}, ${integrationId}, ${SENDER}, ${createHash('sha256').update(assertionId).digest('hex')}, '', 'client_credentials', ${uuidV7()}) ON CONFLICT DO NOTHING`);
  return rowCount === 1;
}

const Account = z.object({ user_id: z.string(), is_active: z.boolean() });

/** The integration's service account, made at its first login; undefined when an administrator disabled it. */
export async function serviceAccount(tx: Transaction, integrationId: string, name: string): Promise<string | undefined> {
  const email = `client-${integrationId}@service.invalid`;
  const account = await tx.maybeOne(sql.type(Account)`SELECT user_id, is_active FROM users WHERE organization_id = ${ORGANIZATION} AND lower(email) = ${email}`);
  if (account) return account.is_active ? account.user_id : undefined;
  return insertUser(tx, { email, displayName: name, role: 'service' }, null);
}

/** The token is returned once and stored nowhere; tokens of the account that have ended are removed. */
export async function insertToken(tx: Transaction, userId: string, token: { readonly name: string; readonly scopes: readonly string[]; readonly lifetimeSeconds: number }): Promise<{ token: string; sessionId: string }> {
  const secret = `msk_${randomBytes(32).toString('base64url')}`;
  await tx.query(sql.typeAlias('void')`DELETE FROM user_sessions WHERE organization_id = ${ORGANIZATION} AND user_id = ${userId} AND expires_at < now()`);
  const sessionId = await tx.oneFirst(sql.type(z.object({ session_id: z.string() }))`
    INSERT INTO user_sessions (organization_id, user_id, kind, token_name, token_hash, scopes, expires_at)
    VALUES (${ORGANIZATION}, ${userId}, 'api_token', ${token.name}, ${createHash('sha256').update(secret).digest('hex')}, ${sql.array([...token.scopes], 'text')}, now() + make_interval(secs => ${token.lifetimeSeconds}))
    RETURNING session_id`);
  return { token: secret, sessionId };
}
