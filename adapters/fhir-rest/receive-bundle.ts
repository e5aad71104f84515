/**
 * A BUNDLE ENTERS HERE (R4 http.html#transaction). A batch: each entry is handled as if it had come alone, with its own exchange, and fails alone.
 * A transaction: receive-transaction.ts.
 */
import type { AdapterContext, IntegrationDirectory, Peer, Receive } from '#gateway/adapter.ts';
import type { Bundle } from '#standards/fhir/types.ts';
import { FhirRefusal, answer } from './answer.ts';
import { readBody, resourceFrom } from './body.ts';
import { answeredEntries, entryRequests, requestOf } from './bundle-entries.ts';
import type { Config } from './config.ts';
import { principalOf } from './read-access.ts';
import { receiveTransaction } from './receive-transaction.ts';

/** `run` handles one request of an entry and never throws. */
export async function receiveBundle(request: Request, base: string, peer: Peer, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext, run: (request: Request) => Promise<Response>): Promise<Response> {
  const receivedAt = context.now(), principal = await principalOf(request, context);
  const own = integrations.all().filter((candidate) => candidate.organizationId === principal.organizationId);
  if (own.length === 0) throw new FhirRefusal(403, 'forbidden', 'Your organization has no FHIR integration. An administrator can add one.');
  const body = await readBody(request, Math.max(...own.map(({ config }) => config.maximum_body_bytes)));
  const bundle = await resourceFrom(body) as Partial<Bundle>;
  if (bundle.resourceType !== 'Bundle' || (bundle.type !== 'batch' && bundle.type !== 'transaction')) throw new FhirRefusal(400, 'invalid', 'The base URL takes a Bundle of type batch or transaction.', { expression: 'Bundle.type' });
  if (bundle.type === 'transaction') return receiveTransaction({ request, base, peer, principal, receivedAt, body, bundle }, integrations, receive, context, run);
  // One after the other: an order may follow the patient it is for.
  const entry = await answeredEntries(entryRequests(bundle, base), (each) => run(requestOf(each, request)));
  return answer(200, { resourceType: 'Bundle', type: 'batch-response', entry } satisfies Bundle);
}
