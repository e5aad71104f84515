/** An answer whose body is read while it is sent, at the pace of the client. */
import type { Holdings } from '#gateway/holdings.ts';
import { commonHeaders } from './answer.ts';
import type { ReadRequest } from './read-request.ts';

/** What a stream has sent so far, for the record. */
export interface Sent { count: number; byteSize: number }

/**
 * An answer whose body comes as it is read. The outcome is recorded when the last byte was handed on, the client left, or reading failed;
 * then the connection is cut, so that the client cannot take what it has for the whole.
 */
export function streamAnswer(status: number, headers: Readonly<Record<string, string>>, body: (sent: Sent) => AsyncGenerator<Buffer>, holdings: Holdings, { context }: ReadRequest): Response {
  const sent: Sent = { count: 0, byteSize: 0 };
  const recorded = async function* (): AsyncGenerator<Uint8Array> {
    let outcome: 'whole' | 'left' | 'failed' = 'left';
    try {
      for await (const chunk of body(sent)) {
        sent.byteSize += chunk.length;
        yield chunk;
      }
      outcome = 'whole';
    } catch (error) {
      outcome = 'failed';
      context.log.error({ error: error instanceof Error ? error.message : String(error), exchangeId: holdings.exchangeId }, 'a retrieve broke off');
      throw error;
    } finally {
      await holdings.finish({ answerCode: String(status), heard: outcome === 'whole', ...sent, ...(outcome === 'failed' ? { failed: 1, text: 'a stored object could not be read to its end' } : {}), ...(outcome === 'left' ? { text: 'the client left before the end' } : {}) });
    }
  };
  return new Response(ReadableStream.from(recorded()), { status, headers: { ...commonHeaders, ...headers } });
}
