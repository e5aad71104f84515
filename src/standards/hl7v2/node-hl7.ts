/**
 * node-hl7-client builds what we send; every trap of it is handled here and nowhere else:
 *   - set() does not escape: values are escaped by escapeText before they reach it;
 *   - set() with a component path rewrites delimiters inside a value: whole fields are set, components joined here;
 *   - on an MSH segment set() counts fields one too few (MSH-1 is the separator): MSH is set through the message;
 *   - toString() joins segments with a line feed: the standard's carriage return is put in;
 *   - its Client and codec (frames lost, process hangs) are not used: see adapters/hl7v2-mllp.
 * Reading does not go through it: parse.ts is a tenth of its time and memory, and a test holds the two to the same values.
 */
import { Message } from 'node-hl7-client';
import { standardDelimiters } from './delimiters.ts';
import { escapeText } from './escape.ts';

/** A field: text, components, or components of subcomponents. Empty and absent parts are left out at the end. */
export type FieldValue = string | number | undefined | readonly (string | number | undefined | readonly (string | undefined)[])[] | Repetitions;
export interface Repetitions { readonly repetitions: readonly string[] }
export interface BuiltSegment { readonly name: string; readonly fields: Readonly<Record<number, FieldValue>> }

/** Text of a message with standard delimiters, segments ended by CR. MSH-1 and MSH-2 are given; every other field comes from `segments`. */
export function buildMessage(segments: readonly BuiltSegment[]): string {
  const message = new Message({ text: `MSH${standardDelimiters.field}${standardDelimiters.encodingCharacters}` });
  segments.forEach((segment, index) => {
    const added = index === 0 ? undefined : message.addSegment(segment.name);
    for (const [field, value] of Object.entries(segment.fields)) {
      const text = fieldText(value);
      if (text === '') continue;
      if (added) added.set(Number(field), text); else message.set(`MSH.${field}`, text);
    }
  });
  return `${message.toString().replaceAll('\n', '\r')}\r`;
}

function fieldText(value: FieldValue): string {
  if (typeof value === 'object' && 'repetitions' in value) return value.repetitions.map(leafText).join('~');
  if (!Array.isArray(value)) return leafText(value as string | number | undefined);
  return joined(value.map((part: unknown) => (Array.isArray(part) ? joined(part.map(leafText), '&') : leafText(part as string | number | undefined))), '^');
}

function joined(parts: readonly string[], separator: string): string {
  return parts.slice(0, parts.findLastIndex((part) => part !== '') + 1).join(separator);
}

function leafText(value: string | number | undefined): string {
  return value === undefined ? '' : escapeText(String(value));
}
