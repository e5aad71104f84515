/** system_alerts: one open row per kind and subject; saying it again counts. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

export type AlertKind = 'analysis_failed' | 'critical_finding' | 'integration_down' | 'delivery_refused' | 'identity_conflict' | 'instance_conflict' | 'sla_breach' | 'disk_low' | 'files_missing' | 'job_dead' | 'images_missing' | 'priors_not_fetched' | 'commitment_missing' | 'subscription_failing' | 'pull_failing' | 'queue_full' | 'images_after_withdrawal';
export interface Alert {
  kind: AlertKind; severity: 'info' | 'warning' | 'critical'; subject: string; message: string;
  /** By which it is seen that the cause is gone (alert-causes.ts, missing-files.ts), where the subject does not say it. */
  about?: readonly unknown[];
}

export async function raiseAlert(tx: CommonQueryMethods, alert: Alert): Promise<void> {
  await tx.query(sql.type(z.object({}))`
    INSERT INTO system_alerts (organization_id, kind, severity, subject, message, about)
    VALUES (${ORGANIZATION}, ${alert.kind}, ${alert.severity}, ${alert.subject}, ${alert.message}, ${alert.about ? jsonText(alert.about) : null}::jsonb)
    ON CONFLICT (organization_id, kind, subject) WHERE resolved_at IS NULL DO UPDATE SET occurrences = system_alerts.occurrences + 1, last_seen_at = now(), message = excluded.message, severity = excluded.severity,
      about = CASE WHEN excluded.about IS NULL OR system_alerts.about IS NULL THEN coalesce(excluded.about, system_alerts.about)
        ELSE (SELECT jsonb_agg(DISTINCT e) FROM jsonb_array_elements(system_alerts.about || excluded.about) e) END`);
}

/** Ends it; with `quietSeconds`, only when it was not raised again for that long. */
export async function resolveAlert(tx: CommonQueryMethods, kind: AlertKind, subject: string, quietSeconds = 0): Promise<void> {
  await tx.query(sql.type(z.object({}))`
    UPDATE system_alerts SET resolved_at = now() WHERE organization_id = ${ORGANIZATION} AND kind = ${kind} AND subject = ${subject} AND resolved_at IS NULL
      AND last_seen_at <= now() - make_interval(secs => ${quietSeconds})`);
}

/** Ends the alert about a scan's critical findings once a person has looked at each of them. `findingId` is the one just reviewed. */
export async function resolveReviewedCriticalFindings(tx: CommonQueryMethods, findingId: string): Promise<void> {
  await tx.query(sql.type(z.object({}))`
    UPDATE system_alerts SET resolved_at = now() WHERE organization_id = ${ORGANIZATION} AND kind = 'critical_finding' AND resolved_at IS NULL
      AND subject IN (SELECT 'scan ' || s.scan_number FROM findings f JOIN ai_analyses a ON a.organization_id = f.organization_id AND a.analysis_id = f.analysis_id
        JOIN scans s ON s.organization_id = a.organization_id AND s.scan_id = a.scan_id
        WHERE f.organization_id = ${ORGANIZATION} AND f.finding_id = ${findingId}
          AND NOT EXISTS (SELECT 1 FROM findings o WHERE o.organization_id = f.organization_id AND o.analysis_id = f.analysis_id AND o.severity = 'critical' AND o.is_confirmed IS NULL))`);
}
