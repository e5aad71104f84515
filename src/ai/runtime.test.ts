/** From Part 10 files to findings with the reference model in its own process. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { referenceModel } from '../../models/blob-detector/detect.ts';
import { FLOAT, OnnxGraph } from '../../models/onnx-protobuf.ts';
import type { AiInstance, AnalyzeInput } from './analysis.ts';
import { aiModelConfigSchema, type AiModel } from './model.ts';
import { demoPhantom, type Phantom } from './phantom.ts';
import { createAiRuntime } from './runtime.ts';
import { bytesOf, ctElements, writeImage, writePhantom } from './testing/image-files.ts';

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const directory = mkdtempSync(join(tmpdir(), 'medscan-ai-'));
const runtime = createAiRuntime({ log: silent, workerCount: 2 });
const model = referenceModel();
let phantom: Phantom;
let instances: AiInstance[];
beforeAll(() => {
  phantom = demoPhantom();
  instances = writePhantom(phantom, directory);
});
afterAll(async () => {
  await runtime.close();
  rmSync(directory, { recursive: true });
});
const input = (more: Partial<AnalyzeInput> = {}): AnalyzeInput => ({ model, studyInstanceUid: '2.25.1', instances, signal: new AbortController().signal, ...more });

test('the demo phantom\'s three lesions are found, measured and placed, the critical one first', async () => {
  const result = await runtime.analyze(input());
  expect(result.findings.map((finding) => finding.severity)).toEqual(['critical', 'high', 'medium']);
  for (const [index, lesion] of phantom.lesions.entries()) {
    const { location, measurements, laterality, type, confidencePercentage } = result.findings[index]!;
    expect(Math.hypot(...location!.centre3d!.map((value, axis) => value - lesion.centre[axis]!))).toBeLessThan(1.5);
    expect(Math.abs(measurements[0]!.value - lesion.diameterMillimetres)).toBeLessThan(1);
    expect(laterality).toBe(lesion.centre[0] > 0 ? 'left' : 'right');
    expect(type).toEqual({ system: 'http://snomed.info/sct', code: '27925004', display: 'Nodule' });
    expect(confidencePercentage).toBeGreaterThan(50);
    // The box lies on the slice nearest the centre and holds the centre's pixel.
    const slice = Math.round(lesion.centre[2] / phantom.sliceSpacingMillimetres);
    expect(location!.sopInstanceUid).toBe(`2.25.500.${slice + 1}`);
    const column = (lesion.centre[0] - phantom.imagePositions[0]![0]) / phantom.pixelSpacingMillimetres;
    const row = (lesion.centre[1] - phantom.imagePositions[0]![1]) / phantom.pixelSpacingMillimetres;
    const { left, top, width, height } = location!.boundingBox;
    expect([column >= left, column < left + width, row >= top, row < top + height, width * phantom.pixelSpacingMillimetres < lesion.diameterMillimetres * 1.6 + 3]).toEqual([true, true, true, true, true]);
  }
  expect(result).toMatchObject({ framesRead: 24, warnings: [], confidenceScore: expect.closeTo(0.98, 1) });
  expect(result.modelMilliseconds).toBeGreaterThan(0);
});

test('two analyses side by side give the same as one', async () => {
  const [one, other] = await Promise.all([runtime.analyze(input()), runtime.analyze(input({ instances: instances.toReversed() }))]);
  expect(one.findings).toHaveLength(3);
  expect(other.findings).toEqual(one.findings);
});

test('an unreadable slice fails the analysis with its name, and the next study is analysed', async () => {
  const path = join(directory, 'bad.dcm');
  const bad = { ...instances[3]!, ...writeImage(path, ctElements(256, 256), [Buffer.from('ff4fff51002900000000', 'hex')], '1.2.840.10008.1.2.4.90') };
  const failing = runtime.analyze(input({ instances: instances.with(3, bad) }));
  await expect(failing).rejects.toMatchObject({ class: 'input', message: expect.stringContaining(`Instance ${bad.sopInstanceUid}: `) });
  expect((await runtime.analyze(input())).findings).toHaveLength(3);
});

test('a second, unreadable series is left out with a warning', async () => {
  const stray: AiInstance = { ...instances[0]!, ...writeImage(join(directory, 'stray.dcm'), ctElements(4, 4), Buffer.alloc(3)), sopInstanceUid: '2.25.900', seriesInstanceUid: '2.25.901' };
  const result = await runtime.analyze(input({ instances: [stray, ...instances] }));
  expect(result.findings).toHaveLength(3);
  expect(result.warnings).toEqual([expect.stringMatching(/^A series of 1 instances was left out\. Instance 2\.25\.900: Pixel Data has 3 bytes/)]);
});

test('a study without images of the modality, or with too few slices, is an input error with words', async () => {
  await expect(runtime.analyze(input({ instances: instances.map((each) => ({ ...each, modality: 'MR' })) }))).rejects.toMatchObject({ class: 'input', message: expect.stringContaining('no image of modality CT') });
  await expect(runtime.analyze(input({ instances: instances.slice(0, 3) }))).rejects.toMatchObject({ class: 'input', message: expect.stringContaining('3 slices of one geometry, needed are 5') });
});

test('a missing slice is told', async () => {
  const gap = instances.filter((each) => each.sopInstanceUid !== '2.25.500.20');
  expect((await runtime.analyze(input({ instances: gap }))).warnings).toEqual(['1 gaps between slices that are 2.50 mm apart otherwise: images may be missing.']);
});

test('after the model\'s process was killed the next analysis works', async () => {
  await runtime.analyze(input());
  const before = runtime.onnxPid!;
  process.kill(before, 'SIGKILL');
  await vi.waitUntil(() => runtime.onnxPid !== before);
  expect((await runtime.analyze(input())).findings).toHaveLength(3);
});

test('an aborted analysis ends as aborted', async () => {
  const controller = new AbortController();
  const running = runtime.analyze(input({ signal: controller.signal }));
  setImmediate(() => controller.abort());
  await expect(running).rejects.toMatchObject({ class: 'aborted' });
  await expect(runtime.analyze(input({ signal: controller.signal }))).rejects.toMatchObject({ class: 'aborted' });
});

test.each<[string, Partial<AiModel>, RegExp]>([
  ['an unknown runtime', { runtime: 'command' }, /is not one that runs here/],
  ['kserve without an endpoint', { runtime: 'kserve' }, /needs config.endpoint/],
  ['another checksum', { checksum: '0'.repeat(64) }, /not the registered one/],
])('%s is a fault of the model', async (_, more, text) => {
  await expect(runtime.analyze(input({ model: { ...model, ...more } }))).rejects.toMatchObject({ class: 'model', message: expect.stringMatching(text) });
});

test('a classifier looks at each image and names the one with the highest score', async () => {
  const graph = new OnnxGraph();
  const mean = graph.apply('ReduceMean', ['image'], { axes: [1, 2, 3], keepdims: 0 });
  graph.node('Concat', [mean, graph.apply('Sub', [graph.float([1], [1]), mean])], { axis: 0 }, ['probabilities']);
  const bytes = graph.model({ name: 'brightness', producer: 'test', version: '1', text: '', metadata: {} }, [{ name: 'image', elementType: FLOAT, shape: [{ value: 1 }, { value: 1 }, { value: 8 }, { value: 8 }] }], [{ name: 'probabilities', elementType: FLOAT, shape: [{ value: 2 }] }]);
  const file = join(directory, 'brightness.onnx');
  writeFileSync(file, bytes);
  const finding = { system: 'urn:test', code: 'bright', display: 'Bright image' };
  const classifier: AiModel = {
    modelId: 'm', name: 'brightness', version: '1', runtime: 'onnx', checksum: createHash('sha256').update(readFileSync(file)).digest('hex'),
    config: aiModelConfigSchema.parse({ file, input: { kind: 'image', tensor: 'image', modalities: ['DX'], range: { low: 0, high: 100 }, scale: 0.01, rows: 8, columns: 8 }, output: { kind: 'classes', tensor: 'probabilities', classes: [{ index: 0, finding, threshold: 0.5, severity: 'high' }] } }),
  };
  const image = (name: string, value: number): AiInstance => ({ ...writeImage(join(directory, name), ctElements(20, 30, { '(0028,1052)': '0' }), bytesOf(new Array<number>(600).fill(value))), sopInstanceUid: `2.25.${value}`, sopClassUid: '1.2.840.10008.5.1.4.1.1.1.1', seriesInstanceUid: '2.25.3', modality: 'DX' });
  const result = await runtime.analyze(input({ model: classifier, instances: [image('dark.dcm', 20), image('bright.dcm', 80)] }));
  expect(result.findings).toEqual([expect.objectContaining({ type: finding, severity: 'high', confidencePercentage: 80, location: expect.objectContaining({ sopInstanceUid: '2.25.80', boundingBox: { left: 0, top: 0, width: 30, height: 20 } }) })]);
  expect((await runtime.analyze(input({ model: classifier, instances: [image('dark.dcm', 20)] }))).findings).toEqual([]);
});
