/** What the gateway asks of a DICOM system as its client: settings, and what they mean to the pipeline. */
import { z } from 'zod';
import type { Wanted } from '#gateway/queries.ts';

const completeness = z.strictObject({
  when_missing: z.enum(['wait', 'fetch']).default('wait').describe('Images that are there and not here: wait for them, or have them sent (retrieve_by).'),
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
  analyze: z.boolean().default(false).describe('Analyse the earlier studies too, as if they had been sent for it. Those of the same day, and those that were ordered themselves, are in any case.'),
});

const worklist = z.strictObject({
  every_seconds: z.int().min(5).max(86_400).default(300).describe('How often the RIS is asked.'),
  days_back: z.int().min(0).max(30).default(0).describe('From so many days before today.'),
  days_ahead: z.int().min(0).max(90).default(1).describe('To so many days after today.'),
  modalities: z.array(z.string().regex(/^[A-Z0-9_ ]{1,16}$/)).default([]).describe('Only steps of these modalities, one question each. Empty: all.'),
  station_ae_title: z.string().max(16).default('').describe('Only steps scheduled for this station. Empty: all.'),
  most_items: z.int().min(1).max(20_000).default(2_000).describe('A question is cancelled after so many items.'),
});

const storageCommitment = z.strictObject({
  wait_seconds: z.int().min(0).max(300).default(5).describe('How long the association stays open for the result. Afterwards the system calls the gateway.'),
  ask_again_minutes: z.int().min(1).max(10_080).default(60).describe('Without a result for so long, it is asked again.'),
  alert_after_minutes: z.int().min(1).max(43_200).default(240).describe('Without a yes for so long, an alert says so.'),
});

/** Parts of the integration's settings; each asks over `destination`. */
export const scuSettings = {
  query_root: z.enum(['study', 'patient']).default('study').describe('Information model of our queries and retrieves at this system.'),
  retrieve_by: z.enum(['C-MOVE', 'C-GET']).default('C-MOVE').describe('How images are fetched: C-MOVE to called_ae_title, which the system must know with our address, or C-GET on our association.'),
  query_timeout_seconds: z.int().min(1).max(3_600).default(60).describe('A query without any response for so long is given up.'),
  retrieve_timeout_seconds: z.int().min(5).max(86_400).default(600).describe('A retrieve without any sign of life for so long is cancelled. Some systems answer a C-MOVE only at its end.'),
  completeness: completeness.optional().describe('Ask this system how many images a study has before the scan counts as complete. Empty: the quiet time alone decides.'),
  priors: priors.optional().describe('Fetch earlier studies of the same patient from this system. Empty: none.'),
  worklist: worklist.optional().describe('Import the modality worklist of this system as scheduled scans, where there is no HL7 feed. Empty: no.'),
  storage_commitment: storageCommitment.optional().describe('Ask this system to commit to the objects that are stored there. Empty: its C-STORE answer is enough.'),
};

const settings = z.strictObject(scuSettings);
export type ScuSettings = z.infer<typeof settings>;

export function wanted(config: ScuSettings & { readonly assigning_authority: string; readonly time_zone?: string | undefined; readonly destination?: unknown }): Wanted {
  const { completeness: complete, priors: prior, worklist: list, storage_commitment: commitment, assigning_authority: assigningAuthority } = config;
  if (!config.destination) return { assigningAuthority };
  return {
    assigningAuthority, timeZone: config.time_zone,
    ...(complete ? { completeness: { whenMissing: complete.when_missing, lookAgainSeconds: complete.look_again_seconds, giveUpMinutes: complete.give_up_minutes, withoutProof: complete.without_proof } } : {}),
    ...(prior ? { priors: {
      when: prior.when, mostStudies: prior.most_studies, withinDays: prior.within_days, mostInstances: prior.most_instances, modality: prior.modality, bodyPart: prior.body_part,
      forScanTypes: prior.for_scan_types, analyze: prior.analyze,
    } } : {}),
    ...(list ? { worklist: { everySeconds: list.every_seconds } } : {}),
    ...(commitment ? { commitment: { askAgainMinutes: commitment.ask_again_minutes, alertAfterMinutes: commitment.alert_after_minutes } } : {}),
  };
}
