import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { checkMappings, schemaColumns } from './check.ts';

const migrations = join(import.meta.dirname, '../../migrations');
const folders: string[] = [];
afterEach(() => { for (const folder of folders.splice(0)) rmSync(folder, { recursive: true }); });

function problemsOf(rows: string): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'mappings-'));
  folders.push(folder);
  writeFileSync(join(folder, 'm.yaml'), `name: m\nversion: 1.0.0\ntitle: x\nsource: fhir\nrows:\n${rows}\n`);
  return checkMappings(folder, migrations).map((problem) => `${problem.path}: ${problem.text}`);
}

test('the columns of the schema are read from the migrations', () => {
  const columns = schemaColumns(migrations);
  expect([...columns.keys()]).toEqual(expect.arrayContaining(['patients', 'patient_identifiers', 'scans', 'scan_files', 'sync_logs']));
  expect(columns.get('patient_identifiers')).toEqual(expect.objectContaining(new Set(['value', 'assigning_authority', 'type_code'])));
  expect(columns.get('patients')?.has('PRIMARY')).toBe(false);
});

test('a target that is no column, a table that does not exist and an unknown key of a JSON element are named', () => {
  expect(problemsOf('  patients: [{ target: surname, from: a }]')).toEqual(['rows.patients: surname: patients has no column surname']);
  expect(problemsOf('  people: [{ target: value, from: a }]')).toEqual(['rows.people: there is no table people']);
  expect(problemsOf('  patients.address: [{ each: address, fields: [{ target: town, from: city }] }]')).toEqual(['rows.patients.address: town: patients.address has no key town']);
  expect(problemsOf('  patient_identifiers: [{ each: identifier, set: { nature: x }, fields: [{ target: value, from: value }] }]')).toEqual(['rows.patient_identifiers: nature: patient_identifiers has no column nature']);
});

test('the words of normalized rows are accepted where the schema has another', () => {
  expect(problemsOf('  scans: [{ target: control, const: new }, { target: accession_number, from: a }]\n  patients: [{ target: active, const: true }]')).toEqual([]);
});

test('every mapping file of the product names existing columns', () => {
  expect(checkMappings(join(import.meta.dirname, '../../mappings'), migrations)).toEqual([]);
});
