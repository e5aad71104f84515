/**
 * Reports that come back: ORU^R01 (HL7 v2.5.1 ch. 7) with one report per OBR group, MDM^T02 (ch. 9) with one document. The pipeline links them
 * to the study by its numbers; a result about anything else is kept without effect.
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { StoredMessage } from '#gateway/adapter.ts';
import type { InboundReportRow, MappedRows, Mapper, MappingWarning, Normalized } from '#gateway/normalized.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import type { Hl7Message, Segment } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { withChosenIdentifiers } from './chosen-identifiers.ts';
import { reportText } from './report-text.ts';
import { foldRows, mapSettings, patientRow, scanReference } from './rows.ts';

export const reportInteractions: readonly string[] = ['MDM^T02', 'ORU^R01'];
const maximumReports = 100;

export function normalizeReports(parsed: Hl7Message, message: StoredMessage<Hl7v2Config>, map: Mapper): Normalized {
  const { config } = message.integration;
  const reader = hl7Reader(parsed);
  const who = map(config.adt_mapping, reader, mapSettings(config));
  const patient = withChosenIdentifiers(patientRow(who), config);
  if (patient.identifiers.length === 0) throw new NormalizeError('invalid', 'PID-3 is required: the report does not say whose it is', 'PID-3');
  const groups = message.interaction === 'MDM^T02' ? [] : reader.each('OBR');
  if (groups.length > maximumReports) throw new NormalizeError('invalid', `The message has more than ${maximumReports} OBR groups`, 'OBR');
  // One group, or a document: the whole message is about it, ORC too.
  const mapped = (groups.length > 1 ? groups : [reader]).map((group) => map(config.report_mapping, group, mapSettings(config)));
  const segments = groups.length > 1 ? segmentGroups(parsed) : [parsed.segments];
  const warnings: MappingWarning[] = [...parsed.warnings, ...who.warnings, ...mapped.flatMap((group) => group.warnings)];
  const reports = mapped.flatMap((group, index) => reportRow(group, parsed, segments[index] ?? [], warnings));
  return {
    authority: 'order', patient, reports, mapping: mapped[0]?.mapping ?? who.mapping, warnings,
    trace: () => [...who.trace().filter(({ outcome }) => outcome !== 'unmapped'), ...mapped.flatMap((group) => group.trace())],
  };
}

function reportRow(mapped: MappedRows, parsed: Hl7Message, segments: readonly Segment[], warnings: MappingWarning[]): InboundReportRow[] {
  const reference = scanReference(foldRows(mapped.rows['scans']));
  const { status = 'preliminary', ...row } = foldRows(mapped.rows['reports']);
  const document = parsed.segment('TXA')?.fields[12];
  const identifier = (document ? parsed.component(document, 1) : '') || [reference.filler_order_number, reference.placer_order_number, reference.accession_number, reference.study_instance_uid].find(Boolean);
  if (status === 'registered') { warnings.push({ location: 'OBR-25', text: 'The result has no report yet and has no effect' }); return []; }
  if (!identifier) { warnings.push({ location: 'OBR-3', text: 'The report names no order, accession number or study and has no effect' }); return []; }
  const { findings, impression, isCut } = reportText(parsed, segments);
  if (isCut) warnings.push({ location: 'OBX-5', text: 'The text is longer than 200000 characters and was cut; the whole is in the message' });
  return [{ ...reference, ...row, report_identifier: identifier, status, findings_text: findings, impression } as InboundReportRow];
}

/** Each OBR with what follows it up to the next; as reader.each('OBR'). */
function segmentGroups({ segments }: Hl7Message): readonly (readonly Segment[])[] {
  const groups: Segment[][] = [];
  for (const segment of segments) {
    if (segment.name === 'OBR') groups.push([segment]);
    else groups.at(-1)?.push(segment);
  }
  return groups;
}
