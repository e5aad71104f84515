/**
 * The configured integrations, as adapters see them: read from external_integrations, credentials opened, settings parsed by the adapter's
 * schema. One listener per adapter serves all of its integrations. reload() makes a change visible to the next association, connection or
 * delivery; other nodes see it within RELOAD_MILLISECONDS.
 */
import { allIntegrations, type IntegrationRow } from '../db/integrations.ts';
import type { Database } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import { asSystem } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import type { Adapter, Integration, IntegrationDirectory } from './adapter.ts';

const RELOAD_MILLISECONDS = 3_000;

export interface ActiveIntegration extends Integration { readonly adapter: string; readonly direction: 'inbound' | 'outbound' | 'both'; readonly kind: string; readonly isEnabled: boolean; readonly isReceivePaused: boolean }

export interface Integrations {
  /** The enabled inbound integrations of one adapter. */
  directory(adapter: string): IntegrationDirectory<never>;
  find(organizationId: string, integrationId: string): ActiveIntegration | undefined;
  /** Integrations whose stored settings do not fit their adapter any more: name and problem. */
  problems(): readonly { name: string; text: string }[];
  reload(): Promise<void>;
  stop(): void;
}

export const credentialsPlace = (integrationId: string): string => `external_integrations/${integrationId}/credentials`;

export async function openIntegrations(database: Database, keys: Keys, adapters: ReadonlyMap<string, Adapter>, log: Log): Promise<Integrations> {
  let active: readonly ActiveIntegration[] = [];
  let problems: { name: string; text: string }[] = [];
  const reload = async (): Promise<void> => {
    const rows = await asSystem(database, 'load integrations', allIntegrations);
    problems = [];
    active = rows.flatMap((row) => parseRow(row, keys, adapters, (text) => problems.push({ name: row.name, text })));
  };
  await reload();
  for (const problem of problems) log.error({ integration: problem.name, problem: problem.text }, 'an integration is left out: its settings are not valid');
  const timer = setInterval(() => { reload().catch((error: unknown) => log.warn({ err: error }, 'integrations could not be read again; the last ones stay in use')); }, RELOAD_MILLISECONDS);
  timer.unref();
  return {
    directory: (adapter) => ({ all: () => active.filter((integration) => integration.adapter === adapter && integration.isEnabled && integration.direction !== 'outbound') as readonly Integration[] as readonly Integration<never>[],
      sending: () => active.filter((integration) => integration.adapter === adapter && integration.isEnabled && integration.direction !== 'inbound') as readonly Integration[] as readonly Integration<never>[] }),
    find: (organizationId, integrationId) => active.find((integration) => integration.organizationId === organizationId && integration.integrationId === integrationId),
    problems: () => problems,
    reload,
    stop: () => clearInterval(timer),
  };
}

function parseRow(row: IntegrationRow, keys: Keys, adapters: ReadonlyMap<string, Adapter>, report: (text: string) => void): ActiveIntegration[] {
  const adapter = adapters.get(row.adapter);
  if (!adapter) {
    report(`no adapter named '${row.adapter}' is installed`);
    return [];
  }
  try {
    const credentials = row.credentials_sealed ? JSON.parse(keys.open(credentialsPlace(row.integration_id), row.credentials_sealed)) as object : {};
    const parsed = adapter.configSchema.safeParse({ ...row.settings, ...credentials });
    if (!parsed.success) {
      report(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
      return [];
    }
    return [{ integrationId: row.integration_id, organizationId: row.organization_id, name: row.name, config: parsed.data, adapter: row.adapter, direction: row.direction, kind: row.kind, isEnabled: row.is_enabled,
      isReceivePaused: row.receive_paused_at !== null }];
  } catch {
    report('its credentials cannot be opened with this installation\'s key; enter them again');
    return [];
  }
}
