/** One series as a volume: stack, grid, slabs through the model, candidates to findings. */
import { throwIfAborted } from './ai-error.ts';
import type { AiFinding } from './analysis.ts';
import { blobFindings } from './findings/blob-findings.ts';
import { readCandidates, type Candidate } from './findings/candidates.ts';
import type { AiModelConfig, PeaksOutput, VolumeInput } from './model.ts';
import type { Tensor } from './tensor.ts';
import { resampleStack } from './volume/grid.ts';
import { slabs } from './volume/slabs.ts';
import { buildStacks, stackWarnings, type LocatedFrame, type Stack } from './volume/stack.ts';

export type Ask = (inputs: readonly Tensor[], outputs: readonly string[]) => Promise<ReadonlyMap<string, Tensor>>;

/** The series' largest stack, when it has slices enough. */
export function usableStack(frames: readonly LocatedFrame[], input: VolumeInput): { stack: Stack | undefined; warnings: string[] } {
  const [stack, ...others] = buildStacks(frames);
  const size = stack?.slices.length ?? 0;
  if (stack === undefined || size < input.minimumSlices) return { stack: undefined, warnings: [`A series of ${frames.length} frames was left out: ${size} slices of one geometry, needed are ${input.minimumSlices}.`] };
  const left = others.reduce((sum, other) => sum + other.slices.length, 0);
  return { stack, warnings: [...stackWarnings(stack), ...(left > 0 ? [`${left} slices of another geometry in the same series were left out.`] : [])] };
}

export async function analyzeVolume(stack: Stack, input: VolumeInput, output: PeaksOutput, config: AiModelConfig, ask: Ask, signal: AbortSignal): Promise<AiFinding[]> {
  const grid = await resampleStack(stack, input.spacingMillimetres);
  const wanted = output.levels.flatMap((level) => [level.score, level.index, level.scale, level.roundness]);
  const candidates: Candidate[] = [];
  for await (const slab of slabs(grid, input)) {
    throwIfAborted(signal);
    candidates.push(...readCandidates(await ask([slab.tensor], wanted), slab, grid, output));
  }
  return await blobFindings(candidates, grid, stack, output, config.severity);
}
