import { parkedNotices } from '../db/order-notices.ts';
import { readDeadJobs, readParkedDeliveries, readParkedNotices } from '../db/operator-reads.ts';
import { inOrganization } from '../db/transaction.ts';
import { CommandError } from './explain.ts';
import { asOperator, decidedOrThrow, integrationNamed, type Operator } from './operator.ts';
import { table } from './print.ts';
import { withInstallation } from './with-installation.ts';

export async function listDeadLettersCommand(options: { readonly organization?: string }): Promise<void> {
  const { deliveries, notices, jobs } = await withInstallation(async ({ database }) => ({
    deliveries: await readParkedDeliveries(database, options.organization), notices: await readParkedNotices(database, options.organization), jobs: await readDeadJobs(database, options.organization),
  }));
  if (deliveries.length + notices.length + jobs.length === 0) return console.log('Nothing is parked and no job was given up.');
  console.log(table(['ID', 'ORGANIZATION', 'WHAT', 'FOR', 'SINCE', 'WHY'], [
    ...deliveries.map((row) => [row.delivery_id, row.organization, `report of ${row.scan_number}`, row.integration, row.updated_at.toISOString(), row.last_text] as const),
    ...notices.map((row) => [row.notice_id, row.organization, `order status (${row.event}) of ${row.scan_number}`, row.integration, row.updated_at.toISOString(), row.last_text] as const),
    ...jobs.map((row) => [row.dead_job_id, row.organization, `job ${row.queue_name}`, row.integration, row.died_at.toISOString(), row.error_text] as const),
  ]));
}

/** An id is a delivery's, an order status message's or a dead job's; without one, all that is parked for the integration, or for all with --all. */
export async function resendDeadLettersCommand(id: string | undefined, options: { readonly organization?: string; readonly integration?: string; readonly all?: true }): Promise<void> {
  if (id === undefined && options.integration === undefined && !options.all) throw new CommandError('Say which: an id of medscan dead-letter list, --integration NAME, or --all.');
  await asOperator(options.organization, async (operator) => {
    const { commands, organizationId, actor } = operator;
    if (id !== undefined) {
      await firstKnown(id, [() => commands.resendDelivery(organizationId, id, actor), () => commands.resendNotice(organizationId, id, actor), () => commands.retryDeadJob(organizationId, id, actor)]);
      return console.log('It is on its way.');
    }
    const integrationId = options.integration === undefined ? undefined : await integrationNamed(operator, options.integration);
    const reports = await commands.resendParked(organizationId, integrationId, actor), notices = await commands.resendParkedNotices(organizationId, integrationId, actor);
    const leftOut = [...reports.leftOut.map(({ deliveryId: of, reason }) => ({ of, reason })), ...notices.leftOut.map(({ noticeId: of, reason }) => ({ of, reason }))];
    console.log(`${reports.resent.length + notices.resent.length} sent again.${leftOut.map(({ of, reason }) => `\n${of} left out: ${reason}`).join('')}`);
  });
}

const mostGivenUp = 1000;

/** An id as for resend; without one, the parked order status messages for an integration, oldest first: a receiver that wants none of them leaves one or more of each study. */
export async function discardDeadLetterCommand(id: string | undefined, options: { readonly organization?: string; readonly integration?: string; readonly reason: string }): Promise<void> {
  if (options.reason.trim().length < 3) throw new CommandError('A reason of at least 3 characters is needed; it is kept in the audit log.');
  if ((id === undefined) === (options.integration === undefined)) throw new CommandError('Say which: an id of medscan dead-letter list, or --integration NAME for all parked order status messages for it.');
  await asOperator(options.organization, async (operator) => {
    const { commands, organizationId, actor } = operator;
    const reason = options.reason.trim();
    if (id === undefined) {
      const givenUp = await discardNotices(operator, options.integration!, reason);
      return console.log(`${givenUp} order status ${givenUp === 1 ? 'message' : 'messages'} given up; the reason is in the audit log.`);
    }
    await firstKnown(id, [() => commands.discardDelivery(organizationId, id, reason, actor), () => commands.discardNotice(organizationId, id, reason, actor), () => commands.discardDeadJob(organizationId, id, reason, actor)]);
    console.log('Given up; the reason is in the audit log.');
  });
}

async function discardNotices(operator: Operator, name: string, reason: string): Promise<number> {
  const { commands, organizationId, actor, installation } = operator;
  const integrationId = await integrationNamed(operator, name);
  let givenUp = 0;
  for (const noticeId of await inOrganization(installation.database, organizationId, (tx) => parkedNotices(tx, integrationId, mostGivenUp))) {
    if ((await commands.discardNotice(organizationId, noticeId, reason, actor)).kind === 'done') givenUp++;
  }
  return givenUp;
}

type Decide = () => Promise<Parameters<typeof decidedOrThrow>[0]>;

async function firstKnown(id: string, decisions: readonly Decide[]): Promise<void> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) throw new CommandError(`"${id}" is not an id; see: medscan dead-letter list`);
  let decision: Awaited<ReturnType<Decide>> = { kind: 'not-found' };
  for (const decide of decisions) if (decision.kind === 'not-found') decision = await decide();
  decidedOrThrow(decision, `parked report, order status message or dead job ${id}`);
}
