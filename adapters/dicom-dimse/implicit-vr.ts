import type { Dataset } from '#standards/dicom/elements.ts';
import { explicitLittleEndian, readElements } from '#standards/dicom/elements.ts';

const itemTag = 0xfffee000;

/**
 * A data set without Pixel Data from Explicit into Implicit VR Little Endian (PS3.5 A.1): values stay as they are, only the VRs go.
 * Throws RangeError when the data set cannot be read to its end, because what is left out would be lost.
 */
export function toImplicitVr(explicit: Buffer): Buffer {
  const read = readElements(explicit, 0, explicitLittleEndian, () => false);
  if (!read.complete) throw new RangeError(`the data set cannot be read beyond byte ${read.end}`);
  return encode(read.dataset);
}

function encode(dataset: Dataset): Buffer {
  return Buffer.concat([...dataset.values()].map(({ tag, bytes, items }) =>
    element(tag, items ? Buffer.concat(items.map((item) => element(itemTag, encode(item)))) : bytes)));
}

function element(tag: number, value: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(tag >>> 16, 0);
  head.writeUInt16LE(tag & 0xffff, 2);
  head.writeUInt32LE(value.length, 4);
  return Buffer.concat([head, value]);
}
