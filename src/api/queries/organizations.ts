import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { organizationTypes } from '../../db/organizations.ts';
import { id, timestamp } from '../fields.ts';

export const Organization = z.object({
  organization_id: id, name: z.string(), organization_type: z.enum(organizationTypes),
  subscription_plan: z.enum(['basic', 'professional', 'enterprise']), time_zone: z.string(), is_active: z.boolean(), created_at: timestamp, updated_at: timestamp,
}).openapi('Organization');

export const OrganizationChange = z.strictObject({
  name: z.string().trim().min(1).max(200),
  organization_type: z.enum(organizationTypes),
  time_zone: z.string().refine(isTimeZone, 'Not an IANA time zone, such as Europe/Berlin'),
}).partial().refine((change) => Object.keys(change).length > 0, 'Nothing to change').openapi('OrganizationChange');

const columns = sql.fragment`organization_id, name, organization_type, subscription_plan, time_zone, is_active, created_at, updated_at`;

export function readOrganization(tx: Transaction, organizationId: string) {
  return tx.maybeOne(sql.type(Organization)`SELECT ${columns} FROM organizations WHERE organization_id = ${ORGANIZATION} AND organization_id = ${organizationId}`);
}

export function updateOrganization(tx: Transaction, organizationId: string, change: z.output<typeof OrganizationChange>) {
  return tx.maybeOne(sql.type(Organization)`
    UPDATE organizations SET name = coalesce(${change.name ?? null}, name), organization_type = coalesce(${change.organization_type ?? null}, organization_type),
      time_zone = coalesce(${change.time_zone ?? null}, time_zone)
    WHERE organization_id = ${ORGANIZATION} AND organization_id = ${organizationId} RETURNING ${columns}`);
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
