/** Runs before a route's body is read: an unknown caller costs one look-up and no byte of the body. */
import type { MiddlewareHandler } from 'hono';
import { auditEvents, eventTypes } from '../../audit/event.ts';
import { recordAudit } from '../../audit/record.ts';
import { inOrganization } from '../../db/transaction.ts';
import type { Caller } from '../../db/user-sessions.ts';
import { actorOf, type ApiContext, type ApiDependencies, type ApiEnv } from '../context.ts';
import { isAllowed, type Permission, type RoutePermission } from '../permissions.ts';
import { Problem } from '../problem.ts';
import { identify } from './identify.ts';

export function authorize(dependencies: ApiDependencies, permission: RoutePermission): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    if (permission !== 'public') {
      const caller = await identify(c, dependencies);
      c.set('caller', caller);
      if (permission !== 'signed-in' && !isAllowed(caller.role, caller.scopes, permission)) {
        await recordRefusedUse(c, dependencies, caller, permission);
        throw new Problem(403, `This needs the permission ${permission}, which the role ${caller.role} does not have${caller.scopes.length > 0 ? ' within this token\'s scopes' : ''}.`);
      }
    }
    await next();
  };
}

/** On record: somebody wanted what the role may not. */
export function recordRefusedUse(c: ApiContext, { database }: ApiDependencies, caller: Caller, permission: Permission): Promise<void> {
  return inOrganization(database, caller.organizationId, (tx) => recordAudit(tx, {
    ...auditEvents.securityAlert, action: 'E', outcome: 'minor_failure', actor: actorOf(c, caller), requestId: c.get('requestId'),
    detail: { event_type: eventTypes.useOfRestrictedFunction, route: `${c.req.method} ${c.req.routePath}`, permission },
  }));
}
