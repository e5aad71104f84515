/**
 * Code extension by ISO 2022 escape sequences as DICOM restricts it (PS3.5 6.1.2.5): G0 holds what bytes 21-7E mean, G1 what A0-FF mean.
 * Both return to the first value of (0008,0005) at the end of every line and before every delimiter: \ between values, ^ and = in names.
 */
import { ascii, elementsByEscape, utf8OrLatin1 } from './coded-character-sets.ts';
import type { CodedCharacterSet, CodedElement } from './coded-character-sets.ts';

const escape = 0x1b, backslash = 0x5c, caret = 0x5e, equals = 0x3d;

export function decodeIso2022(bytes: Buffer, initial: CodedCharacterSet, sets: readonly CodedCharacterSet[], isPersonName: boolean, separatesValues: boolean): string {
  // Multi-byte sets may not come first (PS3.3 C.12.1.1.2): their G0 is reached by its escape sequence only.
  const initialG0 = initial.g0?.bytesPerCharacter === 1 ? initial.g0 : ascii;
  let g0 = initialG0, g1 = initial.g1, text = '', at = 0;
  // Senders that do not repeat the escape sequence after a delimiter mean the set they last used, or the only one they named.
  let fallbackG1 = initial.g1 ?? sets.find((set) => set.g1 !== undefined)?.g1;

  while (at < bytes.length) {
    const byte = bytes[at] ?? 0;
    if (byte === escape) {
      const element = elementAt(bytes, at + 1);
      if (element === undefined) { text += '\ufffd'; at += 1; continue; }
      if (element.register === 'G0') g0 = element;
      else { g1 = element; fallbackG1 = element; }
      at += 1 + element.escape.length;
      continue;
    }
    if (isReset(byte, g0)) {
      text += String.fromCharCode(byte);
      g0 = initialG0;
      g1 = initial.g1;
      at += 1;
      continue;
    }
    const isHigh = byte >= 0x80;
    const end = runEnd(bytes, at, isHigh);
    const run = bytes.subarray(at, end);
    text += isHigh ? (g1?.decode ?? fallbackG1?.decode ?? utf8OrLatin1)(run) : g0.decode(run);
    at = end;
  }
  return text;

  function isReset(byte: number, current: CodedElement): boolean {
    if (byte < 0x20) return true;
    if (current.bytesPerCharacter === 2) return false;
    return (byte === backslash && separatesValues) || (isPersonName && (byte === caret || byte === equals));
  }
  /** A run ends at the other half of the code table, at a control or escape, and after every byte that could be a delimiter. */
  function runEnd(all: Buffer, start: number, isHigh: boolean): number {
    let end = start;
    while (end < all.length) {
      const byte = all[end] ?? 0;
      if (byte === escape || byte >= 0x80 !== isHigh || (!isHigh && isReset(byte, g0))) break;
      end += 1;
    }
    return end;
  }
}

function elementAt(bytes: Buffer, offset: number): CodedElement | undefined {
  return elementsByEscape.get(bytes.toString('latin1', offset, offset + 2)) ?? elementsByEscape.get(bytes.toString('latin1', offset, offset + 3));
}
