/** What each model did in a time, and what people said of it. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import type { Period } from './maintenance-runs.ts';
import { sql } from './pool.ts';

const Measured = z.object({
  model_id: z.string(), model: z.string(), analyses: z.number(), failed: z.number(), p50_seconds: z.number().nullable(), p95_seconds: z.number().nullable(),
  with_findings: z.number(), findings: z.number(), mean_confidence_percentage: z.number().nullable(), confirmed: z.number(), rejected: z.number(),
});
export type Measured = z.infer<typeof Measured>;

/** Models with analyses that ended in the period; timed out ones count as failed, cancelled ones not at all. */
export function measureModels(tx: CommonQueryMethods, { start, end }: Period): Promise<readonly Measured[]> {
  return tx.any(sql.type(Measured)`
    WITH ended AS (
      SELECT a.analysis_id, a.model_id, a.status, a.processing_duration_seconds AS seconds FROM ai_analyses a
      WHERE a.organization_id = ${ORGANIZATION} AND a.status IN ('completed', 'failed', 'timeout') AND coalesce(a.processing_end_time, a.updated_at) >= ${start.toISOString()}::timestamptz AND coalesce(a.processing_end_time, a.updated_at) < ${end.toISOString()}::timestamptz),
    found AS (
      SELECT e.model_id, count(DISTINCT f.analysis_id)::int8 AS with_findings, count(*)::int8 AS findings, avg(f.confidence_percentage)::float8 AS mean_confidence_percentage,
        count(*) FILTER (WHERE f.is_confirmed)::int8 AS confirmed, count(*) FILTER (WHERE NOT f.is_confirmed)::int8 AS rejected
      FROM ended e JOIN findings f ON f.organization_id = ${ORGANIZATION} AND f.analysis_id = e.analysis_id WHERE e.status = 'completed' GROUP BY e.model_id),
    timed AS (
      SELECT model_id, count(*)::int8 AS analyses, count(*) FILTER (WHERE status <> 'completed')::int8 AS failed,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE status = 'completed') AS p50_seconds, percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE status = 'completed') AS p95_seconds
      FROM ended GROUP BY model_id)
    SELECT t.model_id, m.model_name || ' ' || m.model_version AS model, t.analyses, t.failed, t.p50_seconds, t.p95_seconds, coalesce(f.with_findings, 0) AS with_findings, coalesce(f.findings, 0) AS findings,
      f.mean_confidence_percentage, coalesce(f.confirmed, 0) AS confirmed, coalesce(f.rejected, 0) AS rejected
    FROM timed t JOIN ai_models m ON m.organization_id = ${ORGANIZATION} AND m.model_id = t.model_id LEFT JOIN found f ON f.model_id = t.model_id ORDER BY 2`);
}

/** Puts what was measured beside the figures that the model came with, which stay; and so do those of a later time. */
export async function setBaseline(tx: CommonQueryMethods, modelId: string, measured: Readonly<Record<string, unknown>> & { readonly until: string }): Promise<void> {
  await tx.query(sql.typeAlias('void')`UPDATE ai_models SET baseline_metrics = baseline_metrics || jsonb_build_object('measured', ${jsonText(measured)}::jsonb) WHERE organization_id = ${ORGANIZATION} AND model_id = ${modelId}
    AND coalesce((baseline_metrics->'measured'->>'until')::timestamptz <= ${measured.until}::timestamptz, true)`);
}
