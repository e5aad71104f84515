/** What a record is told as where the systems that said it use other words than FHIR. */
import { expect, test } from 'vitest';
import { validateResource } from '#standards/fhir/validate.ts';
import type { PatientRecord } from '#gateway/records.ts';
import { sampleConfig } from './testcases/sample-report.ts';
import { resourceOf } from './record-resources.ts';

const record: PatientRecord = {
  kind: 'patient', id: '01a20552-e74c-7b71-898e-f73a955d96f6', updatedAt: '2026-01-05T10:00:00.000Z', isActive: true, mergedInto: undefined, deceased: undefined, oldIdentifiers: [],
  patient: { patientId: '01a20552-e74c-7b71-898e-f73a955d96f6', patientNumber: 'P-1', identifiers: [{ value: 'P-1', assigningAuthority: 'HOSPITAL' }], familyName: 'Smith' },
};
const told = (more: Partial<PatientRecord>): any => {
  const resource = resourceOf({ ...record, ...more }, sampleConfig());
  expect(validateResource(resource)).toEqual([]);
  return resource;
};

test('a patient is told with addresses and contacts; a use that only HL7 v2 has is left out', () => {
  const { address, telecom } = told({
    addresses: [{ line: '49 Meadow St', line2: 'Flat 2', city: 'Mounds', state: 'OK', postal_code: '74047', country: 'US', use: 'home' }, { line: '1 Birth Rd', use: 'birth' }],
    contacts: [{ system: 'phone', value: '555-0100', use: 'home' }, { system: 'beeper', value: '7', use: 'emergency' }, { system: 'phone' }],
  });
  expect(address).toEqual([{ use: 'home', line: ['49 Meadow St', 'Flat 2'], city: 'Mounds', state: 'OK', postalCode: '74047', country: 'US' }, { line: ['1 Birth Rd'] }]);
  expect(telecom).toEqual([{ system: 'phone', value: '555-0100', use: 'home' }, { system: 'other', value: '7' }]);
});

test.each([
  [{ deceased: true, deceasedAt: '1999-04-24T12:08:50+00:00' }, { deceasedDateTime: '1999-04-24T12:08:50+00:00' }], [{ deceased: true, deceasedAt: '2022-07' }, { deceasedDateTime: '2022-07' }],
  // HL7 v2 sends times without seconds or zone, for which FHIR has no form.
  [{ deceased: true, deceasedAt: '2022-07-01T10:30' }, { deceasedDateTime: '2022-07-01' }], [{ deceased: true }, { deceasedBoolean: true }],
  [{ deceased: false, deceasedAt: '2022-07-01' }, { deceasedBoolean: false }], [{}, {}],
])('a death %j is told as %j', (more, expected) => {
  const { deceasedBoolean, deceasedDateTime } = told(more);
  expect({ deceasedBoolean, deceasedDateTime }).toEqual({ deceasedBoolean: undefined, deceasedDateTime: undefined, ...expected });
});
