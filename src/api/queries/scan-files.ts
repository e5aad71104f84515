import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, text, timestamp } from '../fields.ts';
import { keyAfter, type Page } from '../pagination.ts';

const count = z.int().nullable();

/** Where the file lies in the store is our own affair and not shown. */
export const ScanFile = z.object({
  scan_file_id: id, scan_id: id, patient_id: id, series_instance_uid: z.string(), series_number: count, series_description: text, modality: text, body_part: text,
  sop_instance_uid: z.string(), sop_class_uid: z.string(), transfer_syntax_uid: z.string(), instance_number: count, rows: count, columns: count, number_of_frames: count, bits_allocated: count,
  byte_size: z.int(), sha256: z.string(), received_at: timestamp, source_integration_id: id.nullable(), source_sync_id: id.nullable(),
  status: z.enum(['stored', 'quarantined', 'archived', 'deleted']), conflict_of: id.nullable(), created_at: timestamp,
}).openapi('ScanFile');

const StoredFile = z.object({ scan_file_id: z.string(), scan_id: z.string(), patient_id: z.string(), sop_instance_uid: z.string(), storage_location: z.string(), status: z.string() });

const columns = sql.fragment`f.scan_file_id, f.scan_id, s.patient_id, f.series_instance_uid, f.series_number, f.series_description, f.modality, f.body_part, f.sop_instance_uid, f.sop_class_uid,
  f.transfer_syntax_uid, f.instance_number, f.rows, f.columns, f.number_of_frames, f.bits_allocated, f.byte_size, f.sha256, f.received_at, f.source_integration_id,
  f.source_sync_id, f.status, f.conflict_of, f.created_at`;
const source = sql.fragment`scan_files f JOIN scans s ON s.organization_id = f.organization_id AND s.scan_id = f.scan_id`;

export function listScanFiles(tx: Transaction, scanId: string, page: Page) {
  return tx.any(sql.type(ScanFile)`
    SELECT ${columns} FROM ${source}
    WHERE f.organization_id = ${ORGANIZATION} AND f.scan_id = ${scanId} AND f.scan_file_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY f.scan_file_id DESC LIMIT ${page.limit + 1}`);
}

export function readScanFile(tx: Transaction, scanFileId: string) {
  return tx.maybeOne(sql.type(ScanFile)`SELECT ${columns} FROM ${source} WHERE f.organization_id = ${ORGANIZATION} AND f.scan_file_id = ${scanFileId}`);
}

export function locateScanFile(tx: Transaction, scanFileId: string) {
  return tx.maybeOne(sql.type(StoredFile)`
    SELECT f.scan_file_id, f.scan_id, s.patient_id, f.sop_instance_uid, f.storage_location, f.status FROM ${source}
    WHERE f.organization_id = ${ORGANIZATION} AND f.scan_file_id = ${scanFileId}`);
}
