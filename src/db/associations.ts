/** association_logs: one row per DICOM association. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

export interface AssociationRow {
  association_id: string; integration_id?: string | undefined; started_at: string; finished_at: string; duration_ms: number;
  calling_ae_title?: string | undefined; called_ae_title?: string | undefined; peer_address: string; peer_port: number; tls_protocol?: string | undefined; tls_subject?: string | undefined;
  implementation_class_uid?: string | undefined; implementation_version?: string | undefined; peer_maximum_length?: number | undefined;
  contexts: unknown; contexts_accepted: number; outcome: string; rejection?: string | undefined; reason?: string | undefined; advice?: string | undefined;
  bytes_received: number; bytes_sent: number; requests: unknown; objects: unknown; repeats: number;
}

/** A record that comes again is the end of its burst: its repeats and its end replace the first ones. */
export async function saveAssociations(tx: CommonQueryMethods, rows: readonly AssociationRow[]): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    INSERT INTO association_logs (organization_id, association_id, integration_id, started_at, finished_at, duration_ms, calling_ae_title, called_ae_title, peer_address, peer_port, tls_protocol,
      tls_subject, implementation_class_uid, implementation_version, peer_maximum_length, contexts, contexts_accepted, outcome, rejection, reason, advice, bytes_received, bytes_sent, requests, objects, repeats)
    SELECT ${ORGANIZATION}, r.association_id, i.integration_id, r.started_at, r.finished_at, r.duration_ms, r.calling_ae_title, r.called_ae_title, r.peer_address, r.peer_port, r.tls_protocol,
      r.tls_subject, r.implementation_class_uid, r.implementation_version, r.peer_maximum_length, r.contexts, r.contexts_accepted, r.outcome, r.rejection, r.reason, r.advice, r.bytes_received, r.bytes_sent, r.requests, r.objects, r.repeats
    FROM jsonb_to_recordset(${jsonText(rows)}::jsonb) AS r(association_id uuid, integration_id uuid, started_at timestamptz, finished_at timestamptz, duration_ms float8, calling_ae_title text, called_ae_title text,
      peer_address text, peer_port int, tls_protocol text, tls_subject text, implementation_class_uid text, implementation_version text, peer_maximum_length bigint, contexts jsonb, contexts_accepted int,
      outcome text, rejection text, reason text, advice text, bytes_received bigint, bytes_sent bigint, requests jsonb, objects jsonb, repeats int)
    LEFT JOIN external_integrations i ON i.organization_id = ${ORGANIZATION} AND i.integration_id = r.integration_id
    ON CONFLICT (organization_id, association_id) DO UPDATE SET finished_at = excluded.finished_at, repeats = excluded.repeats`);
}

/** The setting association_log_days of this organization. */
const keptDays = sql.fragment`coalesce((SELECT value::text::integer FROM system_settings WHERE organization_id = ${ORGANIZATION} AND setting_key = 'association_log_days' ORDER BY version DESC LIMIT 1), 90)`;

/** Deletes at most `most` of the associations that are older than the setting allows, the oldest first. Returns how many, and until when. */
export async function deleteOldAssociations(tx: CommonQueryMethods, most: number): Promise<{ readonly deleted: number; readonly until: Date | null; readonly keptDays: number }> {
  return tx.one(sql.type(z.object({ deleted: z.number(), until: z.date().nullable(), keptDays: z.number() }))`
    WITH old AS (
      SELECT association_id FROM association_logs WHERE organization_id = ${ORGANIZATION} AND started_at < now() - make_interval(days => ${keptDays}) ORDER BY started_at LIMIT ${most}),
    gone AS (DELETE FROM association_logs a USING old WHERE a.organization_id = ${ORGANIZATION} AND a.association_id = old.association_id RETURNING a.started_at)
    SELECT count(*)::int AS deleted, max(started_at) AS until, ${keptDays} AS "keptDays" FROM gone`);
}
