import { z } from '@hono/zod-openapi';
import { maximumPasswordLength } from '../../db/passwords.ts';
import type { ApiDependencies } from '../context.ts';
import { id } from '../fields.ts';
import { isAllowed, rolePermissions, roles, type Role } from '../permissions.ts';
import { requireOwnOrigin } from '../middleware/identify.ts';
import type { ApiRouter } from '../router.ts';
import { signIn, signOut } from '../sign-in.ts';

const Login = z.strictObject({
  email: z.string().min(3).max(254), password: z.string().min(1).max(maximumPasswordLength), organization: z.string().max(200).optional(),
}).openapi('Login');
const Me = z.object({
  user_id: id, organization_id: id, display_name: z.string(), role: z.enum(roles), signed_in_by: z.enum(['session', 'token']), permissions: z.array(z.string()),
}).openapi('Me');
const SignedIn = z.object({ user_id: id, organization_id: id, organization_name: z.string(), display_name: z.string(), role: z.enum(roles) }).openapi('SignedIn');

export function authRoutes(router: ApiRouter, dependencies: ApiDependencies): void {
  router.route('POST /auth/login', {
    summary: 'Sign in with a password', tag: 'auth', body: Login, returns: SignedIn, unaudited: 'sign-in.ts writes User Authentication events, of failures too',
    description: 'Sets the cookie `medscan_session`. Five wrong passwords lock the account for 15 minutes; a session ends after 15 idle minutes or 12 hours.',
  }, async ({ c, body }) => {
    if (c.req.header('origin') !== undefined) requireOwnOrigin(c);
    const account = await signIn(c, dependencies, body);
    return { user_id: account.user_id, organization_id: account.organization_id, organization_name: account.organization_name, display_name: account.display_name, role: account.role as Role };
  });

  router.route('POST /auth/logout', {
    summary: 'End the session', tag: 'auth', unaudited: 'sign-in.ts writes the User Authentication event', description: 'With an API token: revokes that token.',
  }, async ({ c, caller }) => {
    await signOut(c, dependencies, caller);
    return undefined;
  });

  router.route('GET /auth/me', { summary: 'Who am I', tag: 'auth', returns: Me, unaudited: 'tells the caller about itself' }, async ({ caller }) => ({
    user_id: caller.userId, organization_id: caller.organizationId, display_name: caller.name, role: caller.role as Role, signed_in_by: caller.via,
    permissions: (rolePermissions[caller.role as Role] ?? []).filter((permission) => isAllowed(caller.role, caller.scopes, permission)),
  }));
}
