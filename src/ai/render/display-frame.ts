/** One frame as 8-bit grey or RGB, as a display shows it: modality LUT, VOI, presentation shape; colour converted to RGB (PS3.3 C.7.6.3.1.2). */
import type { DataSet } from 'dicom-parser';
import type { VoiWindow } from '#gateway/images.ts';
import { AiError } from '../ai-error.ts';
import { modalityValues, readLut } from '../decode/grey-values.ts';
import { frameAttributes, item, type ImageHeader } from '../decode/image-header.ts';
import type { StoredValues } from '../decode/stored-values.ts';
import { displayFunction } from './voi.ts';

export interface Raster { readonly rows: number; readonly columns: number; readonly samplesPerPixel: 1 | 3; readonly data: Uint8ClampedArray<ArrayBuffer> }

/** @param frame from 0 */
export function displayFrame(stored: StoredValues, header: ImageHeader, frame: number, window: VoiWindow | undefined): Raster {
  const { rows, columns } = header;
  // Cut to the characters a code string may have, for it may be quoted in an error.
  const photometric = header.photometricInterpretation.replaceAll(/[^A-Z0-9_ ]/g, '?').slice(0, 16).trim();
  if (photometric === 'PALETTE COLOR') return { rows, columns, samplesPerPixel: 3, data: paletteColours(stored, header.dataset) };
  if (header.samplesPerPixel === 3) return { rows, columns, samplesPerPixel: 3, data: colours(stored, photometric, header.bitsStored) };
  if (photometric !== 'MONOCHROME1' && photometric !== 'MONOCHROME2') throw new AiError('input', `(0028,0004) Photometric Interpretation ${photometric} with one sample per pixel is not supported.`);
  // Presentation LUT Shape (2050,0020); a MONOCHROME1 image that has it means the same by it.
  const isInverse = photometric === 'MONOCHROME1' || (header.dataset.string('x20500020') ?? '').trim() === 'INVERSE';
  return { rows, columns, samplesPerPixel: 1, data: greys(stored, header, frame, window, isInverse) };
}

function greys(stored: StoredValues, header: ImageHeader, frame: number, window: VoiWindow | undefined, isInverse: boolean): Uint8ClampedArray<ArrayBuffer> {
  const attributes = frameAttributes(header.dataset, frame);
  const values = modalityValues(stored, header, attributes);
  const isPlain8Bit = header.bitsStored === 8 && !header.signed && attributes.slope === 1 && attributes.intercept === 0 && item(header.dataset, 'x00283000', 0) === undefined;
  const show = displayFunction(header.dataset, frame, values, window, isPlain8Bit);
  const out = values instanceof Int16Array ? byTable(values, show) : Uint8ClampedArray.from(values, show);
  if (isInverse) for (let index = 0; index < out.length; index += 1) out[index] = 255 - out[index]!;
  return out;
}

/** Each value that occurs is worked out once. */
function byTable(values: Int16Array, show: (value: number) => number): Uint8ClampedArray<ArrayBuffer> {
  const shown = new Uint8ClampedArray(65_536), isShown = new Uint8Array(65_536);
  const out = new Uint8ClampedArray(values.length);
  for (let index = 0; index < out.length; index += 1) {
    const value = values[index]!, place = value + 32_768;
    if (isShown[place] === 0) {
      shown[place] = show(value);
      isShown[place] = 1;
    }
    out[index] = shown[place]!;
  }
  return out;
}

function colours(stored: StoredValues, photometric: string, bitsStored: number): Uint8ClampedArray<ArrayBuffer> {
  const scale = 255 / (2 ** bitsStored - 1);
  const out = new Uint8ClampedArray(stored.length);
  if (photometric === 'RGB' || photometric === 'YBR_RCT' || photometric === 'YBR_ICT') {
    for (let index = 0; index < out.length; index += 1) out[index] = stored[index]! * scale;
    return out;
  }
  if (!photometric.startsWith('YBR_FULL')) throw new AiError('input', `(0028,0004) Photometric Interpretation ${photometric} with three samples per pixel is not supported.`);
  for (let index = 0; index < out.length; index += 3) {
    const y = stored[index]! * scale, blue = stored[index + 1]! * scale - 128, red = stored[index + 2]! * scale - 128;
    out[index] = y + 1.402 * red;
    out[index + 1] = y - 0.344136 * blue - 0.714136 * red;
    out[index + 2] = y + 1.772 * blue;
  }
  return out;
}

function paletteColours(stored: StoredValues, dataset: DataSet): Uint8ClampedArray<ArrayBuffer> {
  const tables = ['1', '2', '3'].map((number) => readLut(dataset, `x0028110${number}`, `x0028120${number}`, false));
  const out = new Uint8ClampedArray(stored.length * 3);
  for (let pixel = 0; pixel < stored.length; pixel += 1) for (let channel = 0; channel < 3; channel += 1) out[pixel * 3 + channel] = tables[channel]!(stored[pixel]!);
  return out;
}
