import { closeSync, fsync, openSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const sync = promisify(fsync);
/** Directories that stay open: the hours in use, and a few behind. */
const MOST_OPEN = 16;

interface OpenDirectory { readonly descriptor: number; running: Promise<void> | undefined; next: Promise<void> | undefined }

/** fsync of directories, shared: callers that arrive while one sync runs wait for the next one together. */
export class DirectorySync {
  readonly #made = new Map<string, Promise<OpenDirectory>>();

  /** Creates the directory, makes every new level durable in its parent, and keeps it open. */
  ensure(directory: string): Promise<unknown> {
    let made = this.#made.get(directory);
    if (!made) {
      made = create(directory).then(() => ({ descriptor: openSync(directory, 'r'), running: undefined, next: undefined }));
      this.#made.set(directory, made);
      made.catch(() => this.#made.delete(directory));
      if (this.#made.size > MOST_OPEN) this.#close(this.#made.keys().next().value!);
    }
    return made;
  }

  /** Resolves when every entry that the directory held at the call is durable. */
  async sync(directory: string): Promise<void> {
    const entry = await this.#made.get(directory);
    if (!entry) return syncDirectory(directory);
    if (!entry.running) return this.#start(entry);
    entry.next ??= entry.running.catch(() => {}).then(() => {
      entry.next = undefined;
      return this.#start(entry);
    });
    return entry.next;
  }

  #start(entry: OpenDirectory): Promise<void> {
    const running = sync(entry.descriptor).finally(() => { if (entry.running === running) entry.running = undefined; });
    entry.running = running;
    return running;
  }

  #close(directory: string): void {
    const made = this.#made.get(directory)!;
    this.#made.delete(directory);
    const close = (entry: OpenDirectory): unknown => {
      const last = entry.next ?? entry.running;
      return last ? last.catch(() => {}).then(() => close(entry)) : closeSync(entry.descriptor);
    };
    void made.then(close, () => {});
  }
}

async function create(directory: string): Promise<void> {
  let first = await mkdir(directory, { recursive: true });
  while (first !== undefined && first.length <= directory.length) {
    await syncDirectory(path.dirname(first));
    if (first === directory) break;
    first = path.join(first, path.relative(first, directory).split(path.sep)[0]!);
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
