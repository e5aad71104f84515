import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, optionalTimestamp, timestamp } from '../fields.ts';
import { keyAfter, type Page } from '../pagination.ts';

const numbers = z.array(z.object({ value: z.string(), assigning_authority: z.string() })).nullable();

export const PatientMerge = z.object({
  merge_id: id, kind: z.enum(['merge', 'renumber', 'inverse']).describe('merge: two patients became one; renumber: an earlier number of the same patient; inverse: two numbers of one patient changed places'),
  survivor_patient_id: id, prior_patient_id: id.nullable(), survivor_identifiers: numbers, prior_identifiers: numbers, scans_moved: z.int(), source_sync_id: id.nullable(),
  merged_at: timestamp, unmerged_at: optionalTimestamp,
}).openapi('PatientMerge');

export const PatientLink = z.object({ link_id: id, patient_id: id, other_patient_id: id, linked_at: timestamp, source_sync_id: id.nullable(), unlinked_at: optionalTimestamp }).openapi('PatientLink');

export const UndoMerge = z.strictObject({
  later_scan_ids: z.array(id).max(10_000).describe('Of the scans that came after the merge: those that belong to the earlier patient. Needed when there are any; see errors of the 409').optional(),
}).openapi('UndoMerge');

export const UndoneMerge = z.object({ patient_id: id, survivor_patient_id: id, scan_ids: z.array(id), report_ids: z.array(id).describe('Reports made since the merge: they name the survivor'),
  corrected_reports: z.array(z.object({ report_id: id, withdrawn_by: id, told_anew_as: id })).describe('Of them those made here: the versions that withdraw them of the survivor and tell them of the earlier patient') }).openapi('UndoneMerge');

/** Merges in which the patient remained or went. */
export function listMerges(tx: Transaction, patientId: string, page: Page) {
  return tx.any(sql.type(PatientMerge)`
    SELECT merge_id, kind, survivor_patient_id, prior_patient_id, survivor_identifiers, prior_identifiers, jsonb_array_length(moved->'scans') AS scans_moved, source_sync_id, merged_at, unmerged_at
    FROM patient_merges WHERE organization_id = ${ORGANIZATION} AND (survivor_patient_id = ${patientId} OR prior_patient_id = ${patientId})
      AND merge_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY merge_id DESC LIMIT ${page.limit + 1}`);
}

/** Links with other patients, those that were undone too; seen from this one. */
export function listLinks(tx: Transaction, patientId: string, page: Page) {
  return tx.any(sql.type(PatientLink)`
    SELECT link_id, ${patientId}::uuid AS patient_id, CASE WHEN patient_id = ${patientId} THEN other_patient_id ELSE patient_id END AS other_patient_id, linked_at, source_sync_id, unlinked_at
    FROM patient_links WHERE organization_id = ${ORGANIZATION} AND (patient_id = ${patientId} OR other_patient_id = ${patientId})
      AND link_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY link_id DESC LIMIT ${page.limit + 1}`);
}
