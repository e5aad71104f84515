/**
 * A report as a DICOM Structured Report: Comprehensive 3D SR (PS3.3 A.35.13) by template TID 1500 Measurement Report (PS3.16).
 *
 *   126000 Imaging Measurement Report
 *     language, device observers (TID 1004: the models), procedure reported
 *     Image Library (TID 1600)          the images that the findings are in
 *     Imaging Measurements              one Measurement Group per finding: TID 1410 with a region, TID 1501 without
 *     Qualitative Evaluations           findings text, conclusion, conclusion codes
 *
 * It joins the study it is about: same Study Instance UID and patient, a series of its own, unverified until a person verifies it.
 * The same document under the same control id gives the same bytes, so that a repeated C-STORE is harmless.
 */
import type { ReportDocument, ReportModel } from '#domain/report-document.ts';
import { encodeDataset } from './dataset-writer.ts';
import type { DatasetElements } from './dataset-writer.ts';
import { daOfIsoDate, localDaTm } from './dates.ts';
import { implementationVersionName } from './part10.ts';
import { formatPersonName } from './person-name.ts';
import { comprehensive3dSr } from './sop-classes.ts';
import { codeItem, line } from './sr-content.ts';
import { conceptOf, designatorOf, patientSexes, privateDesignator } from './sr-codes.ts';
import { evidenceOf, measurementReport } from './sr-report-content.ts';
import { explicitVrLittleEndian } from './transfer-syntaxes.ts';
import { deriveUid } from './uids.ts';

export interface MeasurementReportOptions {
  /** Delivery's control id: the SOP Instance UID is derived from it. */
  readonly controlId: string;
  /** Content date and time where the document's issuedAt is not a time. */
  readonly now: Date;
  readonly manufacturer?: string;
  /** IANA zone of the hospital: dates and times are written in it, as the study's own images have them. UTC when absent. */
  readonly timeZone?: string;
}
export interface MeasurementReport {
  readonly sopInstanceUid: string; readonly sopClassUid: string; readonly transferSyntaxUid: string;
  /** The dataset alone, as C-STORE sends it; put buildPart10Header before it for a file. */
  readonly dataset: Buffer;
}

export function buildMeasurementReport(document: ReportDocument, options: MeasurementReportOptions): MeasurementReport {
  const sopInstanceUid = deriveUid(`sop-instance:sr:${options.controlId}`);
  const dataset = encodeDataset({
    ...patientModule(document), ...studyModule(document, options), ...seriesAndEquipment(document, options),
    ...sopCommon(document, options, sopInstanceUid), ...documentGeneral(document, options), ...measurementReport(document),
  });
  return { sopInstanceUid, sopClassUid: comprehensive3dSr, transferSyntaxUid: explicitVrLittleEndian, dataset };
}

/** PS3.3 C.7.1.1. The Patient ID that the images carry: the medical record number, else the first identifier. */
function patientModule({ patient }: ReportDocument): DatasetElements {
  const identifier = patient.identifiers.find((one) => one.typeCode === 'MR') ?? patient.identifiers[0];
  return {
    '(0010,0010)': formatPersonName({
      family: patient.familyName, given: patient.givenName, middle: patient.middleName, prefix: patient.namePrefix, suffix: patient.nameSuffix,
      ideographic: patient.ideographicName, phonetic: patient.phoneticName,
    }),
    '(0010,0020)': line(identifier?.value ?? patient.patientNumber, 64),
    '(0010,0021)': identifier === undefined || identifier.assigningAuthority === '' ? undefined : line(identifier.assigningAuthority, 64),
    '(0010,0030)': daOfIsoDate(patient.birthDate),
    '(0010,0040)': patientSexes[patient.sex ?? 'unknown'],
  };
}

/** PS3.3 C.7.2.1. */
function studyModule({ scan }: ReportDocument, options: MeasurementReportOptions): DatasetElements {
  const { da, tm } = localDaTm(scan.studyAt, options.timeZone);
  return {
    '(0020,000d)': scan.studyInstanceUid, '(0008,0020)': da, '(0008,0030)': tm,
    '(0008,0050)': line(scan.accessionNumber ?? '', 16), '(0008,0090)': line(scan.referringPhysician ?? '', 200), '(0020,0010)': line(scan.studyId ?? '', 16),
    '(0008,1030)': scan.studyDescription === undefined ? undefined : line(scan.studyDescription, 64),
  };
}

/** PS3.3 C.17.1, C.7.5.1, C.7.5.2. All versions of one report share a series. */
function seriesAndEquipment(document: ReportDocument, { manufacturer = 'MedScan' }: MeasurementReportOptions): DatasetElements {
  return {
    '(0008,0060)': 'SR', '(0020,000e)': deriveUid(`series:sr:${document.scan.studyInstanceUid}:${document.reportId}`), '(0020,0011)': 9001,
    '(0008,103e)': 'AI results', '(0008,1111)': [],
    '(0008,0070)': line(manufacturer, 64), '(0008,1090)': 'MedScan Gateway', '(0018,1000)': line(document.organization.organizationId, 64),
    '(0018,1020)': [implementationVersionName, ...document.models.map(softwareVersion)], '(0008,0080)': line(document.organization.name, 64),
  };
}
function softwareVersion({ name, version }: ReportModel): string {
  return line(`${line(name, 40)} ${version}`, 64);
}

/** PS3.3 C.12.1. */
function sopCommon(document: ReportDocument, options: MeasurementReportOptions, sopInstanceUid: string): DatasetElements {
  const { da, tm, offset } = contentTime(document, options);
  return {
    '(0008,0005)': 'ISO_IR 192', '(0008,0016)': comprehensive3dSr, '(0008,0018)': sopInstanceUid, '(0020,0013)': document.version,
    '(0008,0012)': da, '(0008,0013)': tm, '(0008,0201)': offset, '(0008,0110)': codingSchemes(document),
  };
}
function contentTime({ issuedAt }: ReportDocument, { now, timeZone }: MeasurementReportOptions): ReturnType<typeof localDaTm> {
  return localDaTm(Number.isNaN(Date.parse(issuedAt)) ? now.toISOString() : issuedAt, timeZone);
}

/** Coding Scheme Identification Sequence: which code systems stand behind our private designator, for PS3.16 has none for them. */
function codingSchemes({ findings, conclusionCodes, scan }: ReportDocument): DatasetElements[] | undefined {
  const coded = [...conclusionCodes, scan.procedureCode, ...findings.flatMap((finding) => [finding.type, finding.bodySite, ...finding.measurements.map((one) => one.type)])];
  const systems = [...new Set(coded.filter((one) => one !== undefined).map((one) => one.system))].filter((system) => designatorOf(system) === privateDesignator).toSorted();
  return systems.length === 0 ? undefined : [{ '(0008,0102)': privateDesignator, '(0008,0115)': line(`Codes of ${systems.join(', ')}`, 1024) }];
}

/** PS3.3 C.17.2. */
function documentGeneral(document: ReportDocument, options: MeasurementReportOptions): DatasetElements {
  const { scan, status } = document;
  const { da, tm } = contentTime(document, options);
  const isWithdrawn = status === 'cancelled' || status === 'entered-in-error';
  return {
    '(0008,0023)': da, '(0008,0033)': tm, '(0040,a493)': 'UNVERIFIED',
    '(0040,a491)': status === 'preliminary' || isWithdrawn ? 'PARTIAL' : 'COMPLETE',
    '(0040,a492)': isWithdrawn ? `Withdrawn: ${status}` : undefined,
    '(0040,a496)': status === 'preliminary' ? 'PRELIMINARY' : 'FINAL',
    '(0040,a372)': scan.procedureCode === undefined ? [] : [codeItem(conceptOf(scan.procedureCode))],
    '(0040,a375)': evidenceOf(document), '(0040,a370)': requestOf(document),
  };
}

/** Referenced Request Sequence: which order the report fulfils. */
function requestOf({ scan }: ReportDocument): DatasetElements[] | undefined {
  if (scan.accessionNumber === undefined && scan.placerOrderNumber === undefined && scan.fillerOrderNumber === undefined) return undefined;
  return [{
    '(0020,000d)': scan.studyInstanceUid, '(0008,1110)': [], '(0008,0050)': line(scan.accessionNumber ?? '', 16),
    '(0040,2016)': line(scan.placerOrderNumber ?? '', 64), '(0040,2017)': line(scan.fillerOrderNumber ?? '', 64), '(0040,1001)': null,
    '(0032,1060)': line(scan.procedureCode?.display ?? scan.studyDescription ?? '', 64), '(0032,1064)': scan.procedureCode === undefined ? [] : [codeItem(conceptOf(scan.procedureCode))],
  }];
}
