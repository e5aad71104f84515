/**
 * One message, read lazily: the text is cut into segments at once, a segment into fields when a field is asked for. This is the intake's
 * hot path, so it is a splitter and not a tree of nodes; node-hl7.ts (node-hl7-client) builds what we send.
 *
 * Tolerated, because it is sent: CR, LF or CRLF after a segment, blank lines, a byte order mark or white space before MSH, and a line
 * break inside a field: a line that does not start with a segment ID and the field separator belongs to the field before it (warned).
 */
import { decodeMessage } from './character-set.ts';
import type { CharacterSet } from './character-set.ts';
import { hasNul } from './control-characters.ts';
import { readDelimiters } from './delimiters.ts';
import type { Delimiters } from './delimiters.ts';
import { unescapeText } from './escape.ts';

/** The bytes are no HL7 v2 message. `location` as in 'MSH-2'. */
export class Hl7ParseError extends Error {
  readonly location: string;
  constructor(text: string, location: string) { super(text); this.name = 'Hl7ParseError'; this.location = location; }
}

export interface Hl7Warning { readonly location: string; readonly text: string }

/** No segment of any version has 200. A sender may be told of more; they are not cut, so that no message costs more than its length. */
export const maximumFields = 1000;

export class Segment {
  readonly name: string;
  /** The line as sent, without its end. */
  readonly raw: string;
  readonly #separator: string;
  #fields: readonly string[] | undefined;
  constructor(raw: string, separator: string) { this.raw = raw; this.name = raw.slice(0, 3); this.#separator = separator; }

  /** Fields as sent, numbered as in the standard: in MSH, FHS and BHS field 1 is the separator itself. Index 0 is the segment ID. */
  get fields(): readonly string[] {
    if (this.#fields) return this.#fields;
    const fields = this.raw.split(this.#separator, maximumFields + 1);
    if (this.name === 'MSH' || this.name === 'BHS' || this.name === 'FHS') fields.splice(1, 0, this.#separator);
    return this.#fields = fields;
  }
}

export class Hl7Message {
  readonly delimiters: Delimiters;
  readonly characterSet: CharacterSet;
  readonly segments: readonly Segment[];
  readonly warnings: readonly Hl7Warning[];
  constructor(delimiters: Delimiters, characterSet: CharacterSet, segments: readonly Segment[], warnings: readonly Hl7Warning[]) {
    this.delimiters = delimiters; this.characterSet = characterSet; this.segments = segments; this.warnings = warnings;
  }

  segment(name: string): Segment | undefined { return this.segments.find((segment) => segment.name === name); }

  /** A component's text of an MSH field, decoded; '' when it is not there. */
  header(field: number, component = 1): string {
    const raw = this.segments[0]?.fields[field] ?? '';
    return field <= 2 ? raw : this.component(raw, component).trim();
  }

  /** One component (its first subcomponent) of a field's first repetition, decoded. */
  component(raw: string, component: number, subcomponent = 1): string {
    const repetition = cut(raw, this.delimiters.repetition, 1) ?? '';
    const text = cut(cut(repetition, this.delimiters.component, component) ?? '', this.delimiters.subcomponent, subcomponent) ?? '';
    return this.decode(text);
  }

  decode(text: string): string { return unescapeText(text, this.delimiters, this.characterSet); }
}

/** The nth piece (from 1) of a text; undefined when there are fewer. Without a separator the text is its own first piece. */
export function cut(text: string, separator: string | undefined, nth: number): string | undefined {
  if (separator === undefined) return nth === 1 ? text : undefined;
  let start = 0;
  for (let count = 1; count < nth; count++) {
    const end = text.indexOf(separator, start);
    if (end < 0) return undefined;
    start = end + 1;
  }
  const end = text.indexOf(separator, start);
  return end < 0 ? text.slice(start) : text.slice(start, end);
}

/** Decodes and parses one message. Throws Hl7ParseError when there is no readable MSH. */
export function parseMessage(bytes: Buffer, options: { characterSet?: string | undefined } = {}): Hl7Message {
  const { text, characterSet, warning } = decodeMessage(bytes, options.characterSet);
  return parseText(text, characterSet, warning ? [{ location: 'MSH-18', text: warning }] : []);
}

/** Parses text that is decoded already. */
export function parseText(text: string, characterSet: CharacterSet = { encoding: 'utf-8', declared: undefined }, warnings: readonly Hl7Warning[] = []): Hl7Message {
  const body = text.slice(leadingJunkLength(text));
  if (!body.startsWith('MSH')) throw new Hl7ParseError('The message does not start with an MSH segment', 'MSH');
  const delimiters = readDelimiters(body);
  if (!delimiters) throw new Hl7ParseError('MSH-1 and MSH-2 do not name usable delimiters; expected for example |^~\\&', 'MSH-2');
  const found = [...warnings];
  const segments = cutSegments(body, delimiters.field, found);
  if (hasNul(body, delimiters.escape)) warnOfNul(segments, delimiters.escape, found);
  return new Hl7Message(delimiters, characterSet, segments, found);
}

function warnOfNul(segments: readonly Segment[], escape: string | undefined, warnings: Hl7Warning[]): void {
  for (const { name, fields } of segments) {
    for (const [number, field] of fields.entries()) {
      if (warnings.length >= 20) return;
      if (hasNul(field, escape)) warnings.push({ location: `${name}-${number}`, text: 'The field holds NUL, which no text has; U+FFFD was kept in its place' });
    }
  }
}

function leadingJunkLength(text: string): number {
  let at = 0;
  while (at < text.length && (text.charCodeAt(at) <= 0x20 || text[at] === '\uFEFF')) at++;
  return at;
}

function cutSegments(text: string, separator: string, warnings: Hl7Warning[]): Segment[] {
  const lines = text.includes('\n') ? text.split(/\r\n|\r|\n/) : text.split('\r');
  const segments: Segment[] = [];
  let pending = lines[0] ?? '';
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] ?? '';
    if (startsSegment(line, separator)) { segments.push(new Segment(pending, separator)); pending = line; continue; }
    if (line.trim() === '') continue;
    if (warnings.length < 20) warnings.push({ location: `${pending.slice(0, 3)}[line ${index + 1}]`, text: 'A line break stands inside a field; the text after it was kept with the field' });
    pending += `\n${line}`;
  }
  segments.push(new Segment(pending, separator));
  return segments;
}

/** A segment ID is a capital and two capitals or digits (ch. 2.5.2), followed by the separator or nothing. Checked by code: no RegExp per line. */
function startsSegment(line: string, separator: string): boolean {
  if (line.length < 3 || (line.length > 3 && line[3] !== separator)) return false;
  const first = line.charCodeAt(0);
  return first >= 65 && first <= 90 && isCapitalOrDigit(line.charCodeAt(1)) && isCapitalOrDigit(line.charCodeAt(2));
}
const isCapitalOrDigit = (code: number): boolean => (code >= 65 && code <= 90) || (code >= 48 && code <= 57);
