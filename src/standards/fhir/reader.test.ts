import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseFhirJson } from './json.ts';
import type { FhirJsonError } from './json.ts';
import { escapeXml, narrativeOf, narrativeProblem } from './narrative.ts';
import { isFailure, wordsOf } from './operation-outcome.ts';
import { fhirReader } from './reader.ts';

const patient = {
  resourceType: 'Patient', active: true, text: { status: 'generated', div: '<div/>' },
  identifier: [
    { system: 'urn:oid:1.2', value: '7', type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'MR' }] } },
    { system: 'http://a.example/x', value: '8' },
  ],
  name: [{ use: 'usual', given: ['Jim'] }, { use: 'official', family: 'Ng', given: ['Ada', 'B.'] }], multipleBirthInteger: 2,
};

test('paths read primitives by index, by filter and over whole arrays', () => {
  const reader = fhirReader(patient);
  expect(reader.first('name[use=official].family')).toBe('Ng');
  expect(reader.first('name[1].given[0]')).toBe('Ada');
  expect(reader.all('name.given')).toEqual(['Jim', 'Ada', 'B.']);
  expect(reader.first('identifier[type.coding.code=MR].value')).toBe('7');
  expect(reader.first('identifier[system=http://a.example/x].value')).toBe('8');
  expect([reader.first('active'), reader.first('multipleBirthInteger')]).toEqual(['true', '2']);
  expect([reader.first('name'), reader.first('gender'), reader.first('name[9].family'), reader.first('constructor.name')]).toEqual([undefined, undefined, undefined, undefined]);
});

test('each gives one reader per element, with paths relative to it', () => {
  expect(fhirReader(patient).each('identifier').map((identifier) => [identifier.first('value'), identifier.first('type.coding[0].code')])).toEqual([['7', 'MR'], ['8', undefined]]);
  expect(fhirReader(patient).each('name.given').map((given) => given.first('.'))).toEqual(['Jim', 'Ada', 'B.']);
});

test('unread names what no rule has looked at, and forgets nothing read by an inner reader', () => {
  const reader = fhirReader(patient);
  reader.all('name.given');
  for (const identifier of reader.each('identifier')) identifier.first('value');
  expect(reader.unread()).toEqual(['active', 'identifier[0].system', 'identifier[0].type.coding[0].system', 'identifier[0].type.coding[0].code', 'identifier[1].system',
    'name[0].use', 'name[1].use', 'name[1].family', 'multipleBirthInteger']);
});

test('a path that is none is an error of the mapping file', () => {
  for (const path of ['', 'name[', 'name[x].family', 'name..family', 'resolve()']) expect(() => fhirReader(patient).first(path)).toThrow('is not a path');
});

const parse = (text: string): unknown => parseFhirJson(Buffer.from(text));

test.each([
  ['too deep', `{"a":${'['.repeat(64)}${']'.repeat(64)}}`, 'nested deeper than 64'],
  ['very deep', '['.repeat(500_000), 'nested deeper than 64'],
  ['__proto__', '{"a":{"__proto__":{"x":1}}}', 'named __proto__'],
  ['__proto__ written with escapes', String.raw`{"\u005f_proto__":1}`, 'named __proto__'],
  ['NUL as escape', String.raw`{"a":"x\u0000"}`, 'NUL'],
  ['a key twice', '{"gender":"male","gender":"female"}', "twice in one object ('gender')"],
  ['no object', '[]', 'not a JSON object'],
  ['a cut message', '{"a":"b', 'not valid JSON'],
  ['a comma too many', '{"a":1,}', 'not valid JSON'],
])('JSON with %s is refused', (_title, text, words) => {
  expect(() => parse(text)).toThrow(words);
});

test('bytes that are not UTF-8, or too many, are refused', () => {
  expect(() => parseFhirJson(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]))).toThrow('not UTF-8');
  try {
    parseFhirJson(Buffer.alloc(11, 0x20), { byteLength: 10, depth: 9 });
    expect.unreachable();
  } catch (error) {
    expect((error as FhirJsonError).tooLarge).toBe(true);
  }
});

test('the guard lets every other JSON object through unchanged', () => {
  fc.assert(fc.property(fc.dictionary(fc.string().filter((key) => !['__proto__', 'constructor', 'prototype'].includes(key)), fc.jsonValue({ maxDepth: 5, noUnicodeString: false }), { noNullPrototype: true }), (value) => {
    const text = JSON.stringify(value);
    fc.pre(!text.includes('\\u0000') && !/"(__proto__|constructor|prototype)":/.test(text));
    expect(parse(text)).toEqual(JSON.parse(text));
  }), { numRuns: 300 });
});

test('narrative from any text is valid, holds the text and no markup of its own', () => {
  fc.assert(fc.property(fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('<script>alert(1)</script>', ']]>', '<!--', '&nbsp;', '"onload=x', 'a\r\nb'))), (texts) => {
    const narrative = narrativeOf(...texts);
    if (narrative === undefined) {
      expect(texts.every((text) => escapeXml(text).trim() === '')).toBe(true);
      return;
    }
    expect(narrativeProblem(narrative.div)).toBeUndefined();
    expect(narrative.div.replaceAll(/<\/?p>|<br\/>|<\/?div[^>]*>/g, '')).not.toMatch(/[<>]/);
  }), { numRuns: 500 });
});

test("another server's OperationOutcome is told in its words", () => {
  const theirs = { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'invalid', diagnostics: 'no such code', expression: ['Observation.code'] }, { severity: 'warning', code: 'x', details: { text: 'odd' } }] };
  expect(wordsOf(theirs)).toBe('error invalid at Observation.code: no such code; warning x: odd');
  expect(wordsOf(theirs, 5)).toBe('error');
  expect([wordsOf('<h1>502</h1>'), wordsOf(null), wordsOf({ resourceType: 'OperationOutcome', issue: [null, 3] })]).toEqual([undefined, undefined, 'an OperationOutcome without words']);
  expect([isFailure(theirs), isFailure({ resourceType: 'OperationOutcome', issue: [{ severity: 'information' }] }), isFailure({})]).toEqual([true, false, false]);
});
