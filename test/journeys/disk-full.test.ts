/** The object store is below its reserve: the PACS is told to come back before it sends anything, what is under way is told per object, and the house is told too. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BytePeer, associateRequest, ctDataset, releaseRequest, storePdus } from '#adapters/dicom-dimse/testing/peer.ts';
import { StorageFullError } from '../../src/storage/object-store.ts';
import { request, startJourney, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';

let journey: Journey;
beforeAll(async () => { journey = await startJourney({}, { reserveBytes: Number.MAX_SAFE_INTEGER }); });
afterAll(() => journey?.stop());

test('with less than the reserve free an association for images is rejected for now, readiness says so, and an alert is open', async () => {
  const { gateway } = journey;
  const peer = await BytePeer.connect(gateway.ports.dicom!);
  peer.send(associateRequest());
  expect([...(await peer.read())!.body.subarray(1)]).toEqual([2, 3, 1]);
  await peer.ended();
  const ready = await request(gateway, 'GET', '/readyz', {});
  expect([ready.status, ready.body]).toEqual([503, { status: 'not ready', reasons: ['the object store has less than its reserve free'] }]);
  const [alert] = await eventually(async () => {
    const rows = await gateway.db.asOwner<{ severity: string; message: string }>("SELECT severity, message FROM system_alerts JOIN organizations USING (organization_id) WHERE kind = 'disk_low' AND name = 'Unassigned' AND resolved_at IS NULL");
    return rows.length > 0 && rows;
  }, 5_000);
  expect(alert).toMatchObject({ severity: 'critical', message: expect.stringMatching(/has \d+ MiB free and keeps \d+ MiB in reserve/) });
  const [association] = await eventually(async () => { const rows = await gateway.db.asOwner<{ reason: string }>("SELECT reason FROM association_logs WHERE rejection = '2/3/1'"); return rows.length > 0 && rows; });
  expect(association!.reason).toMatch(/MiB in reserve$/);
});

test('an association that is open when the disk fills up is answered A700, object by object, and goes on when there is space', async () => {
  const second = await startJourney();
  try {
    const { gateway } = second, begin = gateway.store.begin;
    const peer = await BytePeer.associate(gateway.ports.dicom!);
    const status = async (uid: string): Promise<number> => {
      peer.send(storePdus(uid, ctDataset(uid)));
      return (await peer.readResponse()).status;
    };
    expect(await status('1.2.3.1')).toBe(0);
    gateway.store.begin = () => Promise.reject(new StorageFullError(1, 2));
    expect([await status('1.2.3.2'), await status('1.2.3.3')]).toEqual([0xa700, 0xa700]);
    gateway.store.begin = begin;
    expect(await status('1.2.3.2')).toBe(0);
    peer.send(releaseRequest);
    await peer.ended();
  } finally { await second.stop(); }
});
