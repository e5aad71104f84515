/**
 * Findings as Observations, with the codes of DICOM SR (PS3.16) where FHIR has none: certainty DCM 111012, tracking UID DCM 112040, image region
 * DCM 111030. The same links as HL7's "DICOM SR to FHIR": basedOn the order, partOf and derivedFrom the study, device the model.
 */
import type { ReportDocument, ReportFinding } from '#domain/report-document.ts';
import { narrativeOf } from '#standards/fhir/narrative.ts';
import type { Observation, ObservationComponent } from '#standards/fhir/types.ts';
import { concept, conceptOf, findingConcept, interpretations, lateralities, systems } from './code-tables.ts';
import type { Config } from './config.ts';
import { ownIdentifier } from './identifiers.ts';
import type { Links } from './report-items.ts';

export function findingObservation(finding: ReportFinding, document: ReportDocument, config: Config, links: Links): Observation {
  const device = links.device(finding.analysisId);
  return {
    ...common(document, links), identifier: [ownIdentifier(config, 'finding', finding.trackingUid)], code: findingConcept(finding.type, config.resource_system),
    ...narrated(`${finding.type.display}: present, certainty ${finding.confidencePercentage} %, severity ${finding.severity}.`, finding.description),
    ...(device === undefined ? {} : { device }), valueCodeableConcept: { ...concept(systems.sct, '52101004', 'Present'), text: 'present' },
    interpretation: [{ ...concept(systems.interpretation, interpretations.get(finding.severity) ?? 'A'), text: finding.severity }],
    ...(finding.bodySite === undefined ? {} : { bodySite: conceptOf(finding.bodySite, config.resource_system) }),
    ...(finding.description.trim() === '' ? {} : { note: [{ text: finding.description }] }), component: components(finding, config),
  };
}

function components(finding: ReportFinding, config: Config): ObservationComponent[] {
  const side = finding.laterality === undefined ? undefined : lateralities.get(finding.laterality);
  return [
    { code: concept(systems.dcm, '111012', 'Certainty of Finding'), valueQuantity: { value: finding.confidencePercentage, unit: '%', system: systems.ucum, code: '%' } },
    { code: concept(systems.dcm, '112040', 'Tracking Unique Identifier'), valueString: finding.trackingUid },
    ...(side === undefined ? [] : [{ code: concept(systems.sct, '272741003', 'Laterality'), valueCodeableConcept: { ...concept(systems.sct, side), text: finding.laterality ?? '' } }]),
    ...finding.measurements.map((measurement) => ({
      code: conceptOf(measurement.type, config.resource_system), valueQuantity: { value: measurement.value, unit: measurement.unit, system: systems.ucum, code: measurement.unit },
    })),
    ...(finding.location === undefined ? [] : [{ code: concept(systems.dcm, '111030', 'Image Region'), valueString: regionText(finding.location) }]),
  ];
}

/** R4 has no ImagingSelection: series, image, frame and box (left,top,width,height in pixels) as text. */
function regionText({ seriesInstanceUid, sopInstanceUid, frame, boundingBox: box }: NonNullable<ReportFinding['location']>): string {
  return `series ${seriesInstanceUid} instance ${sopInstanceUid} frame ${frame} box ${box.left},${box.top},${box.width},${box.height}`;
}

/** The report's findings and impression as text, for receivers that show results and no reports. */
export function sectionObservations(document: ReportDocument, config: Config, links: Links): Observation[] {
  const sections = [
    { kind: 'report-findings', code: concept(systems.loinc, '59776-5'), text: document.sections.findings },
    { kind: 'report-impression', code: concept(systems.loinc, '19005-8'), text: document.sections.impression },
  ] as const;
  return sections.filter(({ text }) => text.trim() !== '').map(({ kind, code, text }) =>
    ({ ...common(document, links), identifier: [ownIdentifier(config, kind, document.reportId)], code, ...narrated(text), valueString: text }));
}

function narrated(...texts: string[]): Pick<Observation, 'text'> {
  const text = narrativeOf(...texts);
  return text === undefined ? {} : { text };
}

function common(document: ReportDocument, links: Links): Pick<Observation, 'resourceType' | 'status' | 'basedOn' | 'partOf' | 'category' | 'subject' | 'encounter' | 'effectiveDateTime' | 'issued' | 'performer' | 'derivedFrom'> {
  return {
    resourceType: 'Observation', status: document.status, ...(links.order === undefined ? {} : { basedOn: [links.order] }), partOf: [links.study],
    category: [concept(systems.observationCategory, 'imaging', 'Imaging')], subject: links.subject, ...(links.encounter === undefined ? {} : { encounter: links.encounter }), effectiveDateTime: document.scan.studyAt ?? document.issuedAt,
    issued: document.issuedAt, performer: [links.performer], derivedFrom: [links.study],
  };
}
