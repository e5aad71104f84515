/**
 * Pictures of stored images for people and browsers, and pixel data brought to another transfer syntax. Both decode foreign bytes and take
 * time, so they are done in threads of their own: whoever asks waits, nothing else does.
 */
import type { StoredInstance } from './holdings.ts';

export interface Images {
  /** Throws ImageError. */
  render(instance: ImageFile, wanted: PictureWanted, signal?: AbortSignal): Promise<Picture>;
  /** The dataset in Explicit VR Little Endian with native pixel data, no value else changed. Throws ImageError. */
  decompress(instance: ImageFile, signal?: AbortSignal): Promise<DecompressedDataset>;
}
export type ImageFile = Pick<StoredInstance, 'location' | 'datasetOffset' | 'transferSyntaxUid'>;

export interface PictureWanted {
  /** From 1. */
  readonly frame: number;
  /** As the image says when absent; for images without a window the whole range of their values. Of no meaning for colour. */
  readonly window?: VoiWindow | undefined;
  readonly viewport?: Viewport | undefined;
  /** The longer edge is brought into these limits, in pixels; not together with viewport. */
  readonly longestEdge?: { readonly least: number; readonly most: number } | undefined;
  /** Drawn into the picture; coordinates are those of the stored frame. */
  readonly marks?: readonly Mark[] | undefined;
  /** Lines of text below the picture. */
  readonly caption?: readonly string[] | undefined;
  readonly encoding: PictureEncoding;
}
/** raw: 8-bit samples, pixel by pixel, row by row. quality: 1 to 100. */
export type PictureEncoding = { readonly type: 'image/jpeg'; readonly quality: number } | { readonly type: 'image/png' } | { readonly type: 'raw'; readonly colour: true };
/** PS3.3 C.11.2.1.2, in values after the modality LUT. */
export interface VoiWindow { readonly centre: number; readonly width: number; readonly function: 'linear' | 'linear-exact' | 'sigmoid' }
/** The picture fits into width x height and keeps its proportions; `source` is the part of the stored frame that is shown (PS3.18 8.3.5.1.3). */
export interface Viewport {
  readonly width: number; readonly height: number;
  readonly source?: { readonly left: number; readonly top: number; readonly width: number; readonly height: number; readonly flipsHorizontally: boolean; readonly flipsVertically: boolean } | undefined;
}
export interface Mark { readonly left: number; readonly top: number; readonly width: number; readonly height: number; readonly label: string; readonly isUrgent: boolean }

export interface Picture { readonly bytes: Buffer; readonly rows: number; readonly columns: number; readonly samplesPerPixel: 1 | 3; readonly numberOfFrames: number }
export interface DecompressedDataset { readonly dataset: Buffer; readonly transferSyntaxUid: string }

/** `kind`: no-frame for a frame number that the image does not have; input when the object holds no image that can be shown; unavailable when it may work later. */
export class ImageError extends Error {
  readonly kind: 'no-frame' | 'input' | 'unavailable';
  constructor(kind: ImageError['kind'], text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = 'ImageError';
    this.kind = kind;
  }
}
