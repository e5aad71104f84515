/** A message is refused, the setting that refused it is corrected, and a person tries it and receives it again: dry run and replay over the API. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seedSampleHospital } from '../../src/db/seed.ts';
import { testGateway, type TestGateway } from '../support/gateway.ts';
import { apiClient, changeSettings, counts, exchanges, type ApiAnswer } from '../support/journey.ts';
import { MllpSender } from '../support/mllp-sender.ts';

let gateway: TestGateway;
let api: (method: string, path: string, body?: unknown) => Promise<ApiAnswer>;
let integrationId: string;
let ris: MllpSender;

beforeAll(async () => {
  gateway = await testGateway();
  await seedSampleHospital(gateway.db.database, gateway.db.keys, { pacs: 9, ris: 9, emr: 9 });
  await changeSettings(gateway, 'RIS', { processing_ids: ['P'] });
  api = await apiClient(gateway, 'Sample Hospital', 'integrator');
  ris = await MllpSender.connect(gateway.ports.hl7!);
  integrationId = (await gateway.db.asOwner<{ integration_id: string }>("SELECT integration_id FROM external_integrations WHERE name = 'RIS'"))[0]!.integration_id;
});
afterAll(async () => { ris?.close(); await gateway?.stop(); });

/** The answer's MSA. */
const send = async (text: string): Promise<string> => /MSA\|\w\w\|[^|\r]*/.exec(await ris.send(text))![0];
const adt = (controlId: string, patientId: string, processingId = 'T'): string => `MSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260105100000||ADT^A08|${controlId}|${processingId}|2.5.1\rEVN||20260105100000\rPID|1||${patientId}^^^NORTH^MR||Again^Try||19800517|F\r`;
const order = (controlId: string): string => `MSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260105100000||ORM^O01|${controlId}|T|2.5.1\rPID|1||RP-3^^^NORTH^MR||Two^Orders\r`
  + 'ORC|NW|PL-1\rOBR|1|PL-1||A^CT head^L||||||||||||||RA-1\rORC|NW|PL-2\rOBR|2|PL-2||B^CT chest^L||||||||||||||RA-2\r';
const recorded = async (controlId: string) => (await exchanges(gateway, 'l.control_id = $1', [controlId]))[0]!;

test('a dry run shows rows, warnings and trace, or why the message would be refused, and writes nothing', async () => {
  const tables = ['patients', 'sync_logs', 'exchange_payloads', 'message_identities', 'scans'];
  const before = await counts(gateway, tables);
  const taken = await api('POST', `/api/v1/integrations/${integrationId}/dry-run`, { message: adt('DRY', 'RP-0', 'P').replaceAll('\r', '\n') });
  expect(taken.status, taken.text).toBe(200);
  expect(taken.body.messages).toMatchObject([{ interaction: 'ADT^A08', control_id: 'DRY', refusal: null, mapping: expect.stringMatching(/^hl7v2-adt-to-rows@/), rows: { patient: { family_name: 'Again', birth_date: '1980-05-17' } } }]);
  expect(taken.body.messages[0].trace).toContainEqual(expect.objectContaining({ target: 'patients.family_name', outcome: 'mapped', value: 'Again' }));
  const framed = Buffer.from(`\x0b${adt('DRY', 'RP-0')}\x1c\r`).toString('base64');
  expect((await api('POST', `/api/v1/integrations/${integrationId}/dry-run`, { message: framed, encoding: 'base64' })).body.messages).toMatchObject([{ refusal: { reason: 'unsupported', location: 'MSH-11' }, rows: {} }]);
  expect((await api('POST', `/api/v1/integrations/${integrationId}/dry-run`, { message: 'hello' })).body.messages).toMatchObject([{ interaction: 'unreadable', refusal: { reason: 'malformed' } }]);
  expect(await counts(gateway, tables)).toEqual(before);
});

test('a refused message is received again after the setting is corrected, as a new exchange that names the old one', async () => {
  expect(await send(adt('AGAIN', 'RP-1'))).toBe('MSA|AR|AGAIN');
  const refused = await recorded('AGAIN');
  const stillWrong = await api('POST', `/api/v1/sync-logs/${refused.sync_id}/replay`);
  expect(stillWrong.body.replays).toMatchObject([{ outcome: 'rejected', location: 'MSH-11' }]);
  await changeSettings(gateway, 'RIS', { processing_ids: ['P', 'T'] });
  const { body } = await api('POST', `/api/v1/sync-logs/${refused.sync_id}/replay`);
  expect(body.replays).toMatchObject([{ outcome: 'accepted', text: null }]);
  expect((await api('GET', `/api/v1/sync-logs/${body.replays[0].sync_id}`)).body).toMatchObject({ correlation_id: refused.sync_id, message_status: 'accepted', control_id: 'AGAIN', facts: { replayOf: refused.sync_id } });
  expect(await gateway.db.asOwner("SELECT family_name FROM patients WHERE patient_number = 'RP-1'")).toEqual([{ family_name: 'Again' }]);
  expect((await api('POST', `/api/v1/sync-logs/${refused.sync_id}/replay`)).body.replays, 'twice it changes nothing').toMatchObject([{ outcome: 'duplicate' }]);
  expect(await send(adt('AGAIN', 'RP-1')), 'and the sender\'s own resend neither').toBe('MSA|AA|AGAIN');
  expect(await gateway.db.asOwner("SELECT actor_kind FROM audit_logs WHERE object_id = $1 AND detail ? 'replayed_as' AND outcome = 'success'", [refused.sync_id])).toHaveLength(2);
});

test('a refused message with two orders is received as both', async () => {
  await changeSettings(gateway, 'RIS', { processing_ids: ['P'] });
  expect(await send(order('TWO'))).toBe('MSA|AR|TWO');
  await changeSettings(gateway, 'RIS', { processing_ids: ['P', 'T'] });
  const refused = await recorded('TWO');
  expect((await api('POST', `/api/v1/sync-logs/${refused.sync_id}/replay`)).body.replays.map((replay: { outcome: string }) => replay.outcome)).toEqual(['accepted', 'accepted']);
  expect(await gateway.db.asOwner("SELECT placer_order_number FROM scans WHERE accession_number IN ('RA-1', 'RA-2') ORDER BY 1")).toEqual([{ placer_order_number: 'PL-1' }, { placer_order_number: 'PL-2' }]);
});

test('an older message that was refused does not undo a newer one; several come in the order in which they first came', async () => {
  await changeSettings(gateway, 'RIS', { processing_ids: ['P'] });
  const named = (controlId: string, name: string, processingId?: string): string => adt(controlId, 'RP-7', processingId).replace('Again^Try', name);
  expect(await send(named('OLD-1', 'First'))).toBe('MSA|AR|OLD-1');
  expect(await send(named('OLD-2', 'Second'))).toBe('MSA|AR|OLD-2');
  expect(await send(order('OLD-3').replaceAll('RP-3', 'RP-7').replaceAll('PL-', 'PO-').replaceAll('RA-', 'RO-'))).toBe('MSA|AR|OLD-3');
  await changeSettings(gateway, 'RIS', { processing_ids: ['P', 'T'] });
  const again = async (controlId: string) => (await api('POST', `/api/v1/sync-logs/${(await recorded(controlId)).sync_id}/replay`)).body.replays;
  expect(await again('OLD-1')).toMatchObject([{ outcome: 'accepted' }]);
  expect(await again('OLD-2')).toMatchObject([{ outcome: 'accepted' }]);
  expect(await gateway.db.asOwner("SELECT family_name FROM patients WHERE patient_number = 'RP-7'")).toEqual([{ family_name: 'Second' }]);
  expect(await send(order('NEWER').replaceAll('RP-3', 'RP-7').replaceAll('PL-', 'PO-').replaceAll('RA-', 'RO-').replace('CT head', 'MR head'))).toBe('MSA|AA|NEWER');
  await changeSettings(gateway, 'RIS', { processing_ids: ['P'] });
  expect(await send(named('OLD-4', 'Third'))).toBe('MSA|AR|OLD-4');
  await changeSettings(gateway, 'RIS', { processing_ids: ['P', 'T'] });
  expect(await send(named('NEW-4', 'Fourth'))).toBe('MSA|AA|NEW-4');
  expect(await again('OLD-4')).toMatchObject([{ outcome: 'rejected', text: expect.stringContaining('a later message about the same was taken since') }]);
  expect((await again('OLD-3'))[0]).toMatchObject({ outcome: 'rejected', text: expect.stringContaining('a later message about the same was taken since') });
  expect(await gateway.db.asOwner("SELECT family_name FROM patients WHERE patient_number = 'RP-7'")).toEqual([{ family_name: 'Fourth' }]);
  expect(await gateway.db.asOwner("SELECT procedure_description FROM scans WHERE placer_order_number = 'PO-1'")).toEqual([{ procedure_description: 'MR head' }]);
});

test('what was accepted, sent, or is nobody\'s is not received again', async () => {
  expect(await send(adt('FINE', 'RP-4'))).toBe('MSA|AA|FINE');
  const accepted = await api('POST', `/api/v1/sync-logs/${(await recorded('FINE')).sync_id}/replay`);
  expect([accepted.status, accepted.body.detail]).toEqual([409, 'The message was accepted: there is nothing to replay.']);
  expect((await api('POST', '/api/v1/sync-logs/00000000-0000-4000-8000-000000000000/replay')).status).toBe(404);
  expect((await (await apiClient(gateway, 'Sample Hospital', 'physician'))('POST', `/api/v1/sync-logs/${(await recorded('AGAIN')).sync_id}/replay`)).status).toBe(403);
});
