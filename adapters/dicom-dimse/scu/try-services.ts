/**
 * For the connection test: asks what the settings will ask, about a study that cannot exist, so that nothing is found, sent or changed. A query shows that
 * it is allowed and understood; a C-MOVE that it is too, and at some sources that they know us as a destination; the worklist how many items there are.
 */
import type { AdapterContext, ConnectionStep, Integration } from '#gateway/adapter.ts';
import type { QueryOutcome } from '#gateway/queries.ts';
import type { Config } from '../config.ts';
import { countInstances } from './find-scu.ts';
import { moveImages } from './retrieve-scu.ts';
import { findScheduled } from './worklist-scu.ts';

/** Under the root for UUIDs: the nil UUID, which no study has. */
const nowhere = { studyInstanceUid: '2.25.0', patientId: 'MEDSCAN-NOBODY' };

/** Steps for the services that the settings use; none for those they do not. */
export async function tryServices(config: Config, context: AdapterContext): Promise<ConnectionStep[]> {
  const integration: Integration<Config> = { integrationId: '', organizationId: '', name: '', config };
  const { completeness, priors, worklist, retrieve_by: by } = config;
  const steps: ConnectionStep[] = [];
  if (completeness || priors) {
    steps.push(await tried('C-FIND', () => countInstances({ ...nowhere, byName: false }, integration, context), (outcome) => `${outcome} for a study that does not exist: queries are answered`));
  }
  if ((priors || completeness?.when_missing === 'fetch') && by === 'C-MOVE') {
    steps.push(await tried('C-MOVE', () => moveImages(nowhere, integration, context), (outcome) => `${outcome} for a study that does not exist, to ${config.called_ae_title}. A system that looks at the destination only with the first image tells then whether it knows it`, `Add ${config.called_ae_title} with the gateway's address and DICOM port to the AE list of the source, as a destination of C-MOVE.`));
  }
  if (worklist) steps.push(await tried('C-FIND worklist', () => findScheduled(integration, context), (outcome, { count = 0 }) => `${outcome}, ${count} ${count === 1 ? 'item' : 'items'} in the days of the settings`));
  return steps;
}

async function tried(step: string, ask: () => Promise<QueryOutcome<unknown>>, describe: (code: string, outcome: QueryOutcome<unknown>) => string, advice = 'Enable this service for the gateway\'s AE title at the source; its log says more.'): Promise<ConnectionStep> {
  const since = performance.now();
  const outcome = await ask();
  const milliseconds = Math.round(performance.now() - since);
  // Some say that what they do not have cannot be sent: the destination was known to them then.
  const isUnknownStudy = outcome.kind === 'refused' && step === 'C-MOVE' && !['A801', '0122', '0124'].includes(outcome.answerCode) && outcome.answerCode.length === 4;
  if (outcome.kind === 'answered') return { step, ok: true, milliseconds, detail: describe(outcome.answerCode, outcome) };
  return isUnknownStudy ? { step, ok: true, milliseconds, detail: `${outcome.text}, for a study that does not exist` } : { step, ok: false, milliseconds, detail: outcome.text, advice };
}
