/**
 * Who may still bring images of a scan. In: associations and requests that brought some, and how they ended. Out: rows of scan_arrivals, for which
 * complete.ts waits:
 *
 *   open       its last image was of this scan      until it ends, or for LIMIT without an image of the scan; one that went on to another study waits for nothing
 *   broken     it ended without a release           for a quiet time: the sender may try again
 *   restarted  the receiver was away                for a quiet time: senders could not go on
 *
 * Told in memory and written every few seconds, one statement for all: an association that is shorter leaves no row, and no image pays for this. A process
 * that dies renews nothing, and its associations died with it.
 */
import { holdAfterRestart, saveArrivals, type ArrivalRow } from '../db/arrivals.ts';
import { organizationIds } from '../db/maintenance.ts';
import type { Database } from '../db/pool.ts';
import { asSystem, inOrganization } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { Arrivals } from '#gateway/arrivals.ts';

/** Four times within a quiet time, so that none ends unseen. */
export const lookSeconds = (quietSeconds: number): number => Math.min(5, Math.max(0.2, quietSeconds / 4));
/** Three looks that were missed: a slow process loses nothing. */
const LEASE_SECONDS = 15;
/** A sender may be silent for so long on one scan. The largest object over the slowest line is here by then; a sender that never ends holds nothing for ever. */
export const limitSeconds = (quietSeconds: number): number => Math.max(600, quietSeconds * 4);
const SOON_MILLISECONDS = 50;

export interface ArrivalsDependencies { readonly database: Database; readonly log: Log; readonly quietSeconds: number }
export interface ArrivalKeeper extends Arrivals {
  /** Before the workers start: scans that were arriving when the gateway ended wait for their senders. */
  start(): Promise<void>;
  /** Resolves when what was told so far is written, or given up. */
  flush(): Promise<void>;
  stop(): Promise<void>;
}
interface Open { readonly organizationId: string; readonly peer: string; scanId: string | undefined; broughtAt: number; brokeAt: number | undefined }

export function createArrivals({ database, log, quietSeconds }: ArrivalsDependencies): ArrivalKeeper {
  const gatewayId = uuidV7(), open = new Map<string, Open>(), written = new Set<string>(), limit = limitSeconds(quietSeconds);
  let running: Promise<void> = Promise.resolve(), soon: NodeJS.Timeout | undefined;

  const secondsLeft = ({ broughtAt, brokeAt }: Open, now: number): number =>
    (brokeAt === undefined ? Math.min(LEASE_SECONDS, limit - (now - broughtAt) / 1000) : quietSeconds - (now - brokeAt) / 1000);
  const rows = (now: number): Map<string, ArrivalRow[]> => {
    const byOrganization = new Map<string, ArrivalRow[]>();
    for (const [arrivalId, one] of open) {
      const seconds = secondsLeft(one, now);
      if (one.brokeAt !== undefined && seconds <= 0) open.delete(arrivalId);
      if (one.scanId === undefined || seconds <= 0) continue;
      const list = byOrganization.get(one.organizationId) ?? [];
      byOrganization.set(one.organizationId, list);
      list.push({ arrival_id: arrivalId, scan_id: one.scanId, state: one.brokeAt === undefined ? 'open' : 'broken', peer: one.peer, holds_seconds: seconds });
    }
    return byOrganization;
  };
  const write = async (): Promise<void> => {
    soon = undefined;
    const current = rows(performance.now());
    for (const organizationId of new Set([...current.keys(), ...written])) {
      const own = current.get(organizationId) ?? [];
      written.add(organizationId);
      try {
        await inOrganization(database, organizationId, (tx) => saveArrivals(tx, gatewayId, own));
        if (own.length === 0) written.delete(organizationId);
      } catch (error) {
        log.warn({ err: error, arrivals: own.length }, 'what is still arriving could not be put on record; the next look tries again');
      }
    }
  };
  const flush = (): Promise<void> => (running = running.then(write));
  const timer = setInterval(() => { void flush(); }, lookSeconds(quietSeconds) * 1000);
  const flushSoon = (): void => { soon ??= setTimeout(() => { void flush(); }, SOON_MILLISECONDS); };

  return {
    begin({ organizationId }, peer) {
      const arrivalId = uuidV7(), one: Open = { organizationId, peer, scanId: undefined, broughtAt: 0, brokeAt: undefined };
      let isReleased = false;
      return {
        brought(receipt) {
          const scanId = receipt.kind === 'accepted' || receipt.kind === 'duplicate' ? receipt.links['scans'] : undefined;
          if (scanId === undefined || isReleased) return;
          [one.scanId, one.broughtAt] = [scanId, performance.now()];
          open.set(arrivalId, one);
          if (one.brokeAt !== undefined) flushSoon();
        },
        ended(how) {
          if (how === 'released') isReleased = true;
          else one.brokeAt ??= performance.now();
          if (!open.has(arrivalId)) return;
          if (isReleased) open.delete(arrivalId);
          if (!isReleased || written.has(organizationId)) flushSoon();
        },
      };
    },
    async start() {
      for (const organizationId of await asSystem(database, 'start', organizationIds)) {
        const held = await inOrganization(database, organizationId, (tx) => holdAfterRestart(tx, gatewayId, quietSeconds));
        if (held > 0) log.info({ organizationId, scans: held }, 'scans were arriving when the gateway ended; their senders get the quiet time to go on');
      }
    },
    flush,
    async stop() {
      clearInterval(timer);
      clearTimeout(soon);
      for (const one of open.values()) one.brokeAt ??= performance.now();
      await flush();
    },
  };
}
