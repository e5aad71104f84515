import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seededRandom } from '../random.ts';
import { bytesOf, ctElements, writeImage, type WrittenFile } from '../testing/image-files.ts';
import { DecoderPool } from './decoder-pool.ts';

const directory = mkdtempSync(join(tmpdir(), 'medscan-pool-'));
const pool = new DecoderPool(1);
afterAll(async () => {
  await pool.close();
  rmSync(directory, { recursive: true });
});
const limits = { fileByteLength: 1e8, pixelCount: 1e8 };
const patience = { timeoutMilliseconds: 10_000 };
let good: WrittenFile;
beforeAll(() => {
  good = writeImage(join(directory, 'good.dcm'), ctElements(2, 2), bytesOf([0, 1, 2, 3]));
});
const goodValues = async (): Promise<number[]> => Array.from((await pool.decode({ ...good, limits }, patience)).frames[0]!.samples);

test('garbage in every compressed transfer syntax is an input error and the pool lives on', async () => {
  const random = seededRandom(3);
  const heads: Record<string, string> = {
    '1.2.840.10008.1.2.4.50': 'ffd8ffc0000b08004000400101110000', '1.2.840.10008.1.2.4.70': 'ffd8ffc3000b1000400040010111', '1.2.840.10008.1.2.4.80': 'ffd8fff7000b1000400040010111',
    '1.2.840.10008.1.2.4.90': 'ff4fff5100290000000000400000004000000000000000000000004000000040000000000000000000010f0101', '1.2.840.10008.1.2.4.201': 'ff4fff5100290000000000400000004000000000000000000000004000000040000000000000000000010f0101', '1.2.840.10008.1.2.5': '02000000',
  };
  for (const [syntax, head] of Object.entries(heads)) {
    const frame = Buffer.concat([Buffer.from(head, 'hex'), Buffer.from(Array.from({ length: 3000 }, () => Math.floor(random.next() * 256)))]);
    const file = writeImage(join(directory, 'bad.dcm'), ctElements(64, 64), [frame], syntax);
    await expect(pool.decode({ ...file, limits }, patience), syntax).rejects.toMatchObject({ name: 'AiError', class: 'input' });
    expect(await goodValues()).toEqual([-1024, -1023, -1022, -1021]);
  }
});

test('a file that takes too long is given up and the next one is decoded', async () => {
  const large = writeImage(join(directory, 'large.dcm'), ctElements(2000, 2000), Buffer.alloc(8_000_000));
  await expect(pool.decode({ ...large, limits }, { timeoutMilliseconds: 1 })).rejects.toMatchObject({ class: 'timeout' });
  expect(await goodValues()).toHaveLength(4);
});

test('an aborted signal ends waiting and running calls, and only those', async () => {
  const controller = new AbortController();
  const large = writeImage(join(directory, 'large.dcm'), ctElements(2000, 2000), Buffer.alloc(8_000_000));
  const running = pool.decode({ ...large, limits }, { ...patience, signal: controller.signal });
  const waiting = pool.decode({ ...good, limits }, { ...patience, signal: controller.signal });
  const other = goodValues();
  controller.abort();
  await expect(running).rejects.toMatchObject({ class: 'aborted' });
  await expect(waiting).rejects.toMatchObject({ class: 'aborted' });
  expect(await other).toHaveLength(4);
});

test('a missing file may come back, a file over the limit will not', async () => {
  await expect(pool.decode({ ...good, path: join(directory, 'gone.dcm'), limits }, patience)).rejects.toMatchObject({ class: 'unavailable' });
  await expect(pool.decode({ ...good, limits: { ...limits, fileByteLength: 10 } }, patience)).rejects.toMatchObject({ class: 'input', message: expect.stringContaining('more than the limit of 10') });
});

test('a closed pool refuses work', async () => {
  const closed = new DecoderPool(1);
  await closed.close();
  await expect(closed.decode({ ...good, limits }, patience)).rejects.toMatchObject({ class: 'unavailable' });
});
