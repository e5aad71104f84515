/** Thread entry of the decoder pool. One file at a time: grey values, a picture or a decompressed dataset; answers with transferred arrays or an error. After a codec's trap the pool replaces the thread. */
import { readFile, stat } from 'node:fs/promises';
import { parentPort } from 'node:worker_threads';
import { AiError } from '../ai-error.ts';
import { decodeImage } from './decode-image.ts';
import type { PoolAnswer, PoolRequest } from './decoder-pool.ts';
import { decompressDataset } from './decompress-dataset.ts';
import { renderPicture } from '../render/render-picture.ts';

async function work(request: PoolRequest): Promise<PoolAnswer> {
  try {
    const { size } = await stat(request.path);
    if (size > request.limits.fileByteLength) throw new AiError('input', `The file has ${size} bytes, more than the limit of ${request.limits.fileByteLength}.`);
    const file = await readFile(request.path);
    const { datasetOffset, transferSyntaxUid, limits, task } = request;
    if (task.kind === 'picture') return { ok: true, result: await renderPicture(file, datasetOffset, transferSyntaxUid, limits, task.wanted) };
    if (task.kind === 'decompress') return { ok: true, result: await decompressDataset(file, datasetOffset, transferSyntaxUid, limits) };
    return { ok: true, result: await decodeImage(file, datasetOffset, transferSyntaxUid, limits) };
  } catch (error) {
    return { ok: false, ...describe(error) };
  }
}

/** Only our own texts leave: a codec's or parser's message may quote the dataset. */
function describe(error: unknown): { errorClass: AiError['class']; text: string; broken: boolean } {
  if (error instanceof AiError) return { errorClass: error.class, text: error.message, broken: false };
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EIO' || code === 'EMFILE') return { errorClass: 'unavailable', text: `The stored file cannot be read (${code}).`, broken: false };
  return { errorClass: 'input', text: `The pixel data is damaged: the codec failed (${error instanceof Error ? error.name : 'error'}).`, broken: true };
}

function buffersOf(answer: PoolAnswer): ArrayBuffer[] {
  if (!answer.ok) return [];
  return 'frames' in answer.result ? answer.result.frames.map((frame) => frame.samples.buffer) : [answer.result.bytes.buffer];
}

parentPort!.on('message', (request: PoolRequest) => {
  void work(request).then((answer) => parentPort!.postMessage(answer, buffersOf(answer)));
});
