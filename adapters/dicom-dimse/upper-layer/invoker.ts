/**
 * What we ask of the peer on an association that is open, whoever requested it: a command, a data set in fragments as large as the peer
 * takes, and the response that names our message ID. Messages leave one after the other; their fragments never mix (PS3.7 6.3).
 */
import type { CommandSet } from './command-set.ts';
import { encodeCommandPdu, encodeDataPdu } from './pdu.ts';

const largestPdu = 256 * 1024;
const pdvHeadLength = 6;

export type DatasetBytes = Buffer | AsyncIterable<Buffer>;

export class Invoker {
  readonly #send: (bytes: Buffer) => Promise<boolean>;
  readonly #fragmentLength: number;
  readonly #pending = new Map<number, (response: CommandSet | undefined) => void>();
  readonly #over: AbortSignal;
  #outgoing: Promise<unknown> = Promise.resolve();
  #lastMessageId = 0;

  /** @param peerMaximumLength what the peer said it takes; 0 is "no limit" */
  constructor(send: (bytes: Buffer) => Promise<boolean>, peerMaximumLength: number, over: AbortSignal) {
    this.#send = send;
    this.#over = over;
    this.#fragmentLength = Math.min(peerMaximumLength || largestPdu, largestPdu) - pdvHeadLength;
    over.addEventListener('abort', () => { for (const resolve of this.#pending.values()) resolve(undefined); }, { once: true });
  }

  /** Sends a message; false when the association is over. Rejects when the data set cannot be read: then the association must be aborted, for a half message is on the wire. */
  send(contextId: number, command: Buffer, dataset?: DatasetBytes): Promise<boolean> {
    const sent = this.#outgoing.then(async () => {
      if (!await this.#send(encodeCommandPdu(contextId, command))) return false;
      return dataset === undefined || this.#sendDataset(contextId, dataset);
    });
    this.#outgoing = sent.catch(() => { /* told to the caller */ });
    return sent;
  }

  async #sendDataset(contextId: number, dataset: DatasetBytes): Promise<boolean> {
    // One fragment is held back, so that the last one can be marked.
    let held: Buffer | undefined;
    for await (const chunk of Buffer.isBuffer(dataset) ? [dataset] : dataset) {
      for (let at = 0; at < chunk.length; at += this.#fragmentLength) {
        if (held && !await this.#send(encodeDataPdu(contextId, held, false))) return false;
        held = chunk.subarray(at, at + this.#fragmentLength);
      }
    }
    return this.#send(encodeDataPdu(contextId, held ?? Buffer.alloc(0), true));
  }

  /** Sends a request and waits for its response; undefined when none came in time or the association is over. */
  async ask(contextId: number, encode: (messageId: number) => Buffer, dataset: DatasetBytes | undefined, milliseconds: number): Promise<CommandSet | undefined> {
    if (this.#over.aborted) return undefined;
    const messageId = this.#lastMessageId = (this.#lastMessageId % 0xffff) + 1;
    const { promise, resolve } = Promise.withResolvers<CommandSet | undefined>();
    this.#pending.set(messageId, resolve);
    let timer: NodeJS.Timeout | undefined;
    try {
      if (!await this.send(contextId, encode(messageId), dataset)) return undefined;
      timer = setTimeout(() => { resolve(undefined); }, milliseconds);
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(messageId);
    }
  }

  /** Takes a response in; false when nobody asked for it. */
  answered(response: CommandSet): boolean {
    const resolve = this.#pending.get(response.messageIdBeingRespondedTo);
    resolve?.(response);
    return resolve !== undefined;
  }
}
