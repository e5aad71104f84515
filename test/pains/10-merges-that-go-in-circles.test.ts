/**
 * "Optionally allow inverse merging"; circular merges that loop. Senders repeat A40, turn it round and close circles. Here a person is one person
 * whatever was said how often, the answer says which segment is at fault, and a merge that was wrong is taken back.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apiClient, changeSettings, startJourney, type ApiAnswer, type Journey } from '../support/journey.ts';
import { smallStudy, somebody } from '../support/journey.ts';
import { MllpSender } from '../support/mllp-sender.ts';

let journey: Journey;
let ris: MllpSender;
let api: (method: string, path: string, body?: unknown) => Promise<ApiAnswer>;
let sent = 0;
beforeAll(async () => {
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '60' });
  ris = await MllpSender.connect(journey.gateway.ports.hl7!);
  api = await apiClient(journey.gateway, 'Sample Hospital');
});
afterAll(async () => { ris?.close(); await journey?.stop(); });

const say = (event: string, ...segments: string[]): Promise<string> => ris.send([`MSH|^~\\&|RIS|NORTH|||20260105||ADT^${event}|C${++sent}|P|2.5.1`, ...segments, ''].join('\r'));
const pid = (number: string): string => `PID|1||${number}^^^NORTH^MR||Name^${number}`;
const merge = (survivor: string, prior: string): Promise<string> => say('A40', pid(survivor), `MRG|${prior}^^^NORTH^MR`);
const patientOf = async (value: string): Promise<{ patient_id: string; patient_number: string }> => (await api('POST', '/api/v1/patients/search', { identifier: { value } })).body.items[0];

test('repeated, turned round and in a circle: one person, and its number is the one that was said last', async () => {
  for (const number of ['ONE', 'TWO', 'THREE']) await say('A04', pid(number));
  for (const [survivor, prior] of [['TWO', 'ONE'], ['TWO', 'ONE'], ['ONE', 'TWO'], ['THREE', 'ONE'], ['TWO', 'THREE'], ['ONE', 'TWO'], ['THREE', 'ONE']] as const) {
    expect(await merge(survivor, prior), `${prior} into ${survivor}`).toContain('MSA|AA|');
    const people = new Set(await Promise.all(['ONE', 'TWO', 'THREE'].slice(0, survivor === 'THREE' || sent > 6 ? 3 : 2).map(async (number) => (await patientOf(number)).patient_id)));
    expect(people.size).toBe(1);
    expect((await patientOf(prior)).patient_number).toBe(survivor);
  }
});

test('where the setting rejects it, the answer is AE with the segment and nothing has changed', async () => {
  await changeSettings(journey.gateway, 'RIS', { inverse_merge: 'reject', circular_merge: 'reject', repeated_merge: 'reject' });
  for (const number of ['RED', 'BLUE']) await say('A04', pid(number));
  expect(await say('A40', pid('GREEN'), 'MRG|YELLOW^^^NORTH^MR', pid('BLUE'), 'MRG|RED^^^NORTH^MR')).toContain('MSA|AA|');
  for (const [survivor, prior] of [['RED', 'BLUE'], ['BLUE', 'RED']] as const) {
    expect(await say('A40', pid('GREEN'), 'MRG|WHITE^^^NORTH^MR', pid(survivor), `MRG|${prior}^^^NORTH^MR`)).toMatch(/MSA\|AE\|.*\rERR\|\|MRG\^2\^1\|205\^/s);
  }
  expect((await patientOf('RED')).patient_number).toBe('BLUE');
  expect(await patientOf('WHITE'), 'not even the first pair').toBeUndefined();
});

test('a merge that was wrong is taken back: scans and numbers return, on record in the operator\'s name', async () => {
  const [mine, other] = [somebody(), somebody()], study = smallStudy({ patient: mine, accessionNumber: 'UNMERGE-1' });
  await journey.hospital.ris.register(mine);
  await journey.hospital.ris.register(other);
  await journey.hospital.pacs.store(study.objects);
  const { patient_id: mineId } = await patientOf(mine.patientId);
  expect((await journey.hospital.ris.merge(other, mine.patientId)).code).toBe('AA');
  const survivor = await patientOf(mine.patientId);
  expect(survivor.patient_number).toBe(other.patientId);
  const [wrong] = (await api('GET', `/api/v1/patients/${survivor.patient_id}/merges`)).body.items;
  expect(wrong).toMatchObject({ kind: 'merge', prior_patient_id: mineId, scans_moved: 1, unmerged_at: null });
  const undone = await api('POST', `/api/v1/patient-merges/${wrong.merge_id}/undo`, {});
  expect(undone).toMatchObject({ status: 200, body: { patient_id: mineId, scan_ids: [expect.any(String)] } });
  expect((await api('GET', `/api/v1/patients/${mineId}/scans`)).body.items).toHaveLength(1);
  expect((await patientOf(mine.patientId)).patient_id).toBe(mineId);
  expect(await api('POST', `/api/v1/patient-merges/${wrong.merge_id}/undo`, {})).toMatchObject({ status: 409 });
  expect(await journey.gateway.db.asOwner("SELECT FROM audit_logs WHERE object_type = 'patient_merge' AND actor_kind = 'application'")).toHaveLength(1);
});
