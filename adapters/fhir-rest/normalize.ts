/**
 * A stored Patient or ServiceRequest to rows, by mappings/fhir-patient-to-rows.yaml and fhir-service-request-to-rows.yaml. Here is what a mapping
 * file cannot say: which identifier comes first, what a reference names, what Patient.link means.
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { Integration, StoredMessage } from '#gateway/adapter.ts';
import type { MapSettings, MappedRows, Mapper, MappingWarning, Normalized, OrderRow, PatientIdentifier, PatientMerge, PatientRow } from '#gateway/normalized.ts';
import { parseFhirJson } from '#standards/fhir/json.ts';
import { fhirReader } from '#standards/fhir/reader.ts';
import { parseLiteral } from '#standards/fhir/references.ts';
import type { Identifier, Patient, Reference, ServiceRequest } from '#standards/fhir/types.ts';
import type { Config } from './config.ts';

export async function normalize(message: StoredMessage<Config>, map: Mapper): Promise<Normalized> {
  const resource = parseFhirJson(message.head, { byteLength: message.head.byteLength, depth: 64 }) as unknown as Patient | ServiceRequest;
  if (resource.resourceType === 'Patient') return normalizePatient(resource, message, map);
  if (resource.resourceType === 'ServiceRequest') return normalizeServiceRequest(resource, message, map);
  throw new NormalizeError('unsupported', 'only Patient and ServiceRequest become rows', 'resourceType');
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
  const { integration } = message;
  const mapped = map('fhir-service-request-to-rows', fhirReader(request), settingsOf(integration.config));
  const { order, warnings } = withExactTime(withNumber(rowOf(mapped, 'order') as unknown as OrderRow, request, message));
  const named = identifiersOf(mapped, integration);
  const contained = containedPatient(request);
  const subject = contained === undefined ? undefined : map('fhir-patient-to-rows', fhirReader(contained), settingsOf(integration.config));
  const own = ownPatientId(request.subject);
  const patient: PatientRow = own !== undefined ? { patient_id: own, identifiers: named } : subject === undefined ? { identifiers: [...named, ...referenced(request.subject, integration)] } : patientRow(subject, integration, named);
  if (own === undefined && patient.identifiers.length === 0 && contained === undefined) throw new NormalizeError('invalid', 'must name the patient: by subject.identifier, by Patient/<id> with an id that was PUT here, or contained', 'ServiceRequest.subject');
  return {
    authority: 'order', patient, order, warnings: [...mapped.warnings, ...warnings, ...subject?.warnings ?? []],
    trace: [...mapped.trace, ...subject?.trace ?? []], mapping: mapped.mapping,
  };
}

/**
 * An order is found again by its numbers. The sender is who placed it, so an identifier of no known type, or the id it was PUT under, is
 * its placer order number.
 */
function withNumber(row: OrderRow, request: ServiceRequest, { facts, integration }: StoredMessage<Config>): OrderRow {
  const { accession_system: system } = integration.config;
  const accession = system === undefined ? undefined : request.identifier?.find((identifier) => identifier.system === system)?.value;
  const order = accession === undefined ? row : { ...row, accession_number: accession };
  if ([order.accession_number, order.placer_order_number, order.filler_order_number, order.study_instance_uid].some((number) => number !== undefined)) return order;
  const number = request.identifier?.find((identifier) => identifier.value !== undefined)?.value ?? facts['id'];
  if (typeof number !== 'string') throw new NormalizeError('invalid', 'an order needs a number: an identifier of type ACSN, PLAC or FILL, a Study Instance UID (urn:dicom:uid), or any other identifier', 'ServiceRequest.identifier');
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

function containedPatient(request: ServiceRequest): Patient | undefined {
  const id = request.subject.reference?.startsWith('#') === true ? request.subject.reference.slice(1) : undefined;
  return request.contained?.find((resource): resource is Patient => resource.resourceType === 'Patient' && resource.id === id);
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
