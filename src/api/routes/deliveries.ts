/** The outbox: what waits, what was refused, and what a person decides about it. */
import { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import type { ApiDependencies } from '../context.ts';
import { id, pathId } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { decided, notFound } from '../problem.ts';
import { deliveryQuery, listDeliveries, OutboxDelivery, readDelivery } from '../queries/deliveries.ts';
import type { ApiRequest, ApiRouter } from '../router.ts';

export const Discard = z.strictObject({ reason: z.string().trim().min(3).max(500).describe('Why, for the audit log; no patient\'s name') }).openapi('Discard');
const Resent = z.object({ resent: z.array(id), left_out: z.array(z.object({ delivery_id: id, reason: z.string() })) }).openapi('Resent');
const one = { tag: 'deliveries', params: pathId('delivery_id') } as const;

export function deliveryRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('GET /deliveries', { summary: 'Reports on their way to other systems, newest first', tag: 'deliveries', query: deliveryQuery, returns: listOf(OutboxDelivery) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listDeliveries(tx, query), query, (delivery) => delivery.delivery_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'delivery', id: '*' }, detail: { results: page.items.length, status: query.status } });
    return page;
  }));

  router.route('GET /deliveries/{delivery_id}', { ...one, summary: 'One delivery', returns: OutboxDelivery }, ({ transact, params }) => transact(async (tx, audit) => {
    const delivery = await readDelivery(tx, params.delivery_id);
    if (!delivery) throw notFound('delivery');
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'delivery', id: delivery.delivery_id }, patientId: delivery.patient_id });
    return delivery;
  }));

  router.route('POST /deliveries/resend', {
    tag: 'deliveries', summary: 'Send all parked reports again', body: z.strictObject({ integration_id: id.optional().describe('Only those for this system') }), returns: Resent,
    description: 'Oldest first, at most 1,000 at once. One whose destination has a newer version of the report is left out.',
  }, async ({ body, caller, actor, auditedElsewhere }) => {
    const { resent, leftOut } = await commands.resendParked(caller.organizationId, body.integration_id, actor);
    auditedElsewhere();
    return { resent: [...resent], left_out: leftOut.map(({ deliveryId, reason }) => ({ delivery_id: deliveryId, reason })) };
  });

  router.route('POST /deliveries/{delivery_id}/resend', {
    ...one, summary: 'Send one now', returns: OutboxDelivery, description: 'A parked delivery goes back to its place in the order; one that waits for its next try is tried now. Always under the same control id.',
  }, async (request) => {
    decided(await commands.resendDelivery(request.caller.organizationId, request.params.delivery_id, request.actor), 'delivery');
    return after(request);
  });

  router.route('POST /deliveries/{delivery_id}/discard', { ...one, summary: 'Give one up', body: Discard, returns: OutboxDelivery, description: 'It is not sent any more. The report stays, and so do the other destinations.' }, async (request) => {
    decided(await commands.discardDelivery(request.caller.organizationId, request.params.delivery_id, request.body.reason, request.actor), 'delivery');
    return after(request);
  });

  async function after({ params, transact, auditedElsewhere }: Pick<ApiRequest<{ delivery_id: string }, unknown, unknown>, 'params' | 'transact' | 'auditedElsewhere'>): Promise<z.output<typeof OutboxDelivery>> {
    auditedElsewhere();
    const delivery = await transact((tx) => readDelivery(tx, params.delivery_id));
    if (!delivery) throw notFound('delivery');
    return delivery;
  }
}
