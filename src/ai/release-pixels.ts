/** Pixels that go to somebody else's model as tensors: no header goes with them, but a name may be burned in. */
import { AiError } from './ai-error.ts';
import type { AiInstance, AnalyzeInput } from './analysis.ts';

/** The series without what must not leave, the reasons in warnings. Throws AiError 'input' when nothing is left. As it is for models that run here. */
export async function releasePixels(series: readonly (readonly AiInstance[])[], { model, outbound }: AnalyzeInput, warnings: string[]): Promise<readonly (readonly AiInstance[])[]> {
  const options = model.config.endpoint?.deidentify;
  if (model.runtime !== 'kserve' || options === undefined || options === false || outbound === undefined) return series;
  const reasons = new Map<string, number>();
  const released: AiInstance[][] = [];
  for (const each of series) released.push(await releasable(each, async (instance) => void (await outbound.checkPixels(instance, options)), reasons));
  const left = released.filter((each) => each.length > 0);
  tell(reasons, warnings);
  if (left.length === 0) throw new AiError('input', `No image of the study may leave. ${warnings.join(' ')}`);
  await outbound.commit({ options, sent: left.flat().length, refused: series.flat().length - left.flat().length });
  return left;
}

/** Those for which `check` does not reject with AiError 'input'. */
async function releasable(instances: readonly AiInstance[], check: (instance: AiInstance) => Promise<void>, reasons: Map<string, number>): Promise<AiInstance[]> {
  const kept: AiInstance[] = [];
  for (const instance of instances) {
    try {
      await check(instance);
      kept.push(instance);
    } catch (error) {
      countReason(error, reasons);
    }
  }
  return kept;
}

export function countReason(error: unknown, reasons: Map<string, number>): void {
  if (!(error instanceof AiError) || error.class !== 'input') throw error;
  reasons.set(error.message, (reasons.get(error.message) ?? 0) + 1);
}
export function tell(reasons: ReadonlyMap<string, number>, warnings: string[]): void {
  for (const [reason, count] of reasons) warnings.push(`${count === 1 ? 'One image was' : `${count} images were`} not sent: ${reason}`);
}
