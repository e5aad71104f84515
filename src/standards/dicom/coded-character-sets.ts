/** The coded character sets that (0008,0005) can name (PS3.3 tables C.12-2 to C.12-5) and their byte-to-character rules. */

/** Decodes the bytes of one run. A double-byte G0 set gets 7-bit bytes, every G1 set bytes of A0 and up. */
type DecodeRun = (bytes: Buffer) => string;

export interface CodedElement {
  /** Escape sequence after 1B, e.g. '$B'. */
  readonly escape: string;
  readonly register: 'G0' | 'G1';
  readonly bytesPerCharacter: 1 | 2;
  readonly decode: DecodeRun;
}
export interface CodedCharacterSet {
  /** Set when the value is decoded in one piece: no escape sequences exist in it. */
  readonly decodeWhole?: DecodeRun;
  /** Elements that the set brings; undefined G0 is ASCII (ISO-IR 6), undefined G1 is nothing. */
  readonly g0?: CodedElement;
  readonly g1?: CodedElement;
}

export const ascii: CodedElement = { escape: '(B', register: 'G0', bytesPerCharacter: 1, decode: (bytes) => bytes.toString('latin1') };

/** Node's Latin-1 gives the C1 controls their own code points, which TextDecoder('latin1') does not (it is windows-1252). */
function decodeLatin1(bytes: Buffer): string {
  return bytes.toString('latin1');
}
function textDecoder(label: string): DecodeRun {
  const decoder = new TextDecoder(label, { ignoreBOM: true });
  return (bytes) => decoder.decode(bytes);
}
/** ISO 8859 parts by TextDecoder, whose windows cousins put letters where ISO has C1 controls. */
function iso8859(label: string): DecodeRun {
  const decoder = new TextDecoder(label);
  return (bytes) => bytes.some((byte) => byte >= 0x80 && byte < 0xa0)
    ? Array.from(bytes, (byte) => byte >= 0x80 && byte < 0xa0 ? String.fromCharCode(byte) : decoder.decode(Uint8Array.of(byte))).join('')
    : decoder.decode(bytes);
}

const utf8 = textDecoder('utf-8');
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** For bytes above 7E where the object allows none: UTF-8 is nearly impossible to hit by chance, Latin-1 is the common omission. */
export function utf8OrLatin1(bytes: Buffer): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}

/** JIS X 0201: G0 is ASCII but for yen sign and overline, G1 the half-width katakana. */
function decodeJisX0201(bytes: Buffer): string {
  return Array.from(bytes, (byte) => {
    if (byte === 0x5c) return '\u00a5';
    if (byte === 0x7e) return '\u203e';
    if (byte < 0x80) return String.fromCharCode(byte);
    return byte >= 0xa1 && byte <= 0xdf ? String.fromCharCode(0xff61 + byte - 0xa1) : '\ufffd';
  }).join('');
}

/** Where the web's EUC-JP decoder follows Windows, JIS X 0208 and every iconv say otherwise. */
const jisX0208 = new Map([['\uff5e', '\u301c'], ['\u2225', '\u2016'], ['\uff0d', '\u2212'], ['\uffe0', '\u00a2'], ['\uffe1', '\u00a3'], ['\uffe2', '\u00ac']]);
const eucJp = textDecoder('euc-jp');
function decodeJisX0208(bytes: Buffer): string {
  return eucJp(Buffer.from(bytes.map((byte) => byte | 0x80))).replaceAll(/[\uff5e\u2225\uff0d\uffe0-\uffe2]/g, (character) => jisX0208.get(character) ?? character);
}
/** EUC-JP reaches JIS X 0212 by the single shift 8F. */
function decodeJisX0212(bytes: Buffer): string {
  const shifted: number[] = [];
  for (let at = 0; at + 1 < bytes.length; at += 2) shifted.push(0x8f, (bytes[at] ?? 0) | 0x80, (bytes[at + 1] ?? 0) | 0x80);
  return eucJp(Buffer.from(shifted)) + (bytes.length % 2 === 1 ? '\ufffd' : '');
}

/** KS X 1001 as of 1998 and 2002: three characters that the web's EUC-KR decoder lacks. */
const ksX1001: Readonly<Record<string, string>> = { a2e6: '\u20ac', a2e7: '\u00ae', a2e8: '\u327e' };
const eucKr = textDecoder('euc-kr');
function decodeKsX1001(bytes: Buffer): string {
  if (!bytes.includes(0xa2)) return eucKr(bytes);
  let text = '';
  for (let at = 0; at < bytes.length; at += 2) text += ksX1001[bytes.toString('hex', at, at + 2)] ?? eucKr(bytes.subarray(at, at + 2));
  return text;
}

const g1 = (escape: string, decode: DecodeRun): CodedElement => ({ escape, register: 'G1', bytesPerCharacter: 1, decode });
const jisRomaji: CodedElement = { escape: '(J', register: 'G0', bytesPerCharacter: 1, decode: decodeJisX0201 };
const katakana = g1(')I', decodeJisX0201);

/** ISO registration -> escape sequence and rule of the single-byte sets with a 96-character G1 (table C.12-3). */
const singleByte: readonly (readonly [string, string, DecodeRun])[] = [
  ['100', '-A', decodeLatin1], ['101', '-B', iso8859('iso-8859-2')], ['109', '-C', iso8859('iso-8859-3')], ['110', '-D', iso8859('iso-8859-4')],
  ['144', '-L', iso8859('iso-8859-5')], ['127', '-G', iso8859('iso-8859-6')], ['126', '-F', iso8859('iso-8859-7')], ['138', '-H', iso8859('iso-8859-8')],
  ['148', '-M', iso8859('iso-8859-9')], ['203', '-b', iso8859('iso-8859-15')], ['166', '-T', iso8859('windows-874')],
];

export const codedCharacterSets: ReadonlyMap<string, CodedCharacterSet> = new Map<string, CodedCharacterSet>([
  ['', {}],
  ['ISO_IR 6', { decodeWhole: utf8OrLatin1 }],
  ...singleByte.map(([number, , decode]): [string, CodedCharacterSet] => [`ISO_IR ${number}`, { decodeWhole: decode }]),
  ['ISO_IR 13', { g0: jisRomaji, g1: katakana }],
  ['ISO_IR 192', { decodeWhole: utf8 }],
  ['GB18030', { decodeWhole: textDecoder('gb18030') }],
  ['GBK', { decodeWhole: textDecoder('gbk') }],
  ['ISO 2022 IR 6', {}],
  ...singleByte.map(([number, escape, decode]): [string, CodedCharacterSet] => [`ISO 2022 IR ${number}`, { g1: g1(escape, decode) }]),
  ['ISO 2022 IR 13', { g0: jisRomaji, g1: katakana }],
  ['ISO 2022 IR 87', { g0: { escape: '$B', register: 'G0', bytesPerCharacter: 2, decode: decodeJisX0208 } }],
  ['ISO 2022 IR 159', { g0: { escape: '$(D', register: 'G0', bytesPerCharacter: 2, decode: decodeJisX0212 } }],
  ['ISO 2022 IR 149', { g1: { escape: '$)C', register: 'G1', bytesPerCharacter: 2, decode: decodeKsX1001 } }],
  ['ISO 2022 IR 58', { g1: { escape: '$)A', register: 'G1', bytesPerCharacter: 2, decode: textDecoder('gbk') } }],
]);

/** Every element by its escape sequence: a value may switch to sets that (0008,0005) forgot to name. */
export const elementsByEscape: ReadonlyMap<string, CodedElement> = new Map([...codedCharacterSets.values()]
  .flatMap((set) => [set.g0, set.g1]).concat([ascii, { escape: '$@', register: 'G0', bytesPerCharacter: 2, decode: decodeJisX0208 }])
  .filter((element): element is CodedElement => element !== undefined).map((element) => [element.escape, element]));
