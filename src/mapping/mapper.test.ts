import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { NormalizeError } from '#gateway/adapter.ts';
import type { Mapper, SourceReader } from '#gateway/normalized.ts';
import { MappingFileError } from './load.ts';
import { createMapper } from './mapper.ts';

type Content = { readonly [path: string]: string | null | readonly (string | null)[] | readonly Content[] };

/** A message as a plain tree of paths; lists of objects are what `each` walks. */
function readerOf(content: Content): SourceReader {
  const read = new Set<string>();
  const valuesOf = (path: string): readonly (string | null)[] => {
    read.add(path);
    const value = Object.hasOwn(content, path) ? content[path] : undefined;
    if (value === undefined) return [];
    return Array.isArray(value) ? value as readonly (string | null)[] : [value as string | null];
  };
  return {
    first: (path) => valuesOf(path)[0],
    all: valuesOf,
    each: (path) => (valuesOf(path) as readonly unknown[]).map((element) => readerOf(element as Content)),
    unread: () => Object.keys(content).filter((path) => !read.has(path)),
  };
}

const folders: string[] = [];
afterEach(() => { for (const folder of folders.splice(0)) rmSync(folder, { recursive: true }); });

function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'mappings-'));
  folders.push(folder);
  mkdirSync(join(folder, 'codes'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}
const sexCodes = 'name: sex\nversion: 1.0.0\ntitle: Sex\ncodes: { M: male, F: female, __proto__: other }\n';
function mapperOf(rows: string, more: Readonly<Record<string, string>> = {}): Mapper {
  const source = /\b(PID|MSH|AL1)\b/.test(rows) ? 'hl7v2' : 'fhir';
  return createMapper(folderOf({ 'codes/sex.yaml': sexCodes, 'm.yaml': `name: m\nversion: 1.2.3\ntitle: A test\nsource: ${source}\nrows:\n${rows}\n`, ...more }));
}
function patientOf(rows: string, content: Content, settings = {}): unknown {
  return mapperOf(`  patients:\n${rows}`)('m', readerOf(content), settings).rows.patients;
}
function problemsOf(text: string): readonly { file: string; path: string; text: string }[] {
  try {
    createMapper(folderOf({ 'codes/sex.yaml': sexCodes, 'm.yaml': text }));
  } catch (error) {
    if (error instanceof MappingFileError) return error.problems;
    throw error;
  }
  return [];
}

test('a present value is set, an absent or empty one leaves no key, HL7 null becomes null', () => {
  const rule = "    - { target: family_name, from: 'PID-5.1' }";
  expect(patientOf(rule, { 'PID-5.1': 'Müller' })).toEqual({ family_name: 'Müller' });
  expect(patientOf(rule, {})).toEqual({});
  expect(patientOf(rule, { 'PID-5.1': '' })).toEqual({});
  expect(patientOf(rule, { 'PID-5.1': null })).toEqual({ family_name: null });
});

test('the first path with a value wins, and an explicit null counts as a value', () => {
  const rule = '    - { target: family_name, from: [a, b] }';
  expect(patientOf(rule, { a: '', b: 'B' })).toEqual({ family_name: 'B' });
  expect(patientOf(rule, { a: null, b: 'B' })).toEqual({ family_name: null });
});

test('concat joins what is there and all reads every repetition', () => {
  expect(patientOf("    - { target: middle_name, concat: [a, b, c], separator: ' ' }", { a: 'x', c: 'z' })).toEqual({ middle_name: 'x z' });
  expect(patientOf("    - { target: middle_name, all: a, separator: ' ' }", { a: ['x', '', 'y'] })).toEqual({ middle_name: 'x y' });
  expect(patientOf('    - { target: middle_name, all: a, transform: [upper] }', { a: ['x', 'y'] })).toEqual({ middle_name: ['X', 'Y'] });
});

test('codes translate, an unknown code takes the default with a warning, and settings can name a table of the site', () => {
  const rule = '    - { target: sex, from: PID-8, codes: sex, default: unknown }';
  expect(patientOf(rule, { 'PID-8': 'F' })).toEqual({ sex: 'female' });
  expect(patientOf(rule, { 'PID-8': ' f ' })).toEqual({ sex: 'female' });
  expect(patientOf(rule, {})).toEqual({ sex: 'unknown' });
  const site = { 'codes/site.yaml': 'name: site\nversion: 1.0.0\ntitle: Site\ncodes: { 1: male }\n' };
  const map = mapperOf(`  patients:\n${rule}`, site);
  const result = map('m', readerOf({ 'PID-8': '1' }));
  expect(result.rows.patients).toEqual({ sex: 'unknown' });
  expect(result.warnings).toEqual([{ location: 'PID-8', text: 'PID-8 has a code that is not in sex' }]);
  expect(map('m', readerOf({ 'PID-8': '1' }), { 'codes.sex': 'site' }).rows.patients).toEqual({ sex: 'male' });
});

test('codes_missing keeps the code, or fails without touching the row', () => {
  expect(patientOf('    - { target: sex, from: a, codes: sex, codes_missing: keep }', { a: 'X' })).toEqual({ sex: 'X' });
  expect(patientOf('    - { target: sex, from: a, codes: sex, codes_missing: fail, default: unknown }', { a: 'X' })).toEqual({});
});

test('a failed transform warns and leaves no key; a required one names the place to the sender without repeating the value', () => {
  const map = mapperOf("  patients:\n    - { target: birth_date, from: PID-7, transform: [hl7-date] }");
  const result = map('m', readerOf({ 'PID-7': '19801345' }));
  expect(result.rows.patients).toEqual({});
  expect(result.trace()).toEqual([{ source: 'PID-7', rule: 'PID-7; hl7-date', target: 'patients.birth_date', outcome: 'failed', input: '19801345', text: expect.stringContaining('is not of the form YYYY[MM[DD') }]);
  const strict = mapperOf("  patients:\n    - { target: birth_date, from: PID-7, transform: [hl7-date], required: true }");
  expect(() => strict('m', readerOf({ 'PID-7': '19801345' }))).toThrow(expect.objectContaining({ name: 'NormalizeError', location: 'PID-7', reason: 'invalid', message: expect.stringMatching(/^PID-7 is not of the form/) }));
  expect(() => strict('m', readerOf({}))).toThrow(NormalizeError);
  expect(() => strict('m', readerOf({ 'PID-7': null }))).toThrow(NormalizeError);
});

test('each gives one row per repetition with paths relative to it, constants, conditions and the message by /', () => {
  const map = mapperOf([
    '  patient_identifiers:',
    '    - each: PID-3',
    '      when: { from: "5", in: [MR, PI] }',
    '      set: { type_code: ID, active: true }',
    '      fields:',
    "        - { target: value, from: '1', required: row }",
    "        - { target: assigning_authority, from: ['4.1', '4.2'], default: $assigning_authority }",
    "        - { target: facility, from: '/MSH-4' }",
    '    - fields: [{ target: value, from: PID-2, when: { from: PID-2, exists: true } }]',
  ].join('\n'));
  const content: Content = { 'MSH-4': 'NORTH', 'PID-2': 'old', 'PID-3': [{ '1': '4711', '4.2': '1.2.3', '5': 'MR' }, { '1': '99', '5': 'SS' }, { '5': 'PI' }, { '1': '7', '5': 'PI' }] };
  const result = map('m', readerOf(content), { assigning_authority: 'HOSP' });
  expect(result.rows.patient_identifiers).toEqual([
    { value: '4711', assigning_authority: '1.2.3', facility: 'NORTH', type_code: 'ID', active: true },
    { value: '7', assigning_authority: 'HOSP', facility: 'NORTH', type_code: 'ID', active: true },
    { value: 'old' },
  ]);
  expect(result.trace().filter((entry) => entry.outcome === 'mapped').map((entry) => entry.source)).toContain('PID-3[1].4.2');
  expect(result.mapping).toBe('m@1.2.3');
});

test('a required value missing inside a repetition names the repetition', () => {
  const map = mapperOf("  patient_medical_history:\n    - each: AL1\n      fields: [{ target: display, from: '3.2', required: true }]");
  expect(() => map('m', readerOf({ AL1: [{ '3.2': 'Nuts' }, {}] }))).toThrow(expect.objectContaining({ location: 'AL1[2]-3.2' }));
});

test('a later rule for the same column applies only when the earlier ones gave nothing', () => {
  const rules = "    - { target: reason, from: a, when: { from: k, equals: A } }\n    - { target: reason, from: b }";
  expect(patientOf(rules, { a: '1', b: '2', k: 'A' })).toEqual({ reason: '1' });
  expect(patientOf(rules, { a: '1', b: '2', k: 'B' })).toEqual({ reason: '2' });
});

test('values nobody read are named in the trace as unmapped', () => {
  const result = mapperOf('  patients: [{ target: sex, const: male }]')('m', readerOf({ 'ZZZ-1': 'x' }));
  expect(result.trace().filter((entry) => entry.outcome === 'unmapped').map((entry) => entry.source)).toEqual(['ZZZ-1']);
});

test('settings are looked up as own properties only and $$ stands for a dollar sign', () => {
  expect(patientOf('    - { target: reason, from: a, default: $toString }', {})).toEqual({});
  expect(patientOf('    - { target: reason, from: a, default: $$5 }', {})).toEqual({ reason: '$5' });
});

test('a time without an offset gets the one of the time zone in the settings', () => {
  const rule = '    - { target: study_at, from: a, transform: [{ hl7-date-time: { zone: $time_zone } }] }';
  expect(patientOf(rule, { a: '20260701083000' }, { time_zone: 'Europe/Berlin' })).toEqual({ study_at: '2026-07-01T08:30:00+02:00' });
  expect(patientOf(rule, { a: '20260701083000' })).toEqual({ study_at: '2026-07-01T08:30:00' });
});

test('every problem of a file is reported with its path', () => {
  const problems = problemsOf([
    'name: other', 'version: 1', 'title: x', 'source: hl7v2', 'rows:', '  patients:',
    '    - { target: sex, from: a, codes: nothere }', '    - { target: Sex, from: a, transform: [trimm], frm: b }', '    - { target: sex }',
  ].join('\n'));
  expect(problems.map((problem) => problem.path)).toContain('version');
  const more = problemsOf("name: m\nversion: 1.0.0\ntitle: x\nsource: hl7v2\nrows:\n  patients:\n    - { target: a1, from: a, transform: [trimm] }\n    - { target: b1 }\n    - { target: c1, from: x, frm: y }\n    - { target: constructor, from: x }\n");
  expect(more.map((problem) => `${problem.file} ${problem.path}`)).toEqual(expect.arrayContaining([
    'm.yaml rows.patients[0].transform[0]', 'm.yaml rows.patients[1]', 'm.yaml rows.patients[2]', 'm.yaml rows.patients[3].target']));
  expect(more.find((problem) => problem.path.endsWith('transform[0]'))?.text).toMatch(/unknown transform 'trimm' \(known: trim, /);
});

test('a missing code table, a wrong file name and broken YAML are refused', () => {
  expect(problemsOf('name: m\nversion: 1.0.0\ntitle: x\nsource: fhir\nrows: { patients: [{ target: sex, from: a, codes: nothere }] }').map((problem) => problem.text)).toEqual(['there is no code table codes/nothere.yaml']);
  expect(problemsOf('name: n\nversion: 1.0.0\ntitle: x\nsource: fhir\nrows: { patients: [{ target: sex, from: a }] }').map((problem) => problem.path)).toEqual(['name']);
  expect(problemsOf('name: [').length).toBeGreaterThan(0);
});

test('a path that the reader of the standard does not know is refused when the file is loaded', () => {
  const textsOf = (source: string, rows: string): readonly string[] => problemsOf(`name: m\nversion: 1.0.0\ntitle: x\nsource: ${source}\nrows: { ${rows} }`).map((problem) => problem.text.replace(/ .*/, ''));
  expect(textsOf('hl7v2', 'patients: [{ target: sex, from: [PID-8, PID.8, PID-3.4.1] }]')).toEqual(["'PID.8'"]);
  expect(textsOf('hl7v2', "patients: [{ target: sex, from: '4.1' }]")).toEqual(["'4.1'"]);
  expect(textsOf('hl7v2', "patient_identifiers: [{ each: PID-3, fields: [{ target: value, from: ['4.1', '/MSH-4', '/4', '.'] }] }]")).toEqual(["'/4'", "'.'"]);
  expect(textsOf('dicom', "patients: [{ target: sex, from: ['(0010,0040)', '0010,0040', '(0010,0010).family', '(0040,0275)>(0008,0050)', '(0010,0010).2', 'fact:a', '.'] }]")).toEqual(["'0010,0040'", "'(0010,0010).family'", "'.'"]);
  expect(textsOf('dicom', "patients.address: [{ each: '(0010,1002)', when: { from: PatientID, exists: true }, fields: [{ target: line, from: ['.', '/(0010,0010)'] }] }]")).toEqual(["'PatientID'"]);
  expect(textsOf('fhir', "patients: [{ target: sex, concat: ['name[0].family', 'name[use=official', gender] }]")).toEqual(["'name[use=official'"]);
});

test('a code, a target or a row name cannot reach a prototype', () => {
  expect(patientOf('    - { target: sex, from: a, codes: sex, codes_missing: keep }', { a: 'constructor' })).toEqual({ sex: 'constructor' });
  expect(patientOf('    - { target: sex, from: a, codes: sex }', { a: '__proto__' })).toEqual({ sex: 'other' });
  expect(problemsOf('name: m\nversion: 1.0.0\ntitle: x\nsource: fhir\nrows: { __proto__: [{ target: sex, from: a }] }').length).toBeGreaterThan(0);
});

test('property: any message content gives rows with known keys, a trace for every rule, and never a polluted prototype', () => {
  const map = mapperOf([
    '  patients:', '    - { target: family_name, from: a, transform: [strip-nul, trim, {truncate: 5}] }', '    - { target: birth_date, from: b, transform: [hl7-date] }',
    '    - { target: sex, from: c, codes: sex, default: unknown }', '    - { target: deceased, from: d, transform: [boolean] }'].join('\n'));
  const text = fc.option(fc.oneof(fc.string(), fc.constantFrom('__proto__', 'M', '19800517', 'Y', ' ')), { nil: null });
  fc.assert(fc.property(fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', '__proto__'), text), (content) => {
    const result = map('m', readerOf(content));
    const row = result.rows.patients as Record<string, unknown>;
    expect(['family_name', 'birth_date', 'sex', 'deceased']).toEqual(expect.arrayContaining(Object.keys(row)));
    expect(result.trace().filter((entry) => entry.target !== '')).toHaveLength(4);
    if (typeof row.family_name === 'string') expect(Array.from(row.family_name).length).toBeLessThanOrEqual(5);
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
    expect(Object.keys(Object.prototype)).toEqual([]);
  }));
});
