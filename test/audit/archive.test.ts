/** Archives of the audit log: good as they are written, one after the other, and found out however they are changed. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { archiveRange, archivesApart, verifyArchive, writeArchive, type ArchiveRange } from '../../src/audit/archive.ts';
import { sealHash } from '../../src/audit/canonical.ts';
import { checkpointKey, writeCheckpoint } from '../../src/audit/checkpoint.ts';
import { auditEvents, type AuditEvent } from '../../src/audit/event.ts';
import { recordAudits } from '../../src/audit/record.ts';
import { sealOrganization } from '../../src/audit/seal.ts';
import { keysFrom } from '../../src/db/secrets.ts';
import { inOrganization, type Transaction } from '../../src/db/transaction.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';

const organizationId = '00000000-0000-0000-0000-000000000000';
const event: AuditEvent = { ...auditEvents.query, action: 'E', outcome: 'success', actor: { kind: 'user', id: 'Ärztin', address: '127.0.0.1' }, object: { type: 'scan', id: '1' }, detail: { line: 'two\nlines', n: 1.10 } };
const directory = mkdtempSync(path.join(tmpdir(), 'medscan-archive-'));

let db: TestDatabase, publicKey: string, good: string;
const read = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => inOrganization(db.database, organizationId, work);

async function sealed(count: number): Promise<void> {
  await read((tx) => recordAudits(tx, Array.from({ length: count }, () => event)));
  await sealOrganization(db.database, organizationId, { sweep: 'all' });
  await read((tx) => writeCheckpoint(tx, organizationId, checkpointKey(db.keys)));
}
async function archived(name: string, first: number): Promise<{ file: string; range: ArchiveRange }> {
  const file = path.join(directory, name), range = (await read((tx) => archiveRange(tx, first)))!;
  await writeArchive(file, organizationId, range, read);
  return { file, range };
}

beforeAll(async () => {
  db = await testDatabase();
  publicKey = checkpointKey(db.keys).publicKey;
  await db.asOwner('TRUNCATE audit_logs, audit_seals, audit_checkpoints');
  await sealed(40);
  ({ file: good } = await archived('good.ndjson.gz', 1));
});
afterAll(async () => {
  await db.drop();
  rmSync(directory, { recursive: true, force: true });
});

test('an archive is good without the database, and the next one goes on where it ends', async () => {
  const first = await verifyArchive(good, publicKey);
  expect(first).toMatchObject({ ok: true, organizationId, first: 1, last: 40, rows: 40, previousHash: '0'.repeat(64), defects: [] });
  expect(await read((tx) => archiveRange(tx, 41)), 'nothing new').toBeUndefined();
  await sealed(7);
  const { file } = await archived('next.ndjson.gz', 41);
  expect(await verifyArchive(file, publicKey)).toMatchObject({ ok: true, first: 41, last: 47, rows: 7, previousHash: first.lastHash });
});

test('every row is there with all its columns, as the database has it', async () => {
  const [head, ...lines] = gunzipSync(readFileSync(good)).toString().trim().split('\n').map((line) => JSON.parse(line) as { columns: string[]; row: (string | null)[] });
  const row = Object.fromEntries(head!.columns.map((column, index) => [column, lines[3]!.row[index]]));
  expect(row).toMatchObject({ organization_id: organizationId, actor_id: 'Ärztin', event_code: '110112', object_type: 'scan', action: 'E' });
  expect(JSON.parse(row['detail']!)).toEqual({ line: 'two\nlines', n: 1.1 });
});

interface Line { position?: number; hash?: string; row?: (string | null)[] | null; first_position?: number; last_position?: number; organization_id?: string; previous_hash?: string; checkpoint?: { position: number; hash: string } }
const changes: readonly [string, string, (lines: Line[]) => Line[]][] = [
  ['a changed value', 'changed', (lines) => lines.map((line) => (line.position === 20 ? { ...line, row: line.row!.map((value) => (value === 'Ärztin' ? 'Arzt' : value)) } : line))],
  ['a row left out', 'deleted', (lines) => lines.filter((line) => line.position !== 20)],
  ['a row emptied', 'deleted', (lines) => lines.map((line) => (line.position === 20 ? { ...line, row: null } : line))],
  ['the last rows left out', 'cut', (lines) => lines.filter((line) => (line.position ?? 0) <= 30)],
  ['all rows left out before the signed head', 'cut', (lines) => [{ ...lines[0], first_position: 41, previous_hash: lines[40]!.hash! }, lines[41]!]],
  ['the last rows and the signed head left out', 'cut', (lines) => lines.filter((line) => (line.position ?? 0) <= 30 && !line.checkpoint)],
  ['an end made up before the real one', 'forged', (lines) => lines.filter((line) => (line.position ?? 0) <= 30).map((line) => (line.last_position ? { ...line, last_position: 30 } : line.checkpoint ? { ...line, checkpoint: { ...line.checkpoint, position: 30, hash: lines[30]!.hash! } } : line))],
  ['a value changed and all hashes made anew', 'forged', (lines) => rehashed(lines.map((line) => (line.position === 20 ? { ...line, row: line.row!.map((value) => (value === 'Ärztin' ? 'Arzt' : value)) } : line)))],
  ['another organization named', 'forged', (lines) => lines.map((line) => (line.organization_id ? { ...line, organization_id: '00000000-0000-7000-8000-000000000009' } : line))],
];
function rehashed(lines: Line[]): Line[] {
  let hash = lines[0]!.previous_hash!;
  return lines.map((line) => {
    if (line.checkpoint) return { ...line, checkpoint: { ...line.checkpoint, hash } };
    return line.row ? { ...line, hash: hash = sealHash(hash, { columns: line.row }) } : line;
  });
}

test.each(changes)('%s is found', async (name, kind, change) => {
  const file = path.join(directory, `${name}.gz`), lines = gunzipSync(readFileSync(good)).toString().trim().split('\n').map((line) => JSON.parse(line) as Line);
  writeFileSync(file, gzipSync(`${change(lines).map((line) => JSON.stringify(line)).join('\n')}\n`));
  const found = await verifyArchive(file, publicKey);
  expect(found.ok).toBe(false);
  expect(found.defects[0]!.kind).toBe(kind);
});

test('a file that is missing, or was shortened at its beginning, is seen by the one before; of several organizations each has its own, and a week may be there twice', () => {
  const file = (organizationId: string, first: number, last: number, previousHash = `hash ${first - 1}`) => ({ organizationId, first, last, previousHash: first === 1 ? '0'.repeat(64) : previousHash, lastHash: `hash ${last}` });
  const all = [file('a', 1, 10), file('a', 1, 20), file('a', 11, 20), file('a', 21, 30), file('b', 1, 5), file('b', 6, 9)];
  expect(archivesApart(all)).toEqual([]);
  expect(archivesApart(all.toReversed())).toEqual([]);
  const [later, shortened, other] = [file('a', 21, 30), file('a', 15, 20), file('a', 21, 30, 'hash of others')];
  expect(archivesApart([file('a', 1, 10), later]), 'one between is missing').toEqual([{ archive: later, isFirst: false }]);
  expect(archivesApart([file('a', 1, 10), shortened, later])).toEqual([{ archive: shortened, isFirst: false }]);
  expect(archivesApart([file('a', 1, 20), other])).toEqual([{ archive: other, isFirst: false }]);
  expect(archivesApart([later]), 'those before may be elsewhere').toEqual([{ archive: later, isFirst: true }]);
});

test('a file that was cut off, that is no archive, or that another installation signed is not good', async () => {
  const bytes = readFileSync(good), cut = path.join(directory, 'cut.gz'), other = path.join(directory, 'other.gz');
  writeFileSync(cut, bytes.subarray(0, bytes.length - 20));
  writeFileSync(other, 'something else');
  expect((await verifyArchive(cut, publicKey)).defects.map(({ kind }) => kind)).toContain('cut');
  expect((await verifyArchive(other, publicKey)).ok).toBe(false);
  expect((await verifyArchive(good, checkpointKey(keysFrom(Buffer.alloc(32, 'else'))).publicKey)).defects).toMatchObject([{ kind: 'forged' }]);
});

test('nothing is left where the writing failed, and an earlier file stays', async () => {
  const range = (await read((tx) => archiveRange(tx, 1)))!, file = path.join(directory, 'failing.gz');
  writeFileSync(file, 'earlier');
  await expect(writeArchive(file, organizationId, range, () => Promise.reject(new Error('the database is away')))).rejects.toThrow('away');
  expect(readFileSync(file, 'utf8')).toBe('earlier');
  expect(readdirSync(directory).filter((name) => name.includes('unfinished'))).toEqual([]);
});
