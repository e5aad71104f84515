/**
 * The object store on disk. In: chunks of one object, as they arrive. Out: a file that survives power loss, or nothing.
 *
 *   incoming/<node>-<pid>/<uuid>.part  --rename, fsync(file and directory)-->  objects/YYYY/MM/DD/HH/<uuid>.dcm
 *
 * Names are made here, never from what was sent: no UID or file name of a sender becomes a path. Writing: disk-writer.ts.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream, type ReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, statfs, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { DirectorySync } from './directory-sync.ts';
import { DiskWriter, type FileWriter } from './disk-writer.ts';

export type { FileWriter, StoredFile } from './disk-writer.ts';

const mebibytes = (bytes: number): number => Math.floor(bytes / (1 << 20));
export class StorageFullError extends Error {
  constructor(freeBytes: number, reserveBytes: number) {
    super(`the object store has ${mebibytes(freeBytes)} MiB free and keeps ${mebibytes(reserveBytes)} MiB in reserve; free space or move MEDSCAN_HOME`);
    this.name = 'StorageFullError';
  }
}
export interface ObjectStore {
  /** With less than this free, begin() refuses. */
  readonly reserveBytes: number;
  /** Opens a writer, at once unless the free space must be looked at first; throws or rejects with StorageFullError below the reserve. */
  begin(extension: string, digestFrom?: number): FileWriter | Promise<FileWriter>;
  /** Absolute path of a stored object; throws for a location that would leave the store. */
  resolve(location: string): string;
  read(location: string): ReadStream;
  readHead(location: string, byteLength: number): Promise<Buffer>;
  /** Whether the object is there with exactly so many bytes. */
  holds(location: string, byteSize: number): Promise<boolean>;
  remove(location: string): Promise<void>;
  freeBytes(): Promise<number>;
  /** Locations of the objects in the newest `count` hours that have any, oldest hour first. */
  newestHours(count: number): Promise<readonly { from: Date; locations: readonly string[] }[]>;
  /** Takes an object that nothing refers to out of use: it moves to orphans/, for a person to look at. False when it is younger than `milliseconds`, or gone. */
  setAside(location: string, milliseconds: number): Promise<boolean>;
  /** Removes the unfinished files of processes of this host that no longer run; returns how many. */
  removeUnfinished(): Promise<number>;
}

export async function openObjectStore(root: string, options: { reserveBytes?: number } = {}): Promise<ObjectStore> {
  const absoluteRoot = path.resolve(root);
  const reserveBytes = options.reserveBytes ?? 512 << 20;
  const incoming = path.join(absoluteRoot, 'incoming', `${hostname()}-${process.pid}`);
  await mkdir(incoming, { recursive: true });
  const directories = new DirectorySync();
  let checkedAt = 0;
  let free = Infinity;

  const freeBytes = async (): Promise<number> => {
    const stats = await statfs(absoluteRoot);
    return stats.bavail * stats.bsize;
  };
  const resolve = (location: string): string => {
    const target = path.resolve(absoluteRoot, location);
    if (!target.startsWith(absoluteRoot + path.sep)) throw new Error('a stored object lies outside the object store');
    return target;
  };
  const beginNow = (extension: string, digestFrom: number | undefined, now: number): FileWriter => {
    if (free < reserveBytes) throw new StorageFullError(free, reserveBytes);
    const id = randomUUID(), directory = hourDirectory(now), location = directory + path.sep + id + extension;
    return new DiskWriter({ temporary: `${incoming}${path.sep}${id}.part`, location, directory: absoluteRoot + path.sep + directory, final: absoluteRoot + path.sep + location, digestFrom }, directories);
  };
  return {
    reserveBytes,
    resolve,
    freeBytes,
    begin(extension, digestFrom) {
      const now = Date.now();
      if (now - checkedAt <= 1000) return beginNow(extension, digestFrom, now);
      checkedAt = now;
      return freeBytes().then((bytes) => {
        free = bytes;
        return beginNow(extension, digestFrom, now);
      });
    },
    read: (location) => createReadStream(resolve(location)),
    async readHead(location, byteLength) {
      const handle = await open(resolve(location), 'r');
      try {
        const buffer = Buffer.alloc(byteLength);
        const { bytesRead } = await handle.read(buffer, 0, byteLength, 0);
        return buffer.subarray(0, bytesRead);
      } finally {
        await handle.close();
      }
    },
    holds: async (location, byteSize) => (await stat(resolve(location)).catch(() => undefined))?.size === byteSize,
    remove: (location) => unlink(resolve(location)).catch(unlessMissing),
    newestHours: (count) => newestHours(absoluteRoot, count),
    async setAside(location, milliseconds) {
      const file = resolve(location);
      try {
        if (Date.now() - (await stat(file)).mtimeMs < milliseconds) return false;
        await mkdir(path.join(absoluteRoot, 'orphans'), { recursive: true });
        await rename(file, path.join(absoluteRoot, 'orphans', path.basename(file)));
        return true;
      } catch (error) {
        // Another process discarded it after it was listed.
        unlessMissing(error as NodeJS.ErrnoException);
        return false;
      }
    },
    removeUnfinished: () => removeUnfinished(path.join(absoluteRoot, 'incoming')),
  };
}

let hour = NaN, directoryOfHour = '';
/** Of UTC, relative to the store. */
function hourDirectory(now: number): string {
  if (Math.floor(now / 3_600_000) !== hour) {
    hour = Math.floor(now / 3_600_000);
    directoryOfHour = path.join('objects', ...new Date(now).toISOString().slice(0, 13).split(/[-T]/));
  }
  return directoryOfHour;
}

function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

async function removeUnfinished(incoming: string): Promise<number> {
  let removed = 0;
  for (const name of await readdir(incoming).catch(() => [])) {
    const match = /^(.*)-(\d+)$/.exec(name);
    if (!match || match[1] !== hostname() || isRunning(Number(match[2]))) continue;
    const directory = path.join(incoming, name);
    removed += (await readdir(directory)).length;
    await rm(directory, { recursive: true, force: true });
  }
  return removed;
}

function isRunning(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function newestHours(root: string, count: number): Promise<{ from: Date; locations: string[] }[]> {
  let hours = ['objects'];
  for (let level = 0; level < 4; level++) {
    const below = await Promise.all(hours.map(async (directory) => (await readdir(path.join(root, directory)).catch(() => [])).map((name) => path.join(directory, name))));
    hours = below.flat().toSorted().slice(-count);
  }
  return Promise.all(hours.map(async (directory) => {
    const [year, month, day, hour] = directory.split(path.sep).slice(1);
    return { from: new Date(`${year}-${month}-${day}T${hour}:00:00Z`), locations: (await readdir(path.join(root, directory))).map((name) => path.join(directory, name)) };
  }));
}
