/**
 * The door for messages that are received again: one whose sender meant it under conditions (a FHIR PUT of an id, If-Match) is written under them, as
 * it would have been; everything else goes through receive.ts.
 */
import { NormalizeError, type Adapter, type InboundMessage, type Receipt, type Receive, type Refusal, type StoredMessage } from '#gateway/adapter.ts';
import type { Write, Writes } from '#gateway/records.ts';

export function createReceiveAgain(receive: Receive, writes: Writes, adapter: Adapter): Receive {
  return async (received, refusal) => {
    const message = received as InboundMessage, { integration } = message;
    if (refusal || integration === undefined) return receive(message, refusal);
    let conditions: Omit<Write, 'message'> | undefined;
    try {
      conditions = await adapter.inbound?.again?.({ ...message, integration } satisfies StoredMessage);
    } catch (error) {
      if (!(error instanceof NormalizeError)) throw error;
      return receive(message, refusalOf(error.reason, error.message, error.location));
    }
    return conditions === undefined ? receive(message) : write({ ...conditions, message }, receive, writes);
  };
}

async function write(asked: Write, receive: Receive, writes: Writes): Promise<Receipt> {
  const written = await writes.together([asked]);
  if (written.kind === 'failed') return { kind: 'failed', text: written.text, retryable: true, exchangeId: undefined, answered: () => undefined };
  if (written.kind === 'rejected') return receive(asked.message, refusalOf(written.reason, written.text, written.location));
  const { exchangeId, outcome, answered } = written.results[0]!;
  return outcome === 'accepted' ? { kind: 'accepted', links: {}, exchangeId, answered } : { kind: 'duplicate', answerCode: undefined, links: {}, exchangeId, answered };
}

const refusalOf = (reason: Refusal['reason'], text: string, location: string | undefined): Refusal => ({ reason, text, ...(location === undefined ? {} : { location }) });
