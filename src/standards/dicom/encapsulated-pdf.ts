/** The report as people read it, as an Encapsulated PDF (PS3.3 A.45.1) in the study it is about. In: the document and its PDF. Out: the dataset. */
import type { ReportDocument } from '#domain/report-document.ts';
import { encodeDatasetIn } from './encode-text.ts';
import { contentTime, equipmentModule, patientModule, resultSeriesUid, resultSopClasses, secondaryCaptureEquipment, studyModule, type ResultObject, type ResultOptions } from './result-modules.ts';
import { codeItem, line } from './sr-content.ts';
import { explicitVrLittleEndian } from './transfer-syntaxes.ts';
import { deriveUid } from './uids.ts';

const encapsulatedPdfStorage = resultSopClasses['encapsulated-pdf'];

export function buildEncapsulatedPdf(document: ReportDocument, title: string, pdf: Buffer, options: ResultOptions): ResultObject {
  const sopInstanceUid = deriveUid(`sop-instance:pdf:${options.controlId}`);
  const { da, tm, offset } = contentTime(document, options);
  const references = [...new Map(document.findings.flatMap(({ location }) => (location === undefined ? [] : [[location.sopInstanceUid, location.sopClassUid]]))).entries()];
  const dataset = encodeDatasetIn(options.characterSet, {
    ...patientModule(document), ...studyModule(document, options), ...equipmentModule(document, options), ...secondaryCaptureEquipment(options),
    // C.24.1 Encapsulated Document Series: DOC is the modality of documents.
    '(0008,0060)': 'DOC', '(0020,000e)': resultSeriesUid('pdf', document), '(0020,0011)': 9003, '(0008,103e)': 'AI report',
    // C.12.1 SOP Common
    '(0008,0016)': encapsulatedPdfStorage, '(0008,0018)': sopInstanceUid, '(0020,0013)': document.version, '(0008,0012)': da, '(0008,0013)': tm, '(0008,0201)': offset,
    // C.24.2 Encapsulated Document: made from the images that the findings are in; it shows the patient's name.
    '(0008,0023)': da, '(0008,0033)': tm, '(0008,002a)': null, '(0028,0301)': 'YES', '(0040,a493)': 'UNVERIFIED', '(0042,0010)': line(title, 1024),
    '(0042,0013)': references.length === 0 ? undefined : references.map(([instance, sopClass]) => ({ '(0008,1150)': sopClass!, '(0008,1155)': instance! })),
    '(0040,a043)': [codeItem(['18748-4', 'LN', 'Diagnostic imaging study'])],
    '(0042,0012)': 'application/pdf', '(0042,0011)': pdf, '(0042,0015)': { vr: 'UL', value: pdf.length },
  });
  return { sopInstanceUid, sopClassUid: encapsulatedPdfStorage, transferSyntaxUid: explicitVrLittleEndian, dataset };
}
