/**
 * Pairs of study and patient identifier that were compared and committed: the comparison runs once per pair, not once per slice. Whoever
 * takes a place from here lets the database check again that the scan still is that patient's, and forgets it when it is not.
 */
import { identifierKey } from './identify.ts';
import type { PersistItem } from './persist.ts';

export interface KnownPlace { readonly scanId: string; readonly patientId: string }

const MOST_PLACES = 10_000;

export class KnownStudies {
  readonly #places = new Map<string, KnownPlace>();
  readonly #opening = new Map<string, Promise<unknown>>();

  place(item: PersistItem): KnownPlace | undefined {
    return this.#places.get(keyOf(item));
  }

  /** The place, once whoever is opening the study now has done so: of several first instances one takes the long way. */
  async placeAfterOpening(item: PersistItem): Promise<KnownPlace | undefined> {
    const opening = this.#opening.get(keyOf(item));
    if (!this.place(item)) await opening?.catch(() => {});
    return this.place(item);
  }

  /** Others wait for `open`, as the one that makes the item's place known. */
  async opening<T>(item: PersistItem, open: () => Promise<T>): Promise<T> {
    const key = keyOf(item);
    const opened = open();
    if (this.#opening.has(key)) return opened;
    this.#opening.set(key, opened);
    try {
      return await opened;
    } finally {
      this.#opening.delete(key);
    }
  }

  remember(item: PersistItem, place: KnownPlace): void {
    this.#places.set(keyOf(item), place);
    if (this.#places.size > MOST_PLACES) this.#places.delete(this.#places.keys().next().value!);
  }

  forget(item: PersistItem): void {
    this.#places.delete(keyOf(item));
  }
}

const keyOf = (item: PersistItem): string =>
  `${item.integration.organizationId} ${item.normalized.instance!.study.study_instance_uid} ${identifierKey(item.normalized.patient?.identifiers ?? [])}`;
