/**
 * The items of a report as one transaction Bundle. Where the server takes conditional requests they say what happens to a resource that is
 * there; where not, it has been looked for before, and the entry names its id and version.
 */
import type { ReportDocument } from '#domain/report-document.ts';
import type { Bundle, BundleEntry, Reference, Resource } from '#standards/fhir/types.ts';
import { withoutEmpty } from '#standards/fhir/without-empty.ts';
import type { Config } from './config.ts';
import type { Existing } from './lookup.ts';
import { planFor } from './plan.ts';
import type { Plan } from './plan.ts';
import { identityQuery, reportItems } from './report-items.ts';
import type { Item, Surroundings } from './report-items.ts';
import { assumedOffer } from './server-offer.ts';
import type { ServerOffer } from './server-offer.ts';

const wholePlan: Plan = { way: 'transaction', carrier: 'DiagnosticReport', sends: new Set(['Device', 'Endpoint', 'ImagingStudy', 'Observation', 'Provenance', 'Task', 'Flag', 'Communication'] as const), offer: assumedOffer };

/** As a server gets it that offers everything. */
export function reportBundle(document: ReportDocument, config: Config, surroundings: Surroundings = {}): Bundle {
  const plan = planFor(assumedOffer, config);
  return transactionOf(reportItems(document, config, 'refused' in plan ? wholePlan : plan, surroundings), assumedOffer, new Map(), []);
}

/** `found`: what is there already, by fullUrl, of the types without conditional requests. `withdrawn`: resources of the server in their new state. */
export function transactionOf(items: readonly Item[], offer: ServerOffer, found: ReadonlyMap<string, Existing>, withdrawn: readonly Existing[]): Bundle {
  const known = new Map([...found].map(([fullUrl, { resource }]): [string, Reference] => [fullUrl, { reference: `${resource.resourceType}/${resource.id}` }]));
  const entries = items.flatMap((item) => entryOf(item, offer, found.get(item.fullUrl)));
  const bundle: Bundle = { resourceType: 'Bundle', type: 'transaction', entry: [...entries, ...withdrawn.map(withdrawnEntry)] };
  return withReferences(withoutEmpty(bundle), known);
}

/** Whether the item must be looked for before it is written. */
export function needsLookup(item: Item, offer: ServerOffer): boolean {
  const { resourceType } = item.resource;
  if (item.existing === 'put') return false;
  return item.existing === 'amend' || item.existing === 'find' || !offer.offers(resourceType, item.existing === 'replace' ? 'conditional update' : 'conditional create');
}

function entryOf(item: Item, offer: ServerOffer, existing: Existing | undefined): BundleEntry[] {
  const { fullUrl, resource } = item, { resourceType } = resource, query = identityQuery(item.identity);
  if (item.existing === 'find' || (existing === undefined ? item.existing === 'amend' : item.existing === 'keep')) return [];
  if (item.existing === 'put') return [{ fullUrl, resource, request: { method: 'PUT', url: `${resourceType}/${resource.id}` } }];
  if (item.existing === 'replace' && !needsLookup(item, offer)) return [{ fullUrl, resource, request: { method: 'PUT', url: `${resourceType}?${query}` } }];
  if (existing !== undefined) return [{ fullUrl, resource: { ...resource, id: existing.resource.id ?? '' }, request: { method: 'PUT', url: `${resourceType}/${existing.resource.id}`, ...ifMatch(existing) } }];
  return [{ fullUrl, resource, request: { method: 'POST', url: resourceType, ...(offer.offers(resourceType, 'conditional create') ? { ifNoneExist: query } : {}) } }];
}

function withdrawnEntry(existing: Existing): BundleEntry {
  const { resource } = existing;
  return { resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}`, ...ifMatch(existing) } };
}

export function ifMatch({ versionId }: Existing): { ifMatch?: string } {
  return versionId === undefined ? {} : { ifMatch: `W/"${versionId}"` };
}

/** A copy in which references to the given urls are the given ones. */
export function withReferences<T extends Bundle | Resource>(value: T, known: ReadonlyMap<string, Reference>): T {
  if (known.size === 0) return value;
  const replace = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(replace);
    if (typeof part !== 'object' || part === null) return part;
    const to = 'reference' in part && typeof part.reference === 'string' ? known.get(part.reference) : undefined;
    return to === undefined ? Object.fromEntries(Object.entries(part).map(([name, child]) => [name, replace(child)])) : { ...Object.fromEntries(Object.entries(part).filter(([name]) => name !== 'reference')), ...to };
  };
  return replace(value) as T;
}
