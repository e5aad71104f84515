/**
 * Stored values to one grey value per pixel: colour to luminance, palette looked up, modality LUT applied (PS3.3 C.11.1), MONOCHROME1 inverted.
 * Integer results that fit stay Int16 (half the memory of a CT); others become floats.
 */
import type { DataSet, Element } from 'dicom-parser';
import { AiError } from '../ai-error.ts';
import type { Samples } from './decoded-image.ts';
import { item, type FrameAttributes, type ImageHeader } from './image-header.ts';
import { expandSegments } from './segmented-palette.ts';
import type { StoredValues } from './stored-values.ts';

export function greyValues(stored: StoredValues, header: ImageHeader, attributes: FrameAttributes): Samples {
  // Cut to the characters a code string may have, for it may be quoted in an error.
  const photometric = header.photometricInterpretation.replaceAll(/[^A-Z0-9_ ]/g, '?').slice(0, 16).trim();
  if (photometric === 'PALETTE COLOR') return paletteLuminance(stored, header.dataset);
  if (header.samplesPerPixel === 3) return luminance(stored, photometric);
  if (photometric !== 'MONOCHROME1' && photometric !== 'MONOCHROME2') throw new AiError('input', `(0028,0004) Photometric Interpretation ${photometric} with one sample per pixel is not supported.`);
  const values = modalityValues(stored, header, attributes);
  return photometric === 'MONOCHROME1' ? inverted(values) : values;
}

export function modalityValues(stored: StoredValues, header: ImageHeader, { slope, intercept }: FrameAttributes): Samples {
  const table = item(header.dataset, 'x00283000', 0);
  if (table !== undefined) {
    const lut = readLut(table, 'x00283002', 'x00283006', header.signed);
    return Float32Array.from(stored, (value) => lut(value));
  }
  let low = Infinity;
  let high = -Infinity;
  for (const value of stored) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const ends = [low * slope + intercept, high * slope + intercept];
  const fits = Number.isInteger(slope) && Number.isInteger(intercept) && stored instanceof Int32Array && Math.min(...ends) >= -32768 && Math.max(...ends) <= 32767;
  const out: Samples = fits ? new Int16Array(stored.length) : new Float32Array(stored.length);
  for (let index = 0; index < out.length; index += 1) out[index] = stored[index]! * slope + intercept;
  return out;
}

/** Mirrors the values inside their own range, so that more is brighter and the range stays. */
function inverted(values: Samples): Samples {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  for (let index = 0; index < values.length; index += 1) values[index] = low + high - values[index]!;
  return values;
}

/** Rec. 601 weights for RGB (PS3.3 C.7.6.3.1.2 uses the same for Y); the YBR forms carry Y as their first sample. */
function luminance(stored: StoredValues, photometric: string): Samples {
  const isRgb = photometric === 'RGB' || photometric === 'YBR_RCT' || photometric === 'YBR_ICT';
  if (!isRgb && !photometric.startsWith('YBR_')) throw new AiError('input', `(0028,0004) Photometric Interpretation ${photometric} with three samples per pixel is not supported.`);
  const out = new Float32Array(stored.length / 3);
  for (let pixel = 0; pixel < out.length; pixel += 1) {
    out[pixel] = isRgb ? weigh(stored[pixel * 3]!, stored[pixel * 3 + 1]!, stored[pixel * 3 + 2]!) : stored[pixel * 3]!;
  }
  return out;
}
const weigh = (red: number, green: number, blue: number): number => 0.299 * red + 0.587 * green + 0.114 * blue;

function paletteLuminance(stored: StoredValues, dataset: DataSet): Samples {
  const [red, green, blue] = ['1', '2', '3'].map((number) => readLut(dataset, `x0028110${number}`, `x0028120${number}`, false)) as [Lut, Lut, Lut];
  return Float32Array.from(stored, (value) => weigh(red(value), green(value), blue(value)));
}

export type Lut = (stored: number) => number;

/** LUT Descriptor: entries (0 means 65536), first value mapped, bits per entry (PS3.3 C.11.1.1.1, C.7.6.3.1.5). */
export function readLut(dataset: DataSet, descriptorTag: string, dataTag: string, signed: boolean): Lut {
  const data = dataset.elements[dataTag];
  const segments = dataset.elements[dataTag.replace(/^x0028120/, 'x0028122')];
  if (dataset.elements[descriptorTag] !== undefined && (data?.length ?? 0) === 0 && segments !== undefined && segments.tag !== dataTag) return segmentedLut(dataset, descriptorTag, segments);
  if (dataset.elements[descriptorTag] === undefined || data === undefined || data.length === 0) throw new AiError('input', `Lookup table ${descriptorTag.slice(1)} or its data ${dataTag.slice(1)} is missing.`);
  const entries = dataset.uint16(descriptorTag, 0) || 65536;
  const first = (signed ? dataset.int16(descriptorTag, 1) : dataset.uint16(descriptorTag, 1)) ?? 0;
  const bits = dataset.uint16(descriptorTag, 2) ?? 16;
  // 8-bit entries come one per byte or, by another reading of the standard, one per word: the length tells.
  const packed = data.length < entries * 2;
  const available = packed ? data.length : data.length / 2;
  const table = Float32Array.from({ length: Math.min(entries, available) }, (_, index) => (packed ? (dataset.byteArray[data.dataOffset + index] ?? 0) : (dataset.uint16(dataTag, index) ?? 0)));
  return lookup(table, first, bits > 8 && !packed && dataTag !== 'x00283006' ? 1 / 257 : 1);
}

function lookup(table: Float32Array, first: number, scale: number): Lut {
  return (stored) => (table[Math.max(0, Math.min(table.length - 1, stored - first))] ?? 0) * scale;
}

function segmentedLut(dataset: DataSet, descriptorTag: string, data: Element): Lut {
  const entries = dataset.uint16(descriptorTag, 0) || 65536, first = dataset.uint16(descriptorTag, 1) ?? 0, isWide = (dataset.uint16(descriptorTag, 2) ?? 16) > 8;
  const words = isWide ? Uint16Array.from({ length: data.length >> 1 }, (_, index) => dataset.uint16(data.tag, index) ?? 0) : dataset.byteArray.subarray(data.dataOffset, data.dataOffset + data.length);
  return lookup(expandSegments(words, isWide, entries), first, isWide ? 1 / 257 : 1);
}
