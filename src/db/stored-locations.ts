/** Which objects of the store the exchanges of an hour refer to, and which files a person was told are missing. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Row = z.object({ location: z.string(), is_in_use: z.boolean(), scan_id: z.string().nullable() });
export interface StoredLocation { readonly location: string; readonly isInUse: boolean; readonly scanId: string | undefined }

/** An object is named by the hour its writing began; its exchange began before that and was written at most some hours later. */
export async function storedLocations(tx: CommonQueryMethods, hour: Date): Promise<readonly StoredLocation[]> {
  const rows = await tx.any(sql.type(Row)`
    SELECT substring(payload_location FROM 7) AS location, message_status = 'accepted' AS is_in_use, scan_id FROM sync_logs
    WHERE organization_id = ${ORGANIZATION} AND direction = 'inbound' AND payload_location LIKE 'store:%'
      AND started_at BETWEEN ${hour.toISOString()}::timestamptz - interval '6 hours' AND ${hour.toISOString()}::timestamptz + interval '6 hours'`);
  return rows.map((row) => ({ location: row.location, isInUse: row.is_in_use, scanId: row.scan_id ?? undefined }));
}

/** The files that are kept at these places: not those that came again since, and are kept elsewhere. */
export async function filesAt(tx: CommonQueryMethods, stored: readonly StoredLocation[]): Promise<readonly string[]> {
  return tx.anyFirst(sql.type(z.object({ id: z.string() }))`
    SELECT scan_file_id AS id FROM scan_files WHERE organization_id = ${ORGANIZATION} AND scan_id = ANY(${sql.array([...new Set(stored.flatMap(({ scanId }) => scanId ?? []))], 'uuid')})
      AND storage_location = ANY(${sql.array(stored.map(({ location }) => location), 'text')}) AND status <> 'deleted'`);
}

const MissingAlert = z.object({ alert_id: z.string(), subject: z.string(), occurrences: z.number(), about: z.array(z.string()) });
export async function missingFileAlerts(tx: CommonQueryMethods): Promise<readonly z.infer<typeof MissingAlert>[]> {
  return tx.any(sql.type(MissingAlert)`
    SELECT alert_id, subject, occurrences, about FROM system_alerts WHERE organization_id = ${ORGANIZATION} AND kind = 'files_missing' AND resolved_at IS NULL AND about IS NOT NULL ORDER BY alert_id`);
}

const StoredFile = z.object({ scan_file_id: z.string(), storage_location: z.string(), dataset_offset: z.number(), byte_size: z.number(), sha256: z.string() });
export type StoredFile = z.infer<typeof StoredFile>;
export async function filesById(tx: CommonQueryMethods, scanFileIds: readonly string[]): Promise<readonly StoredFile[]> {
  return tx.any(sql.type(StoredFile)`
    SELECT scan_file_id, storage_location, dataset_offset, byte_size, sha256 FROM scan_files WHERE organization_id = ${ORGANIZATION} AND scan_file_id = ANY(${sql.array([...scanFileIds], 'uuid')}) AND status <> 'deleted' ORDER BY scan_file_id`);
}

/** Unless it was raised again since it was read. */
export async function endMissingFileAlert(tx: CommonQueryMethods, { alert_id: alertId, occurrences }: Pick<z.infer<typeof MissingAlert>, 'alert_id' | 'occurrences'>): Promise<boolean> {
  const { rowCount } = await tx.query(sql.typeAlias('void')`
    UPDATE system_alerts SET resolved_at = now() WHERE organization_id = ${ORGANIZATION} AND alert_id = ${alertId} AND resolved_at IS NULL AND occurrences = ${occurrences}`);
  return rowCount === 1;
}
