/**
 * "CA was sent while the message was only in RAM." Here a sender that was told yes finds its message after kill -9, whichever word of yes it was
 * told; and what was told nothing may be sent again and has one effect. Our own results: one that nobody acknowledged is not called delivered.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { MllpSender } from '../support/mllp-sender.ts';
import { insertIntegration } from '../support/pipeline.ts';

let db: TestDatabase;
let home: string;
beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-durable-'));
  const { integrationId } = await insertIntegration(db, 'Durable Hospital', 'RIS', 'hl7v2-mllp');
  await db.asOwner('UPDATE external_integrations SET settings = $2 WHERE integration_id = $1', [integrationId, JSON.stringify({ acknowledgment: 'enhanced' })]);
});
afterAll(async () => { await db?.drop(); await rm(home, { recursive: true, force: true }); });

const start = (failpoints?: string): Promise<GatewayProcess> => startGatewayProcess({
  DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_ROLES: 'gateway', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex'), ...(failpoints ? { MEDSCAN_FAILPOINTS: failpoints } : {}),
});
const message = (id: string, accept: 'AL' | ''): string => [`MSH|^~\\&|RIS|X|||20260101||ADT^A04|${id}|P|2.5.1|||${accept}|${accept && 'NE'}`, `PID|1||${id}^^^HOSP^MR||Name^${id}`, ''].join('\r');
const known = async (id: string): Promise<number> => (await db.asOwner('SELECT FROM patients WHERE patient_number = $1', [id])).length;

test.each([['AA', ''], ['CA', 'AL']] as const)('what was told %s is there after kill -9; what was told nothing is not half there', async (code, accept) => {
  const before = await start('hl7.afterAck@1');
  const sender = await MllpSender.connect(before.ports.hl7);
  expect(await sender.send(message(`T${code}`, accept))).toContain(`MSA|${code}|T${code}`);
  expect(await before.ended).toBe('SIGKILL');
  expect(await known(`T${code}`)).toBe(1);

  for (const [point, kept] of [['persist.beforeCommit', 0], ['hl7.beforeAck', 1]] as const) {
    const dying = await start(`${point}@1`);
    const unlucky = await MllpSender.connect(dying.ports.hl7);
    const id = `N${code}${kept}`;
    await expect(unlucky.send(message(id, accept)), 'no answer').rejects.toThrow('without an answer');
    expect(await dying.ended).toBe('SIGKILL');
    expect(await known(id)).toBe(kept);
    const again = await start();
    const patient = await MllpSender.connect(again.ports.hl7);
    expect(await patient.send(message(id, accept))).toContain(`MSA|${code}|${id}`);
    patient.close();
    await again.stop();
    expect(await known(id)).toBe(1);
    expect(await db.asOwner("SELECT FROM sync_logs WHERE control_id = $1 AND message_status = 'accepted'", [id]), 'one effect').toHaveLength(1);
  }
}, 120_000);
