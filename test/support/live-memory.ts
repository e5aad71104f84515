/**
 * Bytes of buffers that something still refers to, in this process. The resident set says something else: what the allocator has not given back and what
 * nobody has collected yet, which depends on when the collector found time.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

export function liveBufferBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}
