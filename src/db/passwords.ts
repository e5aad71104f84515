/**
 * Passwords as argon2id (RFC 9106) PHC strings: $argon2id$v=19$m=19456,t=2,p=1$salt$hash, the OWASP minimum of 19 MiB and two passes.
 * At most two are computed at a time: a flood of logins waits here instead of taking all memory and every thread.
 */
import { argon2 as argon2Callback, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const argon2 = promisify(argon2Callback);
const cost = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 };
const maximumRunning = 2;
const maximumWaiting = 100;

export const minimumPasswordLength = 12;
export const maximumPasswordLength = 256;

export class TooManyLoginsError extends Error {
  constructor() {
    super('Too many sign-ins are being checked at once.');
    this.name = 'TooManyLoginsError';
  }
}

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await inTurn(() => argon2('argon2id', { message: password, nonce: salt, ...cost }));
  return `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.parallelism}$${base64(salt)}$${base64(hash)}`;
}

/** Takes as long for an unknown account (`stored` null) as for a known one. */
export async function verifyPassword(stored: string | null, password: string): Promise<boolean> {
  const parts = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/.exec(stored ?? '');
  const [memory, passes, parallelism] = parts ? parts.slice(1, 4).map(Number) : [cost.memory, cost.passes, cost.parallelism];
  const salt = parts ? Buffer.from(parts[4] ?? '', 'base64') : Buffer.alloc(16);
  const wanted = parts ? Buffer.from(parts[5] ?? '', 'base64') : Buffer.alloc(cost.tagLength);
  const hash = await inTurn(() => argon2('argon2id', {
    message: password, nonce: salt, memory: memory ?? cost.memory, passes: passes ?? cost.passes, parallelism: parallelism ?? cost.parallelism, tagLength: wanted.length,
  }));
  return timingSafeEqual(hash, wanted) && parts !== null;
}

let running = 0;
const waiting: (() => void)[] = [];

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running >= maximumRunning) {
    if (waiting.length >= maximumWaiting) throw new TooManyLoginsError();
    await new Promise<void>((resolve) => { waiting.push(resolve); });
  } else {
    running += 1;
  }
  try {
    return await work();
  } finally {
    // The place is handed on without being given up, so that nobody can slip in between.
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  }
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '');
}
