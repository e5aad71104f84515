import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { maximumPasswordLength, minimumPasswordLength } from '../../db/passwords.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, optionalTimestamp, timestamp } from '../fields.ts';
import { keyAfter, type Page } from '../pagination.ts';
import { roles } from '../permissions.ts';

export const User = z.object({
  user_id: id, email: z.string(), display_name: z.string(), role: z.enum(roles), is_active: z.boolean(),
  locked_until: optionalTimestamp, last_login_at: optionalTimestamp, created_at: timestamp, updated_at: timestamp,
}).openapi('User');

const password = z.string().min(minimumPasswordLength, `At least ${minimumPasswordLength} characters`).max(maximumPasswordLength);

export const UserCreation = z.strictObject({
  email: z.email().max(254), display_name: z.string().trim().min(1).max(200), role: z.enum(roles).exclude(['service']), password,
}).openapi('UserCreation');

export const UserChange = z.strictObject({
  display_name: z.string().trim().min(1).max(200), role: z.enum(roles).exclude(['service']), is_active: z.boolean(), password,
  locked: z.literal(false).describe('false lifts the lock after too many failed sign-ins'),
}).partial().refine((change) => Object.keys(change).length > 0, 'Nothing to change').openapi('UserChange');

const columns = sql.fragment`user_id, email, display_name, role, is_active, locked_until, last_login_at, created_at, updated_at`;

export function listUsers(tx: Transaction, page: Page) {
  return tx.any(sql.type(User)`
    SELECT ${columns} FROM users WHERE organization_id = ${ORGANIZATION} AND user_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY user_id DESC LIMIT ${page.limit + 1}`);
}

export function readUser(tx: Transaction, userId: string) {
  return tx.maybeOne(sql.type(User)`SELECT ${columns} FROM users WHERE organization_id = ${ORGANIZATION} AND user_id = ${userId}`);
}

export function updateUser(tx: Transaction, userId: string, change: Omit<z.output<typeof UserChange>, 'password'>, passwordHash: string | null) {
  return tx.maybeOne(sql.type(User)`
    UPDATE users SET display_name = coalesce(${change.display_name ?? null}, display_name), role = coalesce(${change.role ?? null}, role),
      is_active = coalesce(${change.is_active ?? null}, is_active), password_hash = coalesce(${passwordHash}, password_hash),
      failed_attempts = CASE WHEN ${change.locked === false} THEN 0 ELSE failed_attempts END,
      locked_until = CASE WHEN ${change.locked === false} THEN NULL ELSE locked_until END
    WHERE organization_id = ${ORGANIZATION} AND user_id = ${userId} RETURNING ${columns}`);
}

/** Administrators who can still sign in, without this one; locks their rows, so that two of them cannot remove each other at once. */
export async function otherAdministrators(tx: Transaction, userId: string): Promise<number> {
  const administrators = await tx.any(sql.type(z.object({ user_id: z.string() }))`
    SELECT user_id FROM users WHERE organization_id = ${ORGANIZATION} AND role = 'administrator' AND is_active AND password_hash IS NOT NULL ORDER BY user_id FOR UPDATE`);
  return administrators.filter((administrator) => administrator.user_id !== userId).length;
}
