/** A body that must keep coming: a sender that is silent for too long is given up, so that nobody holds a file and a connection by doing nothing. */
import { MultipartError } from './multipart.ts';

/** Slow is not silent: each chunk begins the time anew, and time in which the gateway itself is busy does not count. */
export const idleMilliseconds = 60_000;

export class SilentSenderError extends MultipartError {
  constructor(milliseconds: number) {
    super(`nothing came for ${Math.round(milliseconds / 1000)} s`);
    this.name = 'SilentSenderError';
  }
}

/** Throws SilentSenderError. */
export async function* withIdleLimit(body: AsyncIterable<Uint8Array>, milliseconds = idleMilliseconds): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  let isOpen = true;
  try {
    for (;;) {
      const { value, done } = await nextWithin(chunks, milliseconds);
      if (done === true) {
        isOpen = false;
        return;
      }
      yield value;
    }
  } finally {
    // Not waited for: it would stand in line behind the chunk that does not come.
    if (isOpen) chunks.return?.().catch(() => undefined);
  }
}

async function nextWithin(chunks: AsyncIterator<Uint8Array>, milliseconds: number): Promise<IteratorResult<Uint8Array>> {
  const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<Uint8Array>>();
  const timer = setTimeout(() => reject(new SilentSenderError(milliseconds)), milliseconds);
  chunks.next().then(resolve, reject);
  return promise.finally(() => clearTimeout(timer));
}
