import { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import { listOf, toPage } from '../pagination.ts';
import { listQueue, QueueEntry, queueQuery } from '../queries/scan-queue.ts';
import { ModelPerformance, modelPerformance, PendingScan, pendingScansOf } from '../queries/worklists.ts';
import type { ApiRouter } from '../router.ts';

export function queueRoutes(router: ApiRouter): void {
  router.route('GET /scan-queue', { summary: 'The queue of scans, newest first', tag: 'queue', query: queueQuery, returns: listOf(QueueEntry) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listQueue(tx, query), query, (entry) => entry.queue_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'scan_queue', id: '*' }, detail: { results: page.items.length } });
    return page;
  }));

  router.route('GET /scan-queue/mine', {
    summary: 'Scans assigned to me, most urgent first', tag: 'queue', returns: z.object({ items: z.array(PendingScan), next_cursor: z.null() }),
  }, ({ transact, caller }) => transact(async (tx, audit) => {
    const scans = await pendingScansOf(tx, caller.userId);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'scan_queue', id: 'mine' }, detail: { scan_numbers: scans.map((scan) => scan.scan_number) } });
    return { items: [...scans], next_cursor: null };
  }));

  router.route('GET /analytics/model-performance', {
    summary: 'AI analysis performance by model, last 30 days', tag: 'analytics', returns: z.object({ items: z.array(ModelPerformance), next_cursor: z.null() }), unaudited: 'sums over all patients',
  }, async ({ transact }) => ({ items: [...await transact((tx) => modelPerformance(tx))], next_cursor: null }));
}
