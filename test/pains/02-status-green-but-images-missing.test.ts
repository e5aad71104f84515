/**
 * "DICOM Writer shows SENT when send failed": the PACS lacks the object and the engine's status is green. Here a delivery is delivered only when the
 * receiver said so in a C-STORE-RSP; every other end of an attempt is on record as what it was, and the object goes again until it is there.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeAbort } from '#adapters/dicom-dimse/upper-layer/pdu.ts';
import { startAcceptor, type ScriptedAcceptor } from '#adapters/dicom-dimse/testing/acceptor.ts';
import { anOrder, changeSettings, exchanges, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';

type Socket = Parameters<NonNullable<NonNullable<Parameters<typeof startAcceptor>[0]>['onMessage']>>[0];
/** What the PACS does with the object it has just received whole. */
type Deed = 'A700' | 'C000' | 'silence' | 'A-ABORT' | 'closes' | 'success';
const deeds: Deed[] = [];
let journey: Journey, pacs: ScriptedAcceptor;

beforeAll(async () => {
  journey = await startJourney({ MEDSCAN_RETRY_SECONDS: '0.2' });
  pacs = await startAcceptor({ onMessage: answer });
  await changeSettings(journey.gateway, 'PACS', { destination: { port: pacs.destination.port, response_timeout_milliseconds: 3000 } });
});
afterAll(async () => { await journey?.stop(); await pacs?.close(); });

function answer(socket: Socket): { status: number } | undefined {
  switch (deeds.shift() ?? 'success') {
    case 'A700': return { status: 0xa700 };
    case 'C000': return { status: 0xc000 };
    case 'A-ABORT': socket.write(encodeAbort(0, 0)); return undefined;
    case 'closes': socket.destroy(); return undefined;
    case 'silence': return undefined;
    case 'success': return { status: 0 };
  }
}

/** Sends a study and waits until the delivery of its SR to the PACS has this status. */
async function reportOf(status: string): Promise<{ delivery_id: string; attempts: number }> {
  const study = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber });
  await journey.hospital.pacs.store(study.objects);
  return eventually(async () => {
    const [delivery] = await journey.gateway.db.asOwner<{ delivery_id: string; attempts: number; status: string }>(`
      SELECT d.delivery_id, d.attempts, d.status FROM deliveries d JOIN reports r USING (organization_id, report_id) JOIN scans s USING (organization_id, scan_id)
      JOIN external_integrations i ON i.integration_id = d.integration_id WHERE i.name = 'PACS' AND s.study_instance_uid = $1`, [study.studyInstanceUid]);
    return delivery?.status === status && delivery;
  }, 25_000);
}
const attemptsOf = async (deliveryId: string): Promise<string[]> => (await exchanges(journey.gateway, 'delivery_id = $1', [deliveryId])).map((row) => `${row.message_status} ${row.answer_code ?? '-'}`);

test('an object that the PACS did not say it stored is not delivered: it goes again, the same one, until it is', async () => {
  deeds.push('A700', 'silence', 'A-ABORT', 'closes', 'success');
  const { delivery_id: id, attempts } = await reportOf('delivered');
  expect(attempts).toBe(5);
  expect(await attemptsOf(id)).toEqual(['unreachable -', 'unconfirmed -', 'unconfirmed -', 'unconfirmed -', 'delivered 0000']);
  expect(new Set(pacs.sopInstanceUids).size, 'one object, whatever was tried').toBe(1);
  expect(pacs.datasets).toHaveLength(5);
});

test('an object that the PACS refused is not delivered either: it is parked, with an alert, until a person looks', async () => {
  deeds.push('C000');
  const { delivery_id: id } = await reportOf('refused');
  expect(await attemptsOf(id)).toEqual(['refused C000']);
  expect(await journey.gateway.db.asOwner("SELECT kind FROM system_alerts WHERE kind = 'delivery_refused' AND resolved_at IS NULL AND subject LIKE '%' || $1", [id])).toHaveLength(1);
});
