/**
 * MSH-18 and HL7 table 0211: from the bytes of a message to its text. Decoded after framing, never before.
 *
 * Two documented tolerances, both forced by what is sent in the field:
 *   - bytes that are valid UTF-8 and not plain ASCII are read as UTF-8 although MSH-18 says 8859/x, ASCII or nothing: text in an
 *     8-bit set is valid UTF-8 by chance so rarely that the label is wrong, not the bytes;
 *   - bytes that are not valid UTF-8 although MSH-18 says so are read as windows-1252, not with replacement characters.
 * An integration's own setting wins over both.
 */
import { isAscii, isUtf8 } from 'node:buffer';

export interface CharacterSet {
  /** WHATWG label the text was decoded with. */
  readonly encoding: string;
  /** The label MSH-18 stands for, when it names one we know. */
  readonly declared: string | undefined;
}

/** Table 0211 -> WHATWG encoding label. 8859/1 decodes as windows-1252, its superset in every browser and in TextDecoder. */
const table0211: Readonly<Record<string, string>> = {
  'ASCII': 'windows-1252', '8859/1': 'windows-1252', '8859/2': 'iso-8859-2', '8859/3': 'iso-8859-3', '8859/4': 'iso-8859-4',
  '8859/5': 'iso-8859-5', '8859/6': 'iso-8859-6', '8859/7': 'iso-8859-7', '8859/8': 'iso-8859-8', '8859/9': 'windows-1254',
  '8859/10': 'iso-8859-10', '8859/11': 'windows-874', '8859/13': 'iso-8859-13', '8859/14': 'iso-8859-14',
  '8859/15': 'iso-8859-15', 'ISO IR6': 'windows-1252', 'ISO IR14': 'iso-2022-jp', 'ISO IR87': 'iso-2022-jp', 'ISO IR159': 'iso-2022-jp',
  'GB 18030-2000': 'gb18030', 'KS X 1001': 'euc-kr', 'BIG-5': 'big5', 'UNICODE': 'utf-8', 'UNICODE UTF-8': 'utf-8',
  'UNICODE UTF-16': 'utf-16le',
  // not in the table, but sent:
  'UTF-8': 'utf-8', 'UTF8': 'utf-8', 'UNICODE UTF8': 'utf-8', 'UTF-16': 'utf-16le', 'ISO-8859-1': 'windows-1252', 'ISO8859-1': 'windows-1252', 'ISO-8859-15': 'iso-8859-15',
  'WINDOWS-1252': 'windows-1252', 'CP1252': 'windows-1252', 'WINDOWS-1251': 'windows-1251', 'SHIFT_JIS': 'shift_jis', 'GB18030': 'gb18030',
};

export const characterSetNames: readonly string[] = Object.keys(table0211);

/** The WHATWG label for an MSH-18 value (its first known repetition; an ISO IR87 among them decides, being the one with escapes). */
export function encodingOf(characterSet: string | undefined, repetition = '~'): string | undefined {
  const known = (characterSet ?? '').split(repetition).map((name) => table0211[name.trim().toUpperCase()]).filter((label) => label !== undefined);
  return known.includes('iso-2022-jp') ? 'iso-2022-jp' : known[0];
}

export interface Decoded { readonly text: string; readonly characterSet: CharacterSet; readonly warning?: string }

/** Decodes one message. `override` is a table 0211 name or a WHATWG label set for the integration. */
export function decodeMessage(bytes: Buffer, override?: string): Decoded {
  const wide = utf16Label(bytes);
  if (wide) return decoded(bytes, wide, wide);
  const msh18 = readMsh18(bytes);
  const declared = encodingOf(msh18);
  if (override) { const label = encodingOf(override) ?? override; return decoded(bytes, label, label); }
  if (declared === 'iso-2022-jp') {
    const designating = withDesignations(bytes);
    if (designating.includes(0x1b)) return decoded(designating, declared, declared);
  }
  if (isAscii(bytes)) return { text: bytes.toString('latin1'), characterSet: { encoding: declared ?? 'utf-8', declared } };
  if (declared !== undefined && isMultiByte(declared) && declared !== 'utf-8') return decoded(bytes, declared, declared);
  if (isUtf8(bytes)) return decoded(bytes, 'utf-8', declared, declared === 'utf-8' || declared === undefined ? undefined : `MSH-18 says ${msh18} but the bytes are UTF-8; read as UTF-8`);
  if (declared !== undefined && declared !== 'utf-8') return decoded(bytes, declared, declared);
  return decoded(bytes, 'windows-1252', declared, `MSH-18 says ${msh18 || 'nothing'} and the bytes are not valid UTF-8; read as windows-1252`);
}

function decoded(bytes: Buffer, encoding: string, declared: string | undefined, warning?: string): Decoded {
  const text = encoding === 'iso-2022-jp' ? decodeIso2022Jp(bytes) : new TextDecoder(encoding).decode(bytes);
  return { text, characterSet: { encoding, declared }, ...(warning ? { warning } : {}) };
}

/**
 * ISO 2022 with the sets of table 0211 that the browsers' decoder lacks: JIS X 0212 (ISO IR159). Each run is written as EUC-JP, which has all of
 * them; CR and LF end a run, because ASCII is in use at the start of each line (ch. 2.15.9.18).
 */
function decodeIso2022Jp(bytes: Buffer): string {
  const euc: number[] = [];
  let prefix: readonly number[] = [], isPair = false, isHigh = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    const set = byte === 0x1b ? designated(bytes, at + 1) : undefined;
    if (set) { ({ prefix, isPair, isHigh } = set); at += set.byteLength; continue; }
    if (byte === 0x0d || byte === 0x0a) isHigh = false;
    if (!isHigh || byte < 0x21 || byte > 0x7e) { euc.push(byte); continue; }
    euc.push(...prefix, byte | 0x80);
    if (isPair) { at++; const second = bytes[at] ?? 0x3f; euc.push(second >= 0x21 && second <= 0x7e ? second | 0x80 : 0x3f); }
  }
  return new TextDecoder('euc-jp').decode(Uint8Array.from(euc));
}

interface Designated { readonly byteLength: number; readonly prefix: readonly number[]; readonly isPair: boolean; readonly isHigh: boolean }
const designations: Readonly<Record<string, Designated>> = {
  '(B': { byteLength: 2, prefix: [], isPair: false, isHigh: false }, '(J': { byteLength: 2, prefix: [], isPair: false, isHigh: false },
  '(I': { byteLength: 2, prefix: [0x8e], isPair: false, isHigh: true }, '$@': { byteLength: 2, prefix: [], isPair: true, isHigh: true },
  '$B': { byteLength: 2, prefix: [], isPair: true, isHigh: true }, '$(D': { byteLength: 3, prefix: [0x8f], isPair: true, isHigh: true },
};
function designated(bytes: Buffer, at: number): Designated | undefined {
  return designations[bytes.toString('latin1', at, at + 3)] ?? designations[bytes.toString('latin1', at, at + 2)];
}

/** \C2842\ and \M2442\ stand for the escape sequences of ISO 2022 (ch. 2.7.3): read before anything is cut, for what follows them may look like delimiters. */
function withDesignations(bytes: Buffer): Buffer {
  const start = bytes.indexOf('MSH', 0, 'latin1');
  const escape = start < 0 ? '\\' : bytes.toString('latin1', start + 6, start + 7);
  if (!/^[!-/:-@[-`{-~]$/.test(escape) || !bytes.includes(escape)) return bytes;
  const sequence = new RegExp(`${RegExp.escape(escape)}[CM]((?:[0-9A-Fa-f]{2}){2,3})${RegExp.escape(escape)}`, 'g');
  const text = bytes.toString('latin1').replace(sequence, (whole, hex: string) => {
    const code = Buffer.from(hex, 'hex').toString('latin1');
    return code in designations ? `\x1b${code}` : whole;
  });
  return Buffer.from(text, 'latin1');
}

/** Right halves of ISO 8859 by the last byte of their escape sequence (ESC 02/13 F; ISO-IR 100 and others). */
const rightHalves: Readonly<Record<string, string>> = {
  '41': '8859/1', '42': '8859/2', '43': '8859/3', '44': '8859/4', '4C': '8859/5', '47': '8859/6', '46': '8859/7', '48': '8859/8', '4D': '8859/9', '56': '8859/10', '54': '8859/11', '59': '8859/13', '5F': '8859/14', '62': '8859/15',
};

/** What \C2Dxx\ says of the text behind it: the set that its 8-bit characters are of. \C2842\: that of the message again. Undefined: none that is known. */
export function designatedBy(hex: string, message: CharacterSet): CharacterSet | undefined {
  if (hex.toUpperCase() === '2842') return message;
  const encoding = /^2D/i.test(hex) ? table0211[rightHalves[hex.slice(2).toUpperCase()] ?? ''] : undefined;
  return encoding === undefined ? undefined : { encoding, declared: encoding };
}

/** Text that was decoded in one 8-bit set, as another reads its bytes. What had no byte stays. */
export function readAgain(text: string, from: CharacterSet, to: CharacterSet): string {
  if (from.encoding === to.encoding || isMultiByte(from.encoding) || isAscii(Buffer.from(text))) return text;
  const [before, after] = [highHalf(from.encoding), highHalf(to.encoding)];
  return text.replaceAll(/\P{ASCII}/gu, (character) => { const at = character === '\uFFFD' ? -1 : before.indexOf(character); return at < 0 ? character : after[at] ?? character; });
}

const halves = new Map<string, readonly string[]>();
function highHalf(label: string): readonly string[] {
  let half = halves.get(label);
  if (!half) halves.set(label, half = Array.from({ length: 128 }, (_, index) => new TextDecoder(label).decode(Uint8Array.of(0x80 + index))));
  return half;
}

const isMultiByte = (label: string): boolean => ['gb18030', 'euc-kr', 'big5', 'shift_jis', 'utf-8', 'utf-16le', 'iso-2022-jp'].includes(label);

/** UTF-16 is told by its byte order mark or by the zero bytes around 'MSH'; MSH-18 itself cannot be read before. */
function utf16Label(bytes: Buffer): string | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  const head = bytes.subarray(0, 6);
  if (head.equals(Buffer.from('MSH', 'utf16le'))) return 'utf-16le';
  if (head.equals(Buffer.from('MSH', 'utf16le').swap16())) return 'utf-16be';
  return undefined;
}

/** MSH-18 as raw text, read before decoding: every character set of table 0211 but UTF-16 keeps ASCII where MSH stands. */
function readMsh18(bytes: Buffer): string | undefined {
  const start = bytes.indexOf('MSH', 0, 'latin1');
  if (start < 0) return undefined;
  const line = bytes.toString('latin1', start, start + 4096).split(/[\r\n]/, 1)[0] ?? '';
  return line.split(line[3] ?? '|')[17]?.trim();
}

/** The bytes of \Xdd..\ as text: in the message's character set, or in the declared one, whichever they are valid in (ch. 2.7.5). */
export function decodeHexBytes(hex: string, characterSet: CharacterSet): string {
  const bytes = Buffer.from(hex, 'hex');
  if (isAscii(bytes)) return bytes.toString('latin1');
  for (const label of [characterSet.encoding, characterSet.declared]) {
    if (label === undefined) continue;
    try { return new TextDecoder(label, { fatal: true }).decode(bytes); } catch { /* not in this set: the next one */ }
  }
  return new TextDecoder('windows-1252').decode(bytes);
}
