/** What a server offers, read from its CapabilityStatement (R4 capabilitystatement.html): what plan.ts decides by. */
import type { CapabilityStatement } from '#standards/fhir/types.ts';

export type Need = 'create' | 'update' | 'read' | 'search' | 'conditional create' | 'conditional update' | 'create by update';

export interface ServerOffer {
  readonly transaction: boolean;
  readonly batch: boolean;
  offers(resourceType: string, need: Need): boolean;
  /** Whether a search parameter is listed for the type. */
  searches(resourceType: string, parameter: string): boolean;
}

const codes = { create: 'create', update: 'update', read: 'read', search: 'search-type' } as const;

export function offerOf(statement: CapabilityStatement): ServerOffer {
  const rest = statement.rest?.find((candidate) => candidate.mode === 'server');
  const resource = (type: string) => rest?.resource?.find((candidate) => candidate.type === type);
  const runs = (code: string): boolean => rest?.interaction?.some((interaction) => interaction.code === code) === true;
  return {
    transaction: runs('transaction'), batch: runs('batch'),
    offers(type, need) {
      if (need === 'conditional create') return resource(type)?.conditionalCreate === true;
      if (need === 'conditional update') return resource(type)?.conditionalUpdate === true;
      if (need === 'create by update') return resource(type)?.updateCreate === true && resource(type)?.interaction?.some(({ code }) => code === 'update') === true;
      return resource(type)?.interaction?.some(({ code }) => code === codes[need]) === true;
    },
    searches: (type, parameter) => [...resource(type)?.searchParam ?? [], ...rest?.searchParam ?? []].some(({ name }) => name === parameter),
  };
}

/** For a server that tells nothing: everything R4 has, so that its own answer decides. */
export const assumedOffer: ServerOffer = { transaction: true, batch: true, offers: () => true, searches: () => true };

/** The same server after it was seen to run a transaction entry by entry. */
export function withoutTransaction(offer: ServerOffer): ServerOffer {
  return { ...offer, transaction: false };
}
