/**
 * Checks an organization's audit rows against their seals and the seals against their signed heads, walking the chain in batches.
 *
 *   changed    the row's text does not give the seal's hash         reordered  seals do not follow each other (swapped, or rewritten)
 *   deleted    a seal has no row, or a position has no seal          cut        the chain ends before a signed head
 *   inserted   a row was sealed long after later ones, has no seal   forged     a signed head is not what our key signed for this chain
 *              though it is old, or shares its number with another
 *
 * A row that has just been written waits for its seal for a second; rows younger than `graceMilliseconds` without one are counted as
 * unsealed, not as inserted.
 */
import { z } from 'zod';
import { ORGANIZATION } from '../db/current-organization.ts';
import { sql, type Transaction } from '../db/pool.ts';
import { canonicalColumns, firstHash, sealHash } from './canonical.ts';
import { verifyCheckpoint } from './checkpoint.ts';

export interface AuditDefect {
  readonly kind: 'changed' | 'deleted' | 'inserted' | 'reordered' | 'cut' | 'forged';
  /** audit_logs.sequence of the row concerned; null when only a seal or a head is wrong. */
  readonly sequence: number | null;
  readonly position: number | null;
  readonly text: string;
}

export interface AuditVerification {
  readonly ok: boolean;
  readonly rows: number;
  readonly unsealed: number;
  readonly checkpointPosition: number | null;
  readonly defects: readonly AuditDefect[];
}

export interface VerifyOptions {
  /** The installation's public key; heads signed by another key are forged. */
  readonly publicKey: string;
  readonly graceMilliseconds?: number;
  /** A head kept outside the database (the log, an export): the chain must still contain it. */
  readonly trustedHead?: { readonly position: number; readonly hash: string };
}

export const batchSize = 20_000;
/** Longer than any transaction of the gateway runs. */
const usualGrace = 3_600_000;
export type AuditLink = Link;
type Link = z.infer<typeof Seal> & { readonly columns: readonly (string | null)[] | null };

/** Runs in a transaction of the organization; reads only. */
export async function verifyAuditChain(tx: Transaction, options: VerifyOptions): Promise<AuditVerification> {
  const defects: AuditDefect[] = [];
  const heads = await readHeads(tx);
  const hashesAt = new Map<number, string>();
  const wanted = new Set([...heads.map((head) => head.position), ...(options.trustedHead ? [options.trustedHead.position] : [])]);
  const late = lateRows(options.graceMilliseconds ?? usualGrace);
  let rows = 0;
  let end = { position: 0, hash: firstHash, sequence: 0 };
  const last = await tx.oneFirst(sql.type(z.object({ position: z.number() }))`SELECT coalesce(max(position), 0) AS position FROM audit_seals WHERE organization_id = ${ORGANIZATION}`);
  for (let after = 0; after < last; after += batchSize) {
    const links = await readLinks(tx, after);
    for (const link of links) {
      defects.push(...defectsOfLink(link, end), ...late(link));
      if (wanted.has(link.position)) hashesAt.set(link.position, link.hash);
      end = { position: link.position, hash: link.hash, sequence: link.audit_sequence };
    }
    rows += links.length;
  }
  defects.push(...defectsOfHeads(await ownId(tx), heads, hashesAt, end, options));
  defects.push(...await insertedRows(tx, options.graceMilliseconds ?? usualGrace));
  defects.sort((a, b) => (a.position ?? Number.MAX_SAFE_INTEGER) - (b.position ?? Number.MAX_SAFE_INTEGER));
  return { ok: defects.length === 0, rows, unsealed: await countUnsealed(tx), checkpointPosition: heads.at(-1)?.position ?? null, defects };
}

const Seal = z.object({ position: z.number(), audit_id: z.string(), audit_sequence: z.number(), previous_hash: z.string(), hash: z.string(), sealed_at: z.number() });
const Row = z.object({ audit_id: z.string(), columns: z.array(z.string().nullable()) });

/**
 * The seals at positions (after, after + batchSize] with their rows. One JSON value per statement, because handling each row on its own takes
 * longer than hashing it; two statements, because a join of both tables is at the mercy of statistics that a busy log outruns.
 */
export async function readLinks(tx: Transaction, after: number): Promise<readonly Link[]> {
  const seals = await tx.oneFirst(sql.type(z.object({ seals: z.array(Seal) }))`
    SELECT coalesce(json_agg(seal ORDER BY seal.position), '[]') AS seals FROM (
      SELECT position, audit_id, audit_sequence, previous_hash, hash, extract(epoch FROM created_at)::float8 * 1000 AS sealed_at FROM audit_seals
      WHERE organization_id = ${ORGANIZATION} AND position > ${after} AND position <= ${after + batchSize}) seal`);
  const rows = await tx.oneFirst(sql.type(z.object({ rows: z.array(Row) }))`
    SELECT coalesce(json_agg(row), '[]') AS rows FROM (
      SELECT ${canonicalColumns} FROM audit_logs l WHERE l.organization_id = ${ORGANIZATION} AND l.audit_id = ANY(${sql.array(seals.map((seal) => seal.audit_id), 'uuid')})) row`);
  const columns = new Map(rows.map((row) => [row.audit_id, row.columns]));
  return seals.map((seal) => ({ ...seal, columns: columns.get(seal.audit_id) ?? null }));
}

function defectsOfLink(link: Link, before: { readonly position: number; readonly hash: string; readonly sequence: number }): AuditDefect[] {
  const at = { sequence: link.audit_sequence, position: link.position };
  const defects: AuditDefect[] = [];
  if (link.position !== before.position + 1) {
    defects.push({ kind: 'deleted', sequence: null, position: before.position + 1, text: `Seals ${before.position + 1} to ${link.position - 1} are missing (after sequence ${before.sequence}).` });
  } else if (link.previous_hash !== before.hash) {
    defects.push({ kind: 'reordered', ...at, text: `Seal ${link.position} does not follow seal ${before.position}.` });
  }
  if (link.columns === null) defects.push({ kind: 'deleted', ...at, text: `The row ${link.audit_sequence} is gone; its seal is there.` });
  else if (sealHash(link.previous_hash, { columns: link.columns }) !== link.hash) defects.push({ kind: 'changed', ...at, text: `The row ${link.audit_sequence} is not what was sealed.` });
  return defects;
}

/**
 * A row may be sealed after rows with higher numbers, because its transaction was slow, but only as much later as a transaction lasts.
 * The highest number and the time of each sealing pass tell when a number was passed.
 */
function lateRows(graceMilliseconds: number): (link: Link) => AuditDefect[] {
  const passes: { highest: number; sealedAt: number }[] = [];
  let highest = 0;
  return (link) => {
    const sealedAt = link.sealed_at;
    const passed = link.audit_sequence < highest ? passes.find((pass) => pass.highest > link.audit_sequence) : undefined;
    highest = Math.max(highest, link.audit_sequence);
    const last = passes.at(-1);
    if (last?.sealedAt === sealedAt) last.highest = highest;
    else passes.push({ highest, sealedAt });
    if (!passed || sealedAt - passed.sealedAt <= graceMilliseconds) return [];
    const minutes = Math.round((sealedAt - passed.sealedAt) / 60_000);
    return [{ kind: 'inserted', sequence: link.audit_sequence, position: link.position, text: `The row ${link.audit_sequence} appeared ${minutes} minutes after rows with higher numbers were sealed.` }];
  };
}

const SignedHead = z.object({ position: z.number(), hash: z.string(), signature: z.string(), public_key: z.string() });
type SignedHead = z.infer<typeof SignedHead>;

function readHeads(tx: Transaction): Promise<readonly SignedHead[]> {
  return tx.any(sql.type(SignedHead)`SELECT position, hash, signature, public_key FROM audit_checkpoints WHERE organization_id = ${ORGANIZATION} ORDER BY position`);
}

function defectsOfHeads(organizationId: string, heads: readonly SignedHead[], hashesAt: ReadonlyMap<number, string>, end: { readonly position: number; readonly sequence: number }, options: VerifyOptions): AuditDefect[] {
  const forged = heads.filter((head) => head.public_key !== options.publicKey || !verifyCheckpoint(organizationId, head, options.publicKey));
  const believed = [...heads.filter((head) => !forged.includes(head)), ...(options.trustedHead ? [options.trustedHead] : [])];
  return [...forged.map(forgedHead), ...believed.flatMap((head): AuditDefect[] => {
    const hash = hashesAt.get(head.position);
    if (hash === head.hash) return [];
    if (head.position > end.position) {
      return [{ kind: 'cut', sequence: end.sequence, position: end.position, text: `The chain ends at seal ${end.position} (sequence ${end.sequence}), but a head at ${head.position} was signed.` }];
    }
    return [{ kind: 'forged', sequence: null, position: head.position, text: `The seals up to ${head.position} are not the ones that were signed: the chain was rewritten.` }];
  })];
}

function forgedHead({ position }: SignedHead): AuditDefect {
  return { kind: 'forged', sequence: null, position, text: `The signed head at ${position} was not signed with this installation's key.` };
}

/** Old rows without a seal, and rows that share a number with another. */
async function insertedRows(tx: Transaction, graceMilliseconds: number): Promise<AuditDefect[]> {
  const rows = await tx.any(sql.type(z.object({ sequence: z.number() }))`
    SELECT l.sequence FROM audit_logs l
    WHERE l.organization_id = ${ORGANIZATION} AND l.created_at <= now() - make_interval(secs => ${graceMilliseconds / 1000})
      AND NOT EXISTS (SELECT 1 FROM audit_seals s WHERE s.organization_id = l.organization_id AND s.audit_id = l.audit_id)
    UNION SELECT sequence FROM audit_logs WHERE organization_id = ${ORGANIZATION} GROUP BY sequence HAVING count(*) > 1
    ORDER BY 1 LIMIT 1000`);
  return rows.map(({ sequence }) => ({ kind: 'inserted', sequence, position: null, text: `The row ${sequence} was not written by the gateway: it was never sealed, or its number was used before.` }));
}

function countUnsealed(tx: Transaction): Promise<number> {
  return tx.oneFirst(sql.type(z.object({ count: z.number() }))`
    SELECT count(*) AS count FROM audit_logs l WHERE l.organization_id = ${ORGANIZATION}
      AND NOT EXISTS (SELECT 1 FROM audit_seals s WHERE s.organization_id = l.organization_id AND s.audit_id = l.audit_id)`);
}

function ownId(tx: Transaction): Promise<string> {
  return tx.oneFirst(sql.type(z.object({ id: z.string() }))`SELECT ${ORGANIZATION} AS id`);
}
