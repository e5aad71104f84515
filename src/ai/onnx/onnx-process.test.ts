/** A real ONNX Runtime in a real child process; the model is built here and its calls are checked by value. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { FLOAT, OnnxGraph } from '../../../models/onnx-protobuf.ts';
import type { InferenceCall } from '../tensor.ts';
import { OnnxProcess, type OnnxModelFile } from './onnx-process.ts';

const directory = mkdtempSync(join(tmpdir(), 'medscan-onnx-'));
process.env['HOME'] = directory;
process.env['TMPDIR'] = directory;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const onnx = new OnnxProcess(silent, 1);
afterAll(async () => {
  await onnx.close();
  rmSync(directory, { recursive: true });
});

/** y = x * 2; with `heavy`, after convolutions that take seconds on a large input. */
function writeModel(name: string, heavy = false): OnnxModelFile {
  const graph = new OnnxGraph();
  let value = 'x';
  for (let index = 0; heavy && index < 60; index += 1) value = graph.apply('Conv', [value, graph.float(new Array<number>(441).fill(0.001 * index), [1, 1, 21, 21])], { kernel_shape: [21, 21], pads: [10, 10, 10, 10] });
  graph.node('Mul', [value, graph.float([2], [1])], {}, ['y']);
  const shape = [{ value: 1 }, { value: 1 }, { name: 'rows' }, { name: 'columns' }];
  const bytes = graph.model({ name, producer: 'test', version: '1', text: '', metadata: {} }, [{ name: 'x', elementType: FLOAT, shape }], [{ name: 'y', elementType: FLOAT, shape }]);
  const file = join(directory, `${name}.onnx`);
  writeFileSync(file, bytes);
  return { file, checksum: createHash('sha256').update(bytes).digest('hex') };
}

const double = writeModel('double');
const heavy = writeModel('heavy', true);
function call(size = 2, more: Partial<InferenceCall> = {}): InferenceCall {
  return { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1, size, size], data: new Float32Array(size * size).fill(21) }], outputs: ['y'], timeoutMilliseconds: 20_000, signal: new AbortController().signal, ...more };
}

test('a model answers, and two calls at a time both do', async () => {
  const answers = await Promise.all([onnx.infer(double, call()), onnx.infer(double, call(3))]);
  expect(answers.map((answer) => Array.from(answer.get('y')!.data as Float32Array))).toEqual([[42, 42, 42, 42], new Array(9).fill(42)]);
});

test('after its process was killed the next call starts another', async () => {
  await onnx.infer(double, call());
  const before = onnx.pid!;
  process.kill(before, 'SIGKILL');
  await vi.waitUntil(() => onnx.pid !== before);
  expect((await onnx.infer(double, call())).get('y')!.data[0]).toBe(42);
  expect(onnx.pid).not.toBe(before);
});

test('a call that was running when the process died may be tried again', async () => {
  await onnx.infer(double, call());
  const running = onnx.infer(heavy, call(1500));
  process.kill(onnx.pid!, 'SIGKILL');
  await expect(running).rejects.toMatchObject({ class: 'unavailable', retryable: true });
  expect((await onnx.infer(double, call())).get('y')!.data[0]).toBe(42);
});

test('a call over its time is ended together with its process, and the waiting one is answered', async () => {
  const slow = onnx.infer(heavy, call(3000, { timeoutMilliseconds: 300 }));
  const next = onnx.infer(double, call());
  await expect(slow).rejects.toMatchObject({ class: 'timeout' });
  expect((await next).get('y')!.data[0]).toBe(42);
});

test('an aborted call ends at once, running or waiting', async () => {
  const controller = new AbortController();
  const running = onnx.infer(heavy, call(3000, { signal: controller.signal }));
  const waiting = onnx.infer(double, call(2, { signal: controller.signal }));
  controller.abort();
  await expect(running).rejects.toMatchObject({ class: 'aborted' });
  await expect(waiting).rejects.toMatchObject({ class: 'aborted' });
});

test('a changed model file is refused', async () => {
  const changed = writeModel('changed');
  writeFileSync(changed.file, Buffer.concat([readFileSync(changed.file), Buffer.from([0])]));
  await expect(onnx.infer(changed, call())).rejects.toMatchObject({ class: 'model', message: expect.stringContaining('not the registered one') });
});

test('a missing file, a broken file and an unknown tensor are faults of the model', async () => {
  await expect(onnx.infer({ file: join(directory, 'gone.onnx'), checksum: 'ff' }, call())).rejects.toMatchObject({ class: 'model', message: expect.stringContaining('ENOENT') });
  const garbage = Buffer.from('not an onnx file');
  writeFileSync(join(directory, 'garbage.onnx'), garbage);
  await expect(onnx.infer({ file: join(directory, 'garbage.onnx'), checksum: createHash('sha256').update(garbage).digest('hex') }, call())).rejects.toMatchObject({ class: 'model' });
  await expect(onnx.infer(double, call(2, { outputs: ['z'] }))).rejects.toMatchObject({ class: 'model', message: expect.stringContaining('has no tensor z') });
});

test('ONNX Runtime leaves no telemetry files behind', async () => {
  await onnx.infer(double, call());
  await onnx.close();
  expect(readdirSync(directory).filter((name) => !name.endsWith('.onnx'))).toEqual([]);
});
