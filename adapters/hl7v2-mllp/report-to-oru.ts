/**
 * A ReportDocument as ORU^R01 v2.5.1 (ch. 7.3.1; shape of IHE RAD results distribution): MSH PID [PV1] ORC OBR [NTE], then OBX, by deliver_content
 *
 *   113014 DICOM Study (ST)          the Study Instance UID
 *   59776-5 findings, 19005-8 impression (TX; FT when it has lines)
 *   per finding, one OBX-4 sub-id:   the coded finding (CWE) with OBX-17 method and OBX-18 algorithm,
 *                                    111012 certainty in % (NM), each measurement in UCUM (NM)
 *   18748-4                          the report as PDF (ED, Base64), and a link to it (RP)
 *
 * Every value goes through escapeText in node-hl7.ts: none can start a field or a segment.
 */
import type { Coded, ReportDocument, ReportFinding, ReportModel, ReportPatient, ReportScan } from '#domain/report-document.ts';
import { formatDtm, formatIsoAsDtm } from '#standards/hl7v2/date-time.ts';
import { buildMessage } from '#standards/hl7v2/node-hl7.ts';
import type { BuiltSegment, FieldValue } from '#standards/hl7v2/node-hl7.ts';
import { reportTitle } from '#standards/pdf/report-pdf.ts';
import type { Hl7v2Config } from './config.ts';
import { codingSystemName, observationStatus, resultStatus, severityFlags, sexCodes } from './result-codes.ts';

type SenderSettings = Pick<Hl7v2Config, 'own_application' | 'own_facility' | 'receiving_application' | 'receiving_facility' | 'processing_id' | 'deliver_character_set' | 'request_acknowledgment' | 'deliver_content' | 'link_address'>;

/** The text of the message, segments ended by CR. MSH-7 is the time of sending; everything else is the same over attempts. `pdf` is the report as a document. */
export function reportToOru(document: ReportDocument, controlId: string, settings: SenderSettings, sentAt: Date, pdf?: Buffer): string {
  return buildMessage([
    header(['ORU', 'R01', 'ORU_R01'], controlId, settings, sentAt), patientSegment(document.patient), ...visitSegment(document.scan),
    commonOrder(document, settings), observationRequest(document, settings), ...versionNote(document), ...observations(document, settings, pdf),
  ]);
}

export function header(type: readonly string[], controlId: string, settings: SenderSettings, sentAt: Date): BuiltSegment {
  const asked = { original: {}, enhanced: { 15: 'AL', 16: 'NE' }, both: { 15: 'AL', 16: 'AL' } }[settings.request_acknowledgment];
  return { name: 'MSH', fields: {
    3: settings.own_application, 4: settings.own_facility, 5: settings.receiving_application, 6: settings.receiving_facility,
    7: formatDtm(sentAt), 9: type, 10: controlId, 11: settings.processing_id, 12: '2.5.1',
    ...asked, 18: settings.deliver_character_set === 'ISO IR87' ? { repetitions: ['', 'ISO IR87'] } : settings.deliver_character_set,
  } };
}

export function patientSegment(patient: ReportPatient): BuiltSegment {
  const [first] = patient.identifiers;
  const identifier: FieldValue = first ? [first.value, undefined, undefined, authority(first.assigningAuthority), first.typeCode] : patient.patientNumber;
  return { name: 'PID', fields: {
    1: 1, 3: identifier, 5: [patient.familyName, patient.givenName, patient.middleName, patient.nameSuffix, patient.namePrefix, undefined, 'L'],
    7: formatIsoAsDtm(patient.birthDate ?? ''), 8: patient.sex ? sexCodes[patient.sex] : undefined,
  } };
}

/** HD: a namespace, or an OID when it is one. */
function authority(name: string): readonly (string | undefined)[] {
  return /^\d+(\.\d+)+$/.test(name) ? [undefined, name, 'ISO'] : [name];
}

/** PV1 only to carry the referring physician; the class is not known here, U says so (table 0004). */
function visitSegment(scan: ReportScan): BuiltSegment[] {
  return scan.referringPhysician ? [{ name: 'PV1', fields: { 1: 1, 2: 'U', 8: [undefined, ...physician(scan.referringPhysician)] } }] : [];
}
function physician(name: string): (string | undefined)[] { return name.split('^').slice(0, 5); }

function commonOrder(document: ReportDocument, settings: SenderSettings): BuiltSegment {
  return { name: 'ORC', fields: { 1: 'RE', 2: document.scan.placerOrderNumber, 3: fillerNumber(document, settings) } };
}

/** As received; without one the report's own, the same over its versions, so that a correction or retraction finds what it replaces. */
function fillerNumber({ scan, reportId }: ReportDocument, { own_application: application }: SenderSettings): FieldValue {
  return scan.fillerOrderNumber ?? [reportId, application];
}

/**
 * OBR-25 C is for what replaces a final result (table 0123): a preliminary one stays P, so what replaces what is said in words too. The report's id
 * is that of its first version.
 */
function versionNote({ version, reportId, status }: ReportDocument): BuiltSegment[] {
  if (status === 'entered-in-error' || status === 'cancelled') return [note(`Report ${reportId} is withdrawn${version > 1 ? ' in all its versions' : ''}; do not use it`)];
  return version > 1 ? [note(`Version ${version} of report ${reportId}; it replaces the earlier ones`)] : [];
}
function note(text: string): BuiltSegment { return { name: 'NTE', fields: { 1: 1, 2: 'L', 3: text } }; }

export function procedureOf(scan: ReportScan): FieldValue {
  return scan.procedureCode ? coded(scan.procedureCode) : ['18748-4', scan.studyDescription ?? 'Diagnostic imaging study', 'LN'];
}

function observationRequest(document: ReportDocument, settings: SenderSettings): BuiltSegment {
  const { scan } = document;
  return { name: 'OBR', fields: {
    1: 1, 2: scan.placerOrderNumber, 3: fillerNumber(document, settings), 4: procedureOf(scan), 7: formatIsoAsDtm(scan.studyAt ?? ''), 18: scan.accessionNumber,
    22: formatIsoAsDtm(document.issuedAt), 24: 'RAD', 25: resultStatus[document.status],
  } };
}

function observations(document: ReportDocument, settings: SenderSettings, pdf: Buffer | undefined): BuiltSegment[] {
  const observed = formatIsoAsDtm(document.scan.studyAt ?? document.issuedAt);
  const has = (content: SenderSettings['deliver_content'][number]): boolean => settings.deliver_content.includes(content);
  const { findings, impression } = document.sections;
  const texts: ObservationFields[] = [
    { 2: textType(findings), 3: ['59776-5', 'Procedure Findings', 'LN'], 5: findings },
    { 2: textType(impression), 3: ['19005-8', 'Radiology Imaging study [Impression]', 'LN'], 5: impression },
  ];
  return [
    { 2: 'ST', 3: ['113014', 'DICOM Study', 'DCM'], 5: document.scan.studyInstanceUid }, ...(has('text') ? texts : []),
    ...document.findings.flatMap((finding, index) => [
      ...(has('findings') ? findingObservations(finding, index + 1, document.models) : []),
      ...(has('measurements') ? measurementObservations(finding, index + 1, document.models) : []),
    ]),
    ...documentObservations(document, settings, pdf),
  ].filter((fields: ObservationFields) => fields[5] !== '')
    .map((fields, index) => ({ name: 'OBX', fields: { 1: index + 1, ...fields, 11: observationStatus[document.status], 14: observed } }));
}

/** ED and RP (ch. 2.A.24, 2.A.65): the sender's name, kind and encoding of the data, the data; the address first where it is only pointed to. */
function documentObservations(document: ReportDocument, settings: SenderSettings, pdf: Buffer | undefined): ObservationFields[] {
  const title = ['18748-4', reportTitle(document), 'LN'];
  const link = settings.deliver_content.includes('link') ? linkTo(document, settings.link_address) : undefined;
  return [
    ...(pdf ? [{ 2: 'ED', 3: title, 5: [settings.own_application, 'Application', 'PDF', 'Base64', pdf.toString('base64')] }] : []),
    ...(link === undefined ? [] : [{ 2: 'RP', 3: title, 5: [link, settings.own_application, 'TEXT', 'HTML'] }]),
  ];
}

function linkTo({ reportId, scan }: ReportDocument, address: string | undefined): string | undefined {
  const values: Readonly<Record<string, string>> = { report_id: reportId, study_instance_uid: scan.studyInstanceUid, accession_number: scan.accessionNumber ?? '' };
  return address?.replaceAll(/\{(\w+)\}/g, (whole, name: string) => (name in values ? encodeURIComponent(values[name] ?? '') : whole));
}

/** \\.br\\ is a formatting command: only FT has those (ch. 2.7.6). */
function textType(text: string): 'TX' | 'FT' { return /[\r\n]/.test(text) ? 'FT' : 'TX'; }

type ObservationFields = Readonly<Record<number, FieldValue>>;

function methodOf(finding: ReportFinding, models: readonly ReportModel[]): ObservationFields {
  const model = models.find(({ analysisId }) => analysisId === finding.analysisId);
  return model ? { 17: [model.name, `${model.name} ${model.version}`, '99AI'], 18: [`${model.name} ${model.version}`, model.manufacturer] } : {};
}

function findingObservations(finding: ReportFinding, subId: number, models: readonly ReportModel[]): ObservationFields[] {
  const site: ObservationFields = finding.bodySite ? { 20: coded(finding.bodySite) } : {};
  return [
    { 2: 'CWE', 3: coded(finding.type), 4: subId, 5: ['52101004', 'Present', 'SCT', undefined, undefined, undefined, undefined, undefined, finding.description], 8: severityFlags[finding.severity], ...methodOf(finding, models), ...site },
    { 2: 'ST', 3: ['112040', 'Tracking Unique Identifier', 'DCM'], 4: subId, 5: finding.trackingUid },
  ];
}

function measurementObservations(finding: ReportFinding, subId: number, models: readonly ReportModel[]): ObservationFields[] {
  const method = methodOf(finding, models);
  return [
    { 2: 'NM', 3: ['111012', 'Certainty of Finding', 'DCM'], 4: subId, 5: finding.confidencePercentage, 6: ['%', 'percent', 'UCUM'], ...method },
    ...finding.measurements.map((measurement) => ({ 2: 'NM', 3: coded(measurement.type), 4: subId, 5: measurement.value, 6: [measurement.unit, measurement.unit, 'UCUM'], ...method })),
  ];
}

function coded({ code, display, system }: Coded): readonly string[] { return [code, display, codingSystemName(system)]; }
