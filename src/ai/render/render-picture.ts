/** One frame of a stored DICOM file as a picture: decode, window, resize, mark, encode. Runs in the decode worker; throws AiError('input') with the reason. */
import codecs from 'dcmjs-codecs';
import { encode as encodePng } from 'fast-png';
import type { PictureEncoding, PictureWanted } from '#gateway/images.ts';
import { AiError } from '../ai-error.ts';
import { loadCodecs } from '../decode/compressed.ts';
import { frameOf, headerOf } from '../decode/decode-image.ts';
import type { DecodeLimits } from '../decode/image-header.ts';
import { displayFrame, type Raster } from './display-frame.ts';
import { drawMarks, withCaption, withColour } from './marks.ts';
import { fitted, resized, type Part } from './resize.ts';

export interface RenderedPicture { readonly bytes: Uint8Array<ArrayBuffer>; readonly rows: number; readonly columns: number; readonly samplesPerPixel: 1 | 3; readonly numberOfFrames: number }

/** Values, display values and picture of one frame are in memory at a time. */
const mostFramePixels = 64 * 1024 * 1024;

export async function renderPicture(file: Uint8Array, datasetOffset: number, transferSyntaxUid: string, limits: DecodeLimits, wanted: PictureWanted): Promise<RenderedPicture> {
  const header = headerOf(file, datasetOffset, transferSyntaxUid, limits);
  const { numberOfFrames } = header;
  if (wanted.frame > numberOfFrames) return { bytes: new Uint8Array(), rows: 0, columns: 0, samplesPerPixel: 1, numberOfFrames };
  if (header.rows * header.columns > mostFramePixels) throw new AiError('input', `A frame has ${header.rows * header.columns} pixels, more than the ${mostFramePixels} that are shown.`);
  const stored = await frameOf(header, transferSyntaxUid, wanted.frame - 1);
  const shown = displayFrame(stored, header, wanted.frame - 1, wanted.window);
  const { raster, scale } = scaled(shown, wanted);
  const marked = marksAndCaption(raster, scale, wanted);
  const { rows, columns, samplesPerPixel } = marked;
  return { bytes: await encoded(marked, wanted.encoding), rows, columns, samplesPerPixel, numberOfFrames };
}

function scaled(shown: Raster, { viewport, longestEdge }: PictureWanted): { raster: Raster; scale: readonly [number, number] } {
  const longest = Math.max(shown.rows, shown.columns);
  const factor = longestEdge === undefined ? 1 : Math.max(longestEdge.least, Math.min(longestEdge.most, longest)) / longest;
  const { rows, columns, part } = fitted(shown, viewport ?? { width: shown.columns * factor, height: shown.rows * factor });
  const raster = rows === shown.rows && columns === shown.columns && isWhole(part, shown) ? shown : resized(shown, rows, columns, part);
  return { raster, scale: [columns / part.width, rows / part.height] };
}
const isWhole = (part: Part, { rows, columns }: Raster): boolean => part.width === columns && part.height === rows && !part.flipsHorizontally && !part.flipsVertically;

function marksAndCaption(raster: Raster, scale: readonly [number, number], { marks = [], caption = [], encoding }: PictureWanted): Raster {
  if (marks.length === 0 && caption.length === 0) return encoding.type === 'raw' ? withColour(raster) : raster;
  const coloured = withColour(raster);
  drawMarks(coloured, marks, scale);
  return caption.length === 0 ? coloured : withCaption(coloured, caption);
}

async function encoded({ rows, columns, samplesPerPixel, data }: Raster, encoding: PictureEncoding): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (encoding.type === 'raw') return bytes;
  if (encoding.type === 'image/png') return Uint8Array.from(encodePng({ width: columns, height: rows, data: bytes, channels: samplesPerPixel, depth: 8 }));
  await loadCodecs();
  const context = codecs.NativeCodecs.encodeJpeg(new codecs.Context({
    width: columns, height: rows, samplesPerPixel, bitsAllocated: 8, bitsStored: 8, pixelRepresentation: 0, planarConfiguration: 0,
    photometricInterpretation: samplesPerPixel === 1 ? 'MONOCHROME2' : 'RGB', decodedBuffer: bytes,
  }), { lossy: true, quality: encoding.quality });
  const jpeg = context.getEncodedBuffer();
  if (jpeg === undefined || jpeg.length === 0) throw new AiError('input', 'The picture could not be encoded as JPEG.');
  return Uint8Array.from(jpeg);
}
