/**
 * A synthetic chest CT: body, two lungs, mediastinum, spine, ribs, branching vessels, noise, and round lesions whose place and size are known.
 * For the evaluation of the reference model and for the simulator's CT study. Made by formulas from a seed; no image of a person is in it.
 *
 * Geometry: axial slices, columns run to the patient's left (+x), rows to the back (+y), slices to the head (+z); LPS millimetres,
 * the middle of the image plane is (0, 0), the first slice is z = 0.
 */
import { seededRandom, type Random } from './random.ts';
import { phantomVessels, type Capsule } from './phantom-vessels.ts';

export interface PhantomRequest {
  readonly seed: number;
  readonly slices: number;
  readonly rows: number;
  readonly columns: number;
  /** Where `centre` is absent a place inside a lung is drawn from the seed. */
  readonly lesions: readonly LesionRequest[];
  readonly pixelSpacingMillimetres?: number;
  readonly sliceSpacingMillimetres?: number;
  readonly noiseHounsfield?: number;
  /** 7 by default; 0 leaves the lungs empty but for the lesions. */
  readonly vesselTreesPerLung?: number;
}
export interface LesionRequest {
  readonly diameterMillimetres: number;
  /** Above the lung's -860 HU; 900 is a solid nodule, 300-500 a faint one. */
  readonly contrastHounsfield?: number;
  readonly centre?: Point;
}
export type Point = readonly [x: number, y: number, z: number];
export interface PhantomLesion { readonly centre: Point; readonly diameterMillimetres: number; readonly contrastHounsfield: number }

export interface Phantom {
  readonly rows: number;
  readonly columns: number;
  readonly pixelSpacingMillimetres: number;
  readonly sliceSpacingMillimetres: number;
  /** Image Orientation (Patient) of every slice. */
  readonly imageOrientation: readonly [1, 0, 0, 0, 1, 0];
  /** Image Position (Patient) of each slice. */
  readonly imagePositions: readonly Point[];
  /** Hounsfield units, row by row, one array per slice. */
  readonly slices: readonly Int16Array<ArrayBuffer>[];
  readonly lesions: readonly PhantomLesion[];
}

const LUNG_HOUNSFIELD = -860;
const SUB_SLICES = [-1 / 3, 0, 1 / 3];

/** 24 slices of 256 x 256 with a 6 mm, a 12 mm and a 26 mm lesion (the last of critical size). */
export function demoPhantom(): Phantom {
  return generatePhantom({
    seed: 24, slices: 24, rows: 256, columns: 256, pixelSpacingMillimetres: 1.3, sliceSpacingMillimetres: 2.5,
    lesions: [{ diameterMillimetres: 26, contrastHounsfield: 880 }, { diameterMillimetres: 12, contrastHounsfield: 860 }, { diameterMillimetres: 6, contrastHounsfield: 840 }],
  });
}

/** Same request, same phantom, bit for bit. Throws a RangeError when a lesion finds no room inside the lungs. */
export function generatePhantom(request: PhantomRequest): Phantom {
  const random = seededRandom(request.seed);
  const spacing = request.pixelSpacingMillimetres ?? 330 / Math.max(request.rows, request.columns);
  const sliceSpacing = request.sliceSpacingMillimetres ?? 2.5;
  const height = (request.slices - 1) * sliceSpacing;
  const lesions = placeLesions(request.lesions, height, random);
  const vessels = phantomVessels(height, request.vesselTreesPerLung ?? 7, random, lungDepth);
  const origin: Point = [-(request.columns - 1) / 2 * spacing, -(request.rows - 1) / 2 * spacing, 0];
  const plane = { rows: request.rows, columns: request.columns, spacing, origin };
  const slices: Int16Array<ArrayBuffer>[] = [];
  for (let index = 0; index < request.slices; index += 1) {
    const total = new Float32Array(request.rows * request.columns);
    for (const fraction of SUB_SLICES) addSubSlice(total, plane, (index + fraction) * sliceSpacing, vessels, lesions);
    slices.push(withNoise(total, request.columns, request.noiseHounsfield ?? 25, random));
  }
  return {
    rows: request.rows, columns: request.columns, pixelSpacingMillimetres: spacing, sliceSpacingMillimetres: sliceSpacing,
    imageOrientation: [1, 0, 0, 0, 1, 0], imagePositions: slices.map((_, index) => [origin[0], origin[1], index * sliceSpacing]), slices, lesions,
  };
}

/** Millimetres (roughly) from a point to the surface of the lung it is in; negative outside. */
export function lungDepth([x, y, z]: Point): number {
  const side = x < 0 ? -1 : 1;
  // The lungs widen slowly with the height and the left one gives way to the heart in front.
  const halfWidth = 50 + 0.05 * z - (side > 0 && y < -15 ? 0.35 * Math.min(40, -15 - y) : 0);
  const halfDepth = 76 + 0.04 * z;
  const across = (x - side * 68) / halfWidth;
  const along = (y + 2) / halfDepth;
  return (1 - Math.sqrt(across * across + along * along)) * Math.min(halfWidth, halfDepth);
}

function placeLesions(requests: readonly LesionRequest[], height: number, random: Random): PhantomLesion[] {
  const placed: PhantomLesion[] = [];
  for (const request of requests) {
    const centre = request.centre ?? findRoom(request.diameterMillimetres / 2, placed, height, random);
    placed.push({ centre, diameterMillimetres: request.diameterMillimetres, contrastHounsfield: request.contrastHounsfield ?? 900 });
  }
  return placed;
}

function findRoom(radius: number, placed: readonly PhantomLesion[], height: number, random: Random): Point {
  const edge = Math.min(height / 2, radius);
  for (let attempt = 0; attempt < 5000; attempt += 1) {
    const centre: Point = [random.between(-115, 115), random.between(-80, 80), random.between(edge, Math.max(edge, height - edge))];
    const apart = placed.every((other) => distance(other.centre, centre) > radius + other.diameterMillimetres / 2 + 12);
    if (apart && lungDepth(centre) > radius + 1) return centre;
  }
  throw new RangeError(`no room for a lesion of ${2 * radius} mm inside the lungs of this phantom`);
}

interface Plane { rows: number; columns: number; spacing: number; origin: Point }

function addSubSlice(total: Float32Array, plane: Plane, z: number, vessels: readonly Capsule[], lesions: readonly PhantomLesion[]): void {
  const image = tissue(plane, z);
  for (const vessel of vessels) drawCapsule(image, plane, z, vessel);
  for (const lesion of lesions) drawLesion(image, plane, z, lesion);
  for (let index = 0; index < total.length; index += 1) total[index]! += image[index]! / SUB_SLICES.length;
}

/** Air, skin to lung, spine and ribs at height z. */
function tissue(plane: Plane, z: number): Float32Array {
  const image = new Float32Array(plane.rows * plane.columns);
  for (let row = 0; row < plane.rows; row += 1) {
    const y = plane.origin[1] + row * plane.spacing;
    for (let column = 0; column < plane.columns; column += 1) {
      image[row * plane.columns + column] = tissueAt(plane.origin[0] + column * plane.spacing, y, z, plane.spacing);
    }
  }
  return image;
}

function tissueAt(x: number, y: number, z: number, spacing: number): number {
  const radius = Math.sqrt((x / 150) ** 2 + (y / 105) ** 2);
  let value = mix(-1000, 40, ramp((1 - radius) * 105, spacing));
  // Ribs: a shell inside the chest wall, cut into oblique bands that move round the body with the height.
  if (radius > 0.86 && radius < 0.96) value = mix(value, 450, ramp(4 - Math.abs(radius - 0.91) * 105, spacing) * ramp(6 * (ribBand(x, y, z) - 0.55), spacing));
  value = mix(value, 350, ramp(17 - Math.sqrt(x * x + (y - 72) ** 2), spacing));
  return mix(value, LUNG_HOUNSFIELD + 0.15 * y, ramp(lungDepth([x, y, z]), spacing));
}

const ribBand = (x: number, y: number, z: number): number => Math.sin((z + 0.35 * Math.abs(x) + 0.5 * y) / 4.5);

function drawCapsule(image: Float32Array, plane: Plane, z: number, capsule: Capsule): void {
  const [a, b] = [capsule.from, capsule.to];
  if (z < Math.min(a[2], b[2]) - capsule.radius - 1 || z > Math.max(a[2], b[2]) + capsule.radius + 1) return;
  const axis = [b[0] - a[0], b[1] - a[1], b[2] - a[2]] as const;
  const lengthSquared = axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2;
  forEachPixel(plane, Math.min(a[0], b[0]), Math.max(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[1], b[1]), capsule.radius + 2, (index, x, y) => {
    const part = Math.max(0, Math.min(1, ((x - a[0]) * axis[0] + (y - a[1]) * axis[1] + (z - a[2]) * axis[2]) / lengthSquared));
    const away = distance([x, y, z], [a[0] + part * axis[0], a[1] + part * axis[1], a[2] + part * axis[2]]);
    const cover = ramp(capsule.radius - away, plane.spacing);
    if (cover > 0) image[index] = Math.max(image[index]!, mix(image[index]!, capsule.hounsfield, cover));
  });
}

function drawLesion(image: Float32Array, plane: Plane, z: number, lesion: PhantomLesion): void {
  const radius = lesion.diameterMillimetres / 2;
  const [cx, cy, cz] = lesion.centre;
  if (Math.abs(z - cz) > radius + 2) return;
  forEachPixel(plane, cx, cx, cy, cy, radius + 2, (index, x, y) => {
    const cover = ramp(radius - distance([x, y, z], lesion.centre), plane.spacing);
    if (cover > 0) image[index] = Math.max(image[index]!, mix(image[index]!, LUNG_HOUNSFIELD + lesion.contrastHounsfield, cover));
  });
}

function forEachPixel(plane: Plane, left: number, right: number, front: number, back: number, margin: number, visit: (index: number, x: number, y: number) => void): void {
  const column = (x: number): number => Math.max(0, Math.min(plane.columns - 1, Math.round((x - plane.origin[0]) / plane.spacing)));
  const row = (y: number): number => Math.max(0, Math.min(plane.rows - 1, Math.round((y - plane.origin[1]) / plane.spacing)));
  for (let r = row(front - margin); r <= row(back + margin); r += 1) {
    for (let c = column(left - margin); c <= column(right + margin); c += 1) {
      visit(r * plane.columns + c, plane.origin[0] + c * plane.spacing, plane.origin[1] + r * plane.spacing);
    }
  }
}

/** Noise with a short correlation along the row, as reconstruction kernels leave it. */
function withNoise(image: Float32Array, columns: number, sigma: number, random: Random): Int16Array<ArrayBuffer> {
  const out = new Int16Array(image.length);
  let last = 0;
  for (let index = 0; index < image.length; index += 1) {
    last = index % columns === 0 ? random.normal() : 0.45 * last + 0.893 * random.normal();
    out[index] = Math.max(-1024, Math.min(3071, Math.round(image[index]! + sigma * last)));
  }
  return out;
}

const mix = (from: number, to: number, part: number): number => from + (to - from) * part;
/** 0 outside, 1 inside, linear over about one and a half pixels: the partial volume effect. */
const ramp = (depth: number, spacing: number): number => Math.max(0, Math.min(1, 0.5 + depth / (1.5 * spacing)));
const distance = (a: Point, b: Point): number => Math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2);
