/**
 * Seals audit rows behind their writers: audit_seals is a hash chain per organization, hash = SHA-256(previous hash, row). A chain made
 * inside the writing transactions would make every writer of an organization wait for the other; here one sealer at a time (an
 * advisory lock per organization) takes what is not sealed yet.
 *
 * A row becomes visible when its transaction commits, which may be after later sequence numbers are sealed. So "not sealed" is asked
 * of each row, never taken from the highest number: a quick look at the newest numbers on every pass, at all rows on the first and
 * then every ten minutes.
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

const batchSize = 1000;
const numbersLookedBack = 20_000;
const Head = z.object({ position: z.number(), hash: z.string(), audit_sequence: z.number() });

/** Seals one batch of one organization. Returns how many rows were sealed; 0 also when another node is sealing this organization. */
export function sealOrganization(database: Database, organizationId: string, options: { readonly everything: boolean }): Promise<number> {
  return inOrganization(database, organizationId, async (tx) => {
    const mine = await tx.oneFirst(sql.type(z.object({ locked: z.boolean() }))`SELECT pg_try_advisory_xact_lock(hashtext('audit seal'), hashtext(${organizationId})) AS locked`);
    if (!mine) return 0;
    const head = await readHead(tx);
    const from = options.everything || !head ? 0 : Math.max(0, head.audit_sequence - numbersLookedBack);
    const rows = await tx.any(sql.type(CanonicalRow)`
      SELECT ${canonicalColumns} FROM audit_logs l
      WHERE l.organization_id = ${ORGANIZATION} AND l.sequence >= ${from}
        AND NOT EXISTS (SELECT 1 FROM audit_seals s WHERE s.organization_id = l.organization_id AND s.audit_id = l.audit_id)
      ORDER BY l.sequence LIMIT ${batchSize}`);
    if (rows.length > 0) await append(tx, rows, head);
    return rows.length;
  });
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
  let sweptAt = Number.NEGATIVE_INFINITY;
  let signedAt = performance.now();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<unknown> = Promise.resolve();

  async function pass(): Promise<number> {
    const everything = performance.now() - sweptAt >= sweepMilliseconds;
    const sign = performance.now() - signedAt >= checkpointMilliseconds;
    let sealed = 0;
    for (const organizationId of await organizationIds(database)) {
      sealed += await sealAll(database, organizationId, everything);
      if (sign) await signHead(database, organizationId, key, log);
    }
    if (everything) sweptAt = performance.now();
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

async function sealAll(database: Database, organizationId: string, everything: boolean): Promise<number> {
  let total = 0;
  for (;;) {
    const sealed = await sealOrganization(database, organizationId, { everything });
    total += sealed;
    if (sealed < batchSize) return total;
  }
}

/** The signed head also goes to the log, so that a copy exists where the database's owner cannot change it. */
async function signHead(database: Database, organizationId: string, key: CheckpointKey, log: Pick<Log, 'info'>): Promise<void> {
  const checkpoint = await inOrganization(database, organizationId, (tx) => writeCheckpoint(tx, organizationId, key));
  if (checkpoint) log.info({ organizationId, ...checkpoint }, 'audit checkpoint');
}
