/**
 * The examples that HL7 publishes with R4, every one of the types that are taken: accepted, mapped as a rule says, and read back; where they say less than
 * a gateway needs (no patient, no code, no Study Instance UID) refused with the place. Those of other types are refused as a type. `npm run fetch:fhir-examples`
 * puts them into a cache; MEDSCAN_FHIR_EXAMPLES names another folder.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { examplesFolder } from '../scripts/fetch-fhir-examples.ts';
import { createApiToken } from '../src/db/user-sessions.ts';
import { validateResource } from '../src/standards/fhir/validate.ts';
import { parseFhirXml, writeFhirXml } from '../src/standards/fhir/xml.ts';
import { testGateway, type TestGateway } from './support/gateway.ts';
import { insertIntegration } from './support/pipeline.ts';

const folder = process.env['MEDSCAN_FHIR_EXAMPLES'] ?? examplesFolder, isHere = existsSync(folder);
const names = isHere ? readdirSync(folder).filter((name) => name.endsWith('.json') && !/^(StructureDefinition|ValueSet|CodeSystem)-/.test(name)).toSorted((a, b) => a.localeCompare(b)) : [];
const examples = names.map((name) => ({ name, resource: JSON.parse(readFileSync(path.join(folder, name), 'utf8')) }));
const of = (type: string): typeof examples => examples.filter(({ resource }) => resource.resourceType === type);
const taken = ['Patient', 'ServiceRequest', 'ImagingStudy', 'Condition', 'AllergyIntolerance', 'Task'];

/** Not as R4 says: Observation.performer is no Encounter. HL7 has it so. */
const wrong = new Set(['Observation-clinical-gender.json']);
/** 1.0e-245 and the like: more than a number of JavaScript holds. */
const beyondNumbers = new Set(['Observation-decimal.json']);

describe.skipIf(!isHere)(`published examples of FHIR R4 (${isHere ? folder : 'absent: npm run fetch:fhir-examples, or set MEDSCAN_FHIR_EXAMPLES'})`, () => {
  let gateway: TestGateway, token: string;
  const ask = async (method: string, url: string, body?: unknown): Promise<{ status: number; body: any }> => {
    const response = await fetch(`http://127.0.0.1:${gateway.ports.http}/fhir/r4/${url}`, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  };
  beforeAll(async () => {
    gateway = await testGateway();
    await insertIntegration(gateway.db, 'North', 'EMR', 'fhir-rest');
    await gateway.integrations.reload();
    ({ token } = await createApiToken(gateway.db.database, { organizationName: 'North', role: 'service', name: 'EMR' }));
  });
  afterAll(() => gateway?.stop());

  test('there are examples of every type that is taken', () => {
    for (const type of taken) expect([type, of(type).length > 0]).toEqual([type, true]);
  });

  test('none has an issue but the one that is known to be wrong', () => {
    const found = examples.filter(({ resource }) => ![...taken, 'Observation', 'DiagnosticReport', 'Device', 'Provenance', 'AuditEvent', 'OperationOutcome', 'CapabilityStatement'].includes(resource.resourceType) ? false : validateResource(resource).length > 0);
    expect(found.map(({ name }) => name)).toEqual([...wrong]);
  });

  test('each is the same after it was XML', async () => {
    for (const { name, resource } of examples.filter(({ name: each }) => !beyondNumbers.has(each))) {
      const back = await parseFhirXml(Buffer.from(await writeFhirXml(resource)));
      expect({ name, same: sorted(back) }).toEqual({ name, same: sorted(resource) });
    }
  });

  test('every Patient is taken and read back with its name, sex, birth date, identifiers and contacts', async () => {
    for (const { name, resource } of of('Patient')) {
      const sent = await ask('PUT', `Patient/${resource.id}`, resource);
      expect([name, [200, 201].includes(sent.status), sent.body.issue[0].diagnostics]).toEqual([name, true, expect.stringContaining('is stored')]);
      const { body } = await ask('GET', `Patient/${resource.id}`);
      const official = resource.name?.find(({ use }: any) => use === 'official') ?? resource.name?.find(({ use }: any) => use === 'usual') ?? resource.name?.[0];
      expect([name, validateResource(body), body.id]).toEqual([name, [], resource.id]);
      const values = body.identifier?.map(({ value }: any) => value) ?? [];
      for (const { value } of resource.identifier ?? []) if (value !== undefined) expect([name, values]).toEqual([name, expect.arrayContaining([value.trim()])]);
      // Examples share identifiers: what two of them say of one patient is told by the one that came last.
      if (isAlone(resource)) {
        expect([name, body.gender, body.birthDate]).toEqual([name, resource.gender, resource.birthDate]);
        if (official?.family !== undefined) expect([name, body.name?.[0]?.family]).toEqual([name, official.family.replaceAll(/\s+/g, ' ').trim()]);
      }
    }
  });

  const patientOf = (resource: any): any => resource.subject ?? resource.patient ?? resource.for;
  const namesPatient = (resource: any): boolean => {
    const subject = patientOf(resource);
    return /(^|\/)Patient\/[^/]+$/.test(subject?.reference ?? '') || subject?.identifier?.value !== undefined || (subject?.reference?.startsWith('#') === true && resource.contained?.some((each: any) => `#${each.id}` === subject.reference && each.resourceType === 'Patient'));
  };
  const hasWords = ({ code, reaction }: any): boolean => [code?.text, code?.coding?.[0]?.display, code?.coding?.[0]?.code, reaction?.[0]?.substance?.text, reaction?.[0]?.substance?.coding?.[0]?.display].some(Boolean);
  const rules: Record<string, (resource: any) => boolean> = {
    ServiceRequest: namesPatient,
    ImagingStudy: (resource) => namesPatient(resource) && resource.identifier?.some(({ system, value }: any) => system === 'urn:dicom:uid' && value !== undefined),
    Condition: (resource) => namesPatient(resource) && hasWords(resource),
    AllergyIntolerance: (resource) => namesPatient(resource) && hasWords(resource),
    Task: (resource) => namesPatient(resource) && (resource.focus?.reference ?? resource.basedOn?.[0]?.reference ?? '').startsWith('ServiceRequest/') && of('ServiceRequest').some(({ resource: { id } }) => (resource.focus ?? resource.basedOn[0]).reference === `ServiceRequest/${id}` && namesPatient(resource)),
  };
  test.each(Object.keys(rules))('every %s that names its patient and what it is about is taken and read back; every other is refused with the place', async (type) => {
    for (const { name, resource } of of(type)) {
      const expected = rules[type]!(resource), sent = await ask('PUT', `${type}/${resource.id}`, resource);
      expect([name, sent.status < 300, sent.status < 300 ? '' : sent.body.issue[0]?.expression?.[0]?.startsWith(type)]).toEqual([name, expected, expected ? '' : true]);
      if (!expected) continue;
      const { status, body } = await ask('GET', `${type}/${resource.id}`);
      expect([name, status, validateResource(body)]).toEqual([name, 200, []]);
      const code = resource.code?.coding?.[0]?.code;
      if (type !== 'Task' && type !== 'ImagingStudy' && code !== undefined) expect([name, body.code?.coding?.[0]?.code]).toEqual([name, code]);
      if (type === 'ServiceRequest') expect([name, body.status]).toEqual([name, { active: 'active', draft: 'on-hold', completed: 'active', 'on-hold': 'on-hold', revoked: 'revoked' }[resource.status as string]]);
    }
  });

  test('one of any other type is refused as a type that is not taken', async () => {
    for (const { name, resource } of examples.filter(({ resource: { resourceType } }) => !taken.includes(resourceType)).slice(0, 40)) {
      expect([name, (await ask('POST', resource.resourceType, resource)).status]).toEqual([name, 404]);
    }
  });

  function isAlone({ id, identifier = [] }: any): boolean {
    return identifier.length > 0 && !of('Patient').some(({ resource }) => resource.id !== id && resource.identifier?.some((theirs: any) => identifier.some((ours: any) => ours.value === theirs.value)));
  }
});

/** Keys in order, and narrative without the whitespace and the spelling of characters that XML leaves free. */
function sorted(value: any): any {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).toSorted((a, b) => a.localeCompare(b)).map((key) => [key, key === 'div' ? plain(value[key]) : sorted(value[key])]));
}
const entities: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
const plain = (div: string): string => div.replaceAll(/<!--[\s\S]*?-->/g, '').replaceAll(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (_, hex, decimal, name) => (name ? entities[name] ?? '' : String.fromCodePoint(Number.parseInt(hex ?? decimal, hex ? 16 : 10)))).replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, '');
