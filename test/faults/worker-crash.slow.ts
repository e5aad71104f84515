/**
 * kill -9 at every step between the images and the delivered report: analysis, report and each delivery are taken up again by the next worker, and
 * receivers have everything once. A dead worker is noticed by its missing heartbeat, so this takes minutes: `npm run test:crash` runs it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seedSampleHospital } from '../../src/db/seed.ts';
import { startHospital, type Hospital } from '../../src/simulator/hospital.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/gateway.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { anOrder, smallStudy, somebody } from '../support/journey.ts';

const POINTS = ['analyze.started', 'analyze.finished', 'analyze.beforeCommit', 'report.beforeCommit', 'deliver.begun', 'deliver.sent', 'deliver.beforeCommit'];

let db: TestDatabase;
let home: string;
let hospital: Hospital;
const start = (environment: Readonly<Record<string, string>>): Promise<GatewayProcess> => startGatewayProcess({
  DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_QUIET_SECONDS: '0.2', MEDSCAN_RETRY_SECONDS: '0.3', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'), ...environment,
});
const study = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber });

beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-worker-crash-'));
  const gateway = await start({ MEDSCAN_ROLES: 'gateway' });
  hospital = await startHospital({ gateway: { host: '127.0.0.1', dicomPort: gateway.ports.dicom, hl7Port: gateway.ports.hl7 } });
  await seedSampleHospital(db.database, db.keys, { pacs: hospital.pacs.port, ris: hospital.ris.port, emr: hospital.emr.port });
  await eventually(async () => (await hospital.ris.register(somebody())).code === 'AA', 10_000);
  expect((await hospital.pacs.store(study.objects)).every((answer) => answer.status === 0)).toBe(true);
  await gateway.stop();
});
afterAll(async () => {
  await hospital?.stop();
  await db?.drop();
  if (home) await rm(home, { recursive: true, force: true });
});

test('a worker killed at each of its steps loses nothing and doubles nothing', async () => {
  for (const point of POINTS) {
    const started = performance.now();
    expect(await howItEnds(point), `the worker passes ${point}`).toBe('SIGKILL');
    console.log(`killed at ${point}, ${((performance.now() - started) / 1000).toFixed(1)} s after its start`);
  }
  const last = await start({ MEDSCAN_ROLES: 'worker' });
  await eventually(async () => (await db.asOwner("SELECT FROM deliveries WHERE status = 'delivered'")).length === 3, 120_000).finally(() => last.stop());

  expect(await db.asOwner('SELECT status FROM ai_analyses')).toEqual([{ status: 'completed' }]);
  expect(await db.asOwner('SELECT version FROM reports')).toEqual([{ version: 1 }]);
  expect(await db.asOwner('SELECT analysis_id, location, count(*) FROM findings GROUP BY 1, 2 HAVING count(*) > 1')).toEqual([]);
  expect(hospital.emr.list('DiagnosticReport')).toMatchObject([{ meta: { versionId: '1' } }]);
  expect(new Set(hospital.ris.received.items.map((received) => received.controlId)).size).toBe(1);
  expect(new Set(hospital.pacs.received.items.map((object) => object.sopInstanceUid)).size).toBe(1);
  expect(await db.asOwner("SELECT FROM sync_logs WHERE message_status = 'sending'")).toEqual([]);
  const [outbound] = await db.asOwner<{ unconfirmed: number; delivered: number }>("SELECT count(*) FILTER (WHERE message_status = 'unconfirmed')::int AS unconfirmed, count(*) FILTER (WHERE message_status = 'delivered')::int AS delivered FROM sync_logs WHERE direction = 'outbound'");
  expect(outbound!.delivered).toBe(3);
  console.log(`worker: ${POINTS.length} kills; lost 0, doubled 0; ${outbound!.unconfirmed} attempts of dead workers on record as unconfirmed`);
}, 900_000);

/** Jobs are taken up while the worker is still starting, so it may be dead before it is ready. */
async function howItEnds(point: string): Promise<string> {
  const worker = await start({ MEDSCAN_ROLES: 'worker', MEDSCAN_FAILPOINTS: point }).catch((error: Error) => {
    if (error.message.includes('ended (SIGKILL)')) return undefined;
    throw error;
  });
  if (!worker) return 'SIGKILL';
  const how = await Promise.race([worker.ended, new Promise<string>((resolve) => { setTimeout(resolve, 90_000, 'alive'); })]);
  if (how === 'alive') await worker.stop();
  return how;
}
