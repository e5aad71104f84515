/**
 * kill -9 at every step of a FHIR transaction. Each round arms one failpoint, sends a transaction of a patient, an order and a condition until the gateway
 * dies, and looks: all of it or nothing is there, and what was answered is all there. Then everything is sent once more: nothing is there twice.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';

/** The second and third time a point is passed is in the midst of the transaction: one pass an entry. */
const POINTS = ['persist.beforeBegin@1', 'persist.beforeCommit@2', 'persist.afterCommit@3', 'writes.beforeCommit', 'writes.afterCommit'];
const MUST_BE_THERE = new Set(['writes.afterCommit']);

let db: TestDatabase, home: string, token: string;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-fhir-crash-'));
  await insertIntegration(db, 'Crash Hospital', 'EMR', 'fhir-rest');
  ({ token } = await createApiToken(db.database, { organizationName: 'Crash Hospital', role: 'service', name: 'EMR' }));
});
afterAll(async () => {
  await db.drop();
  await rm(home, { recursive: true, force: true });
});

const start = (failpoints?: string): Promise<GatewayProcess> => startGatewayProcess({
  DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway,api', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'), ...(failpoints ? { MEDSCAN_FAILPOINTS: failpoints } : {}),
});

function bundle(number: number): object {
  const about = { reference: 'urn:uuid:00000000-0000-4000-8000-000000000001' }, typed = (code: string): object => ({ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code }] });
  const post = (resource: { resourceType: string }): object => ({ resource, request: { method: 'POST', url: resource.resourceType } });
  const clinicalStatus = { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-clinical', code: 'active' }] };
  return {
    resourceType: 'Bundle', type: 'transaction', entry: [
      { ...post({ resourceType: 'Patient', identifier: [{ system: 'urn:oid:1.2.3', value: `F${number}` }] } as never), fullUrl: about.reference },
      post({ resourceType: 'ServiceRequest', status: 'active', intent: 'order', subject: about, identifier: [{ value: `A${number}`, type: typed('ACSN') }] } as never),
      post({ resourceType: 'Condition', clinicalStatus, code: { text: `C${number}` }, subject: about } as never),
    ],
  };
}
/** Undefined: the connection ended without an answer. */
async function send(gateway: GatewayProcess, number: number): Promise<number | undefined> {
  return fetch(`http://127.0.0.1:${gateway.ports.http}/fhir/r4`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' }, body: JSON.stringify(bundle(number)) }).then(({ status }) => status, () => undefined);
}
const there = async (number: number): Promise<number[]> => {
  const [row] = await db.asOwner<{ counts: number[] }>(`SELECT ARRAY[(SELECT count(*) FROM patients WHERE patient_number = $1)::int, (SELECT count(*) FROM scans WHERE accession_number = $2)::int,
    (SELECT count(*) FROM patient_medical_history WHERE display = $3)::int] AS counts`, [`F${number}`, `A${number}`, `C${number}`]);
  return row!.counts;
};

test('a transaction is there as a whole or not at all, wherever the gateway dies, and sent again it is there once', async () => {
  for (const [number, point] of POINTS.entries()) {
    const gateway = await start(point);
    const status = await send(gateway, number);
    expect([point, await gateway.ended, status]).toEqual([point, 'SIGKILL', undefined]);
    const counts = await there(number);
    expect([point, counts]).toEqual([point, MUST_BE_THERE.has(point) ? [1, 1, 1] : [0, 0, 0]]);
  }
  const gateway = await start();
  for (const [number, point] of POINTS.entries()) {
    expect([point, await send(gateway, number), await there(number)]).toEqual([point, 200, [1, 1, 1]]);
    expect([point, await send(gateway, number), await there(number)]).toEqual([point, 200, [1, 1, 1]]);
  }
  await gateway.stop();
}, 120_000);
