/**
 * Data elements out of bytes (PS3.5 chapter 7): dataset -> elements -> items -> elements ..., over one buffer that may be cut anywhere.
 * Values are views into that buffer: no length that a sender writes is ever allocated. Nothing throws; what cannot be read ends the
 * reading and is said in `warnings`. An own reader because dicom-parser 1.8 gives up the whole sequence at a cut, reads an unknown VR
 * as if it were long, and has no data dictionary to read Implicit VR by.
 */
import { vrOf } from './dictionary.ts';
import { formatTag, tags } from './tag.ts';

export interface DataElement {
  readonly tag: number;
  /** As written; from the data dictionary in Implicit VR and for UN; 'UN' when nobody knows. */
  readonly vr: string;
  /** Written as UN, and US by the data dictionary, which has 'US or SS' for some: Pixel Representation tells. */
  readonly isVrImplied?: true;
  /** The value as it is encoded, a view; empty for sequences. */
  readonly bytes: Buffer;
  readonly littleEndian: boolean;
  /** Sequences only: one dataset per item. */
  readonly items?: readonly Dataset[];
}
export type Dataset = ReadonlyMap<number, DataElement>;

export interface Encoding { readonly explicitVr: boolean; readonly littleEndian: boolean }
export const implicitLittleEndian: Encoding = { explicitVr: false, littleEndian: true };
export const explicitLittleEndian: Encoding = { explicitVr: true, littleEndian: true };

export interface ElementsRead {
  readonly dataset: Dataset;
  /** The element that ended the reading (Pixel Data or later), if one did. */
  readonly stoppedAt: number | undefined;
  /** False: the buffer ended, or became unreadable, inside an element. */
  readonly complete: boolean;
  /** Offset of the first byte that was not taken in. */
  readonly end: number;
  readonly warnings: readonly string[];
}

const longVrs = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);
const shortVrs = new Set(['AE', 'AS', 'AT', 'CS', 'DA', 'DS', 'DT', 'FD', 'FL', 'IS', 'LO', 'LT', 'PN', 'SH', 'SL', 'SS', 'ST', 'TM', 'UI', 'UL', 'US']);
export function isVr(text: string): boolean {
  return longVrs.has(text) || shortVrs.has(text);
}
export function isLongVr(vr: string): boolean {
  return longVrs.has(vr);
}

/** By the two bytes of the VR as one number: a dataset has hundreds of them, and no text need be made for each. */
const vrByCode = new Map([...longVrs, ...shortVrs].map((vr) => [vr.charCodeAt(0) * 256 + vr.charCodeAt(1), vr]));

const undefinedLength = 0xffffffff;
const noBytes = Buffer.alloc(0);
const littleEndianDelimiter = Buffer.from('feffdde000000000', 'hex'), bigEndianDelimiter = Buffer.from('fffee0dd00000000', 'hex');
const mostNesting = 48;
const mostElements = 250_000;
const mostWarnings = 50;

interface Reading {
  readonly buffer: Buffer;
  readonly warnings: string[];
  readonly stopBefore: (tag: number) => boolean;
  position: number;
  elementsLeft: number;
  stoppedAt: number | undefined;
  /** Set once nothing after `position` can be made sense of. */
  broken: boolean;
}
interface ElementHead { readonly tag: number; readonly vr: string; readonly valueOffset: number; readonly length: number }

/** Reads elements from `offset` up to the first tag that `stopBefore` names (top level only), the end of the buffer, or the first unreadable byte. */
export function readElements(buffer: Buffer, offset: number, encoding: Encoding, stopBefore: (tag: number) => boolean): ElementsRead {
  const reading: Reading = { buffer, warnings: [], stopBefore, position: offset, elementsLeft: mostElements, stoppedAt: undefined, broken: false };
  const dataset = readDataset(reading, buffer.length, encoding, 0);
  return { dataset, stoppedAt: reading.stoppedAt, complete: !reading.broken, end: reading.position, warnings: reading.warnings };
}

function readDataset(reading: Reading, end: number, encoding: Encoding, depth: number): Dataset {
  const dataset = new Map<number, DataElement>();
  while (!reading.broken && reading.position < end) {
    if (end - reading.position < 8) { endWithRest(reading, end, depth); break; }
    const tag = tagAt(reading.buffer, reading.position, encoding.littleEndian);
    if (tag === tags.itemDelimitation || tag === tags.sequenceDelimitation || tag === tags.item) {
      if (depth > 0 && tag !== tags.item) {
        if (tag === tags.itemDelimitation) reading.position += 8;
        return dataset;
      }
      warn(reading, `delimiter ${formatTag(tag)} outside a sequence was skipped`);
      reading.position += 8;
      continue;
    }
    if (depth === 0 && reading.stopBefore(tag)) { reading.stoppedAt = tag; break; }
    const element = readElement(reading, tag, end, encoding, depth);
    if (element !== undefined) dataset.set(tag, element);
  }
  return dataset;
}

/** Fewer bytes than an element head: padding after the dataset is common, everything else is a cut. */
function endWithRest(reading: Reading, end: number, depth: number): void {
  const isPadding = reading.buffer.subarray(reading.position, end).every((byte) => byte === 0);
  if (end === reading.buffer.length && !isPadding) return breakOff(reading, 'the bytes end inside a data element head');
  if (depth > 0 && end === reading.buffer.length) return breakOff(reading, 'the bytes end inside a sequence');
  reading.position = end;
}

function readElement(reading: Reading, tag: number, end: number, encoding: Encoding, depth: number): DataElement | undefined {
  if (--reading.elementsLeft < 0) { breakOff(reading, `more than ${mostElements} data elements`); return undefined; }
  const head = readHead(reading, tag, end, encoding);
  if (head === undefined) return undefined;
  const { littleEndian } = encoding;
  const vr = head.vr === 'UN' ? vrOf(tag) ?? 'UN' : head.vr;
  // UN is Implicit VR Little Endian inside, whatever is around it (PS3.5 6.2.2 note, CP-246).
  const inner = head.vr === 'UN' && encoding.explicitVr ? implicitLittleEndian : encoding;
  const isLittleEndian = head.vr === 'UN' ? true : littleEndian;
  reading.position = head.valueOffset;

  if (head.length === undefinedLength) {
    if (vr === 'OB' || vr === 'OW') { skipFragments(reading, tag, end, encoding); return undefined; }
    const items = readItems(reading, tag, end, inner, depth + 1, true);
    return { tag, vr: 'SQ', bytes: noBytes, littleEndian: isLittleEndian, items };
  }
  const valueEnd = head.valueOffset + head.length;
  const isSequence = vr === 'SQ' || (vr === 'UN' && holdsItem(reading.buffer, head, inner));
  if (valueEnd > end && !(isSequence && end === reading.buffer.length)) {
    if (end === reading.buffer.length) breakOff(reading, `the bytes end inside ${formatTag(tag)}`);
    else { warn(reading, `${formatTag(tag)} is longer than the item around it`); reading.position = end; }
    return undefined;
  }
  if (isSequence) {
    const items = readItems(reading, tag, Math.min(valueEnd, end), inner, depth + 1, false);
    if (!reading.broken) {
      if (valueEnd > end) breakOff(reading, `the bytes end inside ${formatTag(tag)}`);
      else reading.position = valueEnd;
    }
    return { tag, vr: 'SQ', bytes: noBytes, littleEndian: isLittleEndian, items };
  }
  reading.position = valueEnd;
  const element = { tag, vr, bytes: reading.buffer.subarray(head.valueOffset, valueEnd), littleEndian: isLittleEndian };
  return head.vr === 'UN' && vr === 'US' ? { ...element, isVrImplied: true } : element;
}

/** A value of unknown VR that is a sequence by its looks: it opens with an item that fits into it. */
function holdsItem(buffer: Buffer, { valueOffset, length }: ElementHead, { littleEndian }: Encoding): boolean {
  if (length < 8 || valueOffset + 8 > buffer.length || tagAt(buffer, valueOffset, littleEndian) !== tags.item) return false;
  const itemLength = u32(buffer, valueOffset + 4, littleEndian);
  return itemLength === undefinedLength || itemLength <= length - 8;
}

function readItems(reading: Reading, tag: number, end: number, encoding: Encoding, depth: number, toDelimiter: boolean): readonly Dataset[] {
  const items: Dataset[] = [];
  if (depth > mostNesting) {
    if (toDelimiter) breakOff(reading, `sequences nested deeper than ${mostNesting}`);
    else { warn(reading, `sequences nested deeper than ${mostNesting} were not read`); reading.position = end; }
    return items;
  }
  while (!reading.broken && reading.position < end) {
    if (end - reading.position < 8) { endWithRest(reading, end, depth); return items; }
    const itemTag = tagAt(reading.buffer, reading.position, encoding.littleEndian);
    const length = u32(reading.buffer, reading.position + 4, encoding.littleEndian);
    if (itemTag === tags.sequenceDelimitation) { reading.position += 8; return items; }
    if (itemTag === tags.itemDelimitation) { reading.position += 8; continue; }
    if (itemTag !== tags.item) {
      skipToEndOfSequence(reading, tag, end, encoding, toDelimiter);
      return items;
    }
    reading.position += 8;
    if (--reading.elementsLeft < 0) { breakOff(reading, `more than ${mostElements} data elements`); return items; }
    items.push(readItem(reading, tag, length, end, encoding, depth));
  }
  if (toDelimiter && !reading.broken && end === reading.buffer.length) breakOff(reading, `the bytes end inside ${formatTag(tag)}`);
  return items;
}

/** Something that is not an item: what follows the sequence can still be read when its end can be found. */
function skipToEndOfSequence(reading: Reading, tag: number, end: number, { littleEndian }: Encoding, toDelimiter: boolean): void {
  const text = `the sequence ${formatTag(tag)} holds something that is not an item`;
  const delimiter = toDelimiter ? reading.buffer.indexOf(littleEndian ? littleEndianDelimiter : bigEndianDelimiter, reading.position) : end;
  if (delimiter === -1 || delimiter > end) return breakOff(reading, text);
  warn(reading, text);
  reading.position = toDelimiter ? delimiter + 8 : end;
}

function readItem(reading: Reading, tag: number, length: number, end: number, encoding: Encoding, depth: number): Dataset {
  const start = reading.position;
  const itemEnd = length === undefinedLength ? end : start + length;
  const item = readDataset(reading, Math.min(itemEnd, end), encodingOfItem(reading.buffer, start, Math.min(itemEnd, end), encoding), depth);
  if (length === undefinedLength || reading.broken) return item;
  if (itemEnd <= end) reading.position = itemEnd;
  else if (end === reading.buffer.length) breakOff(reading, `the bytes end inside ${formatTag(tag)}`);
  else { warn(reading, `an item of ${formatTag(tag)} is longer than its sequence`); reading.position = end; }
  return item;
}

/** Some writers put Explicit VR items into UN values and into Implicit VR datasets: the first element of the item shows it. */
function encodingOfItem(buffer: Buffer, start: number, end: number, encoding: Encoding): Encoding {
  if (encoding.explicitVr || end - start < 8) return encoding;
  return isVr(buffer.toString('latin1', start + 4, start + 6)) && buffer[start + 7] === 0 ? { explicitVr: true, littleEndian: encoding.littleEndian } : encoding;
}

function skipFragments(reading: Reading, tag: number, end: number, { littleEndian }: Encoding): void {
  while (end - reading.position >= 8) {
    const fragmentTag = tagAt(reading.buffer, reading.position, littleEndian);
    const length = u32(reading.buffer, reading.position + 4, littleEndian);
    if (fragmentTag === tags.sequenceDelimitation) { reading.position += 8; return; }
    if (fragmentTag !== tags.item || length > end - reading.position - 8) break;
    reading.position += 8 + length;
  }
  breakOff(reading, `the encapsulated value of ${formatTag(tag)} has no end`);
}

function readHead(reading: Reading, tag: number, end: number, { explicitVr, littleEndian }: Encoding): ElementHead | undefined {
  const { buffer, position } = reading;
  if (!explicitVr) return { tag, vr: vrOf(tag) ?? 'UN', valueOffset: position + 8, length: u32(buffer, position + 4, littleEndian) };
  const vr = vrByCode.get(buffer.readUInt16BE(position + 4));
  if (vr !== undefined && !longVrs.has(vr)) return { tag, vr, valueOffset: position + 8, length: u16(buffer, position + 6, littleEndian) };
  if (vr !== undefined && end - position < 12) { breakOff(reading, `the bytes end inside the head of ${formatTag(tag)}`); return undefined; }
  if (vr !== undefined) return { tag, vr, valueOffset: position + 12, length: u32(buffer, position + 8, littleEndian) };
  const head = headOfUnknownVr(buffer, position, tag, end, littleEndian);
  if (head === undefined) breakOff(reading, `${formatTag(tag)} has no VR that could be read`);
  else warn(reading, `${formatTag(tag)} has no known VR`);
  return head;
}

/**
 * Explicit VR was promised and something else stands there. Of the three forms seen in the field - a VR newer than this table (long,
 * PS3.5 6.2), an element written as Implicit VR, blanks or '??' with a short length - the one after which the next element begins wins.
 */
function headOfUnknownVr(buffer: Buffer, position: number, tag: number, end: number, littleEndian: boolean): ElementHead | undefined {
  const vr = vrOf(tag) ?? 'UN';
  const forms: ElementHead[] = [{ tag, vr, valueOffset: position + 8, length: u32(buffer, position + 4, littleEndian) }];
  if (end - position >= 12) forms.unshift({ tag, vr, valueOffset: position + 12, length: u32(buffer, position + 8, littleEndian) });
  forms.push({ tag, vr, valueOffset: position + 8, length: u16(buffer, position + 6, littleEndian) });
  return forms.find(({ valueOffset, length }) => {
    const next = valueOffset + length;
    if (next === end) return true;
    if (next + 8 > end) return false;
    const nextTag = tagAt(buffer, next, littleEndian);
    return nextTag > tag && (nextTag >>> 16) - (tag >>> 16) < 0x4000 || nextTag === tags.itemDelimitation;
  });
}

export function tagAt(buffer: Buffer, offset: number, littleEndian: boolean): number {
  return u16(buffer, offset, littleEndian) * 0x10000 + u16(buffer, offset + 2, littleEndian);
}
function u16(buffer: Buffer, offset: number, littleEndian: boolean): number {
  return littleEndian ? buffer.readUInt16LE(offset) : buffer.readUInt16BE(offset);
}
function u32(buffer: Buffer, offset: number, littleEndian: boolean): number {
  return littleEndian ? buffer.readUInt32LE(offset) : buffer.readUInt32BE(offset);
}

function breakOff(reading: Reading, text: string): void {
  reading.broken = true;
  warn(reading, text);
}
function warn(reading: Reading, text: string): void {
  if (reading.warnings.length < mostWarnings) reading.warnings.push(text);
}
