/**
 * multipart/related taken apart while it arrives (RFC 2046 5.1, RFC 2387). In: the chunks of a body, cut anywhere. Out: part after part,
 * each with its headers and its bytes as they pass; of the bytes never more than one chunk and a delimiter's length is held.
 *
 *   [preamble] --boundary CRLF headers CRLF CRLF bytes CRLF --boundary ... CRLF --boundary-- [epilogue]
 *
 * Every byte is looked at once. A line that begins with the boundary but is no delimiter is an error and not data: whoever lets its
 * boundary occur inside a part has cut the part, and what is stored must be whole.
 */
export class MultipartError extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'MultipartError';
  }
}

export interface MultipartLimits { readonly headBytes: number; readonly parts: number; readonly preambleBytes: number }
export const defaultLimits: MultipartLimits = { headBytes: 8 * 1024, parts: 10_000, preambleBytes: 8 * 1024 };

/** Names in lower case. */
export type PartHeaders = Readonly<Record<string, string>>;

const lineEnd = Buffer.from('\r\n');
const endOfHead = Buffer.from('\r\n\r\n');
const mostPadding = 256;

/** RFC 2046 5.1.1: characters of a small set, the last no blank. At most 70, says the standard; Orthanc takes 73. */
export function isBoundary(text: string | undefined): text is string {
  return text !== undefined && /^[0-9A-Za-z'()+_,\-./:=? ]{0,199}[0-9A-Za-z'()+_,\-./:=?]$/.test(text);
}

export class MultipartReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #delimiter: Buffer;
  readonly #limits: MultipartLimits;
  /** What came and was not handed on. Begins, before the first delimiter, with a line end that nobody sent: then every delimiter has one. */
  #held: Buffer = lineEnd;
  #parts = 0;
  #isInPart = false;
  #isFirst = true;
  #isClosed = false;

  constructor(body: AsyncIterable<Uint8Array>, boundary: string, limits: MultipartLimits = defaultLimits) {
    this.#chunks = body[Symbol.asyncIterator]();
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
    this.#limits = limits;
  }

  /** The headers of the next part, undefined behind the last one. What is left of the part before is passed over. Throws MultipartError. */
  async next(): Promise<PartHeaders | undefined> {
    if (this.#isClosed) return undefined;
    if (this.#isFirst) await this.#skipPreamble();
    else if (this.#isInPart) for await (const _bytes of this.bytes()) { /* passed over */ }
    this.#isFirst = false;
    if (await this.#isLastDelimiter()) {
      this.#isClosed = true;
      return undefined;
    }
    this.#parts += 1;
    if (this.#parts > this.#limits.parts) throw new MultipartError(`the request has more than ${this.#limits.parts} parts`);
    const headers = await this.#readHead();
    this.#isInPart = true;
    return headers;
  }

  /** The bytes of the part whose headers next() gave, once. Throws MultipartError when the body ends inside. */
  async *bytes(): AsyncGenerator<Buffer> {
    let toDrop = lineEnd.length; // the line end of the head, kept so that a delimiter may follow at once
    while (this.#isInPart) {
      const { before, isDelimiter } = await this.#upToDelimiter();
      const dropped = Math.min(toDrop, before.length);
      toDrop -= dropped;
      if (isDelimiter) this.#isInPart = false;
      if (before.length > dropped) yield before.subarray(dropped);
    }
  }

  /** Tells the sender's stream that nothing more will be read. */
  async cancel(): Promise<void> {
    this.#isClosed = true;
    await this.#chunks.return?.().catch(() => undefined);
  }

  async #skipPreamble(): Promise<void> {
    for (let skipped = 0; ;) {
      const { before, isDelimiter } = await this.#upToDelimiter();
      skipped += before.length;
      if (isDelimiter) return;
      if (skipped > this.#limits.preambleBytes) throw new MultipartError('the boundary of the Content-Type does not occur at the beginning of the body');
    }
  }

  /** Bytes that surely stand before the next delimiter; at least one, or the delimiter was met and taken away. */
  async #upToDelimiter(): Promise<{ before: Buffer; isDelimiter: boolean }> {
    for (;;) {
      const at = this.#held.indexOf(this.#delimiter);
      if (at >= 0) {
        const before = this.#held.subarray(0, at);
        this.#held = this.#held.subarray(at + this.#delimiter.length);
        return { before, isDelimiter: true };
      }
      const sure = this.#held.length - this.#delimiter.length + 1;
      if (sure > 0) {
        const before = this.#held.subarray(0, sure);
        this.#held = this.#held.subarray(sure);
        return { before, isDelimiter: false };
      }
      await this.#more('the body ends before its last boundary');
    }
  }

  /** Behind a delimiter: '--' for the last, else blanks and a line end, which stays for the head (RFC 2046 5.1.1). */
  async #isLastDelimiter(): Promise<boolean> {
    while (this.#held.length < 2) await this.#more('the body ends before its last boundary');
    if (this.#held.toString('latin1', 0, 2) === '--') return true;
    for (let at = 0; at <= mostPadding; at += 1) {
      while (this.#held.length < at + 2) await this.#more('the body ends before its last boundary');
      if (this.#held[at] === 0x20 || this.#held[at] === 0x09) continue;
      if (this.#held[at] !== 0x0d || this.#held[at + 1] !== 0x0a) break;
      this.#held = this.#held.subarray(at);
      return false;
    }
    throw new MultipartError('the boundary occurs inside a part; choose one that does not');
  }

  /** From the line end of the delimiter to the empty line, whose own line end stays. */
  async #readHead(): Promise<PartHeaders> {
    for (let searched = 0; ;) {
      const at = this.#held.indexOf(endOfHead, searched);
      if (at > this.#limits.headBytes || (at < 0 && this.#held.length > this.#limits.headBytes + endOfHead.length)) throw new MultipartError(`the headers of a part have more than ${this.#limits.headBytes} bytes`);
      if (at >= 0) {
        const head = this.#held.toString('latin1', 0, at);
        this.#held = this.#held.subarray(at + lineEnd.length);
        return parseHeaders(head);
      }
      searched = Math.max(0, this.#held.length - endOfHead.length + 1);
      await this.#more('the body ends inside the headers of a part');
    }
  }

  async #more(atEnd: string): Promise<void> {
    const { value, done } = await this.#chunks.next();
    if (done === true) throw new MultipartError(atEnd);
    const chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
  }
}

function parseHeaders(head: string): PartHeaders {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of head.replaceAll(/\r\n[ \t]+/g, ' ').split('\r\n').slice(1)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    if (colon < 1 || !/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name)) throw new MultipartError('a part has a header line that is none');
    headers[name] ??= line.slice(colon + 1).trim();
  }
  return headers;
}
