import { randomFillSync } from 'node:crypto';

/** Drawn from the system in one go for many: a call for each costs more than all the rest here. */
const pool = Buffer.alloc(4096);
let used = pool.length;
function random16(): Buffer {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return Buffer.from(pool.subarray(used, used += 16));
}

/** Lower than every UUID version 7 of this millisecond, and higher than those before it. */
export function lowestUuidAt(milliseconds: number): string {
  const hex = Math.min(Math.max(Math.trunc(milliseconds), 0), 2 ** 48 - 1).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** UUID version 7 (RFC 9562 5.7): time-ordered, so that new rows lie next to each other in their index. */
export function uuidV7(now: number = Date.now()): string {
  const bytes = random16();
  bytes.writeUIntBE(now, 0, 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
