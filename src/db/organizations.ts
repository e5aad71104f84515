import { z } from 'zod';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql, type Database } from './pool.ts';
import { insertReferenceData } from './reference-data.ts';
import { asSystem, inOrganization } from './transaction.ts';

export const organizationTypes = ['hospital', 'clinic', 'imaging_center', 'research'] as const;

const Organization = z.object({ organization_id: z.string(), name: z.string(), is_active: z.boolean() });
export type OrganizationName = z.infer<typeof Organization>;

/** All organizations except 'Unassigned', oldest first. */
export function listOrganizations(database: Database): Promise<readonly OrganizationName[]> {
  return asSystem(database, 'list organizations', (tx) => tx.any(sql.type(Organization)`
    SELECT organization_id, name, is_active FROM organizations WHERE organization_id <> ${UNASSIGNED_ORGANIZATION_ID} ORDER BY created_at, organization_id`));
}

/** The named organization (any case); without a name the only one there is. Throws with the choice when the answer is not one. */
export async function findOrganization(database: Database, name?: string): Promise<OrganizationName> {
  const all = await listOrganizations(database);
  const found = name === undefined ? all : all.filter((organization) => organization.name.toLowerCase() === name.toLowerCase());
  const [only] = found;
  if (only && found.length === 1) return only;
  if (all.length === 0) throw new Error('There is no organization yet. Create one with: medscan user create --organization NAME');
  throw new Error(`${name === undefined ? 'Name one organization' : `No organization is called "${name}"`}. There are: ${all.map((organization) => organization.name).join(', ')}.`);
}

export interface NewOrganization { readonly name: string; readonly organizationType?: (typeof organizationTypes)[number]; readonly timeZone?: string }

/** Creates the organization with its reference data (reference-data.ts), or returns the one that has the name already (`created` false). */
export async function ensureOrganization(database: Database, wanted: NewOrganization): Promise<{ organizationId: string; created: boolean }> {
  const existing = (await listOrganizations(database)).find((organization) => organization.name.toLowerCase() === wanted.name.toLowerCase());
  if (existing) return { organizationId: existing.organization_id, created: false };
  const organizationId = uuidV7();
  await inOrganization(database, organizationId, async (tx) => {
    await tx.query(sql.typeAlias('void')`
      INSERT INTO organizations (organization_id, name, organization_type, time_zone)
      VALUES (${ORGANIZATION}, ${wanted.name}, ${wanted.organizationType ?? 'hospital'}, ${wanted.timeZone ?? 'UTC'})`);
    await insertReferenceData(tx);
  });
  return { organizationId, created: true };
}
