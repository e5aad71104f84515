/**
 * What every result object says the same way: whose study it joins, which software made it and when. A result has the study's patient and Study
 * Instance UID and series of its own; the same document under the same control id gives the same bytes.
 */
import type { ReportDocument, ReportModel } from '#domain/report-document.ts';
import type { DatasetElements } from './dataset-writer.ts';
import type { WritableCharacterSet } from './encode-text.ts';
import { daOfIsoDate, localDaTm } from './dates.ts';
import { implementationVersionName } from './part10.ts';
import { formatPersonName } from './person-name.ts';
import { comprehensive3dSr } from './sop-classes.ts';
import { line } from './sr-content.ts';
import { patientSexes } from './sr-codes.ts';
import { deriveUid } from './uids.ts';

/** As what a report may go to a PACS. */
export const resultKinds = ['structured-report', 'encapsulated-pdf', 'secondary-capture'] as const;
export type ResultKind = (typeof resultKinds)[number];
export const resultSopClasses: Readonly<Record<ResultKind, string>> = { 'structured-report': comprehensive3dSr, 'encapsulated-pdf': '1.2.840.10008.5.1.4.1.1.104.1', 'secondary-capture': '1.2.840.10008.5.1.4.1.1.7' };

export interface ResultOptions {
  /** Delivery's control id: SOP Instance UIDs are derived from it. */
  readonly controlId: string;
  /** Content date and time where the document's issuedAt is not a time. */
  readonly now: Date;
  readonly manufacturer?: string;
  /** IANA zone of the hospital: dates and times are written in it, as the study's own images have them. UTC when absent. */
  readonly timeZone?: string;
  /** For a receiver that cannot read UTF-8, which is used when absent. */
  readonly characterSet?: WritableCharacterSet | undefined;
}
export interface ResultObject {
  readonly sopInstanceUid: string; readonly sopClassUid: string; readonly transferSyntaxUid: string;
  /** The dataset alone, as C-STORE sends it; put buildPart10Header before it for a file. */
  readonly dataset: Buffer;
}

/** PS3.3 C.7.1.1. The Patient ID that the images carry: the medical record number, else the first identifier. */
export function patientModule({ patient }: ReportDocument): DatasetElements {
  const identifier = patient.identifiers.find((one) => one.typeCode === 'MR') ?? patient.identifiers[0];
  return {
    '(0010,0010)': formatPersonName({
      family: patient.familyName, given: patient.givenName, middle: patient.middleName, prefix: patient.namePrefix, suffix: patient.nameSuffix,
      ideographic: patient.ideographicName, phonetic: patient.phoneticName,
    }),
    '(0010,0020)': line(identifier?.value ?? patient.patientNumber, 64),
    '(0010,0021)': identifier === undefined || identifier.assigningAuthority === '' ? undefined : line(identifier.assigningAuthority, 64),
    '(0010,0030)': daOfIsoDate(patient.birthDate),
    '(0010,0040)': patientSexes[patient.sex ?? 'unknown'],
  };
}

/** PS3.3 C.7.2.1. */
export function studyModule({ scan }: ReportDocument, options: ResultOptions): DatasetElements {
  const { da, tm } = localDaTm(scan.studyAt, options.timeZone);
  return {
    '(0020,000d)': scan.studyInstanceUid, '(0008,0020)': da, '(0008,0030)': tm,
    '(0008,0050)': line(scan.accessionNumber ?? '', 16), '(0008,0090)': line(scan.referringPhysician ?? '', 200), '(0020,0010)': line(scan.studyId ?? '', 16),
    '(0008,1030)': scan.studyDescription === undefined ? undefined : line(scan.studyDescription, 64),
  };
}

/** PS3.3 C.7.5.1, C.7.5.2. */
export function equipmentModule(document: ReportDocument, { manufacturer = 'MedScan' }: ResultOptions): DatasetElements {
  return {
    '(0008,0070)': line(manufacturer, 64), '(0008,1090)': 'MedScan Gateway', '(0018,1000)': line(document.organization.organizationId, 64),
    '(0018,1020)': [implementationVersionName, ...document.models.map(softwareVersion)], '(0008,0080)': line(document.organization.name, 64),
  };
}
function softwareVersion({ name, version }: ReportModel): string {
  return line(`${line(name, 40)} ${version}`, 64);
}

/** All versions of one report share a series of each kind. */
export const resultSeriesUid = (kind: 'sr' | 'sc' | 'pdf', { scan, reportId }: { readonly reportId: string; readonly scan: Pick<ReportDocument['scan'], 'studyInstanceUid'> }): string => deriveUid(`series:${kind}:${scan.studyInstanceUid}:${reportId}`);

export function contentTime({ issuedAt }: ReportDocument, { now, timeZone }: ResultOptions): ReturnType<typeof localDaTm> {
  return localDaTm(Number.isNaN(Date.parse(issuedAt)) ? now.toISOString() : issuedAt, timeZone);
}

/** SC Equipment (PS3.3 C.8.6.1): not from a modality, but made on a workstation. */
export function secondaryCaptureEquipment({ manufacturer = 'MedScan' }: ResultOptions): DatasetElements {
  return { '(0008,0064)': 'WSD', '(0018,1016)': line(manufacturer, 64), '(0018,1018)': 'MedScan Gateway', '(0018,1019)': implementationVersionName };
}
export const isWithdrawn = ({ status }: ReportDocument): boolean => status === 'cancelled' || status === 'entered-in-error';
