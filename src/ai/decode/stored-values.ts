/**
 * Pixel cells to stored values (PS3.5 8.1.1, 8.2): takes the bits out of their cells, extends the sign, brings every layout
 * (1 bit packed, 8, 16, 32 bits, float, big endian, planar, 4:2:2) to one array with the samples of a pixel next to each other.
 */
import { AiError } from '../ai-error.ts';

export interface Cells {
  readonly bytes: Uint8Array;
  readonly bigEndian: boolean;
  /** VR of the native Pixel Data; OW in big endian swaps 8-bit pixels in pairs (PS3.5 A.3, 8.1.2). */
  readonly words: boolean;
  readonly bitsAllocated: number; readonly bitsStored: number; readonly highBit: number; readonly signed: boolean;
  readonly samplesPerPixel: number; readonly planar: boolean;
  /** YBR_FULL_422 in native form: Y1 Y2 Cb Cr for two pixels (PS3.3 C.7.6.3.1.2). */
  readonly halfChroma: boolean;
  readonly float: boolean;
}
export type StoredValues = Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** Byte length of one native frame. Frames of 1-bit images are not padded, hence a fraction. */
export function nativeFrameBytes(pixels: number, cells: Pick<Cells, 'bitsAllocated' | 'samplesPerPixel' | 'halfChroma'>): number {
  return (pixels * (cells.halfChroma ? 2 : cells.samplesPerPixel) * cells.bitsAllocated) / 8;
}

/** Bits from any place on, moved to begin with a byte: where a frame of 1-bit pixels follows one that did not end on a byte (PS3.5 8.1.1). */
export function bitsFrom(bytes: Uint8Array, firstBit: number, count: number): Uint8Array {
  const first = firstBit >> 3, shift = firstBit & 7, length = Math.ceil(count / 8);
  if (shift === 0) return bytes.subarray(first, first + length);
  return Uint8Array.from({ length }, (_, index) => ((bytes[first + index]! >> shift) | ((bytes[first + index + 1] ?? 0) << (8 - shift))) & 0xff);
}

export function storedValues(cells: Cells, pixels: number): StoredValues {
  if (cells.halfChroma) return interleave422(cells.bytes, pixels);
  const count = pixels * cells.samplesPerPixel;
  const raw = rawValues(cells, count);
  const values = cells.float ? (raw as Float32Array<ArrayBuffer>) : withSign(raw as Int32Array<ArrayBuffer>, cells);
  return cells.planar && cells.samplesPerPixel > 1 ? interleavePlanes(values, pixels, cells.samplesPerPixel) : values;
}

function rawValues(cells: Cells, count: number): StoredValues {
  const view = new DataView(cells.bytes.buffer, cells.bytes.byteOffset, cells.bytes.byteLength);
  const little = !cells.bigEndian;
  if (cells.float) return Float32Array.from({ length: count }, (_, index) => (cells.bitsAllocated === 64 ? view.getFloat64(index * 8, little) : view.getFloat32(index * 4, little)));
  const out = new Int32Array(count);
  switch (cells.bitsAllocated) {
    case 1: for (let index = 0; index < count; index += 1) out[index] = (cells.bytes[index >> 3]! >> (index & 7)) & 1; break;
    case 8: { const swap = cells.bigEndian && cells.words ? 1 : 0; for (let index = 0; index < count; index += 1) out[index] = cells.bytes[index ^ swap] ?? 0; break; }
    case 16: for (let index = 0; index < count; index += 1) out[index] = view.getUint16(index * 2, little); break;
    case 32: for (let index = 0; index < count; index += 1) out[index] = view.getInt32(index * 4, little); break;
    default: throw new AiError('input', `(0028,0100) Bits Allocated ${cells.bitsAllocated} is not supported for integer pixels.`);
  }
  return out;
}

/** Drops bits outside [highBit, highBit - bitsStored]: old images keep overlays there. */
function withSign(values: Int32Array<ArrayBuffer>, cells: Cells): StoredValues {
  const drop = 32 - (cells.highBit + 1);
  const keep = 32 - cells.bitsStored;
  if (cells.signed) for (let index = 0; index < values.length; index += 1) values[index] = (values[index]! << drop) >> keep;
  else if (cells.bitsStored < 32) for (let index = 0; index < values.length; index += 1) values[index] = (values[index]! << drop) >>> keep;
  // Unsigned 32 bits (RT Dose) do not fit into an Int32Array; a float keeps 24 bits of them, more than any model looks at.
  else return Float32Array.from(values, (value) => value >>> 0);
  return values;
}

function interleavePlanes(values: StoredValues, pixels: number, samples: number): StoredValues {
  const out = values.slice() as StoredValues;
  for (let sample = 0; sample < samples; sample += 1) {
    for (let pixel = 0; pixel < pixels; pixel += 1) out[pixel * samples + sample] = values[sample * pixels + pixel]!;
  }
  return out;
}

function interleave422(bytes: Uint8Array, pixels: number): StoredValues {
  const out = new Int32Array(pixels * 3);
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const pair = (pixel >> 1) * 4;
    out[pixel * 3] = bytes[pair + (pixel & 1)]!;
    out[pixel * 3 + 1] = bytes[pair + 2]!;
    out[pixel * 3 + 2] = bytes[pair + 3]!;
  }
  return out;
}
