/** Pixel Data as a dataset in Explicit VR Little Endian ends with them: the element itself, and nothing that stands behind it (padding, signatures, private groups). */
import type { Encoding } from '../elements.ts';
import { swapped } from '../dataset-copy.ts';
import { isLongVr, tagAt } from '../elements.ts';
import { tags } from '../tag.ts';

const undefinedLength = 0xffffffff;

/** @param start where Pixel Data begin. Undefined: they cannot be read to their end. */
export function pixelTail(bytes: Buffer, start: number, { explicitVr, littleEndian }: Encoding, isWords: boolean): Buffer | undefined {
  if (bytes.length < start + 12 || tagAt(bytes, start, littleEndian) !== tags.pixelData) return undefined;
  const vr = explicitVr ? bytes.toString('latin1', start + 4, start + 6) : isWords ? 'OW' : 'OB';
  const isLong = explicitVr && isLongVr(vr);
  const lengthAt = isLong ? start + 8 : start + 4;
  const length = littleEndian ? bytes.readUInt32LE(lengthAt) : bytes.readUInt32BE(lengthAt);
  const valueAt = lengthAt + 4;
  const end = length === undefinedLength ? endOfFragments(bytes, valueAt) : valueAt + length;
  if (end === undefined || end > bytes.length) return undefined;
  const head = Buffer.from([0xe0, 0x7f, 0x10, 0, 0x4f, vr === 'OB' ? 0x42 : 0x57, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32LE(length, 8);
  return Buffer.concat([head, littleEndian ? bytes.subarray(valueAt, end) : swapped(bytes.subarray(valueAt, end), vr === 'OB' ? 1 : 2)]);
}

/** Behind the Sequence Delimitation Item. */
function endOfFragments(bytes: Buffer, start: number): number | undefined {
  for (let at = start; at + 8 <= bytes.length;) {
    const tag = tagAt(bytes, at, true);
    if (tag === tags.sequenceDelimitation) return at + 8;
    if (tag !== tags.item) return undefined;
    at += 8 + bytes.readUInt32LE(at + 4);
  }
  return undefined;
}
