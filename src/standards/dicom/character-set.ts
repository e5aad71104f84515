/**
 * Specific Character Set (0008,0005): which bytes mean which characters (PS3.3 C.12.1.1.2, PS3.5 6.1).
 * In: the bytes of a text value and the defined terms. Out: Unicode text. One term without code extensions decodes as a whole;
 * ISO 2022 terms switch character sets inside the value (iso-2022.ts). A byte that has no meaning becomes U+FFFD, never an error.
 */
import { decodeIso2022 } from './iso-2022.ts';
import { codedCharacterSets, utf8OrLatin1 } from './coded-character-sets.ts';
import type { CodedCharacterSet } from './coded-character-sets.ts';

export interface CharacterSet {
  /** The defined terms as understood, '' for the default repertoire (ISO_IR 6). */
  readonly terms: readonly string[];
  /** What was odd about (0008,0005): unknown terms, code extensions where none may be. */
  readonly warnings: readonly string[];
  /**
   * The text of a whole value field. Multiple values and name components are still joined by \ ^ =: split after decoding, since the
   * same bytes occur inside multi-byte characters. `separatesValues` false (ST, LT, UT) lets 0x5C be what the set says, a yen sign in JIS.
   */
  decode(bytes: Buffer, options?: { readonly isPersonName?: boolean; readonly separatesValues?: boolean }): string;
}

const cache = new Map<string, CharacterSet>();
const mostCached = 200;

/** @param specificCharacterSet the value of (0008,0005), multiple values joined by backslash; undefined or '' for the default repertoire */
export function characterSetOf(specificCharacterSet: string | undefined): CharacterSet {
  const key = specificCharacterSet ?? '';
  let found = cache.get(key);
  if (found === undefined) {
    found = build(key);
    if (cache.size < mostCached) cache.set(key, found);
  }
  return found;
}

function build(specificCharacterSet: string): CharacterSet {
  const warnings: string[] = [];
  const written = specificCharacterSet.split('\\').map((term) => term.replace(/[\0 ]+$/, '').trimStart());
  const terms = written.map((term) => canonicalTerm(term, warnings)).map((term, _index, all) => all.length === 1 ? term : withCodeExtensions(term, warnings));
  const first = terms[0] ?? '';
  const sets = terms.map((term) => codedCharacterSets.get(term)).filter((set): set is CodedCharacterSet => set !== undefined);
  const whole = codedCharacterSets.get(first)?.decodeWhole;
  if (whole !== undefined) {
    if (terms.length > 1) warnings.push(`${first} allows no further character sets (PS3.3 C.12.1.1.2); they were ignored`);
    return { terms: [first], warnings, decode: (bytes) => isAscii(bytes) ? bytes.toString('latin1') : whole(bytes) };
  }
  if (first === '' && sets.length === terms.length && terms.every((term) => term === ''))
    return { terms: [''], warnings, decode: (bytes) => isAscii(bytes) ? bytes.toString('latin1') : utf8OrLatin1(bytes) };
  const initial = codedCharacterSets.get(first) ?? {};
  return {
    terms, warnings,
    decode: (bytes, options) => isAscii(bytes) && initial.g0 === undefined && !bytes.includes(0x1b)
      ? bytes.toString('latin1')
      : decodeIso2022(bytes, initial, sets, options?.isPersonName ?? false, options?.separatesValues ?? true),
  };
}

function isAscii(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte > 0x7e) return false;
  return true;
}

const spellings = new Map([
  ['UTF8', 'ISO_IR 192'], ['ISO2022IR192', 'ISO_IR 192'], ['LATIN1', 'ISO_IR 100'], ['ISO88591', 'ISO_IR 100'], ['ISO88592', 'ISO_IR 101'], ['ISO88593', 'ISO_IR 109'],
  ['ISO88594', 'ISO_IR 110'], ['ISO88595', 'ISO_IR 144'], ['ISO88596', 'ISO_IR 127'], ['ISO88597', 'ISO_IR 126'], ['ISO88598', 'ISO_IR 138'], ['ISO88599', 'ISO_IR 148'],
  ['ISO885915', 'ISO_IR 203'], ['GB2312', 'ISO 2022 IR 58'], ['ISO2022GBK', 'GBK'], ['ISO2022GB18030', 'GB18030'], ['ASCII', ''], ['USASCII', ''],
  // Multi-byte sets exist with code extensions only; written without '2022' they can mean nothing else.
  ['ISOIR87', 'ISO 2022 IR 87'], ['ISOIR159', 'ISO 2022 IR 159'], ['ISOIR149', 'ISO 2022 IR 149'], ['ISOIR58', 'ISO 2022 IR 58'],
]);
for (const term of codedCharacterSets.keys()) spellings.set(bare(term), term);

function bare(term: string): string {
  return term.toUpperCase().replaceAll(/[^A-Z0-9]/g, '');
}

/** Several sets are possible with code extensions only, so 'ISO_IR 100\\ISO_IR 144' can mean nothing but the ISO 2022 terms. */
function withCodeExtensions(term: string, warnings: string[]): string {
  const extended = term.replace(/^ISO_IR /, 'ISO 2022 IR ');
  if (extended === term || !codedCharacterSets.has(extended)) return term;
  warnings.push(`${term} cannot stand beside other character sets; read as ${extended}`);
  return extended;
}

/** 'ISO-IR 100', 'ISO_IR_100', 'ISO 2022-IR-100' and the like are what real devices write for 'ISO_IR 100'. */
function canonicalTerm(term: string, warnings: string[]): string {
  if (codedCharacterSets.has(term)) return term;
  const known = spellings.get(bare(term));
  warnings.push(known === undefined ? 'unknown character set; bytes above 7E were read as UTF-8 if they are, else as Latin-1' : `misspelt character set, read as ${known === '' ? 'the default repertoire' : known}`);
  return known ?? '';
}
