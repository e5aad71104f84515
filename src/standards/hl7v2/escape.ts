/**
 * Escape sequences (HL7 v2.5.1 ch. 2.7): \F\ \S\ \T\ \R\ \E\ for the delimiters, \Xdd..\ for bytes in the message's character set, \Cxxyy\ for another
 * one from there on to the end of the value (those of ISO 2022 are read with the bytes: character-set.ts),
 * \.br\ and its kin for line ends in formatted text, \H\ \N\ for highlighting. A sequence we do not know stays as it was sent, so that
 * 'C:\DATA\X' loses nothing. Writing is the mirror: no value can start a field, a repetition or a segment.
 */
import { standardDelimiters } from './delimiters.ts';
import type { Delimiters } from './delimiters.ts';
import { decodeHexBytes, designatedBy, readAgain } from './character-set.ts';
import type { CharacterSet } from './character-set.ts';

/** Text as a person reads it. NUL becomes U+FFFD: PostgreSQL cannot hold it, and without a trace of it two values would become one. */
export function unescapeText(text: string, delimiters: Delimiters, characterSet: CharacterSet): string {
  const escape = delimiters.escape;
  const plain = escape === undefined || !text.includes(escape) ? text : unescapeSequences(text, escape, delimiters, characterSet);
  return plain.includes('\0') ? plain.replaceAll('\0', '\uFFFD') : plain;
}

function unescapeSequences(text: string, escape: string, delimiters: Delimiters, characterSet: CharacterSet): string {
  let out = '', set = characterSet;
  let bytes = ''; // adjacent \X..\ are one run of bytes: a multi-byte character may be spread over them
  let at = 0;
  const flush = (): void => { if (bytes) { out += decodeHexBytes(bytes, set); bytes = ''; } };
  while (at < text.length) {
    const start = text.indexOf(escape, at);
    if (start !== at || start < 0) flush();
    if (start < 0) return out + readAgain(text.slice(at), characterSet, set);
    out += readAgain(text.slice(at, start), characterSet, set);
    const end = text.indexOf(escape, start + 1);
    const sequence = end < 0 ? undefined : text.slice(start + 1, end);
    const hex = sequence === undefined ? undefined : hexDigits(sequence);
    const meaning = sequence === undefined || hex !== undefined ? undefined : sequenceMeaning(sequence, delimiters);
    if (hex !== undefined) { bytes += hex; at = end + 1; continue; }
    flush();
    if (sequence?.startsWith('C')) set = designatedBy(sequence.slice(1), characterSet) ?? set;
    if (meaning === undefined) { out += escape; at = start + 1; } else { out += meaning; at = end + 1; }
  }
  flush();
  return out;
}

function hexDigits(sequence: string): string | undefined {
  return /^X(?:[0-9A-Fa-f]{2})+$/.test(sequence) ? sequence.slice(1) : undefined;
}

function sequenceMeaning(sequence: string, delimiters: Delimiters): string | undefined {
  switch (sequence) {
    case 'F': return delimiters.field;
    case 'S': return delimiters.component ?? '^';
    case 'T': return delimiters.subcomponent ?? '&';
    case 'R': return delimiters.repetition ?? '~';
    case 'E': return delimiters.escape ?? '\\';
    case 'P': return '#'; // 2.7 ch. 2.7.4: the truncation character
    case 'H': case 'N': return '';
    default: return formattingMeaning(sequence) ?? (/^[CM][0-9A-Fa-f]{4,6}$/.test(sequence) ? '' : undefined);
  }
}

/** Formatting commands of the FT data type (ch. 2.7.6); a count is limited so that one sequence cannot ask for a gigabyte of blanks. */
function formattingMeaning(sequence: string): string | undefined {
  const command = /^\.(br|ce|fi|nf|sp|sk|in|ti)([+-]?\d{0,3})$/.exec(sequence);
  if (!command) return undefined;
  const count = Math.min(Math.abs(Number(command[2] || '1')) || 1, 80);
  switch (command[1]) {
    case 'br': case 'ce': return '\n';
    case 'sp': return '\n'.repeat(count);
    case 'sk': return ' '.repeat(count);
    default: return '';
  }
}

/**
 * Text as it may stand inside a component. Delimiters become escape sequences, line ends \.br\, other control characters \Xdd\:
 * whatever the value holds, the receiver gets one value. The delimiters must be a full set (ours, or a checked MSH-2).
 */
export function escapeText(text: string, delimiters: Delimiters = standardDelimiters): string {
  const { field, component, repetition, escape = '\\', subcomponent } = delimiters;
  let out = '';
  for (const character of text.replaceAll('\r\n', '\n')) {
    if (character === escape) out += `${escape}E${escape}`;
    else if (character === field) out += `${escape}F${escape}`;
    else if (character === component) out += `${escape}S${escape}`;
    else if (character === repetition) out += `${escape}R${escape}`;
    else if (character === subcomponent) out += `${escape}T${escape}`;
    else if (character === '\n' || character === '\r') out += `${escape}.br${escape}`;
    else if (isControl(character)) out += character === '\0' ? '' : `${escape}X${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}${escape}`;
    else out += character;
  }
  return out;
}

function isControl(character: string): boolean {
  const code = character.charCodeAt(0);
  return code < 0x20 || code === 0x7f;
}
