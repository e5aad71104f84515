/** What a person does with integrations, from the API or the command line: save one, test one, see which adapters there are. */
import type { Config } from '../config.ts';
import type { AuditActor } from '../audit/event.ts';
import type { Database } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import type { Log } from '../log.ts';
import type { Adapter, ConnectionTest, ConnectionTestOptions, Integration } from './adapter.ts';
import { adapterContext } from './context.ts';
import { foldersOfOthers } from './folders.ts';
import { openIntegrations } from './integrations.ts';
import product from '../../package.json' with { type: 'json' };
import { listenerLimits } from './listener-limits.ts';
import { loadAdapters } from './registry.ts';
import { saveIntegration, type IntegrationChange, type SavedIntegration } from './save-integration.ts';
import { secretFields, settingsSchema } from './settings-form.ts';

export interface AdapterDescription {
  readonly name: string;
  readonly title: string;
  readonly summary: string;
  /** JSON Schema (2020-12) of the settings. */
  readonly settingsSchema: Readonly<Record<string, unknown>>;
  /** Names of settings that are credentials: accepted, never returned. */
  readonly secretFields: readonly string[];
  readonly inbound: readonly string[];
  readonly outbound: readonly string[];
  /** Whether a message can be tried without being sent. */
  readonly dryRun: boolean;
}

export interface IntegrationCommands {
  /** Every installed adapter, with the form of its settings. */
  adapterCatalog(): readonly AdapterDescription[];
  /**
   * Validates settings and credentials by the adapter's schema, seals secrets, writes the row with its version history and an audit
   * row, in one transaction. Secrets that are absent keep their stored value. `integrationId` undefined creates.
   */
  saveIntegration(organizationId: string, integrationId: string | undefined, change: IntegrationChange, actor: AuditActor): Promise<SavedIntegration>;
  /** Runs the adapter's testConnection. undefined: no such integration in this organization. */
  testIntegration(organizationId: string, integrationId: string, options?: ConnectionTestOptions): Promise<ConnectionTest | undefined>;
  /** The adapter's conformance statement with the organization's integrations, or the one of that name, as Markdown. undefined: no such adapter or integration, or it states none. */
  conformanceStatement(organizationId: string, adapter: string, integration?: string): Promise<string | undefined>;
}

export async function integrationCommands(dependencies: { database: Database; keys: Keys; log: Log; adapters?: ReadonlyMap<string, Adapter>; config?: Config }): Promise<IntegrationCommands> {
  const adapters = dependencies.adapters ?? await loadAdapters();
  const { database, keys, log } = dependencies;
  return {
    adapterCatalog: () => [...adapters.values()].map((adapter) => ({
      name: adapter.name, title: adapter.title, summary: adapter.summary, settingsSchema: settingsSchema(adapter.configSchema), secretFields: secretFields(adapter.configSchema),
      inbound: adapter.inbound?.interactions ?? [], outbound: adapter.outbound?.interactions ?? [], dryRun: adapter.inbound?.read !== undefined,
    })),
    saveIntegration: (organizationId, integrationId, change, actor) =>
      saveIntegration({ database, keys, adapters }, organizationId, integrationId === undefined ? undefined : { integrationId }, change, actor),
    async conformanceStatement(organizationId, name, wanted) {
      const adapter = adapters.get(name);
      if (!adapter?.conformance) return undefined;
      const open = await openIntegrations(database, keys, adapters, log);
      open.stop();
      const all = [...open.directory(name).all(), ...open.directory(name).sending!()].filter((integration) => integration.organizationId === organizationId);
      const integrations = [...new Map(all.map((integration) => [integration.integrationId, integration])).values()].filter((integration) => wanted === undefined || integration.name === wanted);
      if (wanted !== undefined && integrations.length === 0) return undefined;
      return adapter.conformance({ product: 'MedScan Gateway', version: product.version, integrations, ...(dependencies.config ? listenerLimits(name, dependencies.config) : {}) });
    },
    async testIntegration(organizationId, integrationId, options) {
      const integrations = await openIntegrations(database, keys, adapters, log);
      integrations.stop();
      const integration = integrations.find(organizationId, integrationId);
      if (!integration) return undefined;
      const named = [...adapters.values()].map((adapter) => ({ adapter, integrations: [...integrations.directory(adapter.name).all(), ...integrations.directory(adapter.name).sending!()] as readonly Integration[] }));
      return adapters.get(integration.adapter)!.testConnection(integration.config, adapterContext({ database, log, signal: AbortSignal.timeout(60_000), folders: dependencies.config?.folders, foldersOfOthers: () => foldersOfOthers(named, organizationId) }), options);
    },
  };
}
