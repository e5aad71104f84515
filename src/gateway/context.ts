/** What an adapter gets to work with: a log, the clock, the store, and the answer to "whose token is this". No database, no queue. */
import { callerOfToken } from '../db/user-sessions.ts';
import type { Database } from '../db/pool.ts';
import type { Log } from '../log.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { AdapterContext } from './adapter.ts';

export interface ContextDependencies { readonly database: Database; readonly log: Log; readonly signal: AbortSignal; readonly store?: ObjectStore; readonly now?: () => Date; readonly folders?: string | undefined; readonly foldersOfOthers?: AdapterContext['foldersOfOthers']; readonly ports?: Pick<AdapterContext, 'holdings' | 'images' | 'commitments' | 'procedures' | 'confirmations' | 'records' | 'writes' | 'tokens' | 'subscriptions' | 'exports' | 'arrivals'> }

export function adapterContext(dependencies: ContextDependencies): AdapterContext {
  const { database, log, signal, store, now, folders, foldersOfOthers, ports } = dependencies;
  return {
    log, signal, now: now ?? (() => new Date()),
    store(hint) {
      if (!store) throw new Error('nothing is stored in a connection test');
      return store.begin(hint.extension, hint.digestFrom);
    },
    async authenticate(bearerToken) {
      const caller = await callerOfToken(database, bearerToken);
      return caller && { organizationId: caller.organizationId, userId: caller.userId, role: caller.role, name: caller.name, scopes: caller.scopes };
    },
    ...(folders === undefined ? {} : { folders, ...(foldersOfOthers ? { foldersOfOthers } : {}) }), ...ports,
  };
}
