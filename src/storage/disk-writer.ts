/**
 * One object on its way to disk. In: chunks. Out: a whole file in its place, and a promise that it survives power loss.
 *
 *   write(): copied to slabs --1 MiB--> written on the way, and hashed beside it; synced every 8 MiB
 *   finish(): rest written and hashed, renamed into its place; then `durable`: fdatasync(file) and fsync(directory), side by side
 *
 * The rename comes before the sync, so that both syncs share one commit of the file system's journal. A file in its place is therefore
 * only worth something when `durable` has resolved and a row names it; what a crash leaves behind no row names, and it is set aside.
 */
import { closeSync, fdatasync, open, renameSync, writev, writevSync } from 'node:fs';
import { rm, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { failpoint } from '../failpoint.ts';
import { digestOf, LargeDigest } from './digest.ts';
import type { DirectorySync } from './directory-sync.ts';
import { Slabs } from './slabs.ts';

/** The sender must wait while more than this is held in memory, unwritten. */
const BACKPRESSURE_BYTES = 8 << 20;
/** Objects up to this size are held until finish() and written with one call. */
const WRITE_THROUGH_BYTES = 1 << 20;
/** IOV_MAX is 1024 on Linux. */
const MOST_BUFFERS = 512;
/** A large object is synced on the way, so that the disk works while the bytes arrive. */
const SYNC_EVERY_BYTES = 8 << 20;

export interface StoredFile {
  readonly location: string;
  readonly byteSize: number;
  /** SHA-256 as hexadecimal digits of the bytes from `digestFrom` on; '' when none was asked for. */
  readonly sha256: string;
  /** Resolves when file and directory entry survive power loss. When it rejects the file is gone. */
  readonly durable: Promise<void>;
}
export interface FileWriter {
  /** Copies the chunk; a returned promise asks the sender to wait. */
  write(chunk: Buffer): void | Promise<void>;
  readonly byteSize: number;
  /** The file is whole and in its place; whoever tells anybody waits for `durable` first. */
  finish(): Promise<StoredFile>;
  /** After it, or after a failed finish(), no file is left. */
  abort(): Promise<void>;
}
/** `digestFrom`: how many bytes at the beginning are not the sender's. */
export interface Places { readonly temporary: string; readonly location: string; readonly directory: string; readonly final: string; readonly digestFrom: number | undefined }

const openFile = promisify(open);
const dataSync = promisify(fdatasync);
const writeVector = promisify(writev);

export class DiskWriter implements FileWriter {
  byteSize = 0;
  readonly #places: Places;
  readonly #directories: DirectorySync;
  /** Opened while the first bytes arrive, off this thread: the file system may be busy with its journal just then. */
  readonly #opening: Promise<number>;
  #isWrittenTo = false;
  #held = new Slabs();
  #inFlightBytes = 0;
  #unsyncedBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #syncing: Promise<void> | undefined;
  readonly #digest = new LargeDigest();
  #undigested: number;
  #failure: Error | undefined;
  /** Finished or given up: the descriptor is no longer this writer's to close. */
  #over = false;

  constructor(places: Places, directories: DirectorySync) {
    this.#places = places;
    this.#directories = directories;
    this.#undigested = places.digestFrom ?? 0;
    this.#opening = openFile(places.temporary, 'wx');
    this.#opening.catch((error: Error) => { this.#failure ??= error; });
  }

  write(chunk: Buffer): void | Promise<void> {
    if (this.#failure) throw this.#failure;
    this.#held.add(chunk);
    this.byteSize += chunk.length;
    if (this.#places.digestFrom !== undefined) this.#digestFull(this.#held.takeFull());
    if (this.#held.byteLength >= WRITE_THROUGH_BYTES) this.#flush();
    if (this.#held.byteLength + this.#inFlightBytes > BACKPRESSURE_BYTES) return this.#writing;
  }

  #flush(): void {
    const held = this.#held;
    const bytes = held.byteLength;
    if (bytes === 0) return;
    this.#held = new Slabs();
    this.#inFlightBytes += bytes;
    this.#isWrittenTo = true;
    if (this.#places.digestFrom !== undefined) this.#digestFull(held.takeRest());
    const digested = this.#digest.read();
    digested.catch(() => {});
    this.#writing = this.#writing.then(async () => {
      const descriptor = await this.#opening;
      await writeAll(descriptor, held.buffers());
      this.#unsyncedBytes += bytes;
      if (this.#unsyncedBytes >= SYNC_EVERY_BYTES) await this.#syncOnTheWay(descriptor);
      await digested;
    }).catch((error: Error) => {
      this.#failure ??= error;
      throw error;
    }).finally(() => {
      this.#inFlightBytes -= bytes;
      held.release();
    });
    this.#writing.catch(() => {});
  }

  /** Beside the next writes, one at a time. */
  async #syncOnTheWay(descriptor: number): Promise<void> {
    await this.#syncing;
    this.#unsyncedBytes = 0;
    this.#syncing = dataSync(descriptor);
    this.#syncing.catch((error: Error) => { this.#failure ??= error; });
  }

  #digestFull(buffers: readonly Buffer[]): void {
    if (buffers.length > 0) this.#digest.add(this.#toDigest(buffers));
  }

  #toDigest(buffers: readonly Buffer[]): readonly Buffer[] {
    const skipped = this.#undigested;
    this.#undigested = 0;
    return skipped === 0 ? buffers : [buffers[0]!.subarray(skipped), ...buffers.slice(1)];
  }

  async finish(): Promise<StoredFile> {
    const { directory } = this.#places;
    try {
      const made = this.#directories.ensure(directory);
      const descriptor = await this.#opening;
      if (this.#failure) throw this.#failure;
      const sha256 = this.#isWrittenTo ? this.#writeRest() : this.#writeSmall(descriptor);
      sha256.catch(() => {});
      await this.#writing;
      await this.#syncing;
      await made;
      failpoint('store.beforeRename');
      renameSync(this.#places.temporary, this.#places.final);
      this.#over = true;
      const durable = this.#durable(descriptor, directory);
      durable.catch(() => {});
      return { location: this.#places.location, byteSize: this.byteSize, sha256: await sha256, durable };
    } catch (error) {
      await this.abort();
      await rm(this.#places.final, { force: true });
      throw error;
    }
  }

  /** After a failed fsync the file is removed and never synced again: a second fsync may report success for pages that were dropped. */
  async #durable(descriptor: number, directory: string): Promise<void> {
    failpoint('store.beforeFsync');
    const synced = dataSync(descriptor).finally(() => { closeSync(descriptor); }).then(() => { failpoint('store.afterFsync'); });
    const results = await Promise.allSettled([synced, this.#directories.sync(directory)]);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) {
      await rm(this.#places.final, { force: true });
      throw failed.reason as Error;
    }
    failpoint('store.afterDirectoryFsync');
  }

  /**
   * An object that never left memory: written on this thread, because its bytes go to the page cache in less time than handing them to the
   * thread pool takes; only the sync is waited for elsewhere. Dirty pages stay few, each file being synced at once.
   */
  #writeSmall(descriptor: number): Promise<string> {
    const held = this.#held;
    const sha256 = this.#digest.isBegun ? this.#digest.end(held.takeRest()) : undefined;
    sha256?.catch(() => {});
    writeAllSync(descriptor, held.buffers());
    if (sha256 !== undefined) return sha256.finally(() => { held.release(); });
    const own = this.#places.digestFrom === undefined ? '' : digestOf(this.#toDigest(held.buffers()));
    held.release();
    return Promise.resolve(own);
  }

  #writeRest(): Promise<string> {
    this.#flush();
    return this.#places.digestFrom === undefined ? Promise.resolve('') : this.#digest.end([]);
  }

  async abort(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#failure ??= new Error('the object was given up');
    await this.#writing.catch(() => {});
    await this.#syncing?.catch(() => {});
    this.#digest.abandon();
    this.#held.release();
    await this.#opening.then(closeSync).catch(() => {});
    await unlink(this.#places.temporary).catch(() => {});
  }
}

async function writeAll(descriptor: number, chunks: readonly Buffer[]): Promise<void> {
  let rest = chunks;
  while (rest.length > 0) rest = after(rest, (await writeVector(descriptor, rest.slice(0, MOST_BUFFERS))).bytesWritten);
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
