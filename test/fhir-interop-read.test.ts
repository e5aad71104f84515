/** The gateway as a FHIR server, read after a whole journey: what the EMR gets is what it can read here, page by page, and nobody else's. */
import { gzipSync } from 'node:zlib';
import { Fhir } from 'fhir';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FhirRefusal } from '../adapters/fhir-rest/answer.ts';
import { readParameters } from '../adapters/fhir-rest/search-parameters.ts';
import type { ServedType } from '../adapters/fhir-rest/served-types.ts';
import { sampleConfig } from '../adapters/fhir-rest/testcases/sample-report.ts';
import { createApiToken } from '../src/db/user-sessions.ts';
import { resourceTypes } from '../src/standards/fhir/resource-types.ts';
import { validateResource } from '../src/standards/fhir/validate.ts';
import { parseFhirXml } from '../src/standards/fhir/xml.ts';
import { insertIntegration } from './support/pipeline.ts';
import { anOrder, delivered, scanOf, smallStudy, somebody, startJourney, type Journey, type ScanRow } from './support/journey.ts';
import type { SyntheticStudy } from '../src/simulator/synthetic-study.ts';

interface Answer { readonly status: number; readonly headers: Headers; readonly body: any }
let journey: Journey, scan: ScanRow, study: SyntheticStudy, token: string;
const person = somebody(), order = anOrder();

async function ask(method: string, path: string, options: { token?: string; headers?: Record<string, string>; body?: string } = {}): Promise<Answer> {
  const response = await fetch(path.startsWith('http') ? path : `http://127.0.0.1:${journey.gateway.ports.http}/fhir/r4${path}`, {
    method, headers: { authorization: `Bearer ${options.token ?? token}`, ...options.headers }, ...(options.body === undefined ? {} : { body: options.body }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text };
}
/** What another validator says: the library `fhir`, which shares no table with ours. */
const other = new Fhir();
const secondOpinion = (resource: object): string[] => other.validate(resource).messages.filter(({ severity }) => severity === 'error' || severity === 'fatal').map(({ location, message }) => `${location}: ${message}`);
const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> => ask('GET', path, { headers });
const tokenFor = async (organizationName: string, role: string, scopes?: string[]): Promise<string> => (await createApiToken(journey.gateway.db.database, { organizationName, role, name: 'reader', scopes })).token;
const administrator = (): Promise<string> => tokenFor(journey.seeded.organizationName, 'administrator');
const audits = (): Promise<{ n: number }[]> => journey.gateway.db.asOwner("SELECT count(*)::int AS n FROM audit_logs WHERE detail ? 'kind'");

beforeAll(async () => {
  journey = await startJourney();
  const { hospital, seeded } = journey;
  study = smallStudy({ patient: person, accessionNumber: order.accessionNumber });
  expect((await hospital.ris.register(person)).code).toBe('AA');
  expect((await hospital.ris.order(person, order)).code).toBe('AA');
  await hospital.pacs.store(study.objects);
  await delivered(journey.gateway, study.studyInstanceUid);
  scan = await scanOf(journey.gateway, study.studyInstanceUid);
  token = await tokenFor(seeded.organizationName, 'service');
  const about = { reference: `Patient/${scan.patient_id}` };
  const clinicalStatus = (of: string): object => ({ coding: [{ system: `http://terminology.hl7.org/CodeSystem/${of}`, code: 'active' }] });
  for (const resource of [
    { resourceType: 'Condition', clinicalStatus: clinicalStatus('condition-clinical'), code: { coding: [{ system: 'http://snomed.info/sct', code: '13645005', display: 'COPD' }] }, subject: about },
    { resourceType: 'AllergyIntolerance', clinicalStatus: clinicalStatus('allergyintolerance-clinical'), code: { text: 'Latex' }, patient: about },
  ]) expect((await ask('POST', `/${resource.resourceType}`, { headers: { 'content-type': 'application/fhir+json' }, body: JSON.stringify(resource) })).status).toBe(201);
});
afterAll(() => journey?.stop());

test('everything that is stated can be done: each type is read, searched by each parameter, and included from', async () => {
  const { body: statement } = await get('/metadata');
  expect(validateResource(statement)).toEqual([]);
  const administrator = await tokenFor(journey.seeded.organizationName, 'administrator');
  const samples: Record<string, string> = { token: 'x', date: '2026', reference: '00000000-0000-7000-8000-000000000000', string: 'x' };
  // How subscriptions are made and told is fhir-subscriptions' own matter.
  for (const resource of statement.rest[0].resource.filter(({ type }: { type: string }) => type !== 'Subscription')) {
    const found = await ask('GET', `/${resource.type}?_count=5`, { token: administrator });
    expect([resource.type, found.status, validateResource(found.body)]).toEqual([resource.type, 200, []]);
    const [first] = found.body.entry ?? [];
    expect(first, `${resource.type} has an example`).toBeDefined();
    expect(validateResource(first.resource)).toEqual([]);
    expect([resource.type, secondOpinion(first.resource)]).toEqual([resource.type, []]);
    expect(first.resource.resourceType).toBe(resource.type);
    const read = await ask('GET', `/${resource.type}/${first.resource.id}`, { token: administrator });
    expect(read.body).toEqual(first.resource);
    expect(first.fullUrl).toBe(`http://127.0.0.1:${journey.gateway.ports.http}/fhir/r4/${resource.type}/${first.resource.id}`);
    for (const { name, type } of resource.searchParam) {
      const value = name === 'target' ? `DiagnosticReport/${samples['reference']}` : samples[type]!;
      const search = await ask('GET', `/${resource.type}?${name}=${value}`, { token: administrator });
      expect([resource.type, name, search.status, search.body.type, validateResource(search.body)]).toEqual([resource.type, name, 200, 'searchset', []]);
    }
    for (const include of resource.searchInclude ?? []) {
      const { status, body } = await ask('GET', `/${resource.type}?_include=${include}`, { token: administrator });
      expect([include, status, validateResource(body)]).toEqual([include, 200, []]);
      expect(body.entry.some(({ search }: { search: { mode: string } }) => search.mode === 'include'), include).toBe(true);
    }
    for (const include of resource.searchRevInclude ?? []) {
      const { status, body } = await ask('GET', `/${resource.type}?_revinclude=${include}`, { token: administrator });
      expect([include, status, validateResource(body)]).toEqual([include, 200, []]);
      expect(body.entry.some(({ search, resource: included }: { search: { mode: string }; resource: { resourceType: string } }) => search.mode === 'include' && included.resourceType === include.split(':')[0]), include).toBe(true);
    }
    const version = await ask('GET', `/${resource.type}/${first.resource.id}/_history/${first.resource.meta.versionId}`, { token: administrator });
    expect([resource.type, version.status, version.body]).toEqual([resource.type, 200, first.resource]);
    const history = await ask('GET', `/${resource.type}/${first.resource.id}/_history`, { token: administrator });
    expect([resource.type, history.status, history.body.type, validateResource(history.body)]).toEqual([resource.type, 200, 'history', []]);
    expect(history.body.entry[0].resource).toEqual(first.resource);
    for (const code of ['create', 'update'] as const) {
      const isStated = resource.interaction.some((interaction: { code: string }) => interaction.code === code);
      const answer = await ask(code === 'create' ? 'POST' : 'PUT', `/${resource.type}${code === 'create' ? '' : '/1'}`, { token: administrator, body: '{}', headers: { 'content-type': 'application/fhir+json' } });
      expect([resource.type, code, answer.status]).toEqual([resource.type, code, isStated ? 400 : 404]);
    }
  }
});

test('nothing else can be done: types, interactions, parameters, includes and operations that are not stated are refused', async () => {
  const { body: statement } = await get('/metadata');
  const stated = new Map<string, any>(statement.rest[0].resource.map((resource: any) => [resource.type, resource]));
  const form = { 'content-type': 'application/fhir+json' };
  for (const type of [...resourceTypes].filter((each) => !stated.has(each))) {
    expect([type, (await get(`/${type}`)).status, (await get(`/${type}/1`)).status]).toEqual([type, 404, 404]);
    expect([type, (await ask('POST', `/${type}`, { headers: form, body: JSON.stringify({ resourceType: type }) })).status]).toEqual([type, 404]);
  }
  expect([(await get('/Subscription?status=active')).status, (await get('/Subscription?status=active', { prefer: 'handling=lenient' })).status, (await get('/Subscription')).status]).toEqual([400, 200, 200]);
  for (const [type, resource] of [...stated].filter(([each]) => each !== 'Subscription')) {
    for (const method of ['DELETE', 'PATCH']) {
      const { status, headers, body } = await ask(method, `/${type}/1`, { headers: form }), isWritten = resource.interaction.some(({ code }: { code: string }) => code === 'update');
      expect([method, type, status, headers.get('allow'), body.issue[0].diagnostics]).toEqual([method, type, 405, isWritten ? 'GET, HEAD, PUT' : 'GET, HEAD', expect.stringContaining(isWritten ? 'PUT with' : 'only read')]);
    }
    for (const operation of ['$everything', '$match', '$lastn', '$meta']) expect([type, operation, [404, 405].includes((await ask('POST', `/${type}/${operation}`, { headers: form, body: '{}' })).status)]).toEqual([type, operation, true]);
    const parameters = new Set(resource.searchParam.map(({ name }: { name: string }) => name));
    for (const name of ['_content', '_text', '_filter', '_has', '_list', '_type', '_query', '_security', '_profile', '_tag', '_contained', 'encounter', 'performer', 'category', 'name', 'code', 'date', 'status', 'result', 'onset-date'].filter((each) => !parameters.has(each))) {
      expect([type, name, (await ask('GET', `/${type}?${name}=x`, { token: await administrator() })).status]).toEqual([type, name, 400]);
    }
    for (const include of ['_include', '_revinclude']) expect([type, include, (await ask('GET', `/${type}?${include}=Encounter:subject`, { token: await administrator() })).status]).toEqual([type, include, 400]);
    expect([type, (await ask('GET', `/${type}?_lastUpdated:missing=true`, { token: await administrator(), headers: { prefer: 'handling=lenient' } })).status]).toEqual([type, 400]);
  }
});

/** What the documentation says in words: 'Modifiers: :exact, :contains.' */
const listed = (documentation: string | undefined, word: string): string[] => new RegExp(`${word}:? ([^.]*)\\.`).exec(documentation ?? '')?.[1]?.split(', ') ?? [];
function refusalOf(type: ServedType, parameters: URLSearchParams): number | undefined {
  try {
    readParameters(type, parameters, { integrationId: '', organizationId: '', name: 'EMR', config: sampleConfig() }, false);
    return undefined;
  } catch (error) {
    return error instanceof FhirRefusal ? error.status : undefined;
  }
}
/** Of R4 search.html#modifiers and #prefix, and what a client may try. */
const modifiers = [':missing', ':exact', ':contains', ':not', ':text', ':in', ':not-in', ':below', ':above', ':of-type', ':identifier', ':iterate', ':Patient', ':ServiceRequest', ':ImagingStudy', ':Observation', ':DiagnosticReport'];
const prefixes = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'];

test('modifiers, prefixes, sort orders and includes: what is stated is taken, and every other one that R4 has is refused', async () => {
  const { body: statement } = await get('/metadata'), token = await administrator();
  const statusOf = async (path: string): Promise<number> => (await ask('GET', path, { token })).status;
  const resources: any[] = statement.rest[0].resource.filter(({ type }: { type: string }) => type !== 'Subscription');
  const includes = [...new Set(resources.flatMap((resource) => [...resource.searchInclude ?? [], ...resource.searchRevInclude ?? []]))];
  const taken: Record<'modifiers' | 'prefixes' | 'sorts', Set<string>> = { modifiers: new Set(), prefixes: new Set(), sorts: new Set() };
  for (const resource of resources) {
    const wrong: unknown[] = [];
    // What is refused is refused before anything is asked: 2,000 requests fewer.
    const expected = async (path: string, isStated: boolean): Promise<void> => {
      const status = isStated ? await statusOf(path) : refusalOf(resource.type, new URL(path, 'http://gateway').searchParams);
      if (status !== (isStated ? 200 : 400)) wrong.push([path, isStated, status]);
    };
    for (const { name, type, documentation } of resource.searchParam) {
      const stated = listed(documentation, 'Modifiers'), value = type === 'reference' ? '00000000-0000-7000-8000-000000000000' : type === 'date' ? '2026-01-01' : 'x';
      for (const modifier of modifiers) await expected(`/${resource.type}?${name}${modifier}=${value}`, stated.includes(modifier));
      stated.forEach((each) => taken.modifiers.add(each));
      if (type !== 'date') continue;
      const known = listed(documentation, 'Prefixes');
      for (const prefix of prefixes) await expected(`/${resource.type}?${name}=${prefix}2026-01-01&_count=1`, known.includes(prefix));
      known.forEach((each) => taken.prefixes.add(each));
    }
    const sorts = listed(resource.documentation, 'Sorted by');
    for (const sort of new Set(['_lastUpdated', '_id', 'name', ...resource.searchParam.map(({ name }: { name: string }) => name)])) await expected(`/${resource.type}?_sort=-${sort}&_count=1`, sorts.includes(sort));
    sorts.forEach((each) => taken.sorts.add(each));
    for (const include of includes) {
      await expected(`/${resource.type}?_include=${include}&_count=1`, (resource.searchInclude ?? []).includes(include));
      await expected(`/${resource.type}?_revinclude=${include}&_count=1`, (resource.searchRevInclude ?? []).includes(include));
    }
    expect([resource.type, wrong]).toEqual([resource.type, []]);
  }
  expect(taken).toEqual({ modifiers: new Set([':exact', ':contains', ':Patient', ':ServiceRequest', ':Observation', ':ImagingStudy']), prefixes: new Set(['eq', 'ge', 'gt', 'le', 'lt', 'sa', 'eb']), sorts: new Set(['_lastUpdated', 'family', 'occurrence', 'started', 'date', 'recorded', 'recorded-date', 'authored-on']) });
  for (const parameter of listed(statement.rest[0].documentation, 'Every search takes')) expect([parameter, [200, 400, 406].includes(await statusOf(`/Patient?${parameter}=1`)), (await ask('GET', `/Patient?${parameter}=1`, { token })).body.issue?.[0].diagnostics ?? '']).toEqual([parameter, true, expect.not.stringContaining('cannot be searched by')]);
});

/** Operations of R4 and of the guides that EMRs know, by the levels at which a client may try them. */
const operations = ['validate', 'export', 'everything', 'match', 'lastn', 'stats', 'meta', 'meta-add', 'meta-delete', 'process-message', 'graphql', 'convert', 'versions', 'closure', 'expand', 'lookup', 'document', 'docref', 'populate', 'status', 'events', 'get-ws-binding-token', 'import', 'purge', 'submit', 'diff', 'reindex'];

test('operations: each that is stated does something, at the level where it is stated, and none else does', async () => {
  const { body: statement } = await get('/metadata'), token = await administrator();
  const form = { 'content-type': 'application/fhir+json', prefer: 'respond-async' }, done: string[] = [];
  const body = JSON.stringify({ resourceType: 'Parameters', parameter: [{ name: 'resource', resource: { resourceType: 'Patient' } }] });
  const levels: [string, string[]][] = [['', statement.rest[0].operation.map(({ name }: { name: string }) => name)], ...statement.rest[0].resource.map((resource: any) => [`/${resource.type}`, (resource.operation ?? []).map(({ name }: { name: string }) => name)])];
  for (const [level, stated] of levels) {
    for (const operation of operations) {
      const asked = await ask('POST', `${level}/$${operation}`, { token, headers: form, ...(operation === 'export' ? {} : { body }) });
      const isNone = asked.status === 404 || asked.status === 405;
      expect([level, operation, asked.status, isNone]).toEqual([level, operation, asked.status, !stated.includes(operation) || operation === 'events']);
      if (!isNone) done.push(`${level}/$${operation}`);
      if (isNone) expect([level, operation, asked.body?.resourceType]).toEqual([level, operation, 'OperationOutcome']);
      const location = asked.headers.get('content-location');
      if (location !== null) expect((await ask('DELETE', location, { token })).status).toBe(202);
      // Of one resource: none but those of a Subscription, which is asked for in fhir-subscriptions.
      if (level !== '' && level !== '/Subscription') expect([level, operation, (await ask('POST', `${level}/00000000-0000-7000-8000-000000000000/$${operation}`, { token, headers: form, body })).status]).toEqual([level, operation, 404]);
    }
  }
  const types: string[] = statement.rest[0].resource.map(({ type }: { type: string }) => type).filter((type: string) => type !== 'Subscription');
  expect(done.toSorted()).toEqual(['/$export', '/$validate', '/Patient/$export', '/Subscription/$get-ws-binding-token', '/Subscription/$status', ...types.map((type) => `/${type}/$validate`)].toSorted());
  for (const path of ['/_history', '/?_type=Patient', '/_search', '/Medication/$validate']) expect([path, [404, 405].includes((await ask('GET', path, { token })).status)]).toEqual([path, true]);
});

test('the report read here is the one that the EMR was sent, with ids of ours', async () => {
  const { body } = await get(`/DiagnosticReport?accession=${order.accessionNumber}&_include=DiagnosticReport:result&_include=DiagnosticReport:subject`);
  const [report, ...included] = body.entry.map(({ resource }: { resource: any }) => resource);
  const sent = journey.hospital.emr.list('DiagnosticReport').at(-1) as any;
  for (const name of ['status', 'code', 'category', 'conclusion', 'issued', 'effectiveDateTime']) expect(report[name], name).toEqual(sent[name]);
  expect(report.presentedForm[0]).toEqual(sent.presentedForm[0]);
  expect(report.subject.reference).toBe(`Patient/${scan.patient_id}`);
  expect(report.basedOn).toEqual([{ reference: `ServiceRequest/${scan.scan_id}` }]);
  expect(included.filter(({ resourceType }: { resourceType: string }) => resourceType === 'Observation')).toHaveLength(report.result.length);
  expect(included.find(({ resourceType }: { resourceType: string }) => resourceType === 'Patient').name[0].family).toBe(person.familyName);
});

test.each([
  [`Patient?identifier=${person.patientId}`, 1], [`Patient?identifier=NORTH|${person.patientId}`, 1], [`Patient?identifier=OTHER|${person.patientId}`, 0], ['Patient?active=true', 1], ['Patient?active=false', 0],
  ['ImagingStudy?identifier=urn:dicom:uid|urn:oid:STUDY', 1], ['ImagingStudy?identifier=urn:dicom:uid|urn:oid:1.2.3', 0], ['ImagingStudy?patient=PATIENT&status=available', 1], ['ImagingStudy?patient=Patient/PATIENT', 1],
  [`ServiceRequest?accession=${order.accessionNumber}`, 1], [`ServiceRequest?identifier=${order.placerOrderNumber}`, 1], ['ServiceRequest?status=completed', 1], ['ServiceRequest?status=active,completed', 1], ['ServiceRequest?status=revoked', 0],
  [`DiagnosticReport?patient.identifier=${person.patientId}`, 1], ['DiagnosticReport?status=preliminary', 1], ['DiagnosticReport?status=final', 0], ['DiagnosticReport?date=ge2000', 1], ['DiagnosticReport?date=lt2000', 0],
  ['DiagnosticReport?_lastUpdated=gt2100', 0], ['DiagnosticReport?date=ge2000&date=lt2001', 0], ['Provenance?target=DiagnosticReport/REPORT', 1], ['Observation?code=http://snomed.info/sct|999', 0],
  [`Patient?name=${person.familyName.slice(0, 4).toLowerCase()}`, 1], [`Patient?family:exact=${person.familyName}`, 1], [`Patient?family:exact=${person.familyName.toLowerCase()}`, 0], [`Patient?family:contains=${person.familyName.slice(2, 6)}`, 1],
  ['Patient?family=%25', 0], ['Patient?birthdate=ge1900&birthdate=lt2100', 1], ['Patient?birthdate=lt1900', 0], ['Patient?gender=male,female,other', 1], ['DiagnosticReport?based-on=ServiceRequest/SCAN', 1], ['ImagingStudy?modality=CT', 1], ['ImagingStudy?modality=MR', 0],
  ['Task?focus=ServiceRequest/SCAN', 1], ['Task?status=completed,accepted', 1], ['Condition?code=http://snomed.info/sct|13645005', 1], ['AllergyIntolerance?patient:Patient=PATIENT&clinical-status=active', 2], ['Condition?clinical-status=resolved', 0],
])('%s finds %i', async (query, expected) => {
  const [row] = await journey.gateway.db.asOwner<{ lineage_id: string }>('SELECT lineage_id FROM reports');
  const { status, body } = await get(`/${query.replace('STUDY', study.studyInstanceUid).replace('PATIENT', scan.patient_id).replace('REPORT', row!.lineage_id).replace('SCAN', scan.scan_id)}`);
  expect(status, JSON.stringify(body)).toBe(200);
  expect(body.entry?.length ?? 0).toBe(expected);
});

test('a search by POST keeps what was asked out of every URL, and pages run to the end without gap or double', async () => {
  const { organizationId } = journey.seeded;
  await journey.gateway.db.asOwner(`INSERT INTO patients (organization_id, patient_number, family_name) SELECT $1, 'P' || n, 'Paging' FROM generate_series(1, 23) n`, [organizationId]);
  await journey.gateway.db.asOwner(`INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index)
    SELECT organization_id, patient_id, 'PAGES', patient_number, 'secret-' || (patient_number IS NULL)::text || patient_number FROM patients WHERE family_name = 'Paging'`);
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  let page = await ask('POST', '/Patient/_search', { headers: form, body: '_lastUpdated=ge2020&_count=10' });
  const seen: string[] = [];
  for (let pages = 1; ; pages += 1) {
    expect(page.status).toBe(200);
    expect(JSON.stringify(page.body.link)).not.toMatch(/lastUpdated|2020/);
    seen.push(...page.body.entry.map(({ resource }: { resource: { id: string } }) => resource.id));
    const next = page.body.link.find(({ relation }: { relation: string }) => relation === 'next')?.url;
    if (next === undefined) { expect(pages).toBe(3); break; }
    // Somebody is registered between two pages.
    await journey.gateway.db.asOwner(`INSERT INTO patients (organization_id, patient_number, family_name) VALUES ($1, 'late', 'Late')`, [organizationId]);
    page = await get(next);
  }
  expect(seen).toHaveLength(24);
  expect(new Set(seen).size).toBe(24);
  const counted = await get('/Patient?_summary=count');
  expect(counted.body).toMatchObject({ type: 'searchset', total: 26 });
  expect(counted.body.entry).toBeUndefined();
});

test('an ETag answers 304 until the resource changes', async () => {
  const first = await get(`/Patient/${scan.patient_id}`), etag = first.headers.get('etag')!;
  expect(etag).toBe(`W/"${first.body.meta.versionId}"`);
  expect((await get(`/Patient/${scan.patient_id}`, { 'if-none-match': etag })).status).toBe(304);
  await journey.gateway.db.asOwner("UPDATE patients SET given_name = 'Changed' WHERE patient_id = $1", [scan.patient_id]);
  expect((await get(`/Patient/${scan.patient_id}`, { 'if-none-match': etag })).status).toBe(200);
  expect((await ask('HEAD', `/Patient/${scan.patient_id}`)).headers.get('etag')).not.toBe(etag);
});

describe('what may not be read', () => {
  test('of another organization: 404, nothing found, no page', async () => {
    const { db } = journey.gateway;
    await insertIntegration(db, 'Other Clinic', 'Their EMR', 'fhir-rest');
    await journey.gateway.integrations.reload();
    const theirs = await tokenFor('Other Clinic', 'service');
    const [report] = await db.asOwner<{ lineage_id: string; report_id: string; finding_id: string; model_id: string }>('SELECT r.lineage_id, r.report_id, f.finding_id, a.model_id FROM reports r JOIN ai_analyses a USING (organization_id, analysis_id) LEFT JOIN findings f USING (organization_id, analysis_id) LIMIT 1');
    const ids = { Patient: scan.patient_id, ServiceRequest: scan.scan_id, ImagingStudy: scan.scan_id, DiagnosticReport: report!.lineage_id, Observation: report!.finding_id, Device: report!.model_id, Provenance: report!.report_id };
    for (const [type, id] of Object.entries(ids)) {
      expect([type, (await get(`/${type}/${id}`)).status]).toEqual([type, 200]);
      expect([type, (await ask('GET', `/${type}/${id}`, { token: theirs })).status]).toEqual([type, 404]);
      expect((await ask('GET', `/${type}?_id=${id}`, { token: theirs })).body.entry).toBeUndefined();
    }
    const next = (await get('/Patient?_count=1')).body.link.find(({ relation }: { relation: string }) => relation === 'next').url;
    expect((await ask('GET', next, { token: theirs })).status).toBe(410);
    expect((await get(next.replace('/Patient?', '/ImagingStudy?'))).status).toBe(410);
    expect((await get(`${next.slice(0, -4)}AAAA`)).status).toBe(410);
  });

  test('without a token, with a role or scopes that do not say so', async () => {
    expect((await ask('GET', '/Patient', { token: 'forged' })).status).toBe(401);
    const { organizationName } = journey.seeded;
    expect((await ask('GET', '/Patient', { token: await tokenFor(organizationName, 'technician') })).status).toBe(403);
    const narrow = await tokenFor(organizationName, 'service', ['system/Observation.s', 'system/DiagnosticReport.rs']);
    expect((await ask('GET', '/Observation', { token: narrow })).status).toBe(200);
    expect((await ask('GET', `/Patient/${scan.patient_id}`, { token: narrow })).status).toBe(403);
    expect((await ask('GET', '/AuditEvent')).status).toBe(403);
    const included = await ask('GET', '/DiagnosticReport?_include=DiagnosticReport:subject', { token: narrow });
    expect(included.body.entry.map(({ resource }: { resource: any }) => resource.resourceType)).toEqual(['DiagnosticReport']);
    expect((await ask('POST', '/Patient', { token: narrow, body: '{"resourceType":"Patient"}', headers: { 'content-type': 'application/fhir+json' } })).status).toBe(403);
    const restApi = await fetch(`http://127.0.0.1:${journey.gateway.ports.http}/api/v1/scans`, { headers: { authorization: `Bearer ${narrow}` } });
    expect(restApi.status).toBe(403);
  });
});

test.each([
  ['/Patient?address=x', 400, 'cannot be searched by'], ['/Patient?_include=Patient:link', 400, '_include'], ['/Patient?_count=x', 400, '_count'], ['/Patient?_sort=name', 400, '_sort of Patient'], ['/Patient?_summary=most', 400, '_summary'], ['/Patient?name:sounds=x', 400, 'modifier'],
  ['/DiagnosticReport?date=tomorrow', 400, 'date must be'], ['/DiagnosticReport?patient=Group/1', 400, 'reference must be'], ['/Patient?identifier=', 400, 'takes 1 to'], ['/Patient?identifier=a&identifier=b', 400, 'same thing'],
  ['/Medication', 404, 'no such type'], ['/Patient/x%20y', 404, 'no Patient'], ['/Patient?_format=html', 406, 'json or xml'], ['/Patient/1/_history', 404, 'no Patient'], ['/Patient/1/_history/1/2', 404, 'nothing here'], ['/constructor', 404, 'no such type'],
  [`/DiagnosticReport?_id=' OR true --`, 200, ''], ['/Patient?constructor=1', 400, 'cannot be searched'],
])('GET %s is answered %i in words', async (path, status, words) => {
  const answer = await get(path);
  expect([answer.status, validateResource(answer.body)]).toEqual([status, []]);
  expect(answer.body.issue?.[0]?.diagnostics ?? '').toContain(words);
});

test('a lenient search ignores what it does not know, and says so in its self link', async () => {
  const { body } = await get('/Patient?address=x&_count=1', { prefer: 'handling=lenient' });
  expect(body.link[0].url).not.toContain('address');
});

test('the same answer as XML, compressed where that is accepted, and without a body to HEAD', async () => {
  const json = await get(`/Patient/${scan.patient_id}`);
  for (const [path, headers] of [['', { accept: 'application/fhir+xml' }], ['?_format=xml', {}], ['?_format=application/fhir+xml', { accept: 'application/json' }]] as const) {
    const xml = await get(`/Patient/${scan.patient_id}${path}`, headers);
    expect([xml.status, xml.headers.get('content-type'), await parseFhirXml(Buffer.from(xml.body))]).toEqual([200, 'application/fhir+xml; charset=utf-8', json.body]);
  }
  const url = `http://127.0.0.1:${journey.gateway.ports.http}/fhir/r4/metadata`;
  const packed = await fetch(url, { headers: { 'accept-encoding': 'gzip' } }), plain = await fetch(url, { headers: { 'accept-encoding': 'identity' } });
  expect([packed.headers.get('content-encoding'), plain.headers.get('content-encoding'), ((await packed.json()) as any).rest]).toEqual(['gzip', null, ((await plain.json()) as any).rest]);
  const head = await ask('HEAD', `/Patient/${scan.patient_id}`);
  expect([head.status, head.body, Number(head.headers.get('content-length'))]).toEqual([200, undefined, Buffer.byteLength(JSON.stringify(json.body))]);
  expect((await ask('OPTIONS', '/Patient/1')).headers.get('allow')).toBe('GET, HEAD, PUT, OPTIONS');
});

test('a resource that is sent as XML, or compressed, is the same resource; what grows beyond the limit is cut off', async () => {
  const xml = '<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir"><identifier><system value="urn:oid:1.2.3.4"/><value value="XML-1"/></identifier><name><family value="M&#252;ller"/></name><birthDate value="1980-05"/></Patient>';
  const post = (body: string | Uint8Array, headers: Record<string, string>): Promise<Answer> => ask('POST', '/Patient', { body: body as string, headers });
  const sent = await post(xml, { 'content-type': 'application/fhir+xml', prefer: 'return=representation' });
  expect([sent.status, sent.body]).toMatchObject([201, { name: [{ family: 'Müller' }], birthDate: '1980-05' }]);
  expect((await post(xml, { 'content-type': 'application/fhir+xml' })).status).toBe(200);
  const unknown = await post(xml.replace('<birthDate', '<shoeSize value="42"/><birthDate'), { 'content-type': 'application/fhir+xml' });
  expect([unknown.status, unknown.body.issue[0].diagnostics]).toEqual([400, expect.stringContaining('<shoeSize>')]);
  const packed = gzipSync(JSON.stringify({ resourceType: 'Patient', identifier: [{ value: 'GZIP-1' }] }));
  expect((await post(packed, { 'content-type': 'application/fhir+json', 'content-encoding': 'gzip' })).status).toBe(201);
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20));
  expect([bomb.byteLength < 100_000, (await post(bomb, { 'content-type': 'application/fhir+json', 'content-encoding': 'gzip' })).status]).toEqual([true, 413]);
  const recorded = await journey.gateway.db.asOwner<{ facts: any }>("SELECT facts FROM sync_logs WHERE facts->>'mediaType' = 'application/fhir+xml' AND message_status = 'accepted'");
  expect(recorded).toHaveLength(1);
});

test('parts of resources are marked as such', async () => {
  const whole = (await get(`/Patient/${scan.patient_id}`)).body, names = async (query: string): Promise<string[]> => Object.keys((await get(`/Patient/${scan.patient_id}?${query}`)).body);
  expect((await get(`/Patient/${scan.patient_id}?_elements=name,birthDate`)).body).toEqual({ resourceType: 'Patient', id: whole.id, meta: { ...whole.meta, tag: [expect.objectContaining({ code: 'SUBSETTED' })] }, name: whole.name, birthDate: whole.birthDate });
  expect(await names('_summary=data')).not.toContain('text');
  expect(await names('_summary=text')).toEqual(['resourceType', 'id', 'meta', 'text'].filter((name) => name !== 'text' || 'text' in whole));
  const { body } = await get('/DiagnosticReport?_summary=true');
  expect([body.entry[0].resource.presentedForm, body.entry[0].resource.status, validateResource(body)]).toEqual([undefined, 'preliminary', []]);
  expect((await get('/DiagnosticReport?_summary=text&_elements=code')).status).toBe(400);
});

const byCode = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

test('pages run in the order that was asked for, without gap or double', async () => {
  const { organizationId } = journey.seeded;
  await journey.gateway.db.asOwner(`INSERT INTO patients (organization_id, patient_number, family_name) SELECT $1, 'SORT' || n, CASE WHEN n % 5 = 0 THEN NULL ELSE chr(65 + (n * 7) % 20) || 'orted' END FROM generate_series(1, 25) n`, [organizationId]);
  for (const sort of ['family', '-family', '_lastUpdated', '-_lastUpdated']) {
    const seen: any[] = [];
    for (let url: string | undefined = `/Patient?_sort=${sort}&_count=7`; url !== undefined;) {
      const { body }: Answer = await get(url);
      seen.push(...body.entry.map(({ resource }: any) => resource));
      url = body.link.find(({ relation }: any) => relation === 'next')?.url;
    }
    const keys = seen.map((resource) => (sort.endsWith('family') ? (resource.name?.[0]?.family ?? '').toLowerCase() : resource.meta.lastUpdated));
    expect([sort, new Set(seen.map(({ id }) => id)).size, keys]).toEqual([sort, (await get('/Patient?_summary=count')).body.total, sort.startsWith('-') ? keys.toSorted(byCode).toReversed() : keys.toSorted(byCode)]);
  }
});

test('every version of a report is in its history, and each can be read as it was', async () => {
  const [row] = await journey.gateway.db.asOwner<{ lineage_id: string }>('SELECT lineage_id FROM reports');
  await journey.gateway.db.asOwner(`INSERT INTO reports (organization_id, report_id, lineage_id, version, scan_id, analysis_id, author_kind, author_name, status, findings_text, impression, document, supersedes_report_id)
    SELECT organization_id, medscan_uuid_v7(), lineage_id, 2, scan_id, analysis_id, author_kind, author_name, 'amended', findings_text, impression, document || '{"version": 2, "status": "amended"}', report_id FROM reports WHERE lineage_id = $1`, [row!.lineage_id]);
  const { body } = await get(`/DiagnosticReport/${row!.lineage_id}/_history`);
  expect([body.total, body.entry.map(({ resource, response }: any) => [resource.status, response.status])]).toEqual([2, [['amended', '200'], ['preliminary', '201']]]);
  const first = body.entry[1];
  expect((await get(`/DiagnosticReport/${row!.lineage_id}/_history/${first.resource.meta.versionId}`)).body).toEqual(first.resource);
  expect((await get(`/DiagnosticReport/${row!.lineage_id}`)).body).toEqual(body.entry[0].resource);
  expect((await get(`/DiagnosticReport/${row!.lineage_id}/_history/0000`)).status).toBe(404);
});

test('If-Modified-Since is answered 304 until something changes, and counts only without If-None-Match', async () => {
  const { headers } = await get(`/ServiceRequest/${scan.scan_id}`), since = headers.get('last-modified')!;
  expect((await get(`/ServiceRequest/${scan.scan_id}`, { 'if-modified-since': since })).status).toBe(304);
  expect((await get(`/ServiceRequest/${scan.scan_id}`, { 'if-modified-since': 'Mon, 01 Jan 2024 00:00:00 GMT' })).status).toBe(200);
  expect((await get(`/ServiceRequest/${scan.scan_id}`, { 'if-modified-since': since, 'if-none-match': 'W/"other"' })).status).toBe(200);
});

test('$validate says what is wrong, and stores nothing', async () => {
  const headers = { 'content-type': 'application/fhir+json' };
  const validate = async (path: string, body: object): Promise<any> => (await ask('POST', path, { headers, body: JSON.stringify(body) })).body;
  const [before] = await journey.gateway.db.asOwner<{ n: number }>('SELECT count(*)::int AS n FROM patients');
  expect((await validate('/Patient/$validate', { resourceType: 'Patient', gender: 'female' })).issue[0].severity).toBe('information');
  expect((await validate('/Patient/$validate', { resourceType: 'Patient', gender: 'f' })).issue[0]).toMatchObject({ severity: 'error', expression: ['Patient.gender'] });
  expect((await validate('/Patient/$validate', { resourceType: 'ServiceRequest', status: 'active', intent: 'order', subject: { display: 'x' } })).issue[0].diagnostics).toContain('no Patient');
  expect((await validate('/$validate', { resourceType: 'Parameters', parameter: [{ name: 'resource', resource: { resourceType: 'Patient', name: [] } }] })).issue[0].expression).toEqual(['Patient.name']);
  expect(await journey.gateway.db.asOwner('SELECT count(*)::int AS n FROM patients')).toEqual([before]);
});

test('every read and search is on record: who, what kind, of which patients, never what was asked for', async () => {
  const [before] = await audits();
  await get(`/Patient/${scan.patient_id}`);
  await get(`/DiagnosticReport?patient.identifier=${person.patientId}`);
  await get('/Patient/00000000-0000-7000-8000-000000000000');
  const [after] = await audits();
  expect(after!.n - before!.n).toBe(4); // the last asks twice: by our id, and by what the reader's own system may call it
  const rows = await journey.gateway.db.asOwner<{ event_code: string; outcome: string; patient_id: string | null; detail: any; network_address: string; actor_id: string }>("SELECT * FROM audit_logs WHERE detail ? 'kind' ORDER BY sequence DESC LIMIT 4");
  expect(rows.map(({ event_code, outcome, patient_id, detail }) => [event_code, outcome, patient_id, detail.kind])).toEqual([
    ['110112', 'success', null, 'patient'], ['110112', 'minor_failure', null, 'patient'], ['110112', 'success', scan.patient_id, 'report'], ['110110', 'success', scan.patient_id, 'patient'],
  ]);
  expect(rows.every(({ network_address, actor_id }) => network_address === '127.0.0.1' && actor_id.length === 36)).toBe(true);
  expect(JSON.stringify(rows)).not.toContain(person.patientId);
});

test('an order that names the patient by the id read here finds that patient', async () => {
  const request = { resourceType: 'ServiceRequest', status: 'active', intent: 'order', subject: { reference: `Patient/${scan.patient_id}` }, identifier: [{ type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] }, value: 'ACC-BY-ID' }] };
  const sent = await ask('POST', '/ServiceRequest', { headers: { 'content-type': 'application/fhir+json' }, body: JSON.stringify(request) });
  expect([sent.status, sent.body]).toMatchObject([201, {}]);
  expect((await get('/ServiceRequest?accession=ACC-BY-ID')).body.entry[0].resource.subject.reference).toBe(`Patient/${scan.patient_id}`);
});

test('a patient that was PUT under an id is read under it', async () => {
  const patient = { resourceType: 'Patient', id: 'their-7', identifier: [{ system: 'urn:oid:1.2.3.4', value: 'their-7' }], name: [{ family: 'Theirs' }] };
  expect((await ask('PUT', '/Patient/their-7', { headers: { 'content-type': 'application/fhir+json' }, body: JSON.stringify(patient) })).status).toBe(201);
  expect((await get('/Patient/their-7')).body).toMatchObject({ id: 'their-7', name: [{ family: 'Theirs' }] });
});

test('a batch is answered entry by entry, each an exchange of its own; sent again it has no second effect', async () => {
  const type = (code: string): object => ({ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code }] });
  const identifier = [{ system: 'urn:oid:1.2.3.4', value: 'B-1', type: type('MR') }];
  const entry = [
    { request: { method: 'POST', url: 'Patient' }, resource: { resourceType: 'Patient', identifier, name: [{ family: 'Batch' }] } },
    { request: { method: 'POST', url: 'ServiceRequest' }, resource: { resourceType: 'ServiceRequest', status: 'active', intent: 'order', subject: { identifier: identifier[0] }, identifier: [{ type: type('ACSN'), value: 'ACC-BATCH' }] } },
    { request: { method: 'POST', url: 'Patient' }, resource: { resourceType: 'Patient', gender: 'f' } },
    { request: { method: 'GET', url: 'ServiceRequest?accession=ACC-BATCH' } },
    { request: { method: 'GET', url: `Patient/00000000-0000-7000-8000-000000000000` } },
  ];
  const post = (bundle: object): Promise<Answer> => ask('POST', '', { headers: { 'content-type': 'application/fhir+json', 'x-request-id': 'batch-1' }, body: JSON.stringify(bundle) });
  const first = await post({ resourceType: 'Bundle', type: 'batch', entry });
  expect([first.status, validateResource(first.body), first.body.type]).toEqual([200, [], 'batch-response']);
  expect(first.body.entry.map(({ response }: { response: { status: string } }) => response.status)).toEqual(['201', '201', '422', '200', '404']);
  expect(first.body.entry[2].response.outcome.issue[0].expression).toEqual(['Patient.gender']);
  expect(first.body.entry[3].resource.entry[0].resource.subject.reference).toBe(`Patient/${first.body.entry[0].response.location.split('/').at(-1)}`);
  const again = await post({ resourceType: 'Bundle', type: 'batch', entry });
  expect(again.body.entry.map(({ response }: { response: { status: string } }) => response.status)).toEqual(['200', '200', '422', '200', '404']);
  const rows = await journey.gateway.db.asOwner<{ message_status: string }>("SELECT message_status FROM sync_logs WHERE facts->>'requestId' LIKE 'batch-1/%' ORDER BY started_at");
  expect(rows.map(({ message_status }) => message_status)).toEqual(['accepted', 'accepted', 'rejected', 'duplicate', 'duplicate', 'rejected']);
  const transaction = await post({ resourceType: 'Bundle', type: 'transaction', entry: entry.slice(0, 2) });
  expect([transaction.status, transaction.body.entry.map(({ response }: { response: { status: string } }) => response.status)]).toEqual([200, ['200', '200']]);
  expect((await post({ resourceType: 'Bundle', type: 'transaction', entry: entry.slice(0, 1) })).body).toMatchObject({ type: 'transaction-response', entry: [{ response: { status: '200' } }] });
  for (const url of ['auth/token', '../../api/v1/scans', 'http://127.0.0.1:9/fhir/r4/Patient', '', '$validate', '//x/Patient']) {
    expect([url, (await post({ resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'POST', url }, resource: {} }] })).status]).toEqual([url, 400]);
  }
  expect((await post({ resourceType: 'Bundle', type: 'searchset' })).status).toBe(400);
});
