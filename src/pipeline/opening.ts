/**
 * What a study's first instance gives the database so that it finds or makes patient and scan by itself (migrations/0041). In: an instance whose
 * place is not known. Out: what it says of both; or nothing, when only the long way can decide (persist-instances.ts).
 */
import type { Opening } from '../db/store-instances.ts';
import { PATIENT_COLUMNS, UNKNOWN_PATIENT } from '../db/patients.ts';
import { priorityScore, slaDueAt } from '#domain/priority.ts';
import type { PatientRow, ScanPriority } from '#gateway/normalized.ts';
import { resultSopClasses } from '#standards/dicom/result-modules.ts';
import { demographicsAfter } from './identify.ts';
import type { PersistItem } from './persist.ts';

export const ARRIVING = 'Images are arriving; the scan is complete when none came for the quiet time.';
const PRIORITIES: readonly ScanPriority[] = ['routine', 'urgent', 'emergency', 'stat'];
const RESULTS = new Set(Object.values(resultSopClasses));

/** Undefined: no identifier, one of ours, or one that is named twice. */
export function openingOf({ normalized, message, exchangeId }: PersistItem, now: Date): Omit<Opening, 'item'> | undefined {
  const { patient, instance, authority } = normalized;
  if (!patient || !instance || authority !== 'image' || patient.patient_id !== undefined || patient.active !== undefined || !areDistinct(patient.identifiers)) return undefined;
  const made = demographicsAfter(UNKNOWN_PATIENT, patient, { authority, syncId: exchangeId, at: message.receivedAt, warnings: [] });
  const { scan_type, study_instance_uid, ...study } = instance.study;
  return {
    ...study, study_instance_uid, scan_type, sop_instance_uid: instance.file.sop_instance_uid, received_at: message.receivedAt.toISOString(), may_be_own_result: RESULTS.has(instance.file.sop_class_uid),
    identifiers: patient.identifiers, patient_number: patient.identifiers[0]!.value, said: saidOf(patient), provenance: made?.provenance ?? {},
    queue: Object.fromEntries(PRIORITIES.map((priority) => [priority, { priority_score: priorityScore(priority), sla_due_at: slaDueAt(priority, now).toISOString() }])) as Opening['queue'],
    why_waiting: ARRIVING, entered_at: now.toISOString(),
  };
}

function areDistinct(identifiers: PatientRow['identifiers']): boolean {
  return identifiers.length > 0 && new Set(identifiers.map((identifier) => `${identifier.assigning_authority}|${identifier.value}`)).size === identifiers.length;
}

const saidOf = (patient: PatientRow): Opening['said'] => Object.fromEntries(PATIENT_COLUMNS.map((column) => [column, patient[column]]));
