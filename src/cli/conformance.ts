import { findOrganization } from '../db/organizations.ts';
import { integrationCommands } from '../gateway/integration-commands.ts';
import { CommandError } from './explain.ts';
import { withInstallation } from './with-installation.ts';

const adapters: Readonly<Record<string, string>> = { dicom: 'dicom-dimse', hl7: 'hl7v2-mllp' };

/** Prints the conformance statement of an adapter with the integrations that are configured, or one of them, as Markdown. */
export async function conformanceCommand(standard: string, integration: string | undefined, options: { readonly organization?: string }): Promise<void> {
  const adapter = adapters[standard] ?? standard;
  await withInstallation(async (installation) => {
    const { organization_id: organizationId } = await findOrganization(installation.database, options.organization);
    const statement = await (await integrationCommands(installation)).conformanceStatement(organizationId, adapter, integration);
    if (statement === undefined) throw new CommandError(integration === undefined ? `The adapter ${adapter} states no conformance.` : `There is no integration "${integration}" of the adapter ${adapter}; see: medscan integration list`);
    process.stdout.write(statement);
  });
}
