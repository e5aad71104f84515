/**
 * The attributes of a stored DICOM image that its pixels cannot be read without (PS3.3 C.7.6.3 Image Pixel, C.7.6.2 Image Plane, C.7.6.16
 * Multi-frame Functional Groups), read from the dataset at `datasetOffset`. Everything is checked against the limits before memory is taken.
 */
import { inflateRawSync } from 'node:zlib';
import dicomParser, { type DataSet, type Element } from 'dicom-parser';
import { AiError } from '../ai-error.ts';
import type { Vector } from './decoded-image.ts';

export const BIG_ENDIAN = '1.2.840.10008.1.2.2';
export const DEFLATED = '1.2.840.10008.1.2.1.99';
export const IMPLICIT = '1.2.840.10008.1.2';
export const PIXEL_DATA = 'x7fe00010';

/** The library exports the class; its type declarations know only the interface. */
const DataSetOf = (dicomParser as unknown as { DataSet: new (parser: unknown, bytes: Uint8Array, elements: object) => DataSet }).DataSet;

export interface ImageHeader {
  readonly dataset: DataSet;
  readonly bigEndian: boolean;
  readonly rows: number; readonly columns: number; readonly numberOfFrames: number;
  readonly samplesPerPixel: number; readonly photometricInterpretation: string; readonly planarConfiguration: number;
  readonly bitsAllocated: number; readonly bitsStored: number; readonly highBit: number; readonly signed: boolean;
  readonly frameOfReferenceUid: string | undefined;
}

export interface DecodeLimits {
  /** Of the inflated dataset, too. */
  readonly fileByteLength: number;
  /** rows x columns x frames. */
  readonly pixelCount: number;
}

export function readImageHeader(file: Uint8Array, datasetOffset: number, transferSyntaxUid: string, limits: DecodeLimits): ImageHeader {
  const bytes = transferSyntaxUid === DEFLATED ? inflate(file.subarray(datasetOffset), limits.fileByteLength) : file.subarray(datasetOffset);
  const bigEndian = transferSyntaxUid === BIG_ENDIAN;
  const dataset = parseDataset(bytes, transferSyntaxUid);
  const bitsAllocated = required(dataset, 'x00280100', '(0028,0100) Bits Allocated');
  const bitsStored = dataset.uint16('x00280101') ?? bitsAllocated;
  const header: ImageHeader = {
    dataset, bigEndian,
    rows: required(dataset, 'x00280010', '(0028,0010) Rows'), columns: required(dataset, 'x00280011', '(0028,0011) Columns'),
    numberOfFrames: Math.max(1, dataset.intString('x00280008') ?? 1),
    samplesPerPixel: dataset.uint16('x00280002') ?? 1, photometricInterpretation: dataset.string('x00280004') ?? 'MONOCHROME2', planarConfiguration: dataset.uint16('x00280006') ?? 0,
    bitsAllocated, bitsStored, highBit: dataset.uint16('x00280102') ?? bitsStored - 1, signed: dataset.uint16('x00280103') === 1,
    frameOfReferenceUid: dataset.string('x00200052'),
  };
  check(header, limits);
  return header;
}

function check(header: ImageHeader, limits: DecodeLimits): void {
  const pixels = header.rows * header.columns * header.numberOfFrames;
  if (!(pixels > 0)) throw new AiError('input', `Image of ${header.columns} x ${header.rows} pixels and ${header.numberOfFrames} frames: nothing to read.`);
  if (pixels > limits.pixelCount) throw new AiError('input', `Image has ${pixels} pixels in ${header.numberOfFrames} frames, more than the limit of ${limits.pixelCount}.`);
  if (![1, 8, 16, 32, 64].includes(header.bitsAllocated)) throw new AiError('input', `(0028,0100) Bits Allocated ${header.bitsAllocated} is not supported.`);
  if (header.bitsStored < 1 || header.bitsStored > header.bitsAllocated || header.highBit >= header.bitsAllocated || header.highBit + 1 < header.bitsStored) {
    throw new AiError('input', `(0028,0101) Bits Stored ${header.bitsStored} and (0028,0102) High Bit ${header.highBit} do not fit into ${header.bitsAllocated} allocated bits.`);
  }
  if (header.samplesPerPixel !== 1 && header.samplesPerPixel !== 3) throw new AiError('input', `(0028,0002) Samples per Pixel ${header.samplesPerPixel} is not supported.`);
}

function parseDataset(bytes: Uint8Array, transferSyntaxUid: string): DataSet {
  const implicit = !startsWithVr(bytes);
  const parser = transferSyntaxUid === BIG_ENDIAN && !implicit ? dicomParser.bigEndianByteArrayParser : dicomParser.littleEndianByteArrayParser;
  if (bytes.length === 0) throw new AiError('input', 'The file ends before its dataset.');
  const stream = new dicomParser.ByteStream(parser, bytes, 0);
  const dataset = new DataSetOf(parser, bytes, {});
  try {
    // Up to Pixel Data, whose items are walked here and not by the parser.
    if (implicit) dicomParser.parseDicomDataSetImplicit(dataset, stream, bytes.length, { untilTag: PIXEL_DATA });
    else dicomParser.parseDicomDataSetExplicit(dataset, stream, bytes.length, { untilTag: PIXEL_DATA });
  } catch (error) {
    // The parser throws strings.
    if (dataset.elements[PIXEL_DATA] === undefined) throw new AiError('input', `The dataset cannot be parsed as transfer syntax ${transferSyntaxUid}: ${parserText(error)}.`);
  }
  return dataset;
}

/** Files exist whose dataset is implicit although the transfer syntax says explicit, and the reverse: the first element's two letters decide. */
function startsWithVr(bytes: Uint8Array): boolean {
  return [bytes[4], bytes[5]].every((letter) => letter !== undefined && letter >= 0x41 && letter <= 0x5a);
}

const parserText = (error: unknown): string => (typeof error === 'string' ? error : error instanceof Error ? error.message : 'unknown damage').slice(0, 200);

function inflate(bytes: Uint8Array, limit: number): Uint8Array {
  try {
    return inflateRawSync(bytes, { maxOutputLength: limit });
  } catch (error) {
    throw new AiError('input', `The deflated dataset (PS3.5 A.5) cannot be inflated within ${limit} bytes: ${parserText(error)}.`);
  }
}

function required(dataset: DataSet, tag: string, name: string): number {
  const value = dataset.uint16(tag);
  if (value === undefined) throw new AiError('input', `${name} is missing: not an image, or a damaged one.`);
  return value;
}

export interface FrameAttributes {
  readonly slope: number; readonly intercept: number;
  readonly spacing: readonly [row: number, column: number] | undefined;
  readonly position: Vector | undefined;
  readonly orientation: readonly [Vector, Vector] | undefined;
}

/** Per-frame values from (5200,9230), then (5200,9229), then the dataset itself; `frame` counts from 0. */
export function frameAttributes(dataset: DataSet, frame: number): FrameAttributes {
  const places = [item(dataset, 'x52009230', frame), item(dataset, 'x52009229', 0)].filter((place) => place !== undefined);
  const inGroup = (sequence: string): DataSet | undefined => places.map((place) => item(place, sequence, 0)).find((found) => found !== undefined);
  const transformation = inGroup('x00289145') ?? dataset;
  const measures = inGroup('x00289110') ?? dataset;
  const orientation = numbers(inGroup('x00209116') ?? dataset, 'x00200037', 6);
  const spacing = numbers(measures, 'x00280030', 2) ?? numbers(dataset, 'x00181164', 2);
  const position = numbers(inGroup('x00209113') ?? dataset, 'x00200032', 3);
  return {
    slope: number(transformation, 'x00281053') ?? 1, intercept: number(transformation, 'x00281052') ?? 0,
    spacing: spacing !== undefined && spacing.every((value) => value > 0) ? [spacing[0]!, spacing[1]!] : undefined,
    position: position as Vector | undefined,
    orientation: orientation === undefined ? undefined : [orientation.slice(0, 3) as unknown as Vector, orientation.slice(3) as unknown as Vector],
  };
}

export function item(dataset: DataSet, sequence: string, index: number): DataSet | undefined {
  const element: Element | undefined = dataset.elements[sequence];
  return element?.items?.[index]?.dataSet;
}

/** A DS attribute; undefined when absent or not a number. */
export function number(dataset: DataSet, tag: string): number | undefined {
  const value = dataset.floatString(tag);
  return value === undefined || !Number.isFinite(value) ? undefined : value;
}

function numbers(dataset: DataSet, tag: string, count: number): number[] | undefined {
  const values = (dataset.string(tag) ?? '').split('\\').map((part) => (part.trim() === '' ? NaN : Number(part)));
  return values.length === count && values.every(Number.isFinite) ? values : undefined;
}
