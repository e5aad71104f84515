import { auditEvents } from '../../audit/event.ts';
import type { ApiDependencies } from '../context.ts';
import { pathId } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { notFound } from '../problem.ts';
import { listSyncLogs, payloadLocation, payloadQuery, readPayload, readSyncLog, SyncLog, syncLogQuery } from '../queries/sync-logs.ts';
import type { ApiRouter } from '../router.ts';
import { attachment } from './scans.ts';

const one = { tag: 'exchanges', params: pathId('sync_id') } as const;
const fileTypes: Readonly<Record<string, string>> = { 'application/dicom': 'dcm', 'x-application/hl7-v2+er7': 'hl7', 'application/fhir+json': 'json', 'application/json': 'json' };

export function syncLogRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('GET /sync-logs', {
    summary: 'Exchanges with other systems, newest first', tag: 'exchanges', query: syncLogQuery, returns: listOf(SyncLog),
  }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listSyncLogs(tx, query), query, (exchange) => exchange.sync_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'sync_log', id: '*' }, patientId: query.patient_id, detail: { results: page.items.length, newest: page.items[0]?.sync_id, oldest: page.items.at(-1)?.sync_id } });
    return page;
  }));

  router.route('GET /sync-logs/{sync_id}', { ...one, summary: 'One exchange', returns: SyncLog }, ({ transact, params }) => transact(async (tx, audit) => {
    const exchange = await readSyncLog(tx, params.sync_id);
    if (!exchange) throw notFound('exchange');
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'sync_log', id: exchange.sync_id }, patientId: exchange.patient_id ?? undefined, syncId: exchange.sync_id });
    return exchange;
  }));

  router.route('GET /sync-logs/{sync_id}/payload', {
    ...one, summary: 'The bytes as they were received or sent', query: payloadQuery, produces: 'application/octet-stream',
  }, async ({ transact, params, query, c }) => {
    const kept = await transact(async (tx) => {
      const exchange = await readSyncLog(tx, params.sync_id);
      return exchange && { exchange, payload: await readPayload(tx, params.sync_id, query.part), location: await payloadLocation(tx, params.sync_id) };
    });
    if (!kept) throw notFound('exchange');
    const location = query.part === 'message' && kept.location?.startsWith('store:') === true ? kept.location.slice('store:'.length) : undefined;
    const stored = kept.payload === null && location !== undefined ? await commands.openStoredObject(location) : undefined;
    if (!kept.payload && !stored) throw notFound(`${query.part} on record for this exchange`);
    try {
      await transact((_tx, audit) => audit({
        ...auditEvents.dataExport, action: 'R', object: { type: 'sync_log', id: params.sync_id }, patientId: kept.exchange.patient_id ?? undefined, syncId: params.sync_id, detail: { part: query.part },
      }));
    } catch (error) {
      await stored?.stream.cancel();
      throw error;
    }
    const mediaType = kept.payload ? known(kept.payload.media_type) : 'application/dicom';
    const name = `${params.sync_id}-${query.part}.${fileTypes[mediaType] ?? 'bin'}`;
    if (stored) return c.body(stored.stream, 200, attachment(mediaType, name, stored.byteSize));
    const content = kept.payload?.content ?? Buffer.alloc(0);
    return c.body(new Uint8Array(content), 200, attachment(mediaType, name, content.byteLength));
  });
}

/** Another system's idea of a media type does not reach a browser. */
function known(mediaType: string): string {
  const essence = mediaType.split(';')[0]?.trim().toLowerCase() ?? '';
  return essence in fileTypes ? essence : 'application/octet-stream';
}
