/**
 * Control characters in a field as sent, raw or as bytes of a \Xdd..\ escape (HL7 v2.5.1 ch. 2.7.5). CR, LF and TAB are text; the rest no person
 * sees, so two identifiers that differ in one of them look the same. NUL has no place in PostgreSQL either.
 */
export function hasControlCharacter(raw: string, escape: string | undefined): boolean {
  for (let index = 0; index < raw.length; index++) if (isForbidden(raw.charCodeAt(index))) return true;
  return someEscapedByte(raw, escape, isForbidden);
}

export function hasNul(raw: string, escape: string | undefined): boolean {
  return raw.includes('\0') || someEscapedByte(raw, escape, (byte) => byte === 0);
}

const isForbidden = (code: number): boolean => code < 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d;

/** One pass: the search goes on at the escape character that ended the sequence before, for it may open the next. */
function someEscapedByte(raw: string, escape: string | undefined, test: (byte: number) => boolean): boolean {
  if (escape === undefined) return false;
  for (let start = raw.indexOf(`${escape}X`); start >= 0;) {
    const end = raw.indexOf(escape, start + 1);
    if (end < 0) return false;
    const sequence = raw.slice(start + 2, end);
    if (/^(?:[0-9A-Fa-f]{2})+$/.test(sequence) && Buffer.from(sequence, 'hex').some(test)) return true;
    start = raw.indexOf(`${escape}X`, end);
  }
  return false;
}
