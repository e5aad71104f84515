/**
 * The DICOM JSON model (PS3.18 annex F): one object per data set, keys are tags as 8 hex digits in upper case, text is Unicode.
 * Numbers that JSON cannot hold, and number strings that are none, stay text (F.2.3).
 */
import type { CharacterSet } from '#standards/dicom/character-set.ts';
import type { DataElement, Dataset } from '#standards/dicom/elements.ts';
import { wholeGroup } from '#standards/dicom/person-name.ts';
import { tags } from '#standards/dicom/tag.ts';
import { characterSetIn, valuesOf } from '#standards/dicom/values.ts';

export interface JsonPersonName { Alphabetic?: string; Ideographic?: string; Phonetic?: string }
export type JsonValue = string | number | null | JsonPersonName | JsonDataset;
export interface JsonElement { readonly vr: string; readonly Value?: readonly JsonValue[]; readonly InlineBinary?: string; readonly BulkDataURI?: string }
export type JsonDataset = Readonly<Record<string, JsonElement>>;

/** '00100010' of 0x00100010. */
export const jsonTag = (tag: number): string => tag.toString(16).toUpperCase().padStart(8, '0');

/** Values of one element, told as text or number. An empty one among others is null (F.2.5); without any there is no Value. */
export function jsonElement(vr: string, values: readonly (string | number | null | undefined)[]): JsonElement {
  const written = values.map((value) => (value === '' || value === undefined || value === null ? null : jsonValue(vr, value)));
  return written.every((value) => value === null) ? { vr } : { vr, Value: written };
}

function jsonValue(vr: string, value: string | number): JsonValue {
  if (typeof value === 'number') return value;
  if (vr === 'PN') return jsonPersonName(value);
  if (vr === 'AT') return value.replaceAll(/[(),]/g, '').toUpperCase();
  if (!numberVrs.has(vr)) return value;
  const number = Number(value);
  return value.trim() === '' || !Number.isFinite(number) || (wholeNumberVrs.has(vr) && !Number.isSafeInteger(number)) ? value.trim() : number;
}
const wholeNumberVrs = new Set(['IS', 'SL', 'SS', 'SV', 'UL', 'US', 'UV']);
const numberVrs = new Set([...wholeNumberVrs, 'DS', 'FL', 'FD']);

export function jsonPersonName(text: string): JsonPersonName | null {
  const [Alphabetic = '', Ideographic = '', Phonetic = ''] = text.split('=').map(wholeGroup);
  const name = { ...(Alphabetic ? { Alphabetic } : {}), ...(Ideographic ? { Ideographic } : {}), ...(Phonetic ? { Phonetic } : {}) };
  return Object.keys(name).length === 0 ? null : name;
}

const binaryVrs = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN']);
const numberWidths: Readonly<Record<string, number>> = { US: 2, SS: 2, UL: 4, SL: 4, FL: 4, FD: 8, UV: 8, SV: 8, AT: 4 };
const mostValues = 4096;
const mostInlineBytes = 16 * 1024;

export interface JsonOptions {
  /** Address of a value that is too large to stand in the answer; `path` is its tag, or tag/item/tag inside sequences. */
  bulkDataUri(path: string): string;
  /** The header was written without VRs, as an element of VR UN is in any: where the dictionary has 'US or SS', Pixel Representation (0028,0103) tells which (PS3.5 A.1). */
  readonly isImplicitVr?: boolean;
}
const pixelRepresentation = 0x00280103;
const unsignedOrSigned = new Set([
  0x00280071, 0x00280104, 0x00280105, 0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280110, 0x00280111, 0x00280120, 0x00280121, 0x00281101, 0x00281102, 0x00281103, 0x00283002, 0x00409211, 0x00409216, 0x00603004, 0x00603006,
]);

/** A header as JSON. Group lengths are left out; (0008,0005) tells what the answer is written in. */
export function jsonDatasetOf(dataset: Dataset, options: JsonOptions): JsonDataset {
  return datasetOf(dataset, options, { characterSet: undefined, isSigned: false }, '');
}

interface Around { readonly characterSet: CharacterSet | undefined; readonly isSigned: boolean }

function datasetOf(dataset: Dataset, options: JsonOptions, around: Around, path: string): JsonDataset {
  const representation = dataset.get(pixelRepresentation);
  const here = { characterSet: characterSetIn(dataset, around.characterSet), isSigned: representation === undefined ? around.isSigned : representation.bytes.some((byte) => byte !== 0) };
  const elements: Record<string, JsonElement> = {};
  for (const element of [...dataset.values()].toSorted((one, other) => one.tag - other.tag)) {
    if ((element.tag & 0xffff) === 0) continue;
    const key = jsonTag(element.tag);
    elements[key] = element.tag === tags.specificCharacterSet ? { vr: 'CS', Value: ['ISO_IR 192'] } : elementOf(typed(element, here, options), here, options, `${path}${key.toLowerCase()}`);
  }
  return elements;
}

function typed(element: DataElement, { isSigned }: Around, { isImplicitVr = false }: JsonOptions): DataElement {
  return (isImplicitVr || element.isVrImplied === true) && isSigned && element.vr === 'US' && unsignedOrSigned.has(element.tag) ? { ...element, vr: 'SS' } : element;
}

function elementOf(element: DataElement, around: Around & { readonly characterSet: CharacterSet }, options: JsonOptions, path: string): JsonElement {
  const { vr, bytes, items } = element;
  if (items !== undefined) return { vr: 'SQ', ...(items.length === 0 ? {} : { Value: items.map((item, index) => datasetOf(item, options, around, `${path}/${index + 1}/`)) }) };
  if (bytes.length === 0) return { vr };
  const width = numberWidths[vr];
  const isMany = width !== undefined && bytes.length / width > mostValues;
  if (!binaryVrs.has(vr) && !isMany) return jsonElement(vr, valuesOf(element, around.characterSet));
  if (bytes.length > mostInlineBytes || isMany) return { vr, BulkDataURI: options.bulkDataUri(path) };
  return { vr, InlineBinary: littleEndianBytes(element).toString('base64') };
}

const wordLengths: Readonly<Record<string, 2 | 4 | 8>> = { OW: 2, US: 2, SS: 2, OF: 4, OL: 4, UL: 4, SL: 4, FL: 4, OD: 8, OV: 8, FD: 8, UV: 8, SV: 8 };

/** Bulk data are little endian, whatever the file is (PS3.18 F.2.7). */
export function littleEndianBytes({ vr, bytes, littleEndian }: Pick<DataElement, 'vr' | 'bytes' | 'littleEndian'>): Buffer {
  const width = wordLengths[vr];
  if (littleEndian || width === undefined || bytes.length % width !== 0) return bytes;
  const copy = Buffer.from(bytes);
  return width === 2 ? copy.swap16() : width === 4 ? copy.swap32() : copy.swap64();
}

/** Written with the keys in ascending order (F.2.2): left to itself, JavaScript puts keys that look like whole numbers first. */
export function dicomJsonText(value: JsonDataset | readonly JsonDataset[]): string {
  if (Array.isArray(value)) return `[${(value as readonly JsonDataset[]).map((one) => dicomJsonText(one)).join(',')}]`;
  const dataset = value as JsonDataset;
  return `{${Object.keys(dataset).toSorted().map((key) => `${JSON.stringify(key)}:${elementText(dataset[key]!)}`).join(',')}}`;
}

function elementText(element: JsonElement): string {
  if (element.vr !== 'SQ' || element.Value === undefined) return JSON.stringify(element);
  return `{"vr":"SQ","Value":${dicomJsonText(element.Value as readonly JsonDataset[])}}`;
}
