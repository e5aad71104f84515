/** Where a field's value comes from. Paths are relative to the place; '/path' starts at the message, '.' is the place itself. */
import type { SourceReader } from '#gateway/normalized.ts';
import type { FieldSpec, SourceKind } from './format.ts';
import type { Run } from './field.ts';

/** The message or one element of an `each`. `text` is its own path in the sender's words, '' for the message. */
export interface Place { readonly reader: SourceReader; readonly text: string; readonly separator: string }
/** undefined: not there or empty; null: HL7 null; a list only for `all`. */
export interface Reading { readonly source: string; readonly value: string | null | undefined | readonly string[] }
type ReadPath = (place: Place, run: Run) => string | null | undefined;

export function compileSource(spec: FieldSpec): (place: Place, run: Run) => Reading {
  if (spec.const !== undefined) return (place) => ({ source: place.text, value: undefined });
  if (spec.all !== undefined) return compileAll(spec.all, spec.separator);
  if (spec.concat !== undefined) return compileConcat(spec.concat, spec.separator ?? '');
  return compileFirst(spec.from ?? []);
}

function compileFirst(paths: readonly string[]): (place: Place, run: Run) => Reading {
  const reads = paths.map((path) => ({ path, read: compilePath(path) }));
  return (place, run) => {
    for (const { path, read } of reads) {
      const value = read(place, run);
      if (value !== undefined && value !== '') return { source: sourceText(place, path), value };
    }
    return { source: paths.map((path) => sourceText(place, path)).join(', '), value: undefined };
  };
}

function compileConcat(paths: readonly string[], separator: string): (place: Place, run: Run) => Reading {
  const reads = paths.map(compilePath);
  return (place, run) => {
    const values = reads.map((read) => read(place, run));
    const texts = values.filter((value) => value !== undefined && value !== null && value !== '');
    const value = texts.length > 0 ? texts.join(separator) : values.includes(null) ? null : undefined;
    return { source: paths.map((path) => sourceText(place, path)).join(', '), value };
  };
}

function compileAll(path: string, separator: string | undefined): (place: Place, run: Run) => Reading {
  const absolute = path.startsWith('/'), bare = absolute ? path.slice(1) : path;
  return (place, run) => {
    const values = (absolute ? run.root : place.reader).all(bare);
    const texts = values.filter((text): text is string => text !== null && text !== '');
    const value: Reading['value'] = texts.length === 0 ? values.includes(null) ? null : undefined
      : separator === undefined ? texts : texts.join(separator);
    return { source: sourceText(place, path), value };
  };
}

export function compilePath(path: string): ReadPath {
  if (!path.startsWith('/')) return (place) => place.reader.first(path);
  const bare = path.slice(1);
  return (_place, run) => run.root.first(bare);
}

export function sourceText(place: Place, path: string): string {
  if (path.startsWith('/')) return path.slice(1);
  if (place.text === '') return path;
  return path === '.' ? place.text : place.text + place.separator + path;
}

/** 'PID-3[2]', 'AL1[1]', 'name[0]': repetitions are counted as the standard counts them, FHIR from 0, DICOM and HL7 from 1. */
export function placeOf(path: string, index: number, reader: SourceReader, source: SourceKind): Place {
  const bare = path.startsWith('/') ? path.slice(1) : path;
  const separator = source === 'hl7v2' && /^[A-Z][A-Z0-9]{2}$/.test(bare) ? '-' : '.';
  return { reader, text: `${bare}[${source === 'fhir' ? index : index + 1}]`, separator };
}
