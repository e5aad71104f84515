/** What a person does with integrations, from the API or the command line: save one, test one, see which adapters there are. */
import type { Config } from '../config.ts';
import type { AuditActor } from '../audit/event.ts';
import type { Database } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import type { Log } from '../log.ts';
import type { Adapter, ConnectionTest } from './adapter.ts';
import { adapterContext } from './context.ts';
import { openIntegrations } from './integrations.ts';
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
}

export interface IntegrationCommands {
  adapterCatalog(): readonly AdapterDescription[];
  saveIntegration(organizationId: string, integrationId: string | undefined, change: IntegrationChange, actor: AuditActor): Promise<SavedIntegration>;
  testIntegration(organizationId: string, integrationId: string): Promise<ConnectionTest | undefined>;
}

export async function integrationCommands(dependencies: { database: Database; keys: Keys; log: Log; adapters?: ReadonlyMap<string, Adapter>; config?: Pick<Config, 'folders'> }): Promise<IntegrationCommands> {
  const adapters = dependencies.adapters ?? await loadAdapters();
  const { database, keys, log } = dependencies;
  return {
    adapterCatalog: () => [...adapters.values()].map((adapter) => ({
      name: adapter.name, title: adapter.title, summary: adapter.summary, settingsSchema: settingsSchema(adapter.configSchema), secretFields: secretFields(adapter.configSchema),
      inbound: adapter.inbound?.interactions ?? [], outbound: adapter.outbound?.interactions ?? [],
    })),
    saveIntegration: (organizationId, integrationId, change, actor) =>
      saveIntegration({ database, keys, adapters }, organizationId, integrationId === undefined ? undefined : { integrationId }, change, actor),
    async testIntegration(organizationId, integrationId) {
      const integrations = await openIntegrations(database, keys, adapters, log);
      integrations.stop();
      const integration = integrations.find(organizationId, integrationId);
      if (!integration) return undefined;
      return adapters.get(integration.adapter)!.testConnection(integration.config, adapterContext({ database, log, signal: AbortSignal.timeout(60_000), folders: dependencies.config?.folders }));
    },
  };
}
