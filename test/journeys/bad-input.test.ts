/**
 * What is not a message, not from here, or not storable, on each port: the sender hears a specific error, sync_logs says why, bytes that arrived
 * whole are kept, and the next good message is answered within a second.
 */
import net from 'node:net';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { storeObjects } from '../../src/simulator/store-scu.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { anOrder, answered, changeSettings, exchanges, expectAudited, request, scanOf, smallStudy, somebody, startJourney, type Exchange, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';
import { processorMilliseconds } from '../support/processor-time.ts';

const UNASSIGNED = '00000000-0000-0000-0000-000000000000';
let journey: Journey;
let fhirToken: string;
let since = new Date(0);

beforeAll(async () => {
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '600' });
  await changeSettings(journey.gateway, 'PACS', { calling_ae_titles: ['NORTHPACS'] });
  fhirToken = (await createApiToken(journey.gateway.db.database, { organizationName: 'Sample Hospital', role: 'service', name: 'EMR' })).token;
});
afterAll(() => journey?.stop());

afterEach(async () => {
  const { hospital: { pacs, ris } } = journey;
  const [image] = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber }).objects;
  const good = {
    'ADT^A04': async () => expect((await ris.register(somebody())).code).toBe('AA'), 'C-STORE': async () => expect((await pacs.store([image!]))[0]!.status).toBe(0),
    'create Patient': async () => expect((await postFhir(patientResource(`GOOD-${Date.now()}`))).status).toBe(201),
  };
  for (const [name, send] of Object.entries(good)) {
    const started = performance.now(), busy = processorMilliseconds();
    await send();
    expect(processorMilliseconds() - busy, `${name} right afterwards: milliseconds of the processor`).toBeLessThan(1_000);
    // What hangs behind a bad message hangs until a time limit, of which the shortest is longer.
    expect(performance.now() - started, `${name} right afterwards`).toBeLessThan(8_000);
  }
  expect(await journey.gateway.db.asOwner("SELECT FROM sync_logs WHERE message_status NOT IN ('accepted', 'duplicate', 'rejected', 'delivered')")).toEqual([]);
});

/** The one refusal since `note()`, answered, audited, in words; `in` says under which organization. */
async function refusal(where: { organization: 'Sample Hospital' | 'Unassigned'; adapter: string }): Promise<Exchange> {
  const rows = await answered(journey.gateway, "message_status = 'rejected' AND created_at > $1", [since]);
  expect(rows).toHaveLength(1);
  const [row] = rows as [Exchange];
  expect(row.adapter).toBe(where.adapter);
  expect(row.organization_id).toBe(where.organization === 'Unassigned' ? UNASSIGNED : journey.seeded.organizationId);
  expect(row).toMatchObject({ direction: 'inbound', error_class: 'permanent', error_text: expect.stringMatching(/\w+ \w+ \w+/) });
  await expectAudited(journey.gateway, rows);
  return row;
}
async function note(): Promise<void> { since = (await journey.gateway.db.asOwner<{ now: Date }>('SELECT clock_timestamp() AS now'))[0]!.now; }
async function keptBytes(row: Exchange): Promise<Buffer | undefined> {
  return (await journey.gateway.db.asOwner<{ content: Buffer }>("SELECT content FROM exchange_payloads WHERE sync_id = $1 AND part = 'message'", [row.sync_id]))[0]?.content;
}

/** Writes bytes to a port, and returns what came back until the other side hung up or fell silent. */
async function converse(port: number, bytes: Buffer | readonly Buffer[], milliseconds = 1_500): Promise<{ answer: Buffer; closed: boolean }> {
  const socket = net.connect({ host: '127.0.0.1', port });
  const chunks: Buffer[] = [];
  let closed = false;
  socket.on('error', () => undefined).on('data', (chunk: Buffer) => chunks.push(chunk)).once('close', () => { closed = true; });
  await once(socket, 'connect');
  for (const part of Array.isArray(bytes) ? bytes as readonly Buffer[] : [bytes as Buffer]) if (!socket.destroyed && !socket.write(part)) await Promise.race([once(socket, 'drain').catch(() => undefined), once(socket, 'close')]);
  const deadline = Date.now() + milliseconds;
  while (!closed && Date.now() < deadline && !complete(chunks)) await delay(10);
  socket.destroy();
  return { answer: Buffer.concat(chunks), closed };
}
const complete = (chunks: readonly Buffer[]): boolean => Buffer.concat(chunks).includes(Buffer.from([0x1c, 0x0d]));
const framed = (text: string): Buffer => Buffer.concat([Buffer.from([0x0b]), Buffer.from(text), Buffer.from([0x1c, 0x0d])]);
const patientResource = (value: string) => ({ resourceType: 'Patient', identifier: [{ system: 'urn:oid:1.3.6.1.4.1.5962.99.1.1', value }], name: [{ family: 'Good' }] });
async function postFhir(body: unknown): Promise<{ status: number; body: any }> {
  const response = await fetch(`http://127.0.0.1:${journey.gateway.ports.http}/fhir/r4/Patient`, {
    method: 'POST', headers: { authorization: `Bearer ${fhirToken}`, 'content-type': 'application/fhir+json' }, body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

test('garbage on the DIMSE port is answered with A-ABORT', async () => {
  const { answer, closed } = await converse(journey.gateway.ports.dicom!, Buffer.from('GET / HTTP/1.1\r\nHost: pacs\r\n\r\n'));
  expect([answer[0], answer.length, closed]).toEqual([7, 10, true]);
});

test('garbage on the DIMSE port is on record under Unassigned with its bytes', async () => {
  await note();
  // Other garbage than above: the same again would be counted as a repeat of the first.
  await converse(journey.gateway.ports.dicom!, Buffer.from('SSH-2.0-OpenSSH_9.6\r\n'));
  await delay(300);
  const rows = await exchanges(journey.gateway, "message_status = 'rejected' AND created_at > $1 AND organization_id = $2", [since, UNASSIGNED]);
  expect((await keptBytes(rows[0]!))!.length).toBeGreaterThan(0);
});

test.each([
  // The called AE title names the hospital, so its own people see who knocked; a called AE title of nobody is nobody's.
  { callingAeTitle: 'STRANGER', calledAeTitle: 'MEDSCAN', organization: 'Sample Hospital' }, { callingAeTitle: 'STRANGER', calledAeTitle: 'ELSEWHERE', organization: 'Unassigned' },
] as const)('an association from $callingAeTitle to $calledAeTitle is rejected, and on record under $organization', async ({ organization, ...titles }) => {
  await note();
  const study = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber });
  const answers = await storeObjects(study.objects, { host: '127.0.0.1', port: journey.gateway.ports.dicom!, ...titles });
  expect(answers.map((answer) => answer.status)).toEqual(study.objects.map(() => undefined));
  expect(answers[0]!.text).toContain('rejected');
  const row = await refusal({ organization, adapter: 'dicom-dimse' });
  expect(row).toMatchObject({ interaction: 'A-ASSOCIATE', peer_application: 'STRANGER', answer_code: 'A-ASSOCIATE-RJ' });
  expect(await journey.gateway.db.asOwner('SELECT FROM scans WHERE study_instance_uid = $1', [study.studyInstanceUid])).toEqual([]);
});

test('an image without Patient ID is stored for a quarantined patient, and a person is told', async () => {
  const { gateway, hospital: { pacs } } = journey;
  const study = smallStudy({ patient: somebody({ patientId: '' }), accessionNumber: anOrder().accessionNumber });
  expect((await pacs.store(study.objects.slice(0, 2))).map((answer) => answer.status)).toEqual([0, 0]);
  const scan = await scanOf(gateway, study.studyInstanceUid);
  expect(await gateway.db.asOwner('SELECT identity_status FROM patients WHERE patient_id = $1', [scan.patient_id])).toEqual([{ identity_status: 'quarantined' }]);
  expect(await gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'identity_conflict' AND subject = $1", [`patient ${scan.patient_id}`])).toHaveLength(1);
  await expectAudited(gateway, await answered(gateway, 'scan_id = $1', [scan.scan_id]));
});

test('an image without Study Instance UID is refused with its own status and tag; its bytes are kept', async () => {
  await note();
  const sopInstanceUid = '1.2.826.0.1.3680043.8.498.77.1', sopClassUid = '1.2.840.10008.5.1.4.1.1.7';
  const dataset = encodeDataset({ '(0008,0016)': sopClassUid, '(0008,0018)': sopInstanceUid, '(0010,0020)': 'X', '(0020,000e)': '1.2.3.4' });
  const [answer] = await journey.hospital.pacs.store([{ sopClassUid, sopInstanceUid, transferSyntaxUid: '1.2.840.10008.1.2.1', dataset }]);
  expect((answer!.status ?? 0).toString(16)).toMatch(/^(c0|a9)/);
  const row = await refusal({ organization: 'Sample Hospital', adapter: 'dicom-dimse' });
  expect(row).toMatchObject({ interaction: 'C-STORE', control_id: sopInstanceUid, error_location: expect.stringMatching(/^\(0020,000d\)$/i), payload_location: expect.stringMatching(/^store:/) });
  expect(row.answer_code).toBe(answer!.status!.toString(16).toUpperCase().padStart(4, '0'));
});

test('a frame that is no HL7 message is answered AR, or with an acknowledgment that names nothing, and its bytes are kept', async () => {
  await note();
  const { answer } = await converse(journey.gateway.ports.hl7!, framed('this is not a message'));
  expect(answer.toString()).toMatch(/MSA\|AR\|/);
  const row = await refusal({ organization: 'Sample Hospital', adapter: 'hl7v2-mllp' });
  expect((await keptBytes(row))!.toString()).toContain('this is not a message');
});

test('bytes outside any MLLP frame get no acknowledgment, and the connection stays of use or ends', async () => {
  const { answer } = await converse(journey.gateway.ports.hl7!, Buffer.from('HELO there\r\n'.repeat(50)), 300);
  expect(answer.toString()).not.toContain('MSA|AA');
});

test('an ADT without PID-3 is answered with an ERR that names the field, and is not stored as a patient', async () => {
  const before = (await journey.gateway.db.asOwner('SELECT FROM patients')).length;
  await note();
  const { answer } = await converse(journey.gateway.ports.hl7!, framed(['MSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260101120000||ADT^A04^ADT_A01|NOPID3|P|2.5.1', 'EVN|A04|20260101120000', 'PID|1||||Nobody^Nora||19700101|F', ''].join('\r')));
  expect(answer.toString()).toMatch(/MSA\|A[RE]\|NOPID3/);
  expect(answer.toString()).toMatch(/ERR\|.*PID\^1\^3/);
  const row = await refusal({ organization: 'Sample Hospital', adapter: 'hl7v2-mllp' });
  expect(row).toMatchObject({ interaction: 'ADT^A04', control_id: 'NOPID3', error_location: expect.stringContaining('PID-3') });
  expect((await keptBytes(row))!.toString()).toContain('NOPID3');
  expect((await journey.gateway.db.asOwner('SELECT FROM patients')).length).toBe(before);
});

test('a frame over the limit is cut with AR and the reason; memory does not grow with it', async () => {
  await note();
  const megabyte = Buffer.alloc(1024 * 1024, 'A');
  const head = Buffer.from('\x0bMSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260101120000||ADT^A04^ADT_A01|TOOBIG|P|2.5.1\rNTE|1||');
  const { answer } = await converse(journey.gateway.ports.hl7!, [head, ...Array.from({ length: 12 }, () => megabyte)], 3_000);
  expect(answer.toString()).toMatch(/MSA\|AR\|TOOBIG/);
  const row = await refusal({ organization: 'Sample Hospital', adapter: 'hl7v2-mllp' });
  expect(row.error_text).toMatch(/\d/);
});

test('garbage on the HTTP port is 400, an unknown address 404, both in the words of their protocol', async () => {
  const { answer } = await converse(journey.gateway.ports.http!, Buffer.from('\x00\x01\x02 not http\r\n\r\n'));
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 400/);
  const unknown = await request(journey.gateway, 'GET', '/api/v1/nothing', {});
  expect(unknown.status).toBe(404);
  expect(unknown.body).toMatchObject({ status: 404, detail: expect.any(String) });
});

test('one megabyte of [ to FHIR is an OperationOutcome, not a crash', async () => {
  await note();
  const answer = await postFhir('['.repeat(1024 * 1024 - 10));
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  expect(answer.body).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', diagnostics: expect.any(String) }] });
  const row = await refusal({ organization: 'Sample Hospital', adapter: 'fhir-rest' });
  expect((await keptBytes(row))!.length).toBe(1024 * 1024 - 10);
});

test('a FHIR Patient that cannot be stored is 422 with the place, and a request without a token 401 under Unassigned', async () => {
  await note();
  const wrong = await postFhir({ resourceType: 'Patient', identifier: [{ value: 'X-1' }], birthDate: '1970-13-45' });
  expect(wrong.status).toBe(422);
  expect(wrong.body.issue[0].expression ?? wrong.body.issue[0].location).toBeDefined();
  await refusal({ organization: 'Sample Hospital', adapter: 'fhir-rest' });
  await note();
  const anonymous = await request(journey.gateway, 'POST', '/fhir/r4/Patient', {}, patientResource('ANON'));
  expect(anonymous.status).toBe(401);
  expect(await refusal({ organization: 'Unassigned', adapter: 'fhir-rest' })).toMatchObject({ answer_code: '401' });
});

test('the record: nothing that was refused left rows behind, and every refusal is audited as one', async () => {
  const refused = await eventually(async () => exchanges(journey.gateway, "message_status = 'rejected'"));
  expect(refused.length).toBeGreaterThanOrEqual(8);
  const audits = await journey.gateway.db.asOwner<{ sync_id: string; outcome: string }>("SELECT sync_id, outcome FROM audit_logs WHERE sync_id = ANY($1::uuid[])", [refused.map((row) => row.sync_id)]);
  expect(audits.filter((audit) => audit.outcome === 'success')).toEqual([]);
  expect(await journey.gateway.db.asOwner('SELECT FROM scan_files f JOIN sync_logs l ON l.sync_id = f.source_sync_id WHERE l.message_status = \'rejected\'')).toEqual([]);
});
