/**
 * "MIG exports looping": the receiver's configuration rejects the association for good, and the export is tried for ever. Here a permanent rejection
 * (PS3.8 table 9-21, result 1) parks the delivery after one attempt and says what to do; a transient one (result 2) is tried again and arrives.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeAssociateAccept, encodeAssociateReject, type Rejection } from '#adapters/dicom-dimse/upper-layer/pdu.ts';
import { startAcceptor, type ScriptedAcceptor } from '#adapters/dicom-dimse/testing/acceptor.ts';
import { anOrder, changeSettings, exchanges, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';

const rejections: Rejection[] = [];
let journey: Journey, pacs: ScriptedAcceptor;
beforeAll(async () => {
  journey = await startJourney({ MEDSCAN_RETRY_SECONDS: '0.2' });
  pacs = await startAcceptor({
    onAssociate: (request) => {
      const rejection = rejections.shift();
      if (rejection) return encodeAssociateReject(rejection);
      return encodeAssociateAccept(request, request.presentationContexts.map((one) => ({ ...one, transferSyntax: one.transferSyntaxes[0] ?? '', result: 0 })), 16384, { classUid: '1.2.3', versionName: 'SCRIPT' });
    },
  });
  await changeSettings(journey.gateway, 'PACS', { destination: { port: pacs.destination.port } });
});
afterAll(async () => { await journey?.stop(); await pacs?.close(); });

async function settled(status: string): Promise<{ delivery_id: string }> {
  const study = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber });
  await journey.hospital.pacs.store(study.objects);
  return eventually(async () => {
    const [delivery] = await journey.gateway.db.asOwner<{ delivery_id: string; status: string }>(`
      SELECT d.delivery_id, d.status FROM deliveries d JOIN reports r USING (organization_id, report_id) JOIN scans s USING (organization_id, scan_id)
      JOIN external_integrations i ON i.integration_id = d.integration_id WHERE i.name = 'PACS' AND s.study_instance_uid = $1`, [study.studyInstanceUid]);
    return delivery?.status === status && delivery;
  }, 25_000);
}
const attempts = async (deliveryId: string) => (await exchanges(journey.gateway, 'delivery_id = $1', [deliveryId])).map(({ message_status, error_class, error_text }) => ({ message_status, error_class, error_text }));

test('a permanent rejection is asked once, parked with advice, and does not hold up the next report', async () => {
  rejections.push({ result: 1, source: 1, reason: 7 });
  const parked = await settled('refused');
  expect(await attempts(parked.delivery_id)).toEqual([{ message_status: 'refused', error_class: 'permanent', error_text: expect.stringMatching(/called AE title not recognized\. Check called_ae_title/) }]);
  const [alert] = await journey.gateway.db.asOwner<{ severity: string }>("SELECT severity FROM system_alerts WHERE kind = 'delivery_refused' AND resolved_at IS NULL AND subject LIKE '%' || $1", [parked.delivery_id]);
  expect(alert).toEqual({ severity: 'critical' });
  const next = await settled('delivered');
  expect(await attempts(next.delivery_id)).toMatchObject([{ message_status: 'delivered' }]);
  expect(await attempts(parked.delivery_id), 'nothing was tried meanwhile').toHaveLength(1);
  expect(pacs.proposed).toHaveLength(2);
});

test('a transient rejection is tried again until there is room', async () => {
  rejections.push({ result: 2, source: 3, reason: 1 }, { result: 2, source: 3, reason: 2 });
  const { delivery_id: id } = await settled('delivered');
  expect(await attempts(id)).toMatchObject([{ message_status: 'unreachable', error_class: 'transient' }, { message_status: 'unreachable', error_class: 'transient' }, { message_status: 'delivered' }]);
});
