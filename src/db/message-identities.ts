/** Which messages were accepted before: sender's name for it + digest of its bytes -> exchange, links and answer. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Identity = z.object({ sha256: z.string(), sync_id: z.string(), links: z.record(z.string(), z.string()), answer_code: z.string().nullable() });
export type MessageIdentity = z.infer<typeof Identity>;

export interface MessageKey { integrationId: string; sender: string; controlId: string }

/** Every version stored under this name, first one first. */
export async function findMessageIdentities(tx: CommonQueryMethods, key: MessageKey): Promise<readonly MessageIdentity[]> {
  return tx.any(sql.type(Identity)`
    SELECT sha256, sync_id, links, answer_code FROM message_identities
    WHERE organization_id = ${ORGANIZATION} AND integration_id = ${key.integrationId} AND sender = ${key.sender} AND control_id = ${key.controlId}
    ORDER BY created_at`);
}

export async function insertMessageIdentity(tx: CommonQueryMethods, key: MessageKey, row: { sha256: string; interaction: string; syncId: string; links: Readonly<Record<string, string>> }): Promise<void> {
  await tx.query(sql.type(z.object({}))`
    INSERT INTO message_identities (organization_id, integration_id, sender, control_id, sha256, interaction, sync_id, links)
    VALUES (${ORGANIZATION}, ${key.integrationId}, ${key.sender}, ${key.controlId}, ${row.sha256}, ${row.interaction}, ${row.syncId}, ${sql.jsonb(row.links)})`);
}
