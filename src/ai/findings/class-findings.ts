/** A classifier's score vector per image to findings: the highest score over the images counts, its image is the location's. */
import { AiError } from '../ai-error.ts';
import type { AiFinding } from '../analysis.ts';
import type { ClassesOutput } from '../model.ts';
import type { Tensor } from '../tensor.ts';
import type { LocatedFrame } from '../volume/stack.ts';

export interface ScoredImage { readonly image: LocatedFrame; readonly scores: readonly number[] }

export function readScores(outputs: ReadonlyMap<string, Tensor>, config: ClassesOutput): number[] {
  const tensor = outputs.get(config.tensor);
  if (tensor === undefined) throw new AiError('model', `The model did not return its output ${config.tensor}.`);
  const raw = Array.from(tensor.data as Iterable<number | bigint>, Number);
  const last = Math.max(...config.classes.map((each) => each.index));
  if (last >= raw.length) throw new AiError('model', `Output ${config.tensor} has ${raw.length} values, the model's settings name class ${last}.`);
  return activate(raw, config.activation);
}

function activate(raw: readonly number[], activation: ClassesOutput['activation']): number[] {
  if (activation === 'sigmoid') return raw.map((value) => 1 / (1 + Math.exp(-value)));
  if (activation === 'none') return [...raw];
  const top = Math.max(...raw);
  const powers = raw.map((value) => Math.exp(value - top));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

export function classFindings(scored: readonly ScoredImage[], config: ClassesOutput): AiFinding[] {
  return config.classes.flatMap((each) => {
    const best = scored.toSorted((a, b) => b.scores[each.index]! - a.scores[each.index]!)[0];
    const score = best?.scores[each.index];
    if (best === undefined || score === undefined || !(score >= each.threshold)) return [];
    const { instance, frame, rows, columns } = best.image;
    return [{
      type: each.finding, severity: each.severity, confidencePercentage: Math.round(Math.min(1, score) * 1000) / 10,
      description: each.description ?? `${each.finding.display} (score ${score.toFixed(3)}, threshold ${each.threshold}).`,
      ...(each.bodySite === undefined ? {} : { bodySite: each.bodySite }), measurements: [],
      location: {
        seriesInstanceUid: instance.seriesInstanceUid, sopInstanceUid: instance.sopInstanceUid, sopClassUid: instance.sopClassUid, frame: frame.frameNumber,
        boundingBox: { left: 0, top: 0, width: columns, height: rows },
      },
    }];
  });
}
