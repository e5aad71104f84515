/** A stack resampled to cubes: the one place where pixel spacing and slice distance are dealt with. */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import type { Samples } from '../decode/decoded-image.ts';
import type { Stack } from './stack.ts';

export interface Grid {
  readonly planes: number; readonly rows: number; readonly columns: number;
  readonly spacingMillimetres: number;
  /** Plane by plane, row by row. */
  readonly values: Float32Array<ArrayBuffer>;
}

/**
 * Triangle filter: linear interpolation where the grid is finer than the image, weighted mean where it is coarser.
 * A long scan takes seconds, so the event loop gets its turn after each plane.
 */
export async function resampleStack(stack: Stack, spacingMillimetres: number): Promise<Grid> {
  const rowTaps = uniformTaps(stack.rows, stack.spacing[0], spacingMillimetres);
  const columnTaps = uniformTaps(stack.columns, stack.spacing[1], spacingMillimetres);
  const planeTaps = taps(stack.slices.map((slice) => slice.depth - stack.slices[0]!.depth), spacingMillimetres);
  const [rows, columns, planes] = [rowTaps.length, columnTaps.length, planeTaps.length];
  const values = new Float32Array(planes * rows * columns);
  const resampled = new Map<number, Float32Array>();
  for (const [plane, sources] of planeTaps.entries()) {
    await letOthersRun();
    for (const known of resampled.keys()) if (known < sources[0]!.source) resampled.delete(known);
    for (const { source, weight } of sources) {
      let image = resampled.get(source);
      if (image === undefined) resampled.set(source, (image = resampleSlice(stack.slices[source]!.samples, stack.columns, rowTaps, columnTaps)));
      const start = plane * rows * columns;
      for (let index = 0; index < image.length; index += 1) values[start + index]! += weight * image[index]!;
    }
  }
  return { planes, rows, columns, spacingMillimetres, values };
}

interface Tap { readonly source: number; readonly weight: number }

function resampleSlice(samples: Samples, width: number, rowTaps: readonly Tap[][], columnTaps: readonly Tap[][]): Float32Array {
  const height = samples.length / width;
  const narrow = new Float32Array(height * columnTaps.length);
  columnTaps.forEach((sources, column) => {
    for (const { source, weight } of sources) for (let row = 0; row < height; row += 1) narrow[row * columnTaps.length + column]! += weight * samples[row * width + source]!;
  });
  const out = new Float32Array(rowTaps.length * columnTaps.length);
  rowTaps.forEach((sources, row) => {
    for (const { source, weight } of sources) for (let column = 0; column < columnTaps.length; column += 1) out[row * columnTaps.length + column]! += weight * narrow[source * columnTaps.length + column]!;
  });
  return out;
}

const uniformTaps = (count: number, spacing: number, target: number): Tap[][] => taps(Array.from({ length: count }, (_, index) => index * spacing), target);

/** For each grid point, the sources around it. `places` ascends and starts at 0. */
function taps(places: readonly number[], target: number): Tap[][] {
  const end = places.at(-1) ?? 0;
  const mean = places.length > 1 ? end / (places.length - 1) : target;
  return Array.from({ length: Math.floor(end / target + 1e-6) + 1 }, (_, index) => (mean < target * 0.75 ? wideTaps(places, index * target, target) : linearTaps(places, index * target)));
}

function linearTaps(places: readonly number[], at: number): Tap[] {
  let upper = places.findIndex((place) => place >= at);
  if (upper < 0) upper = places.length - 1;
  const lower = Math.max(0, upper - 1);
  const gap = places[upper]! - places[lower]!;
  const part = gap > 0 ? Math.min(1, (at - places[lower]!) / gap) : 1;
  return [{ source: lower, weight: 1 - part }, { source: upper, weight: part }].filter((tap) => tap.weight > 0);
}

function wideTaps(places: readonly number[], at: number, reach: number): Tap[] {
  const near = places.map((place, source) => ({ source, weight: Math.max(0, 1 - Math.abs(place - at) / reach) })).filter((tap) => tap.weight > 0);
  const sum = near.reduce((total, tap) => total + tap.weight, 0);
  return near.map((tap) => ({ source: tap.source, weight: tap.weight / sum }));
}
