/**
 * An operator paused a system. In: what it sends. Out: "not now, try again" (A700, AE or CE, 503), and nothing of it is kept, so that the sender's
 * own queue holds its messages in order until it is resumed. What an operator replays is let through. Queries are answered all the same.
 */
import { exchangesTotal } from '../metrics.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { Adapter, Receive, Receipt } from '#gateway/adapter.ts';
import type { Writes } from '#gateway/records.ts';
import type { Unreferenced } from './unreferenced.ts';

export interface PauseDependencies {
  isReceivePaused(organizationId: string, integrationId: string): boolean;
  /** Told of objects that were written before the answer was known. */
  readonly unreferenced: Pick<Unreferenced, 'add'>;
}

export function refuseWhilePaused(dependencies: PauseDependencies, adapter: Adapter, receive: Receive): Receive {
  return async (message, refusal) => {
    const { integration, object, facts, interaction } = message;
    if (refusal || !integration || facts['replayOf'] !== undefined || !dependencies.isReceivePaused(integration.organizationId, integration.integrationId)) return receive(message, refusal);
    if (object) dependencies.unreferenced.add(integration.organizationId, uuidV7(), object.location);
    exchangesTotal.inc({ adapter: adapter.name, direction: 'inbound', interaction: adapter.inbound!.interactions.includes(interaction) ? interaction : 'other', status: 'paused' });
    return paused;
  };
}

/** The same for messages that are written together: all of them, or none. */
export function refuseWritesWhilePaused({ isReceivePaused }: Pick<PauseDependencies, 'isReceivePaused'>, writes: Writes): Writes {
  return {
    together: async (asked) => {
      const isPaused = asked.some(({ message: { integration, facts } }) => integration !== undefined && facts['replayOf'] === undefined && isReceivePaused(integration.organizationId, integration.integrationId));
      return isPaused ? { kind: 'failed', text: PAUSED } : writes.together(asked);
    },
  };
}

const PAUSED = 'an operator has paused what this system sends; nothing was taken, send it again later';
const paused: Receipt = {
  kind: 'failed', text: PAUSED, retryable: true, exchangeId: undefined, answered() { /* there is no exchange */ },
};
