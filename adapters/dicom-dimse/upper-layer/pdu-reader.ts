import { InvalidPdu, PduType } from './pdu.ts';

/**
 * Cuts a TCP byte stream into PDUs and PDVs (PS3.8 9.3.1, 9.3.5), whatever the chunks look like. PDV data is handed on as slices of
 * the chunks that came from the socket: never reassembled, and only lent. All other PDUs are small and handed on whole.
 *
 *     chunk ... | 04 00 length | length id flags data data | length id flags da|   next chunk ...
 *                 header()       pdv()          fragment()   pdv()         fragment() ... fragment() endOfPdv()
 */
export interface PduConsumer {
  /** Called with the first six bytes of a PDU, before anything is buffered. Throws InvalidPdu when it may not come (now). */
  header(type: number, byteLength: number): void;
  /** A whole PDU that is not P-DATA-TF, header included; the buffer may be kept. */
  pdu(type: number, bytes: Buffer): void;
  pdv(contextId: number, isCommand: boolean, isLast: boolean): void;
  /** Lent for the call: what is kept is copied. */
  fragment(bytes: Buffer): void;
  endOfPdv(): void;
}

type Expectation = 'PDU header' | 'PDU body' | 'PDV header' | 'PDV data';

export class PduReader {
  readonly #consumer: PduConsumer;
  #expects: Expectation = 'PDU header';
  #unread: Buffer | undefined;
  #held = false;
  #running = false;
  #pdu: Buffer = Buffer.alloc(0);
  #pduFilled = 0;
  #pduLeft = 0;
  #pdvLeft = 0;

  constructor(consumer: PduConsumer) { this.#consumer = consumer; }

  get isHeld(): boolean { return this.#held; }
  /** Nothing more is handed on until `release`; called by the consumer at the end of a message, so that messages are served in order. */
  hold(): void { this.#held = true; }
  release(): void { this.#held = false; this.#run(); }

  /** Whether nothing refers to the chunk any more; never anything to a borrowed one. Throws InvalidPdu, or what the consumer throws; the stream is then lost and must be closed. */
  push(chunk: Buffer, isBorrowed = false): boolean {
    const isFirst = this.#unread === undefined;
    this.#unread = this.#unread ? Buffer.concat([this.#unread, chunk]) : chunk;
    this.#run();
    if (isFirst && this.#unread && (isBorrowed || !this.#held)) this.#unread = Buffer.from(this.#unread); // the beginning of a header
    return !isFirst || this.#unread?.buffer !== chunk.buffer;
  }

  #run(): void {
    if (this.#running) return; // release() from inside a callback: the loop below goes on by itself
    this.#running = true;
    try {
      while (!this.#held && this.#unread !== undefined) {
        const left = this.#step(this.#unread);
        if (left === undefined) break;
        this.#unread = left.length > 0 ? left : undefined;
      }
    } finally { this.#running = false; }
  }

  /** Consumes one piece of `bytes` and returns what is left, or undefined when a header is not complete yet. */
  #step(bytes: Buffer): Buffer | undefined {
    switch (this.#expects) {
      case 'PDU header': return bytes.length < 6 ? undefined : this.#pduHeader(bytes);
      case 'PDU body': return this.#pduBody(bytes);
      case 'PDV header': return bytes.length < 6 ? undefined : this.#pdvHeader(bytes);
      case 'PDV data': return this.#pdvData(bytes);
    }
  }

  #pduHeader(bytes: Buffer): Buffer {
    const type = bytes[0] ?? 0, byteLength = bytes.readUInt32BE(2);
    this.#consumer.header(type, byteLength);
    if (type === PduType.pDataTf) {
      if (byteLength < 6) throw new InvalidPdu('P-DATA-TF without a presentation data value');
      this.#pduLeft = byteLength;
      this.#expects = 'PDV header';
    } else {
      this.#pdu = Buffer.allocUnsafe(6 + byteLength);
      bytes.copy(this.#pdu, 0, 0, 6);
      this.#pduFilled = 6;
      this.#expects = 'PDU body';
      if (byteLength === 0) this.#endOfPdu();
    }
    return bytes.subarray(6);
  }

  #pduBody(bytes: Buffer): Buffer {
    const taken = bytes.copy(this.#pdu, this.#pduFilled);
    this.#pduFilled += taken;
    if (this.#pduFilled === this.#pdu.length) this.#endOfPdu();
    return bytes.subarray(taken);
  }

  #endOfPdu(): void {
    this.#expects = 'PDU header';
    this.#consumer.pdu(this.#pdu[0] ?? 0, this.#pdu);
  }

  #pdvHeader(bytes: Buffer): Buffer {
    const byteLength = bytes.readUInt32BE(0), flags = bytes[5] ?? 0;
    if (byteLength < 2 || byteLength + 4 > this.#pduLeft) throw new InvalidPdu(`PDV length ${byteLength} does not fit its PDU`);
    this.#pduLeft -= byteLength + 4;
    if (this.#pduLeft > 0 && this.#pduLeft < 6) throw new InvalidPdu(`${this.#pduLeft} bytes left over after the last PDV`);
    this.#pdvLeft = byteLength - 2;
    this.#consumer.pdv(bytes[4] ?? 0, (flags & 1) === 1, (flags & 2) === 2);
    this.#expects = 'PDV data';
    if (this.#pdvLeft === 0) this.#endOfPdv();
    return bytes.subarray(6);
  }

  #pdvData(bytes: Buffer): Buffer {
    const taken = Math.min(bytes.length, this.#pdvLeft);
    this.#pdvLeft -= taken;
    this.#consumer.fragment(taken === bytes.length ? bytes : bytes.subarray(0, taken));
    if (this.#pdvLeft === 0) this.#endOfPdv();
    return bytes.subarray(taken);
  }

  #endOfPdv(): void {
    this.#expects = this.#pduLeft > 0 ? 'PDV header' : 'PDU header';
    this.#consumer.endOfPdv();
  }
}
