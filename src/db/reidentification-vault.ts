/** reidentification_vault: what stands behind the UIDs under which images left. Values are sealed before they come here. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
export interface VaultRow { readonly replacement: string; readonly kind: 'uid' | 'instance' | 'study'; readonly sealed: string }

/** An instance or study that leaves again, with other options, is remembered as it left last; a bare UID does not replace what is known of it. */
export async function putIntoVault(tx: CommonQueryMethods, scanId: string, rows: readonly VaultRow[]): Promise<void> {
  await tx.query(sql.type(Nothing)`
    INSERT INTO reidentification_vault (organization_id, replacement, kind, scan_id, sealed)
    SELECT ${ORGANIZATION}, replacement, kind, ${scanId}, sealed FROM jsonb_to_recordset(${jsonText(rows)}::jsonb) AS r(replacement text, kind text, sealed text) ORDER BY replacement
    ON CONFLICT (organization_id, replacement) DO UPDATE SET kind = excluded.kind, scan_id = excluded.scan_id, sealed = excluded.sealed WHERE excluded.kind <> 'uid'`);
}

const Found = z.object({ replacement: z.string(), kind: z.enum(['uid', 'instance', 'study']), scan_id: z.string(), patient_id: z.string(), sealed: z.string() });
export type VaultEntry = z.infer<typeof Found>;

export async function findInVault(tx: CommonQueryMethods, replacements: readonly string[]): Promise<readonly VaultEntry[]> {
  return tx.any(sql.type(Found)`
    SELECT v.replacement, v.kind, v.scan_id, s.patient_id, v.sealed FROM reidentification_vault v JOIN scans s ON s.organization_id = v.organization_id AND s.scan_id = v.scan_id
    WHERE v.organization_id = ${ORGANIZATION} AND v.replacement = ANY(${sql.array([...replacements], 'text')})`);
}

export async function patientOfScan(tx: CommonQueryMethods, scanId: string): Promise<string | undefined> {
  return (await tx.maybeOne(sql.type(z.object({ patient_id: z.string() }))`SELECT patient_id FROM scans WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId}`))?.patient_id;
}
