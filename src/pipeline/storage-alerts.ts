/**
 * A disk that takes nothing more. Its senders are told to try again, and nothing of theirs is on record: without a word here nobody in the
 * house would know. In: failures of the object store, and its free space every few seconds. Out: an alert of the installation
 * (organization Unassigned), which ends by itself once there is space again.
 */
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import { StorageFullError, type FileWriter, type ObjectStore, type StoredFile } from '../storage/object-store.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';

const EVERY_MILLISECONDS = 60_000;
/** A full disk may have space by its count and still refuse (quota, no more inodes): the alert stays while failures go on. */
const QUIET_SECONDS = 120;
/** A disk with errors is to be looked at, also when most writes succeed. */
const DEVICE_QUIET_SECONDS = 86_400;
const SUBJECT = 'object store';
const DEVICE_SUBJECT = 'object store device';
const FULL_CODES = ['ENOSPC', 'EDQUOT'];

interface Trouble { readonly subject: string; readonly message: string }
/** When this process last raised each subject. */
const raisedAt = new WeakMap<Database, Map<string, number>>();

/** The same store; what it cannot write for want of space, or because of the device, becomes an alert, behind the sender's back. */
export function watchStorage(store: ObjectStore, { database, log }: { database: Database; log: Log }): ObjectStore {
  const notice = (error: unknown): void => {
    const trouble = troubleOf(error);
    if (trouble) raise(database, trouble).catch((failure: unknown) => log.warn({ err: failure }, 'the alert about the object store could not be written'));
  };
  return { ...store, begin: (extension, digestFrom) => beginWatched(() => store.begin(extension, digestFrom), notice) };
}

/** What a sample of the free space says: below the reserve an alert, enough of it the end of one. */
export async function judgeFreeSpace(database: Database, store: Pick<ObjectStore, 'reserveBytes'>, freeBytes: number): Promise<void> {
  if (freeBytes < store.reserveBytes) await raise(database, troubleOf(new StorageFullError(freeBytes, store.reserveBytes))!);
  await inOrganization(database, UNASSIGNED_ORGANIZATION_ID, async (tx) => {
    if (freeBytes >= store.reserveBytes) await resolveAlert(tx, 'disk_low', SUBJECT, QUIET_SECONDS);
    await resolveAlert(tx, 'disk_low', DEVICE_SUBJECT, DEVICE_QUIET_SECONDS);
  });
}

function beginWatched(begin: () => FileWriter | Promise<FileWriter>, notice: (error: unknown) => void): FileWriter | Promise<FileWriter> {
  try {
    const writer = begin();
    return writer instanceof Promise ? noticing(async () => new WatchedWriter(await writer, notice), notice) : new WatchedWriter(writer, notice);
  } catch (error) {
    notice(error);
    throw error;
  }
}

class WatchedWriter implements FileWriter {
  readonly #writer: FileWriter;
  readonly #notice: (error: unknown) => void;

  constructor(writer: FileWriter, notice: (error: unknown) => void) {
    this.#writer = writer;
    this.#notice = notice;
  }

  get byteSize(): number { return this.#writer.byteSize; }

  write(chunk: Buffer): void | Promise<void> {
    try {
      const wait = this.#writer.write(chunk);
      wait?.catch(this.#notice);
      return wait;
    } catch (error) {
      this.#notice(error);
      throw error;
    }
  }

  finish(): Promise<StoredFile> {
    return noticing(async () => {
      const stored = await this.#writer.finish();
      stored.durable.catch(this.#notice);
      return stored;
    }, this.#notice);
  }

  abort(): Promise<void> { return this.#writer.abort(); }
}

async function noticing<T>(work: () => Promise<T>, notice: (error: unknown) => void): Promise<T> {
  try {
    return await work();
  } catch (error) {
    notice(error);
    throw error;
  }
}

function troubleOf(error: unknown): Trouble | undefined {
  if (error instanceof StorageFullError) return { subject: SUBJECT, message: `Images are refused: ${error.message}.` };
  const code = String((error as NodeJS.ErrnoException | undefined)?.code);
  if (FULL_CODES.includes(code)) return { subject: SUBJECT, message: `Images are refused: the disk of the object store is full (${code}). Free space or move MEDSCAN_HOME.` };
  if (code === 'EIO') return { subject: DEVICE_SUBJECT, message: 'Images are refused: the disk of the object store reports input/output errors (EIO). Look at the disk; this alert ends after a day without another.' };
  return undefined;
}

/** At most once a minute: a modality that tries again and again is no news. */
async function raise(database: Database, { subject, message }: Trouble): Promise<void> {
  const raised = raisedAt.get(database) ?? new Map<string, number>();
  raisedAt.set(database, raised);
  if (Date.now() - (raised.get(subject) ?? -Infinity) < EVERY_MILLISECONDS) return;
  raised.set(subject, Date.now());
  await inOrganization(database, UNASSIGNED_ORGANIZATION_ID, (tx) => raiseAlert(tx, { kind: 'disk_low', severity: 'critical', subject, message }));
}
