/** An integration that sends something acceptable is alive: written at most once per integration and half minute, behind the sender's back. */
import { recordAlive } from '../db/integrations.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import type { Integration } from '#gateway/adapter.ts';

const EVERY_MILLISECONDS = 30_000;

export function createInboundHealth(database: Database, log: Log): (integration: Integration) => void {
  const written = new Map<string, number>();
  return ({ organizationId, integrationId }) => {
    const now = Date.now();
    if (now - (written.get(integrationId) ?? 0) < EVERY_MILLISECONDS) return;
    written.set(integrationId, now);
    inOrganization(database, organizationId, (tx) => recordAlive(tx, integrationId)).catch((error: unknown) => log.debug({ err: error }, 'an integration\'s health could not be written'));
  };
}
