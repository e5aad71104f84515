/** Holdings in memory: one study of CT instances, and a record of what was opened and how it ended. */
import { Readable } from 'node:stream';
import type { Holdings, HoldingsOutcome, HoldingsRequest, InstanceHolding, OpenHoldings, StoredInstance } from '#gateway/holdings.ts';
import { ctDataset, ctImageStorage, explicitLittleEndian } from './peer.ts';

export interface TestHoldings {
  readonly open: OpenHoldings;
  readonly requests: HoldingsRequest[];
  readonly outcomes: HoldingsOutcome[];
  readonly instances: readonly StoredInstance[];
  /** Rows that were asked for so far. */
  told(): number;
  datasetOf(instance: StoredInstance): Buffer;
}
export interface TestHoldingsOptions { readonly count?: number; readonly pixelByteLength?: number; readonly transferSyntaxUid?: string; /** Instances whose file cannot be read. */ readonly missing?: readonly number[] }

export function testHoldings({ count = 3, pixelByteLength = 2048, transferSyntaxUid = explicitLittleEndian, missing = [] }: TestHoldingsOptions = {}): TestHoldings {
  const requests: HoldingsRequest[] = [], outcomes: HoldingsOutcome[] = [];
  let told = 0;
  const instances = Array.from({ length: count }, (_, index): InstanceHolding => ({
    scanId: 'scan-1', patientId: 'P1', issuerOfPatientId: '', patientName: 'Test^Patient', patientBirthDate: '', patientSex: '', studyInstanceUid: '1.2.3.1', studyDate: '', studyTime: '', timezoneOffsetFromUtc: '',
    accessionNumber: '', studyId: '', studyDescription: 'back\\slash', referringPhysicianName: '', institutionName: '', modalitiesInStudy: ['CT', 'SR'], numberOfStudyRelatedSeries: 1, numberOfStudyRelatedInstances: count,
    seriesInstanceUid: '1.2.3.1.1', modality: 'CT', seriesNumber: 1, seriesDescription: '', bodyPartExamined: '', numberOfSeriesRelatedInstances: count,
    sopInstanceUid: `1.2.3.1.1.${index}`, sopClassUid: ctImageStorage, transferSyntaxUid, byteSize: 0, sha256: '', location: `${index}`, datasetOffset: 0, instanceNumber: index, rows: 32, columns: 32, numberOfFrames: null, bitsAllocated: 16,
  }));
  const datasetOf = ({ sopInstanceUid }: StoredInstance): Buffer => ctDataset(sopInstanceUid, pixelByteLength);
  async function* rows<Row>(all: readonly Row[], limit = Infinity): AsyncGenerator<Row> {
    for (const row of all.slice(0, limit)) { told++; await new Promise((resolve) => { setImmediate(resolve); }); yield row; }
  }
  const holdings: Holdings = {
    exchangeId: 'exchange-1',
    findPatients: ({ limit }) => rows(instances.slice(0, 1), limit), findStudies: ({ limit }) => rows(instances.slice(0, 1), limit), findSeries: ({ limit }) => rows(instances.slice(0, 1), limit),
    findInstances: ({ limit }) => rows(instances, limit), findScheduled: () => rows([]), instancesOf: () => rows(instances),
    openStored: async (instance) => {
      if (missing.includes(Number(instance.location))) throw new Error('ENOENT');
      const bytes = datasetOf(instance);
      let at = 0;
      return { read: async (into) => { const count = bytes.copy(into, 0, at); at += count; return count; }, close: async () => undefined, async *[Symbol.asyncIterator]() { yield bytes; } };
    },
    openDataset: (instance) => (missing.includes(Number(instance.location)) ? new Readable({ read() { this.destroy(new Error('ENOENT')); } }) : Readable.from([datasetOf(instance)])),
    openFile: () => { throw new Error('not used'); },
    finish: async (outcome) => { outcomes.push(outcome); },
  };
  return { open: async (request) => { requests.push(request); return holdings; }, requests, outcomes, instances, told: () => told, datasetOf };
}
