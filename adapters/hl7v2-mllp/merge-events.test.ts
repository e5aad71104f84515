/** Every event that says who is whom: what comes of it as rows, and where the error stands when it says too little. */
import { expect, test } from 'vitest';
import { NormalizeError } from '#gateway/adapter.ts';
import type { Normalized } from '#gateway/normalized.ts';
import { adtInteractions } from './receive-adt.ts';
import { normalize } from './normalize.ts';
import { adt, integration, map } from './testing/fake-gateway.ts';

const read = (event: string, segments: readonly string[], settings: Record<string, unknown> = {}): Promise<Normalized> =>
  normalize({ integration: integration(settings), interaction: `ADT^${event}`, controlId: 'M', facts: {}, head: Buffer.from(adt('M', segments, event)), receivedAt: new Date(0) }, map);
const pid = (number: string): string => `PID|1||${number}^^^ADT1^MR||Smith^Lucy||20141014|F`;
const names = ({ merges = [] }: Normalized): string[] => merges.map((merge) => `${merge.prior.map(({ value }) => value).join('+')} -> ${merge.survivor.map(({ value }) => value).join('+')}`);

// HL7 v2.5.1 ch. 3.3: A40 and A47, what stood for them before v2.3.1 and v2.4, and what changes identifiers.
test.each(['A18', 'A30', 'A34', 'A35', 'A36', 'A39', 'A40', 'A41', 'A46', 'A47'])('%s: MRG-1 was an earlier number of the patient in PID-3', async (event) => {
  expect(adtInteractions).toContain(`ADT^${event}`);
  const normalized = await read(event, [pid('NEW'), 'PD1', 'MRG|OLD^^^ADT1^MR']);
  expect(names(normalized)).toEqual(['OLD -> NEW']);
  expect(normalized).toMatchObject({ authority: 'registration', patient: { family_name: 'Smith', identifiers: [{ value: 'NEW' }] }, merges: [{ location: 'MRG-1', policy: { repeated: 'accept', inverse: 'accept', circular: 'accept' } }] });
});

test.each(['A35', 'A41'])('%s with the same patient in MRG-1 merges accounts: it joins nobody', async (event) => {
  const normalized = await read(event, [`${pid('SAME')}||||||||||ACCOUNT-1`, 'MRG|SAME^^^ADT1^MR||ACCOUNT-2']);
  expect(names(normalized)).toEqual([]);
  expect(normalized.patient).toMatchObject({ family_name: 'Smith' });
});

test.each(['A42', 'A45', 'A50', 'A51'])('%s changes visits, not patients: it is not taken', (event) => { expect(adtInteractions).not.toContain(`ADT^${event}`); });

test('a message with several pairs names the place of each', async () => {
  const normalized = await read('A40', [pid('N1'), 'MRG|O1^^^ADT1', pid('N2'), 'MRG|O2^^^ADT1']);
  expect(names(normalized)).toEqual(['O1 -> N1', 'O2 -> N2']);
  expect(normalized.merges?.map(({ location }) => location)).toEqual(['MRG-1', 'MRG[2]-1']);
});

test('the settings go with each merge', async () => {
  const normalized = await read('A40', [pid('NEW'), 'MRG|OLD^^^ADT1'], { repeated_merge: 'reject', inverse_merge: 'ignore', circular_merge: 'reject' });
  expect(normalized.merges?.[0]?.policy).toEqual({ repeated: 'reject', inverse: 'ignore', circular: 'reject' });
});

test.each([['A24', 'link'], ['A37', 'unlink']] as const)('%s: the two PIDs are %sed, and stay two', async (event, kind) => {
  const normalized = await read(event, [pid('ONE'), 'PV1|1|O', pid('TWO')]);
  expect(normalized.merges).toMatchObject([{ kind, survivor: [{ value: 'ONE', assigning_authority: 'ADT1' }], prior: [{ value: 'TWO' }], location: 'PID[2]-3' }]);
  expect(normalized.patient?.identifiers.map(({ value }) => value), 'demographics are those of the first').toEqual(['ONE']);
});

test.each([
  ['A40 without MRG', 'A40', [pid('NEW')], 'MRG-1'], ['A40 without a number that remains', 'A40', ['PID|1||', 'MRG|OLD^^^ADT1'], /PID(\[1\])?-3/],
  ['A24 with one PID', 'A24', [pid('ONE')], 'PID[2]-3'], ['A37 with an empty second PID', 'A37', [pid('ONE'), 'PID|2||'], 'PID[2]-3'],
] as const)('%s is refused at its place', async (_, event, segments, place) => {
  const error = await read(event, segments).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(NormalizeError);
  expect((error as NormalizeError).location).toMatch(place);
});

// A38 cancels a pre-admission, A11 and others a visit: the patient is who the message says.
test.each(['A05', 'A10', 'A11', 'A12', 'A13', 'A28', 'A31', 'A38'])('%s sets the patient and merges nobody', async (event) => {
  const normalized = await read(event, [pid('P1'), 'PV1|1|P|||||||||||||||||VISIT-1']);
  expect(normalized).toMatchObject({ authority: 'registration', patient: { family_name: 'Smith' }, history: [{ kind: 'visit' }] });
  expect(normalized.merges).toBeUndefined();
});
