/**
 * Objects whose transaction failed. The sender was told to try again and will send the same bytes under a new name, so these would pile up
 * while the database is away. But a commit whose answer was lost may have succeeded: each is removed only when the database, back again,
 * has no exchange of that id. What is still here at a crash is set aside by recover.ts.
 */
import { findExchangeIds } from '../db/exchanges.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import type { ObjectStore } from '../storage/object-store.ts';

const ROUND_MILLISECONDS = 10_000;
/** A commit that is still on its way when its connection broke has ended by then, one way or the other. */
const SETTLED_MILLISECONDS = 60_000;

export interface Unreferenced {
  add(organizationId: string, exchangeId: string, location: string): void;
  /** One round, now; resolves with how many objects were removed. */
  sweep(settledMilliseconds?: number): Promise<number>;
  stop(): void;
}

export function watchUnreferenced(database: Database, store: ObjectStore, log: Log): Unreferenced {
  let waiting: { organizationId: string; exchangeId: string; location: string; at: number }[] = [];
  const sweep = async (settledMilliseconds = SETTLED_MILLISECONDS): Promise<number> => {
    const due = waiting.filter((entry) => Date.now() - entry.at >= settledMilliseconds);
    let removed = 0;
    for (const [organizationId, entries] of Map.groupBy(due, (entry) => entry.organizationId)) {
      const found = await inOrganization(database, organizationId, (tx) => findExchangeIds(tx, entries.map((entry) => entry.exchangeId)));
      for (const entry of entries.filter((candidate) => !found.has(candidate.exchangeId))) {
        await store.remove(entry.location);
        removed += 1;
      }
      waiting = waiting.filter((entry) => !entries.includes(entry));
    }
    if (removed > 0) log.info({ removed }, 'objects of failed transactions were removed');
    return removed;
  };
  // While the database is away every round fails; the next one finds the same list.
  const timer = setInterval(() => { if (waiting.length > 0) void sweep().catch(() => {}); }, ROUND_MILLISECONDS);
  timer.unref();
  return {
    add: (organizationId, exchangeId, location) => { waiting.push({ organizationId, exchangeId, location, at: Date.now() }); },
    sweep,
    stop: () => clearInterval(timer),
  };
}
