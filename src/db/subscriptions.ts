/** result_subscriptions and their events. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { ReportDocument } from '#domain/report-document.ts';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Row = z.object({
  subscription_id: z.string(), organization_id: z.string(), integration_id: z.string(), user_id: z.string(), channel: z.enum(['rest-hook', 'websocket']), settings_sealed: z.string(), content: z.enum(['empty', 'id-only', 'full-resource']),
  filter: z.object({ patient_ids: z.array(z.string()).optional(), statuses: z.array(z.string()).optional() }), heartbeat_seconds: z.number().nullable(), timeout_seconds: z.number().nullable(), max_count: z.number(),
  status: z.enum(['requested', 'active', 'error', 'off']), is_greeted: z.boolean(), event_count: z.number(), heard_count: z.number(), error_count: z.number(), last_error: z.string().nullable(), failing_since: z.date().nullable(),
  told_at: z.date().nullable(), next_attempt_at: z.date(), ends_at: z.date().nullable(), updated_at: z.date(), is_user_active: z.boolean(), is_held: z.boolean(),
});
export type SubscriptionRow = z.infer<typeof Row>;
/** An account that is enabled and whose tokens have not all been revoked; one whose tokens have only expired gets new ones. */
const IS_USER_ACTIVE = sql.fragment`EXISTS (SELECT 1 FROM users u WHERE u.organization_id = result_subscriptions.organization_id AND u.user_id = result_subscriptions.user_id AND u.is_active AND coalesce((
  SELECT bool_or(t.revoked_at IS NULL) FROM user_sessions t WHERE t.organization_id = u.organization_id AND t.user_id = u.user_id AND t.kind = 'api_token'), true))`;
/** While delivering to the system is paused its subscribers hear nothing, too. */
const IS_HELD = sql.fragment`EXISTS (SELECT 1 FROM external_integrations i WHERE i.organization_id = result_subscriptions.organization_id AND i.integration_id = result_subscriptions.integration_id AND i.deliver_paused_at IS NOT NULL)`;
const COLUMNS = sql.fragment`subscription_id, organization_id, integration_id, user_id, channel, settings_sealed, content, filter, heartbeat_seconds, timeout_seconds, max_count, status, is_greeted,
  event_count::int AS event_count, heard_count::int AS heard_count, error_count, last_error, failing_since, told_at, next_attempt_at, ends_at, updated_at,
  ${IS_USER_ACTIVE} AS is_user_active, ${IS_HELD} AS is_held`;

export interface NewSubscriptionRow {
  subscriptionId: string; integrationId: string; userId: string; channel: string; settingsSealed: string; endpointOrigin: string | undefined; content: string; filter: object;
  heartbeatSeconds: number | undefined; timeoutSeconds: number | undefined; maxCount: number; endsAt: string | undefined;
}

export async function insertSubscription(tx: CommonQueryMethods, row: NewSubscriptionRow): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    INSERT INTO result_subscriptions (organization_id, subscription_id, integration_id, user_id, channel, settings_sealed, endpoint_origin, content, filter, heartbeat_seconds, timeout_seconds, max_count, ends_at)
    VALUES (${ORGANIZATION}, ${row.subscriptionId}, ${row.integrationId}, ${row.userId}, ${row.channel}, ${row.settingsSealed}, ${row.endpointOrigin ?? null}, ${row.content}, ${jsonText(row.filter)}::jsonb,
      ${row.heartbeatSeconds ?? null}, ${row.timeoutSeconds ?? null}, ${row.maxCount}, ${row.endsAt ?? null})`);
}

export async function findSubscription(tx: CommonQueryMethods, subscriptionId: string): Promise<SubscriptionRow | undefined> {
  return await tx.maybeOne(sql.type(Row)`SELECT ${COLUMNS} FROM result_subscriptions WHERE organization_id = ${ORGANIZATION} AND subscription_id = ${subscriptionId}`) ?? undefined;
}

export async function listSubscriptions(tx: CommonQueryMethods, integrationId: string): Promise<readonly SubscriptionRow[]> {
  return tx.any(sql.type(Row)`SELECT ${COLUMNS} FROM result_subscriptions WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} ORDER BY subscription_id DESC LIMIT 200`);
}

export async function countSubscriptions(tx: CommonQueryMethods, integrationId: string): Promise<number> {
  return tx.oneFirst(sql.type(z.object({ count: z.number() }))`SELECT count(*)::int AS count FROM result_subscriptions WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId}`);
}

export async function deleteSubscription(tx: CommonQueryMethods, integrationId: string, subscriptionId: string): Promise<boolean> {
  const { rowCount } = await tx.query(sql.typeAlias('void')`DELETE FROM result_subscriptions WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND subscription_id = ${subscriptionId}`);
  return rowCount === 1;
}

/** One event for each subscription that wants this report, also where it asked for a patient who was merged into this one since. The row lock keeps their numbers without gaps and in the order of the commits. Returns those that are to be called. */
export async function insertSubscriptionEvents(tx: CommonQueryMethods, report: { reportId: string; patientId: string; status: string }): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ subscription_id: z.string(), channel: z.string() }))`
    WITH numbered AS (
      UPDATE result_subscriptions SET event_count = event_count + 1
      WHERE organization_id = ${ORGANIZATION} AND status <> 'off' AND (ends_at IS NULL OR ends_at > now())
        AND (NOT filter ? 'patient_ids' OR filter->'patient_ids' ?| ARRAY(SELECT p.patient_id::text FROM patients p WHERE p.organization_id = ${ORGANIZATION} AND (p.patient_id = ${report.patientId}::uuid OR p.merged_into_patient_id = ${report.patientId}::uuid))) AND (NOT filter ? 'statuses' OR filter->'statuses' ? ${report.status})
      RETURNING organization_id, subscription_id, event_count, channel
    ), inserted AS (INSERT INTO result_subscription_events (organization_id, subscription_id, event_number, report_id) SELECT organization_id, subscription_id, event_count, ${report.reportId} FROM numbered)
    SELECT subscription_id, channel FROM numbered`);
  return rows.filter(({ channel }) => channel === 'rest-hook').map((row) => row.subscription_id);
}

const Event = z.object({
  event_number: z.number(), created_at: z.date(), lineage_id: z.string(), updated_at: z.date(), patient_id: z.string(), has_order: z.boolean(),
  document: z.custom<ReportDocument>((value) => typeof value === 'object' && value !== null),
});
export type SubscriptionEventRow = z.infer<typeof Event>;

export async function subscriptionEvents(tx: CommonQueryMethods, subscriptionId: string, range: { from: number; to?: number | undefined; limit: number }): Promise<readonly SubscriptionEventRow[]> {
  return tx.any(sql.type(Event)`
    SELECT e.event_number::int AS event_number, e.created_at, r.lineage_id, r.updated_at, s.patient_id, s.order_status IS NOT NULL AS has_order, r.document
    FROM result_subscription_events e JOIN reports r ON r.organization_id = e.organization_id AND r.report_id = e.report_id
      JOIN scans s ON s.organization_id = r.organization_id AND s.scan_id = r.scan_id
    WHERE e.organization_id = ${ORGANIZATION} AND e.subscription_id = ${subscriptionId} AND e.event_number >= ${range.from} AND (${range.to ?? null}::bigint IS NULL OR e.event_number <= ${range.to ?? null}::bigint)
    ORDER BY e.event_number LIMIT ${range.limit}`);
}

export interface Heard { readonly through: number; readonly greeted: boolean }
export async function noteHeard(tx: CommonQueryMethods, subscriptionId: string, heard: Heard): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE result_subscriptions SET status = CASE WHEN status = 'off' THEN 'off' ELSE 'active' END, is_greeted = is_greeted OR ${heard.greeted}, heard_count = greatest(heard_count, ${heard.through}),
      error_count = 0, failing_since = NULL, told_at = now(), next_attempt_at = now()
    WHERE organization_id = ${ORGANIZATION} AND subscription_id = ${subscriptionId}`);
}

export async function noteUnheard(tx: CommonQueryMethods, subscriptionId: string, failure: { readonly text: string; readonly status: 'error' | 'off'; readonly nextAttemptAt: Date }): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE result_subscriptions SET status = ${failure.status}, error_count = error_count + 1, last_error = ${failure.text}, failing_since = coalesce(failing_since, now()), next_attempt_at = ${failure.nextAttemptAt.toISOString()}
    WHERE organization_id = ${ORGANIZATION} AND subscription_id = ${subscriptionId} AND status <> 'off'`);
}

/** Rest-hooks with something to tell now: a handshake, an event, or a sign of life. */
export async function dueSubscriptions(tx: CommonQueryMethods): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ subscription_id: z.string() }))`
    SELECT subscription_id FROM result_subscriptions WHERE organization_id = ${ORGANIZATION} AND channel = 'rest-hook' AND status <> 'off' AND next_attempt_at <= now() AND (ends_at IS NULL OR ends_at > now())
      AND (NOT is_greeted OR heard_count < event_count OR told_at + make_interval(secs => heartbeat_seconds) <= now())
      AND ${IS_USER_ACTIVE} AND NOT ${IS_HELD}`);
  return rows.map((row) => row.subscription_id);
}

/** Those that have ended take nothing more; events that were heard long ago are forgotten. */
export async function tidySubscriptions(tx: CommonQueryMethods, keepEventDays: number): Promise<void> {
  await tx.query(sql.typeAlias('void')`UPDATE result_subscriptions SET status = 'off' WHERE organization_id = ${ORGANIZATION} AND status <> 'off' AND ends_at <= now()`);
  await tx.query(sql.typeAlias('void')`
    DELETE FROM result_subscription_events e USING result_subscriptions s WHERE e.organization_id = ${ORGANIZATION} AND s.organization_id = e.organization_id AND s.subscription_id = e.subscription_id
      AND e.event_number <= s.heard_count AND e.created_at < now() - make_interval(days => ${keepEventDays})`);
}
