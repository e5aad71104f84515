/**
 * kill -9 at the steps of a STOW-RS request: the sender was told nothing, or what it was told is there; the same request again is answered 200 and
 * every instance is there once, with its bytes.
 */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DicomwebTestClient } from '../../adapters/dicomweb/testing/client.ts';
import { object, root } from '../../adapters/dicomweb/testing/objects.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';

const POINTS = ['stow.accepted', 'store.beforeFsync', 'store.afterFsync', 'store.beforeRename', 'persist.beforeBegin', 'persist.beforeCommit', 'persist.afterCommit'];
const ROUNDS = Number(process.env['MEDSCAN_CRASH_ROUNDS'] ?? 1);

let db: TestDatabase, home: string, token: string;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-stow-crash-'));
  await insertIntegration(db, 'Crash Hospital', 'VNA', 'dicomweb');
  ({ token } = await createApiToken(db.database, { organizationName: 'Crash Hospital', role: 'service', name: 'sender' }));
});
afterAll(async () => {
  await db?.drop();
  await rm(home, { recursive: true, force: true });
});
const start = (failpoints?: string): Promise<GatewayProcess> => startGatewayProcess({ DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway,api', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'), ...(failpoints ? { MEDSCAN_FAILPOINTS: failpoints } : {}) });

test('STOW-RS: nothing that was answered is lost, nothing is stored twice', async () => {
  const requests: ReturnType<typeof object>[][] = [];
  let kills = 0;
  for (const point of POINTS) {
    for (let round = 0; round < ROUNDS; round++) {
      const number = requests.length, study = `${root}.77.${number}`;
      const files = [1, 2].map((index) => object({ '(0008,0018)': `${study}.1.${index}`, '(0020,000D)': study, '(0020,000E)': `${study}.1`, '(0010,0020)': `STOW-${number}` }, { pixelData: Buffer.alloc(0) }));
      requests.push(files);
      const gateway = await start(`${point}@1`);
      const answer = await new DicomwebTestClient(gateway.ports.http, token).store(files.map(({ file }) => file)).catch(() => undefined);
      expect(answer, `${point}: an answer although the process was killed`).toBeUndefined();
      expect(await gateway.ended, point).toBe('SIGKILL');
      kills += 1;
    }
  }
  const gateway = await start();
  for (const files of requests) expect((await new DicomwebTestClient(gateway.ports.http, token).store(files.map(({ file }) => file))).status).toBe(200);
  await gateway.stop();
  const rows = await db.asOwner<{ sop_instance_uid: string; sha256: string; storage_location: string; dataset_offset: number }>('SELECT sop_instance_uid, sha256, storage_location, dataset_offset FROM scan_files');
  expect(rows.map((row) => row.sop_instance_uid).toSorted()).toEqual(requests.flat().map(({ sopInstanceUid }) => sopInstanceUid).toSorted());
  for (const row of rows) expect(createHash('sha256').update(readFileSync(path.join(home, 'storage', row.storage_location)).subarray(row.dataset_offset)).digest('hex')).toBe(row.sha256);
  expect(globSync('incoming/*/*', { cwd: path.join(home, 'storage') }), 'unfinished files of killed processes').toEqual([]);
  console.log(`STOW-RS: ${kills} kills at ${POINTS.length} failpoints, ${rows.length} instances; lost 0, doubled 0`);
}, 180_000 + ROUNDS * 60_000);
