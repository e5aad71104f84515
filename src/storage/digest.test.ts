import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openObjectStore } from './object-store.ts';

const root = mkdtempSync(path.join(tmpdir(), 'medscan-digest-'));
afterAll(() => { rmSync(root, { recursive: true, force: true }); });

async function stored(byteLength: number, chunkByteLength: number): Promise<{ sent: Buffer; sha256: string; file: Buffer }> {
  const store = await openObjectStore(root, { reserveBytes: 0 });
  const prefix = randomBytes(300), sent = randomBytes(byteLength);
  const writer = await store.begin('.dcm', prefix.length);
  await writer.write(prefix);
  for (let at = 0; at < sent.length; at += chunkByteLength) {
    const lent = Buffer.from(sent.subarray(at, at + chunkByteLength));
    await writer.write(lent);
    lent.fill(0xee); // whoever lends the bytes uses their memory again
  }
  const { location, sha256, durable } = await writer.finish();
  await durable;
  return { sent, sha256, file: readFileSync(store.resolve(location)).subarray(prefix.length) };
}

const slab = 256 * 1024;
test.each([
  [0, 1], [1, 1], [10_000, 10_000], [slab - 300, 65_536], [slab - 299, 65_536], [slab, 4_096], [2 * slab - 300, 65_536], [2 * slab, 100_000], [1_048_576, 65_536], [3_000_000, 65_536], [20_000_000, 1_000_000],
])('of %i bytes that came in chunks of %i the file and the digest are those of what was sent', async (byteLength, chunkByteLength) => {
  const { sent, sha256, file } = await stored(byteLength, chunkByteLength);
  expect(file.equals(sent)).toBe(true);
  expect(sha256).toBe(createHash('sha256').update(sent).digest('hex'));
});

test('objects that arrive side by side do not mix, given up ones among them', async () => {
  const store = await openObjectStore(root, { reserveBytes: 0 });
  const given = Array.from({ length: 12 }, () => Promise.resolve(store.begin('.dcm', 0)).then(async (writer) => {
    await writer.write(randomBytes(600_000));
    await writer.abort();
  }));
  const results = await Promise.all(Array.from({ length: 24 }, (_, index) => stored(100_000 + index * 150_000, 50_000)));
  await Promise.all(given);
  for (const { sent, sha256, file } of results) {
    expect(file.equals(sent)).toBe(true);
    expect(sha256).toBe(createHash('sha256').update(sent).digest('hex'));
  }
});
