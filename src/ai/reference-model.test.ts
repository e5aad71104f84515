import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { detect, referenceModel } from '../../models/blob-detector/detect.ts';
import { buildBlobDetector } from '../../models/blob-detector/graph.ts';
import { OnnxProcess } from './onnx/onnx-process.ts';
import { demoPhantom, generatePhantom, lungDepth } from './phantom.ts';

const onnx = new OnnxProcess({ debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }, 1);
afterAll(() => onnx.close());

test('model.onnx is what build.ts writes and what the seed registers', () => {
  const file = readFileSync(new URL('../../models/blob-detector/model.onnx', import.meta.url));
  expect(Buffer.compare(file, buildBlobDetector())).toBe(0);
  expect(referenceModel().checksum).toBe(createHash('sha256').update(file).digest('hex'));
  expect(file.includes('NOT FOR CLINICAL USE')).toBe(true);
});

test('the same request gives the same phantom, another seed another', () => {
  const request = { seed: 4, slices: 3, rows: 64, columns: 64, lesions: [{ diameterMillimetres: 5 }] };
  const digest = (seed: number): string => generatePhantom({ ...request, seed }).slices.reduce((hash, slice) => hash.update(slice), createHash('sha256')).digest('hex');
  expect(digest(4)).toBe(digest(4));
  expect(digest(5)).not.toBe(digest(4));
});

test('lesions lie inside the lungs, and no room for one is said', () => {
  for (const lesion of demoPhantom().lesions) expect(lungDepth(lesion.centre)).toBeGreaterThan(lesion.diameterMillimetres / 2);
  expect(() => generatePhantom({ seed: 1, slices: 2, rows: 32, columns: 32, lesions: [{ diameterMillimetres: 200 }] })).toThrow(/no room for a lesion of 200 mm/);
});

test('a lesion in thick slices, in thin ones and in another pixel spacing is the same lesion', async () => {
  for (const [slices, sliceSpacingMillimetres, size] of [[14, 5, 200], [56, 1.25, 256], [28, 2.5, 384]] as const) {
    const phantom = generatePhantom({ seed: 8, slices, rows: size, columns: size, sliceSpacingMillimetres, lesions: [{ diameterMillimetres: 14, centre: [70, 20, 34] }] });
    const [found] = await detect(phantom, referenceModel(), onnx);
    expect(found!.measurements[0]!.value).toBeGreaterThan(12.8);
    expect(found!.measurements[0]!.value).toBeLessThan(15.2);
    expect(Math.hypot(found!.location!.centre3d![0] - 70, found!.location!.centre3d![1] - 20, found!.location!.centre3d![2] - 34)).toBeLessThan(1.2);
  }
});

test('noise, ribs, spine and chest wall alone are no finding', async () => {
  const phantom = generatePhantom({ seed: 8, slices: 20, rows: 256, columns: 256, lesions: [], vesselTreesPerLung: 0, noiseHounsfield: 60 });
  expect(await detect(phantom, referenceModel(), onnx)).toEqual([]);
});
