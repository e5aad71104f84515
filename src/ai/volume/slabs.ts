/** The grid cut along its planes into model inputs with margins, so that memory does not grow with the length of the scan. */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import type { VolumeInput } from '../model.ts';
import type { Tensor } from '../tensor.ts';
import type { Grid } from './grid.ts';

export interface Slab {
  /** Grid plane of the tensor's first plane; negative at the lower end, where the margin repeats plane 0. */
  readonly start: number;
  /** Planes this slab answers for; what is found in a margin belongs to the neighbour. */
  readonly coreStart: number;
  readonly coreEnd: number;
  readonly tensor: Tensor;
}

export async function* slabs(grid: Grid, input: VolumeInput): AsyncGenerator<Slab> {
  for (let coreStart = 0; coreStart < grid.planes; coreStart += input.slabPlanes) {
    const coreEnd = Math.min(grid.planes, coreStart + input.slabPlanes);
    const start = coreStart - input.marginPlanes;
    const planes = coreEnd - coreStart + 2 * input.marginPlanes;
    const plane = grid.rows * grid.columns;
    const data = new Float32Array(planes * plane);
    for (let index = 0; index < planes; index += 1) {
      if (index % 16 === 0) await letOthersRun();
      const source = Math.max(0, Math.min(grid.planes - 1, start + index)) * plane;
      const { low, high } = input.range;
      for (let at = 0; at < plane; at += 1) data[index * plane + at] = (Math.max(low, Math.min(high, grid.values[source + at]!)) - low) * input.scale;
    }
    yield { start, coreStart, coreEnd, tensor: { name: input.tensor, datatype: 'FP32', shape: [1, 1, planes, grid.rows, grid.columns], data } };
  }
}
