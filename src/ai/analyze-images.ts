/** Frames one by one through a classifier. */
import { AiError, throwIfAborted } from './ai-error.ts';
import type { AiFinding } from './analysis.ts';
import type { Ask } from './analyze-volume.ts';
import { classFindings, readScores, type ScoredImage } from './findings/class-findings.ts';
import type { ClassesOutput, ImageInput } from './model.ts';
import type { Tensor } from './tensor.ts';
import type { LocatedFrame } from './volume/stack.ts';

export async function analyzeImages(frames: readonly LocatedFrame[], input: ImageInput, output: ClassesOutput, ask: Ask, signal: AbortSignal): Promise<AiFinding[]> {
  const scored: ScoredImage[] = [];
  for (const image of frames) {
    throwIfAborted(signal);
    scored.push({ image, scores: readScores(await ask([imageTensor(image, input)], [output.tensor]), output) });
  }
  return classFindings(scored, output);
}

/** Resized by bilinear interpolation, without keeping the aspect ratio; shape 1 x channels x rows x columns. */
export function imageTensor({ frame, rows, columns }: LocatedFrame, input: ImageInput): Tensor {
  const [low, high] = input.normalize === 'range' ? [input.range.low, input.range.high] : extremes(frame.samples);
  const factor = input.normalize === 'range' ? input.scale : input.scale / Math.max(1e-6, high - low);
  const size = input.rows * input.columns;
  const data = new Float32Array(size * input.channels);
  for (let row = 0; row < input.rows; row += 1) {
    for (let column = 0; column < input.columns; column += 1) {
      const value = sample(frame.samples, rows, columns, ((row + 0.5) * rows) / input.rows - 0.5, ((column + 0.5) * columns) / input.columns - 0.5);
      data[row * input.columns + column] = (Math.max(low, Math.min(high, value)) - low) * factor;
    }
  }
  for (let channel = 1; channel < input.channels; channel += 1) data.copyWithin(channel * size, 0, size);
  return { name: input.tensor, datatype: 'FP32', shape: [1, input.channels, input.rows, input.columns], data };
}

function sample(samples: ArrayLike<number>, rows: number, columns: number, row: number, column: number): number {
  const top = Math.max(0, Math.min(rows - 1, Math.floor(row)));
  const left = Math.max(0, Math.min(columns - 1, Math.floor(column)));
  const bottom = Math.min(rows - 1, top + 1);
  const right = Math.min(columns - 1, left + 1);
  const down = Math.max(0, Math.min(1, row - top));
  const across = Math.max(0, Math.min(1, column - left));
  const at = (r: number, c: number): number => samples[r * columns + c]!;
  return (at(top, left) * (1 - across) + at(top, right) * across) * (1 - down) + (at(bottom, left) * (1 - across) + at(bottom, right) * across) * down;
}

function extremes(samples: ArrayLike<number>): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (let index = 0; index < samples.length; index += 1) {
    if (samples[index]! < low) low = samples[index]!;
    if (samples[index]! > high) high = samples[index]!;
  }
  if (!(high >= low)) throw new AiError('input', 'An image has no finite grey value.');
  return [low, high];
}
