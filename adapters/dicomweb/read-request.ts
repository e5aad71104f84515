/** One authenticated read and how it goes on record. */
import { randomUUID } from 'node:crypto';
import type { AdapterContext, Peer } from '#gateway/adapter.ts';
import type { Holdings } from '#gateway/holdings.ts';
import { Refusal, tryAgain } from './answer.ts';
import type { Caller } from './caller.ts';

export interface ReadRequest {
  readonly request: Request; readonly url: URL; readonly caller: Caller; readonly peer: Peer; readonly context: AdapterContext;
  /** Address of /dicom-web as the client reaches it. */
  readonly base: string;
}

/** Throws Refusal 503 when the request cannot be put on record: then nothing is told. */
export async function openHoldings({ request, url, caller, peer, context }: ReadRequest, purpose: 'query' | 'retrieve', interaction: string, facts: Readonly<Record<string, unknown>>): Promise<Holdings> {
  const { principal, integration } = caller;
  if (context.holdings === undefined) throw new Refusal(503, 'Nothing can be read here now. Try again.', tryAgain);
  return context.holdings({
    organizationId: principal.organizationId, integrationId: integration.integrationId, purpose, interaction,
    controlId: request.headers.get('x-request-id')?.slice(0, 200) || randomUUID(),
    actor: { kind: principal.role === 'service' || principal.role === 'integrator' ? 'application' : 'user', id: principal.userId, role: principal.role, address: peer.address },
    facts, message: { content: Buffer.from(`${url.pathname}${url.search}`), type: 'text/uri-list' }, timeZone: integration.config.time_zone,
  });
}
