/** Small DICOM files of our own making. */
import { encodeDataset, type DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';

export const ct = '1.2.840.10008.5.1.4.1.1.2', multiframe = '1.2.840.10008.5.1.4.1.1.7.2';
export const explicitLittleEndian = '1.2.840.10008.1.2.1', jpegBaseline = '1.2.840.10008.1.2.4.50';
export const root = '1.2.826.0.1.3680043.10.98';

export interface TestObject { readonly sopInstanceUid: string; readonly studyInstanceUid: string; readonly seriesInstanceUid: string; readonly dataset: Buffer; readonly file: Buffer }

let objects = 0;

export function object(more: DatasetElements = {}, { transferSyntaxUid = explicitLittleEndian, pixelData = Buffer.alloc(0) }: { transferSyntaxUid?: string; pixelData?: Buffer } = {}): TestObject {
  objects += 1;
  const elements: DatasetElements = {
    '(0008,0005)': 'ISO_IR 192', '(0008,0016)': ct, '(0008,0018)': `${root}.1.1.${process.pid}.${objects}`, '(0008,0020)': '20260301', '(0008,0030)': '101112', '(0008,0050)': 'ACC-9', '(0008,0060)': 'CT',
    '(0008,0090)': 'House^Gregory', '(0008,1030)': 'CHEST', '(0008,103e)': 'Axial', '(0010,0010)': 'Müller^Änne=山田^太郎', '(0010,0020)': 'MRN-77', '(0010,0030)': '19800517', '(0010,0040)': 'F',
    '(0020,000d)': `${root}.1`, '(0020,000e)': `${root}.1.1`, '(0020,0010)': 'S9', '(0020,0011)': 3, '(0020,0013)': objects, ...more,
  };
  const sopInstanceUid = elements['(0008,0018)'] as string;
  const dataset = Buffer.concat([encodeDataset(elements), pixelData]);
  const header = buildPart10Header({ sopClassUid: (elements['(0008,0016)'] as string) || ct, sopInstanceUid: sopInstanceUid || '1.2.3', transferSyntaxUid });
  return { sopInstanceUid, studyInstanceUid: elements['(0020,000d)'] as string, seriesInstanceUid: elements['(0020,000e)'] as string, dataset, file: Buffer.concat([header, dataset]) };
}

/** Pixel Data of fragments, the first of which is the Basic Offset Table. */
export function encapsulated(table: readonly number[], fragments: readonly Buffer[]): Buffer {
  const item = (tag: string, bytes: Buffer): Buffer => { const head = Buffer.from(`${tag}00000000`, 'hex'); head.writeUInt32LE(bytes.length, 4); return Buffer.concat([head, bytes]); };
  const offsets = Buffer.alloc(table.length * 4);
  table.forEach((offset, index) => offsets.writeUInt32LE(offset, index * 4));
  return Buffer.concat([Buffer.from('e07f10004f420000ffffffff', 'hex'), item('feff00e0', offsets), ...fragments.map((fragment) => item('feff00e0', fragment)), Buffer.from('feffdde000000000', 'hex')]);
}

export function native(vr: 'OB' | 'OW', bytes: Buffer): Buffer {
  const head = Buffer.from('e07f100000000000000000', 'hex');
  const whole = Buffer.alloc(12);
  head.copy(whole);
  whole.write(vr, 4, 'latin1');
  whole.writeUInt32LE(bytes.length, 8);
  return Buffer.concat([whole, bytes]);
}
