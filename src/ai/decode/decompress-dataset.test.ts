import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { buildPart10Header, parsePart10Head } from '#standards/dicom/part10.ts';
import { explicitLittleEndian, readElements } from '#standards/dicom/elements.ts';
import { corpusFiles } from '#standards/dicom/test/dcmtk.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import { ctElements, writeImage } from '../testing/image-files.ts';
import { decodeImage } from './decode-image.ts';
import { decompressDataset } from './decompress-dataset.ts';

const directory = mkdtempSync(join(tmpdir(), 'medscan-decompress-'));
afterAll(() => rmSync(directory, { recursive: true }));
const limits = { fileByteLength: 1e9, pixelCount: 1e9 };
const rle = '1.2.840.10008.1.2.5';
/** One segment of literal runs. */
function rleFrame(bytes: readonly number[]): Buffer {
  const head = Buffer.alloc(64);
  head.writeUInt32LE(1, 0);
  head.writeUInt32LE(64, 4);
  return Buffer.concat([head, Buffer.from([bytes.length - 1, ...bytes])]);
}

test('the pixels are native, the header says so, and everything else is as it was', async () => {
  const elements = { ...ctElements(2, 2), '(0010,0010)': 'Doe^Jane', '(0028,0008)': '2', '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0, '(0040,0275)': [{ '(0040,1001)': 'RP' }] };
  const file = writeImage(join(directory, 'rle.dcm'), elements, [rleFrame([1, 2, 3, 4]), rleFrame([5, 6, 7, 8])], rle);
  const { bytes, transferSyntaxUid } = await decompressDataset(readFileSync(file.path), file.datasetOffset, rle, limits);
  expect(transferSyntaxUid).toBe('1.2.840.10008.1.2.1');
  const read = readElements(Buffer.from(bytes), 0, explicitLittleEndian, () => false);
  expect([read.complete, read.dataset.get(0x7fe00010)?.vr, [...read.dataset.get(0x7fe00010)!.bytes]]).toEqual([true, 'OB', [1, 2, 3, 4, 5, 6, 7, 8]]);
  const reader = dicomReader(Buffer.from(bytes));
  expect(['(0010,0010)', '(0028,0008)', '(0028,0100)', '(0040,0275)>(0040,1001)'].map((path) => reader.first(path))).toEqual(['Doe^Jane', '2', '8', 'RP']);
});

test('native and damaged objects are refused in words', async () => {
  const native = writeImage(join(directory, 'native.dcm'), ctElements(2, 2), Buffer.alloc(8));
  await expect(decompressDataset(readFileSync(native.path), native.datasetOffset, native.transferSyntaxUid, limits)).rejects.toMatchObject({ class: 'input' });
  const damaged = writeImage(join(directory, 'damaged.dcm'), ctElements(64, 64), [Buffer.from('ffd8ffc0000b0800400040', 'hex')], '1.2.840.10008.1.2.4.50');
  await expect(decompressDataset(readFileSync(damaged.path), damaged.datasetOffset, damaged.transferSyntaxUid, limits)).rejects.toThrow();
});

const files = corpusFiles();
if (files.length === 0) process.stderr.write('decompress: the corpus (MEDSCAN_CORPUS) is absent; its tests are skipped\n');
const named = (name: string): string => files.find((path) => basename(path) === name) ?? '';

describe.skipIf(files.length === 0)('the DICOM corpus', () => {
  test.each(['MR_small_RLE.dcm', 'MR_small_jp2klossless.dcm'])('%s has the pixels of the image that it was compressed from', async (name) => {
    const compressed = readFileSync(named(name)), original = readFileSync(named('MR_small_implicit.dcm'));
    const { datasetOffset, transferSyntaxUid } = parsePart10Head(compressed);
    const { bytes } = await decompressDataset(compressed, datasetOffset, transferSyntaxUid, limits);
    const pixels = readElements(Buffer.from(bytes), 0, explicitLittleEndian, () => false).dataset.get(0x7fe00010)!.bytes;
    const head = parsePart10Head(original);
    expect(pixels.equals(readElements(original, head.datasetOffset, head.encoding, () => false).dataset.get(0x7fe00010)!.bytes)).toBe(true);
  });

  test.each(files.map((path) => [basename(path), path]))('%s shows the same image after it, where it can be decoded', async (_name, path) => {
    const file = readFileSync(path);
    const { datasetOffset, transferSyntaxUid } = parsePart10Head(file);
    let result: Awaited<ReturnType<typeof decompressDataset>>;
    try { result = await decompressDataset(file, datasetOffset, transferSyntaxUid, limits); } catch { return; }
    const meta = buildPart10Header({ sopClassUid: '1.2', sopInstanceUid: '1.2', transferSyntaxUid: result.transferSyntaxUid });
    const [before, after] = [await decodeImage(file, datasetOffset, transferSyntaxUid, limits), await decodeImage(Buffer.concat([meta, result.bytes]), meta.length, result.transferSyntaxUid, limits)];
    expect(after.frames.map(({ samples }) => samples)).toEqual(before.frames.map(({ samples }) => samples));
  });
});
