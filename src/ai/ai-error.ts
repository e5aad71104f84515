/**
 * Why an analysis failed, in the classes the pipeline acts on:
 *   model        our model or its settings broke: permanent, a person must look at the model
 *   input        this study cannot be read or used: permanent, the text says what and why
 *   unavailable  endpoint down, process died: try again later
 *   timeout      a limit of time was reached: try again, a few times
 *   aborted      the caller's signal fired
 * Texts name transfer syntaxes, tags, sizes and UIDs, never values of patient attributes.
 */
export type AiErrorClass = 'model' | 'input' | 'unavailable' | 'timeout' | 'aborted';

export class AiError extends Error {
  readonly class: AiErrorClass;
  constructor(errorClass: AiErrorClass, text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = 'AiError';
    this.class = errorClass;
  }
  /** True where the same call may succeed later without a change by a person. */
  get retryable(): boolean {
    return this.class === 'unavailable' || this.class === 'timeout';
  }
}

export const abortedError = (): AiError => new AiError('aborted', 'The analysis was cancelled before it ended.');

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError();
}

/** Settles as `work` does, or rejects when the signal fires first. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  throwIfAborted(signal);
  const { promise, reject } = Promise.withResolvers<never>();
  const listener = (): void => reject(abortedError());
  signal.addEventListener('abort', listener, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', listener);
  }
}
