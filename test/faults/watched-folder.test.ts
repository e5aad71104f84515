/**
 * kill -9 while a watched folder is worked on: after the commit and before the answer, after the answer and before the file moves, inside the
 * transaction. After a restart every file has been taken once, with one answer and one effect, and none is left.
 */
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/gateway.ts';
import { startGatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';

const POINTS = ['persist.beforeCommit', 'persist.afterCommit', 'folder.committed', 'folder.answered'];

let db: TestDatabase;
let home: string;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-folder-crash-'));
  const { integrationId } = await insertIntegration(db, 'Folder Hospital', 'RIS', 'hl7v2-mllp');
  await db.asOwner('UPDATE external_integrations SET settings = $2 WHERE integration_id = $1', [integrationId, JSON.stringify({ folder: 'ris' })]);
  await mkdir(path.join(home, 'folders/ris'), { recursive: true });
});
afterAll(async () => {
  await db.drop();
  await rm(home, { recursive: true, force: true });
});

const start = (failpoints?: string) => startGatewayProcess({
  DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway', MEDSCAN_FOLDERS: path.join(home, 'folders'), MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'),
  ...(failpoints ? { MEDSCAN_FAILPOINTS: failpoints } : {}),
});
const message = (id: string): string => [`MSH|^~\\&|RIS|CRASH|MEDSCAN|CRASH|20260101120000||ADT^A04^ADT_A01|${id}|P|2.5.1`, 'EVN|A04|20260101120000', `PID|1||${id}^^^HOSP^MR||Crash^Test||19800101|F`, ''].join('\r');

test('no file is lost and none has a second effect', async () => {
  const inbox = path.join(home, 'folders/ris');
  for (const point of POINTS) {
    for (const nth of [1, 2]) {
      const gateway = await start(`${point}@${nth}`);
      for (const index of [1, 2]) {
        const name = `${point}-${nth}-${index}.hl7`;
        await writeFile(path.join(inbox, `${name}.tmp`), message(`${point.replace('.', '-')}-${nth}-${index}`));
        await rename(path.join(inbox, `${name}.tmp`), path.join(inbox, name));
      }
      expect(await gateway.ended, `${point}@${nth}`).toBe('SIGKILL');
    }
  }
  const gateway = await start();
  const files = POINTS.length * 2 * 2;
  await eventually(async () => (await readdir(path.join(inbox, 'done'))).length === files, 40_000);
  await gateway.stop();
  expect((await readdir(inbox)).filter((name) => name.endsWith('.hl7'))).toEqual([]);
  expect(await readdir(path.join(inbox, 'refused'))).toEqual([]);
  const answers = (await readdir(inbox)).filter((name) => name.endsWith('.hl7.ack'));
  expect(answers).toHaveLength(files);
  for (const name of answers) expect(await readFile(path.join(inbox, name), 'utf8')).toMatch(/\rMSA\|AA\|/);
  expect(await db.asOwner("SELECT count(*)::int AS patients FROM patients")).toEqual([{ patients: files }]);
  expect(await db.asOwner("SELECT control_id FROM sync_logs WHERE message_status = 'accepted' GROUP BY 1 HAVING count(*) > 1")).toEqual([]);
  expect(await db.asOwner("SELECT count(*)::int AS accepted FROM sync_logs WHERE message_status = 'accepted'")).toEqual([{ accepted: files }]);
}, 240_000);
