/**
 * Unicode text into the bytes of a Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1): for peers that cannot read UTF-8. The tables are the decoder's own
 * (coded-character-sets.ts), read backwards once, when a set is first used.
 */
import { codedCharacterSets } from './coded-character-sets.ts';
import { encodeDataset, type DatasetElements, type DatasetForm } from './dataset-writer.ts';

/** Defined terms that text can be written in. Those of ISO 2022 stand behind the default repertoire: `\ISO 2022 IR 87`. */
export const writableCharacterSets = [
  'ISO_IR 192', 'ISO_IR 100', 'ISO_IR 101', 'ISO_IR 109', 'ISO_IR 110', 'ISO_IR 126', 'ISO_IR 127', 'ISO_IR 138', 'ISO_IR 144', 'ISO_IR 148', 'ISO_IR 166', 'ISO_IR 203',
  'GB18030', 'GBK', 'ISO 2022 IR 87', 'ISO 2022 IR 149',
] as const;
export type WritableCharacterSet = (typeof writableCharacterSets)[number];

/** The dataset in this set, named in (0008,0005); in UTF-8 where a character of its text is not in the set, for a name with another letter is another name. */
export function encodeDatasetIn(set: WritableCharacterSet | undefined, elements: DatasetElements, form: Omit<DatasetForm, 'encodeText'> = {}): Buffer {
  const written = (one: WritableCharacterSet): Buffer => encodeDataset({ ...elements, '(0008,0005)': specificCharacterSet(one) }, { ...form, encodeText: (text) => encodeText(text, one) });
  try {
    return written(set ?? 'ISO_IR 192');
  } catch (error) {
    if (!(error instanceof UnwritableTextError)) throw error;
    return written('ISO_IR 192');
  }
}

/** Some character is not in the set. Which one is not said: it may be part of a name. */
export class UnwritableTextError extends Error {}

/** What goes into (0008,0005). */
export const specificCharacterSet = (set: WritableCharacterSet): string | readonly string[] => (set.startsWith('ISO 2022') ? ['', set] : set);

/** The set that is meant by terms as they came, if text can be written in it. */
export function writableSetOf(terms: readonly string[]): WritableCharacterSet | undefined {
  const named = terms.map((term) => (/^ISO 2022 IR (?!87|149)/.test(term) ? term.replace('ISO 2022 IR', 'ISO_IR') : term));
  return named.length > 1 ? writableCharacterSets.find((set) => set.startsWith('ISO 2022') && named.includes(set)) ?? only(named.filter((term) => term !== '' && term !== 'ISO_IR 6')) : only(named);
}
const only = (terms: readonly string[]): WritableCharacterSet | undefined => (terms.length === 1 ? writableCharacterSets.find((set) => set === terms[0]) : undefined);

/** The bytes of a value field whose values and name components are joined already. Throws UnwritableTextError. */
export function encodeText(text: string, set: WritableCharacterSet): Buffer {
  if (set === 'ISO_IR 192') return Buffer.from(text, 'utf8');
  const table = tableOf(set), escape = escapes[set];
  const bytes: number[] = [];
  let isSwitched = false;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0, written = code < 0x80 ? [code] : table.get(character);
    if (written === undefined) throw new UnwritableTextError(`the text cannot be written in ${set}`);
    if (escape && code >= 0x80 && !isSwitched) bytes.push(0x1b, ...Buffer.from(escape, 'latin1'));
    // JIS X 0208 takes the place of ASCII, which stands before every delimiter; KS X 1001 stands beside it, and each component and line names it anew (PS3.5 6.1.2.5.3).
    if (set === 'ISO 2022 IR 87' && code < 0x80 && isSwitched) bytes.push(0x1b, ...Buffer.from('(B', 'latin1'));
    isSwitched = code >= 0x80 || (isSwitched && set === 'ISO 2022 IR 149' && !/[\\^=\r\n\f\t]/.test(character));
    bytes.push(...written);
  }
  if (set === 'ISO 2022 IR 87' && isSwitched) bytes.push(0x1b, ...Buffer.from('(B', 'latin1'));
  return Buffer.from(bytes);
}

const escapes: Readonly<Partial<Record<WritableCharacterSet, string>>> = { 'ISO 2022 IR 87': '$B', 'ISO 2022 IR 149': '$)C' };
const tables = new Map<WritableCharacterSet, ReadonlyMap<string, readonly number[]>>();

function tableOf(set: WritableCharacterSet): ReadonlyMap<string, readonly number[]> {
  let table = tables.get(set);
  if (!table) tables.set(set, table = new Map(backwards(set)));
  return table;
}

function* backwards(set: WritableCharacterSet): Generator<[string, readonly number[]]> {
  const { decodeWhole, g0, g1 } = codedCharacterSets.get(set)!;
  const decode = (g0 ?? g1)?.decode ?? decodeWhole!;
  for (const bytes of sequencesOf(set)) {
    const character = decode(Buffer.from(bytes));
    if (String.fromCodePoint(character.codePointAt(0) ?? 0) === character && !/[\p{Cc}\uFFFD]/u.test(character)) yield [character, bytes];
  }
}

function sequencesOf(set: WritableCharacterSet): readonly (readonly number[])[] {
  if (set === 'ISO 2022 IR 87') return pairs(0x21, 0x7e, 0x21, 0x7e);
  if (set === 'ISO 2022 IR 149') return pairs(0xa1, 0xfe, 0xa1, 0xfe);
  if (set === 'GBK' || set === 'GB18030') return pairs(0x81, 0xfe, 0x40, 0xfe);
  return Array.from({ length: 0x60 }, (_, index) => [0xa0 + index]);
}
const range = (first: number, last: number): readonly number[] => Array.from({ length: last - first + 1 }, (_, index) => first + index);
const pairs = (firstLead: number, lastLead: number, firstTrail: number, lastTrail: number): readonly (readonly number[])[] =>
  range(firstLead, lastLead).flatMap((lead) => range(firstTrail, lastTrail).map((trail) => [lead, trail]));
