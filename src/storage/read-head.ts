import { stat } from 'node:fs/promises';
import type { ObjectStore } from './object-store.ts';

/** As much as any header needs; what is beyond is pixels. */
const mostHeadBytes = 2 * 1024 * 1024;

/** The first bytes of a stored object, and how many there are in all. Throws when it is gone. */
export async function readHead(store: Pick<ObjectStore, 'read' | 'resolve'>, location: string): Promise<{ head: Buffer; byteSize: number }> {
  const { size } = await stat(store.resolve(location));
  const chunks: Buffer[] = [];
  let byteLength = 0;
  for await (const chunk of store.read(location) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    byteLength += chunk.length;
    if (byteLength >= mostHeadBytes) break;
  }
  return { head: Buffer.concat(chunks).subarray(0, mostHeadBytes), byteSize: size };
}
