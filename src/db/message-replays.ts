/** message_replays and their items: which refused messages are received again, and what became of each. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});

/** Which messages: refused or failed ones that were received, by what is on record of them. */
export interface ReplayFilter {
  readonly integrationId?: string | undefined; readonly adapter?: string | undefined; readonly interaction?: string | undefined; readonly status?: 'rejected' | 'failed' | undefined;
  readonly startedFrom?: string | undefined; readonly startedBefore?: string | undefined; readonly errorText?: string | undefined; readonly syncIds?: readonly string[] | undefined;
}
export const mostReplayed = 10_000;

/**
 * Not messages of nobody's integration: nothing would claim them. Not those that a replay has brought in already, nor, unless they are named, the exchanges that
 * replays made: each try that is refused again would double what the next one has.
 */
function matching(filter: ReplayFilter) {
  const conditions = [
    sql.fragment`l.organization_id = ${ORGANIZATION}`, sql.fragment`l.direction = 'inbound'`, sql.fragment`l.integration_id IS NOT NULL`,
    filter.status === undefined ? sql.fragment`l.message_status IN ('rejected', 'failed')` : sql.fragment`l.message_status = ${sql.literalValue(filter.status)}`,
    sql.fragment`NOT EXISTS (SELECT 1 FROM message_replay_items d WHERE d.organization_id = l.organization_id AND d.sync_id = l.sync_id AND d.outcome IN ('accepted', 'duplicate'))`,
    ...(filter.integrationId === undefined ? [] : [sql.fragment`l.integration_id = ${filter.integrationId}`]),
    ...(filter.adapter === undefined ? [] : [sql.fragment`l.adapter = ${filter.adapter}`]),
    ...(filter.interaction === undefined ? [] : [sql.fragment`l.interaction = ${filter.interaction}`]),
    ...(filter.startedFrom === undefined ? [] : [sql.fragment`l.started_at >= ${filter.startedFrom}::timestamptz`]),
    ...(filter.startedBefore === undefined ? [] : [sql.fragment`l.started_at < ${filter.startedBefore}::timestamptz`]),
    ...(filter.errorText === undefined ? [] : [sql.fragment`strpos(lower(coalesce(l.error_text, '')), lower(${filter.errorText})) > 0`]),
    ...(filter.syncIds === undefined ? [sql.fragment`l.facts->>'replayOf' IS NULL`] : [sql.fragment`l.sync_id = ANY(${sql.array([...filter.syncIds], 'uuid')})`]),
  ];
  return sql.join(conditions, sql.fragment` AND `);
}

const Count = z.object({ messages: z.number(), oldest: z.date().nullable(), newest: z.date().nullable() });

/** Counts to one more than may be replayed at once. */
export async function countReplayable(tx: CommonQueryMethods, filter: ReplayFilter): Promise<z.infer<typeof Count>> {
  return tx.one(sql.type(Count)`
    SELECT count(*) AS messages, min(started_at) AS oldest, max(started_at) AS newest FROM (SELECT l.started_at FROM sync_logs l WHERE ${matching(filter)} LIMIT ${mostReplayed + 1}) found`);
}

/** Returns how many messages it has. */
export async function insertReplay(tx: CommonQueryMethods, replayId: string, filter: ReplayFilter, by: { readonly kind: string; readonly id: string; readonly role?: string | undefined }): Promise<number> {
  await tx.query(sql.type(Nothing)`
    INSERT INTO message_replays (organization_id, replay_id, filter, requested_kind, requested_by, requested_role) VALUES (${ORGANIZATION}, ${replayId}, ${jsonText(filter)}::jsonb, ${by.kind}, ${by.id}, ${by.role ?? null})`);
  await tx.query(sql.type(Nothing)`
    INSERT INTO message_replay_items (organization_id, replay_id, sync_id) SELECT ${ORGANIZATION}, ${replayId}, l.sync_id FROM sync_logs l WHERE ${matching(filter)} ORDER BY l.sync_id LIMIT ${mostReplayed}`);
  return tx.oneFirst(sql.type(z.object({ message_count: z.number() }))`
    UPDATE message_replays SET message_count = (SELECT count(*) FROM message_replay_items i WHERE i.organization_id = ${ORGANIZATION} AND i.replay_id = ${replayId})
    WHERE organization_id = ${ORGANIZATION} AND replay_id = ${replayId} RETURNING message_count`);
}

const Begun = z.object({ status: z.string(), requested_kind: z.enum(['user', 'application', 'system']), requested_by: z.string(), requested_role: z.string().nullable() });

/** Undefined: finished, cancelled or unknown. */
export async function beginReplay(tx: CommonQueryMethods, replayId: string): Promise<z.infer<typeof Begun> | undefined> {
  return await tx.maybeOne(sql.type(Begun)`
    UPDATE message_replays SET status = 'running', started_at = coalesce(started_at, now()) WHERE organization_id = ${ORGANIZATION} AND replay_id = ${replayId} AND status IN ('queued', 'running')
    RETURNING status, requested_kind, requested_by, requested_role`) ?? undefined;
}

/** The next message without an outcome, oldest first; undefined when there is none or the replay was cancelled. */
export async function nextReplayItem(tx: CommonQueryMethods, replayId: string): Promise<string | undefined> {
  const syncId = await tx.maybeOneFirst(sql.type(z.object({ sync_id: z.string() }))`
    SELECT i.sync_id FROM message_replay_items i JOIN message_replays r ON r.organization_id = i.organization_id AND r.replay_id = i.replay_id
    WHERE i.organization_id = ${ORGANIZATION} AND i.replay_id = ${replayId} AND i.outcome IS NULL AND r.status = 'running' ORDER BY i.sync_id LIMIT 1`);
  return syncId ?? undefined;
}

export interface ReplayOutcome { readonly outcome: 'accepted' | 'duplicate' | 'rejected' | 'failed' | 'left_out'; readonly replayedAs: readonly string[]; readonly text: string | null; readonly location: string | null }

export async function finishReplayItem(tx: CommonQueryMethods, replayId: string, syncId: string, { outcome, replayedAs, text, location }: ReplayOutcome): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE message_replay_items SET outcome = ${outcome}, replayed_as = ${sql.array([...replayedAs], 'uuid')}, outcome_text = ${text}, outcome_location = ${location}, finished_at = now()
    WHERE organization_id = ${ORGANIZATION} AND replay_id = ${replayId} AND sync_id = ${syncId}`);
}

/** False: it was not open any more. */
export async function endReplay(tx: CommonQueryMethods, replayId: string, status: 'finished' | 'cancelled'): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE message_replays SET status = ${status}, finished_at = now() WHERE organization_id = ${ORGANIZATION} AND replay_id = ${replayId} AND status IN ('queued', 'running')`);
  return rowCount === 1;
}

/** Replays that should run and whose job may have been lost. */
export async function openReplays(tx: CommonQueryMethods): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ replay_id: z.string() }))`SELECT replay_id FROM message_replays WHERE organization_id = ${ORGANIZATION} AND status IN ('queued', 'running')`);
  return rows.map((row) => row.replay_id);
}
