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
import type { ReportDocument } from '#domain/report-document.ts';
import { encodeDatasetIn } from './encode-text.ts';
import type { DatasetElements } from './dataset-writer.ts';
import { contentTime, equipmentModule, patientModule, resultSeriesUid, studyModule, type ResultObject, type ResultOptions } from './result-modules.ts';
import { comprehensive3dSr } from './sop-classes.ts';
import { codeItem, line } from './sr-content.ts';
import { conceptOf, designatorOf, privateDesignator } from './sr-codes.ts';
import { evidenceOf, measurementReport } from './sr-report-content.ts';
import { explicitVrLittleEndian } from './transfer-syntaxes.ts';
import { deriveUid } from './uids.ts';

export type MeasurementReportOptions = ResultOptions;
export type MeasurementReport = ResultObject;

export function buildMeasurementReport(document: ReportDocument, options: MeasurementReportOptions): MeasurementReport {
  const sopInstanceUid = deriveUid(`sop-instance:sr:${options.controlId}`);
  const dataset = encodeDatasetIn(options.characterSet, {
    ...patientModule(document), ...studyModule(document, options), ...seriesModule(document), ...equipmentModule(document, options),
    ...sopCommon(document, options, sopInstanceUid), ...documentGeneral(document, options), ...measurementReport(document),
  });
  return { sopInstanceUid, sopClassUid: comprehensive3dSr, transferSyntaxUid: explicitVrLittleEndian, dataset };
}

/** PS3.3 C.17.1. All versions of one report share a series. */
function seriesModule(document: ReportDocument): DatasetElements {
  return {
    '(0008,0060)': 'SR', '(0020,000e)': resultSeriesUid('sr', document), '(0020,0011)': 9001, '(0008,103e)': 'AI results', '(0008,1111)': [],
  };
}

/** PS3.3 C.12.1. */
function sopCommon(document: ReportDocument, options: MeasurementReportOptions, sopInstanceUid: string): DatasetElements {
  const { da, tm, offset } = contentTime(document, options);
  return {
    '(0008,0016)': comprehensive3dSr, '(0008,0018)': sopInstanceUid, '(0020,0013)': document.version,
    '(0008,0012)': da, '(0008,0013)': tm, '(0008,0201)': offset, '(0008,0110)': codingSchemes(document),
  };
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
