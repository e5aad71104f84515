/** A sender that is slower than the quiet time: its association is open, so the study is completed, analysed and reported once, when it ends. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BytePeer, ctDataset, pdu, releaseRequest, storePdus } from '../../adapters/dicom-dimse/testing/peer.ts';
import { eventually } from '../support/gateway.ts';
import { passQuietTime, scanOf, startJourney, type Journey } from '../support/journey.ts';

const study = '1.2.3.1';
let journey: Journey;
beforeAll(async () => { journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '8' }); });
afterAll(() => journey?.stop());

const arrivals = () => journey.gateway.db.asOwner<{ state: string }>('SELECT state FROM scan_arrivals');
const scan = () => scanOf(journey.gateway, study);
async function stores(peer: BytePeer, image: string, messageId: number): Promise<void> {
  peer.send(storePdus(image, ctDataset(image), { messageId }));
  expect(await peer.readResponse()).toMatchObject({ status: 0 });
}

test('waits for the association, with the sender\'s name in words, and is complete once', async () => {
  const peer = await BytePeer.associate(journey.gateway.ports.dicom!, { calling: 'SLOWCT' });
  await stores(peer, '1.2.3.1.1.1', 1);
  await eventually(async () => (await arrivals()).some(({ state }) => state === 'open'));
  await passQuietTime(journey.gateway);
  await eventually(async () => (await scan()).why_waiting?.startsWith('SLOWCT is still connected'));
  await stores(peer, '1.2.3.1.1.2', 2);
  peer.send(releaseRequest);
  await peer.ended();
  await eventually(async () => (await arrivals()).length === 0);
  await passQuietTime(journey.gateway);
  expect(await eventually(async () => { const row = await scan(); return row.images_complete_at !== null && row; })).toMatchObject({ completion_run: 1, instance_count: 2, completeness_proof: 'quiet_time' });
});

test('gives a sender whose connection broke off the time to come again', async () => {
  const peer = await BytePeer.associate(journey.gateway.ports.dicom!, { calling: 'SLOWCT' });
  await stores(peer, '1.2.3.1.1.3', 1);
  peer.send(pdu(7, Buffer.alloc(4)));
  await eventually(async () => (await arrivals()).some(({ state }) => state === 'broken'));
  await passQuietTime(journey.gateway);
  expect(await eventually(async () => { const row = await scan(); return row.images_complete_at !== null && row; })).toMatchObject({ completion_run: 2, instance_count: 3 });
});
