import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { validateResource } from './validate.ts';

const corpus = resolve(process.env['MEDSCAN_CORPUS'] ?? '../shared/corpus', 'fhir');
const read = (...path: string[]): unknown => JSON.parse(readFileSync(join(corpus, ...path), 'utf8'));
const found = (resource: unknown): string[] => validateResource(resource).map((issue) => `${issue.expression}${issue.rule === undefined ? '' : ` ${issue.rule}`}`);

/** Where each file of the corpus is wrong; the labels say it in words only. */
const faults: Readonly<Record<string, string>> = {
  '00.json': 'DiagnosticReport.code', '02.json': 'ImagingStudy.subject', '04.json': 'ImagingStudy.series[0].modality', '06.json': 'Patient.gender',
  '08.json': 'Patient.identifier[0].use', '10.json': 'ImagingStudy.status', '12.json': 'Patient.birthDate', '14.json': 'DiagnosticReport.issued', '16.json': 'Patient.foo',
  '18.json': 'DiagnosticReport.code', '20.json': 'Patient.telecom ele-1', '22.json': 'Patient.name[0].family', '24.json': 'Patient.name[0].family',
  '26.json': 'ImagingStudy.numberOfSeries', '28.json': 'Observation.valueQuantity.value', '30.json': 'Observation.valueDecimal', '32.json': 'Observation.component obs-7',
  '34.json': 'Patient.contact[0] pat-1', '36.json': 'Patient.identifier[0].period per-1', '38.json': 'Patient.extension[0] ext-1', '40.json': 'Patient.contained[0] dom-3',
  '42.json': 'Bundle.entry[0].request bdl-3', '44.json': 'Patient.id', '46.json': 'DiagnosticReport.subject', '48.json': 'ImagingStudy.series[0].uid PS3.5-9.1',
  '50.json': 'Patient.text.div txt-1', '52.json': 'Resource.resourceType', '54.json': 'Patient.modifierExtension ele-1', '56.json': 'DiagnosticReport.status', '58.json': 'Patient.telecom[1].rank',
};

describe.skipIf(!existsSync(corpus))(`corpus of FHIR resources (${existsSync(corpus) ? corpus : 'absent: set MEDSCAN_CORPUS'})`, () => {
  test('every resource with one fault is refused at that fault and nowhere else', () => {
    const labels = read('invalid', 'labels.json') as { file: string }[];
    expect(labels.length).toBeGreaterThan(0);
    for (const { file } of labels) expect({ file, found: found(read('invalid', file)) }).toEqual({ file, found: [faults[file]] });
  });
  test('a transaction that the HL7 validator accepts, and the statements of a real server, have no issue', () => {
    expect(found(read('example', 'ai-bundle.json'))).toEqual([]);
    for (const file of readdirSync(join(corpus, 'capability')).filter((name) => name.includes('statement'))) expect({ file, found: found(read('capability', file)) }).toEqual({ file, found: [] });
  });
});

const patient = (more: object): object => ({ resourceType: 'Patient', ...more });
const observation = (more: object): object => ({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, ...more });
const div = (content: string): object => patient({ text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${content}</div>` } });

test('a resource of each kind that is taken has no issue', () => {
  expect(found(patient({ id: 'a-1', name: [{ family: 'Ng', given: ['A', null], _given: [null, { extension: [{ url: 'http://x.example/y', valueString: 'B' }] }] }], birthDate: '2000-02-29' }))).toEqual([]);
  expect(found({ resourceType: 'ServiceRequest', status: 'active', intent: 'order', subject: { reference: '#p' }, contained: [{ resourceType: 'Patient', id: 'p' }], occurrenceDateTime: '2026-01-05T09:50:00+01:00' })).toEqual([]);
});

test.each([
  ['an empty object', patient({ maritalStatus: {} }), 'Patient.maritalStatus ele-1'],
  ['two values for a choice', patient({ deceasedBoolean: true, deceasedDateTime: '2020' }), 'Patient.deceased[x]'],
  ['null', patient({ gender: null }), 'Patient.gender'],
  ['extensions out of step with values', patient({ name: [{ given: ['A', 'B'], _given: [null] }] }), 'Patient.name[0]._given'],
  ['a day that does not exist', patient({ birthDate: '2026-02-29' }), 'Patient.birthDate'],
  ['a time without zone', patient({ deceasedDateTime: '2026-01-05T09:50:00' }), 'Patient.deceasedDateTime'],
  ['a time without seconds', patient({ deceasedDateTime: '2026-01-05T09:50Z' }), 'Patient.deceasedDateTime'],
  ['an id that is too long', patient({ id: 'a'.repeat(65) }), 'Patient.id'],
  ['a value without system in a telecom', patient({ telecom: [{ value: '1' }] }), 'Patient.telecom[0].value cpt-2'],
  ['data without content type', patient({ photo: [{ data: 'QQ==' }] }), 'Patient.photo[0].data att-1'],
  ['base64 that is none', patient({ photo: [{ contentType: 'image/png', data: 'Q' }] }), 'Patient.photo[0].data'],
  ['a unit code without system', observation({ valueQuantity: { value: 1, code: '%' } }), 'Observation.valueQuantity.code qty-3'],
  ['a reason for absence beside a value', observation({ valueBoolean: true, dataAbsentReason: { text: 'x' } }), 'Observation.dataAbsentReason obs-6'],
  ['a comparator in a range', observation({ valueRange: { low: { value: 1, comparator: '<' } } }), 'Observation.valueRange.low sqty-1'],
  ['a range from high to low', observation({ valueRange: { low: { value: 2 }, high: { value: 1 } } }), 'Observation.valueRange rng-2'],
  ['a reference range without content', observation({ referenceRange: [{ type: { text: 'x' } }] }), 'Observation.referenceRange[0] obs-3'],
  ['a ratio without denominator', observation({ valueRatio: { numerator: { value: 1 } } }), 'Observation.valueRatio rat-1'],
  ['an organization without name and identifier', { resourceType: 'Organization', active: true }, 'Organization org-1'],
  ['an organization at home', { resourceType: 'Organization', name: 'x', address: [{ use: 'home', city: 'y' }] }, 'Organization.address org-2'],
  ['a repetition with a period without unit', { resourceType: 'ServiceRequest', status: 'active', intent: 'order', subject: { display: 'x' }, occurrenceTiming: { repeat: { period: 1 } } }, 'ServiceRequest.occurrenceTiming.repeat tim-2'],
  ['order details without a code', { resourceType: 'ServiceRequest', status: 'active', intent: 'order', subject: { display: 'x' }, orderDetail: [{ text: 'x' }] }, 'ServiceRequest.orderDetail prr-1'],
  ['a fullUrl that comes twice', { resourceType: 'Bundle', type: 'collection', entry: [1, 2].map(() => ({ fullUrl: 'https://a.example/Patient/1', resource: patient({}) })) }, 'Bundle.entry bdl-7'],
  ['an entry response in a transaction', { resourceType: 'Bundle', type: 'transaction', entry: [{ request: { method: 'GET', url: 'x' }, response: { status: '200' } }] }, 'Bundle.entry[0].response bdl-4'],
  ['a total in a transaction', { resourceType: 'Bundle', type: 'transaction', total: 1 }, 'Bundle.total bdl-1'],
  ['a reference to a contained resource that is not there', patient({ managingOrganization: { reference: '#o' } }), 'Patient.managingOrganization.reference ref-1'],
  ['a contained resource of the wrong type', patient({ contained: [{ resourceType: 'Device', id: 'd' }], managingOrganization: { reference: '#d' } }), 'Patient.managingOrganization'],
  ['an absolute reference of the wrong type', patient({ managingOrganization: { reference: 'https://a.example/fhir/Device/1' } }), 'Patient.managingOrganization'],
  ['a urn that is not in the Bundle', { resourceType: 'Bundle', type: 'collection', entry: [{ resource: patient({ managingOrganization: { reference: 'urn:uuid:0c2f' } }) }] }, 'Bundle.entry[0].resource.managingOrganization.reference ref-1'],
  ['a contained resource within a contained one', patient({ contained: [{ resourceType: 'Organization', id: 'o', name: 'x', contained: [{ resourceType: 'Device', id: 'd' }], partOf: { reference: '#' } }], managingOrganization: { reference: '#o' } }), 'Patient.contained[0].contained dom-2'],
  ['an unknown type of resource within', patient({ contained: [{ resourceType: 'Pet', id: 'p' }] }), 'Patient.contained[0].resourceType'],
  ['an empty array in a resource without table', patient({ contained: [{ resourceType: 'Group', id: 'p', member: [] }], link: [{ type: 'refer', other: { reference: '#p' } }] }), 'Patient.contained[0].member ele-1'],
  ['script in an attribute', div('<p onclick="x()">a</p>'), 'Patient.text.div txt-1'],
  ['a script address behind character references', div('<a href="&#106;ava&#x0a;script:x()">a</a>'), 'Patient.text.div txt-1'],
  ['narrative that is not XML', div('<p>a'), 'Patient.text.div txt-1'],
  ['an HTML entity', div('a&nbsp;b'), 'Patient.text.div txt-1'],
  ['narrative without content', div(' '), 'Patient.text.div txt-1'],
  ['narrative with a form', div('<form/>a'), 'Patient.text.div txt-1'],
  ['an entity declaration', patient({ text: { status: 'generated', div: '<!DOCTYPE d [<!ENTITY a "b">]><div xmlns="http://www.w3.org/1999/xhtml">a</div>' } }), 'Patient.text.div txt-1'],
])('%s is refused', (_title, resource, location) => {
  expect(found(resource)).toContain(location);
});

test('an issue points at the place twice and never quotes the value', () => {
  const [issue] = validateResource(patient({ name: [{ family: 'x' }, { family: 7 }] }));
  expect(issue).toMatchObject({ expression: 'Patient.name[1].family', pointer: '/name/1/family', code: 'structure' });
  expect(JSON.stringify(validateResource(patient({ gender: 'Hildegard', birthDate: 'Hildegard', 'Hildegard von Bingen': 1 })))).not.toContain('Hildegard');
});

test('no JSON value makes it throw', () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => { validateResource(value); validateResource({ resourceType: 'Patient', name: value, _birthDate: value, contained: value }); }), { numRuns: 300 });
});
