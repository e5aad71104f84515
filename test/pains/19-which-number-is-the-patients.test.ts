/**
 * "Matching the correct MRN"; "PID-3 repeats"; "values not mapped". Here the same value of two authorities is two patients, which repetition counts is a
 * setting, and a dry run names for each field what became of it, those that nothing read too.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apiClient, changeSettings, startJourney, type ApiAnswer, type Journey } from '../support/journey.ts';
import { MllpSender } from '../support/mllp-sender.ts';

let journey: Journey;
let ris: MllpSender;
let api: (method: string, path: string, body?: unknown) => Promise<ApiAnswer>;
let sent = 0;
beforeAll(async () => {
  journey = await startJourney();
  ris = await MllpSender.connect(journey.gateway.ports.hl7!);
  api = await apiClient(journey.gateway, 'Sample Hospital');
});
afterAll(async () => { ris?.close(); await journey?.stop(); });

const message = (pid3: string, more: readonly string[] = []): string => [`MSH|^~\\&|RIS|NORTH|||20260105||ADT^A08|N${++sent}|P|2.5.1`, `PID|1||${pid3}||Name^Of`, ...more, ''].join('\r');
const people = async (value: string, assigning_authority?: string): Promise<{ patient_id: string; patient_number: string }[]> =>
  (await api('POST', '/api/v1/patients/search', { identifier: { value, ...(assigning_authority ? { assigning_authority } : {}) } })).body.items;

test('the same value of two authorities is two patients, each found by its own', async () => {
  for (const authority of ['SITE-A', 'SITE-B']) expect(await ris.send(message(`4711^^^${authority}^MR`))).toContain('MSA|AA|');
  expect(await people('4711')).toHaveLength(2);
  expect((await people('4711', 'SITE-A'))[0]?.patient_id).not.toBe((await people('4711', 'SITE-B'))[0]?.patient_id);
});

test('repetitions are all kept, and the preferred authority decides which is shown and matched first', async () => {
  await changeSettings(journey.gateway, 'RIS', { identifier_authorities: ['MASTER', 'SITE-A'], ignored_identifier_types: ['SS'] });
  expect(await ris.send(message('111-22^^^GOV^SS~A1^^^SITE-A^MR~M1^^^MASTER^PI'))).toContain('MSA|AA|');
  const [found] = await people('A1', 'SITE-A');
  expect(found).toMatchObject({ patient_number: 'M1' });
  expect(await people('111-22'), 'an ignored number is no number').toEqual([]);
  // The master number decides, whatever else the message names and in whatever order.
  expect(await ris.send(message('A9^^^SITE-A^MR~M1^^^MASTER^PI'))).toContain('MSA|AA|');
  expect((await people('A9'))[0]?.patient_id).toBe(found?.patient_id);
});

test('a dry run names every field that holds a value: what it became, or that nothing read it', async () => {
  const [{ integration_id: id }] = await journey.gateway.db.asOwner<{ integration_id: string }>("SELECT integration_id FROM external_integrations WHERE name = 'RIS'") as [{ integration_id: string }];
  const text = message('A1^^^SITE-A^MR', ['PV1|1|I|WARD^12^B', 'ZXY|1|local value']).replace('||Name^Of', '||Name^Of||19800517|F|||12 Street^^Town||555|||M|CATH');
  const { status, body } = await api('POST', `/api/v1/integrations/${id}/dry-run`, { message: text });
  expect(status).toBe(200);
  const trace: { source: string; outcome: string; target: string }[] = body.messages[0].trace;
  const outcomeOf = (source: RegExp): Set<string> => new Set(trace.filter((entry) => source.test(entry.source)).map(({ outcome }) => outcome));
  for (const read of [/^PID-3/, /^PID-5/, /^PID-7/, /^PID-8/, /^PID-11/, /^PID-13/]) expect(outcomeOf(read), String(read)).toContain('mapped');
  for (const lost of [/^PID-16/, /^PID-17/, /^ZXY-2/]) expect(outcomeOf(lost), String(lost)).toContain('unmapped');
});
