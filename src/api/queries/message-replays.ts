import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import type { ReplayFilter } from '../../db/message-replays.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, instant, json, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery, type Page } from '../pagination.ts';
import type { Seeing } from '../permissions.ts';
import { shownControlId } from './sync-logs.ts';

/** Which refused messages; what is left out does not narrow. */
export const ReplaySelection = z.strictObject({
  message_status: z.enum(['rejected', 'failed']).optional(), integration_id: id.optional(), adapter: z.string().max(100).optional(), interaction: z.string().max(100).optional(),
  started_from: instant.optional(), started_before: instant.optional(), error_text: z.string().trim().min(1).max(200).optional().describe('Part of the reason they were refused for'),
  sync_ids: z.array(id).min(1).max(1000).optional(),
}).openapi('ReplaySelection');
export const ReplayInput = z.strictObject({ filter: ReplaySelection, expected: z.int().min(1).describe('How many messages POST /message-replays/count told; refused with 409 when there are more or fewer now') }).openapi('ReplayInput');
export const ReplayCount = z.object({ messages: z.int().describe('Counted to 10,001: more than 10,000 are not replayed at once'), oldest: optionalTimestamp, newest: optionalTimestamp }).openapi('ReplayCount');

export const MessageReplay = z.object({
  replay_id: id, filter: json, status: z.enum(['queued', 'running', 'finished', 'cancelled']), requested_by: z.string(), message_count: z.int(),
  done: z.int(), accepted: z.int(), duplicate: z.int(), rejected: z.int(), failed: z.int(), left_out: z.int(), created_at: timestamp, started_at: optionalTimestamp, finished_at: optionalTimestamp,
}).openapi('MessageReplay');
export const ReplayedMessage = z.object({
  sync_id: id, interaction: text, control_id: text, outcome: z.enum(['accepted', 'duplicate', 'rejected', 'failed', 'left_out']).nullable().describe('null: not yet'), outcome_text: text, outcome_location: text,
  replayed_as: z.array(id), finished_at: optionalTimestamp,
}).openapi('ReplayedMessage');
export const replayedMessageQuery = pageQuery.extend({ outcome: z.enum(['accepted', 'duplicate', 'rejected', 'failed', 'left_out']).optional() });

export function replayFilter(selection: z.output<typeof ReplaySelection>): ReplayFilter {
  return {
    status: selection.message_status, integrationId: selection.integration_id, adapter: selection.adapter, interaction: selection.interaction, startedFrom: selection.started_from, startedBefore: selection.started_before,
    errorText: selection.error_text, syncIds: selection.sync_ids,
  };
}

const outcome = (name: string) => sql.fragment`(count(*) FILTER (WHERE i.outcome = ${sql.literalValue(name)}))::int AS ${sql.identifier([name])}`;
const rows = (condition: ReturnType<typeof sql.fragment>) => sql.type(MessageReplay)`
  SELECT r.replay_id, r.filter, r.status, r.requested_by, r.message_count, r.created_at, r.started_at, r.finished_at, c.* FROM message_replays r
    CROSS JOIN LATERAL (SELECT count(i.outcome)::int AS done, ${outcome('accepted')}, ${outcome('duplicate')}, ${outcome('rejected')}, ${outcome('failed')}, ${outcome('left_out')}
      FROM message_replay_items i WHERE i.organization_id = r.organization_id AND i.replay_id = r.replay_id) c
  WHERE r.organization_id = ${ORGANIZATION} AND ${condition}`;

export function listReplays(tx: Transaction, page: Page) {
  const before = keyAfter(page);
  return tx.any(rows(sql.fragment`${before === null ? sql.fragment`true` : sql.fragment`r.replay_id < ${before}::uuid`} ORDER BY r.replay_id DESC LIMIT ${page.limit + 1}`));
}

export function readReplay(tx: Transaction, replayId: string) {
  return tx.maybeOne(rows(sql.fragment`r.replay_id = ${replayId}`));
}

export async function listReplayedMessages(tx: Transaction, replayId: string, query: z.output<typeof replayedMessageQuery>, eyes: Seeing) {
  const before = keyAfter(query);
  const rows = await tx.any(sql.type(ReplayedMessage)`
    SELECT i.sync_id, l.interaction, l.control_id, i.outcome, i.outcome_text, i.outcome_location, i.replayed_as, i.finished_at
    FROM message_replay_items i LEFT JOIN sync_logs l ON l.organization_id = i.organization_id AND l.sync_id = i.sync_id
    WHERE i.organization_id = ${ORGANIZATION} AND i.replay_id = ${replayId} AND ${before === null ? sql.fragment`true` : sql.fragment`i.sync_id < ${before}::uuid`}
      AND ${query.outcome === undefined ? sql.fragment`true` : sql.fragment`i.outcome = ${query.outcome}`}
    ORDER BY i.sync_id DESC LIMIT ${query.limit + 1}`);
  return rows.map((row) => (row.control_id === null ? row : { ...row, control_id: shownControlId(eyes, row.control_id) }));
}
