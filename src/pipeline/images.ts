/**
 * Pictures and decompressed datasets of stored objects, made in worker threads (ai/decode): the implementation of src/gateway/images.ts. A pool of its own,
 * so that people who look at images do not wait for an analysis.
 */
import { AiError } from '../ai/ai-error.ts';
import { DecoderPool, type DecodeOptions, type DecodeRequest } from '../ai/decode/decoder-pool.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { ImageError, type ImageFile, type Images } from '#gateway/images.ts';

const limits = { fileByteLength: 1024 ** 3, pixelCount: 256 * 1024 * 1024 };
const timeoutMilliseconds = 60_000;

export interface ClosableImages extends Images { close(): Promise<void> }

/** Threads are started when they are needed. */
export function createImages(store: Pick<ObjectStore, 'resolve'>, threads = 1): ClosableImages {
  const pool = new DecoderPool(threads);
  const requestFor = ({ location, datasetOffset, transferSyntaxUid }: ImageFile): DecodeRequest => ({ path: store.resolve(location), datasetOffset, transferSyntaxUid, limits });
  const optionsFor = (signal: AbortSignal | undefined): DecodeOptions => ({ timeoutMilliseconds, ...(signal === undefined ? {} : { signal }) });
  return {
    async render(instance, wanted, signal) {
      const picture = await pool.render(requestFor(instance), wanted, optionsFor(signal)).catch(explained);
      if (picture.rows === 0) throw new ImageError('no-frame', `The image has ${picture.numberOfFrames} frame${picture.numberOfFrames === 1 ? '' : 's'}.`);
      return { ...picture, bytes: bufferOf(picture.bytes) };
    },
    async decompress(instance, signal) {
      const { bytes, transferSyntaxUid } = await pool.decompress(requestFor(instance), optionsFor(signal)).catch(explained);
      return { dataset: bufferOf(bytes), transferSyntaxUid };
    },
    close: () => pool.close(),
  };
}

const bufferOf = (bytes: Uint8Array<ArrayBuffer>): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function explained(error: unknown): never {
  if (!(error instanceof AiError)) throw error;
  throw new ImageError(error.class === 'input' ? 'input' : 'unavailable', error.message, { cause: error });
}
