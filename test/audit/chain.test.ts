import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { canonicalColumns, CanonicalRow, sealedColumns } from '../../src/audit/canonical.ts';
import { checkpointKey, writeCheckpoint } from '../../src/audit/checkpoint.ts';
import { auditEvents, type AuditEvent } from '../../src/audit/event.ts';
import { recordAudit, recordAudits } from '../../src/audit/record.ts';
import { sealOrganization, startAuditSealer, type Sweep } from '../../src/audit/seal.ts';
import { verifyAuditChain, type AuditVerification } from '../../src/audit/verify.ts';
import { sql } from '../../src/db/pool.ts';
import { keysFrom } from '../../src/db/secrets.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';

const organizationId = '00000000-0000-0000-0000-000000000000';
const event: AuditEvent = { ...auditEvents.instancesTransferred, action: 'C', outcome: 'success', actor: { kind: 'application', id: 'NORTHPACS', address: '127.0.0.1' }, object: { type: 'scan_file', id: '1' }, detail: { b: 1.10, a: ['é"\\'] } };

let db: TestDatabase;
beforeAll(async () => { db = await testDatabase(); });
afterAll(() => db.drop());
beforeEach(() => db.asOwner('TRUNCATE audit_logs, audit_seals, audit_checkpoints'));

const write = (count: number): Promise<void> => inOrganization(db.database, organizationId, (tx) => recordAudits(tx, Array.from({ length: count }, () => event)));
const seal = (sweep?: Sweep): Promise<number> => sealOrganization(db.database, organizationId, sweep ? { sweep } : {});
const sign = (): Promise<unknown> => inOrganization(db.database, organizationId, (tx) => writeCheckpoint(tx, organizationId, checkpointKey(db.keys)));
const verify = (options: { graceMilliseconds?: number; trustedHead?: { position: number; hash: string } } = {}): Promise<AuditVerification> =>
  inOrganization(db.database, organizationId, (tx) => verifyAuditChain(tx, { publicKey: checkpointKey(db.keys).publicKey, ...options }));
const sequences = async (): Promise<number[]> => (await db.asOwner<{ sequence: string }>('SELECT sequence FROM audit_logs ORDER BY sequence')).map((row) => Number(row.sequence));

/** A sealed and signed log of 50 rows. */
async function sealedLog(): Promise<number[]> {
  await write(50);
  expect(await seal()).toBe(50);
  await sign();
  return sequences();
}

test('an untouched log verifies, and its seals cover every column of the table', async () => {
  await sealedLog();
  expect(await verify({ graceMilliseconds: 0 })).toEqual({ ok: true, rows: 50, unsealed: 0, checkpointPosition: 50, defects: [] });
  const columns = await db.asOwner<{ column_name: string }>('SELECT column_name FROM information_schema.columns WHERE table_name = \'audit_logs\' AND table_schema = current_schema() ORDER BY ordinal_position');
  expect(columns.map((column) => column.column_name)).toEqual([...sealedColumns]);
  const row = await inOrganization(db.database, organizationId, (tx) => tx.one(sql.type(CanonicalRow)`SELECT ${canonicalColumns} FROM audit_logs l ORDER BY sequence LIMIT 1`));
  expect(row.columns.length).toBe(sealedColumns.length);
});

test.each(sealedColumns.filter((column) => !['organization_id', 'audit_id', 'occurred_at'].includes(column)))('a change of %s is found, with the row\'s sequence', async (column) => {
  const rows = await sealedLog();
  const changed = { sequence: '-1', action: '\'D\'', outcome: '\'major_failure\'', actor_kind: '\'user\'', patient_id: 'gen_random_uuid()', sync_id: 'gen_random_uuid()', detail: '\'{"b": 1.1}\'', created_at: 'created_at + interval \'1 microsecond\'' }[column as string] ?? '\'x\'';
  await db.asOwner(`UPDATE audit_logs SET ${column} = ${changed} WHERE sequence = $1`, [rows[20]]);
  const found = await verify();
  expect(found.defects.map(({ kind, sequence, position }) => ({ kind, sequence, position }))).toEqual([{ kind: 'changed', sequence: rows[20], position: 21 }]);
});

test('one flipped byte in each of a hundred random places is found at its place', async () => {
  const rows = await sealedLog();
  for (let round = 0; round < 100; round++) {
    const victim = rows[(round * 37) % rows.length]!;
    await db.asOwner('UPDATE audit_logs SET actor_id = overlay(actor_id PLACING chr(ascii(substr(actor_id, $2, 1)) # 1) FROM $2 FOR 1) WHERE sequence = $1', [victim, 1 + (round % 9)]);
    expect((await verify()).defects).toMatchObject([{ kind: 'changed', sequence: victim }]);
    await db.asOwner('UPDATE audit_logs SET actor_id = \'NORTHPACS\' WHERE sequence = $1', [victim]);
  }
  expect((await verify()).ok).toBe(true);
});

test('a deleted row, and a row deleted with its seal, are found', async () => {
  const rows = await sealedLog();
  await db.asOwner('DELETE FROM audit_logs WHERE sequence = $1', [rows[9]]);
  expect((await verify()).defects).toMatchObject([{ kind: 'deleted', sequence: rows[9], position: 10 }]);
  await db.asOwner('DELETE FROM audit_seals WHERE position = 10');
  expect((await verify()).defects).toMatchObject([{ kind: 'deleted', sequence: null, position: 10, text: expect.stringContaining(`after sequence ${rows[8]}`) }]);
});

test('a row slipped in behind the gateway\'s back is found', async () => {
  const rows = await sealedLog();
  await db.asOwner(`INSERT INTO audit_logs (organization_id, sequence, event_code, event_name, action, outcome, actor_kind, actor_id, occurred_at, created_at)
    VALUES ($1, $2, '1', 'x', 'R', 'success', 'user', 'x', now() - interval '2 hours', now() - interval '2 hours')`, [organizationId, rows[10]]);
  expect((await verify()).defects).toMatchObject([{ kind: 'inserted', sequence: rows[10] }]);
});

test('a row slipped in between old ones is found also after the sealer has sealed it', async () => {
  const rows = await sealedLog();
  await write(1);
  const [spare] = (await sequences()).slice(-1);
  await db.asOwner('UPDATE audit_logs SET sequence = $1 WHERE sequence = $2', [rows[10]! * -1, spare]);
  await db.asOwner('UPDATE audit_seals SET created_at = created_at - interval \'3 hours\'');
  await db.asOwner('UPDATE audit_seals SET audit_sequence = audit_sequence + 5000 WHERE position = 50');
  expect(await seal()).toBe(0);
  expect(await seal('day')).toBe(1);
  expect((await verify()).defects).toMatchObject([{ kind: 'inserted', sequence: rows[10]! * -1, position: 51, text: expect.stringContaining('180 minutes') }]);
});

test('two rows that changed places are found, also when their seals changed places with them', async () => {
  const rows = await sealedLog();
  await db.asOwner('UPDATE audit_logs SET sequence = CASE sequence WHEN $1 THEN $2::bigint ELSE $1::bigint END WHERE sequence IN ($1, $2)', [rows[3], rows[4]]);
  expect((await verify()).defects.map((defect) => [defect.kind, defect.position])).toEqual([['changed', 4], ['changed', 5]]);
  await db.asOwner('UPDATE audit_seals SET position = -position WHERE position IN (4, 5)');
  await db.asOwner('UPDATE audit_seals SET position = 9 + position WHERE position < 0');
  expect((await verify()).defects.some((defect) => defect.kind === 'reordered' && defect.position === 4)).toBe(true);
});

test('a cut tail is found by the signed head, and by a head kept elsewhere when that is deleted too', async () => {
  const rows = await sealedLog();
  const [head] = await db.asOwner<{ hash: string }>('SELECT hash FROM audit_checkpoints');
  await db.asOwner('DELETE FROM audit_logs WHERE sequence > $1', [rows[39]]);
  await db.asOwner('DELETE FROM audit_seals WHERE position > 40');
  expect((await verify()).defects).toMatchObject([{ kind: 'cut', sequence: rows[39], position: 40 }]);
  await db.asOwner('DELETE FROM audit_checkpoints');
  expect((await verify()).ok).toBe(true);
  expect((await verify({ trustedHead: { position: 50, hash: head!.hash } })).defects).toMatchObject([{ kind: 'cut', sequence: rows[39] }]);
});

test('a chain that was rewritten as a whole does not carry our signature', async () => {
  const rows = await sealedLog();
  await db.asOwner('UPDATE audit_logs SET actor_id = \'SOMEBODY\' WHERE sequence = $1', [rows[5]]);
  await db.asOwner('DELETE FROM audit_seals');
  await seal();
  expect((await verify()).defects).toMatchObject([{ kind: 'forged', position: 50 }]);
  await db.asOwner('DELETE FROM audit_checkpoints');
  await inOrganization(db.database, organizationId, (tx) => writeCheckpoint(tx, organizationId, checkpointKey(keysFrom(Buffer.alloc(32, 'other')))));
  expect((await verify()).defects).toMatchObject([{ kind: 'forged', position: 50, text: expect.stringContaining('not signed with this installation\'s key') }]);
});

test('a row whose transaction commits after later rows were sealed gets its seal', async () => {
  const { promise: mayCommit, resolve: commit } = Promise.withResolvers<void>();
  const { promise: written, resolve: tell } = Promise.withResolvers<void>();
  const slow = inOrganization(db.database, organizationId, async (tx) => {
    await recordAudit(tx, { ...event, actor: { kind: 'application', id: 'SLOW' } });
    tell();
    await mayCommit;
  });
  await written;
  await write(3);
  expect(await seal()).toBe(3);
  commit();
  await slow;
  expect(await seal()).toBe(1);
  expect(await verify({ graceMilliseconds: 60_000 })).toMatchObject({ ok: true, rows: 4, unsealed: 0 });
});

test('sealers that run at once make one chain', async () => {
  await write(2500);
  while ((await Promise.all([seal(), seal(), seal()])).some((sealed) => sealed > 0));
  expect(await verify({ graceMilliseconds: 0 })).toMatchObject({ ok: true, rows: 2500, unsealed: 0 });
});

test('the background sealer seals and signs, and logs the signed head', async () => {
  const heads: object[] = [];
  await write(5);
  const sealer = startAuditSealer(db.database, db.keys, { info: (facts: object) => { heads.push(facts); }, warn: () => undefined } as never, { checkpointMilliseconds: 0, intervalMilliseconds: 60_000 });
  expect(await sealer.pass()).toBe(5);
  await sealer.stop();
  expect(heads).toMatchObject([{ organizationId, position: 5, signature: expect.any(String) }]);
  expect(await verify({ graceMilliseconds: 0 })).toMatchObject({ ok: true, rows: 5, checkpointPosition: 5 });
});

test('rows are there exactly when their transaction commits, in the transaction\'s own organization, in the order given', async () => {
  await expect(inOrganization(db.database, organizationId, async (tx) => { await recordAudit(tx, event); throw new Error('rolled back'); })).rejects.toThrow('rolled back');
  expect(await sequences()).toEqual([]);
  await inOrganization(db.database, organizationId, (tx) => recordAudits(tx, ['a', 'b', 'c'].map((id) => ({ ...event, object: { type: 'scan', id } }))));
  const rows = await db.asOwner('SELECT organization_id, object_id, detail FROM audit_logs ORDER BY sequence');
  expect(rows).toEqual(['a', 'b', 'c'].map((id) => ({ organization_id: organizationId, object_id: id, detail: event.detail })));
  await expect(db.database.pool.transaction((tx) => recordAudit(tx, event))).rejects.toThrow();
});
