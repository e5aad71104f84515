import { mkdtempSync, rmSync, appendFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { frameMessage, FrameReader } from './mllp-framing.ts';
import { Ledger, readLedger, sha256Of } from './ledger.ts';
import { Ris } from './ris.ts';
import { headerFields, segmentFields } from './hl7-messages.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => { for (const cleanup of cleanups.splice(0).toReversed()) await cleanup(); });

const patient = { patientId: 'P1', assigningAuthority: 'NORTH', familyName: 'Müller|x', givenName: 'Zoë', birthDate: '19630412', sex: 'F' as const };
async function startRis(gatewayPort: number, more: Partial<Parameters<typeof Ris.start>[0]> = {}): Promise<Ris> {
  const ris = await Ris.start({ gateway: { host: '127.0.0.1', port: gatewayPort }, ...more });
  cleanups.push(() => ris.stop());
  return ris;
}
/** A second RIS stands in for the gateway: it takes only results, so what it is sent by the first is an ORU. */
async function pair(): Promise<{ sender: Ris; receiver: Ris }> {
  const receiver = await startRis(1);
  return { receiver, sender: await startRis(receiver.port) };
}
const result = (id: string): Buffer => Buffer.from(`MSH|^~\\&|AI|GW|RIS|NORTH|20260101||ORU^R01^ORU_R01|${id}|P|2.5.1\rPID|1||P1\rOBR|1\rOBX|1|ST|x||Süß\r`);

test('a result is received whole and answered AA with its control id', async () => {
  const { sender, receiver } = await pair();
  const answers = await Promise.all(['A1', 'A2', 'A3'].map((id) => sender.send(result(id))));
  expect(answers.map((answer) => [answer.controlId, answer.code])).toEqual([['A1', 'AA'], ['A2', 'AA'], ['A3', 'AA']]);
  expect(receiver.received.items.map((item) => item.bytes.equals(result(item.controlId)))).toEqual([true, true, true]);
});

test('what is no result is refused with AR', async () => {
  const { sender } = await pair();
  expect((await sender.register(patient)).code).toBe('AR');
});

test('each misbehaviour is what it says and ends after its count', async () => {
  const { sender, receiver } = await pair();
  await receiver.behaviour.set('AE', 1);
  expect((await sender.send(result('B1'))).code).toBe('AE');
  expect((await sender.send(result('B2'))).code).toBe('AA');
  await receiver.behaviour.set('silent', 1);
  expect((await sender.send(result('B3'), 100)).code).toBeUndefined();
  await receiver.behaviour.set('hang-up', 1);
  expect((await sender.send(result('B4'))).code).toBeUndefined();
  await receiver.behaviour.set('down');
  expect((await sender.send(result('B5'))).code).toBeUndefined();
  await receiver.behaviour.set('accept');
  expect((await sender.send(result('B6'))).code).toBe('AA');
});

test('the ledger says what the sender was told and survives a line cut by a crash', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ledger-'));
  const path = join(folder, 'ledger.jsonl');
  const ledger = new Ledger(path);
  cleanups.push(() => { ledger.close(); rmSync(folder, { recursive: true }); });
  const receiver = await startRis(1);
  const sender = await startRis(receiver.port, { ledger });
  await sender.send(result('C1'));
  await receiver.behaviour.set('AE', 1);
  await sender.send(result('C2'));
  await receiver.behaviour.set('silent', 1);
  await sender.send(result('C3'), 50);
  appendFileSync(path, '{"id":"C4","sha');
  expect(readLedger(path).map((entry) => [entry.id, entry.told, entry.code, entry.sha256])).toEqual([
    ['C1', 'accepted', 'AA', sha256Of(result('C1'))], ['C2', 'refused', 'AE', sha256Of(result('C2'))], ['C3', 'nothing', '', sha256Of(result('C3'))]]);
});

test('messages carry escaped names, UTF-8 and the order numbers where HL7 wants them', async () => {
  const seen: string[] = [];
  const receiver = await startRis(1);
  const sender = await startRis(receiver.port);
  await sender.register({ ...patient, allergies: [{ code: '91936005', text: 'Penicillin & co', severity: 'SV' }] });
  await sender.order(patient, { placerOrderNumber: 'PL1', fillerOrderNumber: 'F1', accessionNumber: 'ACC1', procedureCode: '24627-2', procedureDescription: 'CT Chest', codingSystem: 'LN', modality: 'CT', priority: 'S', reason: 'cough', requestingPhysician: { id: '5678', familyName: 'House', givenName: 'Gregory' }, studyInstanceUid: '1.2.3' });
  seen.push(...receiver.received.items.map((item) => item.text));
  const [registration = '', order = ''] = seen;
  expect(segmentFields(registration, 'PID')?.[5]).toBe('Müller\\F\\x^Zoë^');
  expect(segmentFields(registration, 'AL1')?.[3]).toBe('91936005^Penicillin \\T\\ co^L');
  expect(headerFields(order)[8]).toBe('ORM^O01^ORM_O01');
  expect(headerFields(order)[17]).toBe('UNICODE UTF-8');
  expect([segmentFields(order, 'OBR')?.[18], segmentFields(order, 'OBR')?.[24], segmentFields(order, 'ORC')?.[1], segmentFields(order, 'OBR')?.[16], segmentFields(order, 'ZDS')?.[1]]).toEqual(['ACC1', 'CT', 'NW', '5678^House^Gregory', '1.2.3^MEDSCAN^Application^DICOM']);
});

test('property: frames come out whole however the bytes are cut', () => {
  const message = fc.string({ minLength: 1 }).map((text) => Buffer.from(text.replaceAll('\u000b', ' ').replaceAll('\u001c', ' '), 'utf8'));
  fc.assert(fc.property(fc.array(message, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(200)), (messages, cuts) => {
    const stream = Buffer.concat(messages.map(frameMessage));
    const places = [...new Set([0, ...cuts.map((cut) => cut % stream.length), stream.length])].toSorted((a, b) => a - b);
    const reader = new FrameReader();
    const read = places.slice(1).flatMap((place, index) => reader.push(stream.subarray(places[index], place)));
    expect(read.map(String)).toEqual(messages.map(String));
  }));
});
