import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seededRandom } from '../../src/ai/random.ts';
import { bytesOf, ctElements, writeImage, type WrittenFile } from '../../src/ai/testing/image-files.ts';
import { createImages } from '../../src/pipeline/index.ts';
import { watchTurns } from '../support/processor-time.ts';
import { ImageError, type ImageFile, type PictureWanted } from '#gateway/images.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'medscan-images-'));
const images = createImages({ resolve: (location) => location });
afterAll(async () => {
  await images.close();
  rmSync(directory, { recursive: true });
});
const png: PictureWanted = { frame: 1, encoding: { type: 'image/png' } };
const asStored = ({ path: location, ...file }: WrittenFile): ImageFile => ({ location, ...file });
let good: ImageFile;
beforeAll(() => { good = asStored(writeImage(path.join(directory, 'good.dcm'), ctElements(64, 64), bytesOf(new Array(4096).fill(7)))); });

test('a picture is made in a thread of its own: the loop turns meanwhile', async () => {
  const large = asStored(writeImage(path.join(directory, 'large.dcm'), ctElements(3000, 3000), Buffer.alloc(18_000_000, 1)));
  await images.render(good, png);
  const turns = watchTurns();
  const picture = await images.render(large, { ...png, viewport: { width: 512, height: 512 } });
  const longest = turns.stop();
  expect(picture).toMatchObject({ rows: 512, columns: 512, numberOfFrames: 1 });
  expect(longest, 'milliseconds; the picture takes several times as many of its own thread').toBeLessThan(50);
});

test('what cannot be shown or decompressed is told in words, and the next picture is made', async () => {
  const random = seededRandom(5);
  for (const [syntax, head] of Object.entries({ '1.2.840.10008.1.2.4.50': 'ffd8ffc0000b08004000400101110000', '1.2.840.10008.1.2.4.80': 'ffd8fff7000b1000400040010111', '1.2.840.10008.1.2.4.90': 'ff4fff51002900000000004000000040', '1.2.840.10008.1.2.5': '02000000' })) {
    const frame = Buffer.concat([Buffer.from(head, 'hex'), Buffer.from(Array.from({ length: 3000 }, () => Math.floor(random.next() * 256)))]);
    const bad = asStored(writeImage(path.join(directory, 'bad.dcm'), ctElements(64, 64), [frame], syntax));
    for (const attempt of [images.render(bad, png), images.decompress(bad)]) await expect(attempt, syntax).rejects.toMatchObject({ name: 'ImageError', kind: 'input' });
    expect((await images.render(good, png)).columns).toBe(64);
  }
});

test('frames that are not there, files that are gone and requests that were given up are told apart', async () => {
  await expect(images.render(good, { ...png, frame: 2 })).rejects.toMatchObject({ kind: 'no-frame' });
  await expect(images.render({ ...good, location: path.join(directory, 'nowhere.dcm') }, png)).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(images.render(good, png, AbortSignal.abort())).rejects.toBeInstanceOf(ImageError);
});
