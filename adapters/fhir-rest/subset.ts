/**
 * Parts of resources (R4 search.html#summary, #elements). What is cut is tagged SUBSETTED, so that nobody sends it back as the whole.
 *
 *   true   the elements that the standard marks as summary      text   narrative, id, meta and what must be there
 *   data   everything but the narrative                         count  no resources at all
 */
import type { Resource } from '#standards/fhir/types.ts';
import { typeNamed } from '#standards/fhir/structure.ts';
import { refused } from './search-values.ts';
import type { ServedType } from './served-types.ts';

export type Summary = 'true' | 'text' | 'data' | 'count' | 'false';
export interface Subsetting { readonly summary: Summary | undefined; readonly elements: readonly string[] | undefined }

/** Of what is told here: the elements with isSummary in the StructureDefinitions of R4, beside id, meta, implicitRules and language. */
export const summaryElements: Readonly<Record<ServedType, readonly string[]>> = {
  Patient: ['identifier', 'active', 'name', 'telecom', 'gender', 'birthDate', 'deceased[x]', 'address', 'managingOrganization', 'link'],
  ServiceRequest: ['identifier', 'basedOn', 'requisition', 'status', 'intent', 'category', 'priority', 'doNotPerform', 'code', 'orderDetail', 'quantity[x]', 'subject', 'encounter', 'occurrence[x]', 'asNeeded[x]', 'authoredOn', 'requester', 'performerType', 'performer', 'locationCode', 'locationReference', 'reasonCode', 'reasonReference', 'specimen', 'bodySite', 'patientInstruction', 'instantiatesCanonical', 'instantiatesUri', 'replaces'],
  ImagingStudy: ['identifier', 'status', 'modality', 'subject', 'encounter', 'started', 'basedOn', 'referrer', 'interpreter', 'endpoint', 'numberOfSeries', 'numberOfInstances', 'procedureReference', 'procedureCode', 'location', 'reasonCode', 'reasonReference', 'note', 'description', 'series'],
  DiagnosticReport: ['identifier', 'status', 'category', 'code', 'subject', 'encounter', 'effective[x]', 'issued', 'performer', 'resultsInterpreter', 'media'],
  Observation: ['identifier', 'basedOn', 'partOf', 'status', 'code', 'subject', 'focus', 'encounter', 'effective[x]', 'issued', 'performer', 'value[x]', 'hasMember', 'derivedFrom', 'component'],
  Device: ['udiCarrier', 'status', 'safety'],
  Provenance: ['target', 'recorded', 'agent'],
  AuditEvent: ['type', 'subtype', 'action', 'recorded', 'outcome', 'outcomeDesc', 'purposeOfEvent', 'agent', 'source'],
  Condition: ['identifier', 'clinicalStatus', 'verificationStatus', 'code', 'bodySite', 'subject', 'encounter', 'onset[x]', 'recordedDate', 'recorder', 'asserter'],
  AllergyIntolerance: ['identifier', 'clinicalStatus', 'verificationStatus', 'type', 'category', 'criticality', 'code', 'patient', 'asserter'],
  Task: ['instantiatesCanonical', 'instantiatesUri', 'basedOn', 'groupIdentifier', 'partOf', 'status', 'statusReason', 'businessStatus', 'intent', 'code', 'description', 'focus', 'for', 'encounter', 'executionPeriod', 'lastModified', 'requester', 'owner', 'location'],
};
const always = ['resourceType', 'id', 'meta', 'implicitRules', 'language'];

/** Throws FhirRefusal 400. */
export function subsettingOf(parameters: URLSearchParams): Subsetting {
  const summary = parameters.get('_summary') ?? undefined, elements = parameters.get('_elements') ?? undefined;
  if (summary !== undefined && !['true', 'text', 'data', 'count', 'false'].includes(summary)) throw refused('_summary is true, text, data, count or false');
  if (elements !== undefined && !/^[a-z][A-Za-z]*(\[x\])?(,[a-z][A-Za-z]*(\[x\])?){0,49}$/.test(elements)) throw refused('_elements is a list of element names, separated by commas');
  if (summary !== undefined && summary !== 'false' && elements !== undefined) throw refused('_summary and _elements exclude each other');
  return { summary: summary as Summary | undefined, elements: elements?.split(',') };
}

export function subsetOf(resource: Resource, { summary, elements }: Subsetting): Resource {
  if ((summary === undefined || summary === 'false' || summary === 'count') && elements === undefined) return resource;
  const kept = keptNames(resource, summary, elements);
  const { meta, ...fields } = Object.fromEntries(Object.entries(resource).filter(([name]) => kept(name))) as Record<string, unknown> & { meta?: { tag?: unknown[] } };
  const tag = [...meta?.tag ?? [], { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED', display: 'Resource encoded in summary mode' }];
  const { resourceType, id, ...rest } = fields;
  return { resourceType, ...(id === undefined ? {} : { id }), meta: { ...meta, tag }, ...rest } as unknown as Resource;
}

function keptNames({ resourceType }: Resource, summary: Summary | undefined, elements: readonly string[] | undefined): (name: string) => boolean {
  if (summary === 'data') return (name) => name !== 'text';
  const rule = typeNamed(resourceType), required = rule?.elements.filter(({ isRequired }) => isRequired).map(({ name }) => name) ?? [];
  const wanted = new Set([...always, ...required, ...summary === 'text' ? ['text'] : summary === 'true' ? summaryElements[resourceType as ServedType] ?? [] : elements ?? []]);
  return (name) => wanted.has(name) || wanted.has(rule?.properties.get(name)?.element.name ?? '') || wanted.has((rule?.properties.get(name)?.element.name ?? '').replace('[x]', ''));
}
