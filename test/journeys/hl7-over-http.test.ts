/** HL7 v2 messages posted to the HTTP port: the same receiving, the same acknowledgments, and a token instead of a network address. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seedSampleHospital } from '../../src/db/seed.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { testGateway, type TestGateway } from '../support/gateway.ts';
import { exchanges } from '../support/journey.ts';

let gateway: TestGateway;
const tokens: Record<string, string> = {};
beforeAll(async () => {
  gateway = await testGateway();
  await seedSampleHospital(gateway.db.database, gateway.db.keys, { pacs: 9, ris: 9, emr: 9 });
  await gateway.integrations.reload();
  await gateway.db.asOwner("INSERT INTO organizations (name) VALUES ('Elsewhere')");
  for (const [name, organizationName, role] of [['ris', 'Sample Hospital', 'service'], ['nurse', 'Sample Hospital', 'nurse'], ['stranger', 'Elsewhere', 'service']] as const) {
    tokens[name] = (await createApiToken(gateway.db.database, { organizationName, role, name })).token;
  }
});
afterAll(() => gateway?.stop());

const adt = (controlId: string, patient = 'HTTP-1^^^NORTH^MR'): string => `MSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260105100000||ADT^A08|${controlId}|P|2.5.1|||||||UNICODE UTF-8\rEVN||20260105100000\rPID|1||${patient}||Über^Fernweh||19800517|F\r`;
async function post(body: string | Buffer, by: string | undefined, headers: Record<string, string> = {}, path = '/hl7v2'): Promise<{ status: number; type: string | null; text: string }> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.http}${path}`, {
    method: 'POST', body: new Uint8Array(Buffer.from(body)), headers: { 'content-type': 'application/hl7-v2; charset=UTF-8', ...(by ? { authorization: `Bearer ${tokens[by] ?? by}` } : {}), ...headers },
  });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

test('a message is committed and acknowledged, a repeat is answered as before, and a wrong one says where', async () => {
  const first = await post(adt('H1'), 'ris');
  expect(first).toMatchObject({ status: 200, type: 'application/hl7-v2; charset=utf-8', text: expect.stringContaining('\rMSA|AA|H1') });
  expect(await gateway.db.asOwner("SELECT family_name FROM patients WHERE patient_number = 'HTTP-1'")).toEqual([{ family_name: 'Über' }]);
  expect((await post(adt('H1'), 'ris')).text).toContain('\rMSA|AA|H1');
  expect(await exchanges(gateway, "l.control_id = 'H1'")).toMatchObject([{ message_status: 'accepted', adapter: 'hl7v2-mllp', interaction: 'ADT^A08' }, { message_status: 'duplicate' }]);
  const wrong = await post(adt('H2', ''), 'ris');
  expect([wrong.status, /\rMSA\|AE\|H2[^]*ERR\|\|PID\^1\^3/.test(wrong.text)]).toEqual([200, true]);
  expect(await post('hello', 'ris')).toMatchObject({ status: 200, text: expect.stringContaining('\rMSA|AR|') });
});

test('a token decides the organization: another\'s finds no integration, one that may not send is refused, and none is not read', async () => {
  expect((await post(adt('H3'), 'stranger')).text).toContain('MSA|AR|H3');
  expect((await post(adt('H4'), 'nurse')).status).toBe(403);
  expect((await post(adt('H5'), undefined)).status).toBe(401);
  expect((await post(adt('H6'), 'msk_unknown')).status).toBe(401);
  expect(await exchanges(gateway, "l.message_status = 'rejected' AND l.interaction = 'POST'")).toHaveLength(3);
  expect(await exchanges(gateway, "l.control_id IN ('H3', 'H4', 'H5', 'H6') AND l.message_status = 'accepted'")).toEqual([]);
});

test('what is no HL7 by HTTP is told so', async () => {
  expect((await post('{}', 'ris', { 'content-type': 'application/json' })).status).toBe(415);
  expect((await post('', 'ris')).status).toBe(400);
  expect((await post(adt('H7'), 'ris', {}, '/hl7v2/else')).status).toBe(404);
  expect((await post(Buffer.alloc(10 * 1024 * 1024 + 1, 'x'), 'ris')).status).toBe(413);
  expect((await fetch(`http://127.0.0.1:${gateway.ports.http}/hl7v2`)).status).toBe(405);
});
