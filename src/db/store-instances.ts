/** The hot path of C-STORE: one statement, one commit, for the instances of many senders (migrations/0030). */
import { jsonText } from './json-text.ts';
import type { Database } from './pool.ts';
import type { NewFile } from './scans.ts';

export interface InstanceItem extends Omit<NewFile, 'status' | 'conflict_of' | 'source_integration_id' | 'source_sync_id'> {
  item: number; sync_id: string; patient_id: string; integration_id: string; adapter: string; interaction: string; finished_at: string; duration_ms: number;
  peer_address: string; peer_application?: string | undefined; mapping_version: string; warnings?: unknown; facts?: unknown;
}
export interface StoredInstance { outcome: 'accepted' | 'duplicate' | 'slow'; out_scan_file_id: string | null; out_scan_id: string; out_patient_id: string }
const TEXT = 'SELECT outcome, out_scan_file_id, out_scan_id, out_patient_id FROM medscan_store_instances($1::uuid, $2::jsonb) ORDER BY item';

/**
 * One result per item, in order. Committed when it resolves, except the 'slow' ones: nothing was written for them. The rows are written
 * while the files are synced; only the commit waits for `filesDurable`, and a file that could not be synced leaves no row.
 */
export async function storeInstances(database: Database, organizationId: string, items: readonly InstanceItem[], filesDurable: Promise<void>): Promise<readonly StoredInstance[]> {
  const rows = await database.held.run({ name: 'medscan_store_instances', text: TEXT, values: [organizationId, jsonText(items)] }, filesDurable);
  return rows.map(([outcome, file, scan, patient]) => ({ outcome: outcome as StoredInstance['outcome'], out_scan_file_id: file!, out_scan_id: scan!, out_patient_id: patient! }));
}
