/** What the status page shows: how the systems are, what waits, what happened last. Ids, states and times; no names or dates of patients. */
import { z } from 'zod';
import { ORGANIZATION } from '../db/current-organization.ts';
import { sql, type Transaction } from '../db/pool.ts';

const Counts = z.object({ waiting: z.number(), in_progress: z.number(), undelivered: z.number(), exchanges_today: z.number(), open_alerts: z.number() });
const Integration = z.object({ integration_id: z.string(), name: z.string(), kind: z.string(), adapter: z.string(), direction: z.string(), is_enabled: z.boolean(), is_paused: z.boolean(), health_status: z.string(), last_ok_at: z.date().nullable(), last_error: z.string().nullable(), last_error_at: z.date().nullable() });
const Queued = z.object({ scan_number: z.string(), scan_type: z.string(), priority: z.string(), status: z.string(), why_waiting: z.string().nullable(), queue_entered_at: z.date(), sla_due_at: z.date().nullable() });
const Exchange = z.object({ sync_id: z.string(), started_at: z.date(), integration: z.string().nullable(), direction: z.string(), interaction: z.string(), message_status: z.string(), answer_code: z.string().nullable(), duration_ms: z.number().nullable(), error_text: z.string().nullable() });
const Alert = z.object({ severity: z.string(), subject: z.string(), message: z.string(), occurrences: z.number(), last_seen_at: z.date(), acknowledged_at: z.date().nullable() });

export interface StatusRows {
  readonly organizationName: string;
  readonly counts: z.infer<typeof Counts>;
  readonly integrations: readonly z.infer<typeof Integration>[];
  readonly queue: readonly z.infer<typeof Queued>[];
  readonly exchanges: readonly z.infer<typeof Exchange>[];
  readonly alerts: readonly z.infer<typeof Alert>[];
}

export async function readStatusRows(tx: Transaction): Promise<StatusRows> {
  return {
    organizationName: await tx.oneFirst(sql.type(z.object({ name: z.string() }))`SELECT name FROM organizations WHERE organization_id = ${ORGANIZATION}`),
    counts: await tx.one(sql.type(Counts)`
      SELECT (SELECT count(*) FROM scan_queue WHERE organization_id = ${ORGANIZATION} AND status IN ('pending', 'assigned', 'paused')) AS waiting,
        (SELECT count(*) FROM scan_queue WHERE organization_id = ${ORGANIZATION} AND status = 'in_progress') AS in_progress,
        (SELECT count(*) FROM deliveries WHERE organization_id = ${ORGANIZATION} AND status IN ('queued', 'sending')) AS undelivered,
        (SELECT count(*) FROM sync_logs WHERE organization_id = ${ORGANIZATION} AND started_at >= now() - interval '24 hours') AS exchanges_today,
        (SELECT count(*) FROM system_alerts WHERE organization_id = ${ORGANIZATION} AND resolved_at IS NULL) AS open_alerts`),
    integrations: await tx.any(sql.type(Integration)`
      SELECT integration_id, name, kind, adapter, direction, is_enabled, (receive_paused_at IS NOT NULL OR deliver_paused_at IS NOT NULL) AS is_paused, health_status, last_ok_at, last_error, last_error_at FROM external_integrations WHERE organization_id = ${ORGANIZATION} ORDER BY name LIMIT 100`),
    queue: await tx.any(sql.type(Queued)`
      SELECT s.scan_number, s.scan_type, s.priority, q.status, q.why_waiting, q.queue_entered_at, q.sla_due_at
      FROM (SELECT * FROM scan_queue WHERE organization_id = ${ORGANIZATION} AND status IN ('pending', 'assigned', 'in_progress', 'paused') ORDER BY priority_score DESC, queue_entered_at LIMIT 20) q
        JOIN scans s ON s.organization_id = q.organization_id AND s.scan_id = q.scan_id
      ORDER BY q.priority_score DESC, q.queue_entered_at`),
    exchanges: await tx.any(sql.type(Exchange)`
      SELECT l.sync_id, l.started_at, i.name AS integration, l.direction, l.interaction, l.message_status, l.answer_code, l.duration_ms, l.error_text
      FROM sync_logs l LEFT JOIN external_integrations i ON i.organization_id = l.organization_id AND i.integration_id = l.integration_id
      WHERE l.organization_id = ${ORGANIZATION} ORDER BY l.started_at DESC LIMIT 25`),
    // What nobody has taken note of first, and the critical first of all: twenty warnings must not push one of these off the page.
    alerts: await tx.any(sql.type(Alert)`
      SELECT severity, subject, message, occurrences, last_seen_at, acknowledged_at FROM system_alerts WHERE organization_id = ${ORGANIZATION} AND resolved_at IS NULL
      ORDER BY coalesce(acknowledged_at >= last_seen_at, false), severity <> 'critical', last_seen_at DESC LIMIT 20`),
  };
}

/** What concerns every organization, the disk and the queues; it is kept under 'Unassigned', where nobody signs in. Names no organization. */
export async function readInstallationAlerts(tx: Transaction): Promise<StatusRows['alerts']> {
  return await tx.any(sql.type(Alert)`
    SELECT severity, subject, message, occurrences, last_seen_at, acknowledged_at FROM system_alerts WHERE organization_id = ${ORGANIZATION} AND resolved_at IS NULL AND kind IN ('disk_low', 'queue_full') ORDER BY last_seen_at DESC LIMIT 5`);
}
