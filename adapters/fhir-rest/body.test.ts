import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { readBytes } from './body.ts';

const requestWith = (body: string | Uint8Array | ReadableStream): Request => new Request('http://gateway.example/', { method: 'POST', body: body as string, duplex: 'half' } as RequestInit);
const streamOf = (chunks: readonly Uint8Array[], end: 'close' | 'error' | 'silence'): { body: ReadableStream; taken(): number } => {
  let taken = 0;
  const body = new ReadableStream({
    pull(controller) {
      const chunk = chunks[taken];
      if (chunk !== undefined) { taken += 1; controller.enqueue(chunk); }
      else if (end === 'close') controller.close();
      else if (end === 'error') controller.error(new Error('the connection is gone'));
      else return new Promise(() => undefined);
    },
  }, { highWaterMark: 0 });
  return { body, taken: () => taken };
};
const packed = gzipSync(Buffer.alloc(4 * 1024 * 1024, 0x20));

test('a body comes through whole, compressed or not', async () => {
  expect((await readBytes(requestWith('abc'), 10, 'too large')).toString()).toBe('abc');
  expect((await readBytes(requestWith(gzipSync('abc')), 10, 'too large', true)).toString()).toBe('abc');
});

test('what grows beyond the limit is cut off, and no more of it is read', async () => {
  const pieces = Array.from({ length: 100 }, () => packed), { body, taken } = streamOf(pieces, 'close');
  await expect(readBytes(requestWith(body), 1024, 'too large', true)).rejects.toMatchObject({ status: 413, message: 'too large' });
  expect(taken()).toBeLessThan(50);
});

test.each([['after half of it', packed.subarray(0, packed.length / 2)], ['with something else', Buffer.from('no gzip at all')]])('a compressed body that ends %s is refused', async (_title, bytes) => {
  await expect(readBytes(requestWith(streamOf([bytes], 'close').body), 1e9, 'too large', true)).rejects.toMatchObject({ status: 400 });
});

test.each([[true, packed.subarray(0, 100)], [false, Buffer.from('{')]])('a sender that leaves ends the reading (compressed: %s)', async (isCompressed, bytes) => {
  await expect(readBytes(requestWith(streamOf([bytes], 'error').body), 1e9, 'too large', isCompressed)).rejects.toMatchObject({ status: 400, message: 'The request ended before its body did.' });
});

test.each([[true, packed.subarray(0, 100)], [false, Buffer.from('{')]])('a sender that falls silent is not waited for (compressed: %s)', async (isCompressed, bytes) => {
  await expect(readBytes(requestWith(streamOf([bytes], 'silence').body), 1e9, 'too large', isCompressed, 50)).rejects.toMatchObject({ status: 408 });
});
