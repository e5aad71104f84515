/** Measured blobs to findings: what is kept, how sure, how severe, where in the images and in the patient. */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import type { Coded, FindingLocation, Measurement } from '#domain/report-document.ts';
import type { AiFinding } from '../analysis.ts';
import type { AiModelConfig, PeaksOutput } from '../model.ts';
import type { Grid } from '../volume/grid.ts';
import { patientPoint, type Stack } from '../volume/stack.ts';
import { suppressNonMaximum, type Candidate } from './candidates.ts';
import { measureBlob, type MeasuredBlob } from './measure.ts';

const MEAN_DIAMETER: Coded = { system: 'http://snomed.info/sct', code: '81827009', display: 'Diameter' };
const VOLUME: Coded = { system: 'http://snomed.info/sct', code: '118565006', display: 'Volume' };
const ATTENUATION: Coded = { system: 'http://dicom.nema.org/resources/ontology/DCM', code: '112031', display: 'Attenuation Coefficient' };

export async function blobFindings(candidates: readonly Candidate[], grid: Grid, stack: Stack, output: PeaksOutput, severity: AiModelConfig['severity']): Promise<AiFinding[]> {
  const blobs: MeasuredBlob[] = [];
  for (const candidate of suppressNonMaximum(candidates, grid.spacingMillimetres)) {
    await letOthersRun();
    const blob = measureBlob(grid, candidate);
    if (blob !== undefined && isKept(blob, output)) blobs.push(blob);
  }
  const midline = bodyMiddle(grid);
  return dropDoubles(blobs)
    .map((blob) => finding(blob, grid, stack, output, severity, midline))
    .toSorted((a, b) => b.confidencePercentage - a.confidencePercentage)
    .slice(0, output.maximumFindings);
}

function isKept(blob: MeasuredBlob, output: PeaksOutput): boolean {
  return blob.contrast >= output.minimumContrast && blob.compactness >= output.minimumCompactness && blob.attachment <= output.maximumAttachment
    && (output.maximumBackground === undefined || blob.background <= output.maximumBackground)
    && blob.diameterMillimetres >= output.minimumDiameterMillimetres && blob.diameterMillimetres <= output.maximumDiameterMillimetres;
}

/** Two peaks may lead to one region (a large ball answers off its centre, too): the stronger one speaks for it. */
function dropDoubles(blobs: readonly MeasuredBlob[]): MeasuredBlob[] {
  const kept: MeasuredBlob[] = [];
  const within = (value: number, [from, to]: readonly [number, number]): boolean => value >= from && value < to;
  for (const blob of blobs) {
    const twice = kept.some(({ box, centre }) => (within(blob.centre.plane, box.plane) && within(blob.centre.row, box.row) && within(blob.centre.column, box.column))
      || (within(centre.plane, blob.box.plane) && within(centre.row, blob.box.row) && within(centre.column, blob.box.column)));
    if (!twice) kept.push(blob);
  }
  return kept;
}

/** A heuristic scale, not a probability: how far contrast, roundness and compactness are above what is required. */
export function confidence(blob: MeasuredBlob, output: PeaksOutput): number {
  const above = (value: number, from: number, full: number): number => Math.max(0, Math.min(1, (value - from) / (full - from)));
  const quality = above(blob.contrast, output.minimumContrast, 900) * 0.4 + above(blob.candidate.roundness, output.minimumRoundness, 0.95) * 0.3 + above(blob.compactness, output.minimumCompactness, 0.8) * 0.3;
  return Math.round((50 + 49 * quality) * 10) / 10;
}

function finding(blob: MeasuredBlob, grid: Grid, stack: Stack, output: PeaksOutput, steps: AiModelConfig['severity'], midline: number): AiFinding {
  const diameter = Math.round(blob.diameterMillimetres * 10) / 10;
  const location = locate(blob, grid, stack);
  const side = sideOf(blob, grid, stack, midline);
  const severity = steps.toSorted((a, b) => a.fromMillimetres - b.fromMillimetres).findLast((step) => diameter >= step.fromMillimetres)?.severity ?? 'low';
  const where = [side, output.bodySite?.display.toLowerCase()].filter((part) => part !== undefined).join(' ');
  return {
    type: output.finding, severity, confidencePercentage: confidence(blob, output), location,
    description: `${output.finding.display}, mean diameter ${diameter.toFixed(1)} mm${where === '' ? '' : `, ${where}`}, ${Math.round(blob.contrast)} HU above its surroundings.`,
    ...(output.bodySite === undefined ? {} : { bodySite: output.bodySite }), ...(side === undefined ? {} : { laterality: side }),
    measurements: measurements(blob, diameter),
  };
}

function measurements(blob: MeasuredBlob, diameter: number): Measurement[] {
  return [
    { type: MEAN_DIAMETER, value: diameter, unit: 'mm' },
    { type: VOLUME, value: Math.round(blob.volumeCubicMillimetres), unit: 'mm3' },
    { type: ATTENUATION, value: Math.round(blob.background + blob.contrast), unit: '[hnsf\'U]' },
  ];
}

/** The slice nearest the centre carries the box; the centre is exact in the patient's coordinates. */
function locate(blob: MeasuredBlob, grid: Grid, stack: Stack): FindingLocation {
  const pixel = (value: number, axis: 0 | 1): number => (value * grid.spacingMillimetres) / stack.spacing[axis];
  const place = slicePlace(stack, blob.centre.plane * grid.spacingMillimetres);
  const slice = stack.slices[Math.round(place)]!;
  const top = Math.max(0, Math.floor(pixel(blob.box.row[0] - 0.5, 0)));
  const left = Math.max(0, Math.floor(pixel(blob.box.column[0] - 0.5, 1)));
  const bottom = Math.min(stack.rows, Math.ceil(pixel(blob.box.row[1] - 0.5, 0)) + 1);
  const right = Math.min(stack.columns, Math.ceil(pixel(blob.box.column[1] - 0.5, 1)) + 1);
  const centre = patientPoint(stack, place, pixel(blob.centre.row, 0), pixel(blob.centre.column, 1));
  return {
    seriesInstanceUid: slice.instance.seriesInstanceUid, sopInstanceUid: slice.instance.sopInstanceUid, sopClassUid: slice.instance.sopClassUid, frame: slice.frameNumber,
    ...(stack.frameOfReferenceUid === undefined ? {} : { frameOfReferenceUid: stack.frameOfReferenceUid }),
    boundingBox: { left, top, width: right - left, height: bottom - top },
    centre3d: [round2(centre[0]), round2(centre[1]), round2(centre[2])],
  };
}
const round2 = (value: number): number => Math.round(value * 100) / 100;

/** Millimetres from the first slice to a slice number with its fraction. */
function slicePlace(stack: Stack, millimetres: number): number {
  const depths = stack.slices.map((slice) => slice.depth - stack.slices[0]!.depth);
  const above = depths.findIndex((depth) => depth >= millimetres);
  if (above <= 0) return above === 0 ? 0 : depths.length - 1;
  return above - 1 + (millimetres - depths[above - 1]!) / (depths[above]! - depths[above - 1]!);
}

/** Mean column of everything denser than lung. */
function bodyMiddle(grid: Grid): number {
  let sum = 0;
  let count = 0;
  for (let index = 0; index < grid.values.length; index += 7) {
    if (grid.values[index]! < -300) continue;
    sum += index % grid.columns;
    count += 1;
  }
  return count === 0 ? grid.columns / 2 : sum / count;
}

/** Only for axial images with a body site; within a centimetre of the middle no side is claimed. LPS: +x is the patient's left. */
function sideOf(blob: MeasuredBlob, grid: Grid, stack: Stack, midline: number): 'left' | 'right' | undefined {
  const offset = (blob.centre.column - midline) * grid.spacingMillimetres * stack.alongRow[0];
  if (Math.abs(stack.alongRow[0]) < 0.9 || Math.abs(offset) < 10) return undefined;
  return offset > 0 ? 'left' : 'right';
}
