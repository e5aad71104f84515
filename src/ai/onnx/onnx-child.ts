/**
 * Process entry: holds ONNX Runtime and answers one call at a time over the fork's channel. A process of its own because the library is native code
 * fed with foreign models (a crash must not take the gateway along) and because ORT_DISABLE_TELEMETRY must be in the environment before it loads.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type * as Ort from 'onnxruntime-node';
import type { Tensor } from '../tensor.ts';
import type { OnnxAnswer, OnnxRequest } from './onnx-process.ts';

if (process.env['ORT_DISABLE_TELEMETRY'] !== '1') throw new Error('ORT_DISABLE_TELEMETRY=1 must be set before ONNX Runtime is loaded');

let library: Promise<typeof Ort> | undefined;
let loaded: { checksum: string; session: Ort.InferenceSession } | undefined;

class CallError extends Error {
  readonly errorClass: 'model' | 'unavailable';
  constructor(errorClass: 'model' | 'unavailable', text: string) {
    super(text);
    this.errorClass = errorClass;
  }
}

async function answer(request: OnnxRequest): Promise<OnnxAnswer> {
  try {
    library ??= import('onnxruntime-node').then((module) => ('default' in module ? (module.default as typeof Ort) : module));
    const ort = await library.catch((error: unknown) => {
      throw new CallError('model', `The optional package onnxruntime-node cannot be loaded on this machine (${(error as NodeJS.ErrnoException).code ?? 'error'}): install it, or use the runtime kserve.`);
    });
    const session = await open(ort, request);
    return { id: request.id, ok: true, outputs: await run(ort, session, request) };
  } catch (error) {
    return { id: request.id, ok: false, errorClass: error instanceof CallError ? error.errorClass : 'model', text: (error as Error).message.slice(0, 500) };
  }
}

async function open(ort: typeof Ort, request: OnnxRequest): Promise<Ort.InferenceSession> {
  if (loaded?.checksum === request.checksum) return loaded.session;
  const file = await readFile(request.file).catch((error: NodeJS.ErrnoException) => {
    throw new CallError('model', `The model file cannot be read (${error.code}).`);
  });
  const checksum = createHash('sha256').update(file).digest('hex');
  if (checksum !== request.checksum) throw new CallError('model', `The model file has SHA-256 ${checksum}, registered is ${request.checksum}: the file was changed or is not the registered one.`);
  await loaded?.session.release();
  loaded = undefined;
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: request.threads, interOpNumThreads: 1, logSeverityLevel: 4 });
  loaded = { checksum, session };
  return session;
}

async function run(ort: typeof Ort, session: Ort.InferenceSession, request: OnnxRequest): Promise<Tensor[]> {
  const missing = [...request.inputs.map((each) => each.name).filter((name) => !session.inputNames.includes(name)), ...request.outputs.filter((name) => !session.outputNames.includes(name))];
  if (missing.length > 0) throw new CallError('model', `The model has no tensor ${missing.join(', ')}; it has inputs ${session.inputNames.join(', ')} and outputs ${session.outputNames.join(', ')}.`);
  const feeds = Object.fromEntries(request.inputs.map((each) => [each.name, new ort.Tensor(each.datatype === 'FP32' ? 'float32' : 'int64', each.data as never, each.shape)]));
  const results = await session.run(feeds, [...request.outputs]);
  return request.outputs.map((name) => toTensor(name, results[name]!));
}

function toTensor(name: string, value: Ort.Tensor): Tensor {
  if (value.type === 'float32') return { name, datatype: 'FP32', shape: value.dims, data: value.data as Float32Array<ArrayBuffer> };
  if (value.type === 'int64') return { name, datatype: 'INT64', shape: value.dims, data: value.data as BigInt64Array<ArrayBuffer> };
  throw new CallError('model', `Output ${name} is ${value.type}; float32 and int64 are read.`);
}

let queue = Promise.resolve();
process.on('message', (request: OnnxRequest) => {
  queue = queue.then(async () => {
    const result = await answer(request);
    process.send?.(result);
  });
});
process.on('disconnect', () => process.exit(0));
