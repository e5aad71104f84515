import { auditEvents, eventTypes } from '../../audit/event.ts';
import { pathId } from '../fields.ts';
import { listOf } from '../pagination.ts';
import { notFound } from '../problem.ts';
import { Organization, OrganizationChange, readOrganization, updateOrganization } from '../queries/organizations.ts';
import type { ApiRouter } from '../router.ts';

const unaudited = 'neither a patient nor configuration of security';

export function organizationRoutes(router: ApiRouter): void {
  router.route('GET /organizations', { summary: 'The organizations of the caller: its own', tag: 'organizations', returns: listOf(Organization), unaudited }, async ({ transact, caller }) => {
    const own = await transact((tx) => readOrganization(tx, caller.organizationId));
    return { items: own ? [own] : [], next_cursor: null };
  });

  router.route('GET /organizations/{organization_id}', {
    summary: 'One organization', tag: 'organizations', params: pathId('organization_id'), returns: Organization, unaudited,
  }, async ({ transact, params }) => {
    const organization = await transact((tx) => readOrganization(tx, params.organization_id));
    if (!organization) throw notFound('organization');
    return organization;
  });

  router.route('PATCH /organizations/{organization_id}', {
    summary: 'Change name, type or time zone', tag: 'organizations', params: pathId('organization_id'), body: OrganizationChange, returns: Organization,
  }, ({ transact, params, body }) => transact(async (tx, audit) => {
    const organization = await updateOrganization(tx, params.organization_id, body);
    if (!organization) throw notFound('organization');
    await audit({
      ...auditEvents.securityAlert, action: 'U', object: { type: 'organization', id: organization.organization_id },
      detail: { event_type: eventTypes.softwareConfiguration, changed: Object.keys(body) },
    });
    return organization;
  }));
}
