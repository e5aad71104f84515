/** A part of a raster brought to another size: mean of the covered pixels when it becomes smaller, bilinear when it becomes larger. */
import type { Viewport } from '#gateway/images.ts';
import { AiError } from '../ai-error.ts';
import type { Raster } from './display-frame.ts';

/** The size that fits into the viewport and keeps the proportions of the part that is shown; and that part, cut to the image. */
export function fitted(raster: Raster, { width, height, source }: Viewport): { rows: number; columns: number; part: Part } {
  const part = source === undefined ? { left: 0, top: 0, width: raster.columns, height: raster.rows, flipsHorizontally: false, flipsVertically: false } : cut(source, raster);
  const scale = Math.min(width / part.width, height / part.height);
  return { rows: Math.max(1, Math.round(part.height * scale)), columns: Math.max(1, Math.round(part.width * scale)), part };
}
export type Part = NonNullable<Viewport['source']>;

function cut(source: Part, { rows, columns }: Raster): Part {
  const left = Math.max(0, source.left), top = Math.max(0, source.top);
  const width = Math.min(columns, source.left + source.width) - left, height = Math.min(rows, source.top + source.height) - top;
  if (!(width > 0 && height > 0)) throw new AiError('input', 'The part of the image that is asked for lies outside of it.');
  return { ...source, left, top, width, height };
}

export function resized(raster: Raster, rows: number, columns: number, part: Part): Raster {
  const { samplesPerPixel } = raster;
  const across = weights(part.left, part.width, columns, raster.columns, part.flipsHorizontally), down = weights(part.top, part.height, rows, raster.rows, part.flipsVertically);
  // Rows first need no more than one row of sums at a time.
  const data = new Uint8ClampedArray(rows * columns * samplesPerPixel);
  const sums = new Float32Array(raster.columns * samplesPerPixel);
  for (let row = 0; row < rows; row += 1) {
    sums.fill(0);
    for (const [from, weight] of down[row]!) {
      const start = from * raster.columns * samplesPerPixel;
      for (let index = 0; index < sums.length; index += 1) sums[index] = sums[index]! + raster.data[start + index]! * weight;
    }
    for (let column = 0; column < columns; column += 1) {
      for (let sample = 0; sample < samplesPerPixel; sample += 1) {
        let value = 0;
        for (const [from, weight] of across[column]!) value += sums[from * samplesPerPixel + sample]! * weight;
        data[(row * columns + column) * samplesPerPixel + sample] = value;
      }
    }
  }
  return { rows, columns, samplesPerPixel, data };
}

type Weights = readonly (readonly [from: number, weight: number])[];

/** For each pixel of the result: which pixels of the source it is made of, and how much of each; the weights sum to 1. */
function weights(start: number, length: number, count: number, limit: number, flips: boolean): Weights[] {
  const step = length / count;
  const of = (index: number): Weights => (step > 1 ? mean(start + index * step, start + (index + 1) * step, limit) : between(start + (index + 0.5) * step - 0.5, limit));
  const all = Array.from({ length: count }, (_, index) => of(index));
  return flips ? all.toReversed() : all;
}

function mean(from: number, to: number, limit: number): Weights {
  const out: [number, number][] = [];
  for (let at = Math.floor(from); at < to && at < limit; at += 1) out.push([at, Math.min(at + 1, to) - Math.max(at, from)]);
  const sum = out.reduce((total, [, weight]) => total + weight, 0);
  return out.map(([at, weight]) => [at, weight / sum]);
}

function between(at: number, limit: number): Weights {
  const low = Math.max(0, Math.min(limit - 1, Math.floor(at))), share = Math.max(0, Math.min(1, at - low));
  return low + 1 < limit ? [[low, 1 - share], [low + 1, share]] : [[low, 1]];
}
