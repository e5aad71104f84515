/** Which FHIR interaction a request asks for (R4 http.html), and which answer it gets when it is none of ours. */
import { FhirRefusal } from './answer.ts';

export type ReceivedType = 'Patient' | 'ServiceRequest';
export interface Interaction {
  readonly kind: 'create' | 'update' | 'conditional-update' | 'conditional-create';
  readonly resourceType: ReceivedType;
  /** PUT Patient/<id>. */
  readonly id?: string;
  /** `system|value` of ?identifier= or If-None-Exist. */
  readonly criteria?: { readonly system: string; readonly value: string };
}

const receivedTypes: readonly string[] = ['Patient', 'ServiceRequest'] satisfies ReceivedType[];

/** Throws FhirRefusal: 404, 405, 400, 412. */
export function interactionOf(request: Request, mount: string): Interaction {
  const url = new URL(request.url);
  const [type = '', id, ...rest] = pathBelow(url.pathname, mount);
  if (type === 'metadata' && id === undefined) throw new FhirRefusal(405, 'not-supported', `${request.method} is not taken here, only GET, HEAD.`, { headers: { allow: 'GET, HEAD' } });
  if (!receivedTypes.includes(type) || rest.length > 0) throw new FhirRefusal(404, 'not-found', 'There is nothing here to write to. GET metadata tells what this server takes: Patient and ServiceRequest.');
  const resourceType = type as ReceivedType;
  if (id !== undefined) return allow(request, ['GET', 'HEAD', 'PUT'], { kind: 'update', resourceType, id: checkedId(id) });
  if (request.method === 'PUT') return { kind: 'conditional-update', resourceType, criteria: criteriaOf(url.searchParams, 'The URL of a conditional update') };
  const condition = request.headers.get('if-none-exist');
  if (condition !== null) return allow(request, ['POST', 'PUT'], { kind: 'conditional-create', resourceType, criteria: criteriaOf(new URLSearchParams(condition.replace(/^\?/, '')), 'If-None-Exist') });
  return allow(request, ['POST', 'PUT'], { kind: 'create', resourceType });
}

function pathBelow(pathname: string, mount: string): string[] {
  const below = pathname.startsWith(mount) ? pathname.slice(mount.length) : pathname;
  return below.split('/').filter((part) => part !== '');
}

function allow<T>(request: Request, methods: readonly string[], interaction: T): T {
  if (methods.includes(request.method)) return interaction;
  throw new FhirRefusal(405, 'not-supported', `${request.method} is not taken here, only ${methods.join(', ')}.`, { headers: { allow: methods.join(', ') } });
}

function checkedId(id: string): string {
  if (!/^[A-Za-z0-9.-]{1,64}$/.test(id)) throw new FhirRefusal(400, 'value', 'The id in the URL must be 1 to 64 characters of A-Z, a-z, 0-9, - and .');
  return id;
}

/** Exactly one `identifier=system|value`: anything else would have to be searched for, and the match must be one. */
function criteriaOf(parameters: URLSearchParams, where: string): { system: string; value: string } {
  const entries = [...parameters];
  const [first] = entries;
  if (entries.length !== 1 || first?.[0] !== 'identifier') throw new FhirRefusal(412, 'not-supported', `${where} must be one parameter, identifier=system|value.`);
  const parts = /^([^|\s]*)\|(.+)$/.exec(first[1].replaceAll(/\\([\\,|$])/g, '$1'));
  if (parts === null) throw new FhirRefusal(412, 'value', `${where} must be identifier=system|value; a value without | would match any system.`);
  return { system: parts[1] ?? '', value: parts[2] ?? '' };
}
