/**
 * Runs one model over one study.
 *
 *   instances -> select (modality) -> series -> decode (worker threads) -> stack -> grid -> model (own process | HTTP) -> findings
 *                                                                    \-> image ----------^ (classifiers)
 *
 * A series that cannot be read is left out with a warning; when none can be used the analysis fails as 'input' with the reasons.
 */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AiError, throwIfAborted } from './ai-error.ts';
import { analyzeImages } from './analyze-images.ts';
import { analyzeVolume, usableStack, type Ask } from './analyze-volume.ts';
import type { AiFinding, AiInstance, AiLog, AiRuntime, AnalyzeInput, AnalyzeResult } from './analysis.ts';
import { DecoderPool } from './decode/decoder-pool.ts';
import { analyzeDicom } from './analyze-dicom.ts';
import { inferRemotely } from './kserve/open-inference.ts';
import { releasePixels } from './release-pixels.ts';
import type { AiModel, AiModelConfig } from './model.ts';
import { OnnxProcess } from './onnx/onnx-process.ts';
import { readSeries, type ReadCount } from './read-series.ts';
import { selectSeries } from './select.ts';
import type { Infer } from './tensor.ts';
import type { LocatedFrame } from './volume/stack.ts';

export interface AiRuntimeOptions {
  readonly log: AiLog;
  /** Decoding threads; 1 by default. */
  readonly workerCount?: number;
  /** Threads of one ONNX call; half the processors by default. */
  readonly inferenceThreads?: number;
  /** Where model files are looked up; the repository's models folder by default. */
  readonly modelDirectory?: string;
}

export function createAiRuntime(options: AiRuntimeOptions): AiRuntime & { readonly onnxPid: number | undefined } {
  const pool = new DecoderPool(options.workerCount ?? 1);
  const onnx = new OnnxProcess(options.log, options.inferenceThreads ?? Math.max(1, Math.floor(availableParallelism() / 2)));
  const directory = options.modelDirectory ?? fileURLToPath(new URL('../../models/', import.meta.url));
  return {
    analyze: (input) => analyze(input, pool, inferenceOf(input.model, onnx, directory)),
    close: async () => void (await Promise.all([pool.close(), onnx.close()])),
    /** Of the ONNX process while it runs; for operations and tests. */
    get onnxPid() { return onnx.pid; },
  };
}

function inferenceOf(model: AiModel, onnx: OnnxProcess, directory: string): Infer {
  const { endpoint, file } = model.config;
  if (model.runtime === 'kserve' && endpoint !== undefined) return (call) => inferRemotely(endpoint, call);
  if (model.runtime === 'onnx' && file !== undefined && model.checksum !== undefined) {
    const place = { file: resolve(directory, file), checksum: model.checksum.toLowerCase() };
    return (call) => onnx.infer(place, call);
  }
  const needs = model.runtime === 'onnx' ? 'needs config.file and a checksum' : model.runtime === 'kserve' ? 'needs config.endpoint' : 'is not one that runs here (onnx, kserve)';
  return () => Promise.reject(new AiError('model', `Model ${model.name} ${model.version}: runtime ${model.runtime} ${needs}.`));
}

async function analyze(analysis: AnalyzeInput, pool: DecoderPool, infer: Infer): Promise<AnalyzeResult> {
  const { model, instances, signal } = analysis;
  throwIfAborted(signal);
  const { config } = model;
  const count = { decodeMilliseconds: 0, framesRead: 0, modelMilliseconds: 0 };
  const ask: Ask = async (inputs, outputs) => {
    const started = performance.now();
    try {
      return await infer({ inputs, outputs, timeoutMilliseconds: config.limits.callMilliseconds, signal });
    } finally {
      count.modelMilliseconds += performance.now() - started;
    }
  };
  const warnings: string[] = [];
  const selected = selectSeries(instances, config.input.modalities);
  if (config.input.kind === 'dicom') {
    const { findings, framesSent, milliseconds } = await analyzeDicom(selected, analysis, warnings);
    return { findings: mostSevereFirst(findings), confidenceScore: confidenceScore(findings), framesRead: framesSent, modelMilliseconds: milliseconds, decodeMilliseconds: 0, warnings };
  }
  const series = await releasePixels(selected, analysis, warnings);
  const findings = await findingsOf(series, config, (each) => readOrWarn(each, pool, config, signal, count, warnings), ask, signal, warnings);
  return { ...count, modelMilliseconds: Math.round(count.modelMilliseconds), decodeMilliseconds: Math.round(count.decodeMilliseconds), findings: mostSevereFirst(findings), confidenceScore: confidenceScore(findings), warnings };
}

type Read = (series: readonly AiInstance[]) => Promise<LocatedFrame[]>;

async function findingsOf(series: readonly (readonly AiInstance[])[], config: AiModelConfig, read: Read, ask: Ask, signal: AbortSignal, warnings: string[]): Promise<AiFinding[]> {
  const { input, output } = config;
  if (input.kind === 'volume' && output.kind === 'peaks') {
    const chosen = series.slice(0, input.maximumSeries);
    if (chosen.length < series.length) warnings.push(`${series.length - chosen.length} further series were not analysed (limit ${input.maximumSeries}).`);
    const results: AiFinding[][] = [];
    for (const each of chosen) {
      const frames = await read(each);
      if (frames.length === 0) continue;
      const { stack, warnings: reasons } = usableStack(frames, input);
      warnings.push(...reasons);
      if (stack !== undefined) results.push(await analyzeVolume(stack, input, output, config, ask, signal));
    }
    if (results.length === 0) throw new AiError('input', `No series of the study can be analysed. ${warnings.join(' ')}`);
    return results.flat();
  }
  if (input.kind === 'image' && output.kind === 'classes') {
    const frames: LocatedFrame[] = [];
    for (const each of series) if (frames.length < input.maximumImages) frames.push(...await read(each));
    if (frames.length === 0) throw new AiError('input', `No image of the study can be read. ${warnings.join(' ')}`);
    if (frames.length > input.maximumImages) warnings.push(`Of ${frames.length} images the first ${input.maximumImages} were analysed.`);
    return analyzeImages(frames.slice(0, input.maximumImages), input, output, ask, signal);
  }
  throw new AiError('model', `The model's settings combine input ${input.kind} with output ${output.kind}; volume goes with peaks, image with classes.`);
}

/** What is wrong with one series must not hide what another shows; other classes of error end the analysis. */
async function readOrWarn(series: readonly AiInstance[], pool: DecoderPool, config: AiModelConfig, signal: AbortSignal, count: ReadCount, warnings: string[]): Promise<LocatedFrame[]> {
  try {
    return await readSeries(series, pool, config.limits, signal, count);
  } catch (error) {
    if (!(error instanceof AiError) || error.class !== 'input') throw error;
    warnings.push(`A series of ${series.length} instances was left out. ${error.message}`);
    return [];
  }
}

const RANK = { critical: 0, high: 1, medium: 2, low: 3 };
function mostSevereFirst(findings: readonly AiFinding[]): AiFinding[] {
  return findings.toSorted((a, b) => RANK[a.severity] - RANK[b.severity] || b.confidencePercentage - a.confidencePercentage);
}

function confidenceScore(findings: readonly AiFinding[]): number | null {
  return findings.length === 0 ? null : Math.max(...findings.map((each) => each.confidencePercentage)) / 100;
}
