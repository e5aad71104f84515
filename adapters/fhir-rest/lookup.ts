/**
 * Is it there already? A search by what the server can search: the identifier or tag, else the patient, else what it is about; every match
 * is then compared by identity here, because a server may ignore a parameter that it does not know (R4 search.html#errors).
 */
import type { Identifier, Resource } from '#standards/fhir/types.ts';
import type { Failure } from './failure.ts';
import { failureByStatus } from './failure.ts';
import type { Exchanged, FhirClient } from './fhir-client.ts';
import { identityQuery } from './report-items.ts';
import type { Identity, Item } from './report-items.ts';
import type { ServerOffer } from './server-offer.ts';

/** A resource of the server. `versionId` is for If-Match. */
export interface Existing { readonly resource: Resource; readonly versionId: string | undefined }

/** What is known of the surroundings: ids at the server. */
export interface Known { readonly patientId?: string | undefined; readonly carrier?: string | undefined }

/** The search that finds the item; undefined when the server offers none. */
export function searchFor(item: Item, offer: ServerOffer, known: Known): string | undefined {
  const { resourceType: type } = item.resource;
  if (!offer.offers(type, 'search')) return undefined;
  if (offer.searches(type, item.identity.parameter)) return `${type}?${identityQuery(item.identity)}`;
  if (known.carrier !== undefined && offer.searches(type, 'target')) return `${type}?target=${known.carrier}`;
  const parameter = ['patient', 'subject'].find((name) => offer.searches(type, name));
  return parameter === undefined || known.patientId === undefined ? undefined : `${type}?${parameter}=Patient/${known.patientId}`;
}

const mostPages = 50;

/** The one match; undefined when there is none. Several are a fault that a person must mend. */
export async function find(client: FhirClient, search: string, identity: Identity, item: Item, signal: AbortSignal): Promise<Existing | undefined | { readonly failure: Failure }> {
  const matches: Resource[] = [];
  let exchanged: Exchanged | undefined = await client.send({ method: 'GET', url: search }, signal);
  for (let pages = 1; exchanged !== undefined; pages += 1) {
    if ('failure' in exchanged) return { failure: notSent(exchanged.failure) };
    const { status, headers, body } = exchanged.answer;
    if (status !== 200) {
      const failure = failureByStatus(status, body, headers, new Date());
      return { failure: { ...failure, text: `search of ${item.resource.resourceType}: ${failure.text}` } };
    }
    matches.push(...resourcesOf(body).filter((resource) => resource.resourceType === item.resource.resourceType && isIt(resource, identity, item)));
    if (pages >= mostPages) return { failure: { kind: 'refused', answerCode: 'search', text: `the search of ${item.resource.resourceType} has more than ${mostPages} pages: it cannot be told what is there` } };
    exchanged = await client.nextPage(body, signal);
  }
  if (matches.length > 1) return { failure: { kind: 'refused', answerCode: 'several', text: `${matches.length} resources of type ${item.resource.resourceType} have the identifier of ours: remove all but one there` } };
  const [match] = matches;
  return match === undefined ? undefined : existing(match);
}

/** A search that got no answer has changed nothing. */
export function notSent(failure: Failure): Failure {
  return failure.kind === 'unconfirmed' ? { ...failure, kind: 'unreachable' } : failure;
}

export function existing(resource: Resource): Existing {
  return { resource, versionId: resource.meta?.versionId };
}

export function resourcesOf(body: unknown): Resource[] {
  const { entry } = (typeof body === 'object' && body !== null ? body : {}) as { entry?: readonly { resource?: Resource }[] };
  return Array.isArray(entry) ? entry.map((each) => each?.resource).filter((resource): resource is Resource => typeof resource?.id === 'string') : [];
}

function isIt(resource: Resource, identity: Identity, item: Item): boolean {
  if (identity.parameter === 'identifier') {
    const { identifier } = resource as { identifier?: readonly Identifier[] };
    return Array.isArray(identifier) && identifier.some(({ system = '', value }) => system === identity.system && value === identity.value);
  }
  const tags = resource.meta?.tag;
  if (tags?.some(({ system, code }) => system === identity.system && code === identity.value) === true) return true;
  // A server that drops tags: the same moment of the same report.
  const { recorded } = resource as { recorded?: string }, { recorded: ours } = item.resource as { recorded?: string };
  return (tags ?? []).length === 0 && recorded !== undefined && Date.parse(recorded) === Date.parse(ours ?? '');
}
