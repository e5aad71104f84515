/**
 * The Native DICOM Model (PS3.19 annex A) of a data set, from its DICOM JSON: the same values, in XML. Characters that XML 1.0 cannot hold are left out.
 */
import { keywordOf } from '#standards/dicom/keywords.ts';
import type { JsonDataset, JsonElement, JsonPersonName, JsonValue } from './dicom-json.ts';

export const xmlMediaType = 'application/dicom+xml';

export function nativeDicomModel(dataset: JsonDataset): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">${attributesOf(dataset)}</NativeDicomModel>\n`;
}

function attributesOf(dataset: JsonDataset): string {
  return Object.keys(dataset).toSorted().map((tag) => attributeOf(tag, dataset[tag]!, dataset)).join('');
}

function attributeOf(tag: string, element: JsonElement, around: JsonDataset): string {
  const keyword = keywordOf(Number.parseInt(tag, 16)), creator = privateCreatorOf(tag, around);
  const head = `<DicomAttribute tag="${tag}" vr="${element.vr}"${keyword === undefined ? '' : ` keyword="${keyword}"`}${creator === undefined ? '' : ` privateCreator="${escaped(creator)}"`}`;
  const content = contentOf(element);
  return content === '' ? `${head}/>` : `${head}>${content}</DicomAttribute>`;
}

function contentOf({ vr, Value, InlineBinary, BulkDataURI }: JsonElement): string {
  if (BulkDataURI !== undefined) return `<BulkData uri="${escaped(BulkDataURI)}"/>`;
  if (InlineBinary !== undefined) return `<InlineBinary>${InlineBinary}</InlineBinary>`;
  return (Value ?? []).map((value, index) => valueOf(vr, value, index + 1)).join('');
}

/** An empty value among others is left out; the numbers of the others tell where it was. */
function valueOf(vr: string, value: JsonValue, number: number): string {
  if (vr === 'SQ') return `<Item number="${number}">${attributesOf((value ?? {}) as JsonDataset)}</Item>`;
  if (value === null) return '';
  if (vr === 'PN') return `<PersonName number="${number}">${personName(value as JsonPersonName)}</PersonName>`;
  return `<Value number="${number}">${escaped(String(value))}</Value>`;
}

const groups = ['Alphabetic', 'Ideographic', 'Phonetic'] as const;
const components = ['FamilyName', 'GivenName', 'MiddleName', 'NamePrefix', 'NameSuffix'] as const;

function personName(name: JsonPersonName): string {
  return groups.map((group) => {
    const parts = (name[group] ?? '').split('^');
    const text = components.map((component, index) => (parts[index] ? `<${component}>${escaped(parts[index])}</${component}>` : '')).join('');
    return text === '' ? '' : `<${group}>${text}</${group}>`;
  }).join('');
}

/** Of (gggg,xxyy) with an odd group: the value of (gggg,00xx). */
function privateCreatorOf(tag: string, around: JsonDataset): string | undefined {
  if (Number.parseInt(tag.slice(3, 4), 16) % 2 === 0 || tag.slice(4, 6) === '00') return undefined;
  const creator = around[`${tag.slice(0, 4)}00${tag.slice(4, 6)}`]?.Value?.[0];
  return typeof creator === 'string' ? creator : undefined;
}

function escaped(text: string): string {
  return text.replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '')
    .replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll('\r', '&#13;');
}
