/**
 * Refusals that repeat. A modality with a wrong AE title knocks every few seconds, a port scanner a hundred times a second: the first
 * refusal of a burst is told (log, exchange, association log), its repeats are counted and told once, when the burst is over.
 */
export interface BurstLimits {
  /** A burst is over when nothing equal came for so long, */
  readonly quietMilliseconds: number;
  /** and at the latest after so long, so that one that never ends is told again and again. */
  readonly longestMilliseconds: number;
  readonly burstsPerAddress: number;
  readonly bursts: number;
}
export const defaultBurstLimits: BurstLimits = { quietMilliseconds: 60_000, longestMilliseconds: 600_000, burstsPerAddress: 20, bursts: 500 };

interface Burst { readonly address: string; readonly began: number; last: number; repeats: number; ended: ((repeats: number) => void) | undefined }

export class RefusalBursts {
  readonly #limits: BurstLimits;
  readonly #open = new Map<string, Burst>();
  readonly #perAddress = new Map<string, number>();
  readonly #watch: NodeJS.Timeout;

  constructor(limits: BurstLimits = defaultBurstLimits) {
    this.#limits = limits;
    this.#watch = setInterval(() => { this.#endQuiet(); }, limits.quietMilliseconds / 4).unref();
  }

  /**
   * True for the first of a burst. A caller that refuses for ever new reasons shares one burst beyond `burstsPerAddress`.
   * `ended` of the first is called with the number of repeats when the burst is over, if there were any.
   */
  begins(address: string, what: string, ended: (repeats: number) => void): boolean {
    const now = performance.now();
    const own = `${address}\0${what}`;
    const key = this.#open.has(own) || (this.#perAddress.get(address) ?? 0) < this.#limits.burstsPerAddress ? own : address;
    const burst = this.#open.get(key);
    if (burst) {
      burst.repeats += 1;
      burst.last = now;
      return false;
    }
    if (this.#open.size >= this.#limits.bursts) this.#end(this.#open.keys().next().value!);
    this.#open.set(key, { address, began: now, last: now, repeats: 0, ended });
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
    return true;
  }

  /** Ends every burst: the listener closes. */
  close(): void {
    clearInterval(this.#watch);
    for (const key of this.#open.keys()) this.#end(key);
  }

  #endQuiet(): void {
    const now = performance.now();
    for (const [key, { began, last }] of this.#open) {
      if (now - last >= this.#limits.quietMilliseconds || now - began >= this.#limits.longestMilliseconds) this.#end(key);
    }
  }

  #end(key: string): void {
    const burst = this.#open.get(key);
    if (!burst) return;
    this.#open.delete(key);
    const left = (this.#perAddress.get(burst.address) ?? 1) - 1;
    if (left > 0) this.#perAddress.set(burst.address, left); else this.#perAddress.delete(burst.address);
    if (burst.repeats > 0) burst.ended?.(burst.repeats);
  }
}
