/**
 * Measures what a candidate points at: the voxels connected to it that are brighter than the middle between it and its surroundings.
 * Diameter is that of the ball of equal volume.
 */
import type { Grid } from '../volume/grid.ts';
import { ballRadius, type Candidate } from './candidates.ts';

export interface MeasuredBlob {
  readonly candidate: Candidate;
  readonly diameterMillimetres: number;
  readonly volumeCubicMillimetres: number;
  readonly contrast: number;
  readonly background: number;
  /** Volume over that of the ball that encloses nine tenths of the region (a thin vessel at a nodule does not count): 1 for a ball, small for a vessel. */
  readonly compactness: number;
  /** Share of the search ball's surface that the region reaches: a few per cent where a vessel enters, much where it is a part of something larger. */
  readonly attachment: number;
  readonly centre: { readonly plane: number; readonly row: number; readonly column: number };
  /** Half-open box in grid voxels. */
  readonly box: { readonly plane: Range; readonly row: Range; readonly column: Range };
}
type Range = readonly [from: number, to: number];

export function measureBlob(grid: Grid, candidate: Candidate): MeasuredBlob | undefined {
  const radius = ballRadius(candidate.sigmaMillimetres) / grid.spacingMillimetres;
  const start = { plane: inside(candidate.plane, grid.planes), row: inside(candidate.row, grid.rows), column: inside(candidate.column, grid.columns) };
  const background = quantile(shell(grid, start, radius * 1.5 + 1, radius * 2 + 2.5), 0.35);
  const top = quantile(shell(grid, start, 0, Math.max(0.9, radius * 0.45)), 0.6);
  if (background === undefined || top === undefined || top <= background) return undefined;
  const reach = radius * 1.5 + 1.5;
  const region = connected(grid, start, (top + background) / 2, reach);
  return region === undefined ? undefined : describe(grid, candidate, start, reach, region, top - background, background);
}

interface Voxel { readonly plane: number; readonly row: number; readonly column: number }
const inside = (place: number, size: number): number => Math.max(0, Math.min(size - 1, Math.round(place)));

function* ball(grid: Grid, centre: Voxel, radius: number): Generator<[index: number, squared: number]> {
  const reach = Math.ceil(radius);
  for (let plane = Math.max(0, centre.plane - reach); plane <= Math.min(grid.planes - 1, centre.plane + reach); plane += 1) {
    for (let row = Math.max(0, centre.row - reach); row <= Math.min(grid.rows - 1, centre.row + reach); row += 1) {
      for (let column = Math.max(0, centre.column - reach); column <= Math.min(grid.columns - 1, centre.column + reach); column += 1) {
        const squared = (plane - centre.plane) ** 2 + (row - centre.row) ** 2 + (column - centre.column) ** 2;
        if (squared <= radius * radius) yield [(plane * grid.rows + row) * grid.columns + column, squared];
      }
    }
  }
}

function shell(grid: Grid, centre: Voxel, inner: number, outer: number): number[] {
  const values: number[] = [];
  for (const [index, squared] of ball(grid, centre, outer)) if (squared >= inner * inner) values.push(grid.values[index]!);
  return values;
}

function quantile(values: readonly number[], part: number): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * part)];
}

/** Flood fill from the brightest voxel near the start, over the six faces, not beyond `reach`. */
function connected(grid: Grid, start: Voxel, threshold: number, reach: number): Voxel[] | undefined {
  const allowed = new Set<number>();
  let seed: number | undefined;
  for (const [index, squared] of ball(grid, start, reach)) {
    if (grid.values[index]! < threshold) continue;
    allowed.add(index);
    if (squared <= 4 && (seed === undefined || grid.values[index]! > grid.values[seed]!)) seed = index;
  }
  if (seed === undefined) return undefined;
  const steps = [1, -1, grid.columns, -grid.columns, grid.rows * grid.columns, -grid.rows * grid.columns];
  const open = [seed];
  allowed.delete(seed);
  const region: Voxel[] = [];
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    region.push({ plane: Math.floor(index / (grid.rows * grid.columns)), row: Math.floor(index / grid.columns) % grid.rows, column: index % grid.columns });
    for (const step of steps) if (allowed.delete(index + step)) open.push(index + step);
  }
  return region;
}

function describe(grid: Grid, candidate: Candidate, start: Voxel, limit: number, region: readonly Voxel[], contrast: number, background: number): MeasuredBlob {
  const mean = (axis: keyof Voxel): number => region.reduce((sum, voxel) => sum + voxel[axis], 0) / region.length;
  const range = (axis: keyof Voxel): Range => [extreme(region, (voxel) => voxel[axis], Math.min), extreme(region, (voxel) => voxel[axis], Math.max) + 1];
  const centre = { plane: mean('plane'), row: mean('row'), column: mean('column') };
  const distances = region.map((voxel) => Math.hypot(voxel.plane - centre.plane, voxel.row - centre.row, voxel.column - centre.column)).toSorted((a, b) => a - b);
  // Nine tenths of a ball's volume lie within 0.965 of its radius; half a voxel for the voxels' own size.
  const reach = distances[Math.floor((distances.length - 1) * 0.9)]! / 0.965 + 0.25;
  const inner = (limit - 1) ** 2;
  const surface = shell(grid, start, limit - 1, limit).length;
  const reached = region.filter((voxel) => (voxel.plane - start.plane) ** 2 + (voxel.row - start.row) ** 2 + (voxel.column - start.column) ** 2 >= inner).length;
  return {
    candidate, contrast, attachment: surface === 0 ? 0 : reached / surface, background, centre, box: { plane: range('plane'), row: range('row'), column: range('column') },
    volumeCubicMillimetres: region.length * grid.spacingMillimetres ** 3,
    diameterMillimetres: Math.cbrt((6 * region.length) / Math.PI) * grid.spacingMillimetres,
    compactness: Math.min(1, region.length / ((4 / 3) * Math.PI * reach ** 3)),
  };
}

function extreme(region: readonly Voxel[], value: (voxel: Voxel) => number, choose: (a: number, b: number) => number): number {
  return region.reduce((best, voxel) => choose(best, value(voxel)), value(region[0]!));
}
