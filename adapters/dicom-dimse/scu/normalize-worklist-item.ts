/** A worklist item into rows: patient and order. Which element goes to which column is said by mappings/dicom-worklist-to-rows.yaml. */
import type { StoredMessage } from '#gateway/adapter.ts';
import { NormalizeError } from '#gateway/adapter.ts';
import type { Mapper, Normalized, OrderRow } from '#gateway/normalized.ts';
import { patientRowOf } from '#standards/dicom/instance.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import type { Config } from '../config.ts';

export async function normalizeWorklistItem(message: StoredMessage<Config>, map: Mapper): Promise<Normalized> {
  const { config } = message.integration;
  const mapped = map('dicom-worklist-to-rows', dicomReader(message.head, message.facts), { assigning_authority: config.assigning_authority, time_zone: config.time_zone });
  const order = mapped.rows['scans'] as unknown as OrderRow | undefined;
  // Without any of these nothing could ever say which order it is: images would make a scan of their own.
  if (!order || !(order.accession_number || order.study_instance_uid || order.placer_order_number || order.filler_order_number)) {
    throw new NormalizeError('invalid', 'the item names no order: Accession Number (0008,0050), Study Instance UID (0020,000D) and order numbers (0040,2016), (0040,2017) are all empty', '(0008,0050)');
  }
  return { authority: 'order', patient: patientRowOf(mapped), order, warnings: mapped.warnings, trace: mapped.trace, mapping: mapped.mapping };
}
