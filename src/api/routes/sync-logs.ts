import { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import type { ApiDependencies } from '../context.ts';
import { pathId, text } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { notFound } from '../problem.ts';
import { listSyncLogs, payloadLocation, payloadQuery, readPayload, readSyncLog, searchSyncLogs, SyncLog, syncLogQuery, SyncLogSearch, TouchedRow, touchedRows } from '../queries/sync-logs.ts';
import type { ApiRouter } from '../router.ts';
import { DryRunMessage, dryRunMessage } from './messages.ts';
import { attachment } from './scans.ts';

const one = { tag: 'exchanges', params: pathId('sync_id') } as const;
const fileTypes: Readonly<Record<string, string>> = { 'application/dicom': 'dcm', 'x-application/hl7-v2+er7': 'hl7', 'application/fhir+json': 'json', 'application/json': 'json' };

const MessageView = z.object({
  format: z.enum(['hl7v2', 'dicom', 'json', 'xml', 'text', 'binary']), media_type: z.string(), byte_size: z.int(), text, is_cut: z.boolean(),
  lines: z.array(z.object({ depth: z.int(), location: z.string(), name: text, value: text })), rows: z.array(TouchedRow),
  mapping: z.array(DryRunMessage).nullable().describe('What today\'s mapping makes of a received message; mapping_version of the exchange says which made its rows'),
}).openapi('MessageView');

export function syncLogRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('GET /sync-logs', {
    summary: 'Exchanges with other systems, newest first', tag: 'exchanges', query: syncLogQuery, returns: listOf(SyncLog),
  }, ({ transact, query, caller }) => transact(async (tx, audit) => {
    const page = toPage(await listSyncLogs(tx, query, caller), query, (exchange) => exchange.sync_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'sync_log', id: '*' }, patientId: query.patient_id, detail: { results: page.items.length, newest: page.items[0]?.sync_id, oldest: page.items.at(-1)?.sync_id } });
    return page;
  }));

  router.route('POST /sync-logs/search', {
    summary: 'Exchanges by a number or a text', tag: 'exchanges', body: SyncLogSearch, returns: listOf(SyncLog), description: 'By POST, so that no patient\'s number stands in a log.',
  }, ({ transact, body, caller }) => transact(async (tx, audit) => {
    const page = toPage(await searchSyncLogs(tx, body, caller), body, (exchange) => exchange.sync_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'sync_log', id: '*' }, detail: { by: 'text', results: page.items.length, newest: page.items[0]?.sync_id, oldest: page.items.at(-1)?.sync_id } });
    return page;
  }));

  router.route('GET /sync-logs/{sync_id}/view', {
    ...one, summary: 'The message as a person reads it', query: payloadQuery, returns: MessageView,
    description: 'Its text and pieces with their names, the rows it made or changed, and what today\'s mapping makes of it, rule by rule.',
  }, async ({ transact, params, query, caller }) => {
    const view = await commands.view(caller.organizationId, params.sync_id, query.part);
    return transact(async (tx, audit) => {
      const exchange = await readSyncLog(tx, params.sync_id);
      if (!exchange) throw notFound('exchange');
      if (!view) throw notFound(`${query.part} on record for this exchange`);
      await audit({ ...auditEvents.dataExport, action: 'R', object: { type: 'sync_log', id: exchange.sync_id }, patientId: exchange.patient_id ?? undefined, syncId: exchange.sync_id, detail: { part: query.part, view: true } });
      const { mediaType, byteSize, isCut, lines, mapping, ...shown } = view;
      return { ...shown, media_type: mediaType, byte_size: byteSize, is_cut: isCut, lines: lines.map((line) => ({ ...line })), rows: await touchedRows(tx, exchange), mapping: mapping && mapping.map(dryRunMessage) };
    });
  });

  router.route('GET /sync-logs/{sync_id}', { ...one, summary: 'One exchange', returns: SyncLog }, ({ transact, params, caller }) => transact(async (tx, audit) => {
    const exchange = await readSyncLog(tx, params.sync_id, caller);
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
