/** Vessel-like distractors of the phantom: trees of tapering tubes that start at each hilum and keep inside the lung. */
import type { Point } from './phantom.ts';
import type { Random } from './random.ts';

export interface Capsule { readonly from: Point; readonly to: Point; readonly radius: number; readonly hounsfield: number }

const VESSEL_HOUNSFIELD = 20;

export function phantomVessels(height: number, treesPerLung: number, random: Random, depth: (point: Point) => number): Capsule[] {
  const capsules: Capsule[] = [];
  for (const side of [-1, 1]) {
    for (let tree = 0; tree < treesPerLung; tree += 1) {
      const start: Point = [side * random.between(8, 14), random.between(-25, 30), random.between(0, height)];
      const heading: Point = [side, random.between(-0.8, 0.8), random.between(-0.8, 0.8)];
      grow(capsules, start, heading, random.between(2.4, 4), random, depth);
    }
  }
  return capsules;
}

function grow(capsules: Capsule[], start: Point, heading: Point, startRadius: number, random: Random, depth: (point: Point) => number): void {
  let from = start;
  let direction = unit(heading);
  let radius = startRadius;
  while (radius > 0.6) {
    direction = unit([direction[0] + random.between(-0.25, 0.25), direction[1] + random.between(-0.25, 0.25), direction[2] + random.between(-0.25, 0.25)]);
    const length = random.between(7, 13);
    const to: Point = [from[0] + direction[0] * length, from[1] + direction[1] * length, from[2] + direction[2] * length];
    if (depth(to) < radius + 1 && depth(from) > 4) return;
    capsules.push({ from, to, radius, hounsfield: VESSEL_HOUNSFIELD });
    if (random.next() < 0.35) grow(capsules, to, turned(direction, random), radius * 0.7, random, depth);
    from = to;
    radius *= 0.86;
  }
}

const turned = (d: Point, random: Random): Point => [d[0] + random.between(-1, 1), d[1] + random.between(-1, 1), d[2] + random.between(-1, 1)];
function unit(v: Point): Point {
  const length = Math.sqrt(v[0] ** 2 + v[1] ** 2 + v[2] ** 2) || 1;
  return [v[0] / length, v[1] / length, v[2] / length];
}
