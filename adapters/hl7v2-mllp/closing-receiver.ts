/**
 * What a sender learns of a receiver that closes connections. In: answers and closes. Out: whether a connection is kept for the next message.
 *
 *   kept --a close soon after an answer--> suspected --another, or none for a while--> per message --after a time--> suspected, tried once more
 *                                              +-- a connection outlives its answer --> kept
 *
 * One close says nothing: receivers are restarted. While a receiver is suspected nothing is sent until its connection has outlived the answer, so at most one
 * message meets a close.
 */
import type { Socket } from 'node:net';

/** How a client uses connections. `until`: when a kept one is tried again; absent where the setting says it. */
export type ConnectionUse = { readonly kind: 'kept' } | { readonly kind: 'per-message'; readonly until?: Date };

export interface ClosingReceiverOptions {
  readonly now?: (() => number) | undefined;
  /** A receiver that closes this soon after its answer closes because of it. */
  readonly soonMilliseconds?: number | undefined;
  /** Called when it is learned how the receiver treats connections. */
  readonly onLearned?: ((use: ConnectionUse) => void) | undefined;
}
const firstPeriodMilliseconds = 600_000;
const longestPeriodMilliseconds = 14_400_000;

export class ClosingReceiver {
  readonly soonMilliseconds: number;
  readonly #isSetting: boolean;
  readonly #now: () => number;
  readonly #onLearned: (use: ConnectionUse) => void;
  /** The last answers, by connection; each connection counts its close once. */
  readonly #answeredAt = new WeakMap<Socket, number>();
  #isSuspected = false;
  #period = firstPeriodMilliseconds;
  #until: number | undefined;

  constructor(isSetting: boolean, { now = Date.now, soonMilliseconds = 2_000, onLearned = () => {} }: ClosingReceiverOptions = {}) {
    this.#isSetting = isSetting; this.#now = now; this.soonMilliseconds = soonMilliseconds; this.#onLearned = onLearned;
  }

  /** Whether the connection in use is to be ended after its answer. */
  get isPerMessage(): boolean { return this.#isSetting || (this.#until !== undefined && this.#now() < this.#until); }
  get use(): ConnectionUse {
    if (this.#isSetting) return { kind: 'per-message' };
    return this.#until === undefined ? { kind: 'kept' } : { kind: 'per-message', until: new Date(this.#until) };
  }

  answered(socket: Socket): void { this.#answeredAt.set(socket, this.#now()); }

  /** Whether the next message has to wait for what becomes of this connection. */
  isWatched(socket: Socket): boolean { return this.#answeredAt.has(socket) && (this.#isSuspected || this.#until !== undefined) && !this.isPerMessage; }

  /** The receiver has ended the connection, or it broke. */
  closed(socket: Socket): void {
    const answeredAt = this.#answeredAt.get(socket);
    this.#answeredAt.delete(socket);
    if (this.isPerMessage || answeredAt === undefined || this.#now() - answeredAt >= this.soonMilliseconds) return;
    if (!this.#isSuspected && this.#until === undefined) { this.#isSuspected = true; return; }
    if (this.#until !== undefined) this.#period = Math.min(2 * this.#period, longestPeriodMilliseconds);
    this.#until = this.#now() + this.#period;
    this.#onLearned(this.use);
  }

  /** The connection is open this long after its answer: the receiver keeps it. */
  outlived(socket: Socket): void {
    if (!this.isWatched(socket)) return;
    const wasPerMessage = this.#until !== undefined;
    this.#isSuspected = false;
    this.#until = undefined;
    this.#period = firstPeriodMilliseconds;
    if (wasPerMessage) this.#onLearned(this.use);
  }
}
