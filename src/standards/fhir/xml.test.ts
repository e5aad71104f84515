import fc from 'fast-check';
import { expect, test } from 'vitest';
import { processorMilliseconds } from '../../../test/support/processor-time.ts';
import { validateResource } from './validate.ts';
import { FhirXmlError, parseFhirXml, writeFhirXml } from './xml.ts';

const patient = (content: string, head = ''): Buffer => Buffer.from(`${head}<Patient xmlns="http://hl7.org/fhir">${content}</Patient>`);

test('values, repetitions, choices, extensions beside primitives, contained resources and narrative are those of the JSON form', async () => {
  const resource = {
    resourceType: 'Patient', id: 'x', text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml"><p>a &lt; b</p></div>' }, contained: [{ resourceType: 'Organization', id: 'o', name: 'O & Sons' }],
    active: true, name: [{ family: 'Ng "the" <first>', given: ['A', 'B'] }, { text: 'other' }], multipleBirthInteger: 2, birthDate: '1980-05', _birthDate: { extension: [{ url: 'http://x.example/t', valueDateTime: '1980-05-01T10:00:00Z' }] },
    extension: [{ url: 'http://x.example/h', valueQuantity: { value: 1.83, unit: 'm' } }], managingOrganization: { reference: '#o' },
  };
  const back = await parseFhirXml(Buffer.from(await writeFhirXml(resource)));
  expect([back, validateResource(back)]).toEqual([resource, []]);
});

test('a comment, a declaration, a byte order mark and single quotes are read over', async () => {
  expect(await parseFhirXml(patient("<!-- who --><gender value='female'/>", '\uFEFF<?xml version="1.0" encoding="UTF-8"?>\n<!-- before -->'))).toEqual({ resourceType: 'Patient', gender: 'female' });
});

test.each<[string, string | Buffer, RegExp]>([
  ['an entity that is declared', '<!DOCTYPE a [<!ENTITY b "c">]><Patient xmlns="http://hl7.org/fhir"><id value="&b;"/></Patient>', /document type/],
  ['an external document type', '<!DOCTYPE Patient SYSTEM "file:///etc/passwd"><Patient xmlns="http://hl7.org/fhir"/>', /document type/],
  ['a billion laughs', `<!DOCTYPE l [<!ENTITY a "ha">${'bcdefgh'.split('').map((each, index) => `<!ENTITY ${each} "${`&${'abcdefg'[index]};`.repeat(10)}">`).join('')}]><Patient xmlns="http://hl7.org/fhir"><id value="&h;"/></Patient>`, /document type/],
  ['an entity that is not declared', patient('<id value="&b;"/>'), /entity/],
  ['an HTML entity in the narrative', patient('<text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml">a&nbsp;b</div></text>'), /entity/],
  ['a processing instruction', patient('<?php x ?>'), /processing instruction/],
  ['a style sheet', '<?xml-stylesheet href="x"?><Patient xmlns="http://hl7.org/fhir"/>', /processing instruction/],
  ['CDATA', patient('<![CDATA[x]]>'), /CDATA/],
  ['an element that R4 does not have', patient('<shoeSize value="42"/>'), /<shoeSize>/],
  ['an element at the wrong place', patient('<name><gender value="male"/></name>'), /<gender>/],
  ['an attribute that R4 does not have', patient('<gender value="male" colour="red"/>'), /attribute/],
  ['an element that may come once and comes twice', patient('<gender value="male"/><gender value="female"/>'), /<gender>/],
  ['text instead of a value', patient('<gender>male</gender>'), /value="/],
  ['another namespace', '<Patient xmlns="http://hl7.org/v3"/>', /namespace/],
  ['no namespace', '<Patient/>', /namespace/],
  ['no resource', '<ClinicalDocument xmlns="http://hl7.org/fhir"/>', /no resource/],
  ['an end tag that does not fit', patient('<name><family value="x"/></nane>'), /end tag/],
  ['an end that is missing', '<Patient xmlns="http://hl7.org/fhir"><name>', /ends within/],
  ['two roots', `${patient('').toString()}${patient('').toString()}`, /more than one root/],
  ['an attribute without quotes', patient('<gender value=male/>'), /well-formed/],
  ['a comment that does not end', patient('<!-- '), /well-formed|ends within/],
  ['a control character', patient('<id value="a\u0001"/>'), /control character/],
  ['bytes that are no UTF-8', Buffer.from([0x3c, 0xff, 0xfe]), /UTF-8/],
  ['UTF-16', Buffer.from(patient('').toString(), 'utf16le'), /./],
  ['100,000 levels', '<a xmlns="http://hl7.org/fhir">'.repeat(100_000), /deeper/],
  ['300,000 elements', patient('<name/>'.repeat(300_000)), /elements/],
  ['a long run of blanks in a tag', patient(`<gender ${' '.repeat(200_000)}!`), /well-formed/],
  ['nothing', '', /well-formed/],
])('%s is refused, soon and without its content', async (_title, xml, words) => {
  const begun = processorMilliseconds();
  await expect(parseFhirXml(Buffer.from(xml))).rejects.toThrow(words);
  await expect(parseFhirXml(Buffer.from(xml))).rejects.toBeInstanceOf(FhirXmlError);
  expect(processorMilliseconds() - begun).toBeLessThan(4000);
});

test('script in narrative comes through as text, and is refused by the validator', async () => {
  const resource = await parseFhirXml(patient('<text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><script>x()</script></div></text>'));
  expect(validateResource(resource).map(({ expression, rule }) => [expression, rule])).toEqual([['Patient.text.div', 'txt-1']]);
});

test('a decimal stays a number and cannot smuggle anything else into the resource', async () => {
  const observation = (value: string): Buffer => Buffer.from(`<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="x"/></code><valueQuantity><value value="${value}"/></valueQuantity></Observation>`);
  expect(await parseFhirXml(observation('0.10'))).toMatchObject({ valueQuantity: { value: 0.1 } });
  for (const value of ['1, &quot;code&quot;: 2', '1}, &quot;x&quot;: {', '[1]', '{}', 'null', 'DDDDDDDDDD1DDDDDDDDDD']) {
    const read = await parseFhirXml(observation(value)).catch((error: unknown) => error);
    const isRefused = read instanceof FhirXmlError || validateResource(read).length > 0;
    expect([value, isRefused]).toEqual([value, true]);
  }
});

test('no text makes it throw anything else', async () => {
  const piece = fc.constantFrom('<Patient xmlns="http://hl7.org/fhir">', '</Patient>', '<name>', '</name>', '<family value="x"/>', '<!--', '-->', '<div>', '</div>', '&lt;', '&', '<', '>', '"', ' value="', 'x', '<contained>', '</contained>', '<extension url="u">');
  await fc.assert(fc.asyncProperty(fc.array(piece, { maxLength: 30 }), async (pieces) => {
    await parseFhirXml(Buffer.from(pieces.join(''))).catch((error: unknown) => { if (!(error instanceof FhirXmlError)) throw error; });
  }), { numRuns: 300 });
});
