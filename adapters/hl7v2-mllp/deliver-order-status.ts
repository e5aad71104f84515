/**
 * What becomes of an order, as ORM^O01 or OMG^O19 with ORC-1 SC (status changed; HL7 v2.5.1 ch. 4.5.1):
 *
 *   received   first image is here      ORC-5 IP, OBR-25 I      the same MSH-10 at each attempt
 *   complete   all images are here      ORC-5 CM, OBR-25 I
 *   analysed   the AI result is made    ORC-5 CM, OBR-25 R      the ORU^R01 follows on its own
 */
import type { AdapterContext, DeliveryOutcome, OrderNotice } from '#gateway/adapter.ts';
import { formatIsoAsDtm } from '#standards/hl7v2/date-time.ts';
import { buildMessage } from '#standards/hl7v2/node-hl7.ts';
import type { Hl7v2Config } from './config.ts';
import { sendMessage } from './deliver-oru.ts';
import { header, patientSegment, procedureOf } from './report-to-oru.ts';

const words: Readonly<Record<OrderNotice['event'], { readonly order: string; readonly result: string; readonly text: (notice: OrderNotice) => string }>> = {
  received: { order: 'IP', result: 'I', text: () => 'The first image of the study is here' },
  complete: { order: 'CM', result: 'I', text: ({ scan }) => `The study is complete: ${scan.series.reduce((sum, { instances }) => sum + instances.length, 0)} images in ${scan.series.length} series` },
  analysed: { order: 'CM', result: 'R', text: ({ run }) => `The study was analysed; version ${run} of the AI report follows` },
};

export function deliverOrderStatus(notice: OrderNotice, config: Hl7v2Config, context: AdapterContext): Promise<DeliveryOutcome> {
  return sendMessage(config.order_status_type, notice, config, context, (controlId) => orderStatusMessage(notice, controlId, config, context.now()));
}

/** Only OBR-2 and OBR-3 as received name the order: a status of an order that nobody numbered has OBR-18 alone. */
export function orderStatusMessage(notice: OrderNotice, controlId: string, config: Hl7v2Config, sentAt: Date): string {
  const { scan, event } = notice;
  const { order, result, text } = words[event];
  const [type, trigger] = config.order_status_type.split('^') as [string, string];
  return buildMessage([
    header([type, trigger, `${type}_${trigger}`], controlId, config, sentAt), patientSegment(notice.patient),
    { name: 'ORC', fields: { 1: 'SC', 2: scan.placerOrderNumber, 3: scan.fillerOrderNumber, 5: order, 9: formatIsoAsDtm(notice.at) } },
    { name: 'OBR', fields: { 1: 1, 2: scan.placerOrderNumber, 3: scan.fillerOrderNumber, 4: procedureOf(scan), 18: scan.accessionNumber, 24: 'RAD', 25: result } },
    { name: 'NTE', fields: { 1: 1, 2: 'L', 3: text(notice) } },
    ...(scan.studyInstanceUid === '' ? [] : [{ name: 'OBX', fields: { 1: 1, 2: 'ST', 3: ['113014', 'DICOM Study', 'DCM'], 5: scan.studyInstanceUid, 11: 'F' } }]),
  ]);
}
