/**
 * Checks an organization's audit rows against their seals and the seals against their signed heads, walking the chain in batches.
 *
 *   changed    the row's text does not give the seal's hash         reordered  seals do not follow each other (swapped, or rewritten)
 *   deleted    a seal has no row, or a position has no seal          cut        the chain ends before a signed head
 *   inserted   an old row has no seal, or shares its number          forged     a signed head is not what our key signed for this chain
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

const batchSize = 5000;
const Link = z.object({
  position: z.number(), audit_sequence: z.number(), previous_hash: z.string(), hash: z.string(), sequence: z.number().nullable(), columns: z.array(z.string().nullable()).nullable(),
});
type Link = z.infer<typeof Link>;

/** Runs in a transaction of the organization; reads only. */
export async function verifyAuditChain(tx: Transaction, options: VerifyOptions): Promise<AuditVerification> {
  const defects: AuditDefect[] = [];
  const heads = await readHeads(tx);
  const hashesAt = new Map<number, string>();
  const wanted = new Set([...heads.map((head) => head.position), ...(options.trustedHead ? [options.trustedHead.position] : [])]);
  let rows = 0;
  let end = { position: 0, hash: firstHash, sequence: 0 };
  for (;;) {
    const links = await readLinks(tx, end.position);
    for (const link of links) {
      defects.push(...defectsOfLink(link, end));
      if (wanted.has(link.position)) hashesAt.set(link.position, link.hash);
      end = { position: link.position, hash: link.hash, sequence: link.audit_sequence };
    }
    rows += links.length;
    if (links.length < batchSize) break;
  }
  defects.push(...defectsOfHeads(await ownId(tx), heads, hashesAt, end, options));
  defects.push(...await insertedRows(tx, options.graceMilliseconds ?? 3_600_000));
  defects.sort((a, b) => (a.position ?? Number.MAX_SAFE_INTEGER) - (b.position ?? Number.MAX_SAFE_INTEGER));
  return { ok: defects.length === 0, rows, unsealed: await countUnsealed(tx), checkpointPosition: heads.at(-1)?.position ?? null, defects };
}

function readLinks(tx: Transaction, afterPosition: number): Promise<readonly Link[]> {
  return tx.any(sql.type(Link)`
    SELECT s.position, s.audit_sequence, s.previous_hash, s.hash, l.sequence, l.columns
    FROM audit_seals s LEFT JOIN LATERAL (SELECT ${canonicalColumns} FROM audit_logs l
      WHERE l.organization_id = s.organization_id AND l.audit_id = s.audit_id AND l.occurred_at = s.occurred_at) l ON true
    WHERE s.organization_id = ${ORGANIZATION} AND s.position > ${afterPosition} ORDER BY s.position LIMIT ${batchSize}`);
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
