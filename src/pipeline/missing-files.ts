/**
 * Alerts about files that are gone or damaged end when each of them is as it was received again: restored from a backup, sent again, or given up with its row.
 * What has the right length is read to its end, so this is looked at every few minutes only.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { endMissingFileAlert, filesById, missingFileAlerts, type StoredFile } from '../db/stored-locations.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** Returns how many ended. */
export async function endFoundFiles({ database, store }: { readonly database: Database; readonly store: ObjectStore }, organizationId: string): Promise<number> {
  let ended = 0;
  for (const alert of await inOrganization(database, organizationId, missingFileAlerts)) {
    const files = await inOrganization(database, organizationId, (tx) => filesById(tx, alert.about));
    if (await areIntact(store, files) && await inOrganization(database, organizationId, (tx) => endMissingFileAlert(tx, alert))) ended += 1;
  }
  return ended;
}

/** No transaction is open while they are read. Ends at the first that is not. */
async function areIntact(store: ObjectStore, files: readonly StoredFile[]): Promise<boolean> {
  for (const file of files) if (!await store.holds(file.storage_location, file.dataset_offset + file.byte_size)) return false;
  for (const file of files) if (!await isIntact(store, file)) return false;
  return true;
}

/** Reads the file to its end: the dataset's bytes hash to what was received. */
export async function isIntact(store: ObjectStore, file: Pick<StoredFile, 'storage_location' | 'dataset_offset' | 'sha256'>): Promise<boolean> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(store.resolve(file.storage_location), { start: file.dataset_offset, highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  } catch {
    return false;
  }
  return hash.digest('hex') === file.sha256;
}
