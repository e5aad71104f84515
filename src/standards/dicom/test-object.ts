/** The object of a connection test that stores: a small Secondary Capture of nobody. The same UIDs each time, so that a receiver keeps one. */
import { encodeDataset } from './dataset-writer.ts';
import { deriveUid } from './uids.ts';

export interface TestObject {
  readonly sopClassUid: string; readonly sopInstanceUid: string; readonly studyInstanceUid: string; readonly seriesInstanceUid: string;
  /** Explicit VR Little Endian. */
  readonly dataset: Buffer;
}

const side = 16;
let made: TestObject | undefined;

export function testObject(): TestObject {
  return made ??= make();
}

function make(): TestObject {
  const uids = {
    sopClassUid: '1.2.840.10008.5.1.4.1.1.7', sopInstanceUid: deriveUid('connection test instance'), studyInstanceUid: deriveUid('connection test study'), seriesInstanceUid: deriveUid('connection test series'),
  };
  const dataset = encodeDataset({
    '(0008,0005)': 'ISO_IR 192', '(0008,0016)': uids.sopClassUid, '(0008,0018)': uids.sopInstanceUid, '(0008,0020)': null, '(0008,0030)': null, '(0008,0050)': null, '(0008,0060)': 'OT', '(0008,0064)': 'SYN', '(0008,0090)': null,
    '(0008,1030)': 'CONNECTION TEST', '(0010,0010)': 'MEDSCAN^CONNECTION TEST', '(0010,0020)': 'MEDSCAN-TEST', '(0010,0030)': null, '(0010,0040)': null,
    '(0020,000d)': uids.studyInstanceUid, '(0020,000e)': uids.seriesInstanceUid, '(0020,0010)': null, '(0020,0011)': 1, '(0020,0013)': 1, '(0020,0020)': null,
    '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2', '(0028,0010)': side, '(0028,0011)': side, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0, '(0028,0301)': 'NO',
    '(7fe0,0010)': { vr: 'OB', value: Buffer.from(Array.from({ length: side * side }, (_, index) => (index % side) * 16)) },
  });
  return { ...uids, dataset };
}
