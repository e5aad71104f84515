/**
 * Text to the bytes of a character set of table 0211: the mirror of character-set.ts. What the set does not have is an error that says which
 * character, never a question mark. The tables are the decoder's own, read backwards once, when a set is first used.
 */
export const deliverableCharacterSets = [
  'UNICODE UTF-8', 'ASCII', '8859/1', '8859/2', '8859/3', '8859/4', '8859/5', '8859/6', '8859/7', '8859/8', '8859/9', '8859/15', 'WINDOWS-1252',
  'ISO IR87', 'GB 18030-2000', 'KS X 1001',
] as const;
export type DeliverableCharacterSet = (typeof deliverableCharacterSets)[number];

type Encode = (character: string) => readonly number[] | undefined;

const labels: Readonly<Record<string, string>> = {
  '8859/2': 'iso-8859-2', '8859/3': 'iso-8859-3', '8859/4': 'iso-8859-4', '8859/5': 'iso-8859-5', '8859/6': 'iso-8859-6', '8859/7': 'iso-8859-7', '8859/8': 'iso-8859-8',
  '8859/9': 'windows-1254', '8859/15': 'iso-8859-15', 'WINDOWS-1252': 'windows-1252',
};

/** Throws RangeError with the place of the first character that the set has not. */
export function encodeMessage(text: string, characterSet: DeliverableCharacterSet): Buffer {
  if (characterSet === 'UNICODE UTF-8') return Buffer.from(text, 'utf8');
  if (characterSet === 'ISO IR87') return encodeIso2022Jp(text);
  const encode = encoderOf(characterSet);
  const bytes: number[] = [];
  let index = 0;
  for (const character of text) {
    index++;
    const code = character.codePointAt(0) ?? 0;
    const encoded = code < 0x80 ? undefined : encode(character);
    if (code >= 0x80 && encoded === undefined) throw unmappable(index, character, characterSet);
    if (encoded === undefined) bytes.push(code); else bytes.push(...encoded);
  }
  return Buffer.from(bytes);
}

/** The place and the code point: the character itself may be part of a name. */
function unmappable(index: number, character: string, characterSet: string): RangeError {
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  return new RangeError(`Character ${index} of the message (U+${code}) cannot be written in ${characterSet}; set deliver_character_set to UNICODE UTF-8`);
}

const encoders = new Map<string, Encode>();
function encoderOf(characterSet: DeliverableCharacterSet): Encode {
  let encoder = encoders.get(characterSet);
  if (!encoder) encoders.set(characterSet, encoder = makeEncoder(characterSet));
  return encoder;
}

function makeEncoder(characterSet: DeliverableCharacterSet): Encode {
  if (characterSet === 'ASCII') return () => undefined;
  if (characterSet === '8859/1') return (character) => { const code = character.codePointAt(0) ?? 0; return code >= 0xa0 && code <= 0xff ? [code] : undefined; };
  if (characterSet === 'GB 18030-2000') return tableOf('gb18030', [...pairs(0x81, 0xfe, 0x40, 0xfe), ...fourBytes()]);
  if (characterSet === 'KS X 1001') return tableOf('euc-kr', [...pairs(0xa1, 0xfe, 0xa1, 0xfe)]);
  // ISO 8859 has no letters below A0; what browsers put there (windows-1254 for 8859/9) is not sent under its name.
  const first = characterSet.startsWith('8859/') ? 0xa0 : 0x80;
  return tableOf(labels[characterSet] ?? 'utf-8', Array.from({ length: 0x100 - first }, (_, index) => [first + index]));
}

function tableOf(label: string, sequences: readonly (readonly number[])[]): Encode {
  const decoder = new TextDecoder(label, { fatal: true });
  const table = new Map<string, readonly number[]>();
  for (const bytes of sequences) {
    let character;
    try { character = decoder.decode(Uint8Array.from(bytes)); } catch { continue; }
    // One character, of which the shortest sequence is kept; C1 control characters are no text.
    if (String.fromCodePoint(character.codePointAt(0) ?? 0) === character && !/\p{Cc}|\uFFFD/u.test(character) && !table.has(character)) table.set(character, bytes);
  }
  return (character) => table.get(character);
}

function* pairs(firstLead: number, lastLead: number, firstTrail: number, lastTrail: number): Generator<readonly number[]> {
  for (let lead = firstLead; lead <= lastLead; lead++) for (let trail = firstTrail; trail <= lastTrail; trail++) yield [lead, trail];
}

/** The four-byte area of GB 18030 that holds the rest of the Basic Multilingual Plane. */
function* fourBytes(): Generator<readonly number[]> {
  for (let a = 0x81; a <= 0x84; a++) for (let b = 0x30; b <= 0x39; b++) for (let c = 0x81; c <= 0xfe; c++) for (let d = 0x30; d <= 0x39; d++) yield [a, b, c, d];
}

/** JIS X 0208 by ISO 2022: kanji and kana between ESC $ B and ESC ( B. Every delimiter and line end stands in ASCII (ch. 2.15.9.18). */
function encodeIso2022Jp(text: string): Buffer {
  const encode = iso2022Jp();
  const bytes: number[] = [];
  let isDouble = false, index = 0;
  for (const character of text) {
    index++;
    const code = character.codePointAt(0) ?? 0;
    const pair = code < 0x80 ? undefined : encode(character);
    if (code >= 0x80 && !pair) throw unmappable(index, character, 'ISO IR87');
    if (pair && !isDouble) bytes.push(0x1b, 0x24, 0x42);
    if (!pair && isDouble) bytes.push(0x1b, 0x28, 0x42);
    isDouble = pair !== undefined;
    if (pair) bytes.push(...pair); else bytes.push(code);
  }
  return Buffer.from(isDouble ? [...bytes, 0x1b, 0x28, 0x42] : bytes);
}

let jisTable: Encode | undefined;
function iso2022Jp(): Encode {
  if (jisTable) return jisTable;
  const table = tableOf('iso-2022-jp', [...pairs(0x21, 0x7e, 0x21, 0x7e)].map((pair) => [0x1b, 0x24, 0x42, ...pair]));
  return jisTable = (character) => table(character)?.slice(3);
}
