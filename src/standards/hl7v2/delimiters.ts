/**
 * MSH-1 and MSH-2: the characters that cut a message into fields, components, repetitions and subcomponents (HL7 v2.5.1 ch. 2.5.4).
 * A sender may choose its own; 2.7 added a fifth encoding character (truncation) that may be there and means nothing for reading.
 * A delimiter a message does not name is undefined and cuts nothing.
 */
export interface Delimiters {
  readonly field: string;
  readonly component: string | undefined;
  readonly repetition: string | undefined;
  readonly escape: string | undefined;
  readonly subcomponent: string | undefined;
  /** MSH-2 as it was sent. */
  readonly encodingCharacters: string;
}

export const standardDelimiters: Delimiters = { field: '|', component: '^', repetition: '~', escape: '\\', subcomponent: '&', encodingCharacters: '^~\\&' };

/** Reads the delimiters of a text that begins with MSH, BHS or FHS; undefined when MSH-1 or MSH-2 cannot be delimiters. */
export function readDelimiters(text: string): Delimiters | undefined {
  const field = text[3];
  if (field === undefined || !isDelimiter(field)) return undefined;
  let end = 4;
  while (end < text.length && end < 12 && text[end] !== field && text[end] !== '\r' && text[end] !== '\n') end++;
  const encodingCharacters = text.slice(4, end);
  const characters = encodingCharacters.split('');
  if (characters.length === 0 || characters.length > 5) return undefined;
  if (new Set(characters).size !== characters.length || !characters.every(isDelimiter)) return undefined;
  const [component, repetition, escape, subcomponent] = characters;
  return { field, component, repetition, escape, subcomponent, encodingCharacters };
}

/** Printable ASCII that is no letter, digit or space: anything else would cut values apart. */
function isDelimiter(character: string): boolean {
  return /^[!-/:-@[-`{-~]$/.test(character);
}
