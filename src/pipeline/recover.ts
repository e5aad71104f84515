/**
 * After a crash: files and rows agree again. A file is written before its rows, so a kill between the two leaves a file that nothing
 * refers to: its sender never heard success and sends again. It is set aside, not deleted. A row without its file must not happen; if it
 * does, a person is told at once. Looks at the newest hours of the object store only: what is older was looked at by an earlier start.
 */
import { raiseAlert } from '../db/alerts.ts';
import { organizationIds } from '../db/maintenance.ts';
import type { Database } from '../db/pool.ts';
import { filesAt, storedLocations } from '../db/stored-locations.ts';
import { asSystem, inOrganization } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import type { ObjectStore } from '../storage/object-store.ts';

const HOURS = 2;
/** A younger file may belong to a transaction that another node is just committing. */
const MINIMUM_AGE_MILLISECONDS = 120_000;

export interface Recovered { readonly setAside: number; readonly missing: number }

export async function recoverObjects(dependencies: { database: Database; store: ObjectStore; log: Log; minimumAgeMilliseconds?: number }): Promise<Recovered> {
  const { database, store, log } = dependencies;
  const organizations = await asSystem(database, 'recover objects', organizationIds);
  const result = { setAside: 0, missing: 0 };
  for (const { from, locations } of await store.newestHours(HOURS)) {
    const present = new Set(locations);
    const known = new Set<string>();
    for (const organizationId of organizations) {
      const rows = await inOrganization(database, organizationId, (tx) => storedLocations(tx, from));
      for (const row of rows) known.add(row.location);
      const absent = rows.filter((row) => row.isInUse && row.location.startsWith(directoryOf(locations)) && !present.has(row.location));
      if (absent.length === 0) continue;
      const missing = await inOrganization(database, organizationId, async (tx) => {
        const files = await filesAt(tx, absent);
        if (files.length > 0) await raiseAlert(tx, { kind: 'files_missing', severity: 'critical', subject: from.toISOString(), about: files, message: `${files.length} stored object(s) of this hour have no file. Restore them from backup or ask the sender to send again.` });
        return files.length;
      });
      result.missing += missing;
    }
    for (const location of locations) {
      if (!known.has(location) && await store.setAside(location, dependencies.minimumAgeMilliseconds ?? MINIMUM_AGE_MILLISECONDS)) result.setAside += 1;
    }
  }
  if (result.setAside + result.missing > 0) log.warn(result, 'objects and rows were compared after a stop');
  return result;
}

const directoryOf = (locations: readonly string[]): string => locations[0]?.slice(0, locations[0].lastIndexOf('/') + 1) ?? '';
