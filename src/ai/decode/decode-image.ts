/** One stored DICOM file to grey values: header, frames, cells, values. Runs in the decode worker; throws AiError('input') with the reason. */
import { constants, inflateRawSync } from 'node:zlib';
import { AiError } from '../ai-error.ts';
import { decompress, isCompressed } from './compressed.ts';
import type { DecodedFrame, DecodedImage } from './decoded-image.ts';
import { encapsulatedFrames } from './fragments.ts';
import { greyValues } from './grey-values.ts';
import { BIG_ENDIAN, DEFLATED, IMPLICIT, PIXEL_DATA, frameAttributes, readImageHeader, type DecodeLimits, type ImageHeader } from './image-header.ts';
import { decodeRle } from './rle.ts';
import { bitsFrom, nativeFrameBytes, storedValues, type Cells, type StoredValues } from './stored-values.ts';

const EXPLICIT = '1.2.840.10008.1.2.1';
const UNDEFINED_LENGTH = 0xffffffff;
const RLE = '1.2.840.10008.1.2.5';
const DEFLATED_FRAMES = '1.2.840.10008.1.2.8.1';
const NATIVE = new Set([IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED]);

export async function decodeImage(file: Uint8Array, datasetOffset: number, transferSyntaxUid: string, limits: DecodeLimits): Promise<DecodedImage> {
  const header = headerOf(file, datasetOffset, transferSyntaxUid, limits);
  const frames: DecodedFrame[] = [];
  for await (const stored of frameValues(header, transferSyntaxUid)) {
    const { spacing, position, orientation, ...rescale } = frameAttributes(header.dataset, frames.length);
    frames.push({
      frameNumber: frames.length + 1, spacing, position, orientation, frameOfReferenceUid: header.frameOfReferenceUid,
      samples: greyValues(stored, header, { spacing, position, orientation, ...rescale }),
    });
  }
  return { rows: header.rows, columns: header.columns, frames };
}

export function headerOf(file: Uint8Array, datasetOffset: number, transferSyntaxUid: string, limits: DecodeLimits): ImageHeader {
  if (!NATIVE.has(transferSyntaxUid) && transferSyntaxUid !== RLE && transferSyntaxUid !== DEFLATED_FRAMES && !isCompressed(transferSyntaxUid)) {
    throw new AiError('input', `Transfer syntax ${transferSyntaxUid} cannot be decoded here.`);
  }
  return readImageHeader(file, datasetOffset, transferSyntaxUid, limits);
}

/** One frame without decoding those before it. @param frame from 0 */
export async function frameOf(header: ImageHeader, transferSyntaxUid: string, frame: number): Promise<StoredValues> {
  for await (const stored of frameValues(header, transferSyntaxUid, frame)) return stored;
  throw new AiError('input', `The pixel data hold no frame ${frame + 1}.`);
}

/** @param only one frame, from 0; every one when absent */
async function* frameValues(header: ImageHeader, transferSyntaxUid: string, only?: number): AsyncGenerator<StoredValues> {
  if (NATIVE.has(transferSyntaxUid)) {
    yield* nativeFrames(header, only);
    return;
  }
  const element = header.dataset.elements[PIXEL_DATA];
  if (element === undefined) throw new AiError('input', '(7FE0,0010) Pixel Data is missing.');
  if (element.length !== UNDEFINED_LENGTH) throw new AiError('input', `(7FE0,0010) Pixel Data is not encapsulated although transfer syntax ${transferSyntaxUid} needs it (PS3.5 A.4).`);
  const pixels = header.rows * header.columns;
  const frames = encapsulatedFrames(header.dataset, element, header.numberOfFrames);
  for (const frame of only === undefined ? frames : frames.slice(only, only + 1)) {
    yield storedValues(transferSyntaxUid === RLE ? rleCells(frame, header, pixels) : transferSyntaxUid === DEFLATED_FRAMES ? inflatedCells(frame, header, pixels) : await compressedCells(frame, header, transferSyntaxUid), pixels);
  }
}

function rleCells(frame: Uint8Array, header: ImageHeader, pixels: number): Cells {
  // Frames of 1-bit pixels are packed first, each ending on a byte (PS3.5 G.2): one segment of bytes that hold eight pixels.
  const isPacked = header.bitsAllocated === 1;
  const bytes = decodeRle(frame, isPacked ? Math.ceil(pixels / 8) : pixels, header.samplesPerPixel, isPacked ? 1 : header.bitsAllocated / 8);
  return { ...layout(header), bytes, bigEndian: false, words: false, planar: true, halfChroma: false };
}

/** Each frame as it would be native, deflated by itself (PS3.5 8.2.16, A.4.13); frames of 1-bit pixels end on a byte. */
function inflatedCells(frame: Uint8Array, header: ImageHeader, pixels: number): Cells {
  const cells = layout(header), needed = Math.ceil(nativeFrameBytes(pixels, cells));
  let bytes: Uint8Array;
  // Whoever pads a frame does not make its pixels more.
  try { bytes = inflateRawSync(frame, { maxOutputLength: needed + 1, finishFlush: constants.Z_SYNC_FLUSH }); } catch { throw new AiError('input', `A deflated frame is damaged or holds more than the ${needed} bytes that its header says.`); }
  if (bytes.length < needed) throw new AiError('input', `A deflated frame holds ${bytes.length} bytes where its header needs ${needed}.`);
  return { ...cells, bytes };
}

async function compressedCells(frame: Uint8Array, header: ImageHeader, transferSyntaxUid: string): Promise<Cells> {
  const decoded = await decompress(frame, header, transferSyntaxUid);
  return { ...layout(header), bytes: decoded.bytes, bigEndian: false, words: false, halfChroma: false, planar: decoded.planar, bitsAllocated: decoded.bitsAllocated, bitsStored: decoded.bitsStored, highBit: decoded.bitsStored - 1 };
}

function* nativeFrames(header: ImageHeader, only?: number): Generator<StoredValues> {
  const elements = header.dataset.elements;
  const element = elements[PIXEL_DATA] ?? elements['x7fe00008'] ?? elements['x7fe00009'];
  if (element === undefined) throw new AiError('input', 'There is no Pixel Data, Float Pixel Data or Double Float Pixel Data in the dataset.');
  if (element.length === UNDEFINED_LENGTH) throw new AiError('input', 'Pixel Data is encapsulated although the transfer syntax is a native one.');
  const cells = { ...layout(header), bigEndian: header.bigEndian, words: element.vr !== 'OB', float: element.tag !== PIXEL_DATA };
  const pixels = header.rows * header.columns;
  const frameBytes = nativeFrameBytes(pixels, cells);
  const end = Math.min(element.dataOffset + element.length, header.dataset.byteArray.length);
  if (end - element.dataOffset < Math.floor(frameBytes * header.numberOfFrames)) {
    throw new AiError('input', `Pixel Data has ${end - element.dataOffset} bytes where the header needs ${Math.ceil(frameBytes * header.numberOfFrames)}: the file is cut or its header is wrong.`);
  }
  const values = header.dataset.byteArray.subarray(element.dataOffset, end) as Uint8Array;
  for (let frame = only ?? 0; frame < (only === undefined ? header.numberOfFrames : only + 1); frame += 1) {
    yield storedValues({ ...cells, bytes: bitsFrom(values, 8 * frame * frameBytes, 8 * frameBytes) }, pixels);
  }
}

function layout(header: ImageHeader): Omit<Cells, 'bytes'> {
  return {
    bigEndian: false, words: false, float: false, bitsAllocated: header.bitsAllocated, bitsStored: header.bitsStored, highBit: header.highBit, signed: header.signed,
    samplesPerPixel: header.samplesPerPixel, planar: header.planarConfiguration === 1, halfChroma: header.photometricInterpretation.startsWith('YBR_FULL_422') && header.bitsAllocated === 8,
  };
}
