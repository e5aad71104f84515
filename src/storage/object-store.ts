/**
 * The object store on disk. In: chunks of one object, as they arrive. Out: a file that survives power loss, or nothing.
 *
 *   incoming/<node>-<pid>/<uuid>.part  --fsync, rename, fsync(directory)-->  objects/YYYY/MM/DD/HH/<uuid>.dcm
 *
 * Names are made here, never from what was sent: no UID or file name of a sender becomes a path. After a failed fsync the file is
 * removed and the descriptor never synced again (a second fsync may report success for pages that were dropped).
 */
import { randomUUID } from 'node:crypto';
import { closeSync, createReadStream, fdatasync, openSync, renameSync, writevSync, type ReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, statfs, unlink, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { failpoint } from '../failpoint.ts';

/** The sender must wait while more than this is held in memory, unwritten. */
const BACKPRESSURE_BYTES = 8 << 20;
/** Objects up to this size are held until finish() and written with one call. */
const WRITE_THROUGH_BYTES = 1 << 20;
/** IOV_MAX is 1024 on Linux. */
const MOST_BUFFERS = 512;
/** A large object is synced on the way, so that finish() does not wait for gigabytes. */
const SYNC_EVERY_BYTES = 32 << 20;

export interface StoredFile { readonly location: string; readonly byteSize: number }
export interface FileWriter {
  write(chunk: Buffer): void | Promise<void>;
  readonly byteSize: number;
  finish(): Promise<StoredFile>;
  abort(): Promise<void>;
}
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
  /** Opens a writer; throws StorageFullError below the reserve. */
  begin(extension: string): Promise<FileWriter>;
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
  return {
    reserveBytes,
    resolve,
    freeBytes,
    async begin(extension) {
      const now = Date.now();
      if (now - checkedAt > 1000) {
        checkedAt = now;
        free = await freeBytes();
      }
      if (free < reserveBytes) throw new StorageFullError(free, reserveBytes);
      const id = randomUUID();
      const location = path.join('objects', ...new Date().toISOString().slice(0, 13).split(/[-T]/), id + extension);
      return new DiskWriter(path.join(incoming, `${id}.part`), location, resolve(location), directories);
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

class DiskWriter implements FileWriter {
  byteSize = 0;
  readonly #temporary: string;
  readonly #location: string;
  readonly #final: string;
  readonly #directories: DirectorySync;
  #handle: FileHandle | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #unsyncedBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #failure: Error | undefined;
  #finished = false;

  constructor(temporary: string, location: string, final: string, directories: DirectorySync) {
    this.#temporary = temporary;
    this.#location = location;
    this.#final = final;
    this.#directories = directories;
  }

  write(chunk: Buffer): void | Promise<void> {
    if (this.#failure) throw this.#failure;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    this.byteSize += chunk.length;
    if (this.#heldBytes >= WRITE_THROUGH_BYTES) this.#flush();
    if (this.#heldBytes + this.#inFlightBytes > BACKPRESSURE_BYTES) return this.#writing;
  }

  #inFlightBytes = 0;
  #flush(): void {
    const chunks = this.#held;
    const bytes = this.#heldBytes;
    this.#held = [];
    this.#heldBytes = 0;
    if (bytes === 0) return;
    this.#inFlightBytes += bytes;
    this.#writing = this.#writing.then(async () => {
      this.#handle ??= await open(this.#temporary, 'wx');
      await writeAll(this.#handle, chunks);
      this.#unsyncedBytes += bytes;
      if (this.#unsyncedBytes >= SYNC_EVERY_BYTES) {
        await this.#handle.datasync();
        this.#unsyncedBytes = 0;
      }
    }).catch((error: Error) => {
      this.#failure ??= error;
      throw error;
    }).finally(() => { this.#inFlightBytes -= bytes; });
    this.#writing.catch(() => {});
  }

  async finish(): Promise<StoredFile> {
    try {
      if (this.#handle === undefined && this.#inFlightBytes === 0 && this.#failure === undefined) await this.#writeSmall();
      else await this.#writeRest();
      failpoint('store.afterFsync');
      const directory = path.dirname(this.#final);
      await this.#directories.ensure(directory);
      renameSync(this.#temporary, this.#final);
      failpoint('store.beforeDirectoryFsync');
      await this.#directories.sync(directory);
      failpoint('store.afterDirectoryFsync');
      this.#finished = true;
      return { location: this.#location, byteSize: this.byteSize };
    } catch (error) {
      await this.abort();
      await rm(this.#final, { force: true });
      throw error;
    }
  }

  /**
   * An object that never left memory: opened and written on this thread, because its bytes go to the page cache in less time than handing
   * them to the thread pool takes; only the sync is waited for elsewhere. Dirty pages stay few, each file being synced at once.
   */
  async #writeSmall(): Promise<void> {
    const descriptor = openSync(this.#temporary, 'wx');
    try {
      writeAllSync(descriptor, this.#held);
      this.#held = [];
      this.#heldBytes = 0;
      failpoint('store.beforeFsync');
      await dataSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  async #writeRest(): Promise<void> {
    this.#flush();
    await this.#writing;
    failpoint('store.beforeFsync');
    await this.#handle!.datasync();
    await this.#handle!.close();
    this.#handle = undefined;
  }

  async abort(): Promise<void> {
    if (this.#finished) return;
    this.#held = [];
    this.#heldBytes = 0;
    this.#failure ??= new Error('the object was given up');
    await this.#writing.catch(() => {});
    await this.#handle?.close().catch(() => {});
    this.#handle = undefined;
    await unlink(this.#temporary).catch(() => {});
  }
}

function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

const dataSync = promisify(fdatasync);

async function writeAll(handle: FileHandle, chunks: readonly Buffer[]): Promise<void> {
  let rest = chunks;
  while (rest.length > 0) rest = after(rest, (await handle.writev(rest.slice(0, MOST_BUFFERS))).bytesWritten);
}

function writeAllSync(descriptor: number, chunks: readonly Buffer[]): void {
  let rest = chunks;
  while (rest.length > 0) rest = after(rest, writevSync(descriptor, rest.slice(0, MOST_BUFFERS)));
}

/** What is left of the chunks when so many bytes of them were written. */
function after(chunks: readonly Buffer[], bytesWritten: number): readonly Buffer[] {
  let index = 0;
  let bytes = bytesWritten;
  while (index < chunks.length && bytes >= chunks[index]!.length) bytes -= chunks[index++]!.length;
  const rest = chunks.slice(index);
  if (bytes > 0) rest[0] = rest[0]!.subarray(bytes);
  return rest;
}

/** fsync of directories, shared: callers that arrive while one sync runs wait for the next one together. */
class DirectorySync {
  readonly #known = new Map<string, Promise<void>>();
  readonly #running = new Map<string, { current: Promise<void>; next: Promise<void> | undefined }>();

  /** Creates the directory and makes every new level durable in its parent. */
  ensure(directory: string): Promise<void> {
    let known = this.#known.get(directory);
    if (!known) {
      known = this.#create(directory);
      this.#known.set(directory, known);
      known.catch(() => this.#known.delete(directory));
      if (this.#known.size > 100) this.#known.delete(this.#known.keys().next().value!);
    }
    return known;
  }

  async #create(directory: string): Promise<void> {
    let first = await mkdir(directory, { recursive: true });
    while (first !== undefined && first.length <= directory.length) {
      await syncDirectory(path.dirname(first));
      if (first === directory) break;
      first = path.join(first, path.relative(first, directory).split(path.sep)[0]!);
    }
  }

  sync(directory: string): Promise<void> {
    const running = this.#running.get(directory);
    if (!running) return this.#start(directory);
    running.next ??= running.current.catch(() => {}).then(() => this.#start(directory));
    return running.next;
  }

  #start(directory: string): Promise<void> {
    const entry = { current: syncDirectory(directory), next: undefined as Promise<void> | undefined };
    this.#running.set(directory, entry);
    const done = (): void => {
      if (this.#running.get(directory) === entry && entry.next === undefined) this.#running.delete(directory);
    };
    void entry.current.catch(() => {}).finally(done);
    return entry.current;
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
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
