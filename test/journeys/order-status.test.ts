/** The RIS hears what becomes of its order: in progress, complete, analysed, each once, and again when it did not answer. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anOrder, apiClient, changeSettings, delivered, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';
import { parseMessage } from '#standards/hl7v2/parse.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import type { SourceReader } from '#gateway/normalized.ts';

let journey: Journey;
beforeAll(async () => {
  journey = await startJourney();
  await changeSettings(journey.gateway, 'RIS', { order_status_messages: ['received', 'complete', 'analysed'] });
});
afterAll(() => journey?.stop());

/** Of one order: what its RIS was sent with ORC-1 SC, in order; once each, as it came. */
function statusOf(placerOrderNumber: string): SourceReader[] {
  return journey.hospital.ris.received.items.map(({ bytes }) => hl7Reader(parseMessage(bytes))).filter((reader) => reader.first('MSH-9.1') === 'ORM' && reader.first('ORC-2') === placerOrderNumber);
}
const noticesOf = (status: string, placer: string) => journey.gateway.db.asOwner<{ event: string }>("SELECT n.event FROM order_notices n JOIN scans s USING (organization_id, scan_id) WHERE n.status = $1 AND s.placer_order_number = $2 ORDER BY n.position", [status, placer]);

test('an order is told as received, complete and analysed, with its own numbers', async () => {
  const { gateway, hospital: { ris, pacs } } = journey;
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await ris.order(patient, order);
  await pacs.store(study.objects);
  await delivered(gateway, study.studyInstanceUid);
  await eventually(async () => (await noticesOf('delivered', order.placerOrderNumber)).length === 3, 25_000);
  const told = statusOf(order.placerOrderNumber);
  expect(told.map((reader) => ['ORC-1', 'ORC-3', 'ORC-5', 'OBR-18', 'OBR-25', 'PID-3.1'].map((path) => reader.first(path)))).toEqual([['IP', 'I'], ['CM', 'I'], ['CM', 'R']].map(([status, result]) =>
    ['SC', order.fillerOrderNumber, status, order.accessionNumber, result, patient.patientId]));
  expect(told.map((reader) => reader.first('NTE-3'))).toEqual(['The first image of the study is here', `The study is complete: ${study.objects.length} images in 1 series`, 'The study was analysed; version 1 of the AI report follows']);
  expect(told.every((reader) => reader.first('OBX-5') === study.studyInstanceUid)).toBe(true);
  expect(new Set(told.map((reader) => reader.first('MSH-10'))).size).toBe(3);
  const scan = await scanOf(gateway, study.studyInstanceUid);
  const rows = await exchanges(gateway, "direction = 'outbound' AND scan_id = $1 AND interaction = 'ORM^O01'", [scan.scan_id]);
  expect(rows.map(({ message_status }) => message_status)).toEqual(['delivered', 'delivered', 'delivered']);
  await expectAudited(gateway, rows);

  const { report_id: reportId } = await delivered(gateway, study.studyInstanceUid), api = await apiClient(gateway, 'Sample Hospital', 'radiologist');
  expect(await api('POST', `/api/v1/reports/${reportId}/withdraw`, { reason: 'Wrong model' })).toMatchObject({ status: 200 });
  expect(await gateway.db.asOwner('SELECT event FROM order_notices WHERE scan_id = $1', [scan.scan_id]), 'a withdrawal is no analysis').toHaveLength(3);
});

test('images that nobody ordered are told to nobody; the order that comes later is', async () => {
  const { gateway, hospital: { ris, pacs } } = journey;
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await pacs.store(study.objects);
  const scan = await scanOf(gateway, study.studyInstanceUid);
  expect(await gateway.db.asOwner('SELECT FROM order_notices WHERE scan_id = $1', [scan.scan_id])).toEqual([]);
  await ris.order(patient, order);
  expect((await gateway.db.asOwner<{ event: string }>('SELECT event FROM order_notices WHERE scan_id = $1 ORDER BY position', [scan.scan_id]))[0]).toEqual({ event: 'received' });
});

test('a RIS that does not answer gets the same message again, and the next one waits for it; one it refuses is shown to a person', async () => {
  const { gateway, hospital: { ris, pacs } } = journey;
  // It gets no results here: one that passes an unanswered status would put an end to it.
  await gateway.db.asOwner("UPDATE external_integrations SET kind = 'modality' WHERE name = 'RIS'");
  await changeSettings(gateway, 'RIS', { acknowledgment_timeout_milliseconds: 200, order_status_messages: ['received'] });
  await eventually(async () => (await gateway.db.asOwner("SELECT FROM order_notices WHERE status = 'queued'")).length === 0, 25_000);
  await ris.behaviour.set('silent');
  const orders = [anOrder(), anOrder()];
  for (const order of orders) {
    const patient = somebody();
    await ris.order(patient, order);
    await pacs.store(smallStudy({ patient, accessionNumber: order.accessionNumber }).objects.slice(0, 1));
  }
  await eventually(async () => statusOf(orders[0]!.placerOrderNumber).length >= 2, 30_000);
  expect(new Set(statusOf(orders[0]!.placerOrderNumber).map((reader) => reader.first('MSH-10'))).size).toBe(1);
  expect(statusOf(orders[1]!.placerOrderNumber)).toEqual([]);
  await changeSettings(gateway, 'RIS', { acknowledgment_timeout_milliseconds: 20_000 });
  await ris.behaviour.set('accept');
  await eventually(async () => (await noticesOf('delivered', orders[1]!.placerOrderNumber)).length === 1, 40_000);

  await ris.behaviour.set('AR');
  const refused = anOrder(), patient = somebody();
  await ris.order(patient, refused);
  await pacs.store(smallStudy({ patient, accessionNumber: refused.accessionNumber }).objects.slice(0, 1));
  await eventually(async () => (await noticesOf('refused', refused.placerOrderNumber)).length === 1, 25_000);
  expect(await gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'delivery_refused' AND subject LIKE 'order status %'")).toHaveLength(1);
}, 120_000);
