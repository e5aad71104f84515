/** Reports of other systems about our scans, and appointments: what ORU^R01, MDM^T02 and SIU change in reports, scans and scan_queue. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { ReportDocument } from '#domain/report-document.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});

/** What the document of such a report has beside a ReportDocument. */
export interface ExternalPart { readonly identifier: string; readonly integrationId: string; readonly syncId: string; readonly agreement?: Agreement }
/** How a report compares with the newest AI result of the scan; ids of findings. */
export interface Agreement { readonly reportId: string; readonly named: readonly string[]; readonly notNamed: readonly string[] }

const Latest = z.object({ report_id: z.string(), lineage_id: z.string(), version: z.number(), status: z.string(), findings_text: z.string(), impression: z.string() });

/** The newest version of what this sender calls by this identifier. */
export async function latestExternalReport(tx: CommonQueryMethods, scanId: string, integrationId: string, identifier: string): Promise<z.infer<typeof Latest> | undefined> {
  return await tx.maybeOne(sql.type(Latest)`
    SELECT report_id, lineage_id, version, status, findings_text, impression FROM reports
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND author_kind = 'external' AND document->'external'->>'identifier' = ${identifier} AND document->'external'->>'integrationId' = ${integrationId}
    ORDER BY version DESC LIMIT 1`) ?? undefined;
}

export interface NewExternalReport {
  readonly reportId: string; readonly lineageId: string; readonly version: number; readonly supersedes: string | undefined; readonly scanId: string;
  readonly authorName: string; readonly signedAt: string | undefined; readonly document: ReportDocument & { readonly external: ExternalPart };
}

export async function insertExternalReport(tx: CommonQueryMethods, report: NewExternalReport): Promise<void> {
  const { sections, status } = report.document;
  await tx.query(sql.type(Nothing)`
    INSERT INTO reports (organization_id, report_id, lineage_id, version, supersedes_report_id, scan_id, status, findings_text, impression, author_kind, author_name, signed_at, document)
    VALUES (${ORGANIZATION}, ${report.reportId}, ${report.lineageId}, ${report.version}, ${report.supersedes ?? null}, ${report.scanId}, ${status}, ${sections.findings}, ${sections.impression},
      'external', ${report.authorName}, ${report.signedAt ?? null}::timestamptz, ${sql.jsonb(report.document as never)})`);
}

const AiResult = z.object({ report_id: z.string(), findings: z.array(z.object({ findingId: z.string(), type: z.object({ display: z.string() }) })) });

/** The findings of the newest AI report of the scan. */
export async function latestAiFindings(tx: CommonQueryMethods, scanId: string): Promise<z.infer<typeof AiResult> | undefined> {
  return await tx.maybeOne(sql.type(AiResult)`
    SELECT report_id, document->'findings' AS findings FROM reports WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND author_kind = 'device' ORDER BY version DESC LIMIT 1`) ?? undefined;
}

/** A signed report is there: nobody waits any more, whoever the scan was assigned to. */
export async function finishInQueue(tx: CommonQueryMethods, scanId: string, now: Date): Promise<void> {
  const at = now.toISOString();
  await tx.query(sql.type(Nothing)`
    UPDATE scan_queue SET status = 'completed', why_waiting = NULL, completed_at = ${at}::timestamptz,
      sla_breached_at = CASE WHEN sla_breached_at IS NULL AND sla_due_at < ${at}::timestamptz THEN ${at}::timestamptz ELSE sla_breached_at END
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND status NOT IN ('completed', 'cancelled')`);
}

/** The appointment of a scan that has no images yet; false when it has. */
export async function setAppointment(tx: CommonQueryMethods, scanId: string, scheduledAt: string | null): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE scans SET scheduled_at = ${scheduledAt}::timestamptz WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND instance_count = 0`);
  return rowCount > 0;
}
