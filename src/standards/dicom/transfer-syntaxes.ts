/** Transfer syntaxes (PS3.6 table A-1, PS3.5 annex A): how a dataset and its pixels are written. */
export interface TransferSyntax {
  readonly uid: string;
  readonly name: string;
  readonly explicitVr: boolean;
  readonly littleEndian: boolean;
  /** The whole dataset is a raw deflate stream (PS3.5 A.5). */
  readonly deflated: boolean;
  /** Pixel Data is a sequence of compressed fragments (PS3.5 A.4). */
  readonly encapsulated: boolean;
  /** The coding may lose information; whether it did is told by (0028,2110). */
  readonly lossy: boolean;
  readonly retired: boolean;
}

export const implicitVrLittleEndian = '1.2.840.10008.1.2';
export const explicitVrLittleEndian = '1.2.840.10008.1.2.1';
export const deflatedExplicitVrLittleEndian = '1.2.840.10008.1.2.1.99';
export const explicitVrBigEndian = '1.2.840.10008.1.2.2';

type Mark = 'lossy' | 'retired';
const encapsulatedTable: readonly (readonly [string, string, ...Mark[]])[] = [
  ['1.2.840.10008.1.2.1.98', 'Encapsulated Uncompressed Explicit VR Little Endian'],
  ['1.2.840.10008.1.2.4.50', 'JPEG Baseline (Process 1)', 'lossy'],
  ['1.2.840.10008.1.2.4.51', 'JPEG Extended (Process 2 & 4)', 'lossy'],
  ['1.2.840.10008.1.2.4.52', 'JPEG Extended (Process 3 & 5)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.53', 'JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.54', 'JPEG Spectral Selection, Non-Hierarchical (Process 7 & 9)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.55', 'JPEG Full Progression, Non-Hierarchical (Process 10 & 12)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.56', 'JPEG Full Progression, Non-Hierarchical (Process 11 & 13)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.57', 'JPEG Lossless, Non-Hierarchical (Process 14)'],
  ['1.2.840.10008.1.2.4.58', 'JPEG Lossless, Non-Hierarchical (Process 15)', 'retired'],
  ['1.2.840.10008.1.2.4.59', 'JPEG Extended, Hierarchical (Process 16 & 18)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.60', 'JPEG Extended, Hierarchical (Process 17 & 19)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.61', 'JPEG Spectral Selection, Hierarchical (Process 20 & 22)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.62', 'JPEG Spectral Selection, Hierarchical (Process 21 & 23)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.63', 'JPEG Full Progression, Hierarchical (Process 24 & 26)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.64', 'JPEG Full Progression, Hierarchical (Process 25 & 27)', 'lossy', 'retired'],
  ['1.2.840.10008.1.2.4.65', 'JPEG Lossless, Hierarchical (Process 28)', 'retired'],
  ['1.2.840.10008.1.2.4.66', 'JPEG Lossless, Hierarchical (Process 29)', 'retired'],
  ['1.2.840.10008.1.2.4.70', 'JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14, Selection Value 1)'],
  ['1.2.840.10008.1.2.4.80', 'JPEG-LS Lossless Image Compression'],
  ['1.2.840.10008.1.2.4.81', 'JPEG-LS Lossy (Near-Lossless) Image Compression', 'lossy'],
  ['1.2.840.10008.1.2.4.90', 'JPEG 2000 Image Compression (Lossless Only)'],
  ['1.2.840.10008.1.2.4.91', 'JPEG 2000 Image Compression', 'lossy'],
  ['1.2.840.10008.1.2.4.92', 'JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)'],
  ['1.2.840.10008.1.2.4.93', 'JPEG 2000 Part 2 Multi-component Image Compression', 'lossy'],
  ['1.2.840.10008.1.2.4.94', 'JPIP Referenced', 'lossy'],
  ['1.2.840.10008.1.2.4.95', 'JPIP Referenced Deflate', 'lossy'],
  ['1.2.840.10008.1.2.4.100', 'MPEG2 Main Profile / Main Level', 'lossy'],
  ['1.2.840.10008.1.2.4.100.1', 'Fragmentable MPEG2 Main Profile / Main Level', 'lossy'],
  ['1.2.840.10008.1.2.4.101', 'MPEG2 Main Profile / High Level', 'lossy'],
  ['1.2.840.10008.1.2.4.101.1', 'Fragmentable MPEG2 Main Profile / High Level', 'lossy'],
  ['1.2.840.10008.1.2.4.102', 'MPEG-4 AVC/H.264 High Profile / Level 4.1', 'lossy'],
  ['1.2.840.10008.1.2.4.102.1', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1', 'lossy'],
  ['1.2.840.10008.1.2.4.103', 'MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1', 'lossy'],
  ['1.2.840.10008.1.2.4.103.1', 'Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1', 'lossy'],
  ['1.2.840.10008.1.2.4.104', 'MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video', 'lossy'],
  ['1.2.840.10008.1.2.4.104.1', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video', 'lossy'],
  ['1.2.840.10008.1.2.4.105', 'MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video', 'lossy'],
  ['1.2.840.10008.1.2.4.105.1', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video', 'lossy'],
  ['1.2.840.10008.1.2.4.106', 'MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2', 'lossy'],
  ['1.2.840.10008.1.2.4.106.1', 'Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2', 'lossy'],
  ['1.2.840.10008.1.2.4.107', 'HEVC/H.265 Main Profile / Level 5.1', 'lossy'],
  ['1.2.840.10008.1.2.4.108', 'HEVC/H.265 Main 10 Profile / Level 5.1', 'lossy'],
  ['1.2.840.10008.1.2.4.110', 'JPEG XL Lossless'],
  ['1.2.840.10008.1.2.4.111', 'JPEG XL JPEG Recompression', 'lossy'],
  ['1.2.840.10008.1.2.4.112', 'JPEG XL', 'lossy'],
  ['1.2.840.10008.1.2.4.201', 'High-Throughput JPEG 2000 Image Compression (Lossless Only)'],
  ['1.2.840.10008.1.2.4.202', 'High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)'],
  ['1.2.840.10008.1.2.4.203', 'High-Throughput JPEG 2000 Image Compression', 'lossy'],
  ['1.2.840.10008.1.2.4.204', 'JPIP HTJ2K Referenced', 'lossy'],
  ['1.2.840.10008.1.2.4.205', 'JPIP HTJ2K Referenced Deflate', 'lossy'],
  ['1.2.840.10008.1.2.5', 'RLE Lossless'],
  ['1.2.840.10008.1.2.8.1', 'Deflated Image Frame Compression'],
];
/** Referenced: the pixels are elsewhere, nothing is encapsulated; the Deflate ones deflate the dataset. */
const referenced = new Map([['1.2.840.10008.1.2.4.94', false], ['1.2.840.10008.1.2.4.95', true], ['1.2.840.10008.1.2.4.204', false], ['1.2.840.10008.1.2.4.205', true]]);

const plain = { explicitVr: true, littleEndian: true, deflated: false, encapsulated: false, lossy: false, retired: false };
export const transferSyntaxes: ReadonlyMap<string, TransferSyntax> = new Map<string, TransferSyntax>([
  { ...plain, uid: implicitVrLittleEndian, name: 'Implicit VR Little Endian', explicitVr: false },
  { ...plain, uid: explicitVrLittleEndian, name: 'Explicit VR Little Endian' },
  { ...plain, uid: deflatedExplicitVrLittleEndian, name: 'Deflated Explicit VR Little Endian', deflated: true },
  { ...plain, uid: explicitVrBigEndian, name: 'Explicit VR Big Endian', littleEndian: false, retired: true },
  // GE private: header in little endian, pixel words swapped; the header is Implicit VR.
  { ...plain, uid: '1.2.840.113619.5.2', name: 'Implicit VR Big Endian (GE private)', explicitVr: false },
  ...encapsulatedTable.map(([uid, name, ...marks]) => ({
    ...plain, uid, name, encapsulated: !referenced.has(uid), deflated: referenced.get(uid) === true, lossy: marks.includes('lossy'), retired: marks.includes('retired'),
  })),
].map((syntax) => [syntax.uid, syntax]));

/** What is known of a transfer syntax; an unknown one is read as the standard requires of every new one: Explicit VR Little Endian, encapsulated. */
export function transferSyntaxOf(uid: string): TransferSyntax {
  return transferSyntaxes.get(uid) ?? { ...plain, uid, name: 'unknown transfer syntax', encapsulated: true };
}
