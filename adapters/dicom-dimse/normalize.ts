/**
 * A stored C-STORE message into rows. The mapping (mappings/dicom-instance-to-rows.yaml) says which element goes to which column; what no
 * mapping can say is the same for every way in of a DICOM object and stands in standards/dicom/instance.ts.
 */
import type { StoredMessage } from '#gateway/adapter.ts';
import { NormalizeError } from '#gateway/adapter.ts';
import type { Mapper, Normalized } from '#gateway/normalized.ts';
import { checkIdentifiers, instanceRowOf, patientRowOf } from '#standards/dicom/instance.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import type { Config } from './config.ts';
import { normalizeWorklistItem } from './scu/normalize-worklist-item.ts';
import { worklistItem } from './scu/worklist-scu.ts';

export async function normalize(message: StoredMessage<Config>, map: Mapper): Promise<Normalized> {
  if (message.interaction === worklistItem) return normalizeWorklistItem(message, map);
  const { config } = message.integration;
  const reader = dicomReader(message.head, message.facts);
  const { warnings, fault } = checkIdentifiers(reader, message.facts, 'the C-STORE command');
  if (fault) throw new NormalizeError(fault.reason, fault.text, fault.location);
  if (config.modalities.length > 0 && !config.modalities.includes(String(reader.first('(0008,0060)') ?? '').trim())) {
    throw new NormalizeError('not-allowed', 'the modality is not one that this system may send (setting modalities)', '(0008,0060)');
  }
  const mapped = map('dicom-instance-to-rows', reader, { assigning_authority: config.assigning_authority, time_zone: config.time_zone });
  return {
    authority: 'image', patient: patientRowOf(mapped), instance: instanceRowOf(mapped, message.facts),
    warnings: [...warnings, ...mapped.warnings], trace: mapped.trace, mapping: mapped.mapping,
  };
}
