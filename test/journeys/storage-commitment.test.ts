/**
 * A sender asks whether its images are kept for good. Peers: dcmjs-dimse as the asker and, on an association of the gateway's own, as the one that is
 * told; and an asker made of bytes that keeps its association open.
 */
import { truncate, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import dimse from 'dcmjs-dimse';
import { afterAll, beforeAll, expect, test } from 'vitest';
import '../../src/simulator/silence-dicom-library.ts';
import { BytePeer, pData, pdv } from '../../adapters/dicom-dimse/testing/peer.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import { eventually } from '../support/gateway.ts';
import { changeSettings, exchanges, expectAudited, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

const pushModel = '1.2.840.10008.1.20.1', pushInstance = '1.2.840.10008.1.20.1.1', explicit = '1.2.840.10008.1.2.1';
const study = smallStudy({ patient: somebody(), accessionNumber: 'ACC-SC-1' });
const [first, second, third] = study.objects;
let journey: Journey;
/** The sender's own listener: what it was told by N-EVENT-REPORT. */
let listener: Server;
const told: { eventTypeId: number; dataset: any }[] = [];
let answerWith = 0;

class Asker extends dimse.Scp {
  override associationRequested(association: any): void {
    for (const { context } of association.getPresentationContexts()) context.setResult(0, context.getTransferSyntaxUids()[0]);
    this.sendAssociationAccept();
  }
  override associationReleaseRequested(): void { this.sendAssociationReleaseResponse(); }
  override nEventReportRequest(request: any, answer: (response: any) => void): void {
    told.push({ eventTypeId: request.getEventTypeId(), dataset: request.getDataset().getElements() });
    const response = dimse.responses.NEventReportResponse.fromRequest(request);
    response.setStatus(answerWith);
    answer(response);
  }
}

beforeAll(async () => {
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '300' });
  listener = createServer((socket) => {
    socket.on('error', () => undefined);
    const connection = new Asker(socket, { pduTimeout: 600_000 } as never);
    Object.assign(connection, { connected: true, connectedTime: Date.now() });
  });
  await new Promise<void>((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  await changeSettings(journey.gateway, 'PACS', { destination: { port: (listener.address() as { port: number }).port } });
  expect((await journey.hospital.pacs.store(study.objects)).every((answer) => answer.status === 0)).toBe(true);
});
afterAll(async () => {
  await journey?.stop();
  listener?.close();
});

interface Item { readonly sopClassUid: string; readonly sopInstanceUid: string }

/** N-ACTION by dcmjs-dimse, which releases as soon as it is answered. */
function ask(transactionUid: string, items: readonly Item[], actionTypeId = 1): Promise<number> {
  const request = new dimse.requests.NActionRequest(pushModel, pushInstance, actionTypeId);
  request.setDataset(new dimse.Dataset({ TransactionUID: transactionUid, ReferencedSOPSequence: items.map((item) => ({ ReferencedSOPClassUID: item.sopClassUid, ReferencedSOPInstanceUID: item.sopInstanceUid })) }));
  return new Promise((resolve, reject) => {
    const client = new dimse.Client();
    request.on('response', (response: any) => { resolve(response.getStatus()); });
    client.on('networkError', reject);
    client.addRequest(request);
    client.send('127.0.0.1', journey.gateway.ports.dicom!, 'CT1', 'MEDSCAN', {});
  });
}
const toldOf = (transactionUid: string): Promise<(typeof told)[number]> => eventually(async () => told.find(({ dataset }) => dataset.TransactionUID === transactionUid));

test('commits on an association of its own when the sender has gone, after a look at every file', async () => {
  expect(await ask('1.2.3.100', study.objects)).toBe(0);
  const { eventTypeId, dataset } = await toldOf('1.2.3.100');
  expect(eventTypeId).toBe(1);
  expect(new Set([dataset.ReferencedSOPSequence].flat().map((item: any) => item.ReferencedSOPInstanceUID))).toEqual(new Set(study.objects.map((object) => object.sopInstanceUid)));
  const rows = await eventually(async () => {
    const found = await exchanges(journey.gateway, "control_id = '1.2.3.100'");
    return found.some((row) => row.message_status === 'delivered') && found.find((row) => row.direction === 'inbound')?.answer_code === '0000' && found;
  });
  expect(rows.map((row) => [row.direction, row.interaction])).toEqual(expect.arrayContaining([['inbound', 'N-ACTION Storage Commitment'], ['outbound', 'N-EVENT-REPORT Storage Commitment']]));
  await expectAudited(journey.gateway, rows);
  expect(await journey.gateway.db.asOwner("SELECT status FROM storage_commitments WHERE transaction_uid = '1.2.3.100'")).toEqual([{ status: 'delivered' }]);
});

test('tells again until it is heard', async () => {
  answerWith = 0x0110;
  expect(await ask('1.2.3.101', [first!])).toBe(0);
  await eventually(async () => told.filter(({ dataset }) => dataset.TransactionUID === '1.2.3.101').length >= 2);
  answerWith = 0;
  await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM storage_commitments WHERE transaction_uid = '1.2.3.101' AND status = 'delivered'")).length === 1);
});

test('never commits to what it does not have: damaged 0110, unknown 0112, another class 0119', async () => {
  const files = await journey.gateway.db.asOwner<{ sop_instance_uid: string; storage_location: string }>('SELECT sop_instance_uid, storage_location FROM scan_files');
  const fileOf = (object: Item): string => journey.gateway.store.resolve(files.find((file) => file.sop_instance_uid === object.sopInstanceUid)!.storage_location);
  await truncate(fileOf(first!), 5000);
  await unlink(fileOf(second!));
  const unknown = { sopClassUid: third!.sopClassUid, sopInstanceUid: '1.2.3.4.5' }, otherClass = { sopClassUid: '1.2.840.10008.5.1.4.1.1.4', sopInstanceUid: third!.sopInstanceUid };
  expect(await ask('1.2.3.102', [first!, second!, unknown, otherClass, study.objects[3]!])).toBe(0);
  const { eventTypeId, dataset } = await toldOf('1.2.3.102');
  expect(eventTypeId).toBe(2);
  expect(Object.fromEntries([dataset.FailedSOPSequence].flat().map((item: any) => [item.ReferencedSOPInstanceUID, item.FailureReason]))).toEqual({
    [first!.sopInstanceUid]: 0x0110, [second!.sopInstanceUid]: 0x0110, '1.2.3.4.5': 0x0112, [third!.sopInstanceUid]: 0x0119,
  });
  expect([dataset.ReferencedSOPSequence].flat().map((item: any) => item.ReferencedSOPInstanceUID)).toEqual([study.objects[3]!.sopInstanceUid]);
  expect((await journey.gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'files_missing' AND severity = 'critical'")).length).toBe(1);
});

test('refuses an action that storage commitment does not have', async () => {
  expect(await ask('1.2.3.103', [third!], 2)).toBe(0x0123);
});

const element = (number: number, value: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(number, 2);
  head.writeUInt32LE(value.length, 4);
  return Buffer.concat([head, value]);
};
const us = (value: number): Buffer => { const bytes = Buffer.alloc(2); bytes.writeUInt16LE(value); return bytes; };
const ui = (value: string): Buffer => Buffer.from(value.length % 2 ? `${value}\0` : value, 'latin1');
function command(...elements: Buffer[]): Buffer {
  const body = Buffer.concat(elements), length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([element(0, length), body]);
}

test('tells on the same association while it is open', async () => {
  const peer = await BytePeer.associate(journey.gateway.ports.dicom!, { contexts: [{ id: 1, abstractSyntax: pushModel, transferSyntaxes: [explicit] }] });
  const before = told.length;
  const information = encodeDataset({ '(0008,1195)': '1.2.3.104', '(0008,1199)': [{ '(0008,1150)': third!.sopClassUid, '(0008,1155)': third!.sopInstanceUid }] });
  peer.send(Buffer.concat([
    pData(pdv(1, 3, command(element(0x0003, ui(pushModel)), element(0x0100, us(0x0130)), element(0x0110, us(7)), element(0x0800, us(0)), element(0x1001, ui(pushInstance)), element(0x1008, us(1))))),
    pData(pdv(1, 2, information)),
  ]));
  expect(await peer.readResponse()).toMatchObject({ field: 0x8130, messageId: 7, status: 0 });
  const [event, data] = [await peer.read(), await peer.read()];
  expect(event!.body.subarray(6).includes(element(0x0100, us(0x0100)))).toBe(true);
  expect(dicomReader(data!.body.subarray(6), { transferSyntaxUid: explicit }).first('(0008,1195)')).toBe('1.2.3.104');
  const messageId = event!.body.readUInt16LE(event!.body.indexOf(element(0x0110, us(1)).subarray(0, 8)) + 8);
  peer.send(pData(pdv(1, 3, command(element(0x0002, ui(pushModel)), element(0x0100, us(0x8100)), element(0x0120, us(messageId)), element(0x0800, us(0x0101)), element(0x0900, us(0)), element(0x1000, ui(pushInstance))))));
  await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM storage_commitments WHERE transaction_uid = '1.2.3.104' AND status = 'delivered'")).length === 1, 5_000);
  expect(told.length, 'nobody was called').toBe(before);
  peer.close();
});
