/** Pixels against what was written, and against DCMTK's codecs where they are installed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import codecs from 'dcmjs-codecs';
import { afterAll, expect, test } from 'vitest';
import { parsePart10Head } from '#standards/dicom/part10.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { bytesOf, ctElements, writeImage, type WrittenFile } from '../testing/image-files.ts';
import { decodeImage } from './decode-image.ts';
import type { DecodedImage } from './decoded-image.ts';

const directory = mkdtempSync(join(tmpdir(), 'medscan-decode-'));
afterAll(() => rmSync(directory, { recursive: true }));
const limits = { fileByteLength: 64 * 1024 * 1024, pixelCount: 64 * 1024 * 1024 };
const decode = (file: WrittenFile): Promise<DecodedImage> => decodeImage(readFileSync(file.path), file.datasetOffset, file.transferSyntaxUid, limits);
const write = (name: string, elements: DatasetElements, pixels: Buffer | readonly Buffer[], syntax?: string): WrittenFile => writeImage(join(directory, name), elements, pixels, syntax);

const [rows, columns] = [24, 32];
const hounsfield = Array.from({ length: rows * columns }, (_, index) => ((index * 37) % 2000) - 900 + (index % 3));
const stored = bytesOf(hounsfield.map((value) => value + 1024));
const described = ctElements(rows, columns, { '(0020,0032)': ['-10.5', '20', '33.25'], '(0020,0037)': ['1', '0', '0', '0', '1', '0'], '(0028,0030)': ['0.8', '0.7'] });

test('a CT slice comes out in Hounsfield units with its place in the patient', async () => {
  const { frames } = await decode(write('plain.dcm', described, stored));
  expect(Array.from(frames[0]!.samples)).toEqual(hounsfield);
  expect(frames[0]).toMatchObject({ frameNumber: 1, spacing: [0.8, 0.7], position: [-10.5, 20, 33.25], orientation: [[1, 0, 0], [0, 1, 0]], frameOfReferenceUid: '2.25.77' });
  expect(frames[0]!.samples).toBeInstanceOf(Int16Array);
});

const skipped = (tool: string): void => void process.stderr.write(`skipped: ${tool} (DCMTK) is not installed\n`);

test.each([
  ['dcmconv', ['+ti'], '1.2.840.10008.1.2'], ['dcmconv', ['+tb'], '1.2.840.10008.1.2.2'], ['dcmconv', ['+td'], '1.2.840.10008.1.2.1.99'],
  ['dcmcrle', [], '1.2.840.10008.1.2.5'], ['dcmcjpls', [], '1.2.840.10008.1.2.4.80'], ['dcmcjpeg', ['+e1'], '1.2.840.10008.1.2.4.70'], ['dcmcjpeg', ['+el', '+sv', '6'], '1.2.840.10008.1.2.4.57'],
])('what %s %j writes is read back exactly', async (tool, options, transferSyntaxUid) => {
  if (spawnSync(tool, ['--version']).error !== undefined) return skipped(tool);
  const source = write('source.dcm', described, stored);
  const path = join(directory, 'converted.dcm');
  execFileSync(tool, [...options, source.path, path], { stdio: 'ignore' });
  const head = parsePart10Head(readFileSync(path));
  expect(head.transferSyntaxUid).toBe(transferSyntaxUid);
  const { frames } = await decode({ path, datasetOffset: head.datasetOffset, transferSyntaxUid });
  expect(Array.from(frames[0]!.samples)).toEqual(hounsfield);
});

test.each([['1.2.840.10008.1.2.4.90', 'encodeJpeg2000'], ['1.2.840.10008.1.2.4.201', 'encodeHtJpeg2000']] as const)('lossless wavelet frames of %s are read back exactly', async (syntax, encode) => {
  await codecs.NativeCodecs.initializeAsync();
  const context = new codecs.Context({ width: columns, height: rows, bitsAllocated: 16, bitsStored: 16, samplesPerPixel: 1, pixelRepresentation: 1, planarConfiguration: 0, photometricInterpretation: 'MONOCHROME2', decodedBuffer: new Uint8Array(stored) });
  const frame = Buffer.from(codecs.NativeCodecs[encode](context, { lossy: false }).getEncodedBuffer()!);
  const { frames } = await decode(write('wavelet.dcm', described, [frame], syntax));
  expect(Array.from(frames[0]!.samples)).toEqual(hounsfield);
});

test('bits outside the stored ones are dropped and the sign is extended', async () => {
  const file = write('twelve.dcm', ctElements(1, 4, { '(0028,0101)': 12, '(0028,0102)': 11, '(0028,1052)': '0' }), Buffer.from(Uint16Array.of(0xf001, 0x0fff, 0x17ff, 0x0800).buffer));
  expect(Array.from((await decode(file)).frames[0]!.samples)).toEqual([1, -1, 2047, -2048]);
});

test('MONOCHROME1 is turned so that more is brighter', async () => {
  const file = write('inverse.dcm', ctElements(1, 3, { '(0028,0004)': 'MONOCHROME1', '(0028,1052)': '0' }), bytesOf([0, 10, 100]));
  expect(Array.from((await decode(file)).frames[0]!.samples)).toEqual([100, 90, 0]);
});

test.each([[0, [255, 0, 0, 10, 20, 30]], [1, [255, 10, 0, 20, 0, 30]]])('colour with planar configuration %i becomes luminance', async (planar, samples) => {
  const elements = ctElements(1, 2, { '(0028,0002)': 3, '(0028,0004)': 'RGB', '(0028,0006)': planar, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0 });
  const values = Array.from((await decode(write('colour.dcm', elements, Buffer.from(samples)))).frames[0]!.samples);
  expect(values[0]).toBeCloseTo(76.245, 3);
  expect(values[1]).toBeCloseTo(18.15, 3);
});

const oneBit = (more: DatasetElements = {}): DatasetElements => ctElements(3, 3, { '(0028,0008)': '3', '(0028,0100)': 1, '(0028,0101)': 1, '(0028,0102)': 0, '(0028,0103)': 0, '(0028,1052)': '0', ...more });
const shapes = [[1, 0, 1, 0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 0, 0, 0, 0, 1]];
const packed = (bits: readonly number[]): Buffer => Buffer.from(Array.from({ length: Math.ceil(bits.length / 8) }, (_, byte) => bits.slice(8 * byte, 8 * byte + 8).reduce((sum, bit, index) => sum | (bit << index), 0)));
const rle = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from(Uint32Array.from({ length: 16 }, (_, index) => (index === 0 ? 1 : index === 1 ? 64 : 0)).buffer), Buffer.from([bytes.length - 1]), bytes]);

test.each<[string, () => WrittenFile]>([
  ['one after the other, not ending on a byte', () => write('bits.dcm', oneBit(), packed(shapes.flat()))],
  ['packed and run-length encoded', () => write('bits-rle.dcm', oneBit(), shapes.map((shape) => rle(packed(shape))), '1.2.840.10008.1.2.5')],
  ['packed and deflated', () => write('bits-deflated.dcm', oneBit(), shapes.map((shape) => deflateRawSync(packed(shape))), '1.2.840.10008.1.2.8.1')],
])('frames of single bits are read: %s', async (_, file) => {
  expect((await decode(file())).frames.map(({ samples }) => Array.from(samples))).toEqual(shapes);
});

test('frames that are deflated one by one are read back exactly, and neither more nor less than the header says', async () => {
  const syntax = '1.2.840.10008.1.2.8.1';
  expect(Array.from((await decode(write('deflated.dcm', described, [deflateRawSync(stored)], syntax))).frames[0]!.samples)).toEqual(hounsfield);
  await expect(decode(write('bomb.dcm', described, [deflateRawSync(Buffer.alloc(1e6))], syntax))).rejects.toThrow(/holds more than the 1536 bytes/);
  await expect(decode(write('short.dcm', described, [deflateRawSync(stored.subarray(0, 100))], syntax))).rejects.toThrow(/holds 100 bytes where its header needs 1536/);
});

test.each([[16, 257], [8, 1]])('a palette in segments of %i bits is the palette written out', async (bits, scale) => {
  // Two entries, a line of four to 50, and both segments again: the palette 10 20 28 35 43 50 10 20.
  const again = bits === 16 ? [2, 1, 0, 0] : [2, 1, 0, 0, 0, 0];
  const words = [0, 2, 10 * scale, 20 * scale, 1, 4, 50 * scale, ...again];
  const segments = bits === 16 ? Buffer.from(Uint16Array.from(words).buffer) : Buffer.from(words.length % 2 === 0 ? words : [...words, 0]);
  const channels = Object.fromEntries(['1', '2', '3'].flatMap((channel) => [[`(0028,110${channel})`, [8, 0, bits]], [`(0028,122${channel})`, segments]]));
  const elements = ctElements(1, 8, { '(0028,0004)': 'PALETTE COLOR', '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0, ...channels });
  const { frames } = await decode(write('segments.dcm', elements, Buffer.from([0, 1, 2, 3, 4, 5, 6, 7])));
  expect(Array.from(frames[0]!.samples, (value) => Math.round(value))).toEqual([10, 20, 28, 35, 43, 50, 10, 20]);
  const damaged = ctElements(1, 8, { '(0028,0004)': 'PALETTE COLOR', '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0, ...channels, '(0028,1221)': Buffer.from([9, 0, 1, 0]) });
  await expect(decode(write('damaged.dcm', damaged, Buffer.alloc(8)))).rejects.toThrow(/Segmented palette data are damaged/);
});

test('frames of a multi-frame image take their own position and rescale from the functional groups', async () => {
  const group = (z: string, intercept: string): DatasetElements => ({ '(0020,9113)': [{ '(0020,0032)': ['0', '0', z] }], '(0028,9145)': [{ '(0028,1052)': intercept, '(0028,1053)': '2', '(0028,1054)': 'HU' }] });
  const elements: DatasetElements = { ...ctElements(1, 2), '(0028,0008)': '2', '(5200,9229)': [{ '(0028,9110)': [{ '(0028,0030)': ['0.5', '0.5'] }] }], '(5200,9230)': [group('5', '-100'), group('8', '-200')] };
  const { frames } = await decode(write('multi.dcm', elements, bytesOf([1, 2, 3, 4])));
  expect(frames.map((frame) => [Array.from(frame.samples), frame.position, frame.spacing])).toEqual([[[-98, -96], [0, 0, 5], [0.5, 0.5]], [[-194, -192], [0, 0, 8], [0.5, 0.5]]]);
});

test.each<[string, () => WrittenFile, RegExp]>([
  ['cut pixel data', () => write('cut.dcm', described, stored.subarray(0, 100)), /Pixel Data has 100 bytes where the header needs 1536/],
  ['a file without a dataset', () => ({ ...write('none.dcm', described, stored), datasetOffset: 1e6 }), /ends before its dataset/],
  ['something else than an image', () => write('text.dcm', { '(0008,0060)': 'SR' }, stored), /Bits Allocated is missing: not an image/],
  ['a huge image', () => write('huge.dcm', ctElements(65535, 65535), stored), /more than the limit/],
  ['an unknown transfer syntax', () => write('video.dcm', described, [stored], '1.2.840.10008.1.2.4.102'), /1\.2\.840\.10008\.1\.2\.4\.102 cannot be decoded/],
  ['a codestream of another size', () => write('size.dcm', described, [Buffer.from('ffd8ffc0000b08ffffffff01011100ffd9', 'hex')], '1.2.840.10008.1.2.4.50'), /holds 65535 x 65535 pixels/],
  ['an RLE frame without data', () => write('rle.dcm', described, [Buffer.from(Uint32Array.from({ length: 16 }, (_, index) => [2, 64, 64][index] ?? 0).buffer)], '1.2.840.10008.1.2.5'), /RLE segment ends after 0 of 768/],
])('%s is refused with words', async (_, file, text) => {
  await expect(decode(file())).rejects.toMatchObject({ name: 'AiError', class: 'input', message: expect.stringMatching(text) });
});

const corpus = resolve(process.env['MEDSCAN_CORPUS'] ?? resolve(import.meta.dirname, '../../../../shared/corpus'), 'dicom/test_files');
const oracle = { '1.2.840.10008.1.2.5': 'dcmdrle', '1.2.840.10008.1.2.4.80': 'dcmdjpls', '1.2.840.10008.1.2.4.81': 'dcmdjpls', '1.2.840.10008.1.2.4.50': 'dcmdjpeg', '1.2.840.10008.1.2.4.51': 'dcmdjpeg', '1.2.840.10008.1.2.4.57': 'dcmdjpeg', '1.2.840.10008.1.2.4.70': 'dcmdjpeg' } as Readonly<Record<string, string>>;

test('compressed files of other makers decode to what DCMTK makes of them', async ({ skip }) => {
  if (!existsSync(corpus)) skip(`corpus not found at ${corpus}`);
  if (spawnSync('dcmdjpeg', ['--version']).error !== undefined) skip('DCMTK is not installed');
  let compared = 0;
  for (const name of readdirSync(corpus)) {
    const path = join(corpus, name);
    const head = parsePart10Head(readFileSync(path));
    const tool = oracle[head.transferSyntaxUid];
    const native = join(directory, 'native.dcm');
    if (tool === undefined || spawnSync(tool, [path, native]).status !== 0) continue;
    const ours = await decode({ path, datasetOffset: head.datasetOffset, transferSyntaxUid: head.transferSyntaxUid }).catch((error: Error) => error);
    if (ours instanceof Error && ours.message.includes('not an image')) continue;
    if (ours instanceof Error) throw new Error(`${name}: ${ours.message}`);
    const theirs = await decode({ path: native, datasetOffset: parsePart10Head(readFileSync(native)).datasetOffset, transferSyntaxUid: parsePart10Head(readFileSync(native)).transferSyntaxUid });
    expect(ours.frames.length, name).toBe(theirs.frames.length);
    // Lossy colour: DCMTK goes through RGB and clips there, we take Y as it is; the mean must agree all the same.
    const difference = ours.frames.map((frame, index) => Float32Array.from(frame.samples).reduce((sum, value, at) => sum + Math.abs(value - theirs.frames[index]!.samples[at]!), 0) / frame.samples.length);
    expect(Math.max(...difference), name).toBeLessThan(['dcmdrle', 'dcmdjpls'].includes(tool) || head.transferSyntaxUid.endsWith('70') ? 1e-6 : 1);
    compared += 1;
  }
  expect(compared).toBeGreaterThan(8);
});

test('the same image in different transfer syntaxes gives the same values', async ({ skip }) => {
  if (!existsSync(corpus)) skip(`corpus not found at ${corpus}`);
  const values = async (name: string): Promise<number[]> => {
    const path = join(corpus, name);
    const { datasetOffset, transferSyntaxUid } = parsePart10Head(readFileSync(path));
    return Array.from((await decode({ path, datasetOffset, transferSyntaxUid })).frames[0]!.samples);
  };
  const plain = await values('MR_small_implicit.dcm');
  for (const name of ['MR_small_expb.dcm', 'MR_small_RLE.dcm', 'MR_small_jp2klossless.dcm']) expect(await values(name), name).toEqual(plain);
  expect(await values('rtdose_expb_1frame.dcm')).toEqual(await values('rtdose_1frame.dcm'));
  expect(await values('liver_expb_1frame.dcm')).toEqual(await values('liver_1frame.dcm'));
});
