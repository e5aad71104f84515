/** The conditions under which a write is meant are judged anew when the transaction is tried again. */
import { expect, test } from 'vitest';
import type { Normalized } from '#gateway/normalized.ts';
import type { RecordRow } from '#gateway/records.ts';
import { resourceOf } from './record-resources.ts';
import { sampleConfig } from './testcases/sample-report.ts';
import { writeRequest } from './write-request.ts';

const id = '01890000-0000-7000-8000-000000000001', config = sampleConfig();
const record = (familyName: string): RecordRow => ({ kind: 'patient', id, updatedAt: '2026-01-05T10:00:00Z', isActive: true, mergedInto: undefined, deceased: undefined, oldIdentifiers: [], patient: { patientId: id, patientNumber: 'P1', identifiers: [], familyName } }) as RecordRow;
const said: Normalized = { authority: 'registration', patient: { identifiers: [{ value: 'P1', assigning_authority: '' }] }, warnings: [], trace: () => [], mapping: 'm@1' };

function update(ifMatch: string | null) {
  const integration = { integrationId: 'i', organizationId: 'o', name: 'EMR', config }, peer = { address: '', port: 0 }, principal = { userId: 'u', organizationId: 'o', role: 'service' } as never;
  return writeRequest({ interaction: { kind: 'update', resourceType: 'Patient', id }, body: { bytes: Buffer.from('{}'), mediaType: 'application/fhir+json' }, resource: { resourceType: 'Patient', id }, preconditions: { ifMatch, ifNoneMatch: null }, requestId: undefined }, { integration, principal, peer, receivedAt: new Date() }, false);
}

test('the record that was found at the first try is found again at the second', () => {
  const { write: { guards } } = update(null);
  for (const _ of [1, 2]) {
    const verdicts = guards.map((guard, index) => guard.judge(index === 0 ? [record('Before')] : []));
    const change = verdicts.find((verdict) => typeof verdict === 'function');
    expect(change?.(said).patient?.patient_id).toBe(id);
  }
});

test('what changed between two tries is no longer the version of If-Match', () => {
  const before = record('Before'), after = record('After');
  const { write: { guards: [guard] } } = update(`W/"${resourceOf(before, config).meta?.versionId}"`);
  expect(typeof guard?.judge([before])).toBe('function');
  expect(() => guard?.judge([after])).toThrow('The resource has changed');
});
