/** What a simulated system has received, in order, for tests and the demo to wait on. */
export class Arrivals<T> {
  readonly items: T[] = [];
  readonly #waiting = new Set<(item: T) => void>();

  add(item: T): void {
    this.items.push(item);
    for (const notify of this.#waiting) notify(item);
  }

  /** The first item, past or future, that matches. Rejects after the time with `what` it was. */
  async first(matches: (item: T) => boolean, timeoutMilliseconds: number, what = 'the expected arrival'): Promise<T> {
    const present = this.items.find(matches);
    if (present !== undefined) return present;
    return new Promise((resolve, reject) => {
      const finish = (): void => { clearTimeout(timer); this.#waiting.delete(notify); };
      const notify = (item: T): void => { if (matches(item)) { finish(); resolve(item); } };
      const timer = setTimeout(() => { finish(); reject(new Error(`${what} did not come within ${timeoutMilliseconds} ms (${this.items.length} arrived)`)); }, timeoutMilliseconds);
      this.#waiting.add(notify);
    });
  }

  /** Resolves when that many have arrived in all. */
  async count(number: number, timeoutMilliseconds: number): Promise<readonly T[]> {
    await this.first(() => this.items.length >= number, timeoutMilliseconds, `${number} arrivals`);
    return this.items;
  }
}
