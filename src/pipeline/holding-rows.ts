/** Rows of the database in DICOM's own forms, as src/gateway/holdings.ts promises them. */
import type { InstanceRow, PatientRow, ScheduledRow, SeriesRow, StudyRow } from '../db/holdings.ts';
import { storedInstance } from '../db/holdings.ts';
import type { InstanceHolding, Match, PatientHolding, ScheduledHolding, SeriesHolding, StudyHolding } from '#gateway/holdings.ts';
import type { ScanPriority } from '#gateway/normalized.ts';
import { daOfIsoDate } from '#standards/dicom/dates.ts';
import { uidOfUuid } from '#standards/dicom/uids.ts';

export const patientOf = (row: Omit<PatientRow, 'patient_id'>): PatientHolding => ({
  patientId: row.patient_number, issuerOfPatientId: row.issuer ?? '', patientName: [row.alphabetic, row.ideographic_name ?? '', row.phonetic_name ?? ''].join('=').replace(/=+$/, ''),
  patientBirthDate: daOfIsoDate(row.birth_date ?? undefined), patientSex: row.sex,
});

export const studyOf = (row: StudyRow): StudyHolding => ({
  ...patientOf(row), scanId: row.scan_id, studyInstanceUid: row.study_instance_uid,
  studyDate: row.study_local?.slice(0, 8) ?? '', studyTime: row.study_local?.slice(8) ?? '', timezoneOffsetFromUtc: row.study_offset_minutes === null ? '' : offsetText(row.study_offset_minutes),
  accessionNumber: row.accession_number ?? '', studyId: row.study_id ?? '', studyDescription: row.study_description ?? '', referringPhysicianName: row.referring_physician ?? '',
  institutionName: row.institution_name ?? '', modalitiesInStudy: row.modalities, numberOfStudyRelatedSeries: row.study_series, numberOfStudyRelatedInstances: row.study_instances,
});

export const seriesOf = (row: SeriesRow): SeriesHolding => ({
  ...studyOf(row), seriesInstanceUid: row.series_instance_uid, modality: row.modality ?? '', seriesNumber: row.series_number, seriesDescription: row.series_description ?? '',
  bodyPartExamined: row.series_body_part ?? '', numberOfSeriesRelatedInstances: row.series_instances,
});

export const instanceOf = (row: InstanceRow): InstanceHolding => ({
  ...seriesOf(row), ...storedInstance(row), instanceNumber: row.instance_number, rows: row.rows, columns: row.columns, numberOfFrames: row.number_of_frames, bitsAllocated: row.bits_allocated,
});

const offsetText = (minutes: number): string => `${minutes < 0 ? '-' : '+'}${String(Math.floor(Math.abs(minutes) / 60)).padStart(2, '0')}${String(Math.abs(minutes) % 60).padStart(2, '0')}`;

/** Requested Procedure Priority (0040,1003). */
const priorities: Readonly<Record<ScanPriority, ScheduledHolding['priority']>> = { stat: 'STAT', emergency: 'STAT', urgent: 'HIGH', routine: 'ROUTINE' };

/** What a scan of a type is done with where the order names no modality. */
export const modalityOfType: Readonly<Record<string, string>> = { xray: 'DX', ct: 'CT', mri: 'MR', ultrasound: 'US', mammogram: 'MG', pet: 'PT', nuclear: 'NM', other: 'OT' };

export const scheduledOf = (row: ScheduledRow): ScheduledHolding => ({
  ...patientOf(row), scanId: row.scan_id, studyInstanceUid: row.study_instance_uid ?? uidOfUuid(row.scan_id),
  accessionNumber: row.accession_number ?? '', placerOrderNumber: row.placer_order_number ?? '', fillerOrderNumber: row.filler_order_number ?? '',
  requestedProcedureId: row.filler_order_number !== null && row.filler_order_number.length <= 16 ? row.filler_order_number : row.scan_number,
  requestedProcedureDescription: row.procedure_description ?? row.procedure_code ?? '', procedureCode: row.procedure_code ?? '', procedureCodingScheme: row.procedure_system ?? '',
  reason: row.reason ?? '', priority: priorities[row.priority], referringPhysicianName: row.referring_physician ?? '', requestingPhysician: row.requesting_physician ?? '',
  modality: row.modality ?? 'OT', bodyPart: row.body_part ?? '', scheduledDate: row.scheduled_local?.slice(0, 8) ?? '', scheduledTime: row.scheduled_local?.slice(8) ?? '',
});

/** The scans that Study Instance UIDs of ours were made from. */
export function scanIdsOf(match: Match | undefined): readonly string[] {
  const uids = match?.kind === 'exact' ? [match.value] : match?.kind === 'list' ? match.values : [];
  return uids.flatMap((uid) => {
    const hex = /^2\.25\.(\d{1,39})$/.test(uid) ? BigInt(uid.slice(5)).toString(16).padStart(32, '0') : '';
    return hex.length === 32 ? [hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')] : [];
  });
}
