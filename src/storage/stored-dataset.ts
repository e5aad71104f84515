import { open, type FileHandle } from 'node:fs/promises';

const CHUNK_BYTES = 256 << 10;

/** A file from `start` on: into the reader's own memory (a study that leaves makes no garbage), or as chunks of its own. */
export class FileDataset implements AsyncIterable<Buffer> {
  readonly #handle: FileHandle;
  #at: number;

  private constructor(handle: FileHandle, start: number) {
    this.#handle = handle;
    this.#at = start;
  }

  static async open(file: string, start: number): Promise<FileDataset> { return new FileDataset(await open(file), start); }

  async read(into: Buffer): Promise<number> {
    const { bytesRead } = await this.#handle.read(into, 0, into.length, this.#at);
    this.#at += bytesRead;
    return bytesRead;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const byteLength = await this.read(chunk);
      if (byteLength === 0) return;
      yield chunk.subarray(0, byteLength);
    }
  }

  close(): Promise<void> { return this.#handle.close(); }
}
