/** A detector's peak tensors to candidates in grid coordinates, and their non-maximum suppression over place and scale. */
import { AiError } from '../ai-error.ts';
import type { PeaksOutput } from '../model.ts';
import type { Tensor } from '../tensor.ts';
import type { Grid } from '../volume/grid.ts';
import type { Slab } from '../volume/slabs.ts';

export interface Candidate {
  readonly plane: number; readonly row: number; readonly column: number;
  readonly sigmaMillimetres: number;
  readonly score: number;
  readonly roundness: number;
}

export function readCandidates(outputs: ReadonlyMap<string, Tensor>, slab: Slab, grid: Grid, config: PeaksOutput): Candidate[] {
  return config.levels.flatMap((level) => {
    const [score, index, scale, roundness] = [level.score, level.index, level.scale, level.roundness].map((name) => numbersOf(outputs, name)) as [number[], number[], number[], number[]];
    const rows = Math.floor(grid.rows / level.stride);
    const columns = Math.floor(grid.columns / level.stride);
    const centre = (cell: number): number => (cell + 0.5) * level.stride - 0.5;
    return score.flatMap((value, at) => {
      if (!(value >= config.minimumScore) || !(roundness[at]! >= config.minimumRoundness)) return [];
      const sigmaMillimetres = level.sigmasMillimetres[scale[at]!];
      if (sigmaMillimetres === undefined) throw new AiError('model', `Output ${level.scale} names scale ${scale[at]}, the model's settings know ${level.sigmasMillimetres.length}.`);
      const plane = slab.start + centre(Math.floor(index[at]! / (rows * columns)));
      if (plane < slab.coreStart - 0.5 || plane >= slab.coreEnd - 0.5) return [];
      return [{ plane, row: centre(Math.floor(index[at]! / columns) % rows), column: centre(index[at]! % columns), sigmaMillimetres, score: value, roundness: Math.min(1, roundness[at]!) }];
    });
  });
}

/** Strongest first; a weaker one inside the ball of a stronger one is the same thing seen at another scale or slice. */
export function suppressNonMaximum(candidates: readonly Candidate[], spacingMillimetres: number): Candidate[] {
  const kept: Candidate[] = [];
  for (const candidate of candidates.toSorted((a, b) => b.score - a.score)) {
    const covered = kept.some((other) => {
      const away = spacingMillimetres * Math.hypot(other.plane - candidate.plane, other.row - candidate.row, other.column - candidate.column);
      return away < ballRadius(Math.max(other.sigmaMillimetres, candidate.sigmaMillimetres));
    });
    if (!covered) kept.push(candidate);
  }
  return kept;
}

/** The ball a Gaussian second derivative of this sigma answers to most. */
export const ballRadius = (sigmaMillimetres: number): number => sigmaMillimetres * Math.sqrt(3);

function numbersOf(outputs: ReadonlyMap<string, Tensor>, name: string): number[] {
  const tensor = outputs.get(name);
  if (tensor === undefined) throw new AiError('model', `The model did not return its output ${name}.`);
  return Array.from(tensor.data as Iterable<number | bigint>, Number);
}
