/**
 * Segmented Palette Color Lookup Table Data (PS3.3 C.7.9.2) expanded to the entries it stands for. Each segment is an operation, a length and
 * what belongs to it: 0 entries one by one, 1 a straight line from the entry before to the value given, 2 segments again that stand further ahead.
 */
import { AiError } from '../ai-error.ts';

/** @param words of the data, one per entry as wide as the descriptor says; `most` entries are enough, whatever the segments ask for. */
export function expandSegments(words: ArrayLike<number>, isWide: boolean, most: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(most);
  let filled = 0;
  const run = (start: number, segments: number, mayRepeat: boolean): void => {
    let at = start;
    for (let segment = 0; segment < segments && at < words.length && filled < most; segment += 1) {
      const operation = words[at], length = words[at + 1] ?? 0, content = at + 2;
      if (operation === 0) {
        for (let index = 0; index < length && filled < most; index += 1) out[filled++] = words[content + index] ?? 0;
        at = content + length;
      } else if (operation === 1 && filled > 0) {
        const from = out[filled - 1]!, to = words[content] ?? 0;
        for (let step = 1; step <= length && filled < most; step += 1) out[filled++] = Math.round(from + ((to - from) * step) / length);
        at = content + 1;
      } else if (operation === 2 && mayRepeat) {
        run(offsetAt(words, content, isWide), length, false);
        at = content + (isWide ? 2 : 4);
      } else throw new AiError('input', `Segmented palette data are damaged: operation ${operation} at entry ${at}.`);
    }
  };
  run(0, Infinity, true);
  return out.subarray(0, filled);
}

/** A byte offset, its least significant part first; told as the number of the entry. */
function offsetAt(words: ArrayLike<number>, at: number, isWide: boolean): number {
  const parts = Array.from({ length: isWide ? 2 : 4 }, (_, index) => words[at + index] ?? 0);
  const bytes = parts.reduceRight((sum, part) => sum * (isWide ? 65536 : 256) + part, 0);
  return isWide ? bytes / 2 : bytes;
}
