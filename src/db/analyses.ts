/** ai_models, workflow_rules, ai_analyses and findings, as the pipeline writes and reads them. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { uuidV7 } from '#domain/uuid.ts';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});

const Rule = z.object({ rule_id: z.string(), name: z.string(), conditions: z.unknown(), actions: z.array(z.record(z.string(), z.unknown())) });
export type WorkflowRule = z.infer<typeof Rule>;

export async function activeRules(tx: CommonQueryMethods): Promise<readonly WorkflowRule[]> {
  return tx.any(sql.type(Rule)`
    SELECT rule_id, name, conditions, actions FROM workflow_rules WHERE organization_id = ${ORGANIZATION} AND is_enabled AND state = 'active' ORDER BY rule_order, name`);
}

const Model = z.object({
  model_id: z.string(), model_name: z.string(), model_version: z.string(), manufacturer: z.string(), runtime: z.string(), config: z.record(z.string(), z.unknown()),
  checksum: z.string().nullable(), not_for_clinical_use: z.boolean(),
});
export type ModelRow = z.infer<typeof Model>;
const MODEL = sql.fragment`model_id, model_name, model_version, manufacturer, runtime, config, checksum, not_for_clinical_use`;

/** The active model of this name; the newest version when the rule names none. */
export async function findActiveModel(tx: CommonQueryMethods, name: string, version: string | undefined): Promise<ModelRow | undefined> {
  return await tx.maybeOne(sql.type(Model)`
    SELECT ${MODEL} FROM ai_models WHERE organization_id = ${ORGANIZATION} AND model_name = ${name} AND status = 'active'
      AND model_version = coalesce(${version ?? null}, model_version) ORDER BY created_at DESC LIMIT 1`) ?? undefined;
}

const AnalyzableFile = z.object({
  scan_file_id: z.string(), series_instance_uid: z.string(), series_number: z.number().nullable(), series_description: z.string().nullable(), modality: z.string().nullable(),
  sop_instance_uid: z.string(), sop_class_uid: z.string(), transfer_syntax_uid: z.string(), instance_number: z.number().nullable(), number_of_frames: z.number().nullable(),
  rows: z.number().nullable(), dataset_offset: z.number(), sha256: z.string(), storage_location: z.string(),
});
export type AnalyzableFile = z.infer<typeof AnalyzableFile>;

/** The files of a scan in use: stored, the first version of each instance. */
export async function filesInUse(tx: CommonQueryMethods, scanId: string): Promise<readonly AnalyzableFile[]> {
  return tx.any(sql.type(AnalyzableFile)`
    SELECT scan_file_id, series_instance_uid, series_number, series_description, modality, sop_instance_uid, sop_class_uid, transfer_syntax_uid, instance_number,
      number_of_frames, rows, dataset_offset, sha256, storage_location
    FROM scan_files WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND status = 'stored' AND conflict_of IS NULL
    ORDER BY series_number NULLS LAST, series_instance_uid, instance_number NULLS LAST, sop_instance_uid`);
}

/**
 * Queues one model on one study content; undefined when exactly that is queued or was analysed. One that failed is tried anew. Content that the study had
 * before, and has again, is analysed again: the newest analysis of a model is the one that reports are made of.
 */
export async function insertAnalysis(tx: CommonQueryMethods, row: { scanId: string; modelId: string; inputDigest: string; completionRun: number }): Promise<string | undefined> {
  const inserted = await tx.maybeOne(sql.type(z.object({ analysis_id: z.string() }))`
    WITH earlier AS (SELECT analysis_id, input_digest, status, created_at FROM ai_analyses WHERE organization_id = ${ORGANIZATION} AND scan_id = ${row.scanId} AND model_id = ${row.modelId}),
    same AS (SELECT input_digest, created_at FROM earlier WHERE split_part(input_digest, ' ', 1) = ${row.inputDigest} ORDER BY created_at DESC LIMIT 1)
    INSERT INTO ai_analyses (organization_id, analysis_id, scan_id, model_id, input_digest, completion_run, supersedes_analysis_id)
    SELECT ${ORGANIZATION}, ${uuidV7()}, ${row.scanId}, ${row.modelId},
      CASE WHEN EXISTS (SELECT FROM same, earlier e WHERE e.status <> 'cancelled' AND e.created_at > same.created_at) THEN ${`${row.inputDigest} ${row.completionRun}`} ELSE coalesce((SELECT input_digest FROM same), ${row.inputDigest}) END,
      ${row.completionRun}, (SELECT analysis_id FROM earlier ORDER BY created_at DESC LIMIT 1)
    ON CONFLICT (organization_id, scan_id, model_id, input_digest) DO UPDATE SET status = 'queued', completion_run = excluded.completion_run, error_text = NULL, error_class = NULL
      WHERE ai_analyses.status IN ('failed', 'timeout', 'cancelled') RETURNING analysis_id`);
  return inserted?.analysis_id;
}

export async function cancelQueuedAnalyses(tx: CommonQueryMethods, scanId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE ai_analyses SET status = 'cancelled' WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND status = 'queued'`);
}

/** Also those that a worker has begun: their result is not taken any more. Returns how many. */
export async function cancelUnfinishedAnalyses(tx: CommonQueryMethods, scanId: string): Promise<number> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE ai_analyses SET status = 'cancelled' WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND status IN ('queued', 'processing')`);
  return rowCount;
}

const Started = z.object({ scan_id: z.string(), attempt: z.number(), study_instance_uid: z.string().nullable(), ...Model.shape });
export type StartedAnalysis = z.infer<typeof Started>;

/** Takes an analysis for this attempt; undefined when it is finished, cancelled or gone. `attempt` fences the result. */
export async function startAnalysis(tx: CommonQueryMethods, analysisId: string, worker: string, now: Date): Promise<StartedAnalysis | undefined> {
  return await tx.maybeOne(sql.type(Started)`
    UPDATE ai_analyses a SET status = 'processing', attempt = a.attempt + 1, worker = ${worker}, processing_start_time = ${now.toISOString()}::timestamptz, error_text = NULL, error_class = NULL
    FROM ai_models m, scans s
    WHERE a.organization_id = ${ORGANIZATION} AND a.analysis_id = ${analysisId} AND a.status IN ('queued', 'processing')
      AND m.organization_id = a.organization_id AND m.model_id = a.model_id AND s.organization_id = a.organization_id AND s.scan_id = a.scan_id
    RETURNING a.scan_id, a.attempt, s.study_instance_uid, m.model_id, m.model_name, m.model_version, m.manufacturer, m.runtime, m.config, m.checksum, m.not_for_clinical_use`) ?? undefined;
}

export interface FinishedAnalysis { status: 'completed' | 'failed' | 'timeout' | 'queued'; confidence?: number | null; result?: unknown; errorClass?: string; errorText?: string }

/** Ends an attempt; false when another attempt has taken over meanwhile (a worker that was frozen and woke up may not write). */
export async function finishAnalysis(tx: CommonQueryMethods, analysisId: string, attempt: number, finished: FinishedAnalysis, now: Date): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE ai_analyses SET status = ${finished.status}, processing_end_time = ${now.toISOString()}::timestamptz,
      processing_duration_seconds = extract(epoch FROM ${now.toISOString()}::timestamptz - processing_start_time),
      confidence_score = ${finished.confidence ?? null}, result = ${finished.result === undefined ? null : sql.jsonb(finished.result as never)},
      error_class = ${finished.errorClass ?? null}, error_text = ${finished.errorText ?? null}
    WHERE organization_id = ${ORGANIZATION} AND analysis_id = ${analysisId} AND attempt = ${attempt} AND status = 'processing'`);
  return rowCount === 1;
}

export interface NewFinding {
  finding_id: string; tracking_uid: string; finding_type: string; finding_code?: string; finding_code_system?: string; severity: string; confidence_percentage: number;
  description: string; body_site?: unknown; laterality?: string | undefined; location?: unknown; measurements: unknown;
}

export async function insertFindings(tx: CommonQueryMethods, analysisId: string, findings: readonly NewFinding[]): Promise<void> {
  if (findings.length === 0) return;
  await tx.query(sql.type(Nothing)`
    INSERT INTO findings (organization_id, analysis_id, finding_id, tracking_uid, finding_type, finding_code, finding_code_system, severity, confidence_percentage,
      description, body_site, laterality, location, measurements)
    SELECT ${ORGANIZATION}, ${analysisId}, r.* FROM jsonb_to_recordset(${jsonText(findings)}::jsonb) AS r(finding_id uuid, tracking_uid text, finding_type text,
      finding_code text, finding_code_system text, severity text, confidence_percentage float8, description text, body_site jsonb, laterality text, location jsonb, measurements jsonb)`);
}

/** Ends an analysis that no worker will end; its scan, or undefined when it was finished already. */
export async function failUnfinishedAnalysis(tx: CommonQueryMethods, analysisId: string, text: string, now: Date): Promise<string | undefined> {
  const row = await tx.maybeOne(sql.type(z.object({ scan_id: z.string() }))`
    UPDATE ai_analyses SET status = 'failed', attempt = attempt + 1, error_class = 'unavailable', error_text = ${text}, processing_end_time = ${now.toISOString()}::timestamptz
    WHERE organization_id = ${ORGANIZATION} AND analysis_id = ${analysisId} AND status IN ('queued', 'processing') RETURNING scan_id`);
  return row?.scan_id;
}

/** Scans whose last analysis ended a while ago without the report that should have followed. */
export async function findUnreportedScans(tx: CommonQueryMethods, before: Date): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ scan_id: z.string() }))`
    SELECT DISTINCT a.scan_id FROM ai_analyses a JOIN scans s ON s.organization_id = a.organization_id AND s.scan_id = a.scan_id
    WHERE a.organization_id = ${ORGANIZATION} AND a.status = 'completed' AND a.processing_start_time > now() - interval '2 days' AND a.processing_end_time < ${before.toISOString()}::timestamptz
      AND s.order_status IS DISTINCT FROM 'cancelled'
      AND NOT EXISTS (SELECT FROM ai_analyses o WHERE o.organization_id = a.organization_id AND o.scan_id = a.scan_id AND o.status IN ('queued', 'processing'))
      AND NOT EXISTS (SELECT FROM ai_analyses n WHERE n.organization_id = a.organization_id AND n.scan_id = a.scan_id AND n.model_id = a.model_id AND n.created_at > a.created_at AND n.status <> 'cancelled')
      AND NOT EXISTS (SELECT FROM reports r WHERE r.organization_id = a.organization_id AND r.scan_id = a.scan_id AND r.author_kind = 'device' AND r.created_at >= a.processing_end_time) LIMIT 100`);
  return rows.map((row) => row.scan_id);
}
