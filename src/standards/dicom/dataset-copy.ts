/**
 * Elements that were read (elements.ts) back into bytes: Explicit VR Little Endian, tags ascending, values as they were but for the byte order,
 * sequences and items of defined length. What is in no dictionary stays UN. Used where a stored object leaves in another form than it came in.
 */
import { isLongVr, type DataElement, type Dataset } from './elements.ts';

/** Bytes of one value unit, for those VRs whose byte order shows. */
const unitBytes: Readonly<Record<string, number>> = { US: 2, SS: 2, OW: 2, AT: 2, UL: 4, SL: 4, FL: 4, OF: 4, OL: 4, FD: 8, OD: 8, UV: 8, SV: 8, OV: 8 };
const mostShortBytes = 0xfffe;

/** Group lengths (gggg,0000) are left out: they would be wrong (PS3.5 7.2 retired them). */
export function encodeElements(dataset: Dataset): Buffer {
  const elements = [...dataset.values()].filter(({ tag }) => (tag & 0xffff) !== 0).toSorted((one, other) => one.tag - other.tag);
  return Buffer.concat(elements.flatMap((element) => {
    const value = valueOf(element);
    return [headOf(element, value.length), value];
  }));
}

function valueOf(element: DataElement): Buffer {
  if (element.items !== undefined) return Buffer.concat(element.items.flatMap((item) => {
    const bytes = encodeElements(item);
    const head = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
    head.writeUInt32LE(bytes.length, 4);
    return [head, bytes];
  }));
  const bytes = element.littleEndian ? element.bytes : swapped(element.bytes, unitBytes[element.vr] ?? 1);
  return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from([/^(?:UI|OB|UN)$/.test(element.vr) ? 0 : 0x20])]);
}

/** A value too long for its VR's 16-bit length, as Implicit VR allows it, goes as UN (PS3.5 6.2.2). */
function headOf({ tag, vr, items }: DataElement, byteLength: number): Buffer {
  const written = items !== undefined ? 'SQ' : !isLongVr(vr) && byteLength > mostShortBytes ? 'UN' : vr;
  const head = Buffer.alloc(isLongVr(written) ? 12 : 8);
  head.writeUInt16LE(tag >>> 16, 0);
  head.writeUInt16LE(tag & 0xffff, 2);
  head.write(written, 4, 'latin1');
  if (isLongVr(written)) head.writeUInt32LE(byteLength, 8);
  else head.writeUInt16LE(byteLength, 6);
  return head;
}

/** Bytes that are no whole number of units stay as they are. */
export function swapped(bytes: Buffer, unit: number): Buffer {
  if (unit === 1 || bytes.length % unit !== 0) return bytes;
  const copy = Buffer.from(bytes);
  return unit === 2 ? copy.swap16() : unit === 4 ? copy.swap32() : copy.swap64();
}

/** One element with a value of its own, for a dataset that is copied with changes. */
export function elementOf(tag: number, vr: string, bytes: Buffer | string): DataElement {
  return { tag, vr, bytes: typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes, littleEndian: true };
}
export function unsignedShort(tag: number, value: number): DataElement {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return elementOf(tag, 'US', bytes);
}
