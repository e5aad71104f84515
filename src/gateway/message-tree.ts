/**
 * A message as a person reads it. In: bytes of an exchange. Out: what they are, their text, and one line per piece with its place in the sender's
 * words and its name: HL7 v2 by segment, field and component; DICOM by tag; JSON by pointer. Never throws: what cannot be read is shown as far as it can.
 */
import { attributeName } from '#standards/dicom/attribute-names.ts';
import type { CharacterSet } from '#standards/dicom/character-set.ts';
import type { Dataset } from '#standards/dicom/elements.ts';
import { readHeader } from '#standards/dicom/header.ts';
import { formatTag } from '#standards/dicom/tag.ts';
import { characterSetIn, valuesOf } from '#standards/dicom/values.ts';
import { splitFrame } from '#standards/hl7v2/batch.ts';
import { componentName, fieldName, segmentName } from '#standards/hl7v2/field-names.ts';
import { parseMessage, type Hl7Message } from '#standards/hl7v2/parse.ts';

export type MessageFormat = 'hl7v2' | 'dicom' | 'json' | 'xml' | 'text' | 'binary';
export interface MessageLine { readonly depth: number; readonly location: string; readonly name: string | null; readonly value: string | null }
export interface ReadableMessage {
  readonly format: MessageFormat;
  /** The whole, decoded; null where it is no text. Cut at mostTextLength. */
  readonly text: string | null;
  readonly lines: readonly MessageLine[];
  /** Text or lines were cut, or the bytes could not be read to their end. */
  readonly isCut: boolean;
}

const mostLines = 5_000, mostValueLength = 1_000, mostTextLength = 200_000, mostDepth = 12;

export function readableMessage(bytes: Buffer, mediaType: string, facts: Readonly<Record<string, unknown>> = {}): ReadableMessage {
  const format = formatOf(bytes, mediaType);
  const lines: MessageLine[] = [];
  let text: string | null = null;
  try {
    if (format === 'hl7v2') text = hl7Lines(unframed(bytes), lines);
    else if (format === 'dicom') dicomLines(bytes, facts, lines);
    else if (format === 'json') text = jsonLines(bytes, lines);
    else if (format !== 'binary') text = bytes.toString('utf8');
  } catch {
    text ??= format === 'dicom' ? null : bytes.toString('utf8');
  }
  return { format, text: text?.slice(0, mostTextLength) ?? null, lines: lines.slice(0, mostLines), isCut: lines.length > mostLines || (text?.length ?? 0) > mostTextLength };
}

function formatOf(bytes: Buffer, mediaType: string): MessageFormat {
  const opening = bytes.subarray(0, 200).toString('latin1').replace(/^(?:\xef\xbb\xbf|\s)+/, '');
  if (/^(MSH|FHS|BHS)[^\w\s]/.test(opening)) return 'hl7v2';
  if (bytes.subarray(128, 132).toString('latin1') === 'DICM' || /^application\/dicom\b(?!\+)/.test(mediaType)) return 'dicom';
  if (/^[{[]/.test(opening)) return 'json';
  if (opening.startsWith('<')) return 'xml';
  return bytes.subarray(0, 4096).includes(0) ? 'binary' : 'text';
}

const unframed = (bytes: Buffer): Buffer => (bytes[0] === 0x0b ? bytes.subarray(1, bytes.at(-2) === 0x1c ? -2 : undefined) : bytes);

function hl7Lines(bytes: Buffer, lines: MessageLine[]): string {
  const { messages } = splitFrame(bytes);
  const texts = messages.map((content, index) => {
    const message = parseMessage(content);
    if (messages.length > 1) lines.push({ depth: 0, location: `message ${index + 1}`, name: null, value: null });
    const counts = new Map<string, number>();
    for (const segment of message.segments) {
      const count = (counts.get(segment.name) ?? 0) + 1;
      counts.set(segment.name, count);
      if (lines.length > mostLines) break;
      segmentLines(message, segment, count === 1 ? segment.name : `${segment.name}[${count}]`, lines);
    }
    return message.segments.map((segment) => segment.raw).join('\n');
  });
  return texts.join('\n\n');
}

function segmentLines(message: Hl7Message, segment: Hl7Message['segments'][number], place: string, lines: MessageLine[]): void {
  const { component, repetition } = message.delimiters;
  const isHeader = ['MSH', 'FHS', 'BHS'].includes(segment.name);
  lines.push({ depth: 0, location: place, name: segmentName(segment.name) ?? null, value: null });
  for (const [number, raw] of segment.fields.entries()) {
    if (number === 0 || raw === '') continue;
    const literal = isHeader && number <= 2;
    const repetitions = literal || repetition === undefined ? [raw] : raw.split(repetition);
    for (const [index, text] of repetitions.entries()) {
      const location = `${place}-${number}${repetitions.length > 1 ? `[${index + 1}]` : ''}`, name = fieldName(segment.name, number) ?? null;
      const pieces = literal || component === undefined ? [text] : text.split(component);
      if (pieces.length === 1) lines.push({ depth: 1, location, name, value: cut(literal ? text : message.decode(text)) });
      else {
        lines.push({ depth: 1, location, name, value: null });
        for (const [at, piece] of pieces.entries()) if (piece !== '') lines.push({ depth: 2, location: `${location}.${at + 1}`, name: componentName(segment.name, number, at + 1) ?? null, value: cut(message.decode(piece)) });
      }
    }
  }
}

function dicomLines(bytes: Buffer, facts: Readonly<Record<string, unknown>>, lines: MessageLine[]): void {
  const { part10, dataset } = readHeader(bytes, typeof facts['transferSyntaxUid'] === 'string' ? facts['transferSyntaxUid'] : undefined);
  lines.push({ depth: 0, location: '(0002,0010)', name: attributeName(0x00020010) ?? null, value: part10.transferSyntaxUid ?? null });
  datasetLines(dataset, undefined, 0, lines);
}

function datasetLines(dataset: Dataset, around: CharacterSet | undefined, depth: number, lines: MessageLine[]): void {
  const characterSet = characterSetIn(dataset, around);
  for (const [tag, element] of dataset) {
    if (lines.length > mostLines) return;
    const values = element.items === undefined ? valuesOf(element, characterSet) : [];
    const value = element.items ? `${element.items.length} ${element.items.length === 1 ? 'item' : 'items'}` : values.length > 0 || element.bytes.length === 0 ? values.join('\\') : `${element.bytes.length} bytes (${element.vr})`;
    lines.push({ depth, location: formatTag(tag), name: attributeName(tag) ?? null, value: cut(value) });
    if (depth < mostDepth) for (const [index, item] of (element.items ?? []).entries()) {
      if ((element.items?.length ?? 0) > 1) lines.push({ depth: depth + 1, location: `item ${index + 1}`, name: null, value: null });
      datasetLines(item, characterSet, depth + 1, lines);
    }
  }
}

function jsonLines(bytes: Buffer, lines: MessageLine[]): string {
  const value: unknown = JSON.parse(bytes.toString('utf8'));
  walk(value, '', 0);
  return JSON.stringify(value, null, 2);

  function walk(node: unknown, pointer: string, depth: number): void {
    if (lines.length > mostLines) return;
    const isTree = typeof node === 'object' && node !== null;
    if (pointer !== '') lines.push({ depth: depth - 1, location: pointer, name: null, value: isTree ? null : cut(String(node)) });
    if (isTree && depth < mostDepth) for (const [key, child] of Object.entries(node)) walk(child, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, depth + 1);
  }
}

function cut(value: string): string {
  return value.length > mostValueLength ? `${value.slice(0, mostValueLength)}… (${value.length} characters)` : value;
}
