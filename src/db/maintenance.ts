/** Statements of the maintenance rounds. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});

/** Every active organization; for asSystem. */
export async function organizationIds(tx: CommonQueryMethods): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ organization_id: z.string() }))`SELECT organization_id FROM organizations WHERE is_active ORDER BY organization_id`);
  return rows.map((row) => row.organization_id);
}

/** A result that is late is marked once, and one alert per scan says so. */
export async function markSlaBreaches(tx: CommonQueryMethods): Promise<void> {
  await tx.query(sql.type(Nothing)`
    WITH late AS (
      UPDATE scan_queue SET sla_breached_at = now()
      WHERE organization_id = ${ORGANIZATION} AND sla_breached_at IS NULL AND sla_due_at < now() AND status IN ('pending', 'in_progress', 'paused')
        AND EXISTS (SELECT 1 FROM scans s WHERE s.organization_id = scan_queue.organization_id AND s.scan_id = scan_queue.scan_id AND s.instance_count > 0)
      RETURNING scan_id, why_waiting)
    INSERT INTO system_alerts (organization_id, kind, severity, subject, message)
    SELECT ${ORGANIZATION}, 'sla_breach', 'warning', 'scan ' || scan_id, 'The result is late. ' || coalesce(why_waiting, '') FROM late
    ON CONFLICT (organization_id, kind, subject) WHERE resolved_at IS NULL DO NOTHING`);
}

export interface Metric { name: string; labels?: Record<string, string>; value: number }

export async function writeMetrics(tx: CommonQueryMethods, node: string, metrics: readonly Metric[]): Promise<void> {
  await tx.query(sql.type(Nothing)`
    INSERT INTO system_metrics (organization_id, metric_name, labels, value, node)
    SELECT ${ORGANIZATION}, name, coalesce(labels, '{}'), value, ${node} FROM jsonb_to_recordset(${JSON.stringify(metrics)}::jsonb) AS r(name text, labels jsonb, value float8)`);
}
