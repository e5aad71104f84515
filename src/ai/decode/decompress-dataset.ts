/**
 * A stored dataset with compressed pixel data as one that every DICOM application reads: Explicit VR Little Endian, native pixel data. The
 * attributes that tell how pixels are encoded follow the pixels (PS3.5 8.2); every other value is copied as it is.
 */
import { readHeader } from '#standards/dicom/header.ts';
import { elementOf, encodeElements, unsignedShort } from '#standards/dicom/dataset-copy.ts';
import type { DataElement } from '#standards/dicom/elements.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { AiError } from '../ai-error.ts';
import { decompress, isCompressed } from './compressed.ts';
import { headerOf } from './decode-image.ts';
import { encapsulatedFrames } from './fragments.ts';
import { PIXEL_DATA, type DecodeLimits, type ImageHeader } from './image-header.ts';
import { decodeRle } from './rle.ts';

const EXPLICIT = '1.2.840.10008.1.2.1', RLE = '1.2.840.10008.1.2.5';
const mostBytes = 2 ** 31 - 1;

export interface NativeDataset { readonly bytes: Uint8Array<ArrayBuffer>; readonly transferSyntaxUid: string }

export async function decompressDataset(file: Uint8Array, datasetOffset: number, transferSyntaxUid: string, limits: DecodeLimits): Promise<NativeDataset> {
  if (transferSyntaxUid !== RLE && !isCompressed(transferSyntaxUid)) throw new AiError('input', `Transfer syntax ${transferSyntaxUid} holds no compressed pixel data that can be decoded here.`);
  const image = headerOf(file, datasetOffset, transferSyntaxUid, limits);
  const pixels = await nativePixels(image, transferSyntaxUid);
  // The header is read by the product's own reader, which keeps every value's bytes; it wants a file.
  const meta = buildPart10Header({ sopClassUid: '1.2', sopInstanceUid: '1.2', transferSyntaxUid });
  const { dataset, hasPixelData } = readHeader(Buffer.concat([meta, file.subarray(datasetOffset)]));
  if (!hasPixelData) throw new AiError('input', 'The header of the dataset cannot be read to its end.');
  const elements = new Map<number, DataElement>(dataset);
  for (const changed of [...pixels.changes, elementOf(0x7fe00010, pixels.bitsAllocated > 8 ? 'OW' : 'OB', pixels.bytes)]) elements.set(changed.tag, changed);
  for (const offsets of [0x7fe00001, 0x7fe00002]) elements.delete(offsets);
  return { bytes: Uint8Array.from(encodeElements(elements)), transferSyntaxUid: EXPLICIT };
}

interface NativePixels { readonly bytes: Buffer; readonly bitsAllocated: number; readonly changes: readonly DataElement[] }

async function nativePixels(image: ImageHeader, transferSyntaxUid: string): Promise<NativePixels> {
  const element = image.dataset.elements[PIXEL_DATA];
  if (element === undefined) throw new AiError('input', '(7FE0,0010) Pixel Data is missing.');
  const frames: Uint8Array[] = [];
  let bitsAllocated = image.bitsAllocated, isPlanar = false, byteLength = 0;
  for (const fragment of encapsulatedFrames(image.dataset, element, image.numberOfFrames)) {
    if (transferSyntaxUid === RLE) {
      if (image.bitsAllocated === 1) throw new AiError('input', 'RLE frames of 1-bit pixels are not decompressed into a dataset.');
      frames.push(decodeRle(fragment, image.rows * image.columns, image.samplesPerPixel, image.bitsAllocated / 8));
      isPlanar = image.samplesPerPixel > 1;
    } else {
      const decoded = await decompress(fragment, image, transferSyntaxUid);
      frames.push(Uint8Array.from(decoded.bytes));
      ({ bitsAllocated } = decoded);
      isPlanar = decoded.planar;
    }
    byteLength += frames.at(-1)!.length;
    if (byteLength > mostBytes) throw new AiError('input', `Decompressed, the pixel data have more than ${mostBytes} bytes, which no DICOM element holds.`);
  }
  const bytes = Buffer.concat(byteLength % 2 === 0 ? frames : [...frames, Buffer.alloc(1)]);
  return { bytes, bitsAllocated, changes: changesOf(image, transferSyntaxUid, bitsAllocated, isPlanar) };
}

/** The codecs undo the colour transformation of JPEG 2000 and fill up the halved chroma of JPEG. */
function changesOf(image: ImageHeader, transferSyntaxUid: string, bitsAllocated: number, isPlanar: boolean): DataElement[] {
  const changes = image.samplesPerPixel > 1 ? [unsignedShort(0x00280006, isPlanar ? 1 : 0)] : [];
  if (bitsAllocated !== image.bitsAllocated) changes.push(unsignedShort(0x00280100, bitsAllocated), unsignedShort(0x00280101, Math.min(image.bitsStored, bitsAllocated)), unsignedShort(0x00280102, Math.min(image.highBit, bitsAllocated - 1)));
  const photometric = image.photometricInterpretation.trim();
  const becomes = photometric === 'YBR_RCT' || photometric === 'YBR_ICT' ? 'RGB' : photometric === 'YBR_FULL_422' && transferSyntaxUid !== RLE ? 'YBR_FULL' : photometric;
  if (becomes !== photometric) changes.push(elementOf(0x00280004, 'CS', becomes));
  return changes;
}
