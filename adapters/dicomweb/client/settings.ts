/** What the gateway asks of a DICOMweb server as its client: settings, and what they mean to the pipeline. */
import { z } from 'zod';
import type { Wanted } from '#gateway/queries.ts';
import { sourceSettings, wantedBy } from '#gateway/source-settings.ts';
import type { Config } from '../config.ts';

/** Parts of the integration's settings; each asks the server at `base_url`. */
export const clientSettings = {
  ...sourceSettings,
  retrieve_timeout_seconds: z.int().min(1).max(3_600).default(120).describe('A retrieve of which nothing comes for so long, at its beginning or in the middle, is given up and continued later.'),
};

export function wanted(config: Config): Wanted {
  const { assigning_authority: assigningAuthority, base_url: base } = config;
  return base === undefined ? { assigningAuthority } : { assigningAuthority, timeZone: config.time_zone, ...wantedBy(config) };
}
