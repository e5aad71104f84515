/** The content tree of a Measurement Report and the evidence it rests on. */
import type { FindingLocation, ReportDocument, ReportFinding, ReportModel } from '#domain/report-document.ts';
import type { DatasetElements } from './dataset-writer.ts';
import { isImageSopClass, isMultiframeSopClass } from './sop-classes.ts';
import { code, container, image, line, measurement, spatialCoordinates, spatialCoordinates3d, text, uidReference } from './sr-content.ts';
import type { ContentItem, ImageReference } from './sr-content.ts';
import { conceptOf, concepts, lateralities, modalityConcept, severities, unitConcept } from './sr-codes.ts';
import { deriveUid, isValidUid } from './uids.ts';

/** The SR Document Content module: the root container with everything in it. */
export function measurementReport(document: ReportDocument): DatasetElements {
  const { scan, models, findings } = document;
  const root = container(concepts.imagingMeasurementReport, [
    code('HAS CONCEPT MOD', concepts.language, concepts.english),
    ...models.flatMap(deviceObserver),
    code('HAS CONCEPT MOD', concepts.procedureReported, scan.procedureCode === undefined ? concepts.imagingProcedure : conceptOf(scan.procedureCode)),
    ...imageLibrary(document),
    ...(findings.length === 0 ? [] : [container(concepts.imagingMeasurements, findings.map((finding) => findingGroup(finding, models)))]),
    container(concepts.qualitativeEvaluations, evaluations(document)),
  ], '1500');
  const { '(0040,a010)': _root, ...withoutRelationship } = root;
  return withoutRelationship;
}

/** TID 1004: a model is a device; model and version together are its identity. */
function deviceObserver({ modelId, name, version, manufacturer }: ReportModel): readonly ContentItem[] {
  return [
    code('HAS OBS CONTEXT', concepts.observerType, concepts.device),
    uidReference('HAS OBS CONTEXT', concepts.deviceUid, deriveUid(`device:model:${modelId}:${version}`)),
    text('HAS OBS CONTEXT', concepts.deviceName, name),
    ...(manufacturer === '' ? [] : [text('HAS OBS CONTEXT', concepts.deviceManufacturer, manufacturer)]),
    text('HAS OBS CONTEXT', concepts.deviceModel, `${name} ${version}`),
  ];
}

interface SeriesImages { readonly seriesInstanceUid: string; readonly modality: string | undefined; readonly images: readonly ImageReference[] }

/** TID 1600: the images that findings are in; all images of the study when no finding has a place. */
function imageLibrary(document: ReportDocument): readonly ContentItem[] {
  const referenced = imagesBySeries(document, new Set(document.findings.flatMap(({ location }) => location === undefined ? [] : [location.sopInstanceUid])));
  const library = referenced.length > 0 ? referenced : imagesBySeries(document);
  if (library.length === 0) return [];
  return [container(concepts.imageLibrary, library.map(({ modality, images }) => {
    const concept = modalityConcept(modality);
    return container(concepts.imageLibraryGroup, [
      ...(concept === undefined ? [] : [code('HAS ACQ CONTEXT', concepts.modality, concept)]),
      ...images.map((reference) => image('CONTAINS', reference)),
    ]);
  }), '1600')];
}

/** Images of the study by series, with those that only a finding names; `only` limits them to some SOP Instance UIDs. */
function imagesBySeries({ scan, findings }: ReportDocument, only?: ReadonlySet<string>): readonly SeriesImages[] {
  const series = new Map(scan.series.map((one): [string, { modality: string | undefined; images: Map<string, ImageReference> }] =>
    [one.seriesInstanceUid, { modality: one.modality, images: new Map(one.instances.filter(({ sopClassUid }) => isImageSopClass(sopClassUid)).map((instance) => [instance.sopInstanceUid, instance])) }]));
  for (const { location } of findings) {
    if (location === undefined) continue;
    const entry = series.get(location.seriesInstanceUid) ?? { modality: undefined, images: new Map<string, ImageReference>() };
    if (!entry.images.has(location.sopInstanceUid)) entry.images.set(location.sopInstanceUid, location);
    series.set(location.seriesInstanceUid, entry);
  }
  return [...series].map(([seriesInstanceUid, { modality, images }]) => ({
    seriesInstanceUid, modality,
    images: [...images.values()].filter(({ sopInstanceUid }) => only?.has(sopInstanceUid) ?? true).map(({ sopClassUid, sopInstanceUid }) => ({ sopClassUid, sopInstanceUid })),
  })).filter(({ images }) => images.length > 0);
}

/** Current Requested Procedure Evidence Sequence: every image that the analysis had, by series. */
export function evidenceOf(document: ReportDocument): DatasetElements[] | undefined {
  const series = imagesBySeries(document);
  if (series.length === 0) return undefined;
  return [{
    '(0020,000d)': document.scan.studyInstanceUid,
    '(0008,1115)': series.map(({ seriesInstanceUid, images }) => ({
      '(0020,000e)': seriesInstanceUid,
      '(0008,1199)': images.map(({ sopClassUid, sopInstanceUid }) => ({ '(0008,1150)': sopClassUid, '(0008,1155)': sopInstanceUid })),
    })),
  }];
}

function findingGroup(finding: ReportFinding, models: readonly ReportModel[]): ContentItem {
  const { bodySite, laterality, location } = finding;
  const model = models.find(({ analysisId }) => analysisId === finding.analysisId);
  return container(concepts.measurementGroup, [
    text('HAS OBS CONTEXT', concepts.trackingIdentifier, line(finding.findingId, 64)),
    uidReference('HAS OBS CONTEXT', concepts.trackingUid, isValidUid(finding.trackingUid) ? finding.trackingUid : deriveUid(`tracking:${finding.trackingUid}`)),
    code('CONTAINS', concepts.finding, conceptOf(finding.type)),
    ...(bodySite === undefined ? [] : [code('HAS CONCEPT MOD', concepts.findingSite, conceptOf(bodySite), sideOf(laterality))]),
    ...(model === undefined ? [] : algorithm(model)),
    ...(location === undefined ? [] : regionOf(location)),
    ...finding.measurements.map(({ type, value, unit }) => measurement('CONTAINS', conceptOf(type), value, unitConcept(unit))),
    measurement('CONTAINS', concepts.certainty, finding.confidencePercentage, unitConcept('%')),
    code('CONTAINS', concepts.severity, severities[finding.severity]),
    ...(finding.description === '' ? [] : [text('CONTAINS', concepts.comment, finding.description)]),
  ], location === undefined ? '1501' : '1410');
}

/** TID 4019. */
function algorithm({ name, version }: ReportModel): readonly ContentItem[] {
  return [text('HAS CONCEPT MOD', concepts.algorithmName, name), text('HAS CONCEPT MOD', concepts.algorithmVersion, version)];
}
function sideOf(laterality: ReportFinding['laterality']): readonly ContentItem[] {
  return laterality === undefined ? [] : [code('HAS CONCEPT MOD', concepts.laterality, lateralities[laterality])];
}

/** The box on its image, which every viewer can draw; the centre in the patient as well where the images have a Frame of Reference. */
function regionOf({ boundingBox: { left, top, width, height }, sopClassUid, sopInstanceUid, frame, centre3d, frameOfReferenceUid }: FindingLocation): readonly ContentItem[] {
  const right = left + width, bottom = top + height;
  const outline = [left, top, right, top, right, bottom, left, bottom, left, top];
  const reference = { sopClassUid, sopInstanceUid, ...(isMultiframeSopClass(sopClassUid) || frame > 1 ? { frame } : {}) };
  return [
    spatialCoordinates(concepts.imageRegion, 'POLYLINE', outline, reference),
    ...(centre3d === undefined || frameOfReferenceUid === undefined ? [] : [spatialCoordinates3d(concepts.center, 'POINT', centre3d, frameOfReferenceUid)]),
  ];
}

function evaluations({ sections, conclusionCodes, models, status }: ReportDocument): readonly ContentItem[] {
  const withdrawal = { 'cancelled': 'This report was cancelled.', 'entered-in-error': 'This report was issued in error: disregard it.' };
  const notices = [
    ...(status === 'cancelled' || status === 'entered-in-error' ? [withdrawal[status]] : []),
    ...models.filter(({ notForClinicalUse }) => notForClinicalUse).map(({ name, version }) => `${name} ${version}: not for clinical use.`),
  ];
  return [
    ...notices.map((notice) => text('CONTAINS', concepts.comment, notice)),
    ...section(concepts.indication, sections.indication), ...section(concepts.technique, sections.technique),
    ...section(concepts.finding, sections.findings), ...section(concepts.conclusion, sections.impression === '' ? 'No conclusion.' : sections.impression),
    ...conclusionCodes.map((coded) => code('CONTAINS', concepts.conclusion, conceptOf(coded))),
  ];
}
function section(concept: Parameters<typeof text>[1], value: string | undefined): readonly ContentItem[] {
  return value === undefined || value.trim() === '' ? [] : [text('CONTAINS', concept, value)];
}
