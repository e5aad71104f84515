/**
 * Memory for objects on their way to disk, used again and again. What a socket delivers is copied here at once, so that its buffers go back
 * to the allocator: held until the collector finds them, they cost more than the copy (page faults, and a full collection for every few MiB).
 */
const SLAB_BYTES = 256 << 10;
/** What is kept for the next objects; more was in use at once and is left to the collector. */
const MOST_SPARE = 64;

const spare: Buffer[] = [];
const none: readonly Buffer[] = [];

/** Bytes of one object, in the order they came. Shared memory, so that a thread can hash them where they are. */
export class Slabs {
  #slabs: Buffer[] = [];
  #filled = SLAB_BYTES;
  #taken = 0;
  byteLength = 0;

  add(bytes: Buffer): void {
    for (let from = 0; from < bytes.length;) {
      if (this.#filled === SLAB_BYTES) {
        this.#slabs.push(spare.pop() ?? Buffer.from(new SharedArrayBuffer(SLAB_BYTES)));
        this.#filled = 0;
      }
      const copied = bytes.copy(this.#slabs.at(-1)!, this.#filled, from);
      this.#filled += copied;
      from += copied;
    }
    this.byteLength += bytes.length;
  }

  buffers(): readonly Buffer[] {
    return this.#slabs.map((slab, index) => (index === this.#slabs.length - 1 && this.#filled < SLAB_BYTES ? slab.subarray(0, this.#filled) : slab));
  }

  /** Slabs that are full and were not taken before. */
  takeFull(): readonly Buffer[] {
    const full = this.#filled === SLAB_BYTES ? this.#slabs.length : this.#slabs.length - 1;
    if (full <= this.#taken) return none;
    const taken = this.#slabs.slice(this.#taken, full);
    this.#taken = full;
    return taken;
  }

  /** All that was not taken before. */
  takeRest(): readonly Buffer[] {
    const rest = this.buffers().slice(this.#taken);
    this.#taken = this.#slabs.length;
    return rest;
  }

  /** Gives the memory back; nobody may read it afterwards. */
  release(): void {
    for (const slab of this.#slabs) if (spare.length < MOST_SPARE) spare.push(slab);
    this.#slabs = [];
    this.#filled = SLAB_BYTES;
    this.#taken = 0;
    this.byteLength = 0;
  }
}
