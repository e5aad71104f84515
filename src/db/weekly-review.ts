/**
 * The figures of a week of one organization, and of the installation it is on. Exchanges are counted a day at a time, so that no statement lasts long;
 * their p95 is therefore that of each day's exchanges, and of these the longest.
 */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { lowestUuidAt } from '#domain/uuid.ts';
import { ORGANIZATION } from './current-organization.ts';
import type { Period } from './maintenance-runs.ts';
import { sql } from './pool.ts';

const DAY_MILLISECONDS = 86_400_000;
const at = (date: Date): string => date.toISOString();

const Exchanges = z.object({ adapter: z.string(), direction: z.string(), status: z.string(), count: z.number(), p95_ms: z.number().nullable() });
export type Exchanges = z.infer<typeof Exchanges>;

/** The ids of a day's exchanges begin in that day; a day on either side for those whose id was made before or after. */
export function exchangesOfDay(tx: CommonQueryMethods, { start, end }: Period): Promise<readonly Exchanges[]> {
  return tx.any(sql.type(Exchanges)`
    SELECT adapter, direction, message_status AS status, count(*)::int8 AS count, percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_ms FROM sync_logs
    WHERE organization_id = ${ORGANIZATION} AND started_at >= ${at(start)}::timestamptz AND started_at < ${at(end)}::timestamptz
      AND sync_id >= ${lowestUuidAt(start.getTime() - DAY_MILLISECONDS)} AND sync_id < ${lowestUuidAt(end.getTime() + DAY_MILLISECONDS)}
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`);
}

const Studies = z.object({ received: z.number(), images: z.number(), bytes: z.number(), completed: z.number(), late: z.number(), waiting: z.number() });
export function studiesOfWeek(tx: CommonQueryMethods, { start, end }: Period): Promise<z.infer<typeof Studies>> {
  return tx.one(sql.type(Studies)`
    SELECT count(*) FILTER (WHERE s.first_instance_at >= w.start)::int8 AS received, coalesce(sum(s.instance_count) FILTER (WHERE s.first_instance_at >= w.start), 0)::int8 AS images,
      coalesce(sum(s.total_bytes) FILTER (WHERE s.first_instance_at >= w.start), 0)::int8 AS bytes, count(*) FILTER (WHERE s.images_complete_at >= w.start AND s.images_complete_at < w.until)::int8 AS completed,
      (SELECT count(*) FROM scan_queue q WHERE q.organization_id = ${ORGANIZATION} AND q.sla_breached_at >= w.start AND q.sla_breached_at < w.until)::int8 AS late,
      (SELECT count(*) FROM scan_queue q WHERE q.organization_id = ${ORGANIZATION} AND q.status IN ('pending', 'in_progress', 'paused'))::int8 AS waiting
    FROM (SELECT ${at(start)}::timestamptz AS start, ${at(end)}::timestamptz AS until) w
    LEFT JOIN scans s ON s.organization_id = ${ORGANIZATION} AND s.first_instance_at < w.until AND (s.first_instance_at >= w.start OR s.images_complete_at >= w.start) GROUP BY w.start, w.until`);
}

const Deliveries = z.object({ integration: z.string(), delivered: z.number(), p95_seconds: z.number().nullable(), refused: z.number(), waiting: z.number() });
/** Delivered in the week; refused and waiting as they are now. */
export function deliveriesOfWeek(tx: CommonQueryMethods, { start, end }: Period): Promise<readonly z.infer<typeof Deliveries>[]> {
  return tx.any(sql.type(Deliveries)`
    SELECT i.name AS integration, count(*) FILTER (WHERE d.delivered_at IS NOT NULL)::int8 AS delivered,
      percentile_disc(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM d.delivered_at - d.created_at)::float8) FILTER (WHERE d.delivered_at IS NOT NULL) AS p95_seconds,
      count(*) FILTER (WHERE d.status = 'refused')::int8 AS refused, count(*) FILTER (WHERE d.delivered_at IS NULL AND d.status IN ('queued', 'sending'))::int8 AS waiting
    FROM deliveries d JOIN external_integrations i ON i.organization_id = d.organization_id AND i.integration_id = d.integration_id
    WHERE d.organization_id = ${ORGANIZATION} AND (d.delivered_at >= ${at(start)}::timestamptz AND d.delivered_at < ${at(end)}::timestamptz OR d.delivered_at IS NULL AND d.status IN ('refused', 'queued', 'sending'))
    GROUP BY i.name ORDER BY i.name`);
}

const Alerts = z.object({ kind: z.string(), opened: z.number(), open: z.number() });
export function alertsOfWeek(tx: CommonQueryMethods, { start, end }: Period): Promise<readonly z.infer<typeof Alerts>[]> {
  return tx.any(sql.type(Alerts)`
    SELECT kind, count(*) FILTER (WHERE opened_at >= ${at(start)}::timestamptz AND opened_at < ${at(end)}::timestamptz)::int8 AS opened, count(*) FILTER (WHERE resolved_at IS NULL)::int8 AS open FROM system_alerts
    WHERE organization_id = ${ORGANIZATION} AND (resolved_at IS NULL OR opened_at >= ${at(start)}::timestamptz AND opened_at < ${at(end)}::timestamptz) GROUP BY kind ORDER BY kind`);
}

const DeadJobs = z.object({ queue: z.string(), died: z.number(), open: z.number() });
export function deadJobsOfWeek(tx: CommonQueryMethods, { start, end }: Period): Promise<readonly z.infer<typeof DeadJobs>[]> {
  return tx.any(sql.type(DeadJobs)`
    SELECT queue_name AS queue, count(*) FILTER (WHERE died_at >= ${at(start)}::timestamptz AND died_at < ${at(end)}::timestamptz)::int8 AS died, count(*) FILTER (WHERE status = 'open')::int8 AS open FROM dead_jobs
    WHERE organization_id = ${ORGANIZATION} AND (status = 'open' OR died_at >= ${at(start)}::timestamptz AND died_at < ${at(end)}::timestamptz) GROUP BY queue_name ORDER BY queue_name`);
}

const Sample = z.object({ metric: z.string(), queue: z.string().nullable(), lowest: z.number(), highest: z.number() });
/** Of the installation: in the name of the organization that stands for it. */
export function metricsOfWeek(tx: CommonQueryMethods, { start, end }: Period): Promise<readonly z.infer<typeof Sample>[]> {
  return tx.any(sql.type(Sample)`
    SELECT metric_name AS metric, labels->>'queue' AS queue, min(value)::float8 AS lowest, max(value)::float8 AS highest FROM system_metrics
    WHERE organization_id = ${ORGANIZATION} AND metric_name = ANY(${sql.array(['queue_waiting_jobs', 'store_free_bytes', 'process_resident_bytes', 'deliveries_open', 'audit_unsealed_rows'], 'text')})
      AND measured_at >= ${at(start)}::timestamptz AND measured_at < ${at(end)}::timestamptz
    GROUP BY 1, 2 HAVING max(value) > 0 ORDER BY 1, 2`);
}
