/**
 * Encapsulated Pixel Data (PS3.5 A.4) to one byte sequence per frame. Which fragments make a frame is told, in this order, by: there is only one
 * frame; one fragment each; the Extended Offset Table (7FE0,0001); the Basic Offset Table; the start marker at a fragment's head.
 */
import type { DataSet, Element } from 'dicom-parser';
import { AiError } from '../ai-error.ts';

interface Fragment { readonly offset: number; readonly bytes: Uint8Array }

export function encapsulatedFrames(dataset: DataSet, element: Element, numberOfFrames: number): Uint8Array[] {
  const fragments = (element.fragments ?? []).map((each) => ({ offset: each.offset, bytes: dataset.byteArray.subarray(each.position, each.position + each.length) as Uint8Array }));
  if (fragments.length === 0) throw new AiError('input', '(7FE0,0010) Pixel Data holds no fragment.');
  if (numberOfFrames === 1) return [join(fragments)];
  if (fragments.length === numberOfFrames) return fragments.map((each) => each.bytes);
  const starts = extendedOffsets(dataset) ?? element.basicOffsetTable ?? [];
  const groups = starts.length === numberOfFrames ? groupAt(fragments, new Set(starts)) : groupAt(fragments, new Set(fragments.filter(startsImage).map((each) => each.offset)));
  if (groups.length !== numberOfFrames) throw new AiError('input', `(7FE0,0010) Pixel Data has ${fragments.length} fragments that do not divide into (0028,0008) Number of Frames ${numberOfFrames}.`);
  return groups.map(join);
}

function extendedOffsets(dataset: DataSet): number[] | undefined {
  const element = dataset.elements['x7fe00001'];
  if (element === undefined || element.length === 0) return undefined;
  const view = new DataView(dataset.byteArray.buffer, dataset.byteArray.byteOffset + element.dataOffset, element.length);
  return Array.from({ length: element.length / 8 }, (_, index) => Number(view.getBigUint64(index * 8, true)));
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
