/**
 * Where the frames of an instance are in its data set (PS3.5 8.2 and A.4). Native frames follow each other; encapsulated ones are told
 * apart by the Extended Offset Table, the Basic Offset Table, one fragment a frame, or by there being one frame only.
 */
import type { DicomHeader } from '#standards/dicom/header.ts';
import { isLongVr } from '#standards/dicom/elements.ts';
import { characterSetOf } from '#standards/dicom/character-set.ts';
import { tags } from '#standards/dicom/tag.ts';
import type { TransferSyntax } from '#standards/dicom/transfer-syntaxes.ts';
import { valuesOf } from '#standards/dicom/values.ts';
import { Refusal } from './answer.ts';
import type { StoredHeader } from './stored-header.ts';
import { CutShortError, type ByteRange, type ByteSource } from './byte-ranges.ts';

/** Frame number, from 1, -> where its bytes are, one range for each fragment. */
export type FrameRanges = ReadonlyMap<number, readonly ByteRange[]>;

const undefinedLength = 0xffffffff;
const mostFragments = 1_000_000;
const mostTableBytes = 16 * 1024 * 1024;

/**
 * @param source the data set, from its beginning
 * @param wanted frame numbers; 'all' for every one
 * Throws Refusal: 404 for a frame that is not there, 406 where frames cannot be told apart.
 */
export async function framesOf({ header, pixelDataAt }: StoredHeader, syntax: TransferSyntax, source: ByteSource, wanted: readonly number[] | 'all'): Promise<FrameRanges> {
  const count = numberOf(header, 0x00280008) ?? 1;
  const frames = wanted === 'all' ? Array.from({ length: count }, (_, index) => index + 1) : wanted;
  if (pixelDataAt === undefined || count < 1) throw new Refusal(404, 'This instance has no pixel data.');
  if (frames.some((frame) => frame > count)) throw new Refusal(404, `This instance has ${count} frame${count === 1 ? '' : 's'}.`);
  if (!header.part10.encoding.littleEndian) throw new Refusal(406, `Frames are not taken out of ${syntax.name}; retrieve the instance.`);
  await source.skipTo(pixelDataAt);
  const pixelData = await findPixelData(header, source);
  if (pixelData.byteLength !== undefinedLength) return nativeFrames(header, pixelData, frames);
  return encapsulatedFrames(source, pixelData, count, frames);
}

interface PixelData extends ByteRange { readonly extended: { readonly offsets: readonly number[]; readonly lengths: readonly number[] } | undefined }

async function findPixelData({ part10: { encoding } }: DicomHeader, source: ByteSource): Promise<PixelData> {
  const tables = new Map<number, readonly number[]>();
  for (;;) {
    const head = await source.read(8);
    if (head.length < 8) throw new CutShortError();
    const tag = head.readUInt16LE(0) * 0x10000 + head.readUInt16LE(2);
    const isLong = encoding.explicitVr && isLongVr(head.toString('latin1', 4, 6));
    const byteLength = isLong ? (await source.read(4)).readUInt32LE() : encoding.explicitVr ? head.readUInt16LE(6) : head.readUInt32LE(4);
    if (tag === tags.pixelData) {
      const offsets = tables.get(tags.extendedOffsetTable), lengths = tables.get(tags.extendedOffsetTable + 1);
      return { start: source.position, byteLength, extended: offsets && lengths && { offsets, lengths } };
    }
    if (tag > tags.pixelData || byteLength === undefinedLength || byteLength > mostTableBytes) throw new Refusal(406, 'The pixel data of this instance are not found; retrieve the instance.');
    const value = await source.read(byteLength);
    if (tag >= tags.extendedOffsetTable) tables.set(tag, Array.from({ length: value.length >> 3 }, (_, index) => Number(value.readBigUInt64LE(index * 8))));
  }
}

function nativeFrames(header: DicomHeader, { start, byteLength }: PixelData, wanted: readonly number[]): FrameRanges {
  const [rows, columns, samples, bits] = [0x00280010, 0x00280011, 0x00280002, 0x00280100].map((tag) => numberOf(header, tag));
  const photometric = header.dataset.get(0x00280004)?.bytes.toString('latin1').trim();
  const frameBits = (rows ?? 0) * (columns ?? 0) * (photometric === 'YBR_FULL_422' ? 2 : samples ?? 1) * (bits ?? 0);
  const frameBytes = frameBits / 8;
  if (frameBytes === 0 || (!Number.isInteger(frameBytes) && (numberOf(header, 0x00280008) ?? 1) > 1)) throw new Refusal(406, 'The frames of this instance do not end at whole bytes; retrieve the instance.');
  const size = Math.ceil(frameBytes);
  return new Map(wanted.map((frame) => {
    if (frame * size > byteLength) throw new Refusal(404, 'The Pixel Data of this instance are shorter than its Number of Frames says.');
    return [frame, [{ start: start + (frame - 1) * size, byteLength: size }]];
  }));
}

async function encapsulatedFrames(source: ByteSource, { extended }: PixelData, count: number, wanted: readonly number[]): Promise<FrameRanges> {
  const basic = await readItem(source);
  if (basic === undefined || basic.byteLength > mostTableBytes) throw new CutShortError();
  const table = await source.read(basic.byteLength);
  const first = source.position;
  if (extended !== undefined && extended.offsets.length >= count && extended.lengths.length >= count) {
    return new Map(wanted.map((frame) => [frame, [{ start: first + extended.offsets[frame - 1]! + 8, byteLength: extended.lengths[frame - 1]! }]]));
  }
  const offsets = Array.from({ length: table.length >> 2 }, (_, index) => table.readUInt32LE(index * 4));
  const isTable = offsets.length === count && offsets[0] === 0 && offsets.every((offset, index) => index === 0 || offset > offsets[index - 1]!);
  const last = Math.max(...wanted);
  const end = isTable && last < count ? first + offsets[last]! : Infinity;
  const fragments = await readFragments(source, end);
  if (count === 1) return new Map([[1, fragments]]);
  if (isTable) return new Map(wanted.map((frame) => [frame, fragments.filter(({ start }) => start - 8 >= first + offsets[frame - 1]! && (frame === count || start - 8 < first + offsets[frame]!))]));
  if (fragments.length !== count) throw new Refusal(406, 'The frames of this instance cannot be told apart: it has no offset table, and not one fragment a frame. Retrieve the instance.');
  return new Map(wanted.map((frame) => [frame, [fragments[frame - 1]!]]));
}

async function readFragments(source: ByteSource, end: number): Promise<ByteRange[]> {
  const fragments: ByteRange[] = [];
  while (source.position < end) {
    const fragment = await readItem(source);
    if (fragment === undefined) return fragments;
    fragments.push(fragment);
    if (fragments.length > mostFragments) throw new Refusal(406, `The Pixel Data have more than ${mostFragments} fragments; retrieve the instance.`);
    await source.skipTo(fragment.start + fragment.byteLength);
  }
  return fragments;
}

/** Undefined: the sequence has ended. */
async function readItem(source: ByteSource): Promise<ByteRange | undefined> {
  const head = await source.read(8);
  const tag = head.length < 8 ? 0 : head.readUInt16LE(0) * 0x10000 + head.readUInt16LE(2);
  if (tag === tags.sequenceDelimitation) return undefined;
  if (tag !== tags.item) throw new CutShortError();
  return { start: source.position, byteLength: head.readUInt32LE(4) };
}

function numberOf({ dataset }: DicomHeader, tag: number): number | undefined {
  const element = dataset.get(tag);
  const value = Number(element === undefined ? NaN : valuesOf(element, characterSetOf(undefined))[0] ?? NaN);
  return Number.isInteger(value) && value >= 0 ? value : undefined;
}
