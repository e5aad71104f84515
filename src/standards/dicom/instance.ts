/**
 * What every way in of a DICOM object (C-STORE, STOW-RS) has to know of it beyond the mapping: the identifiers without which there is no
 * instance, that the data set is the object it was announced as, and how mapped rows become an instance.
 */
import type { InstanceRow, MappedRows, MappingWarning, PatientIdentifier, PatientRow, SourceReader } from '#gateway/normalized.ts';
import { isUsableUid, usableUidWords } from '#domain/usable-uid.ts';
import { isValidUid } from './uids.ts';

export interface InstanceFault { readonly reason: 'invalid' | 'conflict'; readonly text: string; readonly location: string }
type Facts = Readonly<Record<string, unknown>>;
type Row = Readonly<Record<string, unknown>>;

const sopClass = '(0008,0016)';
const uids = [
  { tag: sopClass, name: 'SOP Class UID' }, { tag: '(0008,0018)', name: 'SOP Instance UID' },
  { tag: '(0020,000d)', name: 'Study Instance UID' }, { tag: '(0020,000e)', name: 'Series Instance UID' },
];

/**
 * PS3.5 9.1: digits and dots, at most 64. What else a sender calls its objects identifies all the same, as far as it is safe (uids.ts), and is kept with a
 * warning. A SOP class is one of the standard or of a manufacturer's tree: digits and dots.
 * @param announced where the facts sopInstanceUid and sopClassUid come from, in words: 'the C-STORE command'
 */
export function checkIdentifiers(reader: SourceReader, facts: Facts, announced: string): { readonly warnings: readonly MappingWarning[]; readonly fault?: InstanceFault } {
  const warnings: MappingWarning[] = [];
  for (const { tag, name } of uids) {
    const value = reader.first(tag) ?? '';
    if (value === '') return { warnings, fault: { reason: 'invalid', text: `${name} ${tag} is missing`, location: tag } };
    const isUsable = tag === sopClass ? /^[0-9.]{1,64}$/.test(value) : isUsableUid(value);
    if (!isUsable) return { warnings, fault: { reason: 'invalid', text: `${name} ${tag} is not a UID (${tag === sopClass ? 'digits and dots, at most 64' : usableUidWords})`, location: tag } };
    if (!isValidUid(value)) warnings.push({ location: tag, text: `${name} is not a valid UID by PS3.5 9.1; taken as it is` });
  }
  const fault = disagreement(reader, '(0008,0018)', facts['sopInstanceUid'], 'SOP Instance UID', announced) ?? disagreement(reader, '(0008,0016)', facts['sopClassUid'], 'SOP Class UID', announced);
  return { warnings, ...(fault ? { fault } : {}) };
}

function disagreement(reader: SourceReader, tag: string, expected: unknown, name: string, announced: string): InstanceFault | undefined {
  if (expected === undefined || reader.first(tag) === expected) return undefined;
  return { reason: 'conflict', text: `${name} ${tag} of the data set is not that of ${announced}`, location: tag };
}

const rowsOf = (mapped: MappedRows, table: string): readonly Row[] => {
  const rows = mapped.rows[table];
  return rows === undefined ? [] : Array.isArray(rows) ? rows : [rows as Row];
};

export function patientRowOf(mapped: MappedRows): PatientRow {
  return { ...rowsOf(mapped, 'patients')[0], identifiers: rowsOf(mapped, 'patient_identifiers') as unknown as readonly PatientIdentifier[] } as PatientRow;
}

/** What was said of the object when it came stands above what its header says. */
export function instanceRowOf(mapped: MappedRows, facts: Facts): InstanceRow {
  const file = {
    ...rowsOf(mapped, 'scan_files')[0], sop_instance_uid: facts['sopInstanceUid'], sop_class_uid: facts['sopClassUid'],
    transfer_syntax_uid: facts['transferSyntaxUid'], dataset_offset: facts['datasetOffset'],
  };
  return { study: rowsOf(mapped, 'scans')[0], series: rowsOf(mapped, 'series')[0], file } as unknown as InstanceRow;
}
