/** References (R4 references.html): what type a Reference points to, as far as it tells, and whether what it names is there. */
import type { Fields } from './invariants.ts';
import { resourceTypes } from './resource-types.ts';

export interface ReferenceFinding {
  /** The resource type pointed to; undefined when the reference does not tell. */
  readonly target?: string | undefined;
  /** What is wrong; undefined when nothing is. */
  readonly text?: string;
}

/** `Patient/1`, `https://host/fhir/Patient/1/_history/2` -> Patient, 1, https://host/fhir/Patient. */
export function parseLiteral(reference: string): { readonly type: string; readonly id: string; readonly base: string } | undefined {
  const match = /^(https?:\/\/[^\s?#]+\/)?([A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(?:\/_history\/[A-Za-z0-9.-]{1,64})?$/.exec(reference);
  const [, base = '', type = '', id = ''] = match ?? [];
  return match !== null && resourceTypes.has(type) ? { type, id, base } : undefined;
}

export function referenceProblem(reference: Fields, container: Fields, fullUrls: ReadonlyMap<string, string> | undefined): ReferenceFinding {
  const { reference: literal, type } = reference;
  const named = typeof type === 'string' && resourceTypes.has(type) ? type : undefined;
  if (typeof literal !== 'string') return { target: named };
  if (literal === '#') return { target: textOf(container['resourceType']) };
  if (literal.startsWith('#')) {
    const contained = containedById(container).get(literal.slice(1));
    return contained === undefined ? { target: named, text: 'names a contained resource that is not there' } : { target: textOf(contained['resourceType']) };
  }
  if (literal.startsWith('urn:')) {
    if (fullUrls === undefined || !/^urn:(uuid|oid):/.test(literal)) return { target: named };
    const target = fullUrls.get(literal);
    return target === undefined ? { target: named, text: 'names a fullUrl that is not in the Bundle' } : { target };
  }
  return { target: parseLiteral(literal)?.type ?? conditionalType(literal) ?? named };
}

/** `Patient?identifier=...` in a transaction (http.html#transaction). */
function conditionalType(literal: string): string | undefined {
  const type = /^([A-Za-z]+)\?/.exec(literal)?.[1];
  return type !== undefined && resourceTypes.has(type) ? type : undefined;
}

export function fullUrlsOf(bundle: Fields): ReadonlyMap<string, string> {
  const urls = new Map<string, string>();
  for (const entry of Array.isArray(bundle['entry']) ? bundle['entry'] as unknown[] : []) {
    const { fullUrl, resource } = (entry ?? {}) as { fullUrl?: unknown; resource?: Fields };
    if (typeof fullUrl === 'string') urls.set(fullUrl, textOf(resource?.['resourceType']) ?? '');
  }
  return urls;
}

/** Looked up once per container: a message may hold thousands of references to thousands of contained resources. */
const containedOf = new WeakMap<Fields, ReadonlyMap<unknown, Fields>>();

function containedById(container: Fields): ReadonlyMap<unknown, Fields> {
  const known = containedOf.get(container);
  if (known !== undefined) return known;
  const list = Array.isArray(container['contained']) ? container['contained'].filter((item): item is Fields => typeof item === 'object' && item !== null) : [];
  const byId = new Map(list.map((resource) => [resource['id'], resource]));
  containedOf.set(container, byId);
  return byId;
}

/** Ids that any `reference`, `uri` or `canonical` below names with '#'; '' stands for '#' itself. */
export function idsReferenced(value: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (typeof value === 'string') {
    if (value.startsWith('#')) found.add(value.slice(1));
  } else if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) idsReferenced(item, found);
  }
  return found;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
