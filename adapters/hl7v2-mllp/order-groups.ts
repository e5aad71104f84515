/**
 * The orders of one message are placed by one commit: all of them, or none. In: one exchange per ORC group. Out: their receipts. A sender that is cut off,
 * or does not send again after AE 207, leaves no part of its message behind.
 */
import type { InboundMessage, Receipt, Receive } from '#gateway/adapter.ts';
import type { Writes } from '#gateway/records.ts';
import type { Hl7v2Config } from './config.ts';

export async function receiveTogether(groups: readonly InboundMessage<Hl7v2Config>[], { together, receive }: { readonly together: Writes['together']; readonly receive: Receive }): Promise<readonly Receipt[]> {
  const written = await together(groups.map((message) => ({ message: message as InboundMessage<never>, guards: [], kind: 'order' })));
  switch (written.kind) {
    case 'committed':
      return written.results.map(({ outcome, exchangeId, answered }) => ({ ...(outcome === 'accepted' ? { kind: 'accepted', links: {} } : { kind: 'duplicate', answerCode: undefined, links: {} }), exchangeId, answered }));
    case 'failed':
      return groups.map(() => ({ kind: 'failed', text: written.text, retryable: true, exchangeId: undefined, answered() { /* there is no exchange */ } }));
    case 'rejected': {
      const receipts: Receipt[] = [];
      for (const [index, message] of groups.entries()) receipts.push(await receive(message, { reason: written.reason, text: ofGroup(written.text, index + 1, groups.length), ...(written.location === undefined ? {} : { location: written.location }) }));
      return receipts;
    }
  }
}

/** What is wrong may be in another group: the exchange of each says that it is not its own fault. */
const ofGroup = (text: string, group: number, groups: number): string => `${text.replace(/; none of the \d+ orders .*$/, '')}; none of the ${groups} orders of this message was taken, this is group ${group}`;
