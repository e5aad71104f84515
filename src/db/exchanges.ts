/** sync_logs and exchange_payloads: one row per message, its bytes when they are not a stored object, and the answer leg. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { jsonText } from './json-text.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql, type Database } from './pool.ts';

const Nothing = z.object({});

export interface ExchangeRow {
  sync_id: string; integration_id?: string | undefined; adapter: string; direction: 'inbound' | 'outbound'; interaction: string; control_id: string;
  message_status: 'received' | 'accepted' | 'duplicate' | 'rejected' | 'failed' | 'queued' | 'sending' | 'delivered' | 'refused' | 'unreachable' | 'unconfirmed';
  started_at: string; finished_at?: string | undefined; duration_ms?: number | undefined; attempt?: number | undefined;
  byte_size?: number | undefined; sha256?: string | undefined; payload_location?: string | undefined; correlation_id?: string | undefined;
  peer_address?: string | undefined; peer_application?: string | undefined;
  error_class?: 'transient' | 'ambiguous' | 'permanent' | undefined; error_text?: string | undefined; error_location?: string | undefined;
  patient_id?: string | undefined; scan_id?: string | undefined; report_id?: string | undefined; delivery_id?: string | undefined;
  mapping_version?: string | undefined; warnings?: unknown; facts?: unknown;
}

export async function insertExchanges(tx: CommonQueryMethods, rows: readonly ExchangeRow[]): Promise<void> {
  await tx.query(sql.type(Nothing)`
    INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at,
      duration_ms, attempt, byte_size, sha256, payload_location, correlation_id, peer_address, peer_application, error_class, error_text, error_location,
      patient_id, scan_id, report_id, delivery_id, mapping_version, warnings, facts)
    SELECT ${ORGANIZATION}, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at,
      duration_ms, coalesce(attempt, 1), byte_size, sha256, payload_location, correlation_id, peer_address, peer_application, error_class, error_text, error_location,
      patient_id, scan_id, report_id, delivery_id, mapping_version, warnings, facts
    FROM jsonb_to_recordset(${jsonText(rows)}::jsonb) AS r(sync_id uuid, integration_id uuid, adapter text, direction text, interaction text,
      control_id text, message_status text, started_at timestamptz, finished_at timestamptz, duration_ms float8, attempt int, byte_size bigint, sha256 text,
      payload_location text, correlation_id uuid, peer_address text, peer_application text, error_class text, error_text text, error_location text,
      patient_id uuid, scan_id uuid, report_id uuid, delivery_id uuid, mapping_version text, warnings jsonb, facts jsonb)`);
}

export interface PayloadRow { sync_id: string; part: 'message' | 'answer'; media_type: string; content: Buffer }

export async function insertPayloads(tx: CommonQueryMethods, rows: readonly PayloadRow[]): Promise<void> {
  if (rows.length === 0) return;
  await tx.query(sql.type(Nothing)`
    INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content)
    SELECT ${ORGANIZATION}, * FROM ${sql.unnest(rows.map((row) => [row.sync_id, row.part, row.media_type, row.content]), ['uuid', 'text', 'text', 'bytea'])}
    ON CONFLICT (organization_id, sync_id, part) DO NOTHING`);
}

export interface AnswerRow { sync_id: string; started_at: string; answer_status: 'answered' | 'unanswered'; answer_code: string }

/** Writes the answer leg of inbound exchanges, and keeps the code with the message's identity so that a repeat is answered alike (migrations/0010). */
export async function recordAnswers(database: Database, organizationId: string, rows: readonly AnswerRow[]): Promise<void> {
  const query = sql.type(Nothing)`SELECT FROM medscan_record_answers(${organizationId}::uuid, ${jsonText(rows)}::jsonb)`;
  // Named: parsed and planned once per connection.
  await database.pool.query({ ...query, name: 'medscan_record_answers' } as typeof query);
}

export interface OutcomeRow {
  message_status: ExchangeRow['message_status']; answer_status: 'answered' | 'unanswered'; answer_code?: string | undefined; answer_text?: string | undefined;
  interaction: string; peer_address: string; finished_at: Date; duration_ms: number; byte_size?: number | undefined; sha256?: string | undefined;
  error_class?: ExchangeRow['error_class']; error_text?: string | undefined; payload_location?: string | undefined; facts?: unknown;
}

/** Writes what became of one attempt of an outbound delivery. */
export async function updateOutcome(tx: CommonQueryMethods, syncId: string, startedAt: Date, outcome: OutcomeRow): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE sync_logs SET message_status = ${outcome.message_status}, answer_status = ${outcome.answer_status}, answer_code = ${outcome.answer_code ?? null},
      answer_text = ${outcome.answer_text ?? null}, interaction = ${outcome.interaction}, peer_address = ${outcome.peer_address},
      finished_at = ${outcome.finished_at.toISOString()}::timestamptz, duration_ms = ${outcome.duration_ms}, byte_size = ${outcome.byte_size ?? null},
      sha256 = ${outcome.sha256 ?? null}, error_class = ${outcome.error_class ?? null}, error_text = ${outcome.error_text ?? null},
      payload_location = ${outcome.payload_location ?? null}, facts = CASE WHEN ${outcome.facts === undefined} THEN facts ELSE coalesce(facts, '{}'::jsonb) || ${jsonText(outcome.facts ?? {})}::jsonb END
    WHERE organization_id = ${ORGANIZATION} AND sync_id = ${syncId} AND started_at = ${startedAt.toISOString()}::timestamptz`);
}

/** A question whose asker died: nobody knows whether it was answered. */
export async function closeAbandonedQuestions(tx: CommonQueryMethods, integrationId: string, controlId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE sync_logs SET message_status = 'unconfirmed', error_class = 'ambiguous', error_text = 'the gateway stopped before the answer came; asked again', finished_at = now()
    WHERE organization_id = ${ORGANIZATION} AND control_id = ${controlId} AND integration_id = ${integrationId} AND message_status = 'sending'`);
}

/** Which of these exchanges are on record. */
export async function findExchangeIds(tx: CommonQueryMethods, syncIds: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await tx.any(sql.type(z.object({ sync_id: z.string() }))`SELECT sync_id FROM sync_logs WHERE organization_id = ${ORGANIZATION} AND sync_id = ANY(${sql.array([...syncIds], 'uuid')})`);
  return new Set(rows.map((row) => row.sync_id));
}
