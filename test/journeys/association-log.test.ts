/** What an administrator sees of DICOM associations, after the fact: at the command line and by the API. A full queue is one of the reasons. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BytePeer, associateRequest, releaseRequest } from '#adapters/dicom-dimse/testing/peer.ts';
import { eventually } from '../support/gateway.ts';
import { apiClient, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { startGatewayProcess } from '../support/gateway-process.ts';
import { testDatabase } from '../support/database.ts';
import { insertIntegration } from '../support/pipeline.ts';

let journey: Journey, organization: string;
beforeAll(async () => {
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '300' });
  const { gateway, hospital: { pacs } } = journey;
  [{ name: organization }] = await gateway.db.asOwner<{ name: string }>("SELECT o.name FROM organizations o JOIN external_integrations i USING (organization_id) WHERE i.name = 'PACS'") as [{ name: string }];
  const study = smallStudy({ patient: somebody(), accessionNumber: 'LOG-1' });
  await pacs.store(study.objects);
  for (let round = 0; round < 3; round++) {
    const peer = await BytePeer.connect(gateway.ports.dicom!);
    peer.send(associateRequest({ called: 'NOBODY', calling: 'LOST' }));
    await peer.ended();
  }
});
afterAll(() => journey?.stop());

interface Listed { association_id: string; calling_ae_title: string; outcome: string; rejection: string | null; objects: Record<string, number>; advice: string | null; bytes_received: number }

test('the API lists the organization\'s associations with what was moved, and shows one with everything that was offered', async () => {
  const api = await apiClient(journey.gateway, organization, 'technician');
  const [item] = await eventually(async () => { const { items } = (await api('GET', '/api/v1/associations?calling_ae_title=NORTHPACS')).body as { items: Listed[] }; return items.length > 0 && items; });
  expect(item).toMatchObject({ outcome: 'released', objects: { accepted: 8 }, integration_name: 'PACS', requests: { 'C-STORE': 8 } });
  expect(item!.bytes_received).toBeGreaterThan(8 * 80 * 80 * 2);
  const one = (await api('GET', `/api/v1/associations/${item!.association_id}`)).body as { contexts: { result: number; transfer_syntax: string }[] };
  expect(one.contexts[0]).toMatchObject({ result: 0, transfer_syntax: '1.2.840.10008.1.2.1' });
  expect((await api('GET', '/api/v1/associations?outcome=rejected')).body).toMatchObject({ items: [] });
});

test('callers that nobody claims are under Unassigned, a burst of them once', async () => {
  const rows = await eventually(async () => {
    const found = await journey.gateway.db.asOwner<{ organization: string; rejection: string; reason: string; advice: string }>("SELECT o.name AS organization, rejection, reason, advice FROM association_logs JOIN organizations o USING (organization_id) WHERE calling_ae_title = 'LOST'");
    return found.length > 0 && found;
  });
  expect(rows).toEqual([{ organization: 'Unassigned', rejection: '1/1/7', reason: expect.stringContaining('no integration is called NOBODY'), advice: expect.stringContaining('called_ae_title') }]);
  expect(await journey.gateway.db.asOwner("SELECT FROM sync_logs WHERE interaction = 'A-ASSOCIATE' AND peer_application = 'LOST'")).toHaveLength(1);
});

test('the command line shows who was refused, why and what to do, and one association with its contexts', async () => {
  const medscan = async (...words: string[]): Promise<string> => (await promisify(execFile)(process.execPath, [path.join(import.meta.dirname, '../../bin/medscan.mjs'), ...words], {
    env: { PATH: process.env['PATH'], DATABASE_URL: journey.gateway.db.ownerUrl, MEDSCAN_HOME: journey.gateway.home, MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') },
  })).stdout;
  const refused = await medscan('association', 'list', '--refused');
  expect(refused).toMatch(/LOST +NOBODY .* rejected 1\/1\/7 +no integration is called NOBODY.*called_ae_title/);
  expect(refused).not.toContain('NORTHPACS');
  const [row] = await journey.gateway.db.asOwner<{ association_id: string }>("SELECT association_id FROM association_logs WHERE calling_ae_title = 'NORTHPACS'");
  expect(await medscan('association', 'show', row!.association_id)).toMatch(/CT Image Storage +accepted +\[Explicit VR Little Endian\]/);
  const statement = await medscan('conformance', 'dicom', '--organization', organization);
  expect(statement).toMatch(/^# DICOM conformance statement: MedScan Gateway \d/);
  expect(statement).toContain('MEDSCAN (PACS)');
});

test('with more jobs waiting than MEDSCAN_QUEUE_LIMIT new images are rejected for now, with the reason on record', async () => {
  const db = await testDatabase();
  await insertIntegration(db, 'Busy Hospital', 'PACS', 'dicom-dimse');
  const gateway = await startGatewayProcess({ DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: path.join(journey.gateway.home, 'second'), MEDSCAN_ROLES: 'gateway', MEDSCAN_QUEUE_LIMIT: '3', MEDSCAN_DICOM_PDU_BYTES: '32768', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') });
  try {
    const accepted = await eventually(async () => {
      const peer = await BytePeer.connect(gateway.ports.dicom);
      peer.send(associateRequest());
      const pdu = await peer.read();
      peer.close();
      return pdu?.type === 2 && pdu;
    });
    expect(accepted.body.readUInt32BE(accepted.body.indexOf(Buffer.from([0x51, 0, 0, 4])) + 4), 'MEDSCAN_DICOM_PDU_BYTES').toBe(32_768);
    await db.asOwner("INSERT INTO pgboss.job (name, data) SELECT 'analyze', '{}' FROM generate_series(1, 4)");
    const answer = await eventually(async () => {
      const peer = await BytePeer.connect(gateway.ports.dicom);
      peer.send(associateRequest({ calling: 'BUSY' }));
      const pdu = await peer.read();
      if (pdu?.type === 2) peer.send(releaseRequest);
      await peer.ended();
      return pdu?.type === 3 && pdu.body[1] === 2 && pdu;
    });
    expect([...answer.body.subarray(1)]).toEqual([2, 3, 1]);
    await db.asOwner('DELETE FROM pgboss.job');
    await eventually(async () => {
      const peer = await BytePeer.connect(gateway.ports.dicom);
      peer.send(associateRequest({ calling: 'BUSY' }));
      const pdu = await peer.read();
      peer.close();
      return pdu?.type === 2;
    });
    const reason = await eventually(async () => (await db.asOwner<{ reason: string }>("SELECT reason FROM association_logs WHERE rejection = '2/3/1'"))[0]?.reason);
    expect(reason).toBe('more than 3 jobs wait for the workers (MEDSCAN_QUEUE_LIMIT): no new images are taken');
  } finally {
    await gateway.stop();
    await db.drop();
  }
});
