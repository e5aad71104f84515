/** scan_queue: one row per scan, what a person sees of its way through the gateway. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { priorityScore, slaDueAt } from '#domain/priority.ts';
import type { ScanPriority } from '#gateway/normalized.ts';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
export type QueueStatus = 'pending' | 'assigned' | 'in_progress' | 'completed' | 'paused' | 'cancelled';

/** Puts scans on the queue, or back on it when they had been finished; one that a person holds keeps its state. */
export async function enterQueue(tx: CommonQueryMethods, scans: readonly { scanId: string; priority: ScanPriority; whyWaiting: string }[], now: Date): Promise<void> {
  if (scans.length === 0) return;
  const rows = scans.map((scan) => ({
    scan_id: scan.scanId, priority_score: priorityScore(scan.priority), sla_due_at: slaDueAt(scan.priority, now).toISOString(), why_waiting: scan.whyWaiting, entered: now.toISOString(),
  }));
  await tx.query(sql.type(Nothing)`
    INSERT INTO scan_queue (organization_id, scan_id, priority_score, sla_due_at, why_waiting, queue_entered_at)
    SELECT ${ORGANIZATION}, scan_id, priority_score, sla_due_at, why_waiting, entered
    FROM jsonb_to_recordset(${jsonText(rows)}::jsonb) AS r(scan_id uuid, priority_score int, sla_due_at timestamptz, why_waiting text, entered timestamptz)
    ON CONFLICT (organization_id, scan_id) DO UPDATE SET why_waiting = excluded.why_waiting, priority_score = excluded.priority_score,
      status = CASE WHEN scan_queue.status IN ('completed', 'cancelled') THEN 'pending' ELSE scan_queue.status END,
      completed_at = CASE WHEN scan_queue.status IN ('completed', 'cancelled') THEN NULL ELSE scan_queue.completed_at END,
      sla_due_at = CASE WHEN scan_queue.status IN ('completed', 'cancelled') THEN excluded.sla_due_at ELSE least(scan_queue.sla_due_at, excluded.sla_due_at) END`);
}

/**
 * Moves a scan's row. `whyWaiting` null: it waits for nothing. A person's assignment is kept. A study that another system has reported since its
 * last image is done, whatever the AI still does with it.
 */
export async function moveInQueue(tx: CommonQueryMethods, scanId: string, change: { status: QueueStatus; whyWaiting: string | null; jobId?: string | undefined }, now: Date): Promise<void> {
  const at = now.toISOString();
  await tx.query(sql.type(Nothing)`
    UPDATE scan_queue q SET status = CASE WHEN r.is_reported THEN 'completed' WHEN ${change.status} = 'completed' AND assigned_to_user_id IS NOT NULL THEN 'assigned' ELSE ${change.status} END,
      why_waiting = CASE WHEN r.is_reported THEN NULL ELSE ${change.whyWaiting}::text END, job_id = coalesce(${change.jobId ?? null}::uuid, job_id),
      started_at = CASE WHEN ${change.status} = 'in_progress' THEN coalesce(started_at, ${at}::timestamptz) ELSE started_at END,
      completed_at = CASE WHEN r.is_reported THEN coalesce(completed_at, ${at}::timestamptz) WHEN ${change.status} IN ('completed', 'cancelled') THEN ${at}::timestamptz ELSE NULL END,
      sla_breached_at = CASE WHEN ${change.status} = 'completed' AND sla_breached_at IS NULL AND sla_due_at < ${at}::timestamptz THEN ${at}::timestamptz ELSE sla_breached_at END
    FROM (SELECT ${change.status} <> 'cancelled' AND EXISTS (
      SELECT 1 FROM reports e JOIN scans s ON s.organization_id = e.organization_id AND s.scan_id = e.scan_id
      WHERE e.organization_id = ${ORGANIZATION} AND e.scan_id = ${scanId} AND e.author_kind = 'external' AND e.status IN ('final', 'corrected')
        AND e.created_at >= coalesce(s.last_instance_at, e.created_at)) AS is_reported) r
    WHERE q.organization_id = ${ORGANIZATION} AND q.scan_id = ${scanId}`);
}

/** Says it anew, and moves nothing: whoever holds the scan keeps it. */
export async function sayWhyWaiting(tx: CommonQueryMethods, scanId: string, whyWaiting: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE scan_queue SET why_waiting = ${whyWaiting} WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND status IN ('pending', 'assigned', 'in_progress') AND why_waiting IS DISTINCT FROM ${whyWaiting}`);
}

export async function setPriority(tx: CommonQueryMethods, scanId: string, priority: ScanPriority): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE scan_queue SET priority_score = ${priorityScore(priority)}, sla_due_at = least(sla_due_at, queue_entered_at + make_interval(secs => ${(slaDueAt(priority, new Date(0)).getTime()) / 1000}))
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId}`);
}

export async function assignScan(tx: CommonQueryMethods, scanId: string, userEmail: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE scan_queue q SET assigned_to_user_id = u.user_id, assigned_at = now(), status = CASE WHEN q.status IN ('pending', 'completed') THEN 'assigned' ELSE q.status END
    FROM users u WHERE q.organization_id = ${ORGANIZATION} AND u.organization_id = q.organization_id AND q.scan_id = ${scanId} AND lower(u.email) = lower(${userEmail}) AND u.is_active`);
}

/** Something about this scan waits for a person: its analysis failed, or its model is not installed. */
export async function isPaused(tx: CommonQueryMethods, scanId: string): Promise<boolean> {
  return tx.exists(sql.type(z.object({}))`SELECT FROM scan_queue WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND status = 'paused'`);
}
