/**
 * ADT: a registration system tells who a patient is (HL7 v2.5.1 ch. 3). Upserts set what PID says and add AL1, DG1, PR1 and PV1 to the
 * history; merges say that MRG-1 was an earlier identifier of PID-3, once per PID/MRG pair.
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { StoredMessage } from '#gateway/adapter.ts';
import type { Mapper, MappedRows, Normalized, PatientIdentifier, PatientMerge, SourceReader } from '#gateway/normalized.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { historyRows, identifiers, mapSettings, patientRow } from './rows.ts';

/** Trigger events with the same effect here: the patient and the visit as the message states them. */
const upserts = ['A01', 'A02', 'A03', 'A04', 'A05', 'A06', 'A07', 'A08', 'A10', 'A11', 'A12', 'A13', 'A28', 'A31', 'A38'];
/** Merges of persons and changes of their identifiers. Account and visit merges (A35, A41, A42, A45) join no two patients and are not here. */
const merges = ['A18', 'A30', 'A34', 'A36', 'A39', 'A40', 'A46', 'A47'];

export const adtInteractions: readonly string[] = [...upserts, ...merges].toSorted().map((event) => `ADT^${event}`);

export function normalizeAdt(parsed: Hl7Message, message: StoredMessage<Hl7v2Config>, map: Mapper): Normalized {
  const event = message.interaction.split('^')[1] ?? '';
  const reader = hl7Reader(parsed);
  const settings = mapSettings(message.integration.config);
  const merged = merges.includes(event) ? patientMerges(reader, (group) => map('hl7v2-merge-to-rows', group, settings)) : [];
  const mapped = map(message.integration.config.adt_mapping, reader, settings);
  const patient = patientRow(mapped);
  if (patient.identifiers.length === 0) throw new NormalizeError('invalid', 'PID-3 is required: an ADT message without a patient identifier names nobody', 'PID-3');
  const warnings = [...parsed.warnings, ...mapped.warnings];
  return {
    authority: 'registration', patient, history: historyRows(mapped, warnings), mapping: mapped.mapping,
    ...(merges.includes(event) ? { merges: merged } : {}),
    warnings, get trace() { return mapped.trace; }, // made when somebody looks
  };
}

/** One merge per PID and the MRG that follows it; a PID without MRG merges nothing, an A40 without any pair says nothing. */
function patientMerges(reader: SourceReader, map: (group: SourceReader) => MappedRows): PatientMerge[] {
  const found = reader.each('PID').flatMap((group, index) => {
    const { rows } = map(group);
    const merge: PatientMerge = { survivor: identifiers(rows['patient_merges.survivor']), prior: identifiers(rows['patient_merges.prior']) };
    if (merge.prior.length === 0) return [];
    if (merge.survivor.length === 0) throw new NormalizeError('invalid', 'PID-3 is required: the merge does not say which patient remains', `PID[${index + 1}]-3`);
    return sameIdentifier(merge) ? [] : [merge];
  });
  if (found.length === 0 && reader.first('MRG-1') === undefined) throw new NormalizeError('invalid', 'MRG is required: the merge does not name the earlier identifier', 'MRG-1');
  return found;
}

function sameIdentifier({ survivor, prior }: PatientMerge): boolean {
  const key = (identifier: PatientIdentifier): string => `${identifier.value}\n${identifier.assigning_authority}`;
  const kept = new Set(survivor.map(key));
  return prior.every((identifier) => kept.has(key(identifier)));
}
