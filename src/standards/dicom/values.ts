/** The values of one data element as text (PS3.5 6.2), decoded by the character set in force. Never throws. */
import { characterSetOf } from './character-set.ts';
import type { CharacterSet } from './character-set.ts';
import type { DataElement, Dataset } from './elements.ts';
import { formatTag, tags } from './tag.ts';

/** VRs that (0008,0005) governs (PS3.5 6.1.2.3), and UN, which may be one of them. */
const charactersVrs = new Set(['LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UN', 'UT']);
const defaultRepertoireVrs = new Set(['AE', 'AS', 'CS', 'DA', 'DS', 'DT', 'IS', 'TM', 'UI', 'UR']);
/** One value, in which a backslash is a backslash; leading blanks count. */
const singleValueVrs = new Set(['LT', 'ST', 'UT', 'UR']);
const mostNumbers = 4096;

interface NumberForm { readonly byteLength: number; read(bytes: Buffer, offset: number, littleEndian: boolean): number | bigint }
const numberForms: Readonly<Record<string, NumberForm>> = {
  US: { byteLength: 2, read: (bytes, at, little) => little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at) },
  SS: { byteLength: 2, read: (bytes, at, little) => little ? bytes.readInt16LE(at) : bytes.readInt16BE(at) },
  UL: { byteLength: 4, read: (bytes, at, little) => little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at) },
  SL: { byteLength: 4, read: (bytes, at, little) => little ? bytes.readInt32LE(at) : bytes.readInt32BE(at) },
  FL: { byteLength: 4, read: (bytes, at, little) => little ? bytes.readFloatLE(at) : bytes.readFloatBE(at) },
  FD: { byteLength: 8, read: (bytes, at, little) => little ? bytes.readDoubleLE(at) : bytes.readDoubleBE(at) },
  UV: { byteLength: 8, read: (bytes, at, little) => little ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at) },
  SV: { byteLength: 8, read: (bytes, at, little) => little ? bytes.readBigInt64LE(at) : bytes.readBigInt64BE(at) },
};

/** The character set of an item: its own (0008,0005), else the one around it (PS3.3 C.12.1.1.2). */
export function characterSetIn(dataset: Dataset, around: CharacterSet | undefined): CharacterSet {
  const element = dataset.get(tags.specificCharacterSet);
  if (element === undefined) return around ?? characterSetOf(undefined);
  return characterSetOf(element.bytes.toString('latin1').replace(/[\0 ]+$/, ''));
}

/** All values as text, padding removed; [] for an empty element, a sequence and bulk data (OB, OW ...). */
export function valuesOf(element: DataElement, characterSet: CharacterSet): readonly string[] {
  const { vr, bytes } = element;
  if (bytes.length === 0 || element.items !== undefined) return [];
  if (charactersVrs.has(vr)) return textValues(vr, characterSet.decode(bytes, { isPersonName: vr === 'PN', separatesValues: !singleValueVrs.has(vr) }));
  if (defaultRepertoireVrs.has(vr)) return textValues(vr, bytes.toString('latin1'));
  if (vr === 'AT') return everyOther(4, element).map((at) => formatTag(readTag(element, at)));
  const form = numberForms[vr];
  return form === undefined ? [] : everyOther(form.byteLength, element).map((at) => String(form.read(bytes, at, element.littleEndian)));
}

/** The whole value field as text, values still joined by backslash; '' when empty, undefined when it is no text or number. */
export function wholeText(element: DataElement, characterSet: CharacterSet): string | undefined {
  if (element.items !== undefined) return undefined;
  if (element.bytes.length === 0) return '';
  const values = valuesOf(element, characterSet);
  return values.length === 0 ? undefined : values.join('\\');
}

function textValues(vr: string, text: string): readonly string[] {
  if (vr === 'UN' && looksBinary(text)) return [];
  if (singleValueVrs.has(vr)) return [text.replace(/[\0 ]+$/, '')];
  return text.split('\\').map((value) => value.replace(/[\0 ]+$/, '').replace(/^ +/, ''));
}

/** A value whose VR nobody knows is text unless it holds characters that DICOM text never does (PS3.5 6.1.3). */
function looksBinary(text: string): boolean {
  return Array.from(text.slice(0, 256)).some((character) => character < ' ' && !'\0\t\n\f\r\u001b'.includes(character));
}

function everyOther(byteLength: number, { bytes }: DataElement): number[] {
  const count = Math.min(Math.floor(bytes.length / byteLength), mostNumbers);
  return Array.from({ length: count }, (_, index) => index * byteLength);
}
function readTag({ bytes, littleEndian }: DataElement, at: number): number {
  return littleEndian ? bytes.readUInt16LE(at) * 0x10000 + bytes.readUInt16LE(at + 2) : bytes.readUInt16BE(at) * 0x10000 + bytes.readUInt16BE(at + 2);
}
