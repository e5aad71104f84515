/**
 * Settings by which an adapter that can ask other systems (queries.ts) is told what to ask by rule, the same for every protocol, and what they mean to
 * the pipeline.
 */
import { z } from 'zod';
import type { Wanted } from './queries.ts';

const completeness = z.strictObject({
  when_missing: z.enum(['wait', 'fetch']).default('wait').describe('Images that are there and not here: wait for them, or fetch them.'),
  look_again_seconds: z.int().min(5).max(86_400).default(60).describe('How long until the source is asked again.'),
  give_up_minutes: z.int().min(1).max(10_080).default(60).describe('After so long without proof, without_proof decides.'),
  without_proof: z.enum(['complete', 'hold']).default('complete').describe('complete: analyse what is here, with an alert. hold: a person decides.'),
});

const priors = z.strictObject({
  when: z.enum(['complete', 'ordered']).default('complete').describe('Fetch when the scan is complete, or as soon as it is ordered.'),
  most_studies: z.int().min(1).max(20).default(2).describe('How many earlier studies, the newest first.'),
  within_days: z.int().min(1).max(36_500).default(1_825).describe('How old an earlier study may be.'),
  most_instances: z.int().min(1).max(100_000).default(3_000).describe('An earlier study with more images than this is left out.'),
  modality: z.enum(['same', 'any']).default('same').describe('Only studies of the scan\'s modality, or any.'),
  body_part: z.enum(['same', 'same_or_unknown', 'any']).default('same_or_unknown').describe('Only studies of the same Body Part Examined; also those that do not tell theirs; or any.'),
  for_scan_types: z.array(z.enum(['xray', 'ct', 'mri', 'ultrasound', 'mammogram', 'pet', 'nuclear', 'other'])).default([]).describe('Only for scans of these types. Empty: all.'),
  analyze: z.boolean().default(false).describe('Analyse the earlier studies too, as if they had been sent for it. Those of the same day, those that were ordered themselves, and those that somebody sends as well, are in any case.'),
});

/** Parts of an integration's settings. */
export const sourceSettings = {
  completeness: completeness.optional().describe('Ask this system how many images a study has before the scan counts as complete. Empty: the quiet time alone decides.'),
  priors: priors.optional().describe('Fetch earlier studies of the same patient from this system. Empty: none.'),
};
const settings = z.strictObject(sourceSettings);

export function wantedBy({ completeness: complete, priors: prior }: z.infer<typeof settings>): Pick<Wanted, 'completeness' | 'priors'> {
  return {
    ...(complete ? { completeness: { whenMissing: complete.when_missing, lookAgainSeconds: complete.look_again_seconds, giveUpMinutes: complete.give_up_minutes, withoutProof: complete.without_proof } } : {}),
    ...(prior ? { priors: {
      when: prior.when, mostStudies: prior.most_studies, withinDays: prior.within_days, mostInstances: prior.most_instances, modality: prior.modality, bodyPart: prior.body_part,
      forScanTypes: prior.for_scan_types, analyze: prior.analyze,
    } } : {}),
  };
}
