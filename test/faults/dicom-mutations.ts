/**
 * Damaged DICOM, the same for the same number: data sets, command sets, association requests and PDU streams that a generator of ours wrote
 * and a seeded generator then broke. Nothing here comes from a patient.
 */
import { createHash } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { buildMeasurementReport } from '#standards/dicom/sr-tid1500.ts';
import { deflatedExplicitVrLittleEndian, explicitVrBigEndian, explicitVrLittleEndian, implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { toImplicitVr } from '#adapters/dicom-dimse/implicit-vr.ts';
import { associateRequest, ctImageStorage, pData, pdv, storeCommand, storePdus, type ContextProposal } from '#adapters/dicom-dimse/testing/peer.ts';
import { sampleReport } from '#standards/dicom/test/sample-report.ts';

/** mulberry32: the same numbers in every run. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const srStorage = '1.2.840.10008.5.1.4.1.1.88.34';
export const contexts: readonly ContextProposal[] = [
  { id: 1, abstractSyntax: ctImageStorage, transferSyntaxes: [explicitVrLittleEndian] }, { id: 3, abstractSyntax: ctImageStorage, transferSyntaxes: [implicitVrLittleEndian] },
  { id: 5, abstractSyntax: ctImageStorage, transferSyntaxes: [deflatedExplicitVrLittleEndian] }, { id: 7, abstractSyntax: ctImageStorage, transferSyntaxes: [explicitVrBigEndian] },
  { id: 9, abstractSyntax: ctImageStorage, transferSyntaxes: ['1.2.840.10008.1.2.4.90'] }, { id: 11, abstractSyntax: srStorage, transferSyntaxes: [explicitVrLittleEndian] },
  { id: 13, abstractSyntax: ctImageStorage, transferSyntaxes: ['1.2.840.113619.5.2'] },
];

/** As long as every other of a run, so that it can be written over the one in a data set. */
export const uidOf = (number: number): string => `1.2.826.0.1.3680043.10.99.7.${String(1_000_000_000 + number)}`;
const placeholder = uidOf(0);

function phantom(number: number): Buffer {
  const nested = Array.from({ length: 1 + (number % 3) }, (_, index) => ({ '(0008,0100)': `CODE${index}`, '(0008,0102)': '99TEST', '(0008,0104)': 'Müller [^] \\ test' }));
  return encodeDataset({
    '(0008,0005)': number % 2 ? 'ISO_IR 192' : 'ISO_IR 100', '(0008,0008)': ['ORIGINAL', 'PRIMARY'], '(0008,0016)': ctImageStorage, '(0008,0018)': placeholder, '(0008,0020)': '20260105', '(0008,0030)': '101500.123',
    '(0008,0050)': `ACC${number % 40}`, '(0008,0060)': 'CT', '(0008,1032)': nested, '(0010,0010)': `Phantom^P${number % 50}`, '(0010,0020)': `MUT-${number % 50}`, '(0010,0021)': 'MUTATIONS', '(0010,0030)': '19700101', '(0010,0040)': 'F',
    '(0018,0015)': 'CHEST', '(0018,0050)': 2.5, '(0020,000D)': `1.2.826.0.1.3680043.10.99.8.${number % 50}`, '(0020,000E)': `1.2.826.0.1.3680043.10.99.9.${number % 50}`, '(0020,0013)': number % 100,
    '(0028,0002)': 1, '(0028,0010)': 32, '(0028,0011)': 32, '(0028,0100)': 16, '(0028,0101)': 12, '(0028,0102)': 11, '(0028,0103)': 0, '(0029,0010)': 'PRIVATE CREATOR', '(0029,1001)': { vr: 'OB', value: Buffer.alloc(64, number) },
    '(7FE0,0010)': { vr: 'OW', value: Buffer.alloc(2048, number) },
  });
}
const reportDataset = buildMeasurementReport(sampleReport(), { controlId: 'mutations', now: new Date(0) });

/** What a parser stumbles over: undefined lengths, delimiters, sequence and unknown VRs, ISO 2022 escapes, Pixel Data, a huge length, executables' first bytes. */
const spiteful = ['ffffffff', 'fffffffe', 'feff00e0', 'feff0de0', 'feffdde0', '00000000', '5351', '554e', '4f42', '1b2442', '1b242943', '7fffffff', '0200', 'e07f1000', '4d5a', '7f454c46', '2e2e2f2e2e2f', '00', '5c5c5c5c'].map((hex) => Buffer.from(hex, 'hex'));

function broken(source: Buffer, random: () => number, most = 12): Buffer {
  let bytes = Buffer.from(source);
  for (let count = 1 + Math.floor(random() * most); count > 0; count -= 1) {
    const at = Math.floor(random() * bytes.length), choice = random();
    if (choice < 0.4) bytes[at] = Math.floor(random() * 256);
    else if (choice < 0.75) spiteful[Math.floor(random() * spiteful.length)]!.copy(bytes, at);
    else if (choice < 0.85) bytes = Buffer.from(bytes.subarray(0, Math.max(1, at)));
    else if (choice < 0.93) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.floor(random() * bytes.length))]).subarray(0, 64 * 1024);
    else bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(1 + Math.floor(random() * 40), Math.floor(random() * 256)), bytes.subarray(at)]);
  }
  return bytes;
}

export type Mutation =
  | { readonly kind: 'data set'; readonly sopInstanceUid: string; readonly sha256: string; readonly pdus: Buffer }
  /** On an association of its own: what is sent after a good request. */
  | { readonly kind: 'command set' | 'PDU stream'; readonly pdus: Buffer }
  | { readonly kind: 'association request'; readonly pdus: Buffer };

export function mutation(number: number): Mutation {
  const random = randomNumbers(number);
  const sopInstanceUid = uidOf(number), context = contexts[Math.floor(random() * contexts.length)]!;
  switch (number % 10) {
    case 7: return { kind: 'command set', pdus: Buffer.concat([pData(pdv(1, 3, broken(storeCommand(sopInstanceUid), random, 4))), pData(pdv(1, 2, phantom(number)))]) };
    case 8: return { kind: 'association request', pdus: broken(associateRequest({ contexts }), random, 6) };
    case 9: return { kind: 'PDU stream', pdus: broken(storePdus(sopInstanceUid, phantom(number), { contextId: 1, fragmentLength: 300 + Math.floor(random() * 2000) }), random, 6) };
    default: {
      const dataset = encoded(number, sopInstanceUid, context, random);
      return { kind: 'data set', sopInstanceUid, sha256: createHash('sha256').update(dataset).digest('hex'), pdus: storePdus(sopInstanceUid, dataset, { contextId: context.id, sopClass: context.abstractSyntax }) };
    }
  }
}

/** Broken before or after it is written in the context's transfer syntax; deflated ones both ways. */
function encoded(number: number, sopInstanceUid: string, { abstractSyntax, transferSyntaxes: [syntax = ''] }: ContextProposal, random: () => number): Buffer {
  const explicit = abstractSyntax === srStorage ? reportDataset.dataset : phantom(number);
  const plain = named(syntax === implicitVrLittleEndian || syntax === '1.2.840.113619.5.2' ? toImplicitVr(explicit) : explicit, sopInstanceUid);
  // Half of them nearly whole: they get past the first checks.
  const most = random() < 0.5 ? 2 : 12;
  if (syntax !== deflatedExplicitVrLittleEndian) return broken(plain, random, most);
  return random() < 0.5 ? deflateRawSync(broken(plain, random, most)) : broken(deflateRawSync(plain), random, most);
}

function named(dataset: Buffer, sopInstanceUid: string): Buffer {
  const at = dataset.indexOf(placeholder, 0, 'latin1');
  const bytes = Buffer.from(dataset);
  if (at >= 0) bytes.write(sopInstanceUid, at, 'latin1');
  return bytes;
}
