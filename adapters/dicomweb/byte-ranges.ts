/** Reading parts of a stored data set, which is only to be had as a stream from its beginning: what stands before is passed over. */
import type { Readable } from 'node:stream';

export interface ByteRange { readonly start: number; readonly byteLength: number }

/** A stream read in pieces of the reader's choice. */
export class ByteSource {
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);
  position = 0;

  constructor(stream: Readable) {
    this.#stream = stream;
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done === true) return false;
    this.#held = this.#held.length === 0 ? value : Buffer.concat([this.#held, value]);
    return true;
  }

  /** Exactly so many bytes, or fewer at the end. For small pieces. */
  async read(byteLength: number): Promise<Buffer> {
    while (this.#held.length < byteLength && await this.#more()) { /* more */ }
    const piece = this.#held.subarray(0, byteLength);
    this.#held = this.#held.subarray(piece.length);
    this.position += piece.length;
    return piece;
  }

  /** The next so many bytes as they come, or fewer at the end. */
  async *take(byteLength: number): AsyncGenerator<Buffer> {
    for (let left = byteLength; left > 0;) {
      if (this.#held.length === 0 && !await this.#more()) return;
      const piece = this.#held.subarray(0, left);
      this.#held = this.#held.subarray(piece.length);
      this.position += piece.length;
      left -= piece.length;
      yield piece;
    }
  }

  async skipTo(position: number): Promise<void> {
    for await (const _bytes of this.take(position - this.position)) { /* passed over */ }
  }

  close(): void { this.#stream.destroy(); }
}

/** The data set ended where more of it was promised: the stored object is cut. */
export class CutShortError extends Error {
  constructor() {
    super('the stored object ends inside its Pixel Data');
    this.name = 'CutShortError';
  }
}

/** Reads ranges in any order; going back opens the data set anew. Close it. */
export class RangeReader {
  readonly #open: () => Readable;
  #source: ByteSource | undefined;

  constructor(open: () => Readable) { this.#open = open; }

  async *bytes(ranges: readonly ByteRange[]): AsyncGenerator<Buffer> {
    for (const { start, byteLength } of ranges) {
      if (this.#source === undefined || this.#source.position > start) {
        this.#source?.close();
        this.#source = new ByteSource(this.#open());
      }
      await this.#source.skipTo(start);
      yield* this.#source.take(byteLength);
      if (this.#source.position !== start + byteLength) throw new CutShortError();
    }
  }

  close(): void { this.#source?.close(); }
}
