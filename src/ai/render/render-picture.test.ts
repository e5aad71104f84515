import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode as decodePng } from 'fast-png';
import { chromium } from 'playwright-core';
import { afterAll, expect, test } from 'vitest';
import type { PictureWanted } from '#gateway/images.ts';
import { bytesOf, ctElements, writeImage, type WrittenFile } from '../testing/image-files.ts';
import { renderPicture, type RenderedPicture } from './render-picture.ts';

const directory = mkdtempSync(join(tmpdir(), 'medscan-render-'));
afterAll(() => rmSync(directory, { recursive: true }));
const limits = { fileByteLength: 1e8, pixelCount: 1e8 };
const png = { frame: 1, encoding: { type: 'image/png' } } as const satisfies PictureWanted;
const render = ({ path, datasetOffset, transferSyntaxUid }: WrittenFile, wanted: PictureWanted): Promise<RenderedPicture> => renderPicture(readFileSync(path), datasetOffset, transferSyntaxUid, limits, wanted);
const pixels = async (file: WrittenFile, wanted: PictureWanted): Promise<number[]> => Array.from(decodePng((await render(file, wanted)).bytes).data);
const image = (elements: Record<string, unknown>, bytes: Buffer): WrittenFile => writeImage(join(directory, 'image.dcm'), elements as never, bytes);
/** CT values -1024 + stored, by the rescale of ctElements. */
const ct = (stored: readonly number[], more: Record<string, unknown> = {}): WrittenFile => image({ ...ctElements(1, stored.length), ...more }, bytesOf(stored));

test('the window of the image is applied to values after the modality LUT, as PS3.3 C.11.2.1.2.1 says', async () => {
  expect(await pixels(ct([0, 924, 1024, 1124, 3000], { '(0028,1050)': '0', '(0028,1051)': '201' }), png)).toEqual([0, 1, 128, 255, 255]);
});

test('a window that is asked for counts instead', async () => {
  const file = ct([1024, 1034, 1044], { '(0028,1050)': '500', '(0028,1051)': '10' });
  expect(await pixels(file, { ...png, window: { centre: 10, width: 20, function: 'linear-exact' } })).toEqual([0, 128, 255]);
  expect(await pixels(file, { ...png, window: { centre: 10, width: 20, function: 'sigmoid' } })).toEqual([30, 128, 225]);
  expect(await pixels(file, { ...png, window: { centre: 10, width: 1, function: 'linear' } })).toEqual([0, 255, 255]);
});

test('an image without a window shows the whole range of its values, padding left out', async () => {
  expect(await pixels(ct([100, 200, 300]), png)).toEqual([0, 128, 255]);
  expect(await pixels(ct([0, 100, 300], { '(0028,0120)': { vr: 'US', value: 0 }, '(0028,1052)': '0' }), png)).toEqual([0, 0, 255]);
});

test('MONOCHROME1 shows low values bright, and an inverse presentation shape too', async () => {
  expect(await pixels(ct([100, 200, 300], { '(0028,0004)': 'MONOCHROME1' }), png)).toEqual([255, 127, 0]);
  expect((await pixels(ct([100, 300], { '(2050,0020)': 'INVERSE' }), png))).toEqual([255, 0]);
});

const colour = (photometric: string, bytes: readonly number[], more: Record<string, unknown> = {}): WrittenFile => image({
  ...ctElements(1, bytes.length / 3), '(0028,0002)': 3, '(0028,0004)': photometric, '(0028,0006)': 0, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0, ...more,
}, Buffer.from(bytes));

test('colours stay, YBR becomes RGB, planes are put together', async () => {
  expect(await pixels(colour('RGB', [255, 0, 0, 1, 2, 3]), png)).toEqual([255, 0, 0, 1, 2, 3]);
  expect(await pixels(colour('YBR_FULL', [76, 85, 255, 255, 128, 128]), png)).toEqual([254, 0, 0, 255, 255, 255]);
  expect(await pixels(colour('RGB', [255, 1, 0, 2, 0, 3], { '(0028,0006)': 1 }), png)).toEqual([255, 0, 0, 1, 2, 3]);
});

test('a picture fits into its viewport and keeps its proportions; a part of it can be shown, flipped', async () => {
  const file = image({ ...ctElements(2, 4), '(0028,1050)': '-895.5', '(0028,1051)': '256' }, bytesOf([0, 10, 20, 30, 100, 110, 120, 130]));
  expect(await render(file, { ...png, viewport: { width: 2, height: 2 } })).toMatchObject({ columns: 2, rows: 1 });
  expect(await render(file, { ...png, viewport: { width: 40, height: 40 } })).toMatchObject({ columns: 40, rows: 20 });
  const part = { left: 2, top: 0, width: 2, height: 2, flipsHorizontally: true, flipsVertically: false };
  const whole = await pixels(file, png);
  expect(await pixels(file, { ...png, viewport: { width: 2, height: 2, source: part } })).toEqual([whole[3], whole[2], whole[7], whole[6]]);
  await expect(render(file, { ...png, viewport: { width: 2, height: 2, source: { ...part, left: 9 } } })).rejects.toMatchObject({ class: 'input' });
});

test('one frame of several is shown, and one that is not there has no rows', async () => {
  const file = image({ ...ctElements(1, 1), '(0028,0008)': '3', '(0028,1050)': '-1023', '(0028,1051)': '3' }, bytesOf([0, 1, 2]));
  expect([await pixels(file, png), await pixels(file, { ...png, frame: 2 }), await pixels(file, { ...png, frame: 3 })].flat()).toEqual([64, 191, 255]);
  expect(await render(file, { ...png, frame: 4 })).toMatchObject({ rows: 0, numberOfFrames: 3 });
});

test('JPEG gives what it was asked for, and less for less quality', async () => {
  const file = image(ctElements(64, 64), bytesOf(Array.from({ length: 4096 }, (_, index) => (index * 7919) % 4001)));
  const [good, poor] = [await render(file, { frame: 1, encoding: { type: 'image/jpeg', quality: 95 } }), await render(file, { frame: 1, encoding: { type: 'image/jpeg', quality: 10 } })];
  expect(Buffer.from(good.bytes.subarray(0, 3)).toString('hex')).toBe('ffd8ff');
  expect(poor.bytes.length).toBeLessThan(good.bytes.length / 2);
});

test('marks are drawn round their place and not on it, and a caption is added below', async () => {
  const file = image({ ...ctElements(200, 200), '(0028,1050)': '5000', '(0028,1051)': '10' }, Buffer.alloc(200 * 200 * 2));
  const picture = await render(file, { frame: 1, encoding: { type: 'raw', colour: true }, marks: [{ left: 80, top: 90, width: 40, height: 30, label: 'Nodule 87 %', isUrgent: false }], caption: ['AI result'] });
  expect(picture.columns).toBe(200);
  expect(picture.rows).toBeGreaterThan(210);
  const at = (x: number, y: number): number[] => Array.from(picture.bytes.subarray((y * 200 + x) * 3, (y * 200 + x) * 3 + 3));
  expect([at(79, 100), at(120, 100), at(100, 89), at(100, 120)]).toEqual(Array.from({ length: 4 }, () => [255, 214, 10]));
  expect([at(80, 90), at(119, 119), at(100, 105)]).toEqual(Array.from({ length: 3 }, () => [0, 0, 0]));
  const caption = Array.from({ length: 30 * 200 }, (_, index) => picture.bytes[(200 * 200 + index) * 3] ?? 0);
  expect(Math.max(...caption)).toBeGreaterThan(200);
});

const browserPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));
test.skipIf(browserPath === undefined)('a browser shows JPEG and PNG in the colours that the image has', async () => {
  const file = image({ ...ctElements(16, 32), '(0028,0002)': 3, '(0028,0004)': 'RGB', '(0028,0006)': 0, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0 },
    Buffer.from(Array.from({ length: 16 * 32 }, (_, pixel) => (pixel % 32 < 16 ? [200, 40, 30] : [20, 60, 220])).flat()));
  const browser = await chromium.launch({ executablePath: browserPath!, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    for (const encoding of [{ type: 'image/jpeg', quality: 95 }, { type: 'image/png' }] as const) {
      const { bytes } = await render(file, { frame: 1, encoding });
      const shown = await page.evaluate(`(async () => {
        const picture = new Image();
        picture.src = 'data:${encoding.type};base64,${Buffer.from(bytes).toString('base64')}';
        await picture.decode();
        const canvas = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
        canvas.drawImage(picture, 0, 0);
        return [picture.width, picture.height, ...canvas.getImageData(4, 8, 1, 1).data.slice(0, 3), ...canvas.getImageData(28, 8, 1, 1).data.slice(0, 3)];
      })()`) as number[];
      expect(shown.slice(0, 2)).toEqual([32, 16]);
      for (const [index, value] of [200, 40, 30, 20, 60, 220].entries()) expect(Math.abs(shown[index + 2]! - value), `${encoding.type} ${index}`).toBeLessThan(encoding.type === 'image/png' ? 1 : 8);
    }
  } finally {
    await browser.close();
  }
});
