/** Which FHIR interaction a write asks for (R4 http.html), and which answer it gets when it is none of ours. */
import { FhirRefusal } from './answer.ts';
import { servedTypes } from './served-types.ts';
import type { RecordKind } from '#gateway/records.ts';

/** What can be written, the kind of record it becomes, the property that names its patient, and how it is taken back. */
export const writtenTypes = {
  Patient: { kind: 'patient', patient: undefined, withdrawn: 'active false' },
  ServiceRequest: { kind: 'order', patient: 'subject', withdrawn: 'status revoked or entered-in-error' },
  ImagingStudy: { kind: 'study', patient: 'subject', withdrawn: 'status cancelled or entered-in-error' },
  Task: { kind: 'task', patient: 'for', withdrawn: 'status cancelled, which cancels the order that it names' },
  Condition: { kind: 'condition', patient: 'subject', withdrawn: 'verificationStatus entered-in-error' },
  AllergyIntolerance: { kind: 'allergy', patient: 'patient', withdrawn: 'verificationStatus entered-in-error' },
} as const satisfies Record<string, { readonly kind: RecordKind; readonly patient: string | undefined; readonly withdrawn: string }>;
export type WrittenType = keyof typeof writtenTypes;

export interface Interaction {
  readonly kind: 'create' | 'update' | 'conditional-update' | 'conditional-create';
  readonly resourceType: WrittenType;
  /** PUT Patient/<id>. */
  readonly id?: string;
  /** `system|value` of ?identifier= or If-None-Exist. */
  readonly criteria?: { readonly system: string; readonly value: string };
}
/** What of a request tells its interaction: a request on the wire, or Bundle.entry.request. */
export interface Asked { readonly method: string; readonly url: URL; readonly ifNoneExist: string | null }

/** Throws FhirRefusal: 404, 405, 400, 412. */
export function interactionOf({ method, url, ifNoneExist }: Asked, mount: string): Interaction {
  const [type = '', id, ...rest] = pathBelow(url.pathname, mount);
  if (type === 'metadata' && id === undefined) throw new FhirRefusal(405, 'not-supported', `${method} is not taken here, only GET, HEAD.`, { headers: { allow: 'GET, HEAD' } });
  if ((method === 'DELETE' || method === 'PATCH') && Object.hasOwn(servedTypes, type) && rest.length === 0 && id?.startsWith('$') !== true) throw notDone(method, type, id);
  if (!Object.hasOwn(writtenTypes, type) || rest.length > 0) throw new FhirRefusal(404, 'not-found', `There is nothing here to write to. GET metadata tells what this server takes: ${Object.keys(writtenTypes).join(', ')}.`);
  if (id?.startsWith('$') === true) throw new FhirRefusal(404, 'not-supported', 'There is no such operation here. GET metadata tells which there are.');
  const resourceType = type as WrittenType;
  if (id !== undefined) return allow(method, ['GET', 'HEAD', 'PUT'], { kind: 'update', resourceType, id: checkedId(id) });
  if (method === 'PUT') return { kind: 'conditional-update', resourceType, criteria: criteriaOf(url.searchParams, 'The URL of a conditional update') };
  if (ifNoneExist !== null) return allow(method, ['POST', 'PUT'], { kind: 'conditional-create', resourceType, criteria: criteriaOf(new URLSearchParams(ifNoneExist.replace(/^\?/, '')), 'If-None-Exist') });
  return allow(method, ['POST', 'PUT'], { kind: 'create', resourceType });
}

/** Nothing is deleted, because others have been told of it; nothing is patched, because a patch would change what its sender has not seen. */
function notDone(method: string, type: string, id: string | undefined): FhirRefusal {
  const written = Object.hasOwn(writtenTypes, type) ? writtenTypes[type as WrittenType] : undefined;
  const instead = written === undefined ? `${type} is only read here.`
    : method === 'DELETE' ? `Nothing is deleted here, because others have been told of it. Withdraw it by PUT with ${written.withdrawn}.`
      : 'PATCH is not taken. Send PUT with what changes, and If-Match: an update changes what the resource names and leaves what it omits.';
  return new FhirRefusal(405, 'not-supported', instead, { headers: { allow: written === undefined ? 'GET, HEAD' : id === undefined ? 'GET, HEAD, POST, PUT' : 'GET, HEAD, PUT' } });
}

function pathBelow(pathname: string, mount: string): string[] {
  const below = pathname.startsWith(mount) ? pathname.slice(mount.length) : pathname;
  return below.split('/').filter((part) => part !== '');
}

function allow<T>(method: string, methods: readonly string[], interaction: T): T {
  if (methods.includes(method)) return interaction;
  throw new FhirRefusal(405, 'not-supported', `${method} is not taken here, only ${methods.join(', ')}.`, { headers: { allow: methods.join(', ') } });
}

function checkedId(id: string): string {
  if (!/^[A-Za-z0-9.-]{1,64}$/.test(id)) throw new FhirRefusal(400, 'value', 'The id in the URL must be 1 to 64 characters of A-Z, a-z, 0-9, - and .');
  return id;
}

/** Exactly one `identifier=system|value`: anything else would have to be searched for, and the match must be one. */
export function criteriaOf(parameters: URLSearchParams, where: string): { system: string; value: string } {
  const entries = [...parameters];
  const [first] = entries;
  if (entries.length !== 1 || first?.[0] !== 'identifier') throw new FhirRefusal(412, 'not-supported', `${where} must be one parameter, identifier=system|value.`);
  const parts = /^([^|\s]*)\|(.+)$/.exec(first[1].replaceAll(/\\([\\,|$])/g, '$1'));
  if (parts === null) throw new FhirRefusal(412, 'value', `${where} must be identifier=system|value; a value without | would match any system.`);
  return { system: parts[1] ?? '', value: parts[2] ?? '' };
}
