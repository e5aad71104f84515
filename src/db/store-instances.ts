/** The hot path of C-STORE: one statement, one commit, for the instances of many senders (migrations/0008). */
import { z } from 'zod';
import { jsonText } from './json-text.ts';
import { sql, type Database } from './pool.ts';
import type { NewFile } from './scans.ts';

export interface InstanceItem extends Omit<NewFile, 'status' | 'conflict_of' | 'source_integration_id' | 'source_sync_id'> {
  item: number; sync_id: string; patient_id: string; integration_id: string; adapter: string; interaction: string; finished_at: string; duration_ms: number;
  peer_address: string; peer_application?: string | undefined; mapping_version: string; warnings?: unknown; facts?: unknown;
}
const Row = z.object({ outcome: z.enum(['accepted', 'duplicate', 'slow']), out_scan_file_id: z.string().nullable(), out_scan_id: z.string(), out_patient_id: z.string() });
export type StoredInstance = z.infer<typeof Row>;

/** One result per item, in order. Committed when it resolves, except the 'slow' ones: nothing was written for them. */
export async function storeInstances(database: Database, organizationId: string, items: readonly InstanceItem[]): Promise<readonly StoredInstance[]> {
  const { rows } = await database.pool.query(sql.type(Row)`
    SELECT outcome, out_scan_file_id, out_scan_id, out_patient_id FROM medscan_store_instances(${organizationId}::uuid, ${jsonText(items)}::jsonb) ORDER BY item`);
  return rows;
}
