/**
 * Datasets into bytes: Explicit (or Implicit) VR Little Endian, tags ascending, values padded to even length, sequences and items
 * of defined length; the same elements always give the same bytes. Text is written in UTF-8: name it by (0008,0005) 'ISO_IR 192'; or by `encodeText`
 * (encode-text.ts), which gets the values of an element joined by backslash.
 *
 *   encodeDataset({ '(0008,0005)': 'ISO_IR 192', '(0010,0010)': 'Doe^John', '(0028,0010)': 512, '(0008,1140)': [{ '(0008,1150)': uid }],
 *                   '(0020,0010)': null, '(7fe0,0010)': { vr: 'OW', value: pixels } })
 */
import { isLongVr } from './elements.ts';
import { vrOf } from './dictionary.ts';
import { parseTag } from './tag.ts';

type Single = string | number | bigint;
/** null: present and empty (type 2). undefined: not written. A list is several values; of a sequence, its items. */
export type ElementValue = Single | Buffer | readonly Single[] | readonly DatasetElements[] | null | undefined;
/** Keys are tags as '(gggg,eeee)'. The VR comes from the data dictionary unless it is given, as private and 'US or SS' elements need. */
export interface DatasetElements { readonly [tag: string]: ElementValue | { readonly vr: string; readonly value: ElementValue } }

export interface DatasetForm { readonly explicitVr?: boolean; readonly encodeText?: (text: string) => Buffer }

/** Throws RangeError, naming the tag and never the value, for what cannot be written: unknown VR, value out of its VR's range. */
export function encodeDataset(elements: DatasetElements, form: DatasetForm = {}): Buffer {
  const { explicitVr = true } = form;
  const written = Object.entries(elements).flatMap(([name, given]) => {
    const tag = parseTag(name);
    if (tag === undefined) throw new RangeError(`${name} is not a tag of the form (gggg,eeee)`);
    const { vr, value } = isTyped(given) ? given : { vr: vrOf(tag), value: given };
    if (vr === undefined) throw new RangeError(`${name} is not in the data dictionary: its VR must be given`);
    return value === undefined ? [] : [{ tag, name, vr, value }];
  }).toSorted((one, other) => one.tag - other.tag);
  return Buffer.concat(written.flatMap(({ tag, name, vr, value }) => {
    const bytes = evenLength(vr === 'SQ' ? encodeItems(value, form, name) : encodeValue(vr, value, name, form), vr);
    return [elementHead(tag, vr, bytes.length, explicitVr, name), bytes];
  }));
}

function isTyped(given: DatasetElements[string]): given is { readonly vr: string; readonly value: ElementValue } {
  return typeof given === 'object' && given !== null && !Buffer.isBuffer(given) && !Array.isArray(given);
}

function elementHead(tag: number, vr: string, byteLength: number, explicitVr: boolean, name: string): Buffer {
  const isLong = explicitVr && isLongVr(vr);
  const head = Buffer.alloc(isLong ? 12 : 8);
  head.writeUInt16LE(tag >>> 16, 0);
  head.writeUInt16LE(tag & 0xffff, 2);
  if (explicitVr) head.write(vr, 4, 'latin1');
  if (!explicitVr) head.writeUInt32LE(byteLength, 4);
  else if (isLong) head.writeUInt32LE(byteLength, 8);
  else if (byteLength <= 0xfffe) head.writeUInt16LE(byteLength, 6);
  else throw new RangeError(`${name} is longer than the 65534 bytes that ${vr} can hold in Explicit VR`);
  return head;
}

function encodeItems(value: ElementValue, form: DatasetForm, name: string): Buffer {
  if (value === null) return Buffer.alloc(0);
  if (!Array.isArray(value)) throw new RangeError(`${name} is a sequence: a list of items is needed`);
  return Buffer.concat((value as readonly DatasetElements[]).flatMap((item) => {
    const bytes = encodeDataset(item, form);
    const head = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
    head.writeUInt32LE(bytes.length, 4);
    return [head, bytes];
  }));
}

/** PS3.5 6.2: NUL behind UIDs and bytes, a blank behind other text. */
function evenLength(bytes: Buffer, vr: string): Buffer {
  if (bytes.length % 2 === 0) return bytes;
  return Buffer.concat([bytes, Buffer.from([vr === 'UI' || vr === 'OB' || vr === 'UN' ? 0x00 : 0x20])]);
}

/** VRs whose text is of the Specific Character Set (PS3.5 6.1.2.3). */
const isOfCharacterSet = /^(LO|LT|PN|SH|ST|UC|UT)$/;

function encodeValue(vr: string, value: ElementValue, name: string, { encodeText }: DatasetForm): Buffer {
  if (value === null || value === undefined) return Buffer.alloc(0);
  if (Buffer.isBuffer(value)) return value;
  const values = (Array.isArray(value) ? value : [value]) as readonly Single[];
  const write = binaryForms[vr];
  if (write !== undefined) return Buffer.concat(values.map((one) => writeNumber(write, one, name)));
  if (/^O[BDFLVW]$|^UN$/.test(vr)) throw new RangeError(`${name} has VR ${vr}: bytes are needed`);
  const text = values.map((one) => vr === 'DS' && typeof one === 'number' ? decimalString(one, name) : String(one));
  if (vr === 'IS' && text.some((one) => one !== '' && !/^[+-]?\d{1,12}$/.test(one))) throw new RangeError(`${name} has VR IS: whole numbers are needed`);
  if (vr === 'UI' && text.some((one) => one.length > 64)) throw new RangeError(`${name} is longer than the 64 characters of a UID`);
  return encodeText && isOfCharacterSet.test(vr) ? encodeText(text.join('\\')) : Buffer.from(text.join('\\'), 'utf8');
}

const binaryForms: Readonly<Record<string, { readonly byteLength: number; write(bytes: Buffer, value: Single): void }>> = {
  US: { byteLength: 2, write: (bytes, value) => bytes.writeUInt16LE(Number(value)) },
  SS: { byteLength: 2, write: (bytes, value) => bytes.writeInt16LE(Number(value)) },
  UL: { byteLength: 4, write: (bytes, value) => bytes.writeUInt32LE(Number(value)) },
  SL: { byteLength: 4, write: (bytes, value) => bytes.writeInt32LE(Number(value)) },
  FL: { byteLength: 4, write: (bytes, value) => bytes.writeFloatLE(Number(value)) },
  FD: { byteLength: 8, write: (bytes, value) => bytes.writeDoubleLE(Number(value)) },
  UV: { byteLength: 8, write: (bytes, value) => bytes.writeBigUInt64LE(BigInt(value)) },
  SV: { byteLength: 8, write: (bytes, value) => bytes.writeBigInt64LE(BigInt(value)) },
  AT: { byteLength: 4, write: writeTag },
};
function writeNumber({ byteLength, write }: { readonly byteLength: number; write(bytes: Buffer, value: Single): void }, value: Single, name: string): Buffer {
  const bytes = Buffer.alloc(byteLength);
  try {
    if (typeof value === 'string' && !Number.isFinite(Number(value)) && parseTag(value) === undefined) throw new RangeError('not a number');
    write(bytes, value);
  } catch {
    throw new RangeError(`${name} has a value that its VR cannot hold`);
  }
  return bytes;
}
function writeTag(bytes: Buffer, value: Single): void {
  const tag = typeof value === 'string' ? parseTag(value) : Number(value);
  if (tag === undefined) throw new RangeError('not a tag');
  bytes.writeUInt16LE(tag >>> 16, 0);
  bytes.writeUInt16LE(tag & 0xffff, 2);
}

/** DS: at most 16 characters (PS3.5 6.2); digits beyond that are rounded off. */
export function decimalString(value: number, name = 'value'): string {
  if (!Number.isFinite(value)) throw new RangeError(`${name} is not a finite number`);
  for (let digits = 17; digits > 1; digits -= 1) {
    const text = [String(Number(value.toPrecision(digits))), value.toExponential(digits - 1)].find((form) => form.length <= 16);
    if (text !== undefined) return text;
  }
  return value.toExponential(0);
}
