/** The CapabilityStatement of each server, read once per `statement_minutes`, with what a delivery has learned beyond it. */
import type { CapabilityStatement } from '#standards/fhir/types.ts';
import type { Config } from './config.ts';
import { failureByStatus } from './failure.ts';
import type { Failure } from './failure.ts';
import type { FhirClient } from './fhir-client.ts';
import { notSent } from './lookup.ts';
import { assumedOffer, offerOf, withoutTransaction } from './server-offer.ts';
import type { ServerOffer } from './server-offer.ts';

interface Known { readonly offer: ServerOffer; readonly until: number }
/** A client stands for one integration's settings and ends with them. */
const known = new WeakMap<FhirClient, Known>();

/** A server that is away is a failure; one that has no statement is taken at its word when it answers. */
export async function offerFrom(client: FhirClient, config: Config, now: Date, signal: AbortSignal): Promise<ServerOffer | { readonly failure: Failure }> {
  const cached = known.get(client);
  if (cached !== undefined && cached.until > now.getTime()) return cached.offer;
  const exchanged = await client.capabilities(signal);
  if ('failure' in exchanged) return exchanged.failure.kind === 'refused' && !exchanged.failure.text.startsWith('token endpoint') ? assumedOffer : { failure: notSent(exchanged.failure) };
  const { status, headers, body } = exchanged.answer;
  const failure = status >= 200 && status < 300 ? undefined : failureByStatus(status, body, headers, now);
  if (failure?.kind === 'unreachable') return { failure };
  const statement = body as CapabilityStatement | undefined;
  const offer = failure === undefined && statement?.resourceType === 'CapabilityStatement' ? offerOf(statement) : assumedOffer;
  known.set(client, { offer, until: now.getTime() + config.statement_minutes * 60_000 });
  return offer;
}

/** The server ran a transaction entry by entry: no more of them until the statement is read again. */
export function learnNoTransaction(client: FhirClient, offer: ServerOffer, config: Config, now: Date): ServerOffer {
  const learned = withoutTransaction(offer);
  known.set(client, { offer: learned, until: now.getTime() + Math.max(config.statement_minutes, 60) * 60_000 });
  return learned;
}
