import { isLongVr } from './elements.ts';
import { detectEncoding } from './part10.ts';
import { tags } from './tag.ts';
import { transferSyntaxOf } from './transfer-syntaxes.ts';

/**
 * Keeps the first bytes of a data set while it passes: up to Pixel Data, or `mostDatasetBytes` when that comes first. It steps from
 * element to element by their lengths (PS3.5 7.1) and reads no value. What stops the steps - nonsense, a deflated data set - makes
 * the head longer, never shorter than it has to be for a reader.
 */
export const mostDatasetBytes = 1024 * 1024;
const undefinedLength = 0xffffffff;
const longestElementHeader = 12;
const firstCapacity = 16 * 1024;

export class DatasetHead {
  readonly #transferSyntaxUid: string;
  readonly #datasetOffset: number;
  readonly #most: number;
  #bytes: Buffer;
  #filled: number;
  #complete = false;
  #stoppedAt: number | undefined;
  /** Offset of the next element; may lie beyond what was kept so far. */
  #next: number;
  #explicitVr: boolean | undefined;
  #littleEndian = true;
  /** One entry for each open sequence or item of undefined length: whether its parent was written with explicit VR. */
  readonly #open: boolean[] = [];

  /**
   * @param prefix what stands before the data set in the file: preamble and group 0002
   * @param mostBytes of the data set that are kept
   */
  constructor(prefix: Buffer, transferSyntaxUid: string, mostBytes = mostDatasetBytes) {
    this.#transferSyntaxUid = transferSyntaxUid;
    this.#datasetOffset = this.#next = this.#filled = prefix.length;
    this.#most = prefix.length + mostBytes;
    this.#bytes = Buffer.allocUnsafe(Math.min(this.#most, Math.max(firstCapacity, prefix.length + 1)));
    prefix.copy(this.#bytes);
    if (transferSyntaxOf(transferSyntaxUid).deflated) this.#next = Infinity;
  }

  /** Prefix and data set as far as kept; valid for as long as it is held. */
  bytes(): Buffer { return this.#bytes.subarray(0, this.#filled); }

  /** True: Pixel Data or the limit was reached, no further byte is kept. */
  get isComplete(): boolean { return this.#complete; }
  /** The tag that stands where the bytes end: Pixel Data, or what comes with or after them. Undefined when the data set or the limit ended it. */
  get stoppedAt(): number | undefined { return this.#stoppedAt; }

  /** By pieces: of a fragment that holds a whole image the header alone is copied, and no room is made for the rest. */
  add(fragment: Buffer): void {
    for (let from = 0; from < fragment.length && !this.#complete;) {
      if (this.#filled === this.#bytes.length) this.#grow();
      const copied = fragment.copy(this.#bytes, this.#filled, from);
      from += copied;
      this.#filled += copied;
      if (this.#stepToPixelData()) { this.#complete = true; this.#filled = this.#next; }
      else if (this.#filled === this.#most) this.#complete = true;
    }
  }

  #grow(): void {
    const grown = Buffer.allocUnsafe(Math.min(this.#most, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#filled);
    this.#bytes = grown;
  }

  #stepToPixelData(): boolean {
    while (this.#next + longestElementHeader <= this.#filled) {
      this.#explicitVr ??= this.#detectEncoding();
      const at = this.#next;
      const group = this.#uint16(at), element = this.#uint16(at + 2);
      if (this.#open.length === 0 && (group > 0x7fe0 || (group === 0x7fe0 && element > 0)) && group !== 0xfffe) { this.#stoppedAt = group * 0x10000 + element; return true; }
      this.#step(at, group, element);
    }
    return false;
  }

  #step(at: number, group: number, element: number): void {
    if (group === 0xfffe) {
      const length = this.#uint32(at + 4);
      this.#next = at + 8;
      if (element !== (tags.item & 0xffff)) this.#explicitVr = this.#open.pop() ?? this.#explicitVr;
      else if (length === undefinedLength) this.#enter();
      else this.#next += length;
      return;
    }
    const vr = this.#explicitVr ? this.#bytes.toString('latin1', at + 4, at + 6) : '';
    const isLong = this.#explicitVr && (isLongVr(vr) || !/^[A-Z]{2}$/.test(vr));
    const length = this.#explicitVr && !isLong ? this.#uint16(at + 6) : this.#uint32(at + (isLong ? 8 : 4));
    this.#next = at + (isLong ? 12 : 8);
    if (length !== undefinedLength) { this.#next += length; return; }
    this.#enter();
    if (vr === 'UN') this.#explicitVr = false; // PS3.5 6.2.2 note 2: what UN of undefined length holds is Implicit VR
  }
  #enter(): void { this.#open.push(this.#explicitVr ?? true); }

  #detectEncoding(): boolean {
    const { explicitVr, littleEndian } = detectEncoding(this.bytes(), this.#datasetOffset, this.#transferSyntaxUid, []);
    this.#littleEndian = littleEndian;
    return explicitVr;
  }
  #uint16(at: number): number { return this.#littleEndian ? this.#bytes.readUInt16LE(at) : this.#bytes.readUInt16BE(at); }
  #uint32(at: number): number { return this.#littleEndian ? this.#bytes.readUInt32LE(at) : this.#bytes.readUInt32BE(at); }
}
