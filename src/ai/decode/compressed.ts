/** JPEG, JPEG-LS, JPEG 2000 and HTJ2K frames by dcmjs-codecs (WebAssembly). Bad input may trap inside: run this in a worker only. */
import codecs from 'dcmjs-codecs';
import { AiError } from '../ai-error.ts';
import { readCodestream } from './codestream.ts';
import type { ImageHeader } from './image-header.ts';

type Decode = (context: InstanceType<typeof codecs.Context>, parameters?: Record<string, unknown>) => InstanceType<typeof codecs.Context>;
const DECODERS: Readonly<Record<string, Decode>> = {
  '1.2.840.10008.1.2.4.50': (context) => codecs.NativeCodecs.decodeJpeg(context, { convertColorspaceToRgb: false }),
  '1.2.840.10008.1.2.4.51': (context) => codecs.NativeCodecs.decodeJpeg(context, { convertColorspaceToRgb: false }),
  '1.2.840.10008.1.2.4.57': (context) => codecs.NativeCodecs.decodeJpeg(context, { convertColorspaceToRgb: false }),
  '1.2.840.10008.1.2.4.70': (context) => codecs.NativeCodecs.decodeJpeg(context, { convertColorspaceToRgb: false }),
  '1.2.840.10008.1.2.4.80': (context) => codecs.NativeCodecs.decodeJpegLs(context),
  '1.2.840.10008.1.2.4.81': (context) => codecs.NativeCodecs.decodeJpegLs(context),
  '1.2.840.10008.1.2.4.90': (context) => codecs.NativeCodecs.decodeJpeg2000(context),
  '1.2.840.10008.1.2.4.91': (context) => codecs.NativeCodecs.decodeJpeg2000(context),
  '1.2.840.10008.1.2.4.201': (context) => codecs.NativeCodecs.decodeHtJpeg2000(context),
  '1.2.840.10008.1.2.4.202': (context) => codecs.NativeCodecs.decodeHtJpeg2000(context),
  '1.2.840.10008.1.2.4.203': (context) => codecs.NativeCodecs.decodeHtJpeg2000(context),
};

export const isCompressed = (transferSyntaxUid: string): boolean => transferSyntaxUid in DECODERS;

/** What the codec made of a frame; `bitsAllocated`, `planar` and `bitsStored` may differ from the header's. Little endian. */
export interface DecompressedFrame { readonly bytes: Uint8Array; readonly bitsAllocated: number; readonly bitsStored: number; readonly signed: boolean; readonly planar: boolean }

export async function decompress(frame: Uint8Array, header: ImageHeader, transferSyntaxUid: string): Promise<DecompressedFrame> {
  const stream = readCodestream(frame);
  if (stream === undefined) throw new AiError('input', `A frame is not a codestream of transfer syntax ${transferSyntaxUid}: no frame header was found in it.`);
  if (stream.width !== header.columns || stream.height !== header.rows || stream.components !== header.samplesPerPixel) {
    throw new AiError('input', `A frame holds ${stream.width} x ${stream.height} pixels of ${stream.components} samples, its header says ${header.columns} x ${header.rows} of ${header.samplesPerPixel}.`);
  }
  if (stream.precision > 16) throw new AiError('input', `A frame has ${stream.precision} bits per sample; up to 16 are supported.`);
  await loadCodecs();
  const bitsAllocated = stream.precision > 8 ? 16 : 8;
  const context = new codecs.Context({
    width: header.columns, height: header.rows, samplesPerPixel: header.samplesPerPixel, bitsAllocated, bitsStored: stream.precision,
    pixelRepresentation: header.signed ? 1 : 0, planarConfiguration: 0, photometricInterpretation: header.photometricInterpretation, encodedBuffer: frame,
  });
  const decoded = DECODERS[transferSyntaxUid]!(context);
  const bytes = decoded.getDecodedBuffer() ?? new Uint8Array();
  const expected = header.rows * header.columns * header.samplesPerPixel * (bitsAllocated / 8);
  if (bytes.byteLength !== expected) throw new AiError('input', `The codec returned ${bytes.byteLength} bytes for a frame of ${expected}.`);
  return { bytes, bitsAllocated, bitsStored: stream.precision, signed: header.signed, planar: decoded.getPlanarConfiguration() === 1 };
}

let loading: Promise<void> | undefined;
export function loadCodecs(): Promise<void> {
  codecs.log.setLevel('silent');
  loading ??= codecs.NativeCodecs.initializeAsync();
  return loading;
}
