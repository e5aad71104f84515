/**
 * What the gateway holds, for those who may ask: C-FIND, C-MOVE and C-GET, the modality worklist, QIDO-RS and WADO-RS.
 *
 *   request -> open(request): exchange and audit row committed -> Holdings of that one organization -> rows, bytes -> finish(): what became of it
 *
 * Nothing is told before it is on record. Rows are plain and in DICOM's own forms (DA, TM, PN, AE titles in ASCII; text in Unicode), so that a DIMSE
 * identifier and DICOM JSON are written from the same row. Only what is in use is found: no quarantined version, no study without images.
 */
import { isUsableUid } from '#domain/usable-uid.ts';
import type { Readable } from 'node:stream';

/** A dataset as it was received: read once, from its beginning, either way. Close it in any case. */
export interface StoredDataset extends AsyncIterable<Buffer> {
  /** Fills the buffer or less; 0 at the end. */
  read(into: Buffer): Promise<number>;
  close(): Promise<void>;
}

export interface HoldingsRequest {
  readonly organizationId: string;
  readonly integrationId?: string | undefined;
  /** query: identifiers only (audit 110112). retrieve: images leave (audit 110102 when opened, 110104 when finished). */
  readonly purpose: 'query' | 'retrieve';
  /** 'C-FIND STUDY', 'C-MOVE', 'QIDO-RS studies'. */
  readonly interaction: string;
  readonly controlId: string;
  readonly actor: { readonly kind: 'application' | 'user'; readonly id: string; readonly role?: string; readonly address: string };
  /** Names of keys, levels, destinations: never a value that was asked for. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The identifier or URL as it came; kept with the exchange, for it may name a patient. */
  readonly message?: { readonly content: Buffer; readonly type: string };
  /** IANA zone in which dates and times are matched and told; UTC when absent. */
  readonly timeZone?: string | undefined;
}

/** Opens what one organization holds. Throws when the request cannot be put on record: then nothing may be told. */
export type OpenHoldings = (request: HoldingsRequest) => Promise<Holdings>;

export interface Holdings {
  readonly exchangeId: string;
  /** Newest first (by arrival). Rows are read page by page, no transaction stays open between them: stop when you have enough. */
  findPatients(query: HoldingsQuery<PatientKey>): AsyncIterable<PatientHolding>;
  findStudies(query: HoldingsQuery<StudyKey>): AsyncIterable<StudyHolding>;
  findSeries(query: HoldingsQuery<SeriesKey>): AsyncIterable<SeriesHolding>;
  findInstances(query: HoldingsQuery<InstanceKey>): AsyncIterable<InstanceHolding>;
  /** Orders that are scheduled and have no images yet, the next one first. */
  findScheduled(query: HoldingsQuery<ScheduledKey>): AsyncIterable<ScheduledHolding>;
  /** What a retrieve would send, in the order of series and instance number. Keys above the asked level may be left out. */
  instancesOf(selection: InstanceSelection): AsyncIterable<StoredInstance>;
  /** Opens the dataset for reading into memory of the caller's; rejects when it is not there. */
  openStored(instance: StoredInstance): Promise<StoredDataset>;
  /** The dataset as it was received, in its transfer syntax. Destroy the stream when you stop early. */
  openDataset(instance: StoredInstance): Readable;
  /** The same behind preamble, 'DICM' and group 0002: a DICOM file. */
  openFile(instance: StoredInstance): Readable;
  /** Writes the answer leg, and for a retrieve the audit of what was transferred. Once; never throws. */
  finish(outcome: HoldingsOutcome): Promise<void>;
}

export interface HoldingsOutcome {
  /** Last status or HTTP status as told: '0000', 'FE00', '200'. */
  readonly answerCode: string;
  readonly heard: boolean;
  /** Rows or instances told. */
  readonly count: number;
  readonly failed?: number;
  readonly byteSize?: number;
  /** What went wrong, in words without PHI. */
  readonly text?: string;
}

/** One way of PS3.4 C.2.2.2. Universal matching is a key that is left out. */
export type Match =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'list'; readonly values: readonly string[] }
  /** `*` any characters, `?` one. Text only. */
  | { readonly kind: 'wildcard'; readonly pattern: string }
  /** Both ends included, as DA or TM, each cut to any precision; one may be absent. */
  | { readonly kind: 'range'; readonly from?: string; readonly to?: string };

const patientKeys = { patientName: 'name', patientId: 'text', issuerOfPatientId: 'text', patientBirthDate: 'date', patientSex: 'text' } as const;
const studyKeys = {
  ...patientKeys, studyInstanceUid: 'uid', studyDate: 'date', studyTime: 'time', accessionNumber: 'text', studyId: 'text', studyDescription: 'text',
  referringPhysicianName: 'name', modalitiesInStudy: 'text', institutionName: 'text',
} as const;
const seriesKeys = { ...studyKeys, seriesInstanceUid: 'uid', modality: 'text', seriesNumber: 'number', seriesDescription: 'text', bodyPartExamined: 'text' } as const;
const instanceKeys = { ...seriesKeys, sopInstanceUid: 'uid', sopClassUid: 'uid', instanceNumber: 'number' } as const;
const scheduledKeys = {
  ...patientKeys, accessionNumber: 'text', requestedProcedureId: 'text', studyInstanceUid: 'uid', scheduledDate: 'date', scheduledTime: 'time', modality: 'text',
} as const;
export type PatientKey = keyof typeof patientKeys;
export type StudyKey = keyof typeof studyKeys;
export type SeriesKey = keyof typeof seriesKeys;
export type InstanceKey = keyof typeof instanceKeys;
export type ScheduledKey = keyof typeof scheduledKeys;
/** What can be matched at which level, and what kind of value it is. */
export const matchKeys = { patient: patientKeys, study: studyKeys, series: seriesKeys, instance: instanceKeys, scheduled: scheduledKeys } as const;
export type KeyKind = 'name' | 'text' | 'uid' | 'date' | 'time' | 'number';

export interface HoldingsQuery<Key extends string> {
  readonly match: { readonly [K in Key]?: Match | undefined };
  /** No more rows than this; the implementation has a limit of its own, `mostRows`. */
  readonly limit?: number | undefined;
  readonly offset?: number | undefined;
}
export const mostRows = 10_000;

export interface PatientHolding {
  readonly patientId: string; readonly issuerOfPatientId: string;
  /** PN in up to three groups: 'Yamada^Tarou=山田^太郎=やまだ^たろう'. */
  readonly patientName: string;
  /** DA, '' when unknown or not a whole date. */
  readonly patientBirthDate: string;
  readonly patientSex: '' | 'M' | 'F' | 'O';
}
export interface StudyHolding extends PatientHolding {
  readonly scanId: string; readonly studyInstanceUid: string;
  /** DA, TM of the request's zone and its offset then (0008,0201), e.g. '+0100'; '' when unknown. */
  readonly studyDate: string; readonly studyTime: string; readonly timezoneOffsetFromUtc: string;
  readonly accessionNumber: string; readonly studyId: string; readonly studyDescription: string;
  readonly referringPhysicianName: string; readonly institutionName: string; readonly modalitiesInStudy: readonly string[];
  readonly numberOfStudyRelatedSeries: number; readonly numberOfStudyRelatedInstances: number;
}
export interface SeriesHolding extends StudyHolding {
  readonly seriesInstanceUid: string; readonly modality: string; readonly seriesNumber: number | null; readonly seriesDescription: string;
  readonly bodyPartExamined: string; readonly numberOfSeriesRelatedInstances: number;
}
export interface InstanceHolding extends SeriesHolding, StoredInstance {
  readonly instanceNumber: number | null; readonly rows: number | null; readonly columns: number | null; readonly numberOfFrames: number | null; readonly bitsAllocated: number | null;
}

export interface InstanceSelection {
  readonly patientId?: Match; readonly studyInstanceUid?: Match; readonly seriesInstanceUid?: Match; readonly sopInstanceUid?: Match;
}
export interface StoredInstance {
  readonly studyInstanceUid: string; readonly seriesInstanceUid: string; readonly sopInstanceUid: string; readonly sopClassUid: string;
  readonly transferSyntaxUid: string;
  /** Of the dataset. */
  readonly byteSize: number; readonly sha256: string;
  /** Of the stored file, and where the dataset starts in it. */
  readonly location: string; readonly datasetOffset: number;
}

/** An order as a worklist item. The order names no station: it may be done on any. */
export interface ScheduledHolding extends PatientHolding {
  readonly scanId: string;
  /** Of the order; where it names none, one that is ours and stays the same. */
  readonly studyInstanceUid: string;
  readonly accessionNumber: string; readonly placerOrderNumber: string; readonly fillerOrderNumber: string;
  readonly requestedProcedureId: string; readonly requestedProcedureDescription: string;
  readonly procedureCode: string; readonly procedureCodingScheme: string;
  readonly reason: string; readonly priority: 'STAT' | 'HIGH' | 'ROUTINE';
  readonly referringPhysicianName: string; readonly requestingPhysician: string;
  readonly modality: string; readonly bodyPart: string; readonly scheduledDate: string; readonly scheduledTime: string;
}

/** A value that cannot be matched: the asker must change it. The text names the key, not the value. */
export class InvalidMatchError extends Error {
  readonly key: string;
  constructor(key: string, text: string) {
    super(text);
    this.name = 'InvalidMatchError';
    this.key = key;
  }
}

const mostWildcards = 8;
const mostListed = 1000;

/**
 * What a matching key of an identifier or a query parameter asks for (PS3.4 C.2.2.2). Several values are joined by backslash.
 * Undefined: universal matching. Throws InvalidMatchError for what cannot be: a range of names, a UID with wildcards, too many of either.
 */
export function matchOf(key: string, kind: KeyKind, text: string): Match | undefined {
  const value = text.replace(/[\0 ]+$/, '').trimStart();
  if (value === '' || /^\*+$/.test(value)) return undefined;
  if (kind === 'date' || kind === 'time') return rangeOf(key, kind, value);
  const values = value.split('\\').map((one) => one.trim()).filter((one) => one !== '');
  if (values.length > mostListed) throw new InvalidMatchError(key, `${key} lists more than ${mostListed} values`);
  if (kind === 'uid' && !values.every(isUsableUid)) throw new InvalidMatchError(key, `${key} is not a UID or a list of UIDs`);
  if (kind === 'number' && !values.every((one) => /^[+-]?\d{1,9}$/.test(one))) throw new InvalidMatchError(key, `${key} is not a whole number`);
  if (values.length > 1) return { kind: 'list', values };
  const [only = ''] = values;
  if (kind === 'uid' || kind === 'number' || !/[*?]/.test(only)) return { kind: 'exact', value: only };
  const pattern = only.replace(/\*{2,}/g, '*').slice(0, 256);
  if ((pattern.match(/\*/g)?.length ?? 0) > mostWildcards) throw new InvalidMatchError(key, `${key} has more than ${mostWildcards} wildcards`);
  return { kind: 'wildcard', pattern };
}

const forms = { date: /^\d{4}((0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])?)?$/, time: /^([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?$/ };

/** 'a', 'a-b', 'a-', '-b'; the ACR-NEMA forms 2025.01.31 and 12:30 too. */
function rangeOf(key: string, kind: 'date' | 'time', value: string): Match {
  const ends = value.replace(kind === 'date' ? /\./g : /:/g, '').split('-').map((end) => end.trim());
  if (ends.length > 2 || ends.join('') === '' || !ends.every((end) => end === '' || forms[kind].test(end))) throw new InvalidMatchError(key, `${key} is not a ${kind === 'date' ? 'date (YYYYMMDD)' : 'time (HHMMSS)'} or a range of them`);
  const [from = '', to = ''] = ends;
  if (ends.length === 1) return { kind: 'exact', value: from };
  return { kind: 'range', ...(from ? { from } : {}), ...(to ? { to } : {}) };
}
