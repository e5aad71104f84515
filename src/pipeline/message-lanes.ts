/**
 * Messages to batches, several of them on their way at once, in order per key: what names a patient or message that a batch in work names too waits for
 * it, and everything behind it of the same keys. While one batch is with the database the next is read and decided.
 *
 *   waiting, in order of arrival -> up to `lanes` batches, no key in two of them -> each sender answered after its own commit
 *                                   an item without keys (a merge, an order) runs with nothing beside it
 *
 * What arrives in one turn of the event loop goes together; nobody waits longer than that. A batch that fails is done again one by one, so that one
 * message cannot fail its neighbours.
 */
interface Entry<Item, Result> { readonly item: Item; readonly keys: readonly string[] | undefined; readonly resolve: (result: Result) => void; readonly reject: (error: unknown) => void }

export interface LaneOptions { readonly lanes: number; readonly maximumItems: number }

export class MessageLanes<Item, Result> {
  readonly #run: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly #keysOf: (item: Item) => readonly string[] | undefined;
  readonly #options: LaneOptions;
  #waiting: Entry<Item, Result>[] = [];
  readonly #keysAtWork = new Set<string>();
  #running = 0;
  #isAlone = false;
  #isScheduled = false;

  constructor(run: (items: readonly Item[]) => Promise<readonly Result[]>, keysOf: (item: Item) => readonly string[] | undefined, options: LaneOptions) {
    this.#run = run; this.#keysOf = keysOf; this.#options = options;
  }

  /** Resolves when the item's transaction has committed. */
  submit(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, keys: this.#keysOf(item), resolve, reject });
      if (this.#isScheduled || this.#running >= this.#options.lanes) return;
      this.#isScheduled = true;
      setImmediate(() => { this.#isScheduled = false; this.#start(); });
    });
  }

  #start(): void {
    while (!this.#isAlone && this.#running < this.#options.lanes) {
      const batch = this.#next();
      if (batch.length === 0) return;
      void this.#work(batch);
    }
  }

  /** In order of arrival; an entry that must wait lets pass only those that share no key with it, and one without keys nobody. */
  #next(): Entry<Item, Result>[] {
    const batch: Entry<Item, Result>[] = [], left: Entry<Item, Result>[] = [], blocked = new Set<string>();
    let isClosed = false;
    for (const entry of this.#waiting) {
      if (entry.keys === undefined && this.#running > 0) isClosed = true;
      const mustWait = isClosed || batch.length === this.#options.maximumItems || entry.keys?.some((key) => this.#keysAtWork.has(key) || blocked.has(key));
      if (!mustWait) { batch.push(entry); continue; }
      left.push(entry);
      for (const key of entry.keys ?? []) blocked.add(key);
    }
    this.#waiting = left;
    return batch;
  }

  async #work(batch: readonly Entry<Item, Result>[]): Promise<void> {
    const keys = batch.flatMap((entry) => entry.keys ?? []), isAlone = batch.some((entry) => entry.keys === undefined);
    this.#running += 1;
    this.#isAlone ||= isAlone;
    for (const key of keys) this.#keysAtWork.add(key);
    await this.#commit(batch);
    for (const key of keys) this.#keysAtWork.delete(key);
    if (isAlone) this.#isAlone = false;
    this.#running -= 1;
    this.#start();
  }

  async #commit(batch: readonly Entry<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#run(batch.map((entry) => entry.item));
      batch.forEach((entry, index) => entry.resolve(results[index]!));
    } catch (error) {
      if (batch.length === 1) batch[0]!.reject(error);
      else for (const entry of batch) await this.#run([entry.item]).then(([result]) => entry.resolve(result!), entry.reject);
    }
  }
}
