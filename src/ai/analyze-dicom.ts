/**
 * A model that takes DICOM files and answers with findings: for systems of others that read images themselves.
 *
 *   images, series by series -> de-identified -> remembered and on record -> one call (BYTES) -> findings as JSON -> our UIDs again
 */
import { readFile, stat } from 'node:fs/promises';
import { AiError, throwIfAborted } from './ai-error.ts';
import type { AiFinding, AiInstance, AnalyzeInput } from './analysis.ts';
import { readFindings } from './findings/remote-findings.ts';
import { inferBytes } from './kserve/bytes.ts';
import type { DeIdentification, DicomInput } from './model.ts';
import { countReason, tell } from './release-pixels.ts';

export interface DicomAnalysis { readonly findings: readonly AiFinding[]; readonly framesSent: number; readonly milliseconds: number }

const strict: DeIdentification = { dates: 'removed', keepsPatientCharacteristics: false, keepsDeviceIdentity: false, allowsUnknownBurnedIn: false };

export async function analyzeDicom(series: readonly (readonly AiInstance[])[], { model, outbound, signal }: AnalyzeInput, warnings: string[]): Promise<DicomAnalysis> {
  const { config } = model, { endpoint, input, output } = config;
  if (model.runtime !== 'kserve' || endpoint === undefined || input.kind !== 'dicom' || output.kind !== 'findings') throw new AiError('model', `Model ${model.name} ${model.version}: input dicom needs runtime kserve, config.endpoint and output findings.`);
  const options = endpoint.deidentify ?? strict;
  if (outbound === undefined) throw new AiError('model', 'Images cannot leave here.');
  const prepare = async (instance: AiInstance): Promise<Prepared> => (options === false ? { file: await readFile(instance.path), warnings: [] } : outbound.deIdentified(instance, options));
  const instances = series.flat();
  const { files, sent } = await prepared(instances.slice(0, input.maximumImages), input, prepare, warnings, signal);
  if (instances.length > input.maximumImages) warnings.push(`Of ${instances.length} images the first ${input.maximumImages} were sent.`);
  if (files.length === 0) throw new AiError('input', `No image of the study may leave. ${warnings.join(' ')}`);
  await outbound.commit({ options, sent: files.length, refused: instances.length - files.length });
  const started = performance.now();
  const [answer] = await inferBytes(endpoint, { name: input.tensor, elements: files }, output.tensor, { timeoutMilliseconds: config.limits.callMilliseconds, signal });
  const originalUid = (uid: string): string | undefined => (options === false ? uid : outbound.originalUid(uid));
  return { findings: readFindings(answer, (uid) => sent.get(originalUid(uid) ?? '')), framesSent: [...sent.values()].reduce((sum, { numberOfFrames = 1 }) => sum + numberOfFrames, 0), milliseconds: Math.round(performance.now() - started) };
}

interface Prepared { readonly file: Buffer; readonly warnings: readonly string[] }

async function prepared(instances: readonly AiInstance[], { maximumByteLength }: DicomInput, prepare: (instance: AiInstance) => Promise<Prepared>, warnings: string[], signal: AbortSignal): Promise<{ files: Buffer[]; sent: Map<string, AiInstance> }> {
  const files: Buffer[] = [], sent = new Map<string, AiInstance>(), reasons = new Map<string, number>(), told = new Set<string>();
  let byteLength = 0;
  for (const instance of instances) {
    throwIfAborted(signal);
    try {
      if (byteLength + await sizeOf(instance) > maximumByteLength) throw new AiError('input', `The images have more than the limit of ${maximumByteLength} bytes together.`);
      const { file, warnings: more } = await prepare(instance);
      byteLength += file.length;
      files.push(file);
      sent.set(instance.sopInstanceUid, instance);
      for (const one of more) told.add(one);
    } catch (error) {
      countReason(error, reasons);
    }
  }
  warnings.push(...told);
  tell(reasons, warnings);
  return { files, sent };
}

/** Before it is read: an object may be larger than all memory. */
async function sizeOf({ path }: AiInstance): Promise<number> {
  return (await stat(path).catch((error: NodeJS.ErrnoException) => { throw new AiError('unavailable', `A stored file cannot be read (${error.code ?? 'error'}).`); })).size;
}
