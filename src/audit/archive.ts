/**
 * A part of an organization's audit log in a file that can be checked without the database: gzip of lines of JSON.
 *
 *   {"format", "organization_id", "first_position", "last_position", "previous_hash", "columns"}
 *   {"position", "hash", "row": the columns' values as text}        one for each row; null when the row itself was gone
 *   {"checkpoint": {"position", "hash", "signature"}, "public_key"}  the signed head of the chain, which is the last row
 *
 * What is in it is what seals are computed over (canonical.ts), so the file is proof of the rows exactly as the chain is. It ends at a signed head: a
 * file that was changed, put together, or shortened at its end does not pass, whoever holds it, without the installation's key. What is gone from its
 * beginning is seen by the file before it (archivesApart).
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { z } from 'zod';
import { ORGANIZATION } from '../db/current-organization.ts';
import { sql, type Transaction } from '../db/pool.ts';
import { firstHash, sealedColumns, sealHash } from './canonical.ts';
import { verifyCheckpoint } from './checkpoint.ts';
import { readLinks, type AuditLink, type AuditDefect } from './verify.ts';

const FORMAT = 'medscan-audit-archive/1';
const Head = z.object({ position: z.number(), hash: z.string(), signature: z.string(), public_key: z.string() });

/** Positions of the chain, from the first that is wanted to the newest signed head; undefined: nothing was signed since. */
export interface ArchiveRange { readonly first: number; readonly last: number; readonly previousHash: string; readonly head: z.infer<typeof Head> }

export async function archiveRange(tx: Transaction, first: number): Promise<ArchiveRange | undefined> {
  const head = await tx.maybeOne(sql.type(Head)`SELECT position, hash, signature, public_key FROM audit_checkpoints WHERE organization_id = ${ORGANIZATION} AND position >= ${first} ORDER BY position DESC LIMIT 1`);
  if (!head) return undefined;
  const previousHash = first === 1 ? firstHash : await tx.oneFirst(sql.type(z.object({ hash: z.string() }))`SELECT hash FROM audit_seals WHERE organization_id = ${ORGANIZATION} AND position = ${first - 1}`);
  return { first, last: head.position, previousHash, head };
}

/** The file is there, synced, exactly when this resolves. `read` gives it a transaction of the organization for each batch. */
export async function writeArchive(file: string, organizationId: string, range: ArchiveRange, read: <T>(work: (tx: Transaction) => Promise<T>) => Promise<T>): Promise<void> {
  const unfinished = `${file}.${randomUUID()}.unfinished`; // two workers may be at it
  const handle = await open(unfinished, 'w', 0o600);
  try {
    await pipeline(Readable.from(linesOf(organizationId, range, read)), createGzip(), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) await handle.appendFile(chunk);
    });
    await handle.sync();
    await rename(unfinished, file);
    await syncDirectory(path.dirname(file));
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  await handle.sync().catch(() => undefined); // not every file system syncs directories
  await handle.close();
}

async function* linesOf(organizationId: string, range: ArchiveRange, read: <T>(work: (tx: Transaction) => Promise<T>) => Promise<T>): AsyncGenerator<string> {
  const { first, last, head } = range;
  yield line({ format: FORMAT, organization_id: organizationId, first_position: first, last_position: last, previous_hash: range.previousHash, columns: sealedColumns });
  for (let after = first - 1; after < last;) {
    const links: readonly AuditLink[] = await read((tx) => readLinks(tx, after));
    const wanted = links.filter(({ position }) => position <= last);
    if (wanted.length === 0) throw new Error(`The audit log has no seal ${after + 1}; see: POST /api/v1/audit-logs/verify`);
    yield wanted.map(({ position, hash, columns }) => line({ position, hash, row: columns })).join('');
    after = wanted.at(-1)!.position;
  }
  yield line({ checkpoint: { position: head.position, hash: head.hash, signature: head.signature }, public_key: head.public_key });
}
const line = (value: object): string => `${JSON.stringify(value)}\n`;

const First = z.object({ format: z.literal(FORMAT), organization_id: z.string(), first_position: z.int(), last_position: z.int(), previous_hash: z.string(), columns: z.array(z.string()) });
const RowLine = z.object({ position: z.int(), hash: z.string(), row: z.array(z.string().nullable()).nullable() });
const Last = z.object({ checkpoint: Head.omit({ public_key: true }), public_key: z.string() });

export interface ArchiveVerification {
  readonly ok: boolean; readonly organizationId: string | undefined; readonly first: number; readonly last: number; readonly rows: number;
  /** Of the row before the file, and of its last one: that of one file is the other of the next. */
  readonly previousHash: string; readonly lastHash: string;
  readonly defects: readonly Pick<AuditDefect, 'kind' | 'position' | 'text'>[];
}

/** Reads a file once, a line at a time. `publicKey` is the installation's (SPKI, base64): a file signed by another key is forged. */
export async function verifyArchive(file: string, publicKey: string): Promise<ArchiveVerification> {
  const defects: Pick<AuditDefect, 'kind' | 'position' | 'text'>[] = [];
  const found = { organizationId: undefined as string | undefined, first: 0, last: 0, rows: 0, previousHash: firstHash, lastHash: '' };
  const told = (): ArchiveVerification => ({ ok: defects.length === 0, ...found, defects });
  let end: z.infer<typeof Last> | undefined, position = 0;
  try {
    for await (const text of createInterface({ input: createReadStream(file).pipe(createGunzip()), crlfDelay: Infinity })) {
      const value: unknown = JSON.parse(text);
      if (found.organizationId === undefined) {
        const first = First.parse(value);
        Object.assign(found, { organizationId: first.organization_id, first: first.first_position, last: first.last_position, previousHash: first.previous_hash, lastHash: first.previous_hash });
        position = first.first_position - 1;
      } else if (end === undefined && typeof value === 'object' && value !== null && 'checkpoint' in value) end = Last.parse(value);
      else {
        const row = RowLine.parse(value);
        defects.push(...defectsOfRow(row, position, found.lastHash));
        [position, found.lastHash, found.rows] = [row.position, row.hash, found.rows + 1];
      }
    }
  } catch (error) {
    return { ...told(), ok: false, defects: [...defects, { kind: 'cut', position, text: `The file cannot be read after seal ${position} (${(error as { code?: string }).code ?? (error as Error).name}): it was cut off, or is not an archive.` }] };
  }
  // None is written without rows; one made so would stand for the rows before its signed head, and the next file would go on behind it.
  if (found.rows === 0) defects.push({ kind: 'cut', position, text: 'The file has no rows.' });
  defects.push(...defectsOfEnd(found.organizationId ?? '', end, { position, hash: found.lastHash, last: found.last }, publicKey));
  return told();
}

function defectsOfRow({ position, hash, row }: z.infer<typeof RowLine>, before: number, previousHash: string): Pick<AuditDefect, 'kind' | 'position' | 'text'>[] {
  if (position !== before + 1) return [{ kind: 'deleted', position, text: `Seal ${position} follows ${before}: what is between is missing.` }];
  if (row === null) return [{ kind: 'deleted', position, text: `The row of seal ${position} was gone when the file was written.` }];
  return sealHash(previousHash, { columns: row }) === hash ? [] : [{ kind: 'changed', position, text: `The row of seal ${position} is not what was sealed, or does not follow the one before.` }];
}

function defectsOfEnd(organizationId: string, end: z.infer<typeof Last> | undefined, last: { readonly position: number; readonly hash: string; readonly last: number }, publicKey: string): Pick<AuditDefect, 'kind' | 'position' | 'text'>[] {
  if (!end || last.position !== last.last) return [{ kind: 'cut', position: last.position, text: `The file ends at seal ${last.position}; it was made to end at ${last.last}, with a signed head.` }];
  const { checkpoint } = end;
  const isOurs = end.public_key === publicKey && checkpoint.position === last.position && checkpoint.hash === last.hash && verifyCheckpoint(organizationId, checkpoint, publicKey);
  return isOurs ? [] : [{ kind: 'forged', position: checkpoint.position, text: `The signed head at ${checkpoint.position} was not signed with the key that was given, or not for these rows.` }];
}

/**
 * Files, in any order, that do not begin where another one of their organization ends: what was between is in none of them. `isFirst`: none of those
 * that were given begins before it, so earlier ones may be kept elsewhere. Two may hold the same rows: a week that was archived twice.
 */
export function archivesApart<T extends Pick<ArchiveVerification, 'organizationId' | 'first' | 'last' | 'previousHash' | 'lastHash'>>(archives: readonly T[]): readonly { readonly archive: T; readonly isFirst: boolean }[] {
  const readable = archives.filter(({ organizationId }) => organizationId !== undefined), nameOf = (organizationId: string | undefined, position: number, hash: string): string => `${organizationId} ${position} ${hash}`;
  const ends = new Set(readable.map(({ organizationId, last, lastHash }) => nameOf(organizationId, last, lastHash)));
  const begin = new Map<string | undefined, number>();
  for (const { organizationId, first } of readable) begin.set(organizationId, Math.min(first, begin.get(organizationId) ?? first));
  return readable
    .filter(({ organizationId, first, previousHash }) => !(first === 1 && previousHash === firstHash) && !ends.has(nameOf(organizationId, first - 1, previousHash)))
    .map((archive) => ({ archive, isFirst: archive.first === begin.get(archive.organizationId) }));
}
