/** Part 10 image files for the tests of this folder: written from arrays, never from a patient. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeDataset, type DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import type { AiInstance } from '../analysis.ts';
import type { Phantom } from '../phantom.ts';

export const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';
export const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';

export interface WrittenFile { readonly path: string; readonly datasetOffset: number; readonly transferSyntaxUid: string }

/** `pixels` is the value of Pixel Data; with `encapsulated` the frames are put into fragments, one each, behind an empty offset table. */
export function writeImage(path: string, elements: DatasetElements, pixels: Buffer | readonly Buffer[], transferSyntaxUid = EXPLICIT_LITTLE_ENDIAN): WrittenFile {
  const head = buildPart10Header({ sopClassUid: CT_IMAGE_STORAGE, sopInstanceUid: '2.25.1', transferSyntaxUid });
  const dataset = encodeDataset(elements);
  writeFileSync(path, Buffer.concat([head, dataset, Buffer.isBuffer(pixels) ? nativePixels(pixels) : encapsulated(pixels)]));
  return { path, datasetOffset: head.length, transferSyntaxUid };
}

function nativePixels(value: Buffer): Buffer {
  const head = Buffer.from([0xe0, 0x7f, 0x10, 0, 0x4f, 0x57, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32LE(value.length, 8);
  return Buffer.concat([head, value]);
}

function encapsulated(frames: readonly Buffer[]): Buffer {
  const item = (value: Buffer): Buffer => {
    const head = Buffer.from([0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0]);
    head.writeUInt32LE(value.length, 4);
    return Buffer.concat([head, value]);
  };
  const head = Buffer.from([0xe0, 0x7f, 0x10, 0, 0x4f, 0x42, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  return Buffer.concat([head, item(Buffer.alloc(0)), ...frames.map((frame) => item(frame.length % 2 === 0 ? frame : Buffer.concat([frame, Buffer.alloc(1)]))), Buffer.from([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0])]);
}

/** Image Pixel module of a signed 16-bit CT slice with rescale intercept -1024. */
export function ctElements(rows: number, columns: number, more: DatasetElements = {}): DatasetElements {
  return {
    '(0008,0016)': CT_IMAGE_STORAGE, '(0008,0018)': '2.25.1', '(0008,0060)': 'CT', '(0020,0052)': '2.25.77', '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2',
    '(0028,0010)': rows, '(0028,0011)': columns, '(0028,0100)': 16, '(0028,0101)': 16, '(0028,0102)': 15, '(0028,0103)': 1, '(0028,1052)': '-1024', '(0028,1053)': '1', ...more,
  };
}

export const bytesOf = (values: ArrayLike<number>): Buffer => Buffer.from(Int16Array.from(values).buffer);

/** A phantom as one CT series, files in an order that is not that of the slices. */
export function writePhantom(phantom: Phantom, directory: string, seriesInstanceUid = '2.25.500'): AiInstance[] {
  return phantom.slices.map((slice, index) => {
    const file = writeImage(join(directory, `${(index * 7) % phantom.slices.length}-${seriesInstanceUid}.dcm`), ctElements(phantom.rows, phantom.columns, {
      '(0020,0032)': phantom.imagePositions[index]!.map((value) => value.toFixed(4)), '(0020,0037)': phantom.imageOrientation.map(String),
      '(0028,0030)': [phantom.pixelSpacingMillimetres.toFixed(4), phantom.pixelSpacingMillimetres.toFixed(4)],
    }), bytesOf(slice.map((value) => value + 1024)));
    return { ...file, sopInstanceUid: `${seriesInstanceUid}.${index + 1}`, sopClassUid: CT_IMAGE_STORAGE, seriesInstanceUid, instanceNumber: phantom.slices.length - index, modality: 'CT' };
  });
}
