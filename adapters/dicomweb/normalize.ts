/**
 * A stored object, of STOW-RS or fetched by WADO-RS, into rows, exactly as one that came by C-STORE. The mapping (mappings/dicom-instance-to-rows.yaml) says which
 * element goes to which column; what no mapping can say is in #standards/dicom/instance.ts. Of its own it has the study in the URL.
 */
import { NormalizeError, type StoredMessage } from '#gateway/adapter.ts';
import type { Mapper, Normalized } from '#gateway/normalized.ts';
import { checkIdentifiers, instanceRowOf, patientRowOf, type InstanceFault } from '#standards/dicom/instance.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import type { Config } from './config.ts';

export async function normalize(message: StoredMessage<Config>, map: Mapper): Promise<Normalized> {
  const { config } = message.integration;
  const { facts } = message;
  const reader = dicomReader(message.head, facts);
  const { warnings, fault } = checkIdentifiers(reader, facts, 'the opening of the file');
  const study = facts['targetStudyInstanceUid'];
  const wanted = message.interaction === 'WADO-RS instance' ? 'the one that was asked for' : 'that of the address the object was sent to';
  const otherStudy: InstanceFault = { reason: 'conflict', text: `Study Instance UID (0020,000d) is not ${wanted}`, location: '(0020,000d)' };
  const found = fault ?? (study !== undefined && reader.first('(0020,000d)') !== study ? otherStudy : undefined);
  if (found) throw new NormalizeError(found.reason, found.text, found.location);
  if (config.modalities.length > 0 && !config.modalities.includes(String(reader.first('(0008,0060)') ?? '').trim())) {
    throw new NormalizeError('not-allowed', 'the modality is not one that this system may send (setting modalities)', '(0008,0060)');
  }
  const mapped = map('dicom-instance-to-rows', reader, { assigning_authority: config.assigning_authority, time_zone: config.time_zone });
  return {
    authority: 'image', patient: patientRowOf(mapped), instance: instanceRowOf(mapped, facts),
    warnings: [...warnings, ...mapped.warnings], trace: mapped.trace, mapping: mapped.mapping,
  };
}
