import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { readIntegrations } from '../db/operator-reads.ts';
import { ensureOrganization, findOrganization } from '../db/organizations.ts';
import { integrationCommands } from '../gateway/integration-commands.ts';
import { CommandError } from './explain.ts';
import { table } from './print.ts';
import { withInstallation } from './with-installation.ts';

const actor = { kind: 'system', id: 'medscan integration' } as const;

/** What an integration file holds; `settings` are checked by the adapter's own schema. */
const IntegrationFile = z.strictObject({
  organization: z.string().min(1),
  integrations: z.array(z.strictObject({
    name: z.string().min(1),
    kind: z.enum(['pacs', 'ris', 'emr', 'modality', 'ai', 'archive']),
    adapter: z.string(),
    direction: z.enum(['inbound', 'outbound', 'both']),
    enabled: z.boolean().default(true),
    purpose: z.string().optional(),
    owner: z.string().optional(),
    settings: z.record(z.string(), z.unknown()).default({}),
  })).min(1),
});

export async function listIntegrationsCommand(options: { readonly organization?: string }): Promise<void> {
  const rows = await withInstallation(({ database }) => readIntegrations(database, options.organization));
  if (rows.length === 0) return console.log('There is no integration yet. Describe one in a file and run: medscan integration apply FILE.yaml');
  console.log(table(['NAME', 'ORGANIZATION', 'KIND', 'ADAPTER', 'DIRECTION', 'ENABLED', 'PAUSED', 'HEALTH', 'LAST OK', 'LAST ERROR'], rows.map((row) => [
    row.name, row.organization, row.kind, row.adapter, row.direction, row.is_enabled && row.state === 'active' ? 'yes' : 'no', [row.receive_paused_at && 'receive', row.deliver_paused_at && 'deliver'].filter(Boolean).join(' '), row.health_status,
    row.last_ok_at?.toISOString(), row.last_error,
  ])));
}

/** Integrations are told apart by organization and name; one that exists is changed, nothing is removed. Stops at the first that is not valid. */
export async function applyIntegrationsCommand(file: string): Promise<void> {
  const wanted = await readIntegrationFile(file);
  await withInstallation(async (installation) => {
    const { database } = installation;
    const commands = await integrationCommands(installation);
    const { organizationId } = await ensureOrganization(database, { name: wanted.organization });
    const existing = new Map((await readIntegrations(database, wanted.organization)).map((row) => [row.name, row.integration_id]));
    for (const { enabled, owner, purpose, ...change } of wanted.integrations) {
      const saved = await commands.saveIntegration(organizationId, existing.get(change.name), { ...change, isEnabled: enabled, ownerContact: owner, purpose }, actor);
      if (saved.kind === 'invalid') throw new CommandError(`${file}, integration "${change.name}":\n${saved.errors.map((error) => `  ${error.pointer}: ${error.message}`).join('\n')}`);
      if (saved.kind !== 'saved') throw new CommandError(`Integration "${change.name}" was changed by somebody else at this moment; run the command again.`);
      console.log(`${change.name}: ${existing.has(change.name) ? 'changed' : 'created'} (version ${saved.version})`);
    }
  });
}

export async function testIntegrationCommand(name: string, options: { readonly organization?: string; readonly store?: true }): Promise<void> {
  await withInstallation(async (installation) => {
    const row = (await readIntegrations(installation.database, options.organization)).filter((integration) => integration.name === name);
    if (row.length !== 1) throw new CommandError(row.length === 0 ? `There is no integration "${name}"; see: medscan integration list` : `Several organizations have an integration "${name}"; add --organization NAME.`);
    const { organization_id: organizationId } = await findOrganization(installation.database, row[0]!.organization);
    const result = await (await integrationCommands(installation)).testIntegration(organizationId, row[0]!.integration_id, { stores: options.store === true });
    for (const step of result?.steps ?? []) console.log(`${step.ok ? 'ok  ' : 'FAIL'}  ${step.step} (${Math.round(step.milliseconds)} ms): ${step.detail}${step.advice ? `\n      ${step.advice}` : ''}`);
    process.exitCode = result?.ok ? 0 : 1;
  });
}

async function readIntegrationFile(file: string): Promise<z.infer<typeof IntegrationFile>> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(`${file} cannot be read (${error.code}).`);
  });
  const document = parseDocument(text);
  if (document.errors[0]) throw new CommandError(`${file} is not YAML: ${document.errors[0].message}`);
  const result = IntegrationFile.safeParse(document.toJS());
  if (result.success) return result.data;
  throw new CommandError(`${file} is not as wanted:\n${result.error.issues.map((issue) => `  /${issue.path.join('/')}: ${issue.message}`).join('\n')}`);
}
