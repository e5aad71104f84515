/** A sender that is slower than the quiet time: its association is open, so the study is completed, analysed and reported once, when it ends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import type { Installation } from '../../src/installation.ts';
import { createLog } from '../../src/log.ts';
import { startGateway } from '../../src/main.ts';
import { BytePeer, ctDataset, pdu, releaseRequest, storePdus } from '../../adapters/dicom-dimse/testing/peer.ts';
import { eventually } from '../support/gateway.ts';
import { passQuietTime, scanOf, startJourney, type Journey } from '../support/journey.ts';

const study = '1.2.3.1';
let journey: Journey;
beforeAll(async () => { journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '8' }); });
afterAll(async () => {
  await journey?.hospital.stop();
  await journey?.gateway.stop().catch(() => { /* the last test has stopped it, and dropped its database */ });
});

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
  // It waits for as long as the quiet time, which a machine that stalls may miss.
  await journey.gateway.db.asOwner(`CREATE TABLE seen (state text);
    CREATE FUNCTION note_seen() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO seen VALUES (NEW.state); RETURN NULL; END $$;
    CREATE TRIGGER note_seen AFTER INSERT OR UPDATE ON scan_arrivals FOR EACH ROW EXECUTE FUNCTION note_seen()`);
  const peer = await BytePeer.associate(journey.gateway.ports.dicom!, { calling: 'SLOWCT' });
  await stores(peer, '1.2.3.1.1.3', 1);
  peer.send(pdu(7, Buffer.alloc(4)));
  await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM seen WHERE state = 'broken'")).length > 0);
  await passQuietTime(journey.gateway);
  expect(await eventually(async () => { const row = await scan(); return row.images_complete_at !== null && row; })).toMatchObject({ completion_run: 2, instance_count: 3 });
});

test('after a restart the scan is not completed before its sender could go on, although the quiet time is long over', async () => {
  const { db } = journey.gateway, drop = db.drop, home = await mkdtemp(path.join(tmpdir(), 'medscan-restart-'));
  const peer = await BytePeer.associate(journey.gateway.ports.dicom!, { calling: 'SLOWCT' });
  await stores(peer, '1.2.3.1.1.4', 1);
  Object.assign(db, { drop: async () => { /* the next gateway has it */ } });
  await journey.gateway.stop();
  Object.assign(db, { drop });
  // As if it had been away for hours.
  await db.asOwner("UPDATE scans SET last_instance_at = now() - interval '2 hours'");
  await db.asOwner('DELETE FROM scan_arrivals');
  await db.asOwner("UPDATE pgboss.job SET start_after = now() WHERE name = 'complete-scan' AND state = 'created'");
  const config = loadConfig({ MEDSCAN_HOME: home, MEDSCAN_HTTP_PORT: '0', MEDSCAN_DICOM_PORT: '0', MEDSCAN_HL7_PORT: '0', MEDSCAN_QUIET_SECONDS: '3600', MEDSCAN_STOP_SECONDS: '1' });
  const installation: Installation = { config, log: createLog({ logLevel: 'silent' }), database: db.database, ownerUrl: db.ownerUrl, appUrl: db.appUrl, keys: db.keys, embedded: undefined, migrated: [], close: async () => undefined };
  const again = await startGateway(config, { installation });
  try {
    await eventually(async () => (await scan()).why_waiting?.startsWith('The gateway was started again'));
    expect(await scan()).toMatchObject({ images_complete_at: null, completion_run: 2 });
  } finally {
    await again.stop();
    await db.drop();
    await rm(home, { recursive: true, force: true });
  }
});
