import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, optionalTimestamp, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const alertSeverities = ['info', 'warning', 'critical'] as const;

export const Alert = z.object({
  alert_id: id, kind: z.string(), severity: z.enum(alertSeverities), subject: z.string(), message: z.string(), occurrences: z.int(), opened_at: timestamp, last_seen_at: timestamp,
  acknowledged_by: id.nullable(), acknowledged_at: optionalTimestamp, resolved_at: optionalTimestamp, created_at: timestamp, updated_at: timestamp,
}).openapi('Alert');

export const alertQuery = pageQuery.extend({ state: z.enum(['open', 'resolved', 'all']).default('open'), severity: z.enum(alertSeverities).optional() });

const columns = sql.fragment`alert_id, kind, severity, subject, message, occurrences, opened_at, last_seen_at, acknowledged_by, acknowledged_at, resolved_at, created_at, updated_at`;

export function listAlerts(tx: Transaction, query: z.output<typeof alertQuery>) {
  return tx.any(sql.type(Alert)`
    SELECT ${columns} FROM system_alerts
    WHERE organization_id = ${ORGANIZATION} AND alert_id < coalesce(${keyAfter(query)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND (${query.state} = 'all' OR (${query.state} = 'open') = (resolved_at IS NULL))
      AND (${query.severity ?? null}::text IS NULL OR severity = ${query.severity ?? null})
    ORDER BY alert_id DESC LIMIT ${query.limit + 1}`);
}

/** The first acknowledgement stands; a second one changes nothing and returns the alert as it is. */
export function acknowledgeAlert(tx: Transaction, alertId: string, userId: string) {
  return tx.maybeOne(sql.type(Alert)`
    UPDATE system_alerts SET acknowledged_by = coalesce(acknowledged_by, ${userId}), acknowledged_at = coalesce(acknowledged_at, now())
    WHERE organization_id = ${ORGANIZATION} AND alert_id = ${alertId} RETURNING ${columns}`);
}
