/** What a withdrawal of a report needs to know: its newest version, and who was sent one. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { ReportDocument } from '#domain/report-document.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Newest = z.object({
  report_id: z.string(), lineage_id: z.string(), version: z.number(), status: z.string(), author_kind: z.string(), author_name: z.string(), scan_id: z.string(), analysis_id: z.string().nullable(), template_id: z.string().nullable(),
  document: z.custom<ReportDocument>((value) => typeof value === 'object' && value !== null),
});

/** The newest version of the report that this is a version of. */
export async function newestVersion(tx: CommonQueryMethods, reportId: string): Promise<z.infer<typeof Newest> | undefined> {
  return await tx.maybeOne(sql.type(Newest)`
    SELECT n.report_id, n.lineage_id, n.version, n.status, n.author_kind, n.author_name, n.scan_id, n.analysis_id, n.template_id, n.document
    FROM reports r JOIN reports n ON n.organization_id = r.organization_id AND n.lineage_id = r.lineage_id
    WHERE r.organization_id = ${ORGANIZATION} AND r.report_id = ${reportId} ORDER BY n.version DESC LIMIT 1`) ?? undefined;
}

/** Versions that have not begun to leave do not leave any more. Returns how many. */
export async function keepBack(tx: CommonQueryMethods, lineageId: string): Promise<number> {
  const { rowCount } = await tx.query(sql.type(z.object({}))`
    UPDATE deliveries d SET status = 'skipped', last_outcome = 'withdrawn', last_text = 'The report was withdrawn before it was sent.' FROM reports r
    WHERE d.organization_id = ${ORGANIZATION} AND r.organization_id = d.organization_id AND r.report_id = d.report_id AND r.lineage_id = ${lineageId} AND d.status = 'queued' AND d.attempts = 0`);
  return rowCount;
}

/** The outbox rows of a withdrawal: for each system that some version was sent to, or may have been. Returns the systems. */
export async function insertWithdrawals(tx: CommonQueryMethods, lineageId: string, reportId: string): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ integration_id: z.string() }))`
    INSERT INTO deliveries (organization_id, integration_id, report_id)
    SELECT DISTINCT ${ORGANIZATION}::uuid, d.integration_id, ${reportId}::uuid FROM deliveries d JOIN reports r ON r.organization_id = d.organization_id AND r.report_id = d.report_id
    WHERE d.organization_id = ${ORGANIZATION} AND r.lineage_id = ${lineageId} AND d.attempts > 0
    ON CONFLICT (organization_id, integration_id, report_id) DO NOTHING RETURNING integration_id`);
  return rows.map((row) => row.integration_id);
}

/**
 * The newest report that was made of the scan here is withdrawn, and nobody has had the scan completed since: nothing is made of it by itself. A moment
 * before the withdrawal counts as after it, for clocks differ.
 */
export async function isLeftWithdrawn(tx: CommonQueryMethods, scanId: string): Promise<boolean> {
  return tx.exists(sql.typeAlias('void')`
    SELECT FROM (SELECT status, created_at FROM reports WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND author_kind = 'device' ORDER BY version DESC LIMIT 1) r, scans s
    WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId} AND r.status IN ('entered-in-error', 'cancelled')
      AND NOT (s.completeness_proof IS NOT DISTINCT FROM 'forced' AND s.images_complete_at > r.created_at - interval '5 seconds')`);
}
