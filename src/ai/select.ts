/** Which instances of the study a model may see, by series, most instances first. */
import { AiError } from './ai-error.ts';
import type { AiInstance } from './analysis.ts';

/** Storage classes of documents, states and waveforms: they hold no pixels of their own (PS3.4 B.5). */
const WITHOUT_PIXELS = [/^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(88|11|9|104|66|67|68|79|80)(\.|$)/, /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.481\.[3-9]/];

export function selectSeries(instances: readonly AiInstance[], modalities: readonly string[]): (readonly AiInstance[])[] {
  const fitting = instances.filter(({ modality, sopClassUid }) => (modality === undefined || modalities.includes(modality)) && !WITHOUT_PIXELS.some((pattern) => pattern.test(sopClassUid)));
  if (fitting.length === 0) throw new AiError('input', `The study has no image of modality ${modalities.join(' or ')} among its ${instances.length} instances.`);
  const series = Map.groupBy(fitting, (each) => each.seriesInstanceUid);
  return [...series.values()].toSorted((a, b) => frames(b) - frames(a));
}

const frames = (series: readonly AiInstance[]): number => series.reduce((sum, each) => sum + (each.numberOfFrames ?? 1), 0);
