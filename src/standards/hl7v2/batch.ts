/**
 * What one frame holds: a message, several, or a batch (FHS BHS MSH.. BTS FTS, HL7 v2.5.1 ch. 2.10.3). Cut in bytes, because each message
 * names its own character set in MSH-18; a carriage return is never part of a multi-byte character in any set of table 0211.
 */
import { Hl7ParseError } from './parse.ts';

export interface FrameContent {
  readonly messages: readonly Buffer[];
  /** True when the frame opened with FHS or BHS: it is answered with a batch of acknowledgments. */
  readonly isBatch: boolean;
  readonly isFile: boolean;
  readonly batchCount: number;
  /** Sum of the BTS-1 counts, when every batch gave one. */
  readonly declaredCount: number | undefined;
}

const headers = new Set(['FHS', 'BHS', 'MSH', 'BTS', 'FTS']);

/** Throws Hl7ParseError when segments stand where no message is open or headers are out of order. */
export function splitFrame(bytes: Buffer): FrameContent {
  const cutter = new FrameCutter(bytes), lineEnd = lineEnds(bytes);
  for (let at = skipJunk(bytes); at < bytes.length;) {
    const end = lineEnd(at);
    cutter.line(at, end);
    at = end + 1;
  }
  return cutter.finish();
}

class FrameCutter {
  readonly #bytes: Buffer;
  readonly #messages: Buffer[] = [];
  #messageStart = -1;
  #file: 'none' | 'open' | 'closed' = 'none';
  #batch: 'none' | 'open' | 'closed' = 'none';
  #batchCount = 0;
  #declared: number | undefined = 0;
  constructor(bytes: Buffer) { this.#bytes = bytes; }

  line(start: number, end: number): void {
    const name = this.#bytes.toString('latin1', start, start + 3);
    // Wide characters (UTF-16) have zero bytes between letters: never a header here, so the frame stays one message.
    if (!headers.has(name) || isWordByte(this.#bytes[start + 3])) { if (end > start && this.#messageStart < 0) this.#outside(start, name); return; }
    if (name === 'MSH') { this.#close(start); this.#messageStart = start; return; }
    if (name === 'FHS' && (this.#file !== 'none' || this.#batch !== 'none' || this.#messageStart >= 0)) throw sequenceError(name);
    if (name === 'BHS' && (this.#batch === 'open' || (this.#batch === 'none' && this.#messageStart >= 0))) throw sequenceError(name);
    this.#close(start);
    if (name === 'FHS') this.#file = 'open';
    else if (name === 'BHS') { this.#batch = 'open'; this.#batchCount++; }
    else if (name === 'BTS') { this.#batch = 'closed'; this.#count(this.#bytes.toString('latin1', start + 4, Math.min(end, start + 14))); }
    else this.#file = 'closed';
  }

  finish(): FrameContent {
    this.#close(this.#bytes.length);
    if (this.#messages.length === 0) throw new Hl7ParseError(this.#batchCount > 0 ? 'The batch holds no message' : 'The frame holds no MSH segment', 'MSH');
    return {
      messages: this.#messages, isBatch: this.#batchCount > 0 || this.#file !== 'none', isFile: this.#file !== 'none',
      batchCount: this.#batchCount, declaredCount: this.#batchCount > 0 ? this.#declared : undefined,
    };
  }

  #outside(start: number, name: string): void {
    if (this.#messages.length === 0 && this.#batch === 'none' && this.#file === 'none' && isWide(this.#bytes)) { this.#messageStart = start; return; }
    throw new Hl7ParseError('A segment stands before MSH or outside a message', /^[A-Z][A-Z0-9]{2}$/.test(name) ? name : 'MSH');
  }

  #close(end: number): void {
    if (this.#messageStart >= 0) this.#messages.push(this.#bytes.subarray(this.#messageStart, end));
    this.#messageStart = -1;
  }

  #count(text: string): void {
    const match = /^\s*(\d+)/.exec(text);
    this.#declared = match && this.#declared !== undefined ? this.#declared + Number(match[1]) : undefined;
  }
}

function sequenceError(name: string): Hl7ParseError {
  return new Hl7ParseError(`${name} stands inside a batch or message that has not ended`, name);
}

function isWordByte(byte: number | undefined): boolean {
  return byte !== undefined && (byte === 0 || (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122));
}

function isWide(bytes: Buffer): boolean {
  return (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff) || bytes[0] === 0 || bytes[1] === 0;
}

/** White space, control characters and a UTF-8 byte order mark before the first segment. */
function skipJunk(bytes: Buffer): number {
  if (isWide(bytes)) return 0;
  let at = 0;
  while (at < bytes.length && ((bytes[at] ?? 0) <= 0x20 || bytes[at] === 0xef || bytes[at] === 0xbb || bytes[at] === 0xbf)) at++;
  return at;
}

/** Finds where lines end, from one to the next; each byte is looked at once for each of the two ends of line. */
function lineEnds(bytes: Buffer): (start: number) => number {
  let [carriageReturn, lineFeed] = [-1, -1];
  const next = (byte: number, known: number, start: number): number => {
    if (known >= start) return known;
    const at = bytes.indexOf(byte, start);
    return at < 0 ? bytes.length : at;
  };
  return (start) => {
    carriageReturn = next(0x0d, carriageReturn, start);
    lineFeed = next(0x0a, lineFeed, start);
    return Math.min(carriageReturn, lineFeed);
  };
}
