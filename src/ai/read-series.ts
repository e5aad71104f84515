/** Decodes a series' instances through the pool, several at a time, within the byte limit. */
import { AiError, throwIfAborted } from './ai-error.ts';
import type { AiInstance } from './analysis.ts';
import type { DecoderPool } from './decode/decoder-pool.ts';
import type { AiModelConfig } from './model.ts';
import type { LocatedFrame } from './volume/stack.ts';

export interface ReadCount { decodeMilliseconds: number; framesRead: number }

/** Rejects with AiError; 'input' names the instance, because a series with a hole must not pass as a whole one. */
export async function readSeries(series: readonly AiInstance[], pool: DecoderPool, limits: AiModelConfig['limits'], signal: AbortSignal, count: ReadCount): Promise<LocatedFrame[]> {
  const started = performance.now();
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  let byteLength = 0;
  try {
    const images = await Promise.all(series.map(async (instance) => {
      const frames = await decodeInstance(instance, pool, limits, either);
      byteLength += frames.reduce((sum, { frame }) => sum + frame.samples.byteLength, 0);
      if (byteLength > limits.volumeByteLength) throw new AiError('input', `A series of ${series.length} instances needs more than the limit of ${limits.volumeByteLength} bytes when decoded.`);
      return frames;
    }));
    const frames = images.flat();
    count.framesRead += frames.length;
    return frames;
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  } finally {
    stop.abort();
    count.decodeMilliseconds += performance.now() - started;
  }
}

async function decodeInstance(instance: AiInstance, pool: DecoderPool, limits: AiModelConfig['limits'], signal: AbortSignal): Promise<LocatedFrame[]> {
  const { path, datasetOffset, transferSyntaxUid } = instance;
  try {
    const image = await pool.decode({ path, datasetOffset, transferSyntaxUid, limits: { fileByteLength: limits.fileByteLength, pixelCount: limits.pixelCount } }, { timeoutMilliseconds: limits.decodeMilliseconds, signal });
    return image.frames.map((frame) => ({ instance, rows: image.rows, columns: image.columns, frame }));
  } catch (error) {
    if (error instanceof AiError && error.class === 'input') throw new AiError('input', `Instance ${instance.sopInstanceUid}: ${error.message}`, { cause: error });
    throw error;
  }
}
