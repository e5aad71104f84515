/**
 * The three queries of the database's own documentation, word for word except for the bound user. They name no organization: row
 * level security adds it.
 */
import { z } from '@hono/zod-openapi';
import { sql, type Transaction } from '../../db/pool.ts';
import { optionalTimestamp } from '../fields.ts';

export const PendingScan = z.object({ scan_number: z.string(), scan_type: z.string(), patient_number: z.string(), priority_score: z.int() }).openapi('PendingScan');

/** Pending scans for a radiologist. */
export function pendingScansOf(tx: Transaction, userId: string) {
  return tx.any(sql.type(PendingScan)`SELECT s.scan_number, s.scan_type, p.patient_number, sq.priority_score
FROM scan_queue sq
JOIN scans s ON sq.scan_id = s.scan_id
JOIN patients p ON s.patient_id = p.patient_id
WHERE sq.assigned_to_user_id = ${userId}
  AND sq.status = 'assigned'
ORDER BY sq.priority_score DESC, sq.queue_entered_at ASC;`);
}

export const ModelPerformance = z.object({
  model_name: z.string(), model_version: z.string(), total_analyses: z.int(),
  avg_processing_time: z.number().nullable().describe('Seconds'), avg_confidence: z.number().nullable(),
}).openapi('ModelPerformance');

/** AI analysis performance by model, last 30 days. */
export function modelPerformance(tx: Transaction) {
  return tx.any(sql.type(ModelPerformance)`SELECT 
  am.model_name,
  am.model_version,
  COUNT(a.analysis_id) as total_analyses,
  AVG(a.processing_duration_seconds) as avg_processing_time,
  AVG(a.confidence_score) as avg_confidence
FROM ai_analyses a
JOIN ai_models am ON a.model_id = am.model_id
WHERE a.status = 'completed'
  AND a.processing_start_time >= CURRENT_DATE - INTERVAL '30 days'
GROUP BY am.model_name, am.model_version
ORDER BY avg_confidence DESC;`);
}

export const CriticalFinding = z.object({
  scan_number: z.string(), patient_number: z.string(), finding_type: z.string(), confidence_percentage: z.number(), description: z.string(), processing_end_time: optionalTimestamp,
}).openapi('CriticalFinding');

/** Critical findings requiring immediate attention. */
export function criticalUnreviewedFindings(tx: Transaction) {
  return tx.any(sql.type(CriticalFinding)`SELECT 
  s.scan_number,
  p.patient_number,
  f.finding_type,
  f.confidence_percentage,
  f.description,
  a.processing_end_time
FROM findings f
JOIN ai_analyses a ON f.analysis_id = a.analysis_id
JOIN scans s ON a.scan_id = s.scan_id
JOIN patients p ON s.patient_id = p.patient_id
WHERE f.severity = 'critical'
  AND f.is_confirmed IS NULL
ORDER BY a.processing_end_time DESC;`);
}
