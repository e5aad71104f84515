/**
 * A message as the mapping engine reads it, by the standard's own paths:
 *
 *   'PID-3.1' 'PID-5.1.1' 'OBX[2]-5' 'PID-3[2].1'    segment[occurrence]-field[repetition].component.subcomponent
 *   '4.1' inside each('PID-3')                       component.subcomponent of that repetition
 *   '3.2' and 'MRG-1.1' inside each('PID')           field.component of that segment; or a segment of its group
 *   '/PV1-3.1' anywhere                              from the message root
 *
 * each('ORC') yields groups: an ORC and what follows up to the next ORC. each('PID-3') yields the repetitions of the first PID;
 * all('AL1-3') the values of every AL1. A path that stops above a leaf means its first component and
 * subcomponent, as a receiver of a later version must read it (ch. 2.8.2). Values are decoded; '""' is null, absent is undefined.
 */
import type { SourceReader } from '#gateway/normalized.ts';
import { cut } from './parse.ts';
import type { Hl7Message, Segment } from './parse.ts';

interface Path { readonly segment: string | undefined; readonly occurrence: number; readonly field: number; readonly repetition: number | undefined; readonly component: number; readonly subcomponent: number; readonly isField: boolean }

const rootPath = /^\/?([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?)?$/;
const relativePath = /^(\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?$/;
const parsedPaths = new Map<string, Path>();

/** Mapping files hold a few dozen paths that are read for every message, so each is taken apart once. */
function parsePath(text: string): Path {
  const known = parsedPaths.get(text);
  if (known) return known;
  const absolute = rootPath.exec(text);
  const relative = absolute ? null : relativePath.exec(text);
  if (!absolute && !relative) throw new RangeError(`'${text}' is no HL7 v2 path; expected for example PID-3.1, OBX[2]-5 or 4.1 inside each`);
  const [segment, occurrence, field, repetition, component, subcomponent] = absolute ? absolute.slice(1) : [undefined, undefined, ...(relative ?? []).slice(1)];
  const path: Path = {
    segment, occurrence: Number(occurrence ?? 1), field: Number(field ?? 0), repetition: repetition === undefined ? undefined : Number(repetition),
    component: Number(component ?? 1), subcomponent: Number(subcomponent ?? 1), isField: component === undefined,
  };
  if (parsedPaths.size < 5000) parsedPaths.set(text, path);
  return path;
}

/** `orderGroup` n: only the segments before the first ORC and those of the nth ORC group, as if the message held one order. */
export function hl7Reader(message: Hl7Message, options: { orderGroup?: number } = {}): SourceReader {
  const scope = options.orderGroup === undefined ? message.segments : orderGroupScope(message.segments, options.orderGroup);
  return new GroupReader(message, scope, undefined, new ReadMarks(message, scope));
}

function orderGroupScope(segments: readonly Segment[], group: number): readonly Segment[] {
  const starts = segments.flatMap(({ name }, index) => (name === 'ORC' ? [index] : []));
  if (starts.length === 0) return segments;
  return [...segments.slice(0, starts[0]), ...segments.slice(starts[group - 1] ?? segments.length, starts[group])];
}

/** Reads within a range of segments: the whole message, or one group that `own` opens. */
class GroupReader implements SourceReader {
  readonly #message: Hl7Message;
  readonly #scope: readonly Segment[];
  readonly #own: Segment | undefined;
  readonly #marks: ReadMarks;
  #byName: Map<string, Segment[]> | undefined;
  constructor(message: Hl7Message, scope: readonly Segment[], own: Segment | undefined, marks: ReadMarks) {
    this.#message = message; this.#scope = scope; this.#own = own; this.#marks = marks;
  }

  first(text: string): string | null | undefined {
    const path = parsePath(text);
    const segment = this.#segments(text, path)[path.occurrence - 1];
    const raw = segment?.fields[path.field];
    if (segment === undefined || raw === undefined || path.field === 0) return undefined;
    this.#marks.read(segment, path);
    return leaf(this.#message, segment, path, raw, path.repetition ?? 1);
  }

  all(text: string): readonly (string | null)[] {
    const path = parsePath(text);
    return this.#segments(text, path).flatMap((segment) => {
      this.#marks.read(segment, path);
      const values = pieces(this.#message, segment, path.field).map((piece) => leaf(this.#message, segment, path, piece, 1));
      return values.filter((value) => value !== undefined && value !== '') as (string | null)[];
    });
  }

  each(text: string): readonly SourceReader[] {
    const path = parsePath(text);
    if (path.field === 0) return this.#groups(text, path.segment);
    const segment = this.#segments(text, path)[path.occurrence - 1]; // one segment only: a second PID is another patient
    return segment ? this.#repetitions(segment, path) : [];
  }

  unread(): readonly string[] { return this.#marks.unread(); }

  /** Each reader keeps its own piece: cutting the field anew for every read would make a field of many repetitions quadratic. */
  #repetitions(segment: Segment, path: Path): SourceReader[] {
    if (isHeaderDelimiter(segment, path.field)) return [];
    return pieces(this.#message, segment, path.field).filter((piece) => piece !== '')
      .map((piece) => new RepetitionReader(this.#message, segment, path, piece, this, this.#marks));
  }

  #segments(text: string, path: Path): readonly Segment[] {
    if (path.segment === undefined) return this.#own ? [this.#own] : [];
    if (text.startsWith('/')) return this.#marks.segments(path.segment);
    return (this.#byName ??= Map.groupBy(this.#scope, ({ name }) => name)).get(path.segment) ?? [];
  }

  /** One pass over the scope: each segment of that name with what follows it up to the next. */
  #groups(text: string, name: string | undefined): SourceReader[] {
    const scope = text.startsWith('/') ? this.#marks.scope : this.#scope;
    const groups: Segment[][] = [];
    for (const segment of scope) {
      if (segment.name === name) groups.push([segment]);
      else groups.at(-1)?.push(segment);
    }
    return groups.map((group) => new GroupReader(this.#message, group, group[0], this.#marks));
  }
}

/** Reads within one repetition of a field: '4.1' is component 4, subcomponent 1. Paths that name a segment go to the group around it. */
class RepetitionReader implements SourceReader {
  readonly #message: Hl7Message;
  readonly #segment: Segment;
  readonly #at: Path;
  readonly #piece: string;
  readonly #group: SourceReader;
  readonly #marks: ReadMarks;
  constructor(message: Hl7Message, segment: Segment, at: Path, piece: string, group: SourceReader, marks: ReadMarks) {
    this.#message = message; this.#segment = segment; this.#at = at; this.#piece = piece; this.#group = group; this.#marks = marks;
  }

  first(text: string): string | null | undefined {
    const path = parsePath(text === '.' ? '1' : text);
    if (path.segment !== undefined) return this.#group.first(text);
    const here = pathWithin(this.#at, path);
    this.#marks.read(this.#segment, here);
    return leaf(this.#message, this.#segment, here, this.#piece, 1);
  }

  all(text: string): readonly (string | null)[] {
    const value = this.first(text);
    return parsePath(text).segment !== undefined ? this.#group.all(text) : value === undefined || value === '' ? [] : [value];
  }

  each(text: string): readonly SourceReader[] { return parsePath(text).segment === undefined ? [] : this.#group.each(text); }
  unread(): readonly string[] { return this.#marks.unread(); }
}

/** '4.1' within PID-3 as a path of its own; both are of mapping files, so each pair is put together once. */
const pathsWithin = new WeakMap<Path, Map<Path, Path>>();
function pathWithin(at: Path, path: Path): Path {
  let known = pathsWithin.get(at);
  if (!known) pathsWithin.set(at, known = new Map());
  let here = known.get(path);
  if (!here) known.set(path, here = { ...at, component: path.field, subcomponent: path.component, isField: false });
  return here;
}

function leaf(message: Hl7Message, segment: Segment, path: Path, raw: string, repetition: number): string | null | undefined {
  if (isHeaderDelimiter(segment, path.field)) return raw;
  const { repetition: tilde, component, subcomponent } = message.delimiters;
  const piece = cut(raw, tilde, repetition);
  if (piece === undefined) return undefined;
  if (piece === '""') return null; // the whole repetition is the HL7 null, so is each of its parts
  const part = cut(piece, component, path.component);
  const text = part === undefined || part === '""' ? part : cut(part, subcomponent, path.subcomponent);
  if (text === '""') return null;
  return text === undefined ? undefined : message.decode(text);
}

const isHeaderDelimiter = (segment: Segment, field: number): boolean => field <= 2 && (segment.name === 'MSH' || segment.name === 'BHS' || segment.name === 'FHS');

/** The repetitions of a field as sent. */
function pieces(message: Hl7Message, segment: Segment, field: number): readonly string[] {
  const raw = segment.fields[field] ?? '';
  const { repetition } = message.delimiters;
  return repetition === undefined || isHeaderDelimiter(segment, field) ? [raw] : raw.split(repetition);
}

/** Which fields and components were read, so that a trace can name the values nobody looked at. MSH is the envelope and left out. */
class ReadMarks {
  readonly #message: Hl7Message;
  readonly scope: readonly Segment[];
  /** Segment and path by turns, as they were read; sorted out when somebody asks. */
  readonly #reads: (Segment | Path)[] = [];
  #byName: Map<string, Segment[]> | undefined;
  constructor(message: Hl7Message, scope: readonly Segment[]) { this.#message = message; this.scope = scope; }

  /** From the root of what this reader may see. */
  segments(name: string): readonly Segment[] { return (this.#byName ??= Map.groupBy(this.scope, (segment) => segment.name)).get(name) ?? []; }

  read(segment: Segment, path: Path): void { this.#reads.push(segment, path); }

  #bySegment(): ReadonlyMap<Segment, ReadonlySet<string>> {
    const bySegment = new Map<Segment, Set<string>>();
    for (let index = 0; index < this.#reads.length; index += 2) {
      const segment = this.#reads[index] as Segment, path = this.#reads[index + 1] as Path;
      let marks = bySegment.get(segment);
      if (!marks) bySegment.set(segment, marks = new Set());
      marks.add(path.isField ? `${path.field}.1` : `${path.field}.${path.component}`);
    }
    return bySegment;
  }

  unread(limit = 500): readonly string[] {
    const paths: string[] = [];
    const occurrences = new Map<string, number>();
    const read = this.#bySegment();
    for (const segment of this.scope) {
      const occurrence = (occurrences.get(segment.name) ?? 0) + 1;
      occurrences.set(segment.name, occurrence);
      if (segment.name === 'MSH') continue;
      const name = occurrence === 1 ? segment.name : `${segment.name}[${occurrence}]`;
      for (const path of this.#unreadOf(segment, name, read.get(segment))) { if (paths.push(path) >= limit) return paths; }
    }
    return paths;
  }

  *#unreadOf(segment: Segment, name: string, marks: ReadonlySet<string> | undefined): Generator<string> {
    const { repetition, component } = this.#message.delimiters;
    for (let field = 1; field < segment.fields.length; field++) {
      const raw = segment.fields[field] ?? '';
      if (raw === '') continue;
      const filled = new Set<number>();
      for (const piece of repetition === undefined ? [raw] : raw.split(repetition)) {
        (component === undefined ? [piece] : piece.split(component)).forEach((part, index) => { if (part !== '') filled.add(index + 1); });
      }
      for (const number of [...filled].toSorted((a, b) => a - b)) {
        if (!marks?.has(`${field}.${number}`)) yield filled.size === 1 && number === 1 ? `${name}-${field}` : `${name}-${field}.${number}`;
      }
    }
  }
}
