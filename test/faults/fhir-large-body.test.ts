/** Bodies of 10 MB into a gateway process of its own: each is committed, and the process does not grow with their number. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';

const BODY_BYTES = 10_000_000, WARM = 4, MORE = 8, MOST_GROWTH_MEBIBYTES = 96;
let db: TestDatabase, home: string, gateway: GatewayProcess, token: string;

beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-large-body-'));
  const { integrationId } = await insertIntegration(db, 'North', 'EMR', 'fhir-rest');
  await db.asOwner('UPDATE external_integrations SET settings = $2 WHERE integration_id = $1', [integrationId, JSON.stringify({ maximum_body_bytes: 16 * 1024 * 1024 })]);
  token = (await createApiToken(db.database, { organizationName: 'North', role: 'service', name: 'EMR', scopes: undefined })).token;
  gateway = await startGatewayProcess({ DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'api', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') });
});
afterAll(async () => {
  await gateway?.stop();
  await db?.drop();
  if (home) await rm(home, { recursive: true, force: true });
});

async function send(n: number, byteLength = BODY_BYTES): Promise<number> {
  const body = JSON.stringify({ resourceType: 'Patient', identifier: [{ system: 'urn:large', value: `L-${n}` }], name: [{ family: 'Large' }], photo: [{ contentType: 'image/png', data: Buffer.alloc(Math.floor(byteLength / 4) * 3 - 300, n).toString('base64') }] });
  const response = await fetch(`http://127.0.0.1:${gateway.ports.http}/fhir/r4/Patient`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json', prefer: 'return=minimal' }, body });
  await response.arrayBuffer();
  return response.status;
}
/** Linux tells it; elsewhere the growth is not judged. */
async function residentMebibytes(): Promise<number> {
  const status = await readFile(`/proc/${gateway.child.pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
}

test('ten megabytes at a time, committed each, at flat memory; more than the setting allows is 413', async () => {
  for (let n = 1; n <= WARM; n += 1) expect(await send(n)).toBe(201);
  const before = await residentMebibytes();
  for (let n = WARM + 1; n <= WARM + MORE; n += 1) expect(await send(n)).toBe(201);
  const after = await residentMebibytes();
  process.stdout.write(`bodies of 10 MB: ${before.toFixed(0)} MiB resident after ${WARM}, ${after.toFixed(0)} MiB after ${WARM + MORE}\n`);
  expect(after - before).toBeLessThan(MOST_GROWTH_MEBIBYTES);
  expect(await db.asOwner('SELECT count(*)::int AS n FROM patients')).toEqual([{ n: WARM + MORE }]);
  expect(await send(99, 17 * 1024 * 1024)).toBe(413);
}, 180_000);
