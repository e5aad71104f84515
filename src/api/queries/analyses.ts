import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, json, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const analysisStatuses = ['queued', 'processing', 'completed', 'failed', 'cancelled', 'timeout'] as const;

export const Analysis = z.object({
  analysis_id: id, scan_id: id, scan_number: z.string(), patient_id: id, model_id: id, model_name: z.string(), model_version: z.string(), status: z.enum(analysisStatuses),
  completion_run: z.int(), input_digest: z.string(), supersedes_analysis_id: id.nullable(), processing_start_time: optionalTimestamp, processing_end_time: optionalTimestamp,
  processing_duration_seconds: z.number().nullable(), confidence_score: z.number().nullable(), result: json.nullable(), error_class: text, error_text: text,
  attempt: z.int(), worker: text, created_at: timestamp, updated_at: timestamp,
}).openapi('Analysis');

export const analysisQuery = pageQuery.extend({ status: z.enum(analysisStatuses).optional(), scan_id: id.optional(), model_id: id.optional() });

const columns = sql.fragment`a.analysis_id, a.scan_id, s.scan_number, s.patient_id, a.model_id, m.model_name, m.model_version, a.status, a.completion_run, a.input_digest,
  a.supersedes_analysis_id, a.processing_start_time, a.processing_end_time, a.processing_duration_seconds, a.confidence_score, a.result, a.error_class, a.error_text,
  a.attempt, a.worker, a.created_at, a.updated_at`;
const source = sql.fragment`ai_analyses a JOIN scans s ON s.organization_id = a.organization_id AND s.scan_id = a.scan_id
  JOIN ai_models m ON m.organization_id = a.organization_id AND m.model_id = a.model_id`;

export function listAnalyses(tx: Transaction, query: z.output<typeof analysisQuery>) {
  return tx.any(sql.type(Analysis)`
    SELECT ${columns} FROM ${source}
    WHERE a.organization_id = ${ORGANIZATION} AND a.analysis_id < coalesce(${keyAfter(query)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND (${query.status ?? null}::text IS NULL OR a.status = ${query.status ?? null})
      AND (${query.scan_id ?? null}::uuid IS NULL OR a.scan_id = ${query.scan_id ?? null}::uuid)
      AND (${query.model_id ?? null}::uuid IS NULL OR a.model_id = ${query.model_id ?? null}::uuid)
    ORDER BY a.analysis_id DESC LIMIT ${query.limit + 1}`);
}

export function readAnalysis(tx: Transaction, analysisId: string) {
  return tx.maybeOne(sql.type(Analysis)`SELECT ${columns} FROM ${source} WHERE a.organization_id = ${ORGANIZATION} AND a.analysis_id = ${analysisId}`);
}
