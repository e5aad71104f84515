import { readDeadJobs, readParkedDeliveries } from '../db/operator-reads.ts';
import { CommandError } from './explain.ts';
import { asOperator, decidedOrThrow, integrationNamed } from './operator.ts';
import { table } from './print.ts';
import { withInstallation } from './with-installation.ts';

export async function listDeadLettersCommand(options: { readonly organization?: string }): Promise<void> {
  const { deliveries, jobs } = await withInstallation(async ({ database }) => ({ deliveries: await readParkedDeliveries(database, options.organization), jobs: await readDeadJobs(database, options.organization) }));
  if (deliveries.length + jobs.length === 0) return console.log('Nothing is parked and no job was given up.');
  console.log(table(['ID', 'ORGANIZATION', 'WHAT', 'FOR', 'SINCE', 'WHY'], [
    ...deliveries.map((row) => [row.delivery_id, row.organization, `report of ${row.scan_number}`, row.integration, row.updated_at.toISOString(), row.last_text] as const),
    ...jobs.map((row) => [row.dead_job_id, row.organization, `job ${row.queue_name}`, row.integration, row.died_at.toISOString(), row.error_text] as const),
  ]));
}

/** An id is a delivery's or a dead job's; without one, every parked report of the integration, or of all with --all. */
export async function resendDeadLettersCommand(id: string | undefined, options: { readonly organization?: string; readonly integration?: string; readonly all?: true }): Promise<void> {
  if (id === undefined && options.integration === undefined && !options.all) throw new CommandError('Say which: an id of medscan dead-letter list, --integration NAME, or --all.');
  await asOperator(options.organization, async (operator) => {
    const { commands, organizationId, actor } = operator;
    if (id !== undefined) {
      await either(id, () => commands.resendDelivery(organizationId, id, actor), () => commands.retryDeadJob(organizationId, id, actor));
      return console.log('It is on its way.');
    }
    const { resent, leftOut } = await commands.resendParked(organizationId, options.integration === undefined ? undefined : await integrationNamed(operator, options.integration), actor);
    console.log(`${resent.length} sent again.${leftOut.map(({ deliveryId, reason }) => `\n${deliveryId} left out: ${reason}`).join('')}`);
  });
}

export async function discardDeadLetterCommand(id: string, options: { readonly organization?: string; readonly reason: string }): Promise<void> {
  if (options.reason.trim().length < 3) throw new CommandError('A reason of at least 3 characters is needed; it is kept in the audit log.');
  await asOperator(options.organization, (operator) => {
    const { commands, organizationId, actor } = operator;
    return either(id, () => commands.discardDelivery(organizationId, id, options.reason.trim(), actor), () => commands.discardDeadJob(organizationId, id, options.reason.trim(), actor));
  });
  console.log('Given up; the reason is in the audit log.');
}

type Decide = () => Promise<Parameters<typeof decidedOrThrow>[0]>;

async function either(id: string, asDelivery: Decide, asJob: Decide): Promise<void> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) throw new CommandError(`"${id}" is not an id; see: medscan dead-letter list`);
  const decision = await asDelivery();
  decidedOrThrow(decision.kind === 'not-found' ? await asJob() : decision, `parked report or dead job ${id}`);
}
