/** A DICOM file taken apart as far as sending needs: the UIDs of its File Meta Information, and the dataset's bytes as they are. */
import { readFile } from 'node:fs/promises';

export interface SendableObject {
  readonly sopClassUid: string; readonly sopInstanceUid: string; readonly transferSyntaxUid: string;
  readonly dataset: Buffer;
}

/** undefined when it is not a DICOM file (PS3.10) with the three UIDs. */
export async function readPart10File(path: string): Promise<SendableObject | undefined> {
  return takeApart(await readFile(path));
}

export function takeApart(bytes: Buffer): SendableObject | undefined {
  if (bytes.length < 144 || bytes.toString('latin1', 128, 132) !== 'DICM') return undefined;
  if (bytes.readUInt32LE(132) !== 0x0000_0002) return undefined;
  const end = 144 + bytes.readUInt32LE(140);
  if (end > bytes.length) return undefined;
  const meta = metaElements(bytes, end);
  const sopClassUid = meta.get(0x0002), sopInstanceUid = meta.get(0x0003), transferSyntaxUid = meta.get(0x0010);
  if (sopClassUid === undefined || sopInstanceUid === undefined || transferSyntaxUid === undefined) return undefined;
  return { sopClassUid, sopInstanceUid, transferSyntaxUid, dataset: bytes.subarray(end) };
}

/** Group 0002, element number -> text; Explicit VR Little Endian always (PS3.10 7.1). */
function metaElements(bytes: Buffer, end: number): Map<number, string> {
  const elements = new Map<number, string>();
  let offset = 144;
  while (offset + 8 <= end && bytes.readUInt16LE(offset) === 0x0002) {
    const isLong = ['OB', 'OW', 'UN', 'SQ', 'UT'].includes(bytes.toString('latin1', offset + 4, offset + 6));
    if (isLong && offset + 12 > end) break;
    const length = isLong ? bytes.readUInt32LE(offset + 8) : bytes.readUInt16LE(offset + 6);
    const value = offset + (isLong ? 12 : 8);
    elements.set(bytes.readUInt16LE(offset + 2), bytes.toString('latin1', value, Math.min(end, value + length)).replace(/[\0 ]+$/, ''));
    offset = value + length;
  }
  return elements;
}
