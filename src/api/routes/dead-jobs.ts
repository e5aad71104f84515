/** Jobs that failed for good: try again, or give up. */
import type { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import type { ApiDependencies } from '../context.ts';
import { pathId } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { decided, notFound } from '../problem.ts';
import { DeadJob, deadJobQuery, listDeadJobs, readDeadJob } from '../queries/dead-jobs.ts';
import type { ApiRequest, ApiRouter } from '../router.ts';
import { Discard } from './deliveries.ts';

const one = { tag: 'dead jobs', params: pathId('dead_job_id') } as const;

export function deadJobRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('GET /dead-jobs', { summary: 'Jobs that failed for good, newest first', tag: 'dead jobs', query: deadJobQuery, returns: listOf(DeadJob), unaudited: 'tells about the system, not about patients' }, ({ transact, query }) =>
    transact(async (tx) => toPage(await listDeadJobs(tx, query), query, (job) => job.dead_job_id)));

  router.route('GET /dead-jobs/{dead_job_id}', { ...one, summary: 'One dead job', returns: DeadJob }, ({ transact, params }) => transact(async (tx, audit) => {
    const job = await readDeadJob(tx, params.dead_job_id);
    if (!job) throw notFound('dead job');
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'dead_job', id: job.dead_job_id } });
    return job;
  }));

  router.route('POST /dead-jobs/{dead_job_id}/retry', { ...one, summary: 'Try it again', returns: DeadJob, description: 'An analysis is tried again by completing its scan again.' }, async (request) => {
    decided(await commands.retryDeadJob(request.caller.organizationId, request.params.dead_job_id, request.actor), 'dead job');
    return after(request);
  });

  router.route('POST /dead-jobs/{dead_job_id}/discard', { ...one, summary: 'Give it up', body: Discard, returns: DeadJob }, async (request) => {
    decided(await commands.discardDeadJob(request.caller.organizationId, request.params.dead_job_id, request.body.reason, request.actor), 'dead job');
    return after(request);
  });

  async function after({ params, transact, auditedElsewhere }: Pick<ApiRequest<{ dead_job_id: string }, unknown, unknown>, 'params' | 'transact' | 'auditedElsewhere'>): Promise<z.output<typeof DeadJob>> {
    auditedElsewhere();
    const job = await transact((tx) => readDeadJob(tx, params.dead_job_id));
    if (!job) throw notFound('dead job');
    return job;
  }
}
