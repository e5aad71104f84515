/** MLLP (HL7 v2 transport, release 1): <VT> message <FS><CR>. The simulator's own, so that it does not share a mistake with the gateway. */
const VT = 0x0b, FS = 0x1c, CR = 0x0d;
const end = Buffer.from([FS, CR]);

export function frameMessage(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from([VT]), message, end]);
}

/** Takes bytes as they come and hands out whole messages; bytes between frames are dropped. */
export class FrameReader {
  #bytes: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): readonly Buffer[] {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    const messages: Buffer[] = [];
    for (;;) {
      const start = this.#bytes.indexOf(VT);
      if (start < 0) { this.#bytes = Buffer.alloc(0); return messages; }
      const stop = this.#bytes.indexOf(end, start + 1);
      if (stop < 0) { this.#bytes = this.#bytes.subarray(start); return messages; }
      messages.push(Buffer.from(this.#bytes.subarray(start + 1, stop)));
      this.#bytes = this.#bytes.subarray(stop + 2);
    }
  }
}
