/** A request that is refused before an object was read, on record as an exchange without a message. */
import { createHash, randomUUID } from 'node:crypto';
import type { AdapterContext, InboundMessage, Integration, Peer, Principal, Receive, Refusal } from '#gateway/adapter.ts';
import type { Purpose } from './caller.ts';
import type { Config } from './config.ts';

export interface Recorder { readonly peer: Peer; readonly receive: Receive; readonly context: AdapterContext }

export const services = { store: 'STOW-RS', query: 'QIDO-RS', retrieve: 'WADO-RS' } as const satisfies Record<Purpose, string>;
const nothing = createHash('sha256').digest('hex');

export async function recordRefusal(request: Request, purpose: Purpose, known: { readonly principal?: Principal; readonly integration: Integration<Config> | undefined }, { peer, receive, context }: Recorder, refusal: Refusal, status?: number): Promise<void> {
  const message: InboundMessage = {
    integration: known.integration, interaction: services[purpose], controlId: randomUUID(), receivedAt: context.now(), facts: { method: request.method },
    peer: { ...peer, ...(known.principal === undefined ? {} : { application: known.principal.userId }) }, head: Buffer.alloc(0), sha256: nothing, byteSize: 0,
  };
  const receipt = await receive(message, refusal);
  receipt.answered(status === undefined ? '409' : String(status), !request.signal.aborted);
}
