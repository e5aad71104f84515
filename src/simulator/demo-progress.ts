/** How far a study has come, read from the rows that the pipeline leaves behind. Nothing of the patient is read. */
import { z } from 'zod';
import { sql } from '../db/pool.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';

const Scan = z.object({
  scan_id: z.string(), scan_number: z.string(), accession_number: z.string().nullable(), placer_order_number: z.string().nullable(), priority: z.string(),
  instance_count: z.number(), series_count: z.number(), total_bytes: z.number(), images_complete_at: z.date().nullable(), completeness_proof: z.string().nullable(), why_waiting: z.string().nullable(),
});
const Analysis = z.object({
  analysis_id: z.string(), model: z.string(), status: z.string(), seconds: z.number().nullable(), error_text: z.string().nullable(),
});
const Finding = z.object({ finding_type: z.string(), severity: z.string(), confidence_percentage: z.number(), description: z.string() });
const Report = z.object({ report_id: z.string(), version: z.number(), status: z.string(), impression: z.string(), created_at: z.date() });
const Delivery = z.object({
  kind: z.string(), name: z.string(), status: z.string(), attempts: z.number(), last_text: z.string().nullable(), answer_code: z.string().nullable(), duration_ms: z.number().nullable(),
});

export interface StudyProgress {
  readonly scan: z.infer<typeof Scan>;
  readonly analyses: readonly z.infer<typeof Analysis>[];
  readonly findings: readonly z.infer<typeof Finding>[];
  readonly report: z.infer<typeof Report> | undefined;
  readonly deliveries: readonly z.infer<typeof Delivery>[];
}

/** undefined while no row knows the study. Of several report versions the newest, and its deliveries. */
export async function readProgress(database: Database, organizationId: string, studyInstanceUid: string): Promise<StudyProgress | undefined> {
  return inOrganization(database, organizationId, async (tx) => {
    const scan = await tx.maybeOne(sql.type(Scan)`
      SELECT s.scan_id, s.scan_number, s.accession_number, s.placer_order_number, s.priority, s.instance_count, s.series_count, s.total_bytes,
             s.images_complete_at, s.completeness_proof, q.why_waiting
      FROM scans s LEFT JOIN scan_queue q USING (organization_id, scan_id) WHERE s.study_instance_uid = ${studyInstanceUid}`);
    if (scan === null) return undefined;
    const analyses = await tx.any(sql.type(Analysis)`
      SELECT a.analysis_id, m.model_name || ' ' || m.model_version AS model, a.status, a.processing_duration_seconds AS seconds, a.error_text
      FROM ai_analyses a JOIN ai_models m USING (organization_id, model_id) WHERE a.scan_id = ${scan.scan_id} ORDER BY a.created_at`);
    const findings = await tx.any(sql.type(Finding)`
      SELECT f.finding_type, f.severity, f.confidence_percentage, f.description
      FROM findings f JOIN ai_analyses a USING (organization_id, analysis_id) WHERE a.scan_id = ${scan.scan_id} ORDER BY f.confidence_percentage DESC`);
    const report = await tx.maybeOne(sql.type(Report)`
      SELECT report_id, version, status, impression, created_at FROM reports WHERE scan_id = ${scan.scan_id} ORDER BY created_at DESC LIMIT 1`);
    const deliveries = report === null ? [] : await tx.any(sql.type(Delivery)`
      SELECT i.kind, i.name, d.status, d.attempts, d.last_text, l.answer_code, l.duration_ms
      FROM deliveries d JOIN external_integrations i USING (organization_id, integration_id)
      LEFT JOIN LATERAL (SELECT answer_code, duration_ms FROM sync_logs l WHERE l.organization_id = d.organization_id AND l.delivery_id = d.delivery_id ORDER BY started_at DESC LIMIT 1) l ON true
      WHERE d.report_id = ${report.report_id} ORDER BY d.position`);
    return { scan, analyses, findings, report: report ?? undefined, deliveries };
  });
}
