import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, json, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const severities = ['low', 'medium', 'high', 'critical'] as const;

export const Finding = z.object({
  finding_id: id, analysis_id: id, scan_id: id, patient_id: id, tracking_uid: z.string(), finding_type: z.string(), finding_code: text, finding_code_system: text,
  severity: z.enum(severities), confidence_percentage: z.number(), description: z.string(), body_site: json.nullable(), laterality: text, location: json.nullable(),
  measurements: z.array(json), is_confirmed: z.boolean().nullable().describe('null: not reviewed yet'), confirmed_by: id.nullable(), confirmed_at: optionalTimestamp,
  created_at: timestamp, updated_at: timestamp,
}).openapi('Finding');

export const findingQuery = pageQuery.extend({
  severity: z.enum(severities).optional(), analysis_id: id.optional(), scan_id: id.optional(),
  review: z.enum(['open', 'confirmed', 'rejected']).optional(),
});

export const FindingReview = z.strictObject({ is_confirmed: z.boolean().describe('true confirms the finding, false rejects it') }).openapi('FindingReview');

const columns = sql.fragment`f.finding_id, f.analysis_id, a.scan_id, s.patient_id, f.tracking_uid, f.finding_type, f.finding_code, f.finding_code_system, f.severity,
  f.confidence_percentage, f.description, f.body_site, f.laterality, f.location, f.measurements, f.is_confirmed, f.confirmed_by, f.confirmed_at, f.created_at, f.updated_at`;
const source = sql.fragment`findings f JOIN ai_analyses a ON a.organization_id = f.organization_id AND a.analysis_id = f.analysis_id
  JOIN scans s ON s.organization_id = a.organization_id AND s.scan_id = a.scan_id`;

export function listFindings(tx: Transaction, query: z.output<typeof findingQuery>) {
  return tx.any(sql.type(Finding)`
    SELECT ${columns} FROM ${source}
    WHERE f.organization_id = ${ORGANIZATION} AND f.finding_id < coalesce(${keyAfter(query)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND (${query.severity ?? null}::text IS NULL OR f.severity = ${query.severity ?? null})
      AND (${query.analysis_id ?? null}::uuid IS NULL OR f.analysis_id = ${query.analysis_id ?? null}::uuid)
      AND (${query.scan_id ?? null}::uuid IS NULL OR a.scan_id = ${query.scan_id ?? null}::uuid)
      AND (${query.review ?? null}::text IS NULL OR ${query.review ?? null} = CASE f.is_confirmed WHEN true THEN 'confirmed' WHEN false THEN 'rejected' ELSE 'open' END)
    ORDER BY f.finding_id DESC LIMIT ${query.limit + 1}`);
}

export function readFinding(tx: Transaction, findingId: string) {
  return tx.maybeOne(sql.type(Finding)`SELECT ${columns} FROM ${source} WHERE f.organization_id = ${ORGANIZATION} AND f.finding_id = ${findingId}`);
}

export async function reviewFinding(tx: Transaction, findingId: string, isConfirmed: boolean, userId: string): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE findings SET is_confirmed = ${isConfirmed}, confirmed_by = ${userId}, confirmed_at = now() WHERE organization_id = ${ORGANIZATION} AND finding_id = ${findingId}`);
}
