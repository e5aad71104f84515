/**
 * The gateway asks the PACS whether it keeps, for good, the report that it took. Peers: Orthanc, which answers on an association of its own (skipped where it
 * is not installed), and an archive made of bytes, which answers on the same one, not at all, or that it keeps nothing.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { missing, startOrthanc } from '../../adapters/dicom-dimse/testing/archives.ts';
import { decodeCommandSet, encodeEventReport, encodeResponse, CommandField } from '../../adapters/dicom-dimse/upper-layer/command-set.ts';
import { decodeAssociateRequest, encodeAssociateAccept, encodeCommandPdu, encodeDataPdu, encodeReleaseResponse } from '../../adapters/dicom-dimse/upper-layer/pdu.ts';
import { PduReader } from '../../adapters/dicom-dimse/upper-layer/pdu-reader.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import { eventually } from '../support/gateway.ts';
import { changeSettings, exchanges, expectAudited, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

const isMissing = missing('Orthanc');
let journey: Journey;
beforeAll(async () => { journey = await startJourney({ MEDSCAN_RETRY_SECONDS: '0.2' }); });
afterAll(() => journey?.stop());

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => { for (const cleanup of cleanups.splice(0)) await cleanup(); });

interface DeliveryRow { delivery_id: string; commitment: string | null; status: string; attempts: number }
async function deliveryOf(studyInstanceUid: string): Promise<DeliveryRow | undefined> {
  const [row] = await journey.gateway.db.asOwner<DeliveryRow>(`
    SELECT d.* FROM deliveries d JOIN external_integrations i USING (organization_id, integration_id) JOIN reports r USING (organization_id, report_id) JOIN scans s USING (organization_id, scan_id)
    WHERE s.study_instance_uid = $1 AND i.name = 'PACS'`, [studyInstanceUid]);
  return row;
}
const requestsOf = (deliveryId: string) => journey.gateway.db.asOwner<{ status: string; transaction_uid: string; earlier_transaction_uids: string[]; last_text: string | null; request_id: string }>('SELECT * FROM asked_commitments WHERE delivery_id = $1 ORDER BY created_at', [deliveryId]);

/** The job of a question goes on for a moment after its answer came in on an association of the archive's own. */
const questionsAreOver = () => eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM pgboss.job WHERE name = 'ask-commitment' AND state = 'active'")).length === 0);
/** Not under the request's own key: a job that waits for the next time to ask would keep this one out. */
async function askNow(requestId: string): Promise<void> {
  const [row] = await journey.gateway.db.asOwner<{ organization_id: string }>('SELECT organization_id FROM asked_commitments WHERE request_id = $1', [requestId]);
  await journey.gateway.boss.send('ask-commitment', { organizationId: row!.organization_id, requestId }, { singletonKey: `${requestId} now` });
}

async function report(): Promise<string> {
  const study = smallStudy({ patient: somebody(), accessionNumber: `ACC-SCU-${Math.random()}`.slice(0, 16) });
  await journey.hospital.pacs.store(study.objects);
  return study.studyInstanceUid;
}
const goesTo = (port: number, aeTitle: string, commitment: object): Promise<void> => changeSettings(journey.gateway, 'PACS', {
  calling_ae_titles: [], addresses: [], storage_commitment: { wait_seconds: 5, ask_again_minutes: 60, ...commitment },
  destination: { host: '127.0.0.1', port, called_ae_title: aeTitle, calling_ae_title: 'MEDSCAN', response_timeout_milliseconds: 5000 },
});

describe.skipIf(isMissing)('Orthanc', () => {
  test('commits on an association of its own: the delivery is uncommitted until then, and every message is on record', async () => {
    const orthanc = await startOrthanc({ aeTitle: 'MEDSCAN', port: journey.gateway.ports.dicom! });
    cleanups.push(() => orthanc.stop());
    await goesTo(orthanc.port, orthanc.aeTitle, { wait_seconds: 1 });
    const study = await report();
    const committed = await eventually(async () => { const row = await deliveryOf(study); return row?.commitment === 'committed' && row; });
    expect(committed.status).toBe('delivered');
    const [request] = await requestsOf(committed.delivery_id);
    expect(request).toMatchObject({ status: 'committed' });
    const rows = await eventually(async () => { const found = await exchanges(journey.gateway, 'control_id = $1', [request!.transaction_uid]); return found.every((row) => row.message_status !== 'sending') && found; });
    expect(rows.map((row) => [row.direction, row.interaction, row.message_status])).toEqual(expect.arrayContaining([['outbound', 'N-ACTION Storage Commitment', 'delivered'], ['inbound', 'N-EVENT-REPORT Storage Commitment', 'accepted']]));
    await expectAudited(journey.gateway, rows);
  });

  test('says that it lost the object: the report is sent again and then committed to', async () => {
    const orthanc = await startOrthanc({ aeTitle: 'MEDSCAN', port: journey.gateway.ports.dicom! });
    cleanups.push(() => orthanc.stop());
    await goesTo(orthanc.port, orthanc.aeTitle, { wait_seconds: 0 });
    const study = await report();
    const { delivery_id: deliveryId } = await eventually(async () => { const row = await deliveryOf(study); return row?.commitment === 'committed' && row; });
    for (const { ID } of await (await fetch(`${orthanc.http}/instances?expand`)).json() as { ID: string }[]) await fetch(`${orthanc.http}/instances/${ID}`, { method: 'DELETE' });
    await questionsAreOver();
    // As if the answer had not come yet: it is asked once more.
    const [{ request_id: requestId }] = await journey.gateway.db.asOwner<{ request_id: string }>("UPDATE asked_commitments SET status = 'asked', next_at = now() WHERE delivery_id = $1 RETURNING request_id", [deliveryId]) as [{ request_id: string }];
    await askNow(requestId);
    await eventually(async () => (await requestsOf(deliveryId)).map(({ status }) => status).join() === 'failed,committed', 40_000);
    expect((await requestsOf(deliveryId))[0]).toMatchObject({ last_text: 'not kept: no such object instance' });
    expect(await deliveryOf(study)).toMatchObject({ commitment: 'committed', status: 'delivered', attempts: 2 });
  });
});

/** Takes everything; answers an N-ACTION with what the test says, on the same association. */
async function startByteArchive(answer: (asked: { sopClassUid: string; sopInstanceUid: string }[]) => 'nothing' | { committed: boolean }): Promise<{ port: number; transactions: string[]; server: Server }> {
  const transactions: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    let command: Buffer[] = [], data: Buffer[] = [], context = 0, isCommand = false, isLast = false;
    const message = (): void => {
      const request = decodeCommandSet(Buffer.concat(command));
      if (request.hasDataSet && isCommand) return;
      const dataset = Buffer.concat(data);
      [command, data] = [[], []];
      if ((request.commandField & 0x8000) !== 0) return;
      socket.write(encodeCommandPdu(context, encodeResponse(request, { status: 0 })));
      if (request.commandField !== CommandField.nActionRq) return;
      const reader = dicomReader(dataset, { transferSyntaxUid: '1.2.840.10008.1.2.1' });
      const transactionUid = reader.first('(0008,1195)') ?? '';
      transactions.push(transactionUid);
      const asked = reader.each('(0008,1199)').map((one) => ({ sopClassUid: one.first('(0008,1150)') ?? '', sopInstanceUid: one.first('(0008,1155)') ?? '' }));
      const said = answer(asked);
      if (said === 'nothing') return;
      const items = asked.map((one) => ({ '(0008,1150)': one.sopClassUid, '(0008,1155)': one.sopInstanceUid, ...(said.committed ? {} : { '(0008,1197)': 0x0110 }) }));
      const event = encodeDataset({ '(0008,1195)': transactionUid, [said.committed ? '(0008,1199)' : '(0008,1198)']: items as never });
      socket.write(Buffer.concat([encodeCommandPdu(context, encodeEventReport('1.2.840.10008.1.20.1', '1.2.840.10008.1.20.1.1', 9, said.committed ? 1 : 2)), encodeDataPdu(context, event, true)]));
    };
    const reader = new PduReader({
      header() { /* anything */ },
      pdu(type, bytes) {
        if (type === 5) socket.end(encodeReleaseResponse());
        if (type !== 1) return;
        const request = decodeAssociateRequest(bytes);
        socket.write(encodeAssociateAccept(request, request.presentationContexts.map((one) => ({ ...one, transferSyntax: one.transferSyntaxes[0]!, result: 0 as const })), 16384, { classUid: '1.2.3', versionName: 'BYTES' }));
      },
      pdv(id, ofCommand, last) { context = id; isCommand = ofCommand; isLast = last; },
      fragment(bytes) { (isCommand ? command : data).push(Buffer.from(bytes)); },
      endOfPdv() { if (isLast) message(); },
    });
    socket.on('data', (chunk: Buffer) => { reader.push(chunk); });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  cleanups.push(() => new Promise((resolve) => { server.close(() => { resolve(); }); for (const socket of sockets) socket.destroy(); }));
  return { port: (server.address() as { port: number }).port, transactions, server };
}

describe('an archive that answers on the same association', () => {
  test('commits there', async () => {
    const archive = await startByteArchive(() => ({ committed: true }));
    await goesTo(archive.port, 'BYTES', {});
    const study = await report();
    const row = await eventually(async () => { const delivery = await deliveryOf(study); return delivery?.commitment === 'committed' && delivery; });
    expect(await requestsOf(row.delivery_id)).toMatchObject([{ status: 'committed', transaction_uid: archive.transactions[0] }]);
  });

  test('and never keeps anything is sent the report five times more, then a person is told', async () => {
    const archive = await startByteArchive(() => ({ committed: false }));
    await goesTo(archive.port, 'BYTES', {});
    const study = await report();
    const { delivery_id: deliveryId } = await eventually(async () => { const delivery = await deliveryOf(study); return delivery?.commitment === 'refused' && delivery; });
    await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'commitment_missing' AND severity = 'critical' AND subject = $1", [`delivery ${deliveryId}`])).length === 1, 60_000);
    expect(await deliveryOf(study)).toMatchObject({ commitment: 'refused', status: 'delivered', attempts: 6 });
  });

  test('but says nothing is asked again under another transaction, and after a while an alert says so', async () => {
    let isSilent = true;
    const archive = await startByteArchive(() => (isSilent ? 'nothing' : { committed: true }));
    await goesTo(archive.port, 'BYTES', { wait_seconds: 0, alert_after_minutes: 1 });
    const study = await report();
    const { delivery_id: deliveryId } = await eventually(async () => { const delivery = await deliveryOf(study); return delivery?.commitment === 'awaited' && (await requestsOf(delivery.delivery_id))[0]?.status === 'asked' && delivery; });
    const requestId = (await requestsOf(deliveryId))[0]!.request_id;
    const again = async (): Promise<void> => {
      await journey.gateway.db.asOwner("UPDATE asked_commitments SET next_at = now(), created_at = created_at - interval '1 hour' WHERE request_id = $1", [requestId]);
      await askNow(requestId);
    };
    await again();
    await eventually(async () => archive.transactions.length === 2);
    expect(new Set(archive.transactions).size).toBe(2);
    await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'commitment_missing' AND severity = 'warning' AND subject = $1 AND resolved_at IS NULL", [`delivery ${deliveryId}`])).length === 1);
    isSilent = false;
    await changeSettings(journey.gateway, 'PACS', { storage_commitment: { wait_seconds: 5 } });
    await again();
    await eventually(async () => (await deliveryOf(study))?.commitment === 'committed');
    expect(await journey.gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'commitment_missing' AND subject = $1 AND resolved_at IS NULL", [`delivery ${deliveryId}`])).toEqual([]);
  });
});
