import { PduType } from './pdu.ts';

const headLength = 12;
const [moreFollows, lastFragment] = [0b00, 0b10];
const mostSpare = 16;

/**
 * Cuts a data set into P-DATA-TF PDUs as large as the peer takes, however it comes in: one PDV each (PS3.8 9.3.5). Bytes are read or copied into the PDU
 * itself; a full one is held until more comes, so that the last one can be marked. Buffers are given back when they are sent and used again:
 * a study that leaves would otherwise make garbage of its own size.
 */
export class DataPdus {
  readonly #fragmentLength: number;
  readonly #spare: Buffer[] = [];
  #contextId = 0;
  #held: Buffer | undefined;
  #pdu: Buffer | undefined;
  #filled = headLength;

  constructor(fragmentLength: number) { this.#fragmentLength = fragmentLength; }

  begin(contextId: number): void { [this.#contextId, this.#held, this.#pdu, this.#filled] = [contextId, undefined, undefined, headLength]; }

  /** Where the next bytes go: never empty. */
  space(): Buffer {
    this.#pdu ??= this.#spare.pop() ?? Buffer.allocUnsafeSlow(headLength + this.#fragmentLength);
    return this.#pdu.subarray(this.#filled);
  }

  /** So many bytes, at least one, are in `space()` now. Returns a PDU that is ready to be sent, if there is one. */
  filled(byteLength: number): Buffer | undefined {
    const ready = this.#held && this.#marked(this.#held, moreFollows);
    this.#held = undefined;
    this.#filled += byteLength;
    if (this.#pdu && this.#filled === this.#pdu.length) [this.#held, this.#pdu, this.#filled] = [this.#pdu, undefined, headLength];
    return ready;
  }

  * add(chunk: Buffer): Generator<Buffer> {
    for (let at = 0; at < chunk.length;) {
      const taken = chunk.copy(this.space(), 0, at);
      at += taken;
      const ready = this.filled(taken);
      if (ready) yield ready;
    }
  }

  /** The last PDU; an empty one when nothing came. */
  last(): Buffer {
    if (this.#held) return this.#marked(this.#held, lastFragment);
    this.space();
    return this.#marked(this.#pdu!.subarray(0, this.#filled), lastFragment);
  }

  /** The operating system has these bytes. */
  giveBack(pdu: Buffer): void {
    if (this.#spare.length < mostSpare) this.#spare.push(Buffer.from(pdu.buffer));
  }

  #marked(pdu: Buffer, flags: number): Buffer {
    pdu[0] = PduType.pDataTf;
    pdu[1] = 0;
    pdu.writeUInt32BE(pdu.length - 6, 2);
    pdu.writeUInt32BE(pdu.length - 10, 6);
    pdu[10] = this.#contextId;
    pdu[11] = flags;
    return pdu;
  }
}
