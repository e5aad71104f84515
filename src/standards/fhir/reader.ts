/** A FHIR resource for the mapping engine: fields by path (path.ts), and what nobody has read. FHIR has no explicit null, so neither has this. */
import type { SourceReader } from '#gateway/normalized.ts';
import { follow, parsePath, textOf } from './path.ts';
import type { Found } from './path.ts';

/** Reads primitives only: the text of a string, number or boolean. `first` skips nothing; a path to an object is undefined. */
export function fhirReader(resource: object): SourceReader {
  return readerAt({ value: resource, at: '' }, new Set());
}

function readerAt(place: Found, read: Set<string>): SourceReader {
  const texts = (path: string): string[] => follow(parsePath(path), place).flatMap((found) => {
    const text = textOf(found.value);
    if (text === undefined) return [];
    read.add(found.at);
    return [text];
  });
  return {
    first: (path) => texts(path)[0],
    all: texts,
    each: (path) => follow(parsePath(path), place).filter((found) => found.value !== null).map((found) => readerAt(found, read)),
    unread: () => leaves(place).filter((at) => !read.has(at)),
  };
}

/** Narrative and resourceType say nothing that the other elements do not. */
const withoutContent = new Set(['resourceType', 'text.status', 'text.div']);

function leaves({ value, at }: Found): string[] {
  if (typeof value !== 'object' || value === null) return value === null || withoutContent.has(at) ? [] : [at];
  return Object.entries(value).flatMap(([key, item]) =>
    leaves({ value: item as unknown, at: Array.isArray(value) ? `${at}[${key}]` : at === '' ? key : `${at}.${key}` }));
}
