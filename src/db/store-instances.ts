/** The hot path of C-STORE: one statement, one commit, for the instances of many senders (migrations/0041). */
import type { PatientIdentifier, ScanPriority } from '#gateway/normalized.ts';
import type { Execute } from './held-commit.ts';
import { jsonText } from './json-text.ts';
import type { StoredPatient, PatientValues } from './patients.ts';
import type { Database } from './pool.ts';
import type { NewFile } from './scans.ts';

export interface InstanceItem extends Omit<NewFile, 'scan_id' | 'status' | 'conflict_of' | 'source_integration_id' | 'source_sync_id'> {
  /** Absent: an opening finds them. */
  scan_id?: string | undefined; patient_id?: string | undefined;
  item: number; sync_id: string; integration_id: string; adapter: string; interaction: string; finished_at: string; duration_ms: number;
  peer_address: string; peer_application?: string | undefined; mapping_version: string; warnings?: unknown; facts?: unknown;
}
/** What an instance says of its patient and study, for the one that may be the first: all that `medscan_open_studies` needs to find or make both. */
export interface Opening {
  item: number; sop_instance_uid: string; received_at: string; may_be_own_result: boolean;
  identifiers: readonly PatientIdentifier[]; patient_number: string; said: PatientValues; provenance: StoredPatient['provenance'];
  study_instance_uid: string; scan_type: string;
  queue: Readonly<Record<ScanPriority, { priority_score: number; sla_due_at: string }>>; why_waiting: string; entered_at: string;
}
export interface StoredInstance { outcome: 'accepted' | 'duplicate' | 'slow'; out_scan_file_id: string | null; out_scan_id: string; out_patient_id: string; isOpened: boolean }
const TEXT = 'SELECT outcome, out_scan_file_id, out_scan_id, out_patient_id, out_is_opened FROM medscan_store_instances($1::uuid, $2::jsonb, $3::jsonb) ORDER BY item';

export interface Commitment {
  readonly filesDurable: Promise<void>;
  /** Writes, in the same transaction, what belongs to the scans that were opened. */
  opened(scanIds: readonly string[], execute: Execute): Promise<unknown>;
}

/**
 * One result per item, in order. Committed when it resolves, except the 'slow' ones: nothing was written for them. The rows are written
 * while the files are synced; only the commit waits for `filesDurable`, and a file that could not be synced leaves no row.
 */
export async function storeInstances(database: Database, organizationId: string, items: readonly InstanceItem[], openings: readonly Opening[], commitment: Commitment): Promise<readonly StoredInstance[]> {
  let stored: readonly StoredInstance[] = [];
  await database.held.run({ name: 'medscan_store_instances', text: TEXT, values: [organizationId, jsonText(items), jsonText(openings)] }, commitment.filesDurable, async (rows, execute) => {
    stored = rows.map(([outcome, file, scan, patient, opened]) => ({ outcome: outcome as StoredInstance['outcome'], out_scan_file_id: file!, out_scan_id: scan!, out_patient_id: patient!, isOpened: opened === 't' }));
    const scanIds = new Set(stored.filter((row) => row.isOpened).map((row) => row.out_scan_id));
    if (scanIds.size > 0) await commitment.opened([...scanIds], execute);
  });
  return stored;
}
