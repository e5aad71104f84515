/**
 * Signed heads of the audit chain (RFC 9162's signed tree head, for a chain). Whoever can rewrite the database can also rewrite a
 * hash chain, but not sign its head: the Ed25519 key is derived from the installation's key, which is not in the database.
 */
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { ORGANIZATION } from '../db/current-organization.ts';
import { sql, type Transaction } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';

export interface CheckpointKey { readonly privateKey: KeyObject; /** SPKI, base64. */ readonly publicKey: string }
export interface Checkpoint { readonly position: number; readonly hash: string; readonly signature: string }

/** PKCS #8 of an Ed25519 key is this prefix and the 32-byte seed (RFC 8410 section 7). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

export function checkpointKey(keys: Keys): CheckpointKey {
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, keys.derive('audit-checkpoint')]), format: 'der', type: 'pkcs8' });
  return { privateKey, publicKey: createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).toString('base64') };
}

const Head = z.object({ position: z.number(), hash: z.string() });

/** Signs the newest seal, unless that was done already; returns the new checkpoint. */
export async function writeCheckpoint(tx: Transaction, organizationId: string, key: CheckpointKey): Promise<Checkpoint | undefined> {
  const head = await tx.maybeOne(sql.type(Head)`
    SELECT position, hash FROM audit_seals s WHERE organization_id = ${ORGANIZATION}
      AND position > coalesce((SELECT max(position) FROM audit_checkpoints WHERE organization_id = ${ORGANIZATION}), 0) ORDER BY position DESC LIMIT 1`);
  if (!head) return undefined;
  const signature = sign(null, statement(organizationId, head), key.privateKey).toString('base64');
  await tx.query(sql.typeAlias('void')`
    INSERT INTO audit_checkpoints (organization_id, position, hash, signature, public_key)
    VALUES (${ORGANIZATION}, ${head.position}, ${head.hash}, ${signature}, ${key.publicKey}) ON CONFLICT DO NOTHING`);
  return { ...head, signature };
}

export function verifyCheckpoint(organizationId: string, checkpoint: Checkpoint, publicKey: string): boolean {
  const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
  return verify(null, statement(organizationId, checkpoint), key, Buffer.from(checkpoint.signature, 'base64'));
}

function statement(organizationId: string, head: { readonly position: number; readonly hash: string }): Buffer {
  return Buffer.from(`medscan audit checkpoint\n${organizationId}\n${head.position}\n${head.hash}`);
}
