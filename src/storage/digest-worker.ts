/** The thread of digest.ts: one hash per object, fed in the order of the messages. */
import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import type { DigestAnswer, DigestRequest } from './digest.ts';

const hashes = new Map<number, Hash>();

parentPort!.on('message', ({ object, parts, wants }: DigestRequest) => {
  const hash = hashes.get(object) ?? createHash('sha256');
  for (const part of parts) hash.update(part);
  if (wants === 'digest' || wants === 'end') hashes.delete(object);
  else hashes.set(object, hash);
  if (wants === 'nothing' || wants === 'end') return;
  const answer: DigestAnswer = wants === 'digest' ? hash.digest('hex') : '';
  parentPort!.postMessage(answer);
});
