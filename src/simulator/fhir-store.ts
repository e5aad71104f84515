/** FHIR resources in memory with every version, search by identifier, and interactions that all happen or none (R4 http.html). */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isObject, referenceTargets, structuralProblems, supportedTypes } from './fhir-structure.ts';
import type { FhirProblem, FhirResource } from './fhir-structure.ts';

export interface StoredVersion { readonly resource: FhirResource; readonly versionId: number; readonly at: string }
export interface Written { readonly status: 200 | 201; readonly version: StoredVersion }
type Table = Map<string, StoredVersion[]>;

export class FhirError extends Error {
  readonly status: number;
  readonly problems: readonly FhirProblem[];
  constructor(status: number, problems: readonly FhirProblem[]) {
    super(problems.map((problem) => `${problem.expression} ${problem.text}`).join('; '));
    this.status = status;
    this.problems = problems;
  }
}
const fail = (status: number, code: FhirProblem['code'], expression: string, text: string): never => { throw new FhirError(status, [{ code, expression, text }]); };

export class FhirStore {
  #tables = new Map<string, Table>();

  /** Newest version of each, in order of creation. */
  list(type: string): readonly FhirResource[] {
    return [...this.#tables.get(type)?.values() ?? []].flatMap((versions) => versions.at(-1)?.resource ?? []);
  }
  read(type: string, id: string): StoredVersion | undefined { return this.#tables.get(type)?.get(id)?.at(-1); }
  history(type: string, id: string): readonly StoredVersion[] { return this.#tables.get(type)?.get(id) ?? []; }

  /** identifier and _tag as tokens, _id, patient/subject=[Patient/]id, status. An unknown parameter is refused rather than ignored. */
  search(type: string, parameters: URLSearchParams): readonly FhirResource[] {
    if (!supportedTypes().includes(type)) fail(404, 'not-supported', type, 'is not on this server');
    return [...parameters].reduce((found, [name, value]) => found.filter(matcher(type, name, value)), this.list(type));
  }

  /** Runs the work on a copy and keeps it only when it has returned. */
  atomically<T>(work: () => T): T {
    const before = this.#tables;
    this.#tables = new Map([...before].map(([type, table]) => [type, new Map([...table].map(([id, versions]) => [id, [...versions]]))]));
    try {
      return work();
    } catch (error) {
      this.#tables = before;
      throw error;
    }
  }

  /** POST, with If-None-Exist when `ifNoneExist` has search parameters. 412 when they match several. */
  create(resource: FhirResource, ifNoneExist?: string, id?: string): Written {
    const existing = ifNoneExist === undefined ? undefined : this.#match(resource.resourceType, ifNoneExist);
    if (existing !== undefined) return { status: 200, version: existing };
    return this.#write(resource, id ?? randomUUID());
  }

  /** PUT [type]/[id]; `ifMatch` is the version that must be current. */
  update(type: string, id: string, resource: FhirResource, ifMatch?: string): Written {
    const current = this.read(type, id);
    if (ifMatch !== undefined && ifMatch !== `W/"${current?.versionId}"`) fail(412, 'value', type, 'If-Match names another version than the current one');
    return this.#write(resource, id);
  }

  /** PUT [type]?[parameters]: creates, or updates the one that matches; 412 when several do. */
  updateMatching(type: string, query: string, resource: FhirResource, id?: string): Written {
    return this.#write(resource, this.#match(type, query)?.resource.id ?? resource.id ?? id ?? randomUUID());
  }

  /** The id that a conditional reference or request stands for. */
  matchId(type: string, query: string): string | undefined { return this.#match(type, query)?.resource.id; }

  /** Every reference must lead to something: on this server, in `contained`, or at another server by its full URL. */
  checkReferences(resource: FhirResource): void {
    const problems = [...this.#referenceProblems(resource, resource, resource.resourceType, '')];
    if (problems.length > 0) throw new FhirError(422, problems);
  }

  #match(type: string, query: string): StoredVersion | undefined {
    const parameters = new URLSearchParams(query);
    if (parameters.size === 0) fail(400, 'value', type, 'a conditional request needs search parameters');
    const found = this.search(type, parameters);
    if (found.length > 1) fail(412, 'value', type, `the condition matches ${found.length} resources`);
    return found[0]?.id === undefined ? undefined : this.read(type, found[0].id);
  }

  #write(resource: FhirResource, id: string): Written {
    const problems = structuralProblems(resource);
    if (problems.length > 0) throw new FhirError(422, problems);
    const type = resource.resourceType;
    const table = this.#tables.get(type) ?? new Map<string, StoredVersion[]>();
    this.#tables.set(type, table);
    const versions = table.get(id) ?? [];
    table.set(id, versions);
    const current = versions.at(-1);
    const { meta: _oldMeta, id: _oldId, ...content } = resource;
    if (current !== undefined) {
      const { meta: _meta, id: _id, ...stored } = current.resource;
      if (isDeepStrictEqual(stored, content)) return { status: 200, version: current };
    }
    const at = new Date().toISOString(), versionId = versions.length + 1;
    const meta = isObject(resource['meta']) ? resource['meta'] : {};
    const version = { resource: { ...resource, id, meta: { ...meta, versionId: String(versionId), lastUpdated: at } }, versionId, at };
    versions.push(version);
    return { status: current === undefined ? 201 : 200, version };
  }

  *#referenceProblems(root: FhirResource, value: unknown, expression: string, element: string): Generator<FhirProblem> {
    if (Array.isArray(value)) { for (const [index, child] of value.entries()) yield* this.#referenceProblems(root, child, `${expression}[${index}]`, element); return; }
    if (!isObject(value)) return;
    const { reference } = value;
    if (typeof reference === 'string') {
      const problem = this.#referenceProblem(root, reference, expression.split('.').length === 2 ? element : '');
      if (problem !== undefined) yield { code: 'not-found', expression: `${expression}.reference`, text: problem };
    }
    for (const [name, child] of Object.entries(value)) {
      if (name !== 'contained') yield* this.#referenceProblems(root, child, `${expression}.${name}`, name);
    }
  }

  #referenceProblem(root: FhirResource, reference: string, element: string): string | undefined {
    if (reference.startsWith('#')) {
      const contained = root['contained'];
      return Array.isArray(contained) && contained.some((each) => isObject(each) && each['id'] === reference.slice(1)) ? undefined : 'names a contained resource that is not there';
    }
    if (reference.startsWith('urn:')) return 'is a urn: that no entry of the Bundle has as fullUrl';
    if (/^https?:\/\//.test(reference)) return undefined;
    const [type = '', id = ''] = reference.split('/');
    const targets = referenceTargets(root.resourceType, element);
    if (targets.length > 0 && !targets.includes(type)) return `must refer to ${targets.join(' or ')}`;
    return this.read(type, id) === undefined ? 'refers to a resource that does not exist' : undefined;
  }
}

function matcher(type: string, name: string, value: string): (resource: FhirResource) => boolean {
  if (name === '_id') return (resource) => resource.id === value;
  if (name === 'status') return (resource) => resource['status'] === value;
  if (name === '_count' || name === '_format' || name === '_sort' || name === '_total') return () => true;
  if (name === 'patient' || name === 'subject') return (resource) => isObject(resource['subject']) && resource['subject']['reference'] === `Patient/${value.replace(/^Patient\//, '')}`;
  if (name === '_tag') return (resource) => isObject(resource['meta']) && hasToken(resource['meta']['tag'], 'code', value);
  if (name !== 'identifier') return fail(400, 'not-supported', type, `the search parameter '${name}' is not supported`);
  return (resource) => hasToken(resource['identifier'], 'value', value);
}

/** Search by token (R4 search.html#token): 'value', 'system|value', '|value' for one without a system. */
function hasToken(element: unknown, key: 'value' | 'code', token: string): boolean {
  const bar = token.lastIndexOf('|');
  const system = bar < 0 ? undefined : token.slice(0, bar), value = token.slice(bar + 1);
  return (Array.isArray(element) ? element : [element]).filter(isObject)
    .some((each) => each[key] === value && (system === undefined || (each['system'] ?? '') === system));
}
