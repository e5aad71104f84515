/** The code tables of mappings/codes that the way out needs, read once. The way in gets them through mapping files. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { Coded } from '#domain/report-document.ts';
import type { CodeableConcept, Coding } from '#standards/fhir/types.ts';

function codeTable(name: string): ReadonlyMap<string, string> {
  const { codes } = parse(readFileSync(new URL(`../../mappings/codes/${name}.yaml`, import.meta.url), 'utf8'), { mapAsMap: false }) as { codes: Record<string, string> };
  return new Map(Object.entries(codes));
}
const codeSystems = codeTable('fhir-code-system'), radlex = codeTable('fhir-finding-radlex'), findings = codeTable('findings');
type RequestPriority = 'routine' | 'urgent' | 'asap' | 'stat';
/** Our priority to that of a request: the inbound table the other way round. */
export const requestPriorities: ReadonlyMap<string, RequestPriority> = new Map([...codeTable('fhir-request-priority')].map(([theirs, ours]) => [ours, theirs as RequestPriority]));
export const interpretations = codeTable('fhir-finding-interpretation'), lateralities = codeTable('fhir-laterality');

export const systems = {
  sct: 'http://snomed.info/sct', loinc: 'http://loinc.org', dcm: 'http://dicom.nema.org/resources/ontology/DCM', radlex: 'http://radlex.org', ucum: 'http://unitsofmeasure.org',
  identifierType: 'http://terminology.hl7.org/CodeSystem/v2-0203', section: 'http://terminology.hl7.org/CodeSystem/v2-0074',
  observationCategory: 'http://terminology.hl7.org/CodeSystem/observation-category', interpretation: 'http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation',
  participation: 'http://terminology.hl7.org/CodeSystem/provenance-participant-type', operation: 'http://terminology.hl7.org/CodeSystem/v3-DataOperation', dicomUid: 'urn:dicom:uid', objectRole: 'http://terminology.hl7.org/CodeSystem/object-role',
  connectionType: 'http://terminology.hl7.org/CodeSystem/endpoint-connection-type', taskCode: 'http://hl7.org/fhir/CodeSystem/task-code', flagCategory: 'http://terminology.hl7.org/CodeSystem/flag-category', communicationCategory: 'http://terminology.hl7.org/CodeSystem/communication-category',
} as const;

export function concept(system: string, code: string, display?: string): CodeableConcept {
  return { coding: [{ system, code, ...(display === undefined ? {} : { display }) }] };
}

/**
 * A scheme that is neither a URI nor known gets one in our own namespace, so that its codes cannot be taken for another's. Undefined
 * without a code.
 */
export function codingOf(coded: Coded, resourceSystem: string): Coding | undefined {
  const code = coded.code.trim().replaceAll(/\s+/g, ' '), scheme = coded.system.trim();
  if (code === '') return undefined;
  const system = codeSystems.get(scheme.toUpperCase()) ?? (scheme === '' || /^[a-z][a-z0-9+.-]*:\S+$/i.test(scheme) ? scheme : `${resourceSystem}:scheme:${encodeURIComponent(scheme.toWellFormed())}`);
  return { ...(system === '' ? {} : { system }), code, ...(coded.display.trim() === '' ? {} : { display: coded.display }) };
}

/** Every spelling under which a code system may be stored: its URI and the schemes that stand for it. */
export function storedSystems(uri: string): string[] {
  return [uri, ...[...codeSystems].filter(([, known]) => known === uri).map(([scheme]) => scheme)];
}

/** As text alone when there is no code: never an invented one. */
export function conceptOf(coded: Coded, resourceSystem: string): CodeableConcept {
  const coding = codingOf(coded, resourceSystem);
  return { ...(coding === undefined ? {} : { coding: [coding] }), text: coded.display.trim() === '' ? coded.code : coded.display };
}

/** With the SNOMED CT concept when the model gave only a name that we know, and the RadLex term of the same meaning. */
export function findingConcept(coded: Coded, resourceSystem: string): CodeableConcept {
  const [code, display = ''] = coded.code.trim() === '' ? (findings.get(coded.display.trim().toLowerCase().replaceAll(/[\s-]+/g, '_')) ?? '').split('|') : [];
  const concept = code ? conceptOf({ system: systems.sct, code, display }, resourceSystem) : conceptOf(coded, resourceSystem);
  const [coding] = concept.coding ?? [];
  const [term, words] = coding?.system === systems.sct ? (radlex.get(coding.code ?? '') ?? '').split('|') : [];
  return coding === undefined || !term ? concept : { ...concept, coding: [coding, { system: systems.radlex, code: term, ...(words === undefined ? {} : { display: words }) }] };
}
