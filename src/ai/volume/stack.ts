/**
 * Slices of one series that lie parallel and share size and spacing, in the order of their position along the normal (never by file name or Instance
 * Number, which need not follow it; PS3.3 C.7.6.2.1.1).
 */
import type { AiInstance } from '../analysis.ts';
import type { DecodedFrame, Samples, Vector } from '../decode/decoded-image.ts';

export interface Slice { readonly instance: AiInstance; readonly frameNumber: number; readonly samples: Samples; readonly position: Vector; readonly depth: number }
export interface Stack {
  readonly rows: number; readonly columns: number;
  readonly spacing: readonly [row: number, column: number];
  /** Unit vectors in LPS: along a row, along a column, and their cross product, along which `depth` grows. */
  readonly alongRow: Vector; readonly alongColumn: Vector; readonly normal: Vector;
  readonly frameOfReferenceUid: string | undefined;
  readonly slices: readonly Slice[];
}
export interface LocatedFrame { readonly instance: AiInstance; readonly rows: number; readonly columns: number; readonly frame: DecodedFrame }

/** Largest stack first. Frames without position, orientation or spacing are in none. */
export function buildStacks(frames: readonly LocatedFrame[]): Stack[] {
  const groups = new Map<string, LocatedFrame[]>();
  for (const each of frames) {
    const key = geometryKey(each);
    if (key !== undefined) groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].map(toStack).toSorted((a, b) => b.slices.length - a.slices.length);
}

function geometryKey({ rows, columns, frame }: LocatedFrame): string | undefined {
  if (frame.position === undefined || frame.orientation === undefined || frame.spacing === undefined) return undefined;
  const cosines = frame.orientation.flat().map((value) => value.toFixed(3));
  return [rows, columns, ...frame.spacing.map((value) => value.toFixed(4)), ...cosines, frame.frameOfReferenceUid].join(' ');
}

function toStack(frames: readonly LocatedFrame[]): Stack {
  const first = frames[0]!;
  const [alongRow, alongColumn] = first.frame.orientation!;
  const normal: Vector = cross(alongRow, alongColumn);
  const slices = frames
    .map(({ instance, frame }) => ({ instance, frameNumber: frame.frameNumber, samples: frame.samples, position: frame.position!, depth: dot(frame.position!, normal) }))
    .toSorted((a, b) => a.depth - b.depth);
  return {
    rows: first.rows, columns: first.columns, spacing: first.frame.spacing!, alongRow, alongColumn, normal, frameOfReferenceUid: first.frame.frameOfReferenceUid,
    // The same place twice (another reconstruction, another phase in one series): the first stays.
    slices: slices.filter((slice, index) => index === 0 || slice.depth - slices[index - 1]!.depth > 0.01),
  };
}

/** Gaps larger than one and a half times the usual distance between slices, and a stack that is sheared by gantry tilt. */
export function stackWarnings(stack: Stack): string[] {
  const distances = stack.slices.slice(1).map((slice, index) => slice.depth - stack.slices[index]!.depth);
  const usual = distances.toSorted((a, b) => a - b)[Math.floor(distances.length / 2)] ?? 0;
  const gaps = distances.filter((each) => each > 1.5 * usual + 0.01).length;
  const drift = stack.slices.length < 2 ? 0 : Math.abs(dot(subtract(stack.slices.at(-1)!.position, stack.slices[0]!.position), stack.alongColumn));
  return [
    ...(gaps > 0 ? [`${gaps} gaps between slices that are ${usual.toFixed(2)} mm apart otherwise: images may be missing.`] : []),
    ...(drift > stack.spacing[0] * 2 ? ['The slices are sheared (gantry tilt): distances across slices are approximate.'] : []),
  ];
}

/** Point in LPS millimetres: `row` and `column` in pixels, `slice` in slices, fractions allowed. */
export function patientPoint(stack: Stack, slice: number, row: number, column: number): Vector {
  const below = stack.slices[Math.max(0, Math.min(stack.slices.length - 1, Math.floor(slice)))]!;
  const above = stack.slices[Math.max(0, Math.min(stack.slices.length - 1, Math.floor(slice) + 1))]!;
  const part = slice - Math.floor(slice);
  const at = (axis: 0 | 1 | 2): number => below.position[axis] + part * (above.position[axis] - below.position[axis])
    + stack.alongRow[axis] * column * stack.spacing[1] + stack.alongColumn[axis] * row * stack.spacing[0];
  return [at(0), at(1), at(2)];
}

const dot = (a: Vector, b: Vector): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const subtract = (a: Vector, b: Vector): Vector => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const cross = (a: Vector, b: Vector): Vector => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
