/** What the decoder hands over: one array of samples per frame, one sample per pixel, row by row from the top left. */
export type Vector = readonly [number, number, number];
export type Samples = Int16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

export interface DecodedImage {
  readonly rows: number;
  readonly columns: number;
  readonly frames: readonly DecodedFrame[];
}
export interface DecodedFrame {
  /** Counts from 1 (PS3.3 C.7.6.6). */
  readonly frameNumber: number;
  /** After the modality LUT (Hounsfield units in CT); colour is brought to luminance, MONOCHROME1 inverted so that more is brighter. */
  readonly samples: Samples;
  /** Millimetres between rows and between columns. */
  readonly spacing: readonly [row: number, column: number] | undefined;
  /** Image Position (Patient), LPS millimetres of the middle of the first pixel. */
  readonly position: Vector | undefined;
  /** Direction along a row and along a column. */
  readonly orientation: readonly [Vector, Vector] | undefined;
  readonly frameOfReferenceUid: string | undefined;
}
