import { findOrganization } from '../db/organizations.ts';
import { integrationCommands } from '../gateway/integration-commands.ts';
import { CommandError } from './explain.ts';
import { withInstallation } from './with-installation.ts';

/** Prints the conformance statement of an adapter with the integrations that are configured, as Markdown. */
export async function conformanceCommand(adapter: string, options: { readonly organization?: string }): Promise<void> {
  await withInstallation(async (installation) => {
    const { organization_id: organizationId } = await findOrganization(installation.database, options.organization);
    const statement = await (await integrationCommands(installation)).conformanceStatement(organizationId, adapter);
    if (statement === undefined) throw new CommandError(`The adapter ${adapter} states no conformance.`);
    process.stdout.write(statement);
  });
}
