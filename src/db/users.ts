import { z } from 'zod';
import { auditEvents, eventTypes, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { ORGANIZATION } from './current-organization.ts';
import { hashPassword, verifyPassword } from './passwords.ts';
import { sql, type Database } from './pool.ts';
import { asSystem, inOrganization, type Transaction } from './transaction.ts';

export interface NewUser {
  readonly email: string;
  readonly displayName: string;
  readonly role: string;
  /** Absent: the account cannot sign in with a password (the user behind an API token). */
  readonly password?: string | undefined;
}

/** Creates a user with its audit row. Throws UniqueIntegrityConstraintViolationError when the address is taken in this organization. */
export async function createUser(database: Database, organizationId: string, user: NewUser, actor: AuditActor): Promise<string> {
  const passwordHash = user.password === undefined ? null : await hashPassword(user.password);
  return inOrganization(database, organizationId, async (tx) => {
    const userId = await insertUser(tx, user, passwordHash);
    await recordAudit(tx, {
      ...auditEvents.securityAlert, action: 'C', outcome: 'success', actor, object: { type: 'user', id: userId },
      detail: { event_type: eventTypes.securityRolesChanged, role: user.role },
    });
    return userId;
  });
}

export async function insertUser(tx: Transaction, user: Omit<NewUser, 'password'>, passwordHash: string | null): Promise<string> {
  return tx.oneFirst(sql.type(z.object({ user_id: z.string() }))`
    INSERT INTO users (organization_id, email, display_name, role, password_hash)
    VALUES (${ORGANIZATION}, ${user.email.toLowerCase()}, ${user.displayName}, ${user.role}, ${passwordHash}) RETURNING user_id`);
}

const Account = z.object({
  organization_id: z.string(), organization_name: z.string(), user_id: z.string(), role: z.string(), display_name: z.string(), password_hash: z.string().nullable(),
});
export type Account = z.infer<typeof Account>;

export type PasswordCheck =
  | { readonly kind: 'correct'; readonly account: Account }
  | { readonly kind: 'locked'; readonly account: Account; readonly until: Date }
  | { readonly kind: 'wrong'; readonly account: Account; readonly lockedNow: boolean }
  | { readonly kind: 'unknown' };

const maximumAttempts = 5;
const lockMinutes = 15;

/**
 * Checks a password. An attempt is counted before the password is compared, so that guesses sent at once count as many; a correct one
 * sets the count back. An address that several organizations know needs `organizationName`.
 */
export async function checkPassword(database: Database, email: string, password: string, organizationName?: string): Promise<PasswordCheck> {
  const accounts = await asSystem(database, 'login', (tx) => tx.any(sql.type(Account)`
    SELECT u.organization_id, o.name AS organization_name, u.user_id, u.role, u.display_name, u.password_hash
    FROM users u JOIN organizations o USING (organization_id)
    WHERE lower(u.email) = ${email.toLowerCase()} AND u.is_active AND o.is_active AND u.password_hash IS NOT NULL
      AND (${organizationName ?? null}::text IS NULL OR lower(o.name) = ${organizationName?.toLowerCase() ?? null}) LIMIT 2`));
  const [account] = accounts;
  if (!account || accounts.length > 1) {
    await verifyPassword(null, password);
    return { kind: 'unknown' };
  }
  const attempt = await inOrganization(database, account.organization_id, (tx) => countAttempt(tx, account.user_id));
  if (attempt.lockedUntil) {
    await verifyPassword(null, password);
    return { kind: 'locked', account, until: attempt.lockedUntil };
  }
  if (!await verifyPassword(account.password_hash, password)) return { kind: 'wrong', account, lockedNow: attempt.attempts >= maximumAttempts };
  return { kind: 'correct', account };
}

const Attempt = z.object({ failed_attempts: z.int(), locked_until: z.date().nullable() });

async function countAttempt(tx: Transaction, userId: string): Promise<{ attempts: number; lockedUntil: Date | undefined }> {
  const counted = await tx.maybeOne(sql.type(Attempt)`
    UPDATE users SET
      failed_attempts = CASE WHEN locked_until IS NULL THEN failed_attempts + 1 ELSE 1 END,
      locked_until = CASE WHEN locked_until IS NULL AND failed_attempts + 1 >= ${maximumAttempts} THEN now() + make_interval(mins => ${lockMinutes}) END
    WHERE organization_id = ${ORGANIZATION} AND user_id = ${userId} AND (locked_until IS NULL OR locked_until <= now())
    RETURNING failed_attempts, locked_until`);
  if (counted) return { attempts: counted.failed_attempts, lockedUntil: undefined };
  const locked = await tx.one(sql.type(Attempt)`SELECT failed_attempts, locked_until FROM users WHERE organization_id = ${ORGANIZATION} AND user_id = ${userId}`);
  return { attempts: locked.failed_attempts, lockedUntil: locked.locked_until ?? new Date() };
}

export async function noteLogin(tx: Transaction, userId: string): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE users SET failed_attempts = 0, locked_until = NULL, last_login_at = now() WHERE organization_id = ${ORGANIZATION} AND user_id = ${userId}`);
}
