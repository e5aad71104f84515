/**
 * One budget of memory for all connections of the listener: frames that are not whole, and whole ones that wait or are being stored. Above it
 * nobody is read any further, and the connection whose frame has been unfinished for longest is cut, then the next, until the rest fits. What
 * is whole is never given up: its sender may only have to wait.
 */
import type { AdapterLog } from '#gateway/adapter.ts';

export interface Holder {
  readonly peer: { readonly address: string };
  readonly heldBytes: number;
  /** When the unfinished frame began, by performance.now(); undefined when there is none. */
  readonly frameBeganAt: number | undefined;
  /** Gives up the unfinished frame and its connection. */
  cut(): void;
  /** Reads on, or pauses, as the budget and the holder's own limits have it. */
  flow(): void;
}

export class ByteBudget {
  readonly #limit: number;
  readonly #log: AdapterLog;
  readonly #everyone: ReadonlySet<Holder>;
  readonly #held = new Map<Holder, number>();
  #total = 0;
  #isFull = false;
  constructor(limit: number, everyone: ReadonlySet<Holder>, log: AdapterLog) { this.#limit = limit; this.#everyone = everyone; this.#log = log; }

  get isFull(): boolean { return this.#isFull; }

  /** To be called whenever heldBytes may have changed. */
  update(holder: Holder): void {
    this.#count(holder);
    while (this.#total > this.#limit) {
      const oldest = this.#oldestUnfinished();
      if (!oldest) break;
      this.#log.warn({ address: oldest.peer.address, frameBytes: oldest.heldBytes, heldBytes: this.#total }, 'MLLP connection cut: the frames of all connections need more memory than they may, and its frame has been unfinished for longest');
      oldest.cut();
      this.#count(oldest);
    }
    const isFull = this.#total > this.#limit;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    for (const each of this.#everyone) each.flow();
  }

  #count(holder: Holder): void {
    const bytes = holder.heldBytes;
    this.#total += bytes - (this.#held.get(holder) ?? 0);
    if (bytes === 0) this.#held.delete(holder); else this.#held.set(holder, bytes);
  }

  #oldestUnfinished(): Holder | undefined {
    let oldest: Holder | undefined;
    for (const holder of this.#held.keys()) {
      if (holder.frameBeganAt !== undefined && holder.frameBeganAt < (oldest?.frameBeganAt ?? Infinity)) oldest = holder;
    }
    return oldest;
  }
}
