/**
 * A stored resource to rows, by mappings/fhir-*-to-rows.yaml. Here is what a mapping file cannot say: which identifier comes first, what a reference
 * names, what Patient.link means.
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { Integration, StoredMessage } from '#gateway/adapter.ts';
import type { HistoryRow, MapSettings, MappedRows, Mapper, MappingWarning, Normalized, OrderRow, PatientIdentifier, PatientMerge, PatientRow } from '#gateway/normalized.ts';
import { issueText } from '#standards/fhir/operation-outcome.ts';
import { fhirReader } from '#standards/fhir/reader.ts';
import { parseLiteral } from '#standards/fhir/references.ts';
import type { AllergyIntolerance, Condition, Identifier, ImagingStudy, Patient, Reference, Resource, ServiceRequest, Task } from '#standards/fhir/types.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import { resourceFrom } from './body.ts';
import type { Config } from './config.ts';

type Written = Patient | ServiceRequest | ImagingStudy | Task | Condition | AllergyIntolerance;

export async function normalize(message: StoredMessage<Config>, map: Mapper): Promise<Normalized> {
  const mediaType = message.facts['mediaType'] === 'application/fhir+xml' ? 'application/fhir+xml' : 'application/fhir+json';
  const resource = await resourceFrom({ bytes: message.head, mediaType }).catch((error: unknown) => { throw new NormalizeError('malformed', error instanceof Error ? error.message : 'cannot be read'); }) as unknown as Written;
  if (message.facts['replayOf'] !== undefined) checkReplay(resource, message.facts);
  switch (resource.resourceType) {
    case 'Patient': return normalizePatient(resource, message, map);
    case 'ServiceRequest': return normalizeServiceRequest(resource, message, map);
    case 'ImagingStudy': return normalizeImagingStudy(resource, message, map);
    case 'Task': return normalizeTask(resource, message, map);
    case 'Condition': return normalizeStatement(resource, resource.subject, 'fhir-condition-to-rows', message, map);
    case 'AllergyIntolerance': return normalizeStatement(resource, resource.patient, 'fhir-allergy-intolerance-to-rows', message, map);
    default: throw new NormalizeError('unsupported', 'this type of resource does not become rows; a transaction has to be sent again by its sender', 'resourceType');
  }
}

/** What is sent again by a person has not come through the door: what is judged there is judged here. */
function checkReplay(resource: Resource, facts: StoredMessage['facts']): void {
  if (facts['precondition'] === 'failed') throw new NormalizeError('conflict', 'the sender wanted this only under a condition that did not hold; only the sender can ask again');
  const [first] = validateResource(resource);
  if (first !== undefined) throw new NormalizeError('invalid', issueText(first), first.expression);
}

function normalizePatient(patient: Patient, message: StoredMessage<Config>, map: Mapper): Normalized {
  const mapped = map('fhir-patient-to-rows', fhirReader(patient), settingsOf(message.integration.config));
  const row = patientRow(mapped, message.integration);
  const { id } = message.facts;
  const identifiers = typeof id === 'string' ? [...row.identifiers, logicalIdentifier(id, message.integration)] : row.identifiers;
  return {
    authority: 'registration', patient: { ...row, identifiers }, merges: mergesOf(patient, identifiers, message.integration),
    warnings: mapped.warnings, trace: mapped.trace, mapping: mapped.mapping,
  };
}

function normalizeServiceRequest(request: ServiceRequest, message: StoredMessage<Config>, map: Mapper): Normalized {
  const mapped = map('fhir-service-request-to-rows', fhirReader(request), settingsOf(message.integration.config));
  const { order, warnings } = withExactTime(withNumber(rowOf(mapped, 'order') as unknown as OrderRow, request, message));
  return aboutPatient({ authority: 'order', order }, request, request.subject, 'ServiceRequest.subject', mapped, warnings, message, map);
}

/** An announcement: the scan is there before its images, and they find it by their Study Instance UID. */
function normalizeImagingStudy(study: ImagingStudy, message: StoredMessage<Config>, map: Mapper): Normalized {
  const mapped = map('fhir-imaging-study-to-rows', fhirReader(study), settingsOf(message.integration.config));
  const { accession_system: system } = message.integration.config;
  const accession = system === undefined ? undefined : study.identifier?.find((identifier) => identifier.system === system)?.value;
  const order = { ...rowOf(mapped, 'order'), ...(accession === undefined ? {} : { accession_number: accession }) } as OrderRow;
  if (typeof order.study_instance_uid !== 'string') throw new NormalizeError('invalid', 'a study needs its Study Instance UID: an identifier of system urn:dicom:uid', 'ImagingStudy.identifier');
  return aboutPatient({ authority: 'order', order }, study, study.subject, 'ImagingStudy.subject', mapped, [], message, map);
}

/** What is asked of an order or a study that is named: by identifier, or by an id (write-request.ts put its numbers into the facts' place). */
function normalizeTask(task: Task, message: StoredMessage<Config>, map: Mapper): Normalized {
  const mapped = map('fhir-task-to-rows', fhirReader(task), settingsOf(message.integration.config));
  const order = rowOf(mapped, 'order') as unknown as OrderRow;
  if (task.for === undefined) throw new NormalizeError('invalid', 'must name the patient', 'Task.for');
  return aboutPatient({ authority: 'order', order }, task, task.for, 'Task.for', mapped, [], message, map);
}

function normalizeStatement(resource: Condition | AllergyIntolerance, subject: Reference, mapping: string, message: StoredMessage<Config>, map: Mapper): Normalized {
  const mapped = map(mapping, fhirReader(resource), settingsOf(message.integration.config));
  const statement = rowOf(mapped, 'patient_medical_history') as unknown as HistoryRow;
  return aboutPatient({ authority: 'order', history: [statement] }, resource, subject, `${resource.resourceType}.${resource.resourceType === 'Condition' ? 'subject' : 'patient'}`, mapped, [], message, map);
}

/** With the patient that the resource is about: by our own id, contained, by identifier, or by an id that was PUT here. */
function aboutPatient(
  said: Pick<Normalized, 'authority' | 'order' | 'history'>, resource: Resource & { contained?: Resource[] | undefined }, subject: Reference, place: string, mapped: MappedRows, warnings: readonly MappingWarning[],
  { integration, facts }: StoredMessage<Config>, map: Mapper,
): Normalized {
  const named = identifiersOf(mapped, integration), contained = containedPatient(resource, subject), own = ownPatientId(subject);
  const demographics = contained === undefined ? undefined : map('fhir-patient-to-rows', fhirReader(contained), settingsOf(integration.config));
  const patient: PatientRow = own !== undefined ? { patient_id: own, identifiers: named } : demographics === undefined ? { identifiers: [...named, ...referenced(subject, integration)] } : patientRow(demographics, integration, named);
  const isInTransaction = facts['transaction'] !== undefined && subject.reference?.startsWith('urn:') === true;
  if (own === undefined && patient.identifiers.length === 0 && contained === undefined && !isInTransaction) throw new NormalizeError('invalid', 'must name the patient: by identifier, by Patient/<id> with an id that was PUT or read here, or contained', place);
  return {
    ...said, patient, warnings: [...mapped.warnings, ...warnings, ...demographics?.warnings ?? []], trace: () => [...mapped.trace(), ...demographics?.trace() ?? []], mapping: mapped.mapping,
  };
}

/**
 * An order is found again by its numbers. The sender is who placed it, so an identifier of no known type, or the id it has there - that of
 * the PUT, or the one a created resource came with - is its placer order number.
 */
function withNumber(row: OrderRow, request: ServiceRequest, { facts, integration }: StoredMessage<Config>): OrderRow {
  const { accession_system: system } = integration.config;
  const accession = system === undefined ? undefined : request.identifier?.find((identifier) => identifier.system === system)?.value;
  const order = accession === undefined ? row : { ...row, accession_number: accession };
  if ([order.accession_number, order.placer_order_number, order.filler_order_number, order.study_instance_uid].some((number) => number !== undefined)) return order;
  const number = request.identifier?.find((identifier) => identifier.value !== undefined)?.value ?? facts['id'] ?? request.id;
  if (typeof number !== 'string') throw new NormalizeError('invalid', 'an order needs a number: an identifier of type ACSN, PLAC or FILL, a Study Instance UID (urn:dicom:uid), any other identifier, or the id it has at its sender', 'ServiceRequest.identifier');
  return { ...order, placer_order_number: number };
}

/** '2026' and '2026-01' are FHIR dateTimes but no times to put into a schedule. */
function withExactTime(row: OrderRow): { order: OrderRow; warnings: readonly MappingWarning[] } {
  const { scheduled_at: scheduledAt, ...order } = row;
  if (typeof scheduledAt !== 'string' || scheduledAt.length >= 10) return { order: row, warnings: [] };
  return { order, warnings: [{ location: 'ServiceRequest.occurrence[x]', text: 'names a month or a year only and was not taken as the scheduled time' }] };
}

function settingsOf(config: Config): MapSettings {
  return { assigning_authority: config.assigning_authority, time_zone: config.time_zone };
}

function patientRow(mapped: MappedRows, integration: Integration<Config>, first: readonly PatientIdentifier[] = []): PatientRow {
  const lists = { address: mapped.rows['patients.address'], telecom: mapped.rows['patients.telecom'] };
  const present = Object.fromEntries(Object.entries(lists).filter(([, rows]) => Array.isArray(rows) && rows.length > 0));
  return { ...rowOf(mapped, 'patients'), ...present, identifiers: distinct([...first, ...identifiersOf(mapped, integration)]) } as PatientRow;
}

function rowOf(mapped: MappedRows, table: string): object {
  const row = mapped.rows[table];
  return row === undefined || Array.isArray(row) ? {} : row;
}

/** Medical record numbers first, retired identifiers last: the first one is matched by and shown. */
function identifiersOf(mapped: MappedRows, integration: Integration<Config>): PatientIdentifier[] {
  const rows = (mapped.rows['patient_identifiers'] ?? []) as readonly { value: string; assigning_authority?: string; type_code?: string; use?: string }[];
  const rank = (row: { type_code?: string; use?: string }): number => row.use === 'old' ? 3 : row.type_code === 'MR' ? 0 : row.use === 'temp' || row.use === 'secondary' ? 2 : 1;
  return rows.toSorted((a, b) => rank(a) - rank(b)).map(({ value, assigning_authority = '', type_code }) =>
    ({ value, assigning_authority: authorityOf(assigning_authority, integration.config), ...(type_code === undefined ? {} : { type_code }) }));
}

/** The name by which the other systems here call this Identifier.system. */
export function authorityOf(system: string, config: Config): string {
  return Object.entries(config.identifier_systems).find(([, known]) => known === system)?.[0] ?? system;
}

/**
 * `Patient/123` means what this sender PUT as Patient/123: its logical ids are identifiers of a namespace of their own, so that an order
 * finds the patient whichever of the two comes first.
 */
function logicalIdentifier(id: string, integration: Integration<Config>): PatientIdentifier {
  return { value: id, assigning_authority: logicalAuthority(integration.integrationId), type_code: 'RI' };
}
export function logicalAuthority(integrationId: string): string {
  return `urn:medscan:fhir:${integrationId}`;
}

const ownId = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function referenced(reference: Reference, integration: Integration<Config>): PatientIdentifier[] {
  const literal = reference.reference === undefined ? undefined : parseLiteral(reference.reference);
  if (literal?.type !== 'Patient') return [];
  if (literal.base !== '') return [{ value: literal.id, assigning_authority: `${literal.base}Patient`, type_code: 'RI' }];
  if (ownId.test(literal.id) && reference.identifier === undefined) {
    throw new NormalizeError('unsupported', 'the gateway\'s own ids are not taken in Patient.link: name the patient by identifier', 'Patient.link');
  }
  return [logicalIdentifier(literal.id, integration)];
}

/** Ids that the gateway gave out are UUIDs of version 7. */
function ownPatientId(reference: Reference): string | undefined {
  const literal = reference.reference === undefined ? undefined : parseLiteral(reference.reference);
  return literal?.type === 'Patient' && literal.base === '' && ownId.test(literal.id) ? literal.id : undefined;
}

function containedPatient({ contained }: { contained?: Resource[] | undefined }, subject: Reference): Patient | undefined {
  const id = subject.reference?.startsWith('#') === true ? subject.reference.slice(1) : undefined;
  return contained?.find((resource): resource is Patient => resource.resourceType === 'Patient' && resource.id === id);
}

/** Patient.link replaced-by / replaces (R4 patient.html#links) with the other patient by identifier or by a logical id. */
function mergesOf(patient: Patient, own: readonly PatientIdentifier[], integration: Integration<Config>): PatientMerge[] {
  return (patient.link ?? []).flatMap((link): PatientMerge[] => {
    const other = [...identifierOf(link.other.identifier, integration), ...referenced(link.other, integration)];
    if (other.length === 0 || own.length === 0) return [];
    if (link.type === 'replaced-by') return [{ survivor: other, prior: own }];
    return link.type === 'replaces' ? [{ survivor: own, prior: other }] : [];
  });
}

function identifierOf(identifier: Identifier | undefined, integration: Integration<Config>): PatientIdentifier[] {
  if (identifier?.value === undefined) return [];
  return [{ value: identifier.value, assigning_authority: authorityOf(identifier.system ?? integration.config.assigning_authority ?? '', integration.config) }];
}

function distinct(identifiers: readonly PatientIdentifier[]): PatientIdentifier[] {
  return [...new Map(identifiers.map((identifier) => [`${identifier.assigning_authority}|${identifier.value}`, identifier])).values()];
}
