/** Rows of what the gateway holds as DICOM attributes, and which of them can be matched at which level (PS3.4 C.6). */
import type { InstanceHolding, KeyKind, Match, PatientHolding, ScheduledHolding, SeriesHolding, StudyHolding } from '#gateway/holdings.ts';
import { InvalidMatchError, matchKeys, matchOf } from '#gateway/holdings.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { formatTag } from '#standards/dicom/tag.ts';
import type { Identifier } from './identifier.ts';

export type Level = 'PATIENT' | 'STUDY' | 'SERIES' | 'IMAGE';
export const levels: readonly Level[] = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'];
export const uniqueKeys: Readonly<Record<Level, number>> = { PATIENT: 0x00100020, STUDY: 0x0020000d, SERIES: 0x0020000e, IMAGE: 0x00080018 };

const keyTags: Readonly<Record<string, number>> = {
  patientName: 0x00100010, patientId: 0x00100020, issuerOfPatientId: 0x00100021, patientBirthDate: 0x00100030, patientSex: 0x00100040,
  studyInstanceUid: 0x0020000d, studyDate: 0x00080020, studyTime: 0x00080030, accessionNumber: 0x00080050, studyId: 0x00200010, studyDescription: 0x00081030,
  referringPhysicianName: 0x00080090, modalitiesInStudy: 0x00080061, institutionName: 0x00080080,
  seriesInstanceUid: 0x0020000e, modality: 0x00080060, seriesNumber: 0x00200011, seriesDescription: 0x0008103e, bodyPartExamined: 0x00180015,
  sopInstanceUid: 0x00080018, sopClassUid: 0x00080016, instanceNumber: 0x00200013, requestedProcedureId: 0x00401001, scheduledDate: 0x00400002, scheduledTime: 0x00400003,
};
const keysOfLevel = { PATIENT: matchKeys.patient, STUDY: matchKeys.study, SERIES: matchKeys.series, IMAGE: matchKeys.instance } as const;

/** An identifier that cannot be answered: A900 with the element it is about. */
export class InvalidIdentifier extends Error {
  readonly tag: number | undefined;
  constructor(text: string, tag?: number) {
    super(text);
    this.name = 'InvalidIdentifier';
    this.tag = tag;
  }
}

export function matchesOf(identifier: Identifier, level: Level): Record<string, Match | undefined> { return readMatches(identifier, keysOfLevel[level]); }
export const worklistMatches = (identifier: Identifier, step: Identifier | undefined): Record<string, Match | undefined> => {
  const { scheduledDate, scheduledTime, modality, ...ofPatient } = matchKeys.scheduled;
  return { ...readMatches(identifier, ofPatient), ...(step ? readMatches(step, { scheduledDate, scheduledTime, modality }) : {}) };
};

function readMatches(identifier: Identifier, keys: Readonly<Record<string, KeyKind>>): Record<string, Match | undefined> {
  return Object.fromEntries(Object.entries(keys).map(([key, kind]) => {
    const tag = keyTags[key] ?? 0;
    try {
      return [key, matchOf(key, kind, identifier.text(tag))];
    } catch (error) {
      throw error instanceof InvalidMatchError ? new InvalidIdentifier(error.message, tag) : error;
    }
  }));
}

/** True: a key has a value that is answered but was not matched (status FF01 instead of FF00). */
export function hasUnmatchedKeys(identifier: Identifier, level: Level): boolean {
  const matched = new Set([0x00080005, 0x00080052, 0x00080054, 0x00080056, 0x00080201, ...Object.keys(keysOfLevel[level]).map((key) => keyTags[key] ?? 0)]);
  return [...identifier.dataset.values()].some(({ tag, bytes }) => bytes.length > 0 && (tag & 0xffff) !== 0 && !matched.has(tag));
}

const named = (key: string): string => formatTag(keyTags[key] ?? 0);
const count = (value: number | null): string => (value === null ? '' : String(value));

export const patientAttributes = (row: PatientHolding): DatasetElements => ({
  [named('patientName')]: row.patientName, [named('patientId')]: row.patientId, [named('issuerOfPatientId')]: row.issuerOfPatientId, [named('patientBirthDate')]: row.patientBirthDate, [named('patientSex')]: row.patientSex,
});
export const studyAttributes = (row: StudyHolding): DatasetElements => ({
  ...patientAttributes(row), [named('studyInstanceUid')]: row.studyInstanceUid, [named('studyDate')]: row.studyDate, [named('studyTime')]: row.studyTime, '(0008,0201)': row.timezoneOffsetFromUtc,
  [named('accessionNumber')]: row.accessionNumber, [named('studyId')]: row.studyId, [named('studyDescription')]: row.studyDescription, [named('referringPhysicianName')]: row.referringPhysicianName,
  [named('modalitiesInStudy')]: row.modalitiesInStudy, [named('institutionName')]: row.institutionName, '(0020,1206)': count(row.numberOfStudyRelatedSeries), '(0020,1208)': count(row.numberOfStudyRelatedInstances),
});
export const seriesAttributes = (row: SeriesHolding): DatasetElements => ({
  ...studyAttributes(row), [named('seriesInstanceUid')]: row.seriesInstanceUid, [named('modality')]: row.modality, [named('seriesNumber')]: count(row.seriesNumber), [named('seriesDescription')]: row.seriesDescription,
  [named('bodyPartExamined')]: row.bodyPartExamined, '(0020,1209)': count(row.numberOfSeriesRelatedInstances),
});
export const instanceAttributes = (row: InstanceHolding): DatasetElements => ({
  ...seriesAttributes(row), [named('sopInstanceUid')]: row.sopInstanceUid, [named('sopClassUid')]: row.sopClassUid, [named('instanceNumber')]: count(row.instanceNumber),
  '(0028,0010)': row.rows ?? undefined, '(0028,0011)': row.columns ?? undefined, '(0028,0008)': count(row.numberOfFrames), '(0028,0100)': row.bitsAllocated ?? undefined, '(0008,3002)': row.transferSyntaxUid,
});

/** PS3.4 table K.6-1. The order names no station: it may be done where it is asked for. */
export function worklistAttributes(row: ScheduledHolding, stationAeTitle: string): DatasetElements {
  const procedure = row.procedureCode === '' ? [] : [{ '(0008,0100)': row.procedureCode.slice(0, 16), '(0008,0102)': row.procedureCodingScheme || 'L', '(0008,0104)': row.requestedProcedureDescription }];
  return {
    ...patientAttributes(row), [named('accessionNumber')]: row.accessionNumber, [named('referringPhysicianName')]: row.referringPhysicianName, [named('studyInstanceUid')]: row.studyInstanceUid,
    '(0032,1032)': row.requestingPhysician, '(0032,1060)': row.requestedProcedureDescription, '(0032,1064)': procedure, '(0040,1001)': row.requestedProcedureId, '(0040,1003)': row.priority,
    '(0040,1002)': row.reason, '(0040,2016)': row.placerOrderNumber, '(0040,2017)': row.fillerOrderNumber,
    '(0040,0100)': [{
      '(0008,0060)': row.modality, '(0040,0001)': stationAeTitle, '(0040,0002)': row.scheduledDate, '(0040,0003)': row.scheduledTime, '(0040,0007)': row.requestedProcedureDescription,
      '(0040,0008)': procedure, '(0040,0009)': row.requestedProcedureId, '(0040,0020)': 'SCHEDULED',
    }],
  } as DatasetElements;
}
