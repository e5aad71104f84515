/**
 * RLE Lossless (PS3.5 Annex G): a header of 16 little endian numbers, then up to 15 PackBits segments. Each segment is one byte plane:
 * sample by sample, most significant byte first. Comes out little endian, colour by plane (planar configuration 1).
 */
import { AiError } from '../ai-error.ts';

export function decodeRle(frame: Uint8Array, pixels: number, samplesPerPixel: number, bytesPerSample: number): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const planes = samplesPerPixel * bytesPerSample;
  if (frame.byteLength < 64) throw new AiError('input', 'An RLE frame is shorter than its header of 64 bytes.');
  const count = view.getUint32(0, true);
  if (count !== planes) throw new AiError('input', `An RLE frame has ${count} segments where ${planes} are needed (samples x bytes).`);
  const out = new Uint8Array(pixels * planes);
  for (let plane = 0; plane < planes; plane += 1) {
    const start = view.getUint32(4 + 4 * plane, true);
    const end = plane + 1 < planes ? view.getUint32(8 + 4 * plane, true) : frame.byteLength;
    if (start < 64 || end < start || end > frame.byteLength) throw new AiError('input', `RLE segment ${plane + 1} lies outside its frame.`);
    const sample = Math.floor(plane / bytesPerSample);
    const byte = bytesPerSample - 1 - (plane % bytesPerSample);
    unpack(frame.subarray(start, end), out, sample * pixels * bytesPerSample + byte, bytesPerSample, pixels);
  }
  return out;
}

/** PackBits into every `step`-th byte of `out`. Bytes beyond `count` are padding and ignored; too few are an error. */
function unpack(segment: Uint8Array, out: Uint8Array, first: number, step: number, count: number): void {
  let read = 0;
  let written = 0;
  while (written < count && read < segment.length) {
    const control = segment[read++]!;
    if (control === 128) continue;
    const literal = control < 128;
    const run = literal ? control + 1 : 257 - control;
    for (let index = 0; index < run && written < count; index += 1) {
      out[first + step * written++] = segment[literal ? read + index : read] ?? 0;
    }
    read += literal ? run : 1;
  }
  if (written < count || read > segment.length) throw new AiError('input', `An RLE segment ends after ${Math.min(written, count)} of ${count} bytes.`);
}
