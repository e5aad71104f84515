/**
 * Which resource of PS3.18 a URL names and what is asked of it. Only the path counts here; the query is read by answer-qido.ts.
 *
 *   POST studies[/{study}]                                                               store
 *   GET  studies | studies/{study}/series | studies/{study}[/series/{series}]/instances | series | instances      search
 *   GET  studies/{study}[/series/{series}[/instances/{instance}]]                        objects, and with /metadata their headers
 *   GET  .../instances/{instance}/frames/{list} | /bulkdata/{path}                       pixels and other large values
 *   GET  any of these but bulkdata with /rendered, or with /thumbnail                     pictures for a browser
 */
import { isUsableUid, usableUidWords } from '#domain/usable-uid.ts';
import { Refusal } from './answer.ts';

export const mount = '/dicom-web';

export interface InstancePath { readonly study?: string; readonly series?: string; readonly instance?: string }
export type Level = 'study' | 'series' | 'instance';
export type Resource =
  | { readonly kind: 'store'; readonly study?: string }
  | { readonly kind: 'search'; readonly level: Level; readonly path: InstancePath }
  | { readonly kind: 'objects' | 'metadata' | 'rendered' | 'thumbnail'; readonly level: Level; readonly path: InstancePath }
  | { readonly kind: 'frames'; readonly level: 'instance'; readonly path: InstancePath; readonly frames: readonly number[]; readonly rendered: boolean }
  | { readonly kind: 'bulkdata'; readonly path: InstancePath; readonly steps: readonly string[] };

/** The resources that may be pictures. */
export type Rendered = Extract<Resource, { kind: 'objects' | 'metadata' | 'rendered' | 'thumbnail' | 'frames' }>;

const mostFrames = 2000;

/** Throws Refusal: 404, 405, 400. */
export function resourceOf(method: string, pathname: string): Resource {
  const segments = pathname.slice(mount.length).split('/').slice(1).map(decoded);
  if (segments.at(-1) === '') segments.pop();
  const [first = '', study, ...rest] = segments;
  const resource = study === undefined ? topLevel(first, method) : first === 'studies' ? below({ study: uid(study) }, 'study', rest) : undefined;
  if (resource === undefined) throw new Refusal(404, 'There is nothing at this address. The DICOMweb resources begin with /dicom-web/studies.');
  if (method === 'POST' && first === 'studies' && segments.length <= 2) return { kind: 'store', ...(study === undefined ? {} : { study: uid(study) }) };
  if (method !== 'GET') throw new Refusal(405, `This resource does not take ${/^[A-Z]{1,16}$/.test(method) ? method : 'this method'}.`, { allow: first === 'studies' && segments.length <= 2 ? 'GET, POST' : 'GET' });
  return resource;
}

function topLevel(name: string, method: string): Resource | undefined {
  const level = ({ studies: 'study', series: 'series', instances: 'instance' } as const)[name];
  return level === undefined || (method === 'POST' && level !== 'study') ? level && { kind: 'search', level, path: {} } : { kind: 'search', level, path: {} };
}

function below(path: InstancePath, level: Level, rest: readonly string[]): Resource | undefined {
  const [name, value, ...more] = rest;
  if (name === undefined) return { kind: 'objects', level, path };
  if ((name === 'metadata' || name === 'rendered' || name === 'thumbnail') && value === undefined) return { kind: name, level, path };
  if (level === 'study' && name === 'series') return value === undefined ? { kind: 'search', level: 'series', path } : below({ ...path, series: uid(value) }, 'series', more);
  if (level !== 'instance' && name === 'instances') {
    if (value === undefined) return { kind: 'search', level: 'instance', path };
    return level === 'series' ? below({ ...path, instance: uid(value) }, 'instance', more) : undefined;
  }
  if (level !== 'instance' || value === undefined) return undefined;
  if (name === 'frames' && (more.length === 0 || (more.length === 1 && more[0] === 'rendered'))) return { kind: 'frames', level, path, frames: frameList(value), rendered: more.length === 1 };
  return name === 'bulkdata' ? { kind: 'bulkdata', path, steps: [value, ...more] } : undefined;
}

function frameList(text: string): readonly number[] {
  const frames = text.split(',').map((one) => (/^[1-9]\d{0,8}$/.test(one) ? Number(one) : 0));
  if (frames.includes(0) || new Set(frames).size !== frames.length) throw new Refusal(400, 'A frame list is numbers from 1, joined by commas, each named once (PS3.18 10.4.1.1.6).');
  if (frames.length > mostFrames) throw new Refusal(400, `A request may name ${mostFrames} frames.`);
  return frames;
}

function uid(text: string): string {
  if (!isUsableUid(text)) throw new Refusal(400, `The address holds something that is not a UID (${usableUidWords}).`);
  return text;
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new Refusal(400, 'The address is not well-formed.');
  }
}
