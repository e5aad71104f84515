/**
 * Which associations and requests may still bring images of a scan. An adapter tells when one began, which scan each stored object belongs to, and how
 * it ended; a scan is not complete by its quiet time alone while its sender is at it. Nothing is waited for: telling costs no statement.
 */
import type { Integration, ReceiptBody } from './adapter.ts';

export interface Arrivals {
  /** `peer` is what the sender calls itself: AE title, name of the caller. */
  begin(integration: Integration, peer: string): Arrival;
}
export interface Arrival {
  /** What became of an object. Stored ones count, first copies and repeats alike: who sends a study again may have more of it. */
  brought(receipt: ReceiptBody): void;
  /** broken: anything but the end that the protocol has for it, so that the sender may come again. */
  ended(how: 'released' | 'broken'): void;
}
