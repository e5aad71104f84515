/** MSH-10 of what we send. */
import { createHash } from 'node:crypto';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';

const prefix = 'MSGW';
let counter = 0;

/** For an acknowledgment: unique in this process and, by the time in it, practically beyond; at most 20 characters (v2.5.1 MSH-10). */
export function nextControlId(at: Date): string {
  counter = (counter + 1) % 36 ** 5;
  return `${prefix}${at.getTime().toString(36).slice(-9)}${counter.toString(36).padStart(5, '0')}`.toUpperCase();
}

/** The peer acknowledges our acknowledgment. Answering would never end (ch. 2.9.2: acknowledgments are not acknowledged). */
export function answersOurAcknowledgment(message: Hl7Message): boolean {
  const msa = message.segment('MSA');
  return msa !== undefined && new RegExp(`^${prefix}[0-9A-Z]{10,16}$`).test(message.component(msa.fields[2] ?? '', 1));
}

/**
 * The peer tells what became of a message of ours as a message of its own (enhanced mode, ch. 2.9.3.2), on another connection or after we stopped waiting.
 * The outcome of a delivery is what came where it was sent; this is kept for a person to see, and not answered with "not used here".
 */
export function acknowledgesDelivery(message: Hl7Message): boolean {
  const msa = message.segment('MSA');
  return msa !== undefined && message.header(9, 1) === 'ACK' && /^[0-9A-F]{20}$/.test(message.component(msa.fields[2] ?? '', 1));
}

/** For a delivery: the same over all attempts, so that the receiver can tell a repeat. Kept when it fits, else a digest of it. */
export function deliveryControlId(controlId: string): string {
  if (/^[A-Za-z0-9._-]{1,20}$/.test(controlId)) return controlId;
  return createHash('sha256').update(controlId).digest('hex').slice(0, 20).toUpperCase();
}
