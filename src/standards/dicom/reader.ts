/**
 * A DICOM header as the mapping engine reads it. Paths:
 *   (0010,0010)               the first value, whole           fact:transferSyntaxUid   a fact that came with the object
 *   (0010,0010).1             1st component of the alphabetic group of a name (.1 family ... .5 suffix)
 *   (0010,0010).ideographic   a whole group: .alphabetic .ideographic .phonetic
 *   (0040,0275)>(0040,1001)   inside a sequence: first() the first item that has it, all() every item's, each() every item
 *   .                         the value or the item itself, in a reader that each() gave
 */
import type { SourceReader } from '#gateway/normalized.ts';
import type { CharacterSet } from './character-set.ts';
import { parsePersonName, wholeGroup } from './person-name.ts';
import type { DataElement, Dataset } from './elements.ts';
import { readHeader } from './header.ts';
import type { DicomHeader } from './header.ts';
import { formatTag, parseTag } from './tag.ts';
import { characterSetIn, valuesOf } from './values.ts';

export type DicomReader = SourceReader & { readonly header: DicomHeader };
export type Facts = Readonly<Record<string, unknown>>;

/** The values of each element that was read: a name is asked for five times, once for each component. Shared by all readers of one object. */
type Touched = Map<DataElement, readonly string[]>;
const noValues: readonly string[] = [];
interface Level { readonly dataset: Dataset; readonly characterSet: CharacterSet }
type Part = 'alphabetic' | 'ideographic' | 'phonetic' | 1 | 2 | 3 | 4 | 5;
interface Path { readonly sequences: readonly number[]; readonly tag: number; readonly part: Part | undefined }

const mostUnread = 200;

/**
 * @param head the first bytes of the stored file, or of the bare dataset, at least up to Pixel Data
 * @param facts what is known beyond the bytes, for `fact:` paths. Facts that the bytes tell are there by themselves: transferSyntaxUid
 *   (a given one counts where the file does not name its own), datasetOffset, sopClassUid, sopInstanceUid (of group 0002), hasPixelData.
 */
export function dicomReader(head: Buffer, facts: Facts = {}): DicomReader {
  const hint = facts['transferSyntaxUid'];
  const header = readHeader(head, typeof hint === 'string' ? hint : undefined);
  const { transferSyntaxUid, datasetOffset, sopClassUid, sopInstanceUid } = header.part10;
  const known: Facts = { datasetOffset, hasPixelData: header.hasPixelData, sopClassUid, sopInstanceUid, ...facts, transferSyntaxUid };
  const level: Level = { dataset: header.dataset, characterSet: characterSetIn(header.dataset, undefined) };
  return { ...readerOf(level, known, new Map()), header };
}

function readerOf(level: Level, facts: Facts, touched: Touched): SourceReader {
  const all = (text: string): readonly string[] => {
    if (text.startsWith('fact:')) return factValue(facts, text.slice(5)) ?? [];
    const path = parsePath(text);
    return path === undefined ? [] : descend(level, path.sequences, touched).flatMap((item) => valuesAt(item, path, touched) ?? []);
  };
  return {
    all,
    first(text) {
      if (text.startsWith('fact:')) return factValue(facts, text.slice(5))?.[0];
      const path = parsePath(text);
      if (path === undefined) return undefined;
      if (path.sequences.length === 0) return firstOf(valuesAt(level, path, touched));
      const found = descend(level, path.sequences, touched).map((item) => valuesAt(item, path, touched)).filter((values) => values !== undefined);
      return firstOf(found.find((values) => values.some((value) => value !== '')) ?? found[0]);
    },
    each(text) {
      const path = text.startsWith('fact:') ? undefined : parsePath(text);
      if (path === undefined) return all(text).map((value) => valueReader(value));
      return descend(level, path.sequences, touched).flatMap((item) => {
        const element = item.dataset.get(path.tag);
        if (element?.items === undefined) return (valuesAt(item, path, touched) ?? []).map((value) => valueReader(value));
        touched.set(element, noValues);
        return element.items.map((dataset) => readerOf(levelOf(dataset, item), facts, touched));
      });
    },
    unread: () => unreadOf(level, '', touched, new Set()),
  };
}

const firstOf = (values: readonly string[] | undefined): string | undefined => values?.[0];

/** One value of a multi-valued element; name components are still to be had: '.1', '.ideographic'. */
function valueReader(value: string): SourceReader {
  const read = (path: string) => {
    if (path === '.') return value;
    const part = partOf(path.slice(1));
    return path.startsWith('.') && part !== undefined ? namePart(value, part) : undefined;
  };
  return { first: read, all: (path) => { const found = read(path); return found === undefined ? [] : [found]; }, each: () => [], unread: () => [] };
}

function levelOf(dataset: Dataset, around: Level): Level {
  return { dataset, characterSet: characterSetIn(dataset, around.characterSet) };
}

function descend(level: Level, sequences: readonly number[], touched: Touched): readonly Level[] {
  return sequences.reduce<readonly Level[]>((levels, tag) => levels.flatMap((item) => {
    const element = item.dataset.get(tag);
    if (element?.items === undefined) return [];
    touched.set(element, noValues);
    return element.items.map((dataset) => levelOf(dataset, item));
  }), [level]);
}

/** undefined: not there; ['']: there and empty. */
function valuesAt({ dataset, characterSet }: Level, { tag, part }: Path, touched: Touched): readonly string[] | undefined {
  const element = dataset.get(tag);
  if (element === undefined || element.items !== undefined) return undefined;
  let values = touched.get(element);
  if (values === undefined) touched.set(element, values = valuesOf(element, characterSet));
  if (values.length === 0) return element.bytes.length === 0 ? [''] : undefined;
  return part === undefined ? values : values.map((value) => namePart(value, part));
}

function namePart(value: string, part: Part): string {
  const name = parsePersonName(value);
  if (part === 'alphabetic') return wholeGroup(value.split('=')[0] ?? '');
  if (typeof part === 'string') return name[part];
  const { family, given, middle, prefix, suffix } = name.alphabetic;
  return [family, given, middle, prefix, suffix][part - 1] ?? '';
}

function factValue(facts: Facts, name: string): readonly string[] | undefined {
  const value = Object.hasOwn(facts, name) ? facts[name] : undefined;
  if (value === undefined || value === null) return undefined;
  return (Array.isArray(value) ? value : [value]).filter((one) => typeof one !== 'object').map(String);
}

const parsedPaths = new Map<string, Path | undefined>();
const mostParsedPaths = 1000;
function parsePath(text: string): Path | undefined {
  if (parsedPaths.has(text)) return parsedPaths.get(text);
  const steps = text.split('>').map((step) => step.trim());
  const last = /^(\([^)]*\)|[^.]*)(?:\.(.*))?$/.exec(steps.at(-1) ?? '');
  const tag = parseTag(last?.[1] ?? ''), part = partOf(last?.[2] ?? '');
  const sequences = steps.slice(0, -1).map(parseTag);
  const isWhole = last?.[2] === undefined || part !== undefined;
  const path = tag === undefined || !isWhole || sequences.includes(undefined) ? undefined : { sequences: sequences as number[], tag, part };
  if (parsedPaths.size < mostParsedPaths) parsedPaths.set(text, path);
  return path;
}
function partOf(text: string): Part | undefined {
  if (text === 'alphabetic' || text === 'ideographic' || text === 'phonetic') return text;
  return /^[1-5]$/.test(text) ? Number(text) as 1 | 2 | 3 | 4 | 5 : undefined;
}

/** Elements with a value that nobody asked for, in tag order; a sequence that was entered is listed by what remains in its items. */
function unreadOf({ dataset }: Pick<Level, 'dataset'>, prefix: string, touched: Touched, found: Set<string>): readonly string[] {
  for (const element of dataset.values()) {
    if (found.size >= mostUnread) break;
    const holdsValue = element.bytes.length > 0 || (element.items !== undefined && element.items.length > 0);
    if (!holdsValue) continue;
    if (!touched.has(element)) found.add(prefix + formatTag(element.tag));
    else for (const item of element.items ?? []) unreadOf({ dataset: item }, `${prefix}${formatTag(element.tag)}>`, touched, found);
  }
  return prefix === '' ? [...found] : [];
}
