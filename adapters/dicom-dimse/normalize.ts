/**
 * A stored C-STORE message into rows. The mapping (mappings/dicom-instance-to-rows.yaml) says which element goes to which column;
 * here is what no mapping can say: the identifiers without which there is no instance, and that header and command must agree.
 */
import type { StoredMessage } from '#gateway/adapter.ts';
import { NormalizeError } from '#gateway/adapter.ts';
import type { InstanceRow, MappedRows, Mapper, MappingWarning, Normalized, PatientIdentifier, PatientRow, SourceReader } from '#gateway/normalized.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import type { Config } from './config.ts';

export async function normalize(message: StoredMessage<Config>, map: Mapper): Promise<Normalized> {
  const { config } = message.integration;
  const reader = dicomReader(message.head, message.facts);
  const warnings = checkIdentifiers(reader, message.facts);
  const mapped = map('dicom-instance-to-rows', reader, { assigning_authority: config.assigning_authority, time_zone: config.time_zone });
  return {
    authority: 'image', patient: patientOf(mapped), instance: instanceOf(mapped, message.facts),
    warnings: [...warnings, ...mapped.warnings], trace: mapped.trace, mapping: mapped.mapping,
  };
}

const uids = [
  { tag: '(0008,0016)', name: 'SOP Class UID' }, { tag: '(0008,0018)', name: 'SOP Instance UID' },
  { tag: '(0020,000d)', name: 'Study Instance UID' }, { tag: '(0020,000e)', name: 'Series Instance UID' },
];

/** PS3.5 9.1: digits and dots, at most 64. Components with leading zeros are wrong too, but identify all the same. */
function checkIdentifiers(reader: SourceReader, facts: Readonly<Record<string, unknown>>): MappingWarning[] {
  const warnings: MappingWarning[] = [];
  for (const { tag, name } of uids) {
    const value = reader.first(tag) ?? '';
    if (value === '') throw new NormalizeError('invalid', `${name} ${tag} is missing`, tag);
    if (!/^[0-9.]{1,64}$/.test(value)) throw new NormalizeError('invalid', `${name} ${tag} is not a UID (digits and dots, at most 64)`, tag);
    if (!/^(0|[1-9]\d*)(\.(0|[1-9]\d*))+$/.test(value)) warnings.push({ location: tag, text: `${name} is not formed as PS3.5 9.1 asks; taken as it is` });
  }
  agree(reader, '(0008,0018)', facts['sopInstanceUid'], 'SOP Instance UID');
  agree(reader, '(0008,0016)', facts['sopClassUid'], 'SOP Class UID');
  return warnings;
}

function agree(reader: SourceReader, tag: string, ofCommand: unknown, name: string): void {
  if (ofCommand !== undefined && reader.first(tag) !== ofCommand) throw new NormalizeError('conflict', `${name} ${tag} of the data set is not that of the C-STORE command`, tag);
}

type Row = Readonly<Record<string, unknown>>;
const rowsOf = (mapped: MappedRows, table: string): readonly Row[] => {
  const rows = mapped.rows[table];
  return rows === undefined ? [] : Array.isArray(rows) ? rows : [rows as Row];
};

function patientOf(mapped: MappedRows): PatientRow {
  return { ...rowsOf(mapped, 'patients')[0], identifiers: rowsOf(mapped, 'patient_identifiers') as unknown as readonly PatientIdentifier[] } as PatientRow;
}

/** What the association said of the object stands above what its header says. */
function instanceOf(mapped: MappedRows, facts: Row): InstanceRow {
  const file = {
    ...rowsOf(mapped, 'scan_files')[0], sop_instance_uid: facts['sopInstanceUid'], sop_class_uid: facts['sopClassUid'],
    transfer_syntax_uid: facts['transferSyntaxUid'], dataset_offset: facts['datasetOffset'],
  };
  return { study: rowsOf(mapped, 'scans')[0], series: rowsOf(mapped, 'series')[0], file } as unknown as InstanceRow;
}
