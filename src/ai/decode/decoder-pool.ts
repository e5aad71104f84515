/**
 * Worker threads that decode. A codec is foreign code fed with foreign bytes: it may trap, loop or eat memory, so a thread that broke, ran over
 * its time or was given up is terminated and the next file gets a fresh one. Memory is bounded by the limits (checked before allocating).
 */
import { Worker } from 'node:worker_threads';
import { AiError, abortedError, throwIfAborted } from '../ai-error.ts';
import type { PictureWanted } from '#gateway/images.ts';
import type { RenderedPicture } from '../render/render-picture.ts';
import type { DecodedImage } from './decoded-image.ts';
import type { NativeDataset } from './decompress-dataset.ts';
import type { DecodeLimits } from './image-header.ts';

export interface DecodeRequest { readonly path: string; readonly datasetOffset: number; readonly transferSyntaxUid: string; readonly limits: DecodeLimits }
export type DecodeTask = { readonly kind: 'grey' } | { readonly kind: 'picture'; readonly wanted: PictureWanted } | { readonly kind: 'decompress' };
export type PoolRequest = DecodeRequest & { readonly task: DecodeTask };
type PoolResult = DecodedImage | RenderedPicture | NativeDataset;
export type PoolAnswer =
  | { readonly ok: true; readonly result: PoolResult }
  | { readonly ok: false; readonly errorClass: AiError['class']; readonly text: string; readonly broken: boolean };

export interface DecodeOptions { readonly timeoutMilliseconds: number; readonly signal?: AbortSignal }

export class DecoderPool {
  readonly #size: number;
  readonly #idle: Worker[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #all = new Set<Worker>();
  #busy = 0;
  #closed = false;

  constructor(size: number) {
    this.#size = Math.max(1, size);
  }

  /** Rejects with AiError: 'input' for bad files, 'timeout', 'aborted', 'unavailable' when the file or the thread is not there. */
  decode(request: DecodeRequest, options: DecodeOptions): Promise<DecodedImage> {
    return this.#run({ ...request, task: { kind: 'grey' } }, options) as Promise<DecodedImage>;
  }

  /** One frame as a picture. A frame that the image does not have gives a picture of no rows. Rejects as decode does. */
  render(request: DecodeRequest, wanted: PictureWanted, options: DecodeOptions): Promise<RenderedPicture> {
    return this.#run({ ...request, task: { kind: 'picture', wanted } }, options) as Promise<RenderedPicture>;
  }

  /** The dataset with native pixel data. Rejects as decode does. */
  decompress(request: DecodeRequest, options: DecodeOptions): Promise<NativeDataset> {
    return this.#run({ ...request, task: { kind: 'decompress' } }, options) as Promise<NativeDataset>;
  }

  async #run(request: PoolRequest, options: DecodeOptions): Promise<PoolResult> {
    throwIfAborted(options.signal);
    await this.#slot(options.signal);
    try {
      throwIfAborted(options.signal);
      if (this.#closed) throw new AiError('unavailable', 'The decoder is closed.');
      const worker = this.#idle.pop() ?? this.#start();
      const answer = await this.#ask(worker, request, options);
      if (answer.ok) return answer.result;
      throw new AiError(answer.errorClass, answer.text);
    } finally {
      this.#busy -= 1;
      this.#waiting.shift()?.();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#all].map((worker) => {
      worker.ref();
      return worker.terminate();
    }));
  }

  async #slot(signal: AbortSignal | undefined): Promise<void> {
    while (this.#busy >= this.#size) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      const wake = (): void => resolve();
      signal?.addEventListener('abort', wake, { once: true });
      await promise;
      signal?.removeEventListener('abort', wake);
      if (signal?.aborted) {
        const place = this.#waiting.indexOf(resolve);
        // A wake-up that was already spent on us belongs to the next in line.
        if (place >= 0) this.#waiting.splice(place, 1);
        else this.#waiting.shift()?.();
        throw abortedError();
      }
    }
    this.#busy += 1;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./decode-worker.ts', import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: 256 }, name: 'dicom-decoder' });
    worker.unref();
    this.#all.add(worker);
    worker.once('exit', () => this.#all.delete(worker));
    return worker;
  }

  #ask(worker: Worker, request: PoolRequest, { timeoutMilliseconds, signal }: DecodeOptions): Promise<PoolAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<PoolAnswer>();
    const settle = (keep: boolean, finish: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      worker.removeAllListeners('message').removeAllListeners('error').off('exit', exited);
      if (keep && !this.#closed) this.#idle.push(worker);
      else this.#discard(worker);
      finish();
    };
    const aborted = (): void => settle(false, () => reject(abortedError()));
    const exited = (): void => settle(false, () => reject(new AiError('unavailable', 'The decoding thread ended before it answered.')));
    const timer = setTimeout(() => settle(false, () => reject(new AiError('timeout', `Decoding took longer than ${timeoutMilliseconds} ms.`))), timeoutMilliseconds);
    signal?.addEventListener('abort', aborted, { once: true });
    worker.once('exit', exited);
    // Out of memory and the like: this file's fault as far as anyone can tell, and it would happen again.
    worker.once('error', (error: Error) => settle(false, () => reject(new AiError('input', `The decoding thread broke on this file (${(error as NodeJS.ErrnoException).code ?? error.name}).`))));
    worker.once('message', (answer: PoolAnswer) => settle(answer.ok || !answer.broken, () => resolve(answer)));
    worker.postMessage(request);
    return promise;
  }

  #discard(worker: Worker): void {
    worker.on('error', () => undefined);
    void worker.terminate();
  }
}
