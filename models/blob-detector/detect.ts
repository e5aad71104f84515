/** The reference model over a phantom without DICOM between them: the way the evaluation and the tuning look at it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { analyzeVolume, usableStack } from '../../src/ai/analyze-volume.ts';
import type { AiFinding } from '../../src/ai/analysis.ts';
import { aiModelConfigSchema, type AiModel, type PeaksOutput, type VolumeInput } from '../../src/ai/model.ts';
import type { OnnxProcess } from '../../src/ai/onnx/onnx-process.ts';
import type { Phantom } from '../../src/ai/phantom.ts';
import type { LocatedFrame } from '../../src/ai/volume/stack.ts';

/** seeds/reference-model.yaml as the runtime takes it. */
export function referenceModel(): AiModel & { readonly checksum: string } {
  const row = parse(readFileSync(new URL('../../seeds/reference-model.yaml', import.meta.url), 'utf8')) as Record<string, string> & { config: unknown };
  return { modelId: 'reference', name: row['model_name']!, version: row['model_version']!, runtime: row['runtime']!, checksum: row['checksum']!, config: aiModelConfigSchema.parse(row.config) };
}

export async function detect(phantom: Phantom, model: AiModel & { readonly checksum: string }, onnx: OnnxProcess): Promise<AiFinding[]> {
  const input = model.config.input as VolumeInput;
  const { stack } = usableStack(phantomFrames(phantom), input);
  const signal = new AbortController().signal;
  const place = { file: fileURLToPath(new URL('./model.onnx', import.meta.url)), checksum: model.checksum };
  const ask = (inputs: Parameters<OnnxProcess['infer']>[1]['inputs'], outputs: readonly string[]) => onnx.infer(place, { inputs, outputs, signal, timeoutMilliseconds: 120_000 });
  return analyzeVolume(stack!, input, model.config.output as PeaksOutput, model.config, ask, signal);
}

export function phantomFrames(phantom: Phantom): LocatedFrame[] {
  const [x1, y1, z1, x2, y2, z2] = phantom.imageOrientation;
  return phantom.slices.map((samples, index) => ({
    rows: phantom.rows, columns: phantom.columns,
    instance: { path: '', datasetOffset: 0, sopInstanceUid: `2.25.${index + 1}`, sopClassUid: '1.2.840.10008.5.1.4.1.1.2', seriesInstanceUid: '2.25.9', transferSyntaxUid: '1.2.840.10008.1.2.1' },
    frame: { frameNumber: 1, samples, spacing: [phantom.pixelSpacingMillimetres, phantom.pixelSpacingMillimetres], position: phantom.imagePositions[index]!, orientation: [[x1, y1, z1], [x2, y2, z2]], frameOfReferenceUid: '2.25.8' },
  }));
}
