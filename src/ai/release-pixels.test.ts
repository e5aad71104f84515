import { expect, test } from 'vitest';
import { AiError } from './ai-error.ts';
import type { AiInstance, AnalyzeInput, OutboundImages } from './analysis.ts';
import { releasePixels } from './release-pixels.ts';

const instance = (sopInstanceUid: string): AiInstance => ({ path: '/x', datasetOffset: 0, sopInstanceUid, sopClassUid: '1.2', seriesInstanceUid: '1', transferSyntaxUid: '1.2' });
const series = [[instance('1.1'), instance('1.2')], [instance('2.1')]];
const options = { dates: 'removed', keepsPatientCharacteristics: false, keepsDeviceIdentity: false, allowsUnknownBurnedIn: false };
const committed: unknown[] = [];
const outbound = (isRefused: (sop: string) => boolean): OutboundImages => ({
  deIdentified: () => Promise.reject(new Error('tensors have no header')), originalUid: () => undefined, commit: (facts) => { committed.push(facts); return Promise.resolve(); },
  checkPixels: ({ sopInstanceUid }) => (isRefused(sopInstanceUid) ? Promise.reject(new AiError('input', 'Somebody can be read.')) : Promise.resolve([])),
});
const release = (runtime: string, deidentify: unknown, port: OutboundImages, warnings: string[] = []) => releasePixels(series, { model: { runtime, config: { endpoint: { deidentify } } }, outbound: port } as unknown as AnalyzeInput, warnings);

test('pixels with somebody in them do not go to a server of others; what goes is on record', async () => {
  const warnings: string[] = [];
  expect(await release('kserve', options, outbound((sop) => sop !== '1.1'), warnings)).toEqual([[series[0]![0]]]);
  expect(warnings).toEqual(['2 images were not sent: Somebody can be read.']);
  expect(committed.at(-1)).toMatchObject({ sent: 1, refused: 2 });
});

test('nothing goes when nothing may', async () => {
  await expect(release('kserve', options, outbound(() => true))).rejects.toMatchObject({ class: 'input', message: expect.stringContaining('3 images were not sent') });
});

test('a model that runs here, and a server that is trusted, see everything', async () => {
  expect(await release('onnx', options, outbound(() => true))).toBe(series);
  expect(await release('kserve', false, outbound(() => true))).toBe(series);
  expect(await release('kserve', undefined, outbound(() => true))).toBe(series);
});
