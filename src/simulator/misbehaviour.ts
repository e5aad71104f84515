/** The switch of a simulated system: how it answers from now on, for so many exchanges or until it is set again. */
export class Misbehaviour<Mode extends string> {
  readonly #normal: Mode;
  #mode: Mode;
  #left = Number.POSITIVE_INFINITY;
  readonly #changed: (mode: Mode) => void | Promise<void>;

  constructor(normal: Mode, changed: (mode: Mode) => void | Promise<void> = () => undefined) {
    this.#normal = normal;
    this.#mode = normal;
    this.#changed = changed;
  }

  get mode(): Mode { return this.#mode; }

  /** With `times` the system goes back to normal after that many exchanges. Resolves when a listener has been closed or opened for it. */
  async set(mode: Mode, times = Number.POSITIVE_INFINITY): Promise<void> {
    this.#mode = mode;
    this.#left = times;
    await this.#changed(mode);
  }

  /** The mode for one exchange. */
  take(): Mode {
    const mode = this.#mode;
    if (mode !== this.#normal && --this.#left <= 0) this.#mode = this.#normal;
    return mode;
  }
}
