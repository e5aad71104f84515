/**
 * Paths of mapping files into FHIR JSON, a small part of FHIRPath without functions:
 *
 *   birthDate   name[0].family   name[use=official].family   identifier[type.coding.code=ACSN].value   extension[url=http://...].valueString
 *
 * A step over an array goes over all its elements; [n] takes one; [path=value] takes those whose `path` has that value.
 */
export interface PathStep { readonly name: string; readonly index?: number; readonly where?: { readonly path: Path; readonly value: string } }
export type Path = readonly PathStep[];

const compiled = new Map<string, Path>();

/** Throws an Error for text that is no path: that is a mistake in a mapping file. */
export function parsePath(text: string): Path {
  const known = compiled.get(text);
  if (known !== undefined) return known;
  const path = text === '.' ? [] : splitSteps(text).map((step) => parseStep(step, text));
  if (compiled.size < 2000) compiled.set(text, path);
  return path;
}

/** Dots inside brackets belong to the filter. */
function splitSteps(text: string): string[] {
  const steps: string[] = [];
  let depth = 0, start = 0;
  for (let at = 0; at <= text.length; at += 1) {
    if (text[at] === '[') depth += 1;
    else if (text[at] === ']') depth -= 1;
    else if (at === text.length || (text[at] === '.' && depth === 0)) {
      steps.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return steps;
}

function parseStep(step: string, path: string): PathStep {
  const match = /^([A-Za-z_][A-Za-z0-9_]*)(?:\[(.+)\])?$/.exec(step);
  if (match === null) throw new Error(`'${path}' is not a path into FHIR JSON: '${step}'`);
  const [, name = '', filter] = match;
  if (filter === undefined) return { name };
  if (/^\d+$/.test(filter)) return { name, index: Number(filter) };
  const equals = filter.indexOf('=');
  if (equals < 1) throw new Error(`'${path}' is not a path into FHIR JSON: [${filter}] is neither a number nor path=value`);
  return { name, where: { path: parsePath(filter.slice(0, equals)), value: filter.slice(equals + 1) } };
}

/** A place in the resource: its value and where it is, as in `name[1].given[0]`. */
export interface Found { readonly value: unknown; readonly at: string }

/** All places the path leads to; none where a step finds nothing. */
export function follow(path: Path, from: Found): readonly Found[] {
  let places: readonly Found[] = [from];
  for (const step of path) places = places.flatMap((place) => takeStep(step, place));
  return places;
}

function takeStep(step: PathStep, { value, at }: Found): readonly Found[] {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step.name)) return [];
  const here = at === '' ? step.name : `${at}.${step.name}`;
  const next = (value as Record<string, unknown>)[step.name];
  const items: Found[] = Array.isArray(next) ? next.map((item: unknown, index) => ({ value: item, at: `${here}[${index}]` })) : [{ value: next, at: here }];
  if (step.index !== undefined) return items.slice(step.index, step.index + 1);
  const { where } = step;
  if (where === undefined) return items;
  return items.filter((item) => follow(where.path, item).some((found) => textOf(found.value) === where.value));
}

/** A primitive as text; undefined for objects and null. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}
