/** Where a field's value comes from. Paths are relative to the place; '/path' starts at the message, '.' is the place itself. */
import type { SourceReader } from '#gateway/normalized.ts';
import type { FieldSpec, SourceKind } from './format.ts';
import type { Run } from './field.ts';

/** The message or one element of an `each`. `text` is its own path in the sender's words, '' for the message. */
export interface Place { readonly reader: SourceReader; readonly text: string; readonly separator: string }
/** undefined: not there or empty; null: HL7 null; a list only for `all`. */
export type Value = string | null | undefined | readonly string[];
/** `read` is done for every message; `text` says in the sender's words what was read, for the few who ask. */
export interface Source { read(place: Place, run: Run): Value; text(place: Place, run: Run): string }
type ReadPath = (place: Place, run: Run) => string | null | undefined;

export function compileSource(spec: FieldSpec): Source {
  if (spec.const !== undefined) return { read: () => undefined, text: (place) => place.text };
  if (spec.all !== undefined) return compileAll(spec.all, spec.separator);
  if (spec.concat !== undefined) return compileConcat(spec.concat, spec.separator ?? '');
  return compileFirst(spec.from ?? []);
}

function compileFirst(paths: readonly string[]): Source {
  const reads = paths.map(compilePath);
  const find = (place: Place, run: Run): number => reads.findIndex((read) => { const value = read(place, run); return value !== undefined && value !== ''; });
  const [only] = reads;
  return {
    read(place, run) {
      if (reads.length === 1) { const value = only!(place, run); return value === '' ? undefined : value; }
      for (const read of reads) { const value = read(place, run); if (value !== undefined && value !== '') return value; }
      return undefined;
    },
    text(place, run) {
      const found = paths[find(place, run)];
      return found === undefined ? paths.map((path) => sourceText(place, path)).join(', ') : sourceText(place, found);
    },
  };
}

function compileConcat(paths: readonly string[], separator: string): Source {
  const reads = paths.map(compilePath);
  return {
    read(place, run) {
      const values = reads.map((read) => read(place, run));
      const texts = values.filter((value) => value !== undefined && value !== null && value !== '');
      return texts.length > 0 ? texts.join(separator) : values.includes(null) ? null : undefined;
    },
    text: (place) => paths.map((path) => sourceText(place, path)).join(', '),
  };
}

function compileAll(path: string, separator: string | undefined): Source {
  const absolute = path.startsWith('/'), bare = absolute ? path.slice(1) : path;
  return {
    read(place, run) {
      const values = (absolute ? run.root : place.reader).all(bare);
      const texts = values.filter((text): text is string => text !== null && text !== '');
      if (texts.length === 0) return values.includes(null) ? null : undefined;
      return separator === undefined ? texts : texts.join(separator);
    },
    text: (place) => sourceText(place, path),
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

/** A class, because its text is seldom asked for and a getter in an object literal is costly (gateway/normalized.ts: MakeTrace). */
class Repetition implements Place {
  readonly reader: SourceReader;
  readonly separator: string;
  readonly #path: string;
  readonly #number: number;

  constructor(reader: SourceReader, separator: string, path: string, number: number) {
    this.reader = reader;
    this.separator = separator;
    this.#path = path;
    this.#number = number;
  }

  get text(): string { return `${this.#path}[${this.#number}]`; }
}

/** 'PID-3[2]', 'AL1[1]', 'name[0]': repetitions are counted as the standard counts them, FHIR from 0, DICOM and HL7 from 1. */
export function placesOf(path: string, source: SourceKind): (index: number, reader: SourceReader) => Place {
  const bare = path.startsWith('/') ? path.slice(1) : path;
  const separator = source === 'hl7v2' && /^[A-Z][A-Z0-9]{2}$/.test(bare) ? '-' : '.';
  return (index, reader) => new Repetition(reader, separator, bare, source === 'fhir' ? index : index + 1);
}
