/** Thread entry of the decoder pool. One file at a time; answers with transferred arrays or an error. After a codec's trap the pool replaces the thread. */
import { readFile, stat } from 'node:fs/promises';
import { parentPort } from 'node:worker_threads';
import { AiError } from '../ai-error.ts';
import { decodeImage } from './decode-image.ts';
import type { DecodeAnswer, DecodeRequest } from './decoder-pool.ts';

async function decode(request: DecodeRequest): Promise<DecodeAnswer> {
  try {
    const { size } = await stat(request.path);
    if (size > request.limits.fileByteLength) throw new AiError('input', `The file has ${size} bytes, more than the limit of ${request.limits.fileByteLength}.`);
    const image = await decodeImage(await readFile(request.path), request.datasetOffset, request.transferSyntaxUid, request.limits);
    return { ok: true, image };
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

parentPort!.on('message', (request: DecodeRequest) => {
  void decode(request).then((answer) => parentPort!.postMessage(answer, answer.ok ? answer.image.frames.map((frame) => frame.samples.buffer) : []));
});
