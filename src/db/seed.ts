/** Reference data for organizations, and the sample hospital of seeds/sample-hospital.yaml. Everything here may run again and again. */
import { z } from 'zod';
import { uuidV7 } from '#domain/uuid.ts';
import { auditEvents, eventTypes } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { ORGANIZATION } from './current-organization.ts';
import { lockIntegration, upsertIntegration } from './integrations.ts';
import { ensureOrganization, listOrganizations, organizationTypes } from './organizations.ts';
import { hashPassword, verifyPassword } from './passwords.ts';
import { sql, type Database } from './pool.ts';
import { insertReferenceData, insertWorkflowRules, readSeed, WorkflowRuleSeed } from './reference-data.ts';
import type { Keys } from './secrets.ts';
import { inOrganization, type Transaction } from './transaction.ts';
import { insertUser } from './users.ts';

const Account = z.strictObject({ email: z.string(), display_name: z.string() });
const SampleHospital = z.strictObject({
  organization: z.strictObject({ name: z.string(), organization_type: z.enum(organizationTypes), time_zone: z.string() }),
  administrator: Account,
  users: z.array(Account.extend({ role: z.string() })),
  default_ports: z.strictObject({ pacs: z.int(), ris: z.int(), emr: z.int() }),
  integrations: z.array(z.strictObject({
    name: z.string(), kind: z.string(), adapter: z.string(), direction: z.enum(['inbound', 'outbound', 'both']), purpose: z.string(), settings: z.record(z.string(), z.unknown()),
  })),
  workflow_rules: z.array(WorkflowRuleSeed),
});
type SampleHospital = z.infer<typeof SampleHospital>;

/** Ports on 127.0.0.1 where the hospital's systems take results. */
export interface SamplePorts { readonly pacs: number; readonly ris: number; readonly emr: number }

export interface SeededHospital {
  readonly organizationId: string;
  readonly organizationName: string;
  readonly adminEmail: string;
  /** Made from the installation's key, so that each installation has its own and a second run shows the same. Undefined once somebody changed it. */
  readonly adminPassword: string | undefined;
  /** integration name -> id */
  readonly integrations: Readonly<Record<string, string>>;
}

/** Models, report templates and workflow rules of seeds/ for one organization. */
export function seedReference(database: Database, organizationId: string): Promise<void> {
  return inOrganization(database, organizationId, insertReferenceData);
}

/** `medscan seed`: reference data for every organization, and the sample hospital without an account to sign in with. */
export async function seed(database: Database): Promise<void> {
  for (const { organization_id: organizationId } of await listOrganizations(database)) await seedReference(database, organizationId);
  const sample = await readSeed('sample-hospital.yaml', SampleHospital);
  await seedOrganization(database, sample, sample.default_ports);
}

/** The sample hospital with its administrator; PACS, RIS and EMR are pointed at `ports`. */
export async function seedSampleHospital(database: Database, keys: Keys, ports: SamplePorts): Promise<SeededHospital> {
  const sample = await readSeed('sample-hospital.yaml', SampleHospital);
  const { organizationId, integrations } = await seedOrganization(database, sample, ports);
  const password = keys.derive('sample-hospital-administrator').toString('base64url').slice(0, 20);
  const adminPassword = await ensureAdministrator(database, organizationId, sample.administrator, password);
  return { organizationId, organizationName: sample.organization.name, adminEmail: sample.administrator.email, adminPassword, integrations };
}

async function seedOrganization(database: Database, sample: SampleHospital, ports: SamplePorts): Promise<{ organizationId: string; integrations: Record<string, string> }> {
  const { organization } = sample;
  const { organizationId } = await ensureOrganization(database, { name: organization.name, organizationType: organization.organization_type, timeZone: organization.time_zone });
  const integrations = await inOrganization(database, organizationId, async (tx) => {
    await insertReferenceData(tx);
    await insertWorkflowRules(tx, sample.workflow_rules);
    for (const user of sample.users) if (!await findUser(tx, user.email)) await insertUser(tx, { email: user.email, displayName: user.display_name, role: user.role }, null);
    const ids: Record<string, string> = {};
    for (const integration of sample.integrations) ids[integration.name] = await ensureIntegration(tx, integration, ports);
    return ids;
  });
  return { organizationId, integrations };
}

/** Writes a new version only when something differs, for example the port of a simulator that was started again. */
async function ensureIntegration(tx: Transaction, wanted: SampleHospital['integrations'][number], ports: SamplePorts): Promise<string> {
  const settings = withPorts(wanted.settings, ports) as Record<string, unknown>;
  const stored = await lockIntegration(tx, { name: wanted.name });
  if (stored && sorted(stored.settings) === sorted(settings)) return stored.integration_id;
  const integrationId = stored?.integration_id ?? uuidV7();
  const version = (stored?.version ?? 0) + 1;
  await upsertIntegration(tx, {
    integrationId, name: wanted.name, kind: wanted.kind, adapter: wanted.adapter, direction: wanted.direction, settings, credentialsSealed: stored?.credentials_sealed ?? null,
    isEnabled: stored?.is_enabled ?? true, ownerContact: null, purpose: wanted.purpose, version,
  }, 'medscan seed');
  await recordAudit(tx, {
    ...auditEvents.securityAlert, action: stored ? 'U' : 'C', outcome: 'success', actor: { kind: 'system', id: 'medscan seed' },
    object: { type: 'integration', id: integrationId }, detail: { event_type: eventTypes.softwareConfiguration, name: wanted.name, version },
  });
  return integrationId;
}

async function ensureAdministrator(database: Database, organizationId: string, account: z.infer<typeof Account>, password: string): Promise<string | undefined> {
  const existing = await inOrganization(database, organizationId, (tx) => findUser(tx, account.email));
  if (existing) return await verifyPassword(existing.password_hash, password) ? password : undefined;
  const passwordHash = await hashPassword(password);
  await inOrganization(database, organizationId, async (tx) => {
    const userId = await insertUser(tx, { email: account.email, displayName: account.display_name, role: 'administrator' }, passwordHash);
    await recordAudit(tx, {
      ...auditEvents.securityAlert, action: 'C', outcome: 'success', actor: { kind: 'system', id: 'medscan seed' }, object: { type: 'user', id: userId },
      detail: { event_type: eventTypes.securityRolesChanged, role: 'administrator' },
    });
  });
  return password;
}

async function findUser(tx: Transaction, email: string): Promise<{ password_hash: string | null } | undefined> {
  const User = z.object({ password_hash: z.string().nullable() });
  return await tx.maybeOne(sql.type(User)`SELECT password_hash FROM users WHERE organization_id = ${ORGANIZATION} AND lower(email) = ${email.toLowerCase()}`) ?? undefined;
}

/** '{pacs}' alone becomes the number, inside a longer text its digits. */
function withPorts(value: unknown, ports: SamplePorts): unknown {
  if (Array.isArray(value)) return value.map((entry) => withPorts(entry, ports));
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, withPorts(entry, ports)]));
  if (typeof value !== 'string') return value;
  const whole = /^\{(pacs|ris|emr)\}$/.exec(value)?.[1] as keyof SamplePorts | undefined;
  return whole ? ports[whole] : value.replaceAll(/\{(pacs|ris|emr)\}/g, (_match, name: keyof SamplePorts) => String(ports[name]));
}

function sorted(value: unknown): string {
  return JSON.stringify(value, (_name, entry: unknown) => (typeof entry === 'object' && entry !== null && !Array.isArray(entry)
    ? Object.fromEntries(Object.entries(entry).toSorted(([a], [b]) => a.localeCompare(b))) : entry));
}
