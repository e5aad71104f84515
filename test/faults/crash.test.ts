/**
 * kill -9 at every step of the write path, with the sender's ledger as the judge. Each round arms one failpoint, sends until the gateway
 * dies, and starts it again. At the end everything is sent once more and compared:
 *   lost      what the sender was told is stored, and is not there            must be 0
 *   doubled   one message with more than one effect                           must be 0
 *   partial   a file without a row, or a row without its file, in use         must be 0
 * MEDSCAN_CRASH_ROUNDS sets the rounds per failpoint (2 here; `npm run test:crash` makes 20).
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { recoverObjects } from '../../src/pipeline/index.ts';
import { Ledger, readLedger, sha256Of } from '../../src/simulator/ledger.ts';
import { Ris } from '../../src/simulator/ris.ts';
import { storeObjects } from '../../src/simulator/store-scu.ts';
import type { SendableObject } from '../../src/simulator/part10-file.ts';
import { openObjectStore } from '../../src/storage/object-store.ts';
import { uidOfUuid } from '#standards/dicom/uids.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { insertIntegration } from '../support/pipeline.ts';

const ROUNDS = Number(process.env['MEDSCAN_CRASH_ROUNDS'] ?? 2);
const TIMEOUT = 60_000 + ROUNDS * 60_000;
const STORE_POINTS = ['cstore.accepted', 'cstore.midPdv', 'store.beforeRename', 'store.beforeFsync', 'store.afterFsync', 'store.afterDirectoryFsync',
  'persist.beforeBegin', 'persist.beforeCommit', 'persist.afterCommit', 'cstore.beforeAnswer'];
const HL7_POINTS = ['hl7.midFrame', 'persist.beforeBegin', 'persist.beforeCommit', 'persist.afterCommit', 'hl7.beforeAck', 'hl7.afterAck'];

let db: TestDatabase;
let home: string;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-crash-'));
  await insertIntegration(db, 'Crash Hospital', 'PACS', 'dicom-dimse');
  await insertIntegration(db, 'Crash Hospital', 'RIS', 'hl7v2-mllp');
});
afterAll(async () => {
  await db.drop();
  await rm(home, { recursive: true, force: true });
});

const start = (failpoints?: string): Promise<GatewayProcess> => startGatewayProcess({
  DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'), ...(failpoints ? { MEDSCAN_FAILPOINTS: failpoints } : {}),
});
const studyUid = uidOfUuid(randomUUID());

function newObject(index: number): SendableObject {
  const sopInstanceUid = uidOfUuid(randomUUID());
  const sopClassUid = '1.2.840.10008.5.1.4.1.1.7';
  const dataset = encodeDataset({
    '(0008,0016)': sopClassUid, '(0008,0018)': sopInstanceUid, '(0008,0060)': 'OT', '(0010,0010)': 'CRASH^TEST', '(0010,0020)': 'CRASH-1',
    '(0020,000D)': studyUid, '(0020,000E)': `${studyUid}.1`, '(0020,0013)': index, '(7FE0,0010)': { vr: 'OB', value: Buffer.alloc(40_000, index) },
  });
  return { sopClassUid, sopInstanceUid, transferSyntaxUid: '1.2.840.10008.1.2.1', dataset };
}

test('C-STORE: nothing that was answered with success is lost, nothing is stored twice', async () => {
  const ledgerFile = path.join(home, 'c-store.ledger');
  const ledger = new Ledger(ledgerFile);
  const objects: SendableObject[] = [];
  let kills = 0;
  const send = (gateway: GatewayProcess, batch: readonly SendableObject[]) => storeObjects(batch, { host: '127.0.0.1', port: gateway.ports.dicom, callingAeTitle: 'CRASH', calledAeTitle: 'MEDSCAN' }, {
    answered: ({ sopInstanceUid, status }) => {
      const object = batch.find((candidate) => candidate.sopInstanceUid === sopInstanceUid)!;
      ledger.append({ id: sopInstanceUid, sha256: sha256Of(object.dataset), told: status === 0 ? 'accepted' : status === undefined ? 'nothing' : 'refused', code: String(status), at: new Date().toISOString() });
    },
  });
  for (const point of STORE_POINTS) {
    for (let round = 1; round <= ROUNDS; round++) {
      const batch = Array.from({ length: 3 }, (_, index) => newObject(objects.length + index));
      objects.push(...batch);
      // After a start the first instance of a study goes through the transaction that has this point; the others take one statement.
      const gateway = await start(`${point}@${point === 'persist.beforeCommit' ? 1 : 1 + (round % 3)}`);
      await send(gateway, batch);
      kills += await wasKilled(gateway) ? 1 : 0;
    }
  }
  expect(kills, 'every round ends in a kill').toBe(STORE_POINTS.length * ROUNDS);

  const told = readLedger(ledgerFile).filter((entry) => entry.told === 'accepted');
  const stored = await db.asOwner<{ sop_instance_uid: string; sha256: string; storage_location: string; dataset_offset: number }>('SELECT sop_instance_uid, sha256, storage_location, dataset_offset FROM scan_files');
  const lost = told.filter((entry) => !stored.some((row) => row.sop_instance_uid === entry.id && row.sha256 === entry.sha256));
  expect(lost).toEqual([]);

  const gateway = await start();
  const again = await send(gateway, objects);
  await gateway.stop();
  expect(again.filter((answer) => answer.status !== 0)).toEqual([]);
  ledger.close();

  const rows = await db.asOwner<{ sop_instance_uid: string; sha256: string; storage_location: string; dataset_offset: number }>('SELECT sop_instance_uid, sha256, storage_location, dataset_offset FROM scan_files');
  expect(rows).toHaveLength(objects.length);
  expect(new Set(rows.map((row) => row.sop_instance_uid)).size).toBe(objects.length);
  for (const row of rows) {
    const file = await readFile(path.join(home, 'storage', row.storage_location));
    expect(createHash('sha256').update(file.subarray(row.dataset_offset)).digest('hex')).toBe(row.sha256);
  }
  expect(await db.asOwner('SELECT instance_count FROM scans')).toEqual([{ instance_count: objects.length }]);
  const store = await openObjectStore(path.join(home, 'storage'));
  await store.removeUnfinished();
  const recovered = await recoverObjects({ database: db.database, store, log: createLog({ logLevel: 'silent' }), minimumAgeMilliseconds: 0 });
  expect(recovered.missing).toBe(0);
  expect((await store.newestHours(2)).flatMap((hour) => hour.locations).toSorted()).toEqual(rows.map((row) => row.storage_location).toSorted());
  console.log(`C-STORE: ${kills} kills at ${STORE_POINTS.length} failpoints, ${objects.length} objects, ${told.length} acknowledged before a kill; lost 0, doubled 0; ${recovered.setAside} unreferenced files set aside`);
}, TIMEOUT * 3);

test('HL7 v2: no acknowledged message is lost, none has a second effect', async () => {
  const ledgerFile = path.join(home, 'hl7.ledger');
  const ledger = new Ledger(ledgerFile);
  const messages: { id: string; bytes: Buffer }[] = [];
  let kills = 0;
  const send = async (gateway: GatewayProcess, batch: readonly { id: string; bytes: Buffer }[]): Promise<(string | undefined)[]> => {
    const ris = await Ris.start({ gateway: { host: '127.0.0.1', port: gateway.ports.hl7 }, ledger });
    const codes: (string | undefined)[] = [];
    for (const message of batch) codes.push((await ris.send(message.bytes, 5_000)).code);
    await ris.stop();
    return codes;
  };
  for (const point of HL7_POINTS) {
    for (let round = 1; round <= ROUNDS; round++) {
      const batch = [1, 2, 3].map((index) => newMessage(messages.length + index, point === 'hl7.midFrame' ? 300_000 : 0));
      messages.push(...batch);
      const gateway = await start(`${point}@${1 + (round % 3)}`);
      await send(gateway, batch);
      kills += await wasKilled(gateway) ? 1 : 0;
    }
  }
  expect(kills, 'every round ends in a kill').toBe(HL7_POINTS.length * ROUNDS);
  const told = readLedger(ledgerFile).filter((entry) => entry.told === 'accepted');
  const known = new Set((await db.asOwner<{ control_id: string }>('SELECT control_id FROM message_identities')).map((row) => row.control_id));
  expect(told.filter((entry) => !known.has(entry.id))).toEqual([]);

  const gateway = await start();
  const again = await send(gateway, messages);
  await gateway.stop();
  ledger.close();
  expect(again.every((code) => code === 'AA')).toBe(true);
  expect(await db.asOwner("SELECT count(*)::int AS patients FROM patients WHERE patient_number LIKE 'H%'")).toEqual([{ patients: messages.length }]);
  const effects = await db.asOwner<{ control_id: string; effects: number }>("SELECT control_id, count(*)::int AS effects FROM sync_logs WHERE adapter = 'hl7v2-mllp' AND message_status = 'accepted' GROUP BY 1 HAVING count(*) > 1");
  expect(effects).toEqual([]);
  console.log(`HL7 v2: ${kills} kills at ${HL7_POINTS.length} failpoints, ${messages.length} messages, ${told.length} acknowledged before a kill; lost 0, doubled 0`);
}, TIMEOUT * 3);

/** Only a round that fails waits for long. */
async function wasKilled(gateway: GatewayProcess): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const alive = new Promise<string>((resolve) => { timer = setTimeout(resolve, 15_000, 'alive'); });
  const how = await Promise.race([gateway.ended, alive]).finally(() => { clearTimeout(timer); });
  if (how === 'alive') await gateway.stop();
  return how === 'SIGKILL';
}

/** `padding` bytes make the frame arrive in several pieces. */
function newMessage(index: number, padding: number): { id: string; bytes: Buffer } {
  const id = `CRASH${String(index).padStart(6, '0')}`;
  return { id, bytes: Buffer.from(['MSH|^~\\&|RIS|CRASH|MEDSCAN|CRASH|20260101120000||ADT^A04^ADT_A01|' + id + '|P|2.5.1', 'EVN|A04|20260101120000', `PID|1||H${index}^^^HOSP^MR||Crash^Test||19800101|F`, `NTE|1||${'x'.repeat(padding)}`, ''].join('\r')) };
}
