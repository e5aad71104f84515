/** The part of a scan's row that completion reads and writes. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Locked = z.object({
  scan_id: z.string(), patient_id: z.string(), status: z.string(), order_status: z.string().nullable(), priority: z.enum(['routine', 'urgent', 'emergency', 'stat']),
  completion_run: z.number(), images_complete_at: z.date().nullable(), last_instance_at: z.date().nullable(),
  scan_type: z.string(), body_part: z.string().nullable(), laterality: z.string().nullable(), modalities: z.array(z.string()), study_description: z.string().nullable(),
  procedure_code: z.string().nullable(), accession_number: z.string().nullable(), referring_physician: z.string().nullable(), institution_name: z.string().nullable(), station_name: z.string().nullable(),
});
export type LockedScan = z.infer<typeof Locked>;

export async function lockScan(tx: CommonQueryMethods, scanId: string): Promise<LockedScan | undefined> {
  return await tx.maybeOne(sql.type(Locked)`
    SELECT scan_id, patient_id, status, order_status, priority, completion_run, images_complete_at, last_instance_at, scan_type, body_part, laterality, modalities,
      study_description, procedure_code, accession_number, referring_physician, institution_name, station_name
    FROM scans WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} FOR UPDATE`) ?? undefined;
}

export async function markComplete(tx: CommonQueryMethods, scanId: string, proof: string, completionRun: number, now: Date): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE scans SET images_complete_at = ${now.toISOString()}::timestamptz, completeness_proof = ${proof}, completion_run = ${completionRun},
      status = CASE WHEN order_status = 'cancelled' THEN 'cancelled' ELSE 'completed' END
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId}`);
}

export async function setScanPriority(tx: CommonQueryMethods, scanId: string, priority: LockedScan['priority']): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE scans SET priority = ${priority} WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId}`);
}

/** Scans whose images stopped arriving before `before` and that nothing completed: a job that was lost would be seen here. Not those that wait for their source, or for a person. */
export async function findOverdueCompletions(tx: CommonQueryMethods, before: Date): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ scan_id: z.string() }))`
    SELECT scan_id FROM scans s WHERE organization_id = ${ORGANIZATION} AND status = 'in_progress' AND images_complete_at IS NULL AND last_instance_at < ${before.toISOString()}::timestamptz
      AND NOT EXISTS (SELECT FROM source_counts c WHERE c.organization_id = s.organization_id AND c.scan_id = s.scan_id AND c.asked_at >= s.last_instance_at AND (c.status = 'given_up' OR c.next_at > now())) LIMIT 500`);
  return rows.map((row) => row.scan_id);
}

/** The images are to be completed again, as if the last of them had just come: a source that was given up on is asked again. */
export async function reopenScan(tx: CommonQueryMethods, scanId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE scans SET images_complete_at = NULL, completeness_proof = NULL, status = 'in_progress' WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId}`);
  await tx.query(sql.type(Nothing)`
    UPDATE source_counts SET status = 'asking', attempts = 0, first_asked_at = now() WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND status = 'given_up'`);
}
