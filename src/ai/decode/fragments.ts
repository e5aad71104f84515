/**
 * Encapsulated Pixel Data (PS3.5 A.4) to one byte sequence per frame. Which fragments make a frame is told, in this order, by: there is only one
 * frame; one fragment each; the Extended Offset Table (7FE0,0001); the Basic Offset Table; the start marker at a fragment's head.
 */
import type { DataSet, Element } from 'dicom-parser';
import { AiError } from '../ai-error.ts';

interface Fragment { readonly offset: number; readonly bytes: Uint8Array }

export function encapsulatedFrames(dataset: DataSet, element: Element, numberOfFrames: number): Uint8Array[] {
  const [table, ...fragments] = readItems(dataset.byteArray as Uint8Array, element.dataOffset);
  if (table === undefined || fragments.length === 0) throw new AiError('input', '(7FE0,0010) Pixel Data holds no fragment.');
  if (numberOfFrames === 1) return [join(fragments)];
  if (fragments.length === numberOfFrames) return fragments.map((each) => each.bytes);
  const starts = extendedOffsets(dataset) ?? basicOffsets(table.bytes);
  const groups = groupAt(fragments, new Set(starts.length === numberOfFrames ? starts : fragments.filter(startsImage).map((each) => each.offset)));
  if (groups.length !== numberOfFrames) throw new AiError('input', `(7FE0,0010) Pixel Data has ${fragments.length} fragments that do not divide into (0028,0008) Number of Frames ${numberOfFrames}.`);
  return groups.map(join);
}

/** All items up to the delimiter; offsets count from the first item after the Basic Offset Table. A cut last item ends with the file. */
function readItems(bytes: Uint8Array, start: number): Fragment[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const items: Fragment[] = [];
  let origin = start;
  for (let at = start; at + 8 <= bytes.length && view.getUint32(at, true) === 0xe000fffe; ) {
    const length = view.getUint32(at + 4, true);
    items.push({ offset: at - origin, bytes: bytes.subarray(at + 8, Math.min(bytes.length, at + 8 + length)) });
    at += 8 + length;
    if (items.length === 1) origin = at;
  }
  return items;
}

function basicOffsets(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) => view.getUint32(index * 4, true));
}

function extendedOffsets(dataset: DataSet): number[] | undefined {
  const element = dataset.elements['x7fe00001'];
  if (element === undefined || element.length === 0) return undefined;
  const view = new DataView(dataset.byteArray.buffer, dataset.byteArray.byteOffset + element.dataOffset, element.length);
  return Array.from({ length: Math.floor(element.length / 8) }, (_, index) => Number(view.getBigUint64(index * 8, true)));
}

function groupAt(fragments: readonly Fragment[], starts: ReadonlySet<number>): Fragment[][] {
  const groups: Fragment[][] = [];
  for (const fragment of fragments) {
    if (starts.has(fragment.offset)) groups.push([fragment]);
    else groups.at(-1)?.push(fragment);
  }
  return groups;
}

/** JPEG and JPEG-LS start with SOI (FFD8), JPEG 2000 with SOC (FF4F). */
const startsImage = ({ bytes }: Fragment): boolean => bytes[0] === 0xff && (bytes[1] === 0xd8 || bytes[1] === 0x4f);

function join(fragments: readonly Fragment[]): Uint8Array {
  return fragments.length === 1 ? fragments[0]!.bytes : Buffer.concat(fragments.map((each) => each.bytes));
}
