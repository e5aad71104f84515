/** Checks a changed integration by its adapter's schema, seals what is secret, and writes row, version and audit in one transaction. */
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { lockIntegration, upsertIntegration, type IntegrationRow } from '../db/integrations.ts';
import type { Database } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import { inOrganization } from '../db/transaction.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { Adapter } from './adapter.ts';
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

function storedCredentials(stored: IntegrationRow | undefined, keys: Keys): object {
  return stored?.credentials_sealed ? JSON.parse(keys.open(credentialsPlace(stored.integration_id), stored.credentials_sealed)) as object : {};
}
