/**
 * What the server knows of the order and the patient, looked up before a report is built: the ServiceRequest by its number (`find_order`), its
 * Encounter, and the patient by $match (`patient: match`). Ids are taken from the server's own answers only, and references that lead elsewhere are
 * left alone.
 */
import type { ReportDocument } from '#domain/report-document.ts';
import type { Organization, Patient, Practitioner, Reference, Resource, ServiceRequest } from '#standards/fhir/types.ts';
import type { Config } from './config.ts';
import { reportForms } from './diagnostic-report.ts';
import { failureByStatus } from './failure.ts';
import type { Failure } from './failure.ts';
import type { FhirClient } from './fhir-client.ts';
import { orderIdentifier, patientIdentifiers, token } from './identifiers.ts';
import { existing, notSent, resourcesOf } from './lookup.ts';
import type { Existing } from './lookup.ts';
import type { Plan } from './plan.ts';
import { patientOf } from './report-items.ts';
import type { Surroundings } from './report-items.ts';

export async function surroundingsOf(client: FhirClient, document: ReportDocument, config: Config, plan: Plan, signal: AbortSignal): Promise<Surroundings | { readonly failure: Failure }> {
  const forms = await reportForms(document, config);
  const organization = await findOrganization(client, document, config, plan, signal);
  if (organization !== undefined && 'failure' in organization) return organization;
  const needsOrder = config.find_order || config.order_update === 'service-request';
  if (!needsOrder || !plan.offer.offers('ServiceRequest', 'search')) return { forms, organization };
  const order = await findOrder(client, document, config, signal);
  if (order !== undefined && 'failure' in order) return order;
  if (order !== undefined && await isOfAnother(client, order, document, config, signal)) return { forms, organization };
  return { forms, organization, order, encounter: ownReference(order?.encounter, ['Encounter'], client), requester: ownReference(order?.requester, ['Practitioner', 'PractitionerRole', 'Organization'], client) as Reference<Practitioner> | undefined };
}

/** The one order with the accession number, else with the placer's or filler's; several are nobody's. */
async function findOrder(client: FhirClient, { scan }: ReportDocument, config: Config, signal: AbortSignal): Promise<ServiceRequest | undefined | { readonly failure: Failure }> {
  const numbers = [['ACSN', scan.accessionNumber], ['PLAC', scan.placerOrderNumber], ['FILL', scan.fillerOrderNumber]] as const;
  for (const [type, value] of numbers) {
    if (value === undefined || value === '') continue;
    const { system } = orderIdentifier(type, value, config);
    const exchanged = await client.send({ method: 'GET', url: `ServiceRequest?identifier=${system === undefined ? encodeURIComponent(value.replaceAll(/[\\,|$]/g, String.raw`\$&`)) : token(system, value)}` }, signal);
    if ('failure' in exchanged) return { failure: notSent(exchanged.failure) };
    const { status, headers, body } = exchanged.answer;
    if (status !== 200) return { failure: told(failureByStatus(status, body, headers, new Date()), 'search of ServiceRequest') };
    const matches = resourcesOf(body).filter((resource): resource is ServiceRequest & { id: string } => resource.resourceType === 'ServiceRequest' && resource.identifier?.some((identifier) => identifier.value === value) === true);
    if (matches.length === 1) return matches[0];
  }
  return undefined;
}

/** Two departments may give the same number: an order whose patient is somebody else is not ours to refer to, nor to complete. What we may not read is not judged. */
async function isOfAnother(client: FhirClient, { subject }: ServiceRequest, { patient }: ReportDocument, config: Config, signal: AbortSignal): Promise<boolean> {
  const id = ownReference<Patient>(subject, ['Patient'], client)?.reference?.split('/')[1];
  const exchanged = id === undefined ? undefined : await client.read('Patient', id, signal);
  if (exchanged === undefined || 'failure' in exchanged || exchanged.answer.status !== 200) return false;
  const theirs = exchanged.answer.body as Partial<Patient> | null, born = theirs?.birthDate ?? '', { birthDate = '', familyName = '' } = patient;
  if (born !== '' && birthDate !== '' && !born.startsWith(birthDate) && !birthDate.startsWith(born)) return true;
  const ours = patientIdentifiers(patient, config), numbers = Array.isArray(theirs?.identifier) ? theirs.identifier : [], families = Array.isArray(theirs?.name) ? theirs.name.flatMap((name) => name.family ?? []) : [];
  const isShared = ours.some((mine) => numbers.some(({ value }) => value === mine.value)), isNumbered = ours.some((mine) => numbers.some(({ system }) => system === mine.system));
  return isNumbered && !isShared && familyName !== '' && families.length > 0 && !families.some((family) => family.localeCompare(familyName, undefined, { sensitivity: 'base' }) === 0);
}

/** `Encounter/1`, or the same below the base URL. */
function ownReference<T extends Resource>(theirs: Reference | undefined, types: readonly string[], client: FhirClient): Reference<T> | undefined {
  const reference = theirs?.reference ?? '', below = reference.startsWith(`${client.baseUrl}/`) ? reference.slice(client.baseUrl.length + 1) : reference;
  const [, type = ''] = /^([A-Z][A-Za-z]+)\/[A-Za-z0-9.-]{1,64}$/.exec(below) ?? [];
  return types.includes(type) ? { reference: below } : undefined;
}

/** The one Organization with the identifier of the settings. */
async function findOrganization(client: FhirClient, document: ReportDocument, config: Config, { offer }: Plan, signal: AbortSignal): Promise<Reference<Organization> | undefined | { readonly failure: Failure }> {
  if (config.organization_identifier === undefined || config.organization_reference !== undefined || !offer.offers('Organization', 'search')) return undefined;
  const [system = '', value = ''] = config.organization_identifier.split('|');
  const exchanged = await client.send({ method: 'GET', url: `Organization?identifier=${token(system, value)}` }, signal);
  if ('failure' in exchanged) return { failure: notSent(exchanged.failure) };
  const { status, headers, body } = exchanged.answer;
  if (status !== 200) return { failure: told(failureByStatus(status, body, headers, new Date()), 'search of Organization') };
  const matches = resourcesOf(body).filter((resource): resource is Organization & { id: string } => resource.resourceType === 'Organization' && resource.identifier?.some((identifier) => (identifier.system ?? '') === system && identifier.value === value) === true);
  return matches.length === 1 ? { reference: `Organization/${matches[0]?.id}`, display: document.organization.name } : undefined;
}

/** Patient/$match (R4 patient-operation-match.html), certain matches only: undefined when there is none, or more than one. */
export async function matchPatient(client: FhirClient, document: ReportDocument, config: Config, signal: AbortSignal): Promise<Existing | undefined | { readonly failure: Failure }> {
  const { text: _, ...patient } = patientOf(document, config);
  const parameters = { resourceType: 'Parameters', parameter: [{ name: 'resource', resource: patient satisfies Patient }, { name: 'onlyCertainMatches', valueBoolean: true }, { name: 'count', valueInteger: 2 }] };
  const exchanged = await client.operation('Patient', '$match', JSON.stringify(parameters), signal);
  if ('failure' in exchanged) return { failure: notSent(exchanged.failure) };
  const { status, headers, body } = exchanged.answer;
  if (status === 404 || status === 405 || status === 501) return undefined;
  if (status < 200 || status > 299) return { failure: told(failureByStatus(status, body, headers, new Date()), 'Patient/$match') };
  const certain = certainMatches(body);
  return certain.length === 1 && certain[0] !== undefined ? existing(certain[0]) : undefined;
}

interface Graded { readonly resource?: Resource; readonly search?: { readonly extension?: readonly { readonly url?: string; readonly valueCode?: string }[] } }

/** A server may ignore onlyCertainMatches: where it grades, only its 'certain' counts (http://hl7.org/fhir/StructureDefinition/match-grade). */
function certainMatches(body: unknown): Resource[] {
  const { entry } = (typeof body === 'object' && body !== null ? body : {}) as { entry?: readonly Graded[] };
  const patients: readonly Graded[] = Array.isArray(entry) ? entry.filter(({ resource }) => resource?.resourceType === 'Patient' && typeof resource.id === 'string') : [];
  return patients.flatMap(({ resource, search }) => {
    const grade = search?.extension?.find(({ url }) => url === 'http://hl7.org/fhir/StructureDefinition/match-grade')?.valueCode;
    return resource !== undefined && (grade === undefined || grade === 'certain') ? [resource] : [];
  });
}

export const unknownPatient: Failure = { kind: 'refused', answerCode: 'patient', text: 'the server does not know the patient by identifier or as one certain match: register or correct the patient there, then send the report again' };

function told(failure: Failure, what: string): Failure {
  return { ...failure, text: `${what}: ${failure.text}` };
}
