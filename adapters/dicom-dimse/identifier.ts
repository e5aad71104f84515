/** The data sets that queries, retrieves and procedure steps come with: read into values, and answered with the keys that were asked for. */
import { characterSetOf } from '#standards/dicom/character-set.ts';
import type { CharacterSet } from '#standards/dicom/character-set.ts';
import type { DatasetElements, ElementValue } from '#standards/dicom/dataset-writer.ts';
import type { DataElement, Dataset } from '#standards/dicom/elements.ts';
import { explicitLittleEndian, implicitLittleEndian, readElements } from '#standards/dicom/elements.ts';
import { encodeDatasetIn, writableSetOf } from '#standards/dicom/encode-text.ts';
import type { WritableCharacterSet } from '#standards/dicom/encode-text.ts';
import { formatTag } from '#standards/dicom/tag.ts';
import { implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { characterSetIn, valuesOf, wholeText } from '#standards/dicom/values.ts';

/** A data set with its character set; values by number of the tag. */
export interface Identifier {
  readonly dataset: Dataset;
  readonly characterSet: CharacterSet;
  /** The whole value, several joined by backslash; '' when empty or absent. */
  text(tag: number): string;
  values(tag: number): readonly string[];
  /** The items of a sequence; [] when it is absent. */
  items(tag: number): readonly Identifier[];
}

/** Undefined: the bytes are no data set of the context's transfer syntax. */
export function readIdentifier(bytes: Buffer, transferSyntaxUid: string): Identifier | undefined {
  const read = readElements(bytes, 0, transferSyntaxUid === implicitVrLittleEndian ? implicitLittleEndian : explicitLittleEndian, () => false);
  return read.complete ? identifierOf(read.dataset, characterSetOf(undefined)) : undefined;
}

function identifierOf(dataset: Dataset, around: CharacterSet): Identifier {
  const characterSet = characterSetIn(dataset, around);
  const at = <T>(tag: number, read: (element: DataElement) => T, none: T): T => { const element = dataset.get(tag); return element ? read(element) : none; };
  return {
    dataset, characterSet,
    text: (tag) => at(tag, (element) => wholeText(element, characterSet) ?? '', ''),
    values: (tag) => at(tag, (element) => valuesOf(element, characterSet).filter((value) => value !== ''), []),
    items: (tag) => at(tag, (element) => (element.items ?? []).map((item) => identifierOf(item, characterSet)), []),
  };
}

/** (0008,0005), (0008,0052): always answered, never asked for by a value of theirs. */
const notAsked = new Set([0x00080005, 0x00080052]);

/**
 * One answer: of `known`, what the identifier has as keys; keys that nothing is known of come back empty (PS3.4 C.4.1.1.3.2). A sequence that was
 * asked for without an item comes back whole. Text is in the character set of the setting, else in that of the question, else in UTF-8.
 */
export function answerOf(asked: Identifier, known: DatasetElements, always: DatasetElements, { transferSyntaxUid, characterSet }: { transferSyntaxUid: string; characterSet?: WritableCharacterSet | undefined }): Buffer {
  return encodeDatasetIn(characterSet ?? writableSetOf(asked.characterSet.terms), { ...project(asked.dataset, known), ...always }, { explicitVr: transferSyntaxUid !== implicitVrLittleEndian });
}

function project(asked: Dataset, known: DatasetElements): DatasetElements {
  const answer: Record<string, ElementValue | { vr: string; value: ElementValue }> = {};
  for (const element of asked.values()) {
    if ((element.tag & 0xffff) === 0 || notAsked.has(element.tag)) continue;
    const name = formatTag(element.tag);
    const value = known[name] as ElementValue;
    if (element.vr !== 'SQ') { answer[name] = { vr: element.vr, value: cleaned(value) }; continue; }
    const [item] = element.items ?? [];
    const items = Array.isArray(value) ? value as unknown as readonly DatasetElements[] : [];
    answer[name] = { vr: 'SQ', value: items.map((one) => (item && item.size > 0 ? project(item, one) : one)) as unknown as ElementValue };
  }
  return answer;
}

/** Text that came by another protocol may hold what separates values in DICOM. */
function cleaned(value: ElementValue): ElementValue {
  if (value === undefined || value === '') return null;
  return typeof value === 'string' ? value.replace(/[\\\p{Cc}]/gu, ' ') : value;
}
