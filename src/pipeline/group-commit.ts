/**
 * Many messages, one commit. While a transaction runs, what arrives queues; the next transaction takes all of it. Nobody waits on
 * purpose, each sender still waits for its own commit, and a batch that fails is done again one by one, so that one message cannot
 * fail its neighbours.
 */
interface Entry<Item, Result> { readonly item: Item; readonly resolve: (result: Result) => void; readonly reject: (error: unknown) => void }

export class GroupCommit<Item, Result> {
  readonly #run: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly #maximumItems: number;
  #waiting: Entry<Item, Result>[] = [];
  #running = false;

  constructor(run: (items: readonly Item[]) => Promise<readonly Result[]>, maximumItems: number) {
    this.#run = run;
    this.#maximumItems = maximumItems;
  }

  /** Resolves when the item's transaction has committed. */
  submit(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#running) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#maximumItems);
      try {
        const results = await this.#run(batch.map((entry) => entry.item));
        batch.forEach((entry, index) => entry.resolve(results[index]!));
      } catch (error) {
        if (batch.length === 1) batch[0]!.reject(error);
        else await this.#oneByOne(batch);
      }
    }
    this.#running = false;
  }

  async #oneByOne(batch: readonly Entry<Item, Result>[]): Promise<void> {
    for (const entry of batch) {
      await this.#run([entry.item]).then(([result]) => entry.resolve(result!), entry.reject);
    }
  }
}
