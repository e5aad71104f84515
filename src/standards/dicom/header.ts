/**
 * The header of a DICOM object - everything before Pixel Data - out of the first bytes of its file or of its bare dataset.
 * All transfer syntaxes; bytes may be cut anywhere. Never throws, never allocates by a length that a sender wrote.
 */
import { inflateRawSync, inflateSync, constants } from 'node:zlib';
import { detectEncoding, parsePart10Head } from './part10.ts';
import type { Part10Head } from './part10.ts';
import { readElements } from './elements.ts';
import type { Dataset, ElementsRead } from './elements.ts';
import { tags } from './tag.ts';
import { transferSyntaxOf } from './transfer-syntaxes.ts';

export interface DicomHeader {
  readonly part10: Part10Head;
  /** Top-level elements before Pixel Data. */
  readonly dataset: Dataset;
  /** True: Pixel Data was reached, or the bytes end where an element ends. False: read more of the file, or it is cut or broken. */
  readonly complete: boolean;
  readonly hasPixelData: boolean;
  readonly warnings: readonly string[];
}

/** Pixel Data in its four forms, and everything behind it (PS3.5 8, PS3.3 C.7.6.3). */
function isPixelDataOrLater(tag: number): boolean {
  return tag >= tags.extendedOffsetTable;
}

/** @param hint transfer syntax known from elsewhere (the presentation context), used when the bytes do not name one. */
export function readHeader(head: Buffer, hint?: string): DicomHeader {
  const part10 = parsePart10Head(head, hint);
  const warnings = [...part10.warnings];
  const read = transferSyntaxOf(part10.transferSyntaxUid).deflated
    ? readDeflated(head.subarray(part10.datasetOffset), part10.transferSyntaxUid, warnings)
    : readElements(head, part10.datasetOffset, part10.encoding, isPixelDataOrLater);
  return {
    part10, dataset: read.dataset, complete: read.complete, warnings: [...warnings, ...read.warnings],
    hasPixelData: read.stoppedAt !== undefined && read.stoppedAt <= tags.pixelData,
  };
}

const smallestInflateInput = 4096;
/** A deflated header of more than this is refused, whatever it claims: 64 MB of zeros deflate to 64 KB. */
export const mostInflatedBytes = 16 * 1024 * 1024;

/** Inflates as little as the header needs: a prefix of the stream, doubled until Pixel Data shows or the stream or the cap ends. */
function readDeflated(stream: Buffer, transferSyntaxUid: string, warnings: string[]): ElementsRead {
  let best: ElementsRead = { dataset: new Map(), stoppedAt: undefined, complete: false, end: 0, warnings: ['the deflated dataset could not be inflated'] };
  for (let size = smallestInflateInput; ; size *= 2) {
    const inflated = inflatePrefix(stream.subarray(0, size));
    if (inflated === undefined) break;
    const ignored: string[] = [];
    best = readElements(inflated, 0, detectEncoding(inflated, 0, transferSyntaxUid, ignored), isPixelDataOrLater);
    if (best.stoppedAt !== undefined || size >= stream.length) return best;
  }
  warnings.push(`the deflated dataset is corrupt or its header inflates to more than ${mostInflatedBytes} bytes`);
  return { ...best, complete: false };
}

/** Raw deflate (PS3.5 A.5); with a zlib head as some writers send it. undefined: corrupt, or too large. */
function inflatePrefix(input: Buffer): Buffer | undefined {
  const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: mostInflatedBytes };
  for (const inflate of [inflateRawSync, inflateSync]) {
    try {
      return inflate(input, options);
    } catch { /* the other form is tried, then the caller warns */ }
  }
  return undefined;
}
