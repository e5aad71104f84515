/** What the gateway asks of a DICOM system as its client: settings, and what they mean to the pipeline. */
import { z } from 'zod';
import type { Wanted } from '#gateway/queries.ts';
import { sourceSettings, wantedBy } from '#gateway/source-settings.ts';

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
  ...sourceSettings,
  worklist: worklist.optional().describe('Import the modality worklist of this system as scheduled scans, where there is no HL7 feed. Empty: no.'),
  storage_commitment: storageCommitment.optional().describe('Ask this system to commit to the objects that are stored there. Empty: its C-STORE answer is enough.'),
};

const settings = z.strictObject(scuSettings);
export type ScuSettings = z.infer<typeof settings>;

export function wanted(config: ScuSettings & { readonly assigning_authority: string; readonly time_zone?: string | undefined; readonly destination?: unknown }): Wanted {
  const { worklist: list, storage_commitment: commitment, assigning_authority: assigningAuthority } = config;
  if (!config.destination) return { assigningAuthority };
  return {
    assigningAuthority, timeZone: config.time_zone, ...wantedBy(config),
    ...(list ? { worklist: { everySeconds: list.every_seconds } } : {}),
    ...(commitment ? { commitment: { askAgainMinutes: commitment.ask_again_minutes, alertAfterMinutes: commitment.alert_after_minutes } } : {}),
  };
}
