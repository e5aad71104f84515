/**
 * What can be read here: per resource type its kind of record, its search parameters and what each asks of the records, and which references
 * `_include` follows. The CapabilityStatement is made from this table, and a test walks it.
 */
import type { Criteria, RecordKind, RecordSort, TextColumn } from '#gateway/records.ts';
import { storedSystems } from './code-tables.ts';
import type { Config } from './config.ts';
import { ownIdentifier } from './identifiers.ts';
import { FhirRefusal } from './answer.ts';
import { systems } from './code-tables.ts';
import { authorityOf } from './normalize.ts';
import { refused, tokenOf, unescaped } from './search-values.ts';
import type { Token } from './search-values.ts';

export type ServedType = 'Patient' | 'ServiceRequest' | 'ImagingStudy' | 'DiagnosticReport' | 'Observation' | 'Device' | 'Provenance' | 'AuditEvent' | 'Condition' | 'AllergyIntolerance' | 'Task';
type ToCriteria = (values: readonly string[], config: Config, integrationId: string, modifier: string | undefined) => Criteria;
export interface SearchParameter {
  readonly type: 'token' | 'date' | 'reference' | 'string'; readonly documentation?: string; readonly criteria: ToCriteria | 'at' | 'updated' | 'born';
  /** What may follow the name after a colon. */
  readonly modifiers?: readonly string[];
}
/** `reverse`: what finds the resources of this type that refer to these, where `_revinclude` may ask for them. */
export interface Include { readonly property: string; readonly targets: readonly ServedType[]; readonly reverse?: (ids: readonly string[], target: ServedType) => Criteria }
export interface Served {
  readonly kind: RecordKind; readonly documentation: string; readonly parameters: Readonly<Record<string, SearchParameter>>; readonly includes: Readonly<Record<string, Include>>;
  /** Parameters that `_sort` takes, beside _lastUpdated. */
  readonly sorts: Readonly<Record<string, RecordSort['by']>>;
}

const tokens = (toCriteria: (values: readonly Token[], config: Config, integrationId: string) => Criteria): ToCriteria => (values, config, integrationId) => toCriteria(values.map(tokenOf), config, integrationId);
const words = (values: readonly Token[]): string[] => values.map(({ value }) => value);
const ids: SearchParameter = { type: 'token', criteria: (values) => ({ ids: values }) };
const lastUpdated: SearchParameter = { type: 'date', criteria: 'updated' };
const common = { _id: ids, _lastUpdated: lastUpdated };
const patient: SearchParameter = { type: 'reference', documentation: 'Patient/<id> or <id>.', modifiers: ['Patient'], criteria: (values) => ({ patientIds: values.map((value) => idIn(value, 'Patient')) }) };
const patientIdentifier: SearchParameter = { type: 'token', documentation: 'Chained: an identifier of the patient, system|value.', criteria: tokens((values, config) => ({ patientIdentifiers: values.flatMap((token) => patientTokens(token, config)) })) };
const patientOnly = { ...common, patient, 'patient.identifier': patientIdentifier };
const ofPatient = { ...patientOnly, subject: patient };
const status = (stored: Readonly<Record<string, string>> = {}): SearchParameter => ({ type: 'token', criteria: tokens((values) => ({ statuses: words(values).flatMap((value) => (stored[value] ?? value).split('|')) })) });
const at: SearchParameter = { type: 'date', criteria: 'at' };
const code: SearchParameter = { type: 'token', criteria: tokens((values) => ({ codes: values.map((token) => ({ code: token.value, ...(token.system === undefined ? {} : { systems: token.system === '' ? [''] : storedSystems(token.system) }) })) })) };
const accession: SearchParameter = { type: 'token', documentation: 'Accession number; not a parameter of R4.', criteria: tokens((values) => ({ accessionNumbers: words(values) })) };
const modality: SearchParameter = { type: 'token', criteria: tokens((values) => ({ modalities: words(values) })) };
const basedOn: SearchParameter = { type: 'reference', documentation: 'ServiceRequest/<id> or <id>.', modifiers: ['ServiceRequest'], criteria: (values) => ({ scanIds: values.map((value) => idIn(value, 'ServiceRequest')) }) };
const named = (columns: readonly TextColumn[], documentation: string): SearchParameter => ({
  type: 'string', documentation, modifiers: ['exact', 'contains'],
  criteria: (values, _config, _integrationId, modifier) => ({ texts: [{ columns, match: modifier === 'exact' ? 'is' : modifier === 'contains' ? 'contains' : 'begins', values: values.map(unescaped) }] }),
});
const byName: SearchParameter = { type: 'token', documentation: 'An identifier with which it was sent here.', criteria: tokens((values, _config, integrationId) => ({ names: values.map(({ system = '', value }) => ({ name: `${system}|${value}`, integrationId })) })) };
const subjectInclude: Include = { property: 'subject', targets: ['Patient'], reverse: (patientIds) => ({ patientIds }) };
const ofSubject = { subject: subjectInclude, patient: subjectInclude };
const order: Include = { property: 'basedOn', targets: ['ServiceRequest'], reverse: (scanIds) => ({ scanIds }) };

export const servedTypes: Readonly<Record<ServedType, Served>> = {
  Patient: {
    kind: 'patient', documentation: 'An update replaces what it names and leaves what it omits.', includes: {}, sorts: { family: 'family' },
    parameters: {
      ...common, identifier: { type: 'token', criteria: tokens((values, config) => ({ patientIdentifiers: values.flatMap((token) => patientTokens(token, config)) })) },
      active: { type: 'token', criteria: tokens((values) => ({ statuses: words(values).map((value) => (value === 'false' ? 'inactive' : 'active')) })) },
      family: named(['family_name'], 'Begins with, upper and lower case alike.'), given: named(['given_name', 'middle_name'], 'Begins with, upper and lower case alike.'),
      name: named(['family_name', 'given_name', 'middle_name', 'name_prefix', 'name_suffix'], 'Any part begins with, upper and lower case alike.'),
      birthdate: { type: 'date', criteria: 'born' }, gender: { type: 'token', criteria: tokens((values) => ({ sexes: words(values) })) },
    },
  },
  ServiceRequest: {
    kind: 'order', documentation: 'Imaging orders: accession number as identifier of type ACSN, the patient by subject.identifier, contained, or by an id that was PUT or read here.', includes: ofSubject, sorts: { occurrence: 'at' },
    parameters: {
      ...ofPatient, identifier: { type: 'token', documentation: 'Accession, placer or filler order number.', criteria: tokens((values) => ({ orderNumbers: words(values) })) }, accession,
      status: status({ active: 'ordered', 'on-hold': 'held', revoked: 'cancelled', completed: 'done' }), code, occurrence: at,
    },
  },
  ImagingStudy: {
    kind: 'study', documentation: 'Studies whose images are here (available), or that were announced with their Study Instance UID (registered). Above 1000 images the series are told and not the instances.', includes: { ...ofSubject, basedon: order }, sorts: { started: 'at' },
    parameters: { ...ofPatient, identifier: { type: 'token', documentation: 'urn:dicom:uid|urn:oid:<Study Instance UID>, or an accession number.', criteria: tokens(studyToken) }, accession, status: status(), started: at, modality, basedon: basedOn },
  },
  DiagnosticReport: {
    kind: 'report', documentation: 'The newest version of each report; its history holds the others.', sorts: { date: 'at' },
    includes: { ...ofSubject, 'based-on': order, result: { property: 'result', targets: ['Observation'], reverse: (findingIds) => ({ findingIds }) } },
    parameters: {
      ...ofPatient, identifier: { type: 'token', documentation: 'Of the report, or an accession number.', criteria: tokens(reportToken) }, accession, status: status(), date: at, code, 'based-on': basedOn,
      result: { type: 'reference', modifiers: ['Observation'], criteria: (values) => ({ findingIds: values.map((value) => idIn(value, 'Observation')) }) },
    },
  },
  Observation: {
    kind: 'finding', documentation: 'One for each finding. One that the newest report no longer has is entered-in-error.', sorts: { date: 'at' },
    includes: { ...ofSubject, 'based-on': order, device: { property: 'device', targets: ['Device'] }, 'derived-from': { property: 'derivedFrom', targets: ['ImagingStudy'], reverse: (scanIds) => ({ scanIds }) } },
    parameters: { ...ofPatient, identifier: { type: 'token', documentation: 'The tracking UID.', criteria: tokens((values) => ({ trackingUids: words(values) })) }, accession, status: status(), date: at, code, 'based-on': basedOn },
  },
  Device: {
    kind: 'model', documentation: 'The AI models that made the findings.', includes: {}, sorts: {},
    parameters: { ...common, identifier: { type: 'token', criteria: tokens((values) => ({ ids: words(values).map((value) => value.split('@')[0] ?? '') })) }, status: status({ inactive: 'retired' }) },
  },
  Provenance: {
    kind: 'version', documentation: 'One for each version of a report.', sorts: { recorded: 'at' },
    includes: { target: { property: 'target', targets: ['DiagnosticReport', 'Observation'], reverse: (found, target) => (target === 'Observation' ? { findingIds: found } : { reportIds: found }) } },
    parameters: { ...common, patient, recorded: at, target: { type: 'reference', documentation: 'A DiagnosticReport or an Observation.', criteria: targets } },
  },
  AuditEvent: {
    kind: 'audit', documentation: 'Who did what; for administrators and for clients whose scopes name AuditEvent.', includes: {}, sorts: { date: 'at' },
    parameters: { ...common, patient, date: at },
  },
  Condition: {
    kind: 'condition', documentation: 'What other systems told of the patient. Sent without an id it is the same statement as long as code and onset are.', includes: ofSubject, sorts: { 'recorded-date': 'at' },
    parameters: { ...ofPatient, identifier: byName, code, 'clinical-status': status(), 'recorded-date': at },
  },
  AllergyIntolerance: {
    kind: 'allergy', documentation: 'What other systems told of the patient. Sent without an id it is the same statement as long as code and onset are.', sorts: { date: 'at' },
    includes: { patient: { property: 'patient', targets: ['Patient'], reverse: (patientIds) => ({ patientIds }) } },
    parameters: { ...patientOnly, identifier: byName, code, 'clinical-status': status(), date: at },
  },
  Task: {
    kind: 'task', documentation: 'The reading of a scan as it stands in the queue. A Task that is sent asks for a change of the order it names: on-hold, cancelled, requested again, or another priority.', sorts: { 'authored-on': 'at' },
    includes: { patient: { property: 'for', targets: ['Patient'], reverse: (patientIds) => ({ patientIds }) }, focus: { property: 'focus', targets: ['ServiceRequest', 'ImagingStudy'], reverse: (scanIds) => ({ scanIds }) } },
    parameters: {
      ...patientOnly, subject: patient, identifier: { type: 'token', documentation: 'Accession, placer or filler order number of the order.', criteria: tokens((values) => ({ orderNumbers: words(values) })) }, accession,
      status: status({ requested: 'pending', accepted: 'assigned', 'in-progress': 'in_progress', 'on-hold': 'paused' }), 'authored-on': at,
      focus: { type: 'reference', documentation: 'A ServiceRequest or an ImagingStudy.', modifiers: ['ServiceRequest', 'ImagingStudy'], criteria: (values) => ({ scanIds: values.map((value) => idIn(value, value.includes('ImagingStudy') ? 'ImagingStudy' : 'ServiceRequest')) }) },
    },
  },
};

/** The id in `Type/id`, in a bare id, or in an absolute URL of ours. */
function idIn(reference: string, type: ServedType): string {
  const parts = reference.split('/').filter((part) => part !== '');
  const [named, id] = parts.length === 1 ? [type, parts[0]] : parts.slice(-2);
  if (named !== type || id === undefined || !/^[A-Za-z0-9.-]{1,64}$/.test(id)) throw refused(`a reference must be ${type}/<id> or <id>`);
  return id;
}

/** An OID is an authority as HL7 v2 and DICOM write it, and as FHIR does: either may be stored. */
export function patientTokens({ system, value }: Token, config: Config): { value: string; authority?: string }[] {
  if (system === undefined) return [{ value }];
  const authorities = [authorityOf(system, config), ...(system.startsWith('urn:oid:') ? [system.slice(8)] : /^[0-2](\.\d+)+$/.test(system) ? [`urn:oid:${system}`] : [])];
  return authorities.map((authority) => ({ value, authority }));
}

function studyToken(values: readonly Token[]): Criteria {
  const uids = values.filter(({ system, value }) => system === systems.dicomUid || value.startsWith('urn:oid:'));
  if (uids.length === values.length) return { studyInstanceUids: words(uids).map((value) => value.replace(/^urn:oid:/, '')) };
  if (uids.length > 0) throw refused('study UIDs and accession numbers cannot be alternatives of one search');
  return { accessionNumbers: words(values) };
}

function reportToken(values: readonly Token[], config: Config): Criteria {
  const own = values.filter(({ system }) => system === ownIdentifier(config, 'report', '').system);
  if (own.length > 0 && own.length < values.length) throw refused('identifiers of reports and accession numbers cannot be alternatives of one search');
  return own.length > 0 ? { reportIds: words(own) } : { accessionNumbers: words(values) };
}

function targets(values: readonly string[]): Criteria {
  const observations = values.filter((value) => value.includes('Observation/'));
  if (observations.length > 0 && observations.length < values.length) throw refused('target takes reports or observations, not both at once');
  return observations.length > 0 ? { findingIds: observations.map((value) => idIn(value, 'Observation')) } : { reportIds: values.map((value) => idIn(value, 'DiagnosticReport')) };
}

export function servedType(name: string): ServedType {
  if (Object.hasOwn(servedTypes, name)) return name as ServedType;
  throw new FhirRefusal(404, 'not-supported', `There is no such type here. GET metadata tells what this server has: ${Object.keys(servedTypes).join(', ')}.`);
}
