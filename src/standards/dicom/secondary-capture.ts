/**
 * Findings drawn on their images, for viewers that show no structured reports: Secondary Capture (PS3.3 A.8.1), one for each image that findings are
 * in. Pixels with boxes, labels and a caption burned in; the image it was made from is named. In: the document. Out: what to draw, then the dataset.
 */
import type { FindingLocation, ReportDocument, ReportFinding } from '#domain/report-document.ts';
import type { Mark, Picture, PictureWanted } from '#gateway/images.ts';
import { encodeDatasetIn } from './encode-text.ts';
import { contentTime, equipmentModule, isWithdrawn, patientModule, resultSeriesUid, resultSopClasses, secondaryCaptureEquipment, studyModule, type ResultObject, type ResultOptions } from './result-modules.ts';
import { codeItem, line } from './sr-content.ts';
import { explicitVrLittleEndian } from './transfer-syntaxes.ts';
import { deriveUid } from './uids.ts';

const secondaryCaptureStorage = resultSopClasses['secondary-capture'];
const mostKeyImages = 20;
/** Letters must be readable on small images, and 12 megabytes are enough for one picture. */
const longestEdge = { least: 768, most: 2048 };

export interface KeyImage { readonly location: FindingLocation; readonly findings: readonly ReportFinding[]; readonly wanted: PictureWanted }

/** The images that findings are in, those with the most severe ones first (the document's order), at most 20. */
export function keyImages(document: ReportDocument): readonly KeyImage[] {
  const located = document.findings.filter((finding): finding is ReportFinding & { location: FindingLocation } => finding.location !== undefined);
  const groups = Map.groupBy(located, ({ location }) => `${location.sopInstanceUid}#${location.frame}`);
  return [...groups.values()].slice(0, mostKeyImages).map((findings) => ({
    location: findings[0]!.location, findings,
    wanted: { frame: findings[0]!.location.frame, longestEdge, marks: findings.map((finding) => markOf(finding, finding.location)), caption: captionOf(document), encoding: { type: 'raw', colour: true } },
  }));
}

function markOf(finding: ReportFinding, { boundingBox }: FindingLocation): Mark {
  return { ...boundingBox, label: `${finding.type.display || finding.type.code} ${Math.round(finding.confidencePercentage)} %`, isUrgent: finding.severity === 'high' || finding.severity === 'critical' };
}

/** No name and no number of the patient: viewers show those, and pictures are copied. */
function captionOf(document: ReportDocument): string[] {
  const models = document.models.map(({ name, version }) => `${name} ${version}`).join(', ');
  return [
    isWithdrawn(document) ? 'WITHDRAWN - do not use' : 'AI result - not for primary diagnosis',
    `${models}${document.models.some(({ notForClinicalUse }) => notForClinicalUse) ? ' - not for clinical use' : ''}`, `${document.status}, version ${document.version}`,
  ];
}

/** @param options isLossy: the image was compressed with loss before (PS3.3 C.7.6.1.1.5: that stays true for what is made from it) */
export function buildSecondaryCapture(document: ReportDocument, keyImage: KeyImage, index: number, picture: Picture, options: ResultOptions & { readonly isLossy: boolean }): ResultObject {
  const { location } = keyImage;
  const sopInstanceUid = deriveUid(`sop-instance:sc:${options.controlId}:${location.sopInstanceUid}:${location.frame}`);
  const { da, tm, offset } = contentTime(document, options);
  const dataset = encodeDatasetIn(options.characterSet, {
    ...patientModule(document), ...studyModule(document, options), ...equipmentModule(document, options), ...secondaryCaptureEquipment(options),
    '(0008,0060)': 'OT', '(0020,000e)': resultSeriesUid('sc', document), '(0020,0011)': 9002, '(0008,103e)': 'AI findings', '(0008,0012)': da, '(0008,0013)': tm, '(0008,0201)': offset,
    '(0008,0016)': secondaryCaptureStorage, '(0008,0018)': sopInstanceUid, '(0020,0013)': document.version * 100 + index + 1,
    // C.7.6.1 General Image
    '(0008,0008)': ['DERIVED', 'SECONDARY'], '(0008,0023)': da, '(0008,0033)': tm, '(0020,0020)': null, '(0020,0060)': null, '(0028,0301)': 'YES',
    '(0020,4000)': line(captionOf(document).join('; '), 1024), '(0008,2111)': `Findings of ${line(document.models.map(({ name, version }) => `${name} ${version}`).join(', '), 800)} drawn on a frame of the source image`,
    '(0008,2112)': [{
      '(0008,1150)': location.sopClassUid, '(0008,1155)': location.sopInstanceUid, '(0008,1160)': location.frame > 1 ? location.frame : undefined,
      '(0040,a170)': [codeItem(['121322', 'DCM', 'Source image for image processing operation'])],
    }],
    '(0028,2110)': options.isLossy ? '01' : undefined,
    // C.7.6.3 Image Pixel
    '(0028,0002)': 3, '(0028,0004)': 'RGB', '(0028,0006)': 0, '(0028,0010)': picture.rows, '(0028,0011)': picture.columns, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0,
    '(7fe0,0010)': { vr: 'OB', value: picture.bytes },
  });
  return { sopInstanceUid, sopClassUid: secondaryCaptureStorage, transferSyntaxUid: explicitVrLittleEndian, dataset };
}
