/** Order status messages: what waits, what was refused, and what a person decides about it. */
import { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import type { ApiDependencies } from '../context.ts';
import { id, pathId } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { decided, notFound } from '../problem.ts';
import { listNotices, noticeQuery, OrderNotice, readNotice } from '../queries/order-notices.ts';
import type { ApiRequest, ApiRouter } from '../router.ts';
import { Discard } from './deliveries.ts';

const ResentNotices = z.object({ resent: z.array(id), left_out: z.array(z.object({ notice_id: id, reason: z.string() })) }).openapi('ResentNotices');
const one = { tag: 'order notices', params: pathId('notice_id') } as const;

export function orderNoticeRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('GET /order-notices', { summary: 'Messages that tell how an order stands, newest first', tag: 'order notices', query: noticeQuery, returns: listOf(OrderNotice) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listNotices(tx, query), query, (notice) => notice.notice_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'order_notice', id: '*' }, detail: { results: page.items.length, status: query.status } });
    return page;
  }));

  router.route('GET /order-notices/{notice_id}', { ...one, summary: 'One order status message', returns: OrderNotice }, ({ transact, params }) => transact(async (tx, audit) => {
    const notice = await readNotice(tx, params.notice_id);
    if (!notice) throw notFound('order notice');
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'order_notice', id: notice.notice_id }, patientId: notice.patient_id });
    return notice;
  }));

  router.route('POST /order-notices/resend', {
    tag: 'order notices', summary: 'Send all parked order status messages again', body: z.strictObject({ integration_id: id.optional().describe('Only those for this system') }), returns: ResentNotices,
    description: 'Oldest first, at most 1,000 at once. One that would take back what the system was told since is left out.',
  }, async ({ body, caller, actor, auditedElsewhere }) => {
    const { resent, leftOut } = await commands.resendParkedNotices(caller.organizationId, body.integration_id, actor);
    auditedElsewhere();
    return { resent: [...resent], left_out: leftOut.map(({ noticeId, reason }) => ({ notice_id: noticeId, reason })) };
  });

  router.route('POST /order-notices/{notice_id}/resend', { ...one, summary: 'Send one now', returns: OrderNotice, description: 'At its old place in the line, under the same control id.' }, async (request) => {
    decided(await commands.resendNotice(request.caller.organizationId, request.params.notice_id, request.actor), 'order notice');
    return after(request);
  });

  router.route('POST /order-notices/{notice_id}/discard', { ...one, summary: 'Give one up', body: Discard, returns: OrderNotice, description: 'It is not sent any more.' }, async (request) => {
    decided(await commands.discardNotice(request.caller.organizationId, request.params.notice_id, request.body.reason, request.actor), 'order notice');
    return after(request);
  });

  async function after({ params, transact, auditedElsewhere }: Pick<ApiRequest<{ notice_id: string }, unknown, unknown>, 'params' | 'transact' | 'auditedElsewhere'>): Promise<z.output<typeof OrderNotice>> {
    auditedElsewhere();
    const notice = await transact((tx) => readNotice(tx, params.notice_id));
    if (!notice) throw notFound('order notice');
    return notice;
  }
}
