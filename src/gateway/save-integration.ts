/** Checks a changed integration by its adapter's schema, seals what is secret, and writes row, version and audit in one transaction. */
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { allIntegrations, lockIntegration, oneFolderSaveAtATime, upsertIntegration, type IntegrationRow } from '../db/integrations.ts';
import type { Database, Transaction } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import { asSystem, inOrganization } from '../db/transaction.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { Adapter } from './adapter.ts';
import { foldersNamed, isSameFolderName } from './folders.ts';
import { credentialsPlace } from './integrations.ts';
import { splitSecrets } from './settings-form.ts';

export interface IntegrationChange {
  readonly name: string;
  readonly kind: 'pacs' | 'ris' | 'emr' | 'modality' | 'ai' | 'archive';
  readonly adapter: string;
  readonly direction: 'inbound' | 'outbound' | 'both';
  readonly settings: Readonly<Record<string, unknown>>;
  readonly isEnabled: boolean;
  readonly ownerContact?: string | null | undefined;
  readonly purpose?: string | null | undefined;
  /** Refuse (kind 'stale') unless the stored row has this version. */
  readonly expectedVersion?: number | undefined;
}
export type SavedIntegration =
  | { readonly kind: 'saved'; readonly integrationId: string; readonly version: number }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'stale'; readonly version: number }
  /** `pointer` is a JSON pointer into the change: /settings/port. */
  | { readonly kind: 'invalid'; readonly errors: readonly { readonly pointer: string; readonly message: string }[] };

export interface SaveDependencies { readonly database: Database; readonly keys: Keys; readonly adapters: ReadonlyMap<string, Adapter> }

/** `which` undefined creates, or, by name, changes the one of that name. */
export async function saveIntegration(dependencies: SaveDependencies, organizationId: string, which: { integrationId: string } | { name: string } | undefined, change: IntegrationChange, actor: AuditActor): Promise<SavedIntegration> {
  const adapter = dependencies.adapters.get(change.adapter);
  if (!adapter) return { kind: 'invalid', errors: [{ pointer: '/adapter', message: `no adapter named '${change.adapter}' is installed; there are ${[...dependencies.adapters.keys()].join(', ')}` }] };
  return inOrganization(dependencies.database, organizationId, async (tx): Promise<SavedIntegration> => {
    const stored = which && await lockIntegration(tx, which);
    if (which && 'integrationId' in which && !stored) return { kind: 'not-found' };
    if (stored && change.expectedVersion !== undefined && change.expectedVersion !== stored.version) return { kind: 'stale', version: stored.version };
    const integrationId = stored?.integration_id ?? uuidV7();
    // null takes a setting away: a secret that is left out stays as it is stored.
    const config = Object.fromEntries(Object.entries({ ...storedCredentials(stored, dependencies.keys), ...change.settings }).filter(([, value]) => value !== null));
    const parsed = adapter.configSchema.safeParse(config);
    if (!parsed.success) return { kind: 'invalid', errors: parsed.error.issues.map((issue) => ({ pointer: `/settings/${issue.path.map(String).join('/')}`, message: issue.message })) };
    const taken = await foldersTaken(dependencies, tx, adapter, organizationId, parsed.data as object);
    if (taken.length > 0) return { kind: 'invalid', errors: taken.map((setting) => ({ pointer: `/settings/${setting}`, message: 'is the name of a folder of another organization; a folder belongs to one organization, so name another' })) };
    const { settings, credentials } = splitSecrets(adapter.configSchema, config);
    const version = (stored?.version ?? 0) + 1;
    await upsertIntegration(tx, {
      integrationId, name: change.name, kind: change.kind, adapter: change.adapter, direction: change.direction, settings, isEnabled: change.isEnabled, version,
      credentialsSealed: Object.keys(credentials).length > 0 ? dependencies.keys.seal(credentialsPlace(integrationId), JSON.stringify(credentials)) : null,
      ownerContact: change.ownerContact ?? null, purpose: change.purpose ?? null,
    }, actor.id);
    await recordAudit(tx, { ...auditEvents.securityAlert, action: stored ? 'U' : 'C', outcome: 'success', actor, object: { type: 'integration', id: integrationId }, detail: { name: change.name, version } });
    return { kind: 'saved', integrationId, version };
  });
}

/** The settings that name a folder of another organization, be its integration switched off or not. Two that save at once are told one after the other. */
async function foldersTaken({ database, adapters }: SaveDependencies, tx: Transaction, adapter: Adapter, organizationId: string, settings: object): Promise<readonly string[]> {
  const named = foldersNamed(adapter, settings);
  if (named.length === 0) return [];
  await oneFolderSaveAtATime(tx);
  const rows = (await asSystem(database, 'whose folder it is', allIntegrations)).filter((row) => row.organization_id !== organizationId);
  const others = rows.flatMap((row) => { const its = adapters.get(row.adapter); return its ? foldersNamed(its, row.settings) : []; });
  return named.filter(({ folder }) => others.some((other) => isSameFolderName(folder, other.folder))).map(({ setting }) => setting);
}

function storedCredentials(stored: IntegrationRow | undefined, keys: Keys): object {
  return stored?.credentials_sealed ? JSON.parse(keys.open(credentialsPlace(stored.integration_id), stored.credentials_sealed)) as object : {};
}
