/**
 * Alerts whose cause is gone end by themselves, whatever ended it: a later analysis, a corrected rule, a person. Each condition reads the rows that the
 * alert is about; one that names rows which are no more has no cause either.
 */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const SCAN = sql.fragment`EXISTS (SELECT FROM scans s WHERE s.organization_id = a.organization_id AND 'scan ' || s.scan_id = a.subject AND`;

/** A later analysis of the same images by the same model was made, or nobody wants one any more. */
const analysed = sql.fragment`a.subject LIKE 'analysis %' AND NOT EXISTS (
  SELECT FROM ai_analyses f JOIN scans s ON s.organization_id = f.organization_id AND s.scan_id = f.scan_id
  WHERE f.organization_id = a.organization_id AND f.analysis_id::text = substr(a.subject, 10) AND s.order_status IS DISTINCT FROM 'cancelled' AND NOT EXISTS (
    SELECT FROM ai_analyses n WHERE n.organization_id = f.organization_id AND n.scan_id = f.scan_id AND n.model_id = f.model_id AND n.status = 'completed' AND n.analysis_id >= f.analysis_id))`;
/** No rule in force asks for the model in a version that is not there. */
const modelThere = sql.fragment`a.subject LIKE 'model %' AND NOT EXISTS (
  SELECT FROM workflow_rules r, jsonb_array_elements(CASE jsonb_typeof(r.actions) WHEN 'array' THEN r.actions ELSE '[]' END) x
  WHERE r.organization_id = a.organization_id AND r.is_enabled AND r.state = 'active' AND x->>'action' = 'run_model' AND x->>'model_name' = substr(a.subject, 7) AND NOT EXISTS (
    SELECT FROM ai_models m WHERE m.organization_id = r.organization_id AND m.model_name = x->>'model_name' AND m.status = 'active' AND m.model_version = coalesce(x->>'model_version', m.model_version)))`;
/** The rule is gone, off, or was changed since: the next scan shows whether it can be read now. */
const ruleChanged = sql.fragment`a.subject LIKE 'workflow rule %' AND NOT EXISTS (
  SELECT FROM workflow_rules r WHERE r.organization_id = a.organization_id AND 'workflow rule ' || r.name = a.subject AND r.is_enabled AND r.state = 'active' AND r.updated_at <= a.last_seen_at)`;
/** No version of an instance of the study is kept as a conflict any more. */
const versionsDecided = sql.fragment`NOT EXISTS (
  SELECT FROM scans s JOIN scan_files f ON f.organization_id = s.organization_id AND f.scan_id = s.scan_id
  WHERE s.organization_id = a.organization_id AND 'study ' || s.study_instance_uid = a.subject AND f.conflict_of IS NOT NULL AND f.status = 'quarantined')`;
const imagesProven = sql.fragment`${SCAN} (s.completeness_proof IN ('instance_count', 'mpps', 'forced') OR s.order_status = 'cancelled'))`;
const priorsFetched = sql.fragment`a.subject LIKE 'scan %' AND NOT EXISTS (
  SELECT FROM prior_searches p WHERE p.organization_id = a.organization_id AND 'scan ' || p.scan_id = a.subject AND p.status = 'failed') AND NOT EXISTS (
  SELECT FROM study_retrievals r WHERE r.organization_id = a.organization_id AND 'scan ' || r.for_scan_id = a.subject AND r.purpose = 'prior' AND r.status = 'failed')`;
const resultThere = sql.fragment`EXISTS (SELECT FROM scan_queue q WHERE q.organization_id = a.organization_id AND 'scan ' || q.scan_id = a.subject AND q.status IN ('completed', 'cancelled'))`;
/** A patient without identifier was established or merged. */
const patientKnown = sql.fragment`a.subject LIKE 'patient %' AND EXISTS (
  SELECT FROM patients p WHERE p.organization_id = a.organization_id AND 'patient ' || p.patient_id = a.subject AND (p.merged_into_patient_id IS NOT NULL OR (a.message LIKE 'A message without a patient identifier%' AND p.identity_status = 'established')))`;
/** The report that was withdrawn has a version again, or the order is gone. */
const takenUpAgain = sql.fragment`${SCAN} (s.order_status = 'cancelled' OR coalesce((SELECT r.status FROM reports r WHERE r.organization_id = s.organization_id AND r.scan_id = s.scan_id AND r.author_kind = 'device'
  ORDER BY r.version DESC LIMIT 1) NOT IN ('entered-in-error', 'cancelled'), true)))`;

/** Returns how many ended. */
export async function endSettledAlerts(tx: CommonQueryMethods): Promise<number> {
  const { rowCount } = await tx.query(sql.type(z.object({}))`
    UPDATE system_alerts a SET resolved_at = now() WHERE a.organization_id = ${ORGANIZATION} AND a.resolved_at IS NULL AND CASE a.kind
      WHEN 'analysis_failed' THEN (${analysed}) OR (${modelThere}) OR (${ruleChanged})
      WHEN 'instance_conflict' THEN ${versionsDecided}
      WHEN 'identity_conflict' THEN ${patientKnown}
      WHEN 'images_missing' THEN ${imagesProven}
      WHEN 'priors_not_fetched' THEN ${priorsFetched}
      WHEN 'sla_breach' THEN ${resultThere}
      WHEN 'images_after_withdrawal' THEN ${takenUpAgain}
      ELSE false END`);
  return rowCount;
}
