/**
 * MLLP block format (HL7 v2 Transport: MLLP Release 1): <VT> message <FS><CR>. Bytes of a TCP stream go in as they come, in any chunks;
 * whole messages come out. A lone FS is data. Bytes between frames are skipped and counted; an FS without its CR is taken as the
 * end when the next frame begins, or when nothing follows (endBare). Chunks are kept in a list and joined once: no message costs more than its length.
 */
const startBlock = 0x0b;
const endBlock = 0x1c;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;

/** The size of the largest message Google's and most engines take; parsing is linear, so the cap is for memory. */
export const maximumFrameBytes = 10 * 1024 * 1024;

/** A Buffer object and its allocation: a sender of single bytes takes far more memory than it sends. */
const chunkBytes = 256;
/** Enough to tell what the peer speaks. */
const mostStrayHead = 64;

export class FrameTooLargeError extends Error {
  /** The first bytes of the frame, for the record of the refusal. */
  readonly head: Buffer;
  readonly byteSize: number;
  constructor(limit: number, head: Buffer, byteSize: number) {
    super(`The MLLP frame is larger than ${limit} bytes`);
    this.name = 'FrameTooLargeError'; this.head = head; this.byteSize = byteSize;
  }
}

export class MllpDecoder {
  readonly #limit: () => number;
  #parts: Buffer[] = [];
  #size = 0;
  #inFrame = false;
  #endBlockSeen = false;
  #outside = 0;
  /** How long the unfinished frame is if it ends with the last FS LF in it. */
  #lineEndAt = -1;
  #endsSegment = false;
  #strayHead = Buffer.alloc(0);
  #frames = 0;
  /** A limit that may change while the connection lasts is given as a function. */
  constructor(limit: number | (() => number) = maximumFrameBytes) { this.#limit = typeof limit === 'number' ? () => limit : limit; }

  /** A frame has begun and not ended. */
  get inFrame(): boolean { return this.#inFrame; }
  /** What the unfinished frame needs in memory: its bytes, and what every chunk costs that it came in. */
  get heldBytes(): number { return this.#size + this.#parts.length * chunkBytes; }
  get bytesOutsideFrames(): number { return this.#outside; }
  /** What a peer began with that has sent no frame so far: its first bytes, without the line ends before them. */
  get strayHead(): Buffer | undefined { return this.#frames === 0 && !this.#inFrame && this.#strayHead.length > 0 ? this.#strayHead : undefined; }
  /** The unfinished frame would be whole if this were its end: after it came FS alone, or FS LF. */
  get mayBeBareEnd(): boolean { return this.#inFrame && (this.#endBlockSeen || this.#size === this.#lineEndAt); }

  /** Before the last FS a segment was whole. Where it was not, FS may be a character of a value, whose rest is late. */
  get endsSegment(): boolean { return this.#endsSegment; }

  /** Takes what is there as the message. For when mayBeBareEnd and nothing follows. */
  endBare(): Buffer {
    const isLineEnd = !this.#endBlockSeen, message = this.#finish();
    return isLineEnd ? message.subarray(0, -2) : message;
  }

  /** Returns the messages that this chunk completes. Throws FrameTooLargeError; the decoder is of no use afterwards. */
  push(chunk: Buffer): Buffer[] {
    const messages: Buffer[] = [];
    let at = 0;
    while (at < chunk.length) at = this.#inFrame ? this.#inside(chunk, at, messages) : this.#between(chunk, at);
    return messages;
  }

  #between(chunk: Buffer, at: number): number {
    const start = chunk.indexOf(startBlock, at);
    const end = start < 0 ? chunk.length : start, wasOutside = this.#outside;
    for (let index = at; index < end; index++) {
      if (chunk[index] === carriageReturn || chunk[index] === lineFeed) continue;
      if (this.#outside === 0) this.#strayHead = Buffer.from(chunk.subarray(index, Math.min(end, index + mostStrayHead)));
      this.#outside++;
    }
    if (this.#frames === 0 && end > at && wasOutside > 0 && this.#strayHead.length < mostStrayHead) this.#strayHead = Buffer.concat([this.#strayHead, chunk.subarray(at, Math.min(end, at + mostStrayHead))]);
    if (start < 0) return chunk.length;
    this.#inFrame = true;
    return start + 1;
  }

  #inside(chunk: Buffer, at: number, messages: Buffer[]): number {
    if (this.#endBlockSeen) {
      this.#endBlockSeen = false;
      if (chunk[at] === carriageReturn) { messages.push(this.#finish()); return at + 1; }
      if (chunk[at] === startBlock) { messages.push(this.#finish()); return at; }
      this.#add(Buffer.of(endBlock));
      if (chunk[at] === lineFeed) this.#lineEndAt = this.#size + 1;
    }
    const end = chunk.indexOf(endBlock, at);
    this.#add(chunk.subarray(at, end < 0 ? undefined : end));
    if (end < 0) return chunk.length;
    this.#endBlockSeen = true;
    const last = this.#parts.at(-1)?.at(-1);
    this.#endsSegment = last === carriageReturn || last === lineFeed;
    return end + 1;
  }

  #add(part: Buffer): void {
    if (part.length === 0) return;
    this.#parts.push(part);
    this.#size += part.length;
    const limit = this.#limit();
    if (this.#size <= limit) return;
    const error = new FrameTooLargeError(limit, Buffer.concat(this.#parts, Math.min(this.#size, 4096)), this.#size);
    this.#parts = []; this.#size = 0;
    throw error;
  }

  #finish(): Buffer {
    const message = this.#parts.length === 1 && this.#parts[0] ? this.#parts[0] : Buffer.concat(this.#parts, this.#size);
    this.#parts = []; this.#size = 0; this.#inFrame = false; this.#endBlockSeen = false; this.#lineEndAt = -1;
    this.#frames++;
    return message;
  }
}

/** A message as a block on the wire. */
export function frame(message: Buffer): Buffer {
  return Buffer.concat([Buffer.of(startBlock), message, Buffer.of(endBlock, carriageReturn)]);
}
