/**
 * What we ask of the peer on an association that is open, whoever requested it: a command, a data set in fragments as large as the peer
 * takes, and the response that names our message ID. Messages leave one after the other; their fragments never mix (PS3.7 6.3).
 */
import type { StoredDataset } from '#gateway/holdings.ts';
import type { CommandSet } from './command-set.ts';
import { encodeCancel } from './command-set.ts';
import { DataPdus } from './data-pdus.ts';
import { encodeCommandPdu } from './pdu.ts';
import { SendWindow } from './send-window.ts';

const largestPdu = 256 * 1024;
const pdvHeadLength = 6;

export type DatasetBytes = Buffer | AsyncIterable<Buffer> | StoredDataset;

export interface Repeated {
  readonly idleMilliseconds: number;
  pending(response: CommandSet, dataset: Buffer | undefined): void;
  readonly cancelled?: AbortSignal;
  /** What else shows that the peer is alive, e.g. bytes received: as long as it changes, nothing is idle. */
  readonly moved?: () => number;
}
const mostCancelMilliseconds = 10_000;
/** A peer that goes on as if it had not been cancelled has this many times as long. */
const endlessPatiences = 6;
/** FF00 and FF01 (PS3.4 C.4.1.1.4). */
const isPending = (status: number | undefined): boolean => status === 0xff00 || status === 0xff01;

export class Invoker {
  readonly #send: (bytes: Buffer) => Promise<boolean>;
  readonly #fragmentLength: number;
  readonly #pending = new Map<number, (response: CommandSet | undefined, dataset?: Buffer) => void>();
  readonly #over: AbortSignal;
  /** Made with the first data set: most associations send none. */
  #pdus: DataPdus | undefined;
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
      const window = new SendWindow(this.#send);
      if (!await window.send(encodeCommandPdu(contextId, command))) return false;
      return dataset === undefined ? window.isSent() : this.#sendDataset(contextId, dataset, window);
    });
    this.#outgoing = sent.catch(() => { /* told to the caller */ });
    return sent;
  }

  async #sendDataset(contextId: number, dataset: DatasetBytes, window: SendWindow): Promise<boolean> {
    const pdus = this.#pdus ??= new DataPdus(this.#fragmentLength), sent = (pdu: Buffer): void => { pdus.giveBack(pdu); };
    pdus.begin(contextId);
    if ('read' in dataset && !Buffer.isBuffer(dataset)) {
      for (let count = await dataset.read(pdus.space()); count > 0; count = await dataset.read(pdus.space())) {
        const ready = pdus.filled(count);
        if (ready && !await window.send(ready, sent)) return false;
      }
      return await window.send(pdus.last(), sent) && window.isSent();
    }
    for await (const chunk of Buffer.isBuffer(dataset) ? [dataset] : dataset) {
      for (const pdu of pdus.add(chunk)) if (!await window.send(pdu, sent)) return false;
    }
    return await window.send(pdus.last(), sent) && window.isSent();
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

  /**
   * Sends a request that is answered several times (C-FIND, C-MOVE, C-GET): pending responses go to `pending`, the last one is the result; undefined when
   * the association is over or the peer does not end. Where nothing came for `idleMilliseconds` (no response, nothing that `moved` counts), and when
   * `cancelled` says so, a C-CANCEL is sent; the peer then has `idleMilliseconds` once more, at most 10 s, and six times that where it just goes on.
   */
  async askRepeatedly(contextId: number, encode: (messageId: number) => Buffer, identifier: Buffer, options: Repeated): Promise<CommandSet | undefined> {
    if (this.#over.aborted) return undefined;
    const messageId = this.#lastMessageId = (this.#lastMessageId % 0xffff) + 1;
    const { promise, resolve } = Promise.withResolvers<CommandSet | undefined>();
    let patience = options.idleMilliseconds, since = performance.now(), moved = options.moved?.() ?? 0, cancelledAt = Infinity;
    const watch = setInterval(() => {
      const now = options.moved?.() ?? 0;
      if (now !== moved) { moved = now; since = performance.now(); }
      const isEndless = performance.now() - cancelledAt > patience * endlessPatiences;
      if (performance.now() - since < patience && !isEndless) return;
      if (cancelledAt < Infinity) resolve(undefined);
      else cancel();
    }, Math.min(1_000, patience / 4));
    const cancel = (): void => {
      patience = Math.min(patience, mostCancelMilliseconds);
      since = cancelledAt = performance.now();
      void this.send(contextId, encodeCancel(messageId)).catch(() => { /* the association is over, which ends this too */ });
    };
    this.#pending.set(messageId, (response, dataset) => {
      since = performance.now();
      if (response && isPending(response.status)) options.pending(response, dataset);
      else resolve(response);
    });
    try {
      if (!await this.send(contextId, encode(messageId), identifier)) return undefined;
      if (options.cancelled?.aborted) cancel();
      else options.cancelled?.addEventListener('abort', cancel, { once: true });
      return await promise;
    } finally {
      clearInterval(watch);
      options.cancelled?.removeEventListener('abort', cancel);
      this.#pending.delete(messageId);
    }
  }

  /** Takes a response in, with the data set that came with it; false when nobody asked for it. */
  answered(response: CommandSet, dataset?: Buffer): boolean {
    const resolve = this.#pending.get(response.messageIdBeingRespondedTo);
    resolve?.(response, dataset);
    return resolve !== undefined;
  }
}
