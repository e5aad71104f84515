/** What other systems told of a patient (Condition, AllergyIntolerance), and where the reading of a scan stands (Task). */
import type { StatementRecord, TaskRecord } from '#gateway/records.ts';
import { isFhirDateTime } from '#standards/fhir/dates.ts';
import { narrativeOf } from '#standards/fhir/narrative.ts';
import type { AllergyIntolerance, Annotation, CodeableConcept, Condition, Reference, Task } from '#standards/fhir/types.ts';
import { concept, conceptOf, requestPriorities } from './code-tables.ts';
import type { Config } from './config.ts';

const terminology = 'http://terminology.hl7.org/CodeSystem';
const conditionStatuses = new Set(['active', 'recurrence', 'relapse', 'inactive', 'remission', 'resolved']), allergyStatuses = new Set(['active', 'inactive', 'resolved']);
const criticalities = new Set(['low', 'high', 'unable-to-assess']);

export function conditionResource(record: StatementRecord, config: Config): Condition {
  const isInError = record.status === 'entered-in-error';
  return {
    resourceType: 'Condition', ...text(record.display), subject: patient(record), code: codeOf(record, config), recordedDate: record.createdAt, ...onsetOf(record),
    // con-5: what was entered in error has no clinical status.
    ...(isInError ? { verificationStatus: concept(`${terminology}/condition-ver-status`, 'entered-in-error') } : conditionStatuses.has(record.status ?? '') ? { clinicalStatus: concept(`${terminology}/condition-clinical`, record.status!) } : {}),
    ...(record.severity === undefined ? {} : { severity: { text: record.severity } }),
  };
}

export function allergyResource(record: StatementRecord, config: Config): AllergyIntolerance {
  const { severity } = record, isInError = record.status === 'entered-in-error';
  return {
    resourceType: 'AllergyIntolerance', ...text(record.display), patient: patient(record), code: codeOf(record, config), recordedDate: record.createdAt, ...onsetOf(record),
    // ait-1 wants a clinical status; what was told and never taken back is active.
    ...(isInError ? { verificationStatus: concept(`${terminology}/allergyintolerance-verification`, 'entered-in-error') } : { clinicalStatus: concept(`${terminology}/allergyintolerance-clinical`, allergyStatuses.has(record.status ?? '') ? record.status! : 'active') }),
    // HL7 v2 tells how severe the reaction was, which is not how dangerous the allergy is: in words, so that it is not taken for the other.
    ...(severity === undefined ? {} : criticalities.has(severity) ? { criticality: severity as 'low' } : { note: [{ text: `Severity: ${severity}` } satisfies Annotation] }),
  };
}

const patient = ({ patientId }: { readonly patientId: string }): Reference<never> => ({ reference: `Patient/${patientId}` });

function codeOf({ code, codeSystem, display }: StatementRecord, config: Config): CodeableConcept {
  return code === undefined ? { text: display } : conceptOf({ system: codeSystem ?? '', code, display }, config.resource_system);
}

function onsetOf({ onset }: StatementRecord): { onsetDateTime?: string; onsetString?: string } {
  return onset === undefined ? {} : isFhirDateTime(onset) ? { onsetDateTime: onset } : { onsetString: onset };
}

function text(words: string): { text?: { status: 'generated'; div: string } } {
  const narrative = narrativeOf(words);
  return narrative === undefined ? {} : { text: narrative };
}

const taskStatuses = { pending: 'requested', assigned: 'accepted', in_progress: 'in-progress', completed: 'completed', paused: 'on-hold', cancelled: 'cancelled' } as const;

export function taskResource(record: TaskRecord): Task {
  const focus: Reference<never> | undefined = record.hasOrder ? { reference: `ServiceRequest/${record.id}` } : record.hasImages ? { reference: `ImagingStudy/${record.id}` } : undefined;
  const order: Reference<never>[] = record.hasOrder ? [{ reference: `ServiceRequest/${record.id}` }] : [];
  return {
    resourceType: 'Task', ...text('Reading of a scan'), ...(order.length === 0 ? {} : { basedOn: order }), status: taskStatuses[record.status], intent: 'order', priority: requestPriorities.get(record.priority) ?? 'routine',
    description: 'Reading of a scan by AI', ...(focus === undefined ? {} : { focus }), for: patient(record), authoredOn: record.enteredAt, lastModified: record.updatedAt,
    ...(record.whyWaiting === undefined ? {} : { statusReason: { text: record.whyWaiting } }),
    ...(record.startedAt === undefined ? {} : { executionPeriod: { start: record.startedAt, ...(record.completedAt === undefined || record.completedAt < record.startedAt ? {} : { end: record.completedAt }) } }),
  };
}
