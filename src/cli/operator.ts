/** What a person does with messages at the command line: the same commands as the API, in the name of the account that runs the program. */
import { userInfo } from 'node:os';
import type { AuditActor } from '../audit/event.ts';
import { readIntegrations } from '../db/operator-reads.ts';
import { findOrganization } from '../db/organizations.ts';
import type { Installation } from '../installation.ts';
import { operatorCommands, type OperatorCommands } from '../pipeline/index.ts';
import { startQueue } from '../queue/boss.ts';
import { CommandError } from './explain.ts';
import { withInstallation } from './with-installation.ts';

export interface Operator { readonly installation: Installation; readonly commands: OperatorCommands; readonly organizationId: string; readonly organization: string; readonly actor: AuditActor }

/** `organization` may be left out when there is only one. */
export function asOperator<T>(organization: string | undefined, work: (operator: Operator) => Promise<T>): Promise<T> {
  return withInstallation(async (installation) => {
    const { database, config, log, appUrl } = installation;
    const found = await findOrganization(database, organization);
    const boss = await startQueue(appUrl, log, { supervise: false });
    try {
      const commands = operatorCommands({ database, boss, quietSeconds: config.quietSeconds, now: () => new Date() });
      return await work({ installation, commands, organizationId: found.organization_id, organization: found.name, actor: { kind: 'system', id: `medscan, account ${userInfo().username}` } });
    } finally {
      await boss.stop({ graceful: false, close: true });
    }
  });
}

export async function integrationNamed({ installation, organization }: Operator, name: string): Promise<string> {
  const found = (await readIntegrations(installation.database, organization)).find((integration) => integration.name === name);
  if (!found) throw new CommandError(`There is no integration "${name}"; see: medscan integration list`);
  return found.integration_id;
}

export function decidedOrThrow(decision: { kind: 'done' } | { kind: 'not-found' } | { kind: 'refused'; reason: string }, what: string): void {
  if (decision.kind === 'not-found') throw new CommandError(`There is no ${what} in this organization.`);
  if (decision.kind === 'refused') throw new CommandError(decision.reason);
}
