/**
 * Seals audit rows behind their writers: audit_seals is a hash chain per organization, hash = SHA-256(previous hash, row). A chain made
 * inside the writing transactions would make every writer of an organization wait for the other; here one sealer at a time (an
 * advisory lock per organization) takes what is not sealed yet.
 *
 * A row becomes visible when its transaction commits, which may be after later sequence numbers are sealed. So "not sealed" is asked
 * of each row, never taken from the highest number: of the newest numbers on every pass, of all rows on the first pass, and of the
 * last day's every ten minutes.
 */
import { z } from 'zod';
import { ORGANIZATION } from '../db/current-organization.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';
import { listOrganizations } from '../db/organizations.ts';
import { sql, type Database, type Transaction } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import { inOrganization } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import { canonicalColumns, CanonicalRow, firstHash, sealHash } from './canonical.ts';
import { checkpointKey, writeCheckpoint, type CheckpointKey } from './checkpoint.ts';

/** Rows looked at per transaction; writers never wait for it. */
const pageSize = 4000;
const numbersLookedBack = 2000;
const Head = z.object({ position: z.number(), hash: z.string(), audit_sequence: z.number() });
const Id = z.object({ audit_id: z.string(), sequence: z.number() });
const first = Number.MIN_SAFE_INTEGER;

/** How far back to look for rows without a seal, beside the newest numbers. */
export type Sweep = 'all' | 'day';

/** Seals what one organization has unsealed. Returns how many rows were sealed; 0 also when another node is at it. */
export async function sealOrganization(database: Database, organizationId: string, options: { readonly sweep?: Sweep } = {}): Promise<number> {
  let from: number | undefined = await inOrganization(database, organizationId, (tx) => startOf(tx, options.sweep));
  let total = 0;
  while (from !== undefined) {
    const start: number = from;
    const { sealed, next } = await inOrganization(database, organizationId, (tx) => sealPage(tx, organizationId, start));
    total += sealed;
    from = next;
  }
  return total;
}

/** Rows without a seal among the newest; counted to ten thousand, which already says that nobody seals. */
export function countUnsealed(tx: Transaction): Promise<number> {
  return tx.oneFirst(sql.type(z.object({ unsealed: z.number() }))`
    SELECT count(*) AS unsealed FROM (SELECT FROM audit_logs l WHERE l.organization_id = ${ORGANIZATION}
      AND l.sequence >= coalesce((SELECT audit_sequence FROM audit_seals WHERE organization_id = ${ORGANIZATION} ORDER BY position DESC LIMIT 1), 0) - ${numbersLookedBack}
      AND NOT EXISTS (SELECT FROM audit_seals s WHERE s.organization_id = l.organization_id AND s.audit_id = l.audit_id) LIMIT 10000) waiting`);
}

async function startOf(tx: Transaction, sweep: Sweep | undefined): Promise<number> {
  const head = sweep === 'all' ? null : await readHead(tx);
  if (!head) return first;
  const newest = head.audit_sequence - numbersLookedBack;
  if (sweep !== 'day') return newest;
  const day = await tx.maybeOneFirst(sql.type(z.object({ sequence: z.number() }))`
    SELECT min(sequence) AS sequence FROM (SELECT sequence FROM audit_logs WHERE organization_id = ${ORGANIZATION} AND occurred_at >= now() - interval '1 day' ORDER BY occurred_at LIMIT ${numbersLookedBack}) oldest HAVING count(*) > 0`);
  return Math.min(newest, day ?? newest);
}

/**
 * Look-ups by lists of ids instead of joins of the two tables: their cost does not depend on statistics, which a busy log outruns.
 * `next` is where the following page begins; undefined after the last.
 */
async function sealPage(tx: Transaction, organizationId: string, from: number): Promise<{ sealed: number; next: number | undefined }> {
  const mine = await tx.oneFirst(sql.type(z.object({ locked: z.boolean() }))`SELECT pg_try_advisory_xact_lock(hashtext('audit seal'), hashtext(${organizationId})) AS locked`);
  if (!mine) return { sealed: 0, next: undefined };
  const page = await tx.oneFirst(sql.type(z.object({ page: z.array(Id) }))`
    SELECT coalesce(json_agg(row ORDER BY row.sequence), '[]') AS page FROM (
      SELECT audit_id, sequence FROM audit_logs WHERE organization_id = ${ORGANIZATION} AND sequence >= ${from} ORDER BY sequence LIMIT ${pageSize}) row`);
  const sealed = new Set(await tx.oneFirst(sql.type(z.object({ ids: z.array(z.string()) }))`
    SELECT coalesce(json_agg(audit_id), '[]') AS ids FROM audit_seals WHERE organization_id = ${ORGANIZATION} AND audit_id = ANY(${idArray(page)})`));
  const unsealed = page.filter((row) => !sealed.has(row.audit_id));
  if (unsealed.length > 0) await append(tx, await readCanonical(tx, unsealed), await readHead(tx));
  const end = page.at(-1);
  return { sealed: unsealed.length, next: page.length === pageSize && end ? end.sequence + 1 : undefined };
}

function readCanonical(tx: Transaction, rows: readonly z.infer<typeof Id>[]): Promise<readonly CanonicalRow[]> {
  return tx.oneFirst(sql.type(z.object({ rows: z.array(CanonicalRow) }))`
    SELECT json_agg(row ORDER BY row.sequence) AS rows FROM (
      SELECT ${canonicalColumns} FROM audit_logs l WHERE l.organization_id = ${ORGANIZATION} AND l.sequence BETWEEN ${rows[0]!.sequence} AND ${rows.at(-1)!.sequence} AND l.audit_id = ANY(${idArray(rows)})) row`);
}

function idArray(rows: readonly z.infer<typeof Id>[]) {
  return sql.array(rows.map((row) => row.audit_id), 'uuid');
}

function readHead(tx: Transaction): Promise<z.infer<typeof Head> | null> {
  return tx.maybeOne(sql.type(Head)`SELECT position, hash, audit_sequence FROM audit_seals WHERE organization_id = ${ORGANIZATION} ORDER BY position DESC LIMIT 1`);
}

async function append(tx: Transaction, rows: readonly CanonicalRow[], head: z.infer<typeof Head> | null): Promise<void> {
  let position = head?.position ?? 0;
  let hash = head?.hash ?? firstHash;
  const seals = rows.map((row) => {
    const previous = hash;
    hash = sealHash(previous, row);
    position += 1;
    return { position, audit_id: row.audit_id, audit_sequence: row.sequence, occurred_at: row.occurred_at_text, previous_hash: previous, hash };
  });
  await tx.query(sql.typeAlias('void')`
    INSERT INTO audit_seals (organization_id, position, audit_id, audit_sequence, occurred_at, previous_hash, hash)
    SELECT ${ORGANIZATION}, position, audit_id, audit_sequence, occurred_at, previous_hash, hash
    FROM jsonb_to_recordset(${JSON.stringify(seals)}::jsonb) AS r(position bigint, audit_id uuid, audit_sequence bigint, occurred_at timestamptz, previous_hash text, hash text)`);
}

export interface AuditSealer {
  /** One pass over every organization, now. Returns the number of rows sealed. */
  pass(): Promise<number>;
  stop(): Promise<void>;
}

export interface SealerOptions { readonly intervalMilliseconds?: number; readonly checkpointMilliseconds?: number; readonly sweepMilliseconds?: number }

/** Seals every second and signs the heads every minute, until stopped. A database that is away is ordinary: the next pass tries again. */
export function startAuditSealer(database: Database, keys: Keys, log: Pick<Log, 'info' | 'warn'>, options: SealerOptions = {}): AuditSealer {
  const { intervalMilliseconds = 1000, checkpointMilliseconds = 60_000, sweepMilliseconds = 600_000 } = options;
  const key = checkpointKey(keys);
  let sweptAt: number | undefined;
  let signedAt = performance.now();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<unknown> = Promise.resolve();

  async function pass(): Promise<number> {
    const sweep = sweptAt === undefined ? 'all' : performance.now() - sweptAt >= sweepMilliseconds ? 'day' : undefined;
    const sign = performance.now() - signedAt >= checkpointMilliseconds;
    let sealed = 0;
    for (const organizationId of await organizationIds(database)) {
      sealed += await sealOrganization(database, organizationId, sweep ? { sweep } : {});
      if (sign) await signHead(database, organizationId, key, log);
    }
    if (sweep) sweptAt = performance.now();
    if (sign) signedAt = performance.now();
    return sealed;
  }

  async function tick(): Promise<void> {
    await pass().catch((error: unknown) => { log.warn({ err: error }, 'audit rows could not be sealed; the next pass tries again'); });
    if (!stopped) schedule();
  }
  function schedule(): void {
    timer = setTimeout(() => { running = tick(); }, intervalMilliseconds);
    timer.unref();
  }
  schedule();
  return {
    pass,
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

async function organizationIds(database: Database): Promise<readonly string[]> {
  return [UNASSIGNED_ORGANIZATION_ID, ...(await listOrganizations(database)).map((organization) => organization.organization_id)];
}

/** The signed head also goes to the log, so that a copy exists where the database's owner cannot change it. */
async function signHead(database: Database, organizationId: string, key: CheckpointKey, log: Pick<Log, 'info'>): Promise<void> {
  const checkpoint = await inOrganization(database, organizationId, (tx) => writeCheckpoint(tx, organizationId, key));
  if (checkpoint) log.info({ organizationId, ...checkpoint }, 'audit checkpoint');
}
