/**
 * ADT: a registration system tells who a patient is (HL7 v2.5.1 ch. 3). Upserts set what PID says and add AL1, DG1, PR1 and PV1 to the
 * history; merges say that MRG-1 was an earlier identifier of PID-3, once per PID/MRG pair; links say that two PIDs are one person.
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { StoredMessage } from '#gateway/adapter.ts';
import type { Mapper, MappedRows, Normalized, PatientIdentifier, PatientMerge, SourceReader } from '#gateway/normalized.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { chooseIdentifiers, withChosenIdentifiers } from './chosen-identifiers.ts';
import { historyRows, identifiers, mapSettings, patientRow } from './rows.ts';

/** Trigger events with the same effect here: the patient and the visit as the message states them. */
const upserts = ['A01', 'A02', 'A03', 'A04', 'A05', 'A06', 'A07', 'A08', 'A10', 'A11', 'A12', 'A13', 'A28', 'A31', 'A38'];
/**
 * Merges of persons and changes of their identifiers, with those of before v2.4. A35 and A41 merge accounts: their MRG-1 is the patient of PID, and
 * then they join nobody; older senders mean a merge of patients by them, and then MRG-1 is another. Visit merges (A42, A45) are not here.
 */
const merges = ['A18', 'A30', 'A34', 'A35', 'A36', 'A39', 'A40', 'A41', 'A46', 'A47'];
/** Two PIDs are one person, or are not; both records stay. */
const links: Readonly<Record<string, 'link' | 'unlink'>> = { A24: 'link', A37: 'unlink' };

export const mergeEvents: readonly string[] = merges;
export const linkEvents: readonly string[] = Object.keys(links);
export const adtInteractions: readonly string[] = [...upserts, ...merges, ...Object.keys(links)].toSorted().map((event) => `ADT^${event}`);

export function normalizeAdt(parsed: Hl7Message, message: StoredMessage<Hl7v2Config>, map: Mapper): Normalized {
  const event = message.interaction.split('^')[1] ?? '';
  const reader = hl7Reader(parsed);
  const settings = mapSettings(message.integration.config);
  const mapPair = (group: SourceReader): MappedRows => map('hl7v2-merge-to-rows', group, settings);
  const kind = links[event];
  const changes = kind ? [patientLink(reader, kind, mapPair, message.integration.config)] : merges.includes(event) ? patientMerges(reader, mapPair, message.integration.config) : undefined;
  const mapped = map(message.integration.config.adt_mapping, reader, settings);
  const patient = withChosenIdentifiers(patientRow(mapped), message.integration.config);
  if (patient.identifiers.length === 0) throw new NormalizeError('invalid', 'PID-3 is required: an ADT message without a patient identifier names nobody', 'PID-3');
  const warnings = [...parsed.warnings, ...mapped.warnings];
  return {
    authority: 'registration', patient, history: historyRows(mapped, warnings), mapping: mapped.mapping,
    ...(changes ? { merges: changes } : {}),
    warnings, trace: mapped.trace,
  };
}

/** One merge per PID and the MRG that follows it; a PID without MRG merges nothing, an A40 without any pair says nothing. */
function patientMerges(reader: SourceReader, map: (group: SourceReader) => MappedRows, config: Hl7v2Config): PatientMerge[] {
  const { repeated_merge: repeated, inverse_merge: inverse, circular_merge: circular } = config;
  let nth = 0;
  const found = reader.each('PID').flatMap((group, index) => {
    const { rows } = map(group);
    const merge: PatientMerge = { survivor: chooseIdentifiers(identifiers(rows['patient_merges.survivor']), config), prior: chooseIdentifiers(identifiers(rows['patient_merges.prior']), config) };
    if (merge.prior.length === 0) return [];
    nth++;
    if (merge.survivor.length === 0) throw new NormalizeError('invalid', 'PID-3 is required: the merge does not say which patient remains', `PID[${index + 1}]-3`);
    return sameIdentifier(merge) ? [] : [{ ...merge, policy: { repeated, inverse, circular }, location: nth === 1 ? 'MRG-1' : `MRG[${nth}]-1` }];
  });
  if (found.length === 0 && reader.first('MRG-1') === undefined) throw new NormalizeError('invalid', 'MRG is required: the merge does not name the earlier identifier', 'MRG-1');
  return found;
}

/** The first PID and the second (ch. 3.3.24, 3.3.37). */
function patientLink(reader: SourceReader, kind: 'link' | 'unlink', map: (group: SourceReader) => MappedRows, config: Hl7v2Config): PatientMerge {
  const [survivor, prior] = [0, 1].map((index) => {
    const group = reader.each('PID')[index];
    const named = group ? chooseIdentifiers(identifiers(map(group).rows['patient_merges.survivor']), config) : [];
    if (named.length === 0) throw new NormalizeError('invalid', `PID-3 is required: the ${kind} does not name ${index === 0 ? 'the first' : 'the second'} patient`, index === 0 ? 'PID-3' : 'PID[2]-3');
    return named;
  }) as [readonly PatientIdentifier[], readonly PatientIdentifier[]];
  return { kind, survivor, prior, location: 'PID[2]-3' };
}

function sameIdentifier({ survivor, prior }: PatientMerge): boolean {
  const key = (identifier: PatientIdentifier): string => `${identifier.value}\n${identifier.assigning_authority}`;
  const kept = new Set(survivor.map(key));
  return prior.every((identifier) => kept.has(key(identifier)));
}
