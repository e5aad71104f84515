/**
 * A port for a program that cannot say itself which one it took, and so listens on it only a moment later. It is taken from below the range from which
 * the system gives out ports by itself (from 32768 on Linux, 49152 elsewhere): one of those may be somebody else's by then.
 */
import { createServer } from 'node:net';

const first = 20_000, last = 32_000;

export async function freePort(): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = first + Math.floor(Math.random() * (last - first));
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => { server.once('error', () => { resolve(false); }).listen(port, () => { server.close(() => { resolve(true); }); }); });
    if (isFree) return port;
    if (attempt === 100) throw new Error('no free port was found');
  }
}
