import { auditEvents, eventTypes } from '../../audit/event.ts';
import { hashPassword } from '../../db/passwords.ts';
import type { Transaction } from '../../db/transaction.ts';
import { revokeSessionsOf } from '../../db/user-sessions.ts';
import { insertUser } from '../../db/users.ts';
import { pathId } from '../fields.ts';
import { listOf, pageQuery, toPage } from '../pagination.ts';
import { notFound, Problem } from '../problem.ts';
import { listUsers, otherAdministrators, readUser, updateUser, User, UserChange, UserCreation } from '../queries/users.ts';
import type { ApiRouter } from '../router.ts';

const rights = { event_type: eventTypes.userSecurityAttributesChanged };

export function userRoutes(router: ApiRouter): void {
  router.route('GET /users', { summary: 'Users and service accounts', tag: 'users', query: pageQuery, returns: listOf(User) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listUsers(tx, query), query, (user) => user.user_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'user', id: '*' }, detail: { results: page.items.length } });
    return page;
  }));

  router.route('POST /users', {
    summary: 'Create a user', tag: 'users', body: UserCreation, returns: User, status: 201,
  }, async ({ transact, body }) => {
    const passwordHash = await hashPassword(body.password);
    return transact(async (tx, audit) => {
      const userId = await insertUser(tx, { email: body.email, displayName: body.display_name, role: body.role }, passwordHash);
      await audit({ ...auditEvents.securityAlert, action: 'C', object: { type: 'user', id: userId }, detail: { ...rights, role: body.role } });
      return existing(tx, userId);
    });
  });

  router.route('GET /users/{user_id}', { summary: 'One user', tag: 'users', params: pathId('user_id'), returns: User }, ({ transact, params }) => transact(async (tx, audit) => {
    const user = await existing(tx, params.user_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'user', id: user.user_id } });
    return user;
  }));

  router.route('PATCH /users/{user_id}', {
    summary: 'Change name, role, password or activity; lift a lock', tag: 'users', params: pathId('user_id'), body: UserChange, returns: User,
    description: 'Disabling a user, or changing role or password, ends all its sessions and tokens at once. The last administrator can be neither disabled nor given another role.',
  }, async ({ transact, params, body }) => {
    const { password, ...change } = body;
    const passwordHash = password === undefined ? null : await hashPassword(password);
    return transact(async (tx, audit) => {
      const before = await existing(tx, params.user_id);
      const leaves = change.is_active === false || (change.role !== undefined && change.role !== 'administrator');
      if (before.role === 'administrator' && leaves) await keepOneAdministrator(tx, before.user_id);
      const user = await updateUser(tx, params.user_id, change, passwordHash);
      if (!user) throw notFound('user');
      const ends = change.is_active === false || passwordHash !== null || user.role !== before.role;
      const ended = ends ? await revokeSessionsOf(tx, user.user_id) : 0;
      await audit({ ...auditEvents.securityAlert, action: 'U', object: { type: 'user', id: user.user_id }, detail: { ...rights, changed: Object.keys(body), role: user.role, sessions_ended: ended } });
      return user;
    });
  });

  router.route('DELETE /users/{user_id}', {
    summary: 'Disable a user', tag: 'users', params: pathId('user_id'),
    description: 'The row stays, because audit entries and confirmed findings name it; all sessions and tokens end at once.',
  }, ({ transact, params, caller }) => transact(async (tx, audit) => {
    if (params.user_id === caller.userId) throw new Problem(409, 'Nobody can disable the account they are signed in with.');
    const user = await existing(tx, params.user_id);
    if (user.role === 'administrator') await keepOneAdministrator(tx, user.user_id);
    await updateUser(tx, params.user_id, { is_active: false }, null);
    const ended = await revokeSessionsOf(tx, params.user_id);
    await audit({ ...auditEvents.securityAlert, action: 'D', object: { type: 'user', id: params.user_id }, detail: { ...rights, sessions_ended: ended } });
    return undefined;
  }));
}

async function existing(tx: Transaction, userId: string) {
  const user = await readUser(tx, userId);
  if (!user) throw notFound('user');
  return user;
}

async function keepOneAdministrator(tx: Transaction, userId: string): Promise<void> {
  if (await otherAdministrators(tx, userId) === 0) throw new Problem(409, 'This is the last administrator of the organization. Make another one first.');
}
